"""The service's routes: shapes of the server on one side, operators and loops on the other."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime

from ..daemon.backfill import BackfillAsked
from ..daemon.fleet import View
from ..daemon.manual import CellsAsked
from ..daemon.operators import AppliedNow, Operators
from ..model.errors import Transient
from ..model.live import StandingJob
from ..model.plan import Plan
from ..plan import render_json, render_markdown, render_text
from ..plan.exit_code import exit_code
from ..plan.timeline import timeline
from ..runs.environment import iso
from ..server import api
from ..server.exchange import Handlers, Request, Response
from .trying import read_trial


def routes(
    operators: Operators, status: Callable[[], api.Status], view: Callable[[], View], now: Callable[[], datetime]
) -> Handlers:
    """Handlers by (method, path)."""

    def run_job(request: Request) -> Response:
        asked = api.RunJob.from_data(request.body)
        rows = tuple((row.values, row.where) for row in asked.rows)
        cells = CellsAsked(rows, asked.resume, asked.max_parallel)
        run, repeated, made = operators.run_job(asked.job, request.peer.actor, asked.parameters, asked.key, cells)
        return Response(api.RunAccepted(run.run_id, run.job, run.slot, repeated, made).to_data())

    def try_file(request: Request) -> Response:
        asked = api.TryFile.from_data(request.body)
        job = read_trial(view().config, asked.path, asked.files)
        run = operators.try_job(job.spec, job.revision, request.peer.actor, asked.parameters)
        return Response(api.RunAccepted(run.run_id, run.job, run.slot, False, 0).to_data())

    def forget(request: Request) -> Response:
        return _done(operators.forget_trial(api.OneRun.from_data(request.body).run_id))

    def replay(request: Request) -> Response:
        run = operators.replay(api.OneRun.from_data(request.body).run_id, request.peer.actor)
        return Response(api.RunAccepted(run.run_id, run.job, run.slot, False, 0).to_data())

    def backfill(request: Request) -> Response:
        asked = api.Backfill.from_data(request.body)
        span = BackfillAsked(asked.begin, asked.end, asked.max_parallel, asked.excluded)
        if asked.dry_run:
            return Response(api.Slots(tuple(iso(slot) for slot in operators.backfill_slots(asked.job, span))).to_data())
        run, repeated, made = operators.backfill(asked.job, request.peer.actor, span, asked.parameters, asked.key)
        return Response(api.RunAccepted(run.run_id, run.job, run.slot, repeated, made).to_data())

    def stop_run(request: Request) -> Response:
        asked = api.StopRun.from_data(request.body)
        return _done(operators.stop_run(asked.run_id, request.peer.actor, asked.reason, whole_slot=asked.whole_slot))

    def discard_run(request: Request) -> Response:
        return _done(operators.discard_run(api.DiscardRun.from_data(request.body).run_id))

    def pause(request: Request) -> Response:
        asked = api.PauseJob.from_data(request.body)
        return _done(operators.pause(asked.job, asked.until, asked.reason, request.peer.actor))

    def resume(request: Request) -> Response:
        return _done(operators.resume(api.ResumeJob.from_data(request.body).job, request.peer.actor))

    def drain(request: Request) -> Response:
        asked = api.Drain.from_data(request.body or {})
        if asked.end:
            return _done(operators.end_drain(request.peer.actor))
        return _done(operators.drain(request.peer.actor, asked.reason))

    def approve(request: Request) -> Response:
        asked = api.Approve.from_data(request.body)
        return _done(operators.approve(asked.digest, request.peer.actor, asked.reason))

    def apply(request: Request) -> Response:
        return Response(applied_data(operators.apply(api.ApplyPlan.from_data(request.body or {}).digest)))

    def sync(_request: Request) -> Response:
        return Response(applied_data(operators.apply("")))

    def show_plan(request: Request) -> Response:
        stale = operators.plan()
        seen = view()
        if seen.plan is None:
            raise Transient("cannot show the plan: none has been made yet", code="service-busy", hint="try again")
        form, colour = request.query.get("form", "text"), request.query.get("colour") == "1"
        made = rendered(seen.plan, seen.standing, now(), form=form, colour=colour, instance=seen.config.instance)
        return Response({**made, "stale": stale})

    return {
        ("GET", "/v1/status"): lambda _request: Response(status().to_data()),
        ("GET", "/v1/plan"): show_plan,
        ("POST", "/v1/jobs/run"): run_job,
        ("POST", "/v1/try"): try_file,
        ("POST", "/v1/try/forget"): forget,
        ("POST", "/v1/runs/replay"): replay,
        ("POST", "/v1/jobs/backfill"): backfill,
        ("POST", "/v1/runs/stop"): stop_run,
        ("POST", "/v1/runs/discard"): discard_run,
        ("POST", "/v1/pause"): pause,
        ("POST", "/v1/resume"): resume,
        ("POST", "/v1/drain"): drain,
        ("POST", "/v1/approve"): approve,
        ("POST", "/v1/apply"): apply,
        ("POST", "/v1/sync"): sync,
    }


def _done(message: str) -> Response:
    return Response(api.Done(message).to_data())


def rendered(
    plan: Plan, standing: Mapping[str, StandingJob], now: datetime, *, form: str, colour: bool, instance: str
) -> dict[str, str | int]:
    """`{"text": ..., "exit_code": ...}`: the plan in one of its forms: text, json or markdown."""
    times = timeline(plan, standing, now)
    if form == "json":
        text = render_json.render(plan, instance=instance, times=times)
    elif form == "markdown":
        text = render_markdown.render(plan, instance=instance, now=now, times=times)
    else:
        text = render_text.render(plan, colour=colour, instance=instance, now=now, times=times)
    return {"text": text if text.endswith("\n") else text + "\n", "exit_code": exit_code(plan)}


def applied_data(done: AppliedNow) -> dict[str, object]:
    """What `reconciler apply` prints: stable keys."""
    lines = tuple(
        api.ResultLine(r.action.kind.value, r.action.name, r.ok, r.error, r.error_code, r.hint) for r in done.results
    )
    good = sum(1 for result in done.results if result.ok)
    return api.Applied(
        revision=done.revision, applied=good, failed=len(lines) - good, unchanged=done.unchanged,
        refused=bool(done.refusals), results=lines,
        refusals=tuple(api.RefusalLine(**asdict(refusal)) for refusal in done.refusals),
    ).to_data()  # fmt: skip
