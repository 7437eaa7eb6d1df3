"""What people may ask of the running service, each by name and recorded. Called from the server's threads."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from ..apply.outcome import Result
from ..history.base import History
from ..model.errors import NotAllowed, Permanent, Refusal, Transient
from ..model.event import EventName
from ..model.job import JobSpec
from ..model.run import Pause, RunRecord
from ..plan.words import plural
from ..runs.environment import iso
from ..runs.trial import is_trial
from .backfill import BackfillAsked, backfill, slots_of
from .events import EventStream
from .fleet import Fleet
from .manual import NO_CELLS, CellsAsked, applied, check_key, same_request, start
from .requests import Request
from .run_loop import RunLoop
from .sync_loop import SyncLoop
from .trials import DevAsked, DevClaimed, leave_nothing, replay, secret_names, start_dev, start_trial

T = TypeVar("T")
PLAN_TIMEOUT = 15.0  # seconds for a pass that only has to read the repository
PASS_TIMEOUT = 1700.0  # seconds for a pass that may pull images


@dataclass(frozen=True, slots=True)
class AppliedNow:
    """What a pass made on request did. `refusals` non-empty = nothing was done."""

    revision: str
    unchanged: int
    results: tuple[Result, ...]
    refusals: tuple[Refusal, ...]


class Operators:
    """Every method raises ReconcilerError with a code and a hint if it cannot do what was asked."""

    def __init__(
        self, *, runs: RunLoop, sync: SyncLoop, history: History, fleet: Fleet, emit: EventStream,
        kick_runs: Callable[[], None], kick_sync: Callable[[], None],
        drop_files: Callable[[Iterable[RunRecord]], None],
    ) -> None:  # fmt: skip
        self._runs, self._sync, self._history, self._fleet, self._emit = runs, sync, history, fleet, emit
        self._kick_runs, self._kick_sync, self._drop_files = kick_runs, kick_sync, drop_files

    def _ask(self, call: Callable[[RunLoop, datetime], T]) -> T:
        """Let the run loop do it, in its own thread."""
        request = Request(call)
        self._runs.requests.put(request)
        self._kick_runs()
        try:
            answer: T = request.answer()
        except FutureTimeout:
            request.withdraw()
            raise Transient("cannot reach the loop that fires: it is busy", code="service-busy") from None
        return answer

    # -- runs -------------------------------------------------------------------------------------------------
    def run_job(
        self, job: str, actor: str, parameters: Mapping[str, str] | None = None, key: str = "",
        cells: CellsAsked = NO_CELLS, refs: Sequence[str] = (),
    ) -> tuple[RunRecord, bool, int]:  # fmt: skip
        """Start a job by hand (rules R2, R8). `(run, repeated, cells)`: with a key that was given before, its first
        run; of several cells the first one."""
        given = parameters or {}
        check_key(key)

        def act(loop: RunLoop, now: datetime) -> tuple[RunRecord, bool]:
            before = self._history.keyed(job, key) if key else None
            if before is not None:
                return same_request(self._history, before, given, key, cells, refs=refs), True
            return start(loop, self._history, job, actor, given, key, cells, now, refs), False

        run, repeated = self._ask(act)
        return run, repeated, len(self._history.cells(run.job, run.slot)) if run.cell is not None else 0

    def backfill(
        self, job: str, actor: str, asked: BackfillAsked, given: Mapping[str, str], key: str
    ) -> tuple[RunRecord, bool, int]:
        """Do slots of the past again. As `run_job`."""
        check_key(key)

        def act(loop: RunLoop, now: datetime) -> tuple[RunRecord, bool]:
            before = self._history.keyed(job, key) if key else None
            if before is not None:
                slots = slots_of(loop.jobs[job], asked, now) if job in loop.jobs else ()
                return same_request(self._history, before, given, key, slots=slots), True
            return backfill(loop, job, actor, asked, given, key, now), False

        run, repeated = self._ask(act)
        return run, repeated, len(self._history.cells(run.job, run.slot))

    def backfill_slots(self, job: str, asked: BackfillAsked) -> list[datetime]:
        """What a backfill would do again."""
        return self._ask(lambda loop, now: slots_of(applied(loop, job), asked, now))

    def stop_run(self, run_id: str, actor: str, reason: str, *, whole_slot: bool = False) -> str:
        """`whole_slot`: every cell of its slot that is active."""
        said = f"stopped by {actor}" + (f": {reason}" if reason else "")
        stopped = self._ask(lambda loop, now: loop.ask_stop(run_id, said, now, whole_slot=whole_slot))
        if not stopped:
            found = self._history.run(run_id)
            if found is None:
                raise Permanent(f"cannot stop {run_id}: there is no such run", code="run-unknown",
                                hint="'reconciler runs' lists the latest")  # fmt: skip
            raise Permanent(f"cannot stop {run_id}: it has ended ({found.phase.value})", code="run-ended",
                            hint=f"see: reconciler show {run_id}")  # fmt: skip
        if whole_slot and stopped > 1:
            return f"{plural(stopped, 'cell')} of {run_id}'s slot are being stopped: TERM, their grace period, KILL."
        return f"{run_id} is being stopped: TERM, its grace period, KILL."

    def try_job(self, spec: JobSpec, revision: str, actor: str, given: Mapping[str, str]) -> RunRecord:
        """Run once what a file says that is not applied. `spec` is what policy has admitted."""
        return self._ask(lambda loop, now: start_trial(loop, spec, revision, actor, given, now))

    def open_dev(self, job: str, actor: str, asked: DevAsked) -> DevClaimed:
        """Start a shell in the environment of a job."""
        return self._ask(lambda loop, now: start_dev(loop, job, actor, asked, now))

    def sits_down(self, run: RunRecord, actor: str) -> None:
        """Somebody is at the terminal of this run: that is recorded."""
        spec = self._history.spec(run.digest)
        began = run.started_at or run.claimed_at
        until = began + timedelta(seconds=spec.timeout) if spec is not None else None
        self._emit.emit(EventName.DEV_OPENED, job=run.job, run=run.run_id, actor=actor, terminal=run.cause,
                        secrets=secret_names(spec), until=iso(until))  # fmt: skip

    def forget_trial(self, run_id: str) -> str:
        """Whoever tried it has seen all of it."""
        found = self._history.run(run_id)
        if found is None or not is_trial(found.job):
            raise Permanent(f"cannot forget {run_id}: there is no such trial", code="run-unknown")
        if found.active or not found.discarded:
            raise Transient(f"cannot forget {run_id}: its container is not gone yet", code="service-busy",
                            hint="try again in a moment; an hour after its end it is forgotten anyway")  # fmt: skip
        leave_nothing(self._history, self._emit, self._drop_files, found)
        return f"{run_id} is forgotten."

    def replay(self, run_id: str, actor: str) -> RunRecord:
        """An earlier run exactly again: its definition, image and parameters."""
        return self._ask(lambda loop, now: replay(loop, self._history, run_id, actor, now))

    def discard_run(self, run_id: str) -> str:
        """Remove the container of a failed run that is kept for debugging."""
        if not self._ask(lambda loop, now: loop.let_go(run_id, now)):
            if self._history.run(run_id) is None:
                raise Permanent(f"cannot discard {run_id}: there is no such run", code="run-unknown")
            raise Permanent(f"cannot discard {run_id}: nothing of it is kept", code="run-not-kept",
                            hint="`hold_on_failure` of a job keeps the containers of its failed runs")  # fmt: skip
        return f"The container of {run_id} is being removed; its record and its log stay."

    # -- the whole service --------------------------------------------------------------------------------------
    def drain(self, actor: str, reason: str) -> str:
        """Start nothing any more."""
        drain = self._ask(lambda loop, now: loop.drain(actor, reason, now))
        return f"Nothing starts any more ({drain.words}); {plural(self._runs.running, 'run')} going on."

    def end_drain(self, actor: str) -> str:
        drain = self._ask(lambda loop, now: loop.end_drain(actor, now))
        return f"The drain of {drain.since[:16]}Z is over; what was due meanwhile is decided now."

    # -- pauses -----------------------------------------------------------------------------------------------
    def pause(self, job: str, until: datetime | None, reason: str, actor: str) -> str:
        self._known(job)

        def act(loop: RunLoop, now: datetime) -> None:
            self._history.put_pause(Pause(job, now, until, reason, actor))
            loop.repause(now)

        self._ask(act)
        self._emit.emit(EventName.JOB_PAUSED, job=job, actor=actor, reason=reason,
                        until=until.strftime("%Y-%m-%dT%H:%M:%SZ") if until else "")  # fmt: skip
        return f"{_named(job)} paused{f' until {until:%Y-%m-%d %H:%M} UTC' if until else ''}; runs go on."

    def resume(self, job: str, actor: str, pausers: Collection[str] | None = None) -> str:
        """End the pause now: its slots are recorded as paused before it is forgotten (rule T4). And let fire what is
        silent because the clock was set back (rule T7). `pausers`: whose pauses may be ended; None = anybody's."""

        def act(loop: RunLoop, now: datetime) -> tuple[bool, dict[str, datetime]]:
            pause = next((p for p in self._history.pauses() if p.job == job), None)
            if pause is not None and pausers is not None and pause.actor not in pausers:
                raise NotAllowed(f"cannot resume {job}: it was paused by {pause.actor}, no member of its owner",
                                 hint="ask an administrator")  # fmt: skip
            if pause is not None:
                self._history.put_pause(replace(pause, until=now))
                loop.resume(now)
                self._history.drop_pause(job)
                loop.repause(now)
            return pause is not None, loop.rewind(job, now)

        was_paused, rewound = self._ask(act)
        if not was_paused and not rewound:
            everything = any(p.job == "*" for p in self._history.pauses())
            raise Permanent(
                f"cannot resume {_named(job)}: {'all jobs are paused, not this one' if everything else 'not paused'}",
                code="not-paused",
                hint="reconciler resume --all" if everything else "see: reconciler jobs",
            )
        for name, until in rewound.items():
            self._emit.emit(EventName.JOB_REWOUND, job=name, actor=actor, until=f"{until:%Y-%m-%dT%H:%M:%SZ}")
        if was_paused:
            self._emit.emit(EventName.JOB_RESUMED, job=job, actor=actor)
        still = "; the pause of all jobs still holds" if any(p.job == "*" for p in self._history.pauses()) else ""
        return f"{_named(job)} resumed; nothing from before now is owed{still}."

    def _known(self, job: str) -> None:
        if job != "*" and job not in self._fleet.view.standing:
            raise Permanent(f"cannot find job {job!r}", code="job-unknown", hint="'reconciler jobs --all' lists them")

    # -- plans ------------------------------------------------------------------------------------------------
    def approve(self, digest: str, actor: str, reason: str) -> str:
        """Record who approved exactly this plan or commit, and look again."""
        plan, desired = self._fleet.view.plan, self._fleet.view.desired
        commit = desired.commit.id if desired is not None else ""
        full = next((d for d in ((plan.digest if plan else ""), commit) if d and d.startswith(digest)), "")
        if len(digest) < 7 or not full:
            raise Permanent(
                f"cannot approve {digest}: the plan that waits is {plan.digest if plan else 'not made yet'}",
                code="plan-unknown", hint="see it with: reconciler plan",
            )  # fmt: skip
        self._history.approve(full, actor, self._emit.now(), reason)
        name = EventName.REVISION_ACCEPTED if full == commit else EventName.PLAN_APPROVED
        self._emit.emit(name, plan=full, actor=actor, reason=reason)
        self._sync.look()
        self._kick_sync()
        return f"Approved {full}; the service applies it now."

    def plan(self) -> str:
        """Have the repository read and a plan of its newest commit made. "" = so it was; else why the plan in force may
        be of an older one."""
        if not self._sync.plan_anew(PLAN_TIMEOUT, self._kick_sync):
            return f"the service did not come to it within {PLAN_TIMEOUT:.0f} s"
        source = self._fleet.conditions.get("source")
        return source.message if source is not None and not source.ok else ""

    def apply(self, digest: str) -> AppliedNow:
        """Fetch, plan and apply now, and wait for it. With `digest`, only if that is the plan in force."""
        plan = self._fleet.view.plan
        if digest and (plan is None or not plan.digest.startswith(digest)):
            raise Permanent(
                f"cannot apply {digest}: {'the plan has changed' if plan else 'no plan has been made yet'}",
                code="plan-changed", hint="look at it again: reconciler plan",
            )  # fmt: skip
        results = self._sync.look_and_wait(PASS_TIMEOUT, self._kick_sync)
        plan, conditions = self._fleet.view.plan, self._fleet.conditions
        blind = next((c for name in ("source", "engine") if (c := conditions.get(name)) is not None and not c.ok), None)
        if plan is None or blind is not None:
            raise Transient(
                f"cannot plan: {blind.message if blind else 'nothing is known yet'}",
                code=blind.code if blind else "service-busy", hint=blind.hint if blind else "try again",
            )  # fmt: skip
        last = {result.action.name: result for result in results}  # a pass may have tried something twice
        return AppliedNow(plan.revision, plan.unchanged, tuple(last.values()), plan.refusals)


def _named(job: str) -> str:
    return "all jobs" if job == "*" else job
