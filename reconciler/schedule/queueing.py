"""In: slots that are owed, or due while others run. Out: which of them wait for a turn, and what becomes of the rest.

For `catch_up: all` and `concurrency_policy: Queue` (rules T6, R2).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from ..model.live import StandingJob
from ..model.run import Decision, Disposition, RunRecord, RunRequest, SlotRecord, Trigger
from .cron import latest_fires
from .deadlines import LATENESS_TOLERANCE, LONGEST_DEADLINE, default_deadline
from .gates import Gates
from .holding import blockers_of, queued
from .reckoning import TICK, missed


def owed_before(
    job: StandingJob, after: datetime, slot: datetime, now: datetime, gates: Gates
) -> tuple[tuple[datetime, ...], tuple[SlotRecord, ...]]:
    """`catch_up: all`: the slots before `slot` that are still to run, oldest first; the others, older ones, missed."""
    found: list[datetime] = []
    until, why = slot - TICK, ""
    while (window := latest_fires(job.spec.schedule, after, until, job.anchor)).last is not None:
        if len(found) >= job.spec.catch_up_limit - 1:
            why = f"catch_up_limit: {job.spec.catch_up_limit}"
        elif now > default_deadline(job.spec, window.last, job.anchor):
            why = "start deadline passed"
        if why:
            break
        found.append(window.last)
        until = window.last - TICK
    return tuple(reversed(found)), missed(job, after, until, gates, why) if why else ()


def queue_up(
    job: StandingJob, slots: Sequence[datetime], active: Sequence[RunRecord], now: datetime, gates: Gates,
    records: tuple[SlotRecord, ...], ended: Decision,
) -> Decision:  # fmt: skip
    """They wait for their turn, as far as the queue has room. Waiting has its own bound: the run machine's."""
    queue = job.spec.queue
    ahead = queued(active, gates.begun)
    free = max(0, queue.limit + (not blockers_of(active, now, gates.begun)) - ahead)
    taken, left = slots[:free], slots[free:]
    if left:
        reason = f"{ahead + len(taken)} are waiting already (queue.limit: {queue.limit})"
        records += (SlotRecord(job.name, left[0], left[-1], len(left), Disposition.SKIPPED, reason),)
    late = [now - slot > LATENESS_TOLERANCE for slot in taken]
    requests = tuple(
        RunRequest(job.name, slot, 1, Trigger.CATCH_UP if behind else Trigger.SCHEDULE)
        for slot, behind in zip(taken, late, strict=True)
    )
    patience = max(LONGEST_DEADLINE, timedelta(seconds=2 * (queue.timeout or 0.0)))
    return replace(ended, launch=requests, deadline=now + patience, slots=records)
