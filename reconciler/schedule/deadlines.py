"""In: a job and one of its slots. Out: until when it may start (rule T6)."""

from datetime import datetime, timedelta

from ..model.job import CatchUp, JobSpec
from .cron import next_fire

# A slot seen this late still counts as on time: it is started as `schedule`, and `catch_up: none` does not drop it.
LATENESS_TOLERANCE = timedelta(seconds=60)
LONGEST_DEADLINE = timedelta(hours=12)
WAITED = timedelta(hours=1)  # to get ready in, after waiting for another job


def default_deadline(spec: JobSpec, slot: datetime, anchor: datetime) -> datetime:
    """Until when `slot` may start: `start_deadline`, else the job's next slot, at most 12 h (rule T6)."""
    if spec.start_deadline is not None:
        return slot + timedelta(seconds=spec.start_deadline)
    following = next_fire(spec.schedule, slot, anchor)
    latest = slot + LONGEST_DEADLINE
    if spec.catch_up is CatchUp.ALL:
        return latest  # its next slot does not end it: both will run
    return latest if following is None else min(following, latest)


def with_waiting(spec: JobSpec, slot: datetime, deadline: datetime) -> datetime:
    """What waits for another job may start as late as that takes: waiting has its own bound (rule T6)."""
    longest = max((wait.within for wait in spec.wait_for), default=None)
    return deadline if longest is None else max(deadline, slot + timedelta(seconds=longest) + WAITED)
