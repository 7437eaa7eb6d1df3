"""What stands between a slot and its start, and which active runs have a say in it. Values and questions only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ..model.run import Pause, Phase, RunRecord
from .holding import UNSTARTED


@dataclass(frozen=True, slots=True)
class Gates:
    """What stands between a slot and its start.

    `paused`: the pause that covers now, or one that ended since the cursor. `forbidden`: why policy no longer allows
    the job. `downtime`: (from, to) in which nobody decided. `lead`: seconds ahead of its instant that a slot may be
    claimed, so that its run is prepared when it is due. `recent_starts`: seconds on the boot clock since the
    scheduled runs that this process started last (rule T8); a wall clock that runs wild does not move them. `begun`:
    slots with cells of which one has started: they hold the job's place until their last cell has ended.
    """

    paused: Pause | None = None
    forbidden: str = ""
    downtime: tuple[datetime, datetime] | None = None
    clock_stepped: bool = False
    lead: float = 0.0
    recent_starts: tuple[float, ...] = ()
    begun: frozenset[datetime] = frozenset()


def claimed_ahead(run: RunRecord, now: datetime) -> bool:
    return run.phase in UNSTARTED and run.slot > now


def retry_at(active: Sequence[RunRecord], now: datetime) -> datetime | None:
    """When the first of them makes its next try."""
    times = [run.retry_at for run in active if run.phase is Phase.PENDING and run.retry_at and run.retry_at > now]
    return min(times, default=None)
