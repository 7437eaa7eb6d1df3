"""In: a job's cursor, its schedule, an instant. Out: what a cursor means that the clock or an apply has left behind."""

from datetime import datetime, timedelta

from ..model.job import JobSpec
from ..model.live import StandingJob
from ..model.run import Disposition, SlotRecord
from .cron import latest_fires, next_fire

FAR = timedelta(seconds=60)  # a cursor is ahead of now by what is claimed ahead of its instant, and never by more
_TICK = timedelta(microseconds=1)


def silent_until(job: StandingJob, now: datetime) -> datetime | None:
    """When a job fires again that stays silent until the clock has passed its cursor (rule T7): the clock was far
    ahead, and was set back. None = it is not so, or the schedule would not have fired before it anyway."""
    if max(job.cursor, job.anchor) <= now + FAR:
        return None
    soon = next_fire(job.spec.schedule, now, min(job.anchor, now))
    return next_fire(job.spec.schedule, job.cursor, job.anchor) if soon is not None and soon <= job.cursor else None


def part_until(record: SlotRecord, job: StandingJob, now: datetime) -> tuple[SlotRecord, ...]:
    """The part up to now of a range that reaches beyond it."""
    window = latest_fires(job.spec.schedule, record.first - _TICK, now, job.anchor)
    if window.first is None or window.last is None:
        return ()
    return (SlotRecord(job.name, window.first, window.last, window.count, record.disposition, record.reason),)


def not_installed(
    name: str, spec: JobSpec, cursor: datetime, anchor: datetime, until: datetime, why: str
) -> tuple[SlotRecord, ...]:
    """The slots in (cursor, until] of a job that git asks for and that could not be installed (rule T5)."""
    window = latest_fires(spec.schedule, cursor, until, anchor)
    if window.first is None or window.last is None:
        return ()
    kind, reason = Disposition.UNAVAILABLE, f"not installed: {why}"
    if spec.suspend:
        kind, reason = Disposition.SUSPENDED, "suspended in git (suspend: true)"
    return (SlotRecord(name, window.first, window.last, window.count, kind, reason),)
