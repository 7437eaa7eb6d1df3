"""In: a job's active runs. Out: which of them hold its place, which only wait, and what a new one replaces (rule R2).

The cells of one slot stand or fall together: as long as one is at work, none of them only waits.
"""

from collections.abc import Sequence
from datetime import datetime

from ..model.run import Phase, RunRecord, Trigger

UNSTARTED = (Phase.PENDING, Phase.PREPARING)
NONE_BEGUN: frozenset[datetime] = frozenset()


def waiting_of(active: Sequence[RunRecord]) -> tuple[RunRecord, ...]:
    """Those that wait for their next attempt, or for their next try to prepare: the next slot ends them (rule R4)."""
    at_work = {run.slot for run in active if run.cell is not None and run.active and not _waits(run)}
    return tuple(run for run in active if _waits(run) and (run.cell is None or run.slot not in at_work))


def blockers_of(
    active: Sequence[RunRecord], now: datetime, begun: frozenset[datetime] = NONE_BEGUN
) -> tuple[RunRecord, ...]:
    """Active runs, scheduled or by hand, that hold the job's place (rule R2).

    Neither a waiting one nor one that is to be given up at this very instant: its deadline is our slot. In a slot that
    has `begun` no cell is given up for that.
    """
    waiting = {run.run_id for run in waiting_of(active)}
    return tuple(
        run
        for run in active
        if run.active
        and run.run_id not in waiting
        and not (
            run.phase in UNSTARTED
            and run.deadline is not None
            and run.deadline <= now
            and not (run.cell is not None and run.slot in begun)
        )
    )


def queued(active: Sequence[RunRecord], begun: frozenset[datetime]) -> int:
    """How many slots wait in the job's queue; a slot of many cells is one."""
    waiting = {run.run_id for run in waiting_of(active)}
    unstarted = {run.slot for run in active if run.phase in UNSTARTED and run.run_id not in waiting}
    return len(unstarted - begun - {run.slot for run in active if run.cell is not None and run.phase not in UNSTARTED})


def replaced_ids(replaced: Sequence[RunRecord]) -> tuple[str, ...]:
    """Whose end a new run waits for: one id a slot, since the id of a cell stands for all cells of its slot."""
    found: dict[object, str] = {}
    for run in replaced:
        found.setdefault(run.run_id if run.cell is None else run.slot, run.run_id)
    return tuple(found.values())


def _waits(run: RunRecord) -> bool:
    return run.phase is Phase.PENDING and (run.trigger is Trigger.RETRY or run.tries > 0)
