"""The service's routes: shapes of the server on one side, operators and loops on the other."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from threading import Lock

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
from .authority import Authority
from .trying import alone, read_trial


def routes(
    operators: Operators, authority: Authority, job_of: Callable[[str], str], status: Callable[[], api.Status],
    view: Callable[[], View], now: Callable[[], datetime],
) -> Handlers:  # fmt: skip
    """Handlers by (method, path). `job_of`: the job of a run, by its id."""
    trials = Lock()

    def run_job(request: Request) -> Response:
        asked = api.RunJob.from_data(request.body)
        actor = authority.for_job(request.peer, asked.job, "run")
        rows = tuple((row.values, row.where) for row in asked.rows)
        cells = CellsAsked(rows, asked.resume, asked.max_parallel)
        run, repeated, made = operators.run_job(asked.job, actor, asked.parameters, asked.key, cells, asked.refs)
        return Response(api.RunAccepted(run.run_id, run.job, run.slot, repeated, made).to_data())

    def try_file(request: Request) -> Response:
        asked = api.TryFile.from_data(request.body)
        actor = authority.for_job(request.peer, asked.path.rpartition(".")[0], "try")
        seen = view()
        with alone(trials):
            job = read_trial(seen.config, seen.standing, asked.path, asked.files)
        run = operators.try_job(job.spec, job.revision, actor, asked.parameters)
        return Response(api.RunAccepted(run.run_id, run.job, run.slot, False, 0).to_data())

    def forget(request: Request) -> Response:
        run_id = api.OneRun.from_data(request.body).run_id
        authority.for_job(request.peer, job_of(run_id), "forget a trial of")
        return _done(operators.forget_trial(run_id))

    def replay(request: Request) -> Response:
        run_id = api.OneRun.from_data(request.body).run_id
        run = operators.replay(run_id, authority.for_job(request.peer, job_of(run_id), "replay a run of"))
        return Response(api.RunAccepted(run.run_id, run.job, run.slot, False, 0).to_data())

    def backfill(request: Request) -> Response:
        asked = api.Backfill.from_data(request.body)
        actor = authority.for_job(request.peer, asked.job, "backfill")
        span = BackfillAsked(asked.begin, asked.end, asked.max_parallel, asked.excluded)
        if asked.dry_run:
            return Response(api.Slots(tuple(iso(slot) for slot in operators.backfill_slots(asked.job, span))).to_data())
        run, repeated, made = operators.backfill(asked.job, actor, span, asked.parameters, asked.key)
        return Response(api.RunAccepted(run.run_id, run.job, run.slot, repeated, made).to_data())

    def stop_run(request: Request) -> Response:
        asked = api.StopRun.from_data(request.body)
        actor = authority.for_job(request.peer, job_of(asked.run_id), "stop a run of")
        return _done(operators.stop_run(asked.run_id, actor, asked.reason, whole_slot=asked.whole_slot))

    def discard_run(request: Request) -> Response:
        asked = api.DiscardRun.from_data(request.body)
        authority.for_job(request.peer, job_of(asked.run_id), "discard a run of")
        return _done(operators.discard_run(asked.run_id))

    def of_jobs(request: Request, job: str, deed: str) -> str:
        """A job, or `*`."""
        if job == "*":
            return authority.for_all(request.peer, f"{deed} all jobs")
        return authority.for_job(request.peer, job, deed)

    def pause(request: Request) -> Response:
        asked = api.PauseJob.from_data(request.body)
        return _done(operators.pause(asked.job, asked.until, asked.reason, of_jobs(request, asked.job, "pause")))

    def resume(request: Request) -> Response:
        asked = api.ResumeJob.from_data(request.body)
        actor = of_jobs(request, asked.job, "resume")
        return _done(operators.resume(asked.job, actor, authority.pausers(request.peer, asked.job)))

    def drain(request: Request) -> Response:
        asked, actor = api.Drain.from_data(request.body or {}), authority.for_all(request.peer, "drain the service")
        return _done(operators.end_drain(actor) if asked.end else operators.drain(actor, asked.reason))

    def approve(request: Request) -> Response:
        asked, actor = api.Approve.from_data(request.body), authority.for_all(request.peer, "approve a plan")
        return _done(operators.approve(asked.digest, actor, asked.reason))

    def apply(request: Request) -> Response:
        authority.for_all(request.peer, "apply a plan")
        return Response(applied_data(operators.apply(api.ApplyPlan.from_data(request.body or {}).digest)))

    def sync(request: Request) -> Response:
        authority.for_all(request.peer, "apply a plan")
        return Response(applied_data(operators.apply("")))

    def show_plan(request: Request) -> Response:
        authority.for_all(request.peer, "see the plan of all jobs")
        stale = operators.plan()
        seen = view()
        if seen.plan is None:
            why = stale or "none has been made yet"
            raise Transient(f"cannot show the plan: {why}", code="service-busy", hint="try again")
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
