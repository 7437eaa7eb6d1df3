"""In: a run's record, what the engine shows of it, its spec, an instant. Out: the one next Step (rules R1, R3-R5).

    pending -> preparing -> starting -> running -> stopping -> a final phase -> collected -> discarded

Every wait ends by itself: before the start at the run's deadline, after it at its timeout. Ask again after every
step, at every `until`, and whenever the engine has news. An ended run's `live` should come from `inspect`, since a
listing lacks the out-of-memory flag.
"""

from datetime import datetime, timedelta

from ..model.job import JobSpec
from ..model.live import LivePhase, LiveRun
from ..model.run import Disposition, FailureClass, Outcome, Phase, RunRecord
from .before_start import before_the_start
from .context import Context, seen_after
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


def next_step(run: RunRecord, live: LiveRun | None, spec: JobSpec, now: datetime, ctx: Context) -> Step:
    """The one thing to do about this run now. `live` None = the engine showed nothing of it."""
    if not run.active:
        return _after_the_end(run, live, spec, now, ctx)
    if run.phase in (Phase.PENDING, Phase.PREPARING):
        return before_the_start(run, live, spec, now, ctx)
    if run.phase is Phase.STARTING:
        return _starting(live, ctx)
    if live is None or live.phase is LivePhase.CREATED:
        return _unseen(run, spec, now, ctx)
    if live.phase is LivePhase.EXITED:
        return _ended(run, live, spec, now, ctx)
    if run.stop_requested_at is not None:
        return _stopping(run, run.stop_requested_at, spec, now, ctx)
    return _running(run, spec, now, ctx)


def disposition_of(outcome: Outcome) -> Disposition:
    """What the slot of a run that had started is called."""
    return Disposition.LOST if outcome.phase is Phase.LOST else Disposition.RAN


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


def _unseen(run: RunRecord, spec: JobSpec, now: datetime, ctx: Context) -> Step:
    """The ledger says it runs, the engine does not show it: lost, if the listing was complete and is newer."""
    known = max(at for at in (run.claimed_at, run.start_requested_at, run.started_at) if at is not None)
    if ctx.busy or not seen_after(ctx, known, now):
        return Wait(None, "waits for a complete listing")
    reason = "it is gone from the engine: removed by somebody else, its result is not known"
    if spec.exec_in:
        reason = f"the engine no longer knows it: {spec.exec_in} or the engine was restarted, its result is not known"
    outcome = Outcome(Phase.LOST, None, FailureClass.UNKNOWN, reason, run.started_at, None)
    return Finish(outcome, Disposition.LOST)


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
