"""In: a run's record, what the engine shows of it, its spec, an instant. Out: the one next Step (rules R1, R3-R5).

    pending -> preparing -> starting -> running -> stopping -> a final phase -> collected -> discarded

Every wait ends by itself: before the start at the run's deadline, after it at its timeout. Ask again after every
step, at every `until`, and whenever the engine has news. An ended run's `live` should come from `inspect`, since a
listing lacks the out-of-memory flag.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ..model.job import JobSpec
from ..model.live import LivePhase, LiveRun
from ..model.run import Disposition, FailureClass, Outcome, Phase, RunRecord, Trigger
from ..model.service import Limits
from .steps import (
    Adopt,
    Collect,
    Discard,
    FindStart,
    Finish,
    GiveUp,
    Kill,
    Launch,
    Prepare,
    Renew,
    Step,
    Stop,
    Wait,
)
from .verdict import TIMEOUT, judge

__all__ = [
    "Adopt", "Collect", "Context", "Discard", "FindStart", "Finish", "GiveUp", "Kill", "Launch", "Prepare", "Renew",
    "Step", "Stop", "Wait", "disposition_of", "judge", "next_step",
]  # fmt: skip

KILL_MARGIN = timedelta(seconds=10)  # how long after the grace period the engine's own stop may take
COLLECT_PATIENCE = timedelta(seconds=20)  # a log that is slow to end must not hold the job's place
SHOWN = 3  # run ids in one sentence
CELL_WAIT = timedelta(days=30)  # how long a cell may wait for its place once its slot has begun
UNBOUNDED = timedelta(hours=12)  # the deadline of a run that was claimed without one

# What a run's slot is called if the run was stopped before it started, by the first word of the reason.
_STOPPED_SLOTS = {
    "paused": Disposition.PAUSED,
    "suspended": Disposition.SUSPENDED,
    "forbidden": Disposition.FORBIDDEN,
    "unavailable": Disposition.UNAVAILABLE,
    "replaced": Disposition.SUPERSEDED,
    "skipped": Disposition.SKIPPED,
}


@dataclass(frozen=True, slots=True)
class Context:
    """What else is known. `complete` and `listed_at` (when it was asked for) are of the listing that gave `live`.

    `busy` names the engine call that is under way for this run ("prepare", "launch", "stop", ...), "" = none.
    `no_device` says which devices it needs and cannot lease yet.
    `blocked_by` are the runs that must have ended first. `no_place` says what has no free place for it, and `crowded`
    that as many are ready before it as there are places. `drained`: why nothing may start now, "" = it may.
    `begun`: it is a cell, and one of its slot has started. `cells_full`: as many cells of its slot are at work as may.
    `awaits` is what `wait_for` still waits for, until `awaits_until`. `current_digest` is the job's applied definition.
    """

    complete: bool = False
    listed_at: datetime | None = None
    engine_ok: bool = True
    busy: str = ""
    no_place: str = ""
    no_device: str = ""
    crowded: bool = False
    begun: bool = False
    cells_full: bool = False
    drained: str = ""
    awaits: str = ""
    awaits_until: datetime | None = None
    blocked_by: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    prepare_lead: float = 0.0
    current_digest: str = ""


def next_step(run: RunRecord, live: LiveRun | None, spec: JobSpec, now: datetime, ctx: Context) -> Step:
    """The one thing to do about this run now. `live` None = the engine showed nothing of it."""
    if not run.active:
        return _after_the_end(run, live, spec, now, ctx)
    if run.phase in (Phase.PENDING, Phase.PREPARING):
        return _before_the_start(run, live, spec, now, ctx)
    if run.phase is Phase.STARTING:
        return _starting(live, ctx)
    if live is None or live.phase is LivePhase.CREATED:
        return _unseen(run, now, ctx)
    if live.phase is LivePhase.EXITED:
        return _ended(run, live, spec, now, ctx)
    if run.stop_requested_at is not None:
        return _stopping(run, run.stop_requested_at, spec, now, ctx)
    return _running(run, spec, now, ctx)


def disposition_of(outcome: Outcome) -> Disposition:
    """What the slot of a run that had started is called."""
    return Disposition.LOST if outcome.phase is Phase.LOST else Disposition.RAN


# -- before the start ------------------------------------------------------------------------------------------


def _before_the_start(run: RunRecord, live: LiveRun | None, spec: JobSpec, now: datetime, ctx: Context) -> Step:
    if live is not None and live.phase is not LivePhase.CREATED:
        return Adopt()
    if run.stop_requested_at is not None:
        return _cancelled(run)
    given_up = _out_of_time(run, spec, now, ctx)
    if given_up is not None:
        return given_up
    stale = ctx.current_digest not in ("", run.digest) and not ctx.begun  # all cells of a slot run one definition
    if stale and (run.phase is Phase.PENDING or run.tries > 0):
        return Renew()
    until = _deadline(run, ctx)
    if ctx.busy:
        return Wait(min(until, _prepare_by(run, now, ctx)), f"{ctx.busy} is under way")
    if not ctx.engine_ok:
        return Wait(until, "the engine does not answer")
    if ctx.drained:
        return Wait(until, ctx.drained)
    if ctx.blocked_by:
        return Wait(min(until, _queued_until(run, spec, ctx)), f"waits for {_waits_for(run, ctx)}")
    if run.retry_at is not None and run.retry_at > now:
        return Wait(min(until, run.retry_at), f"tries again: {run.reason}" if run.reason else "waits for its retry")
    if run.phase is Phase.PENDING:
        return _pending(run, spec, now, ctx)
    return _preparing(run, live, spec, now, ctx)


def _pending(run: RunRecord, spec: JobSpec, now: datetime, ctx: Context) -> Step:
    leases = bool(spec.resources.gpus)
    if ctx.cells_full:
        return Wait(_deadline(run, ctx), f"waits for a cell of its slot to end (max_parallel: {run.max_parallel})")
    if ctx.no_place and (ctx.crowded or (leases and now >= run.slot)):
        return Wait(min(_deadline(run, ctx), _queued_until(run, spec, ctx)), f"waits for {ctx.no_place}")
    if ctx.awaits and now >= run.slot:
        return Wait(_earliest(_deadline(run, ctx), ctx.awaits_until), f"waits for {ctx.awaits}")
    # A device is leased once nothing else is lacking: it would lie idle while its run waits for its instant or a place.
    early = run.slot - timedelta(seconds=0.0 if leases else ctx.prepare_lead)
    if now < early:
        return Wait(early, "is not due yet")
    if ctx.no_device:
        until = min(_deadline(run, ctx), _queued_until(run, spec, ctx))
        return Wait(until, f"waits for {ctx.no_device}", device=True)
    window = UNBOUNDED if spec.start_deadline is None else timedelta(seconds=spec.start_deadline)
    return Prepare(now + window if ctx.begun else None)


def _preparing(run: RunRecord, live: LiveRun | None, spec: JobSpec, now: datetime, ctx: Context) -> Step:
    """Prepare may be repeated: nothing has asked the engine to start it. Somebody may have pruned it meanwhile."""
    if run.prepared_at is None or (live is None and _seen_after(ctx, run.prepared_at, now)):
        return Prepare()
    if now < run.slot:
        return Wait(run.slot, "is ready, and not due yet")
    if ctx.awaits:
        return Wait(_earliest(_deadline(run, ctx), ctx.awaits_until), f"is ready, and waits for {ctx.awaits}")
    if ctx.no_place:
        return Wait(min(_deadline(run, ctx), _queued_until(run, spec, ctx)), f"is ready, and waits for {ctx.no_place}")
    return Launch()


def _out_of_time(run: RunRecord, spec: JobSpec, now: datetime, ctx: Context) -> GiveUp | None:
    """Deadlines before the start: of the slot, of one preparation, of the queue."""
    if run.phase is Phase.PREPARING and run.prepared_at is None and now >= _prepare_by(run, now, ctx):
        reason = f"preparing it took longer than {ctx.limits.prepare_timeout:.0f} s (limits.prepare_timeout)"
        return _unavailable(run, run.failure or FailureClass.UNKNOWN, reason)
    if ctx.awaits and ctx.awaits_until is not None and now >= ctx.awaits_until:
        return _missed(run, f"waited in vain for {ctx.awaits} (wait_for)")
    waits = _waits_for(run, ctx)
    if waits and now >= _queued_until(run, spec, ctx):
        name = "limits.queue_timeout" if spec.queue.timeout is None else "queue.timeout"
        return _missed(run, f"waited longer than {_patience(spec, ctx):.0f} s ({name}) for {waits}")
    if now < _deadline(run, ctx):
        return None
    if _in_line(run, ctx):
        return _missed(run, f"waited longer than {CELL_WAIT.days} days for its place among the cells of its slot")
    if run.tries > 0:
        return _unavailable(run, run.failure, f"not ready by its deadline: {run.reason}")
    if not ctx.engine_ok:
        return _unavailable(run, FailureClass.ENGINE, "the engine did not answer before the start deadline")
    if run.phase is Phase.PREPARING and run.prepared_at is None:
        return _unavailable(run, FailureClass.UNKNOWN, "preparing it went on beyond its start deadline")
    return _missed(
        run, f"its start deadline passed while it waited for {waits or ctx.awaits or ctx.drained or 'its turn'}"
    )


def _waits_for(run: RunRecord, ctx: Context) -> str:
    """What it queues for, "" = nothing. Once it is being prepared, only what is ready can be said to wait."""
    if run.phase is Phase.PREPARING and run.prepared_at is None:
        return ""
    if ctx.blocked_by:
        more = len(ctx.blocked_by) - SHOWN
        return f"{', '.join(ctx.blocked_by[:SHOWN])}{f' and {more} more' if more > 0 else ''} to end"
    return ctx.no_place or ctx.no_device


def _in_line(run: RunRecord, ctx: Context) -> bool:
    """A cell of a slot that has begun in time, and that waits for a place: start deadlines are none of its business."""
    waits = run.prepared_at is not None if run.phase is Phase.PREPARING else run.tries == 0
    return ctx.begun and waits


def _deadline(run: RunRecord, ctx: Context) -> datetime:
    if _in_line(run, ctx):
        return run.claimed_at + CELL_WAIT
    return run.deadline if run.deadline is not None else run.claimed_at + UNBOUNDED


def _prepare_by(run: RunRecord, now: datetime, ctx: Context) -> datetime:
    """`preparing` sets retry_at to when this try began."""
    if run.phase is not Phase.PREPARING or run.retry_at is None:
        return now + timedelta(seconds=ctx.limits.prepare_timeout)
    return run.retry_at + timedelta(seconds=ctx.limits.prepare_timeout)


def _earliest(one: datetime, other: datetime | None) -> datetime:
    return one if other is None else min(one, other)


def _patience(spec: JobSpec, ctx: Context) -> float:
    return ctx.limits.queue_timeout if spec.queue.timeout is None else spec.queue.timeout


def _queued_until(run: RunRecord, spec: JobSpec, ctx: Context) -> datetime:
    if _in_line(run, ctx):
        return run.claimed_at + CELL_WAIT
    since = max(run.claimed_at, run.slot, run.retry_at or run.claimed_at)
    return since + timedelta(seconds=_patience(spec, ctx))


def _cancelled(run: RunRecord) -> GiveUp:
    word = run.stop_reason.partition(" ")[0].rstrip(":")
    outcome = Outcome(Phase.CANCELLED, None, FailureClass.STOPPED, run.stop_reason, None, None)
    return _give_up(run, outcome, _STOPPED_SLOTS.get(word, Disposition.SKIPPED))


def _unavailable(run: RunRecord, failure: FailureClass, reason: str) -> GiveUp:
    return _give_up(run, Outcome(Phase.FAILED, None, failure, reason, None, None), Disposition.UNAVAILABLE)


def _missed(run: RunRecord, reason: str) -> GiveUp:
    return _give_up(run, Outcome(Phase.CANCELLED, None, FailureClass.NONE, reason, None, None), Disposition.MISSED)


def _give_up(run: RunRecord, outcome: Outcome, disposition: Disposition) -> GiveUp:
    """If it was a retry, an earlier attempt at its slot has run, and that is what became of the slot."""
    return GiveUp(outcome, Disposition.RAN if run.trigger is Trigger.RETRY else disposition)


# -- the start, and while it runs ------------------------------------------------------------------------------


def _starting(live: LiveRun | None, ctx: Context) -> Step:
    """Somebody may have asked the engine to start it, and nobody knows with what result: it is never asked again.

    That holds for an earlier process of ours, and for a call of this one that timed out (rule R1).
    """
    if live is not None and live.phase is not LivePhase.CREATED:
        return Adopt()
    if ctx.busy:
        return Wait(None, f"{ctx.busy} is under way")
    return FindStart() if ctx.engine_ok else Wait(None, "the engine does not answer")


def _unseen(run: RunRecord, now: datetime, ctx: Context) -> Step:
    """The ledger says it runs, the engine does not show it: lost, if the listing was complete and is newer."""
    known = max(at for at in (run.claimed_at, run.start_requested_at, run.started_at) if at is not None)
    if ctx.busy or not _seen_after(ctx, known, now):
        return Wait(None, "waits for a complete listing")
    reason = "it is gone from the engine: removed by somebody else, its result is not known"
    outcome = Outcome(Phase.LOST, None, FailureClass.UNKNOWN, reason, run.started_at, None)
    return Finish(outcome, Disposition.LOST)


def _seen_after(ctx: Context, known: datetime, now: datetime) -> bool:
    """An instant later than now is of a clock that has been set back since: it says nothing, and holds nothing up."""
    return ctx.engine_ok and ctx.complete and ctx.listed_at is not None and (ctx.listed_at > known or known > now)


def _running(run: RunRecord, spec: JobSpec, now: datetime, ctx: Context) -> Step:
    began = run.started_at or run.start_requested_at or run.claimed_at
    until = began + timedelta(seconds=spec.timeout)
    if now < until:
        return Wait(until, "runs")
    if ctx.busy or not ctx.engine_ok:
        return Wait(None, f"{ctx.busy} is under way" if ctx.busy else "the engine does not answer")
    return Stop(spec.stop_grace_period, f"{TIMEOUT} of {spec.timeout:.0f} s")


def _stopping(run: RunRecord, asked: datetime, spec: JobSpec, now: datetime, ctx: Context) -> Step:
    """TERM, grace, KILL. The KILL comes although the engine's own stop hangs."""
    grace_ends = asked + timedelta(seconds=spec.stop_grace_period)
    if not ctx.engine_ok:
        return Wait(None, "the engine does not answer")
    if ctx.busy and (ctx.busy != "stop" or now < grace_ends + KILL_MARGIN):
        return Wait(grace_ends + KILL_MARGIN if ctx.busy == "stop" else None, f"{ctx.busy} is under way")
    if ctx.busy or now >= grace_ends:
        return Kill()
    return Stop(min((grace_ends - now).total_seconds(), spec.stop_grace_period), run.stop_reason)


