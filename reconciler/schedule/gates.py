"""What stands between a slot and its start, and which active runs have a say in it. Values and questions only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ..model.run import Pause, Phase, RunRecord, Trigger

UNSTARTED = (Phase.PENDING, Phase.PREPARING)


@dataclass(frozen=True, slots=True)
class Gates:
    """What stands between a slot and its start.

    `paused`: the pause that covers now, or one that ended since the cursor. `forbidden`: why policy no longer allows
    the job. `downtime`: (from, to) in which nobody decided. `lead`: seconds ahead of its instant that a slot may be
    claimed, so that its run is prepared when it is due. `recent_starts`: seconds on the boot clock since the
    scheduled runs that this process started last (rule T8); a wall clock that runs wild does not move them.
    """

    paused: Pause | None = None
    forbidden: str = ""
    downtime: tuple[datetime, datetime] | None = None
    clock_stepped: bool = False
    lead: float = 0.0
    recent_starts: tuple[float, ...] = ()


def waiting(run: RunRecord) -> bool:
    """It waits for its next attempt, or for its next try to prepare: the next slot ends it (rule R4)."""
    return run.phase is Phase.PENDING and (run.trigger is Trigger.RETRY or run.tries > 0)


def claimed_ahead(run: RunRecord, now: datetime) -> bool:
    return run.phase in UNSTARTED and run.slot > now


def blockers_of(active: Sequence[RunRecord], now: datetime) -> tuple[RunRecord, ...]:
    """Active runs, scheduled or by hand, that hold the job's place (rule R2).

    Neither a waiting one nor one that is to be given up at this very instant: its deadline is our slot.
    """
    return tuple(
        run
        for run in active
        if run.active
        and not waiting(run)
        and not (run.phase in UNSTARTED and run.deadline is not None and run.deadline <= now)
    )


def retry_at(active: Sequence[RunRecord], now: datetime) -> datetime | None:
    """When the first of them makes its next try."""
    times = [run.retry_at for run in active if run.phase is Phase.PENDING and run.retry_at and run.retry_at > now]
    return min(times, default=None)
