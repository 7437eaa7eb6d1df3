"""Slots of the past, done again on request: a cell each, oldest first, at an instant of their own (rule T5).

What became of a slot at its time stays as it was told. Runs in the loop's thread.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ..model.errors import Permanent, Transient
from ..model.job import Concurrency, ScheduleKind
from ..model.live import StandingJob
from ..model.run import RunRecord, RunRequest, Trigger
from ..runs.cells import MOST_CELLS
from ..runs.parameters import resolve
from ..schedule.cron import excluded_fires, fires, latest_fires
from .manual import applied

if TYPE_CHECKING:
    from .run_loop import RunLoop

_TICK = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class BackfillAsked:
    """Every slot in [begin, end]; `max_parallel` of them at a time; with `excluded`, those of excluded days too."""

    begin: datetime
    end: datetime
    max_parallel: int = 1
    excluded: bool = False


def slots_of(job: StandingJob, asked: BackfillAsked, now: datetime) -> list[datetime]:
    """The slots that are to be done again, oldest first. Raises Permanent."""
    if job.spec.strategy.cells:
        raise Permanent(f"cannot backfill {job.name}: each of its slots has cells of its own", code="backfill-cells",
                        hint=f"run the slots one by one: reconciler run {job.name} --param ...")  # fmt: skip
    if job.spec.schedule.kind is ScheduleKind.MANUAL:
        raise Permanent(f"cannot backfill {job.name}: it has no slots, it runs by hand", code="backfill-empty",
                        hint=f"reconciler run {job.name}")  # fmt: skip
    if asked.begin > asked.end or asked.end > now:
        raise Permanent(f"cannot backfill {job.name}: a span must end after it begins, and must be past", code="usage")
    if not 1 <= asked.max_parallel <= MOST_CELLS:
        raise Permanent(f"cannot backfill {job.name}: {asked.max_parallel} at a time, it is from 1 to {MOST_CELLS}",
                        code="usage")  # fmt: skip
    schedule, low = job.spec.schedule, asked.begin - _TICK
    found = fires(schedule, low, asked.end, job.anchor, MOST_CELLS + 1)
    if asked.excluded:
        found = sorted({*found, *excluded_fires(schedule, low, asked.end, job.anchor, MOST_CELLS + 1)})
    if not found:
        raise Permanent(f"cannot backfill {job.name}: it has no slot in this span", code="backfill-empty",
                        hint=f"see them: reconciler next {job.name} --from ...")  # fmt: skip
    if len(found) > MOST_CELLS:
        count = max(len(found), latest_fires(schedule, low, asked.end, job.anchor).count)
        raise Permanent(f"cannot backfill {job.name}: {count:,} slots, at most {MOST_CELLS:,} at once",
                        code="backfill-too-many", hint="take a shorter span")  # fmt: skip
    return found


def backfill(
    loop: "RunLoop", job: str, actor: str, asked: BackfillAsked, given: Mapping[str, str], key: str, now: datetime
) -> RunRecord:
    """Claim them all at once; the first. Raises Permanent or Transient, each with a code and a hint."""
    standing = applied(loop, job)
    slots = slots_of(standing, asked, now)
    values = resolve(standing.spec, given)
    active = loop.active(job)
    if active and standing.spec.concurrency_policy is Concurrency.FORBID:
        raise Permanent(
            f"cannot backfill {job}: {active[0].run_id} is {active[0].phase.value} (concurrency_policy: Forbid)",
            code="job-active", hint=f"wait for it, or end it: reconciler stop {job}",
        )  # fmt: skip

    def cells(request: RunRequest) -> tuple[RunRequest, ...]:
        return tuple(
            replace(request, trigger=Trigger.BACKFILL, cell=number, cells=len(slots), replays=slot,
                    max_parallel=asked.max_parallel, key="" if number else request.key)
            for number, slot in enumerate(slots)
        )  # fmt: skip

    record = loop.start_manual(standing, actor, now, values, key, cells)
    if record is None:
        raise Transient(f"cannot backfill {job}: it is just being changed, try again", code="service-busy")
    return record