# -- the end ---------------------------------------------------------------------------------------------------


def _ended(run: RunRecord, live: LiveRun, spec: JobSpec, now: datetime, ctx: Context) -> Step:
    """Log and usage first, since the verdict reads them; but they may not hold the job's place for long."""
    patient = live.finished_at is not None and now < live.finished_at + COLLECT_PATIENCE
    if not run.collected and patient and live.finished_at is not None:
        if ctx.busy or not ctx.engine_ok:
            return Wait(live.finished_at + COLLECT_PATIENCE, "its log is being completed")
        return Collect()
    outcome = judge(run, live, spec)
    return Finish(outcome, disposition_of(outcome))


def _after_the_end(run: RunRecord, live: LiveRun | None, spec: JobSpec, now: datetime, ctx: Context) -> Step:
    """Keep, then remove. What turns up again under an ended run's name is nobody's: it is ended and removed."""
    if run.collected and run.discarded and live is None:
        return Wait(None, "is done")
    if run.collected and not run.discarded and run.hold_until is not None and now < run.hold_until:
        return Wait(run.hold_until, "its container is kept (hold_on_failure)")
    if ctx.busy or not ctx.engine_ok:
        return Wait(None, f"{ctx.busy} is under way" if ctx.busy else "the engine does not answer")
    if live is not None and live.phase is LivePhase.RUNNING:
        return Stop(spec.stop_grace_period, "its record has ended")
    return Discard() if run.collected else Collect()
