"""In: what was due and did not run. Out: its entries in the ledger, adjacent slots of one reason as one (rule T5)."""

from datetime import UTC, datetime, timedelta

from ..model.live import StandingJob
from ..model.run import Disposition, SlotRecord
from .cron import FireWindow, latest_fires
from .gates import Gates

TICK = timedelta(microseconds=1)


def missed(job: StandingJob, after: datetime, until: datetime, gates: Gates, why: str) -> tuple[SlotRecord, ...]:
    """Ranges of missed slots in (after, until], cut where the downtime begins and ends."""
    cause = "the clock was stepped" if gates.clock_stepped else "decided late"
    parts = [(until, f"{cause}; {why}")]
    if gates.downtime is not None:
        begin, end = gates.downtime
        down = f"not running {stamp(begin)} to {stamp(end)}; {why}"
        parts = [(min(begin - TICK, until), parts[0][1]), (min(end, until), down), *parts]
    found: tuple[SlotRecord, ...] = ()
    for edge, reason in parts:
        if edge > after:
            found += slot_range(job, after, edge, Disposition.MISSED, reason)
            after = edge
    return found


def slot_range(
    job: StandingJob, after: datetime, until: datetime, disposition: Disposition, reason: str
) -> tuple[SlotRecord, ...]:
    """The slots in (after, until] as one record, or none."""
    window: FireWindow = latest_fires(job.spec.schedule, after, until, job.anchor)
    if window.first is None or window.last is None:
        return ()
    return (SlotRecord(job.name, window.first, window.last, window.count, disposition, reason),)


def stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
