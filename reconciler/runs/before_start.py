"""In: a run that has not started, and all that stands round it. Out: its next step: get ready, wait, start, or give up.

Every wait here has an end: the slot's deadline, the queue's patience, the time for one preparation (rules R3, T6).
"""

from datetime import datetime, timedelta

from ..model.job import JobSpec
from ..model.live import LivePhase, LiveRun
from ..model.run import Disposition, FailureClass, Outcome, Phase, RunRecord, Trigger
from .context import Context, seen_after
from .steps import Adopt, GiveUp, Launch, Prepare, Renew, Step, Wait

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


def before_the_start(run: RunRecord, live: LiveRun | None, spec: JobSpec, now: datetime, ctx: Context) -> Step:
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
        until = min(_deadline(run, ctx), _queued_until(run, spec, ctx))
        return Wait(until, f"waits for {ctx.no_place}", place=now >= run.slot and not ctx.awaits)
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
    if run.prepared_at is None or (live is None and seen_after(ctx, run.prepared_at, now)):
        return Prepare()
    if now < run.slot:
        return Wait(run.slot, "is ready, and not due yet")
    if ctx.awaits:
        return Wait(_earliest(_deadline(run, ctx), ctx.awaits_until), f"is ready, and waits for {ctx.awaits}")
    if ctx.no_place:
        until = min(_deadline(run, ctx), _queued_until(run, spec, ctx))
        return Wait(until, f"is ready, and waits for {ctx.no_place}", place=True)
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
