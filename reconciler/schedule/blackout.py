"""In: a job's decision and an instant. Out: the same, with the slots on excluded days recorded as `blackout` (rule T5).

Due or not, a slot on an excluded day is never claimed; it is told, once, when its time has come.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from ..model.job import Schedule
from ..model.live import StandingJob
from ..model.run import Decision, Disposition, SlotRecord
from .cron import latest_excluded, latest_fires, next_excluded, next_fire

REASON = "on an excluded day (schedule: exclude)"
MAX_ROWS = 2000  # of one decision; after a longer downtime the rest is one row
_TICK = timedelta(microseconds=1)


def with_blackouts(job: StandingJob, decision: Decision, now: datetime) -> Decision:
    """The decision, awake at the next excluded slot too. Its cursor passes those that are recorded, and no slot that
    is still owed."""
    schedule, anchor = job.spec.schedule, job.anchor
    first = next_excluded(schedule, job.cursor, anchor)
    if first is None:
        return decision
    owed = latest_fires(schedule, decision.cursor, now, anchor).last is not None
    until = decision.cursor if owed else max(now, decision.cursor)
    if first > until:
        return replace(decision, wake_at=_earlier(decision.wake_at, first))
    rows = tuple(_rows(job, until))
    slots = [part for slot in decision.slots for part in _cut(slot, rows, schedule, anchor)]
    return replace(
        decision,
        cursor=max(decision.cursor, rows[-1].last),
        wake_at=_earlier(decision.wake_at, next_excluded(schedule, until, anchor)),
        slots=tuple(sorted((*slots, *rows), key=lambda slot: slot.first)),
    )


def _rows(job: StandingJob, until: datetime) -> Iterator[SlotRecord]:
    """One row for the excluded slots between one fire and the next, in (cursor, until]."""
    schedule, at = job.spec.schedule, job.cursor
    for number in range(MAX_ROWS):
        first = next_excluded(schedule, at, job.anchor)
        if first is None or first > until:
            return
        following = next_fire(schedule, first, job.anchor) if number < MAX_ROWS - 1 else None
        edge = until if following is None else min(until, following - _TICK)
        window = latest_excluded(schedule, first - _TICK, edge, job.anchor)
        at = window.last or first
        yield SlotRecord(job.name, first, at, max(window.count, 1), Disposition.BLACKOUT, REASON)


def _cut(slot: SlotRecord, rows: tuple[SlotRecord, ...], schedule: Schedule, anchor: datetime) -> Iterator[SlotRecord]:
    """A range of slots in pieces, none of which reaches over an excluded one: rows of the ledger are disjoint."""
    edges = [row.first for row in rows if slot.first < row.first < slot.last]
    if not edges:
        yield slot
        return
    after = slot.first - _TICK
    for edge in (*edges, slot.last):
        window = latest_fires(schedule, after, edge, anchor)
        if window.first is not None and window.last is not None:
            yield replace(slot, first=window.first, last=window.last, count=window.count)
            after = window.last


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((at for at in (one, other) if at is not None), default=None)
