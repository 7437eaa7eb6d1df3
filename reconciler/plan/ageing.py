"""In: what git asks for, and an instant. Out: warnings on schedules that run out, which no file says by itself."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from ..model.desired import DesiredState
from ..model.job import DesiredJob, Schedule, ScheduleKind
from ..model.problem import SpecProblem
from ..schedule.cron import next_fire
from .changes import place
from .words import in_zone

NOTICE = timedelta(days=30)  # a calendar that ends sooner is told


def ageing(desired: DesiredState, now: datetime) -> Iterator[SpecProblem]:
    """A calendar that says nothing of the days from soon on, and a schedule with nothing left to fire."""
    for job in desired.jobs.values():
        schedule = job.spec.schedule
        if schedule.kind is ScheduleKind.CRON and not (schedule.end or schedule.exclude):
            continue  # nearly every job
        for part in schedule.parts or (schedule,):
            yield from _calendars(job, part, now)
        if schedule.kind in (ScheduleKind.EVERY, ScheduleKind.MANUAL) and not (schedule.end or schedule.exclude):
            continue
        if next_fire(schedule, now, now) is None:
            hint = "Remove the file, or give it another schedule; an operator can still run it by hand."
            message = "nothing is left to fire: all its times have passed"
            yield _warning(job, code="schedule-over", message=message, hint=hint)


def _calendars(job: DesiredJob, schedule: Schedule, now: datetime) -> Iterator[SpecProblem]:
    for path, last in schedule.calendars:
        if last < in_zone(now + NOTICE, schedule.timezone).date().isoformat():
            message = f"the calendar {path} ends on {last}: after that it excludes nothing"
            yield _warning(job, code="calendar-ends", message=message, hint="Add the days that follow.")


def _warning(job: DesiredJob, code: str, message: str, hint: str) -> SpecProblem:
    at = place(job, "schedule")
    path, line = (at.path, at.line) if at else (job.path, 1)
    return SpecProblem(path, line, 1, code, message, hint, "/schedule", "warning")
