"""Promise: a schedule is told with its days and bounds, an edit of it day by day, and what runs out is told in time."""

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.model.job import Location, Schedule, ScheduleKind
from reconciler.plan import words
from reconciler.plan.ageing import ageing
from reconciler.plan.changes import field_changes
from tests.kit.fleet import NOW, cron, desired, job, plan_of, rows, spec

DAY = timedelta(days=1)


def day(ahead: int) -> str:
    return (NOW + ahead * DAY).date().isoformat()


def calendar(ahead: int, **fields: object) -> Schedule:
    last = day(ahead)
    return Schedule(ScheduleKind.CRON, "0 8 * * *", exclude=last, calendars=(("de.ics", last),), **fields)


def codes(schedule: Schedule) -> list[str]:
    return [problem.code for problem in ageing(desired([spec("a", schedule=schedule)]), NOW)]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        pytest.param(calendar(29), ["calendar-ends"], id="a calendar with 29 days left"),
        pytest.param(calendar(30), [], id="a calendar with 30 days left"),
        pytest.param(calendar(-400), ["calendar-ends"], id="a calendar of long ago"),
        pytest.param(Schedule(ScheduleKind.CRON, "0 8 * * *", exclude=day(1)), [], id="a date is no calendar"),
        pytest.param(Schedule(ScheduleKind.AT, f"{day(-1)}T08:00"), ["schedule-over"], id="a time that has passed"),
        pytest.param(Schedule(ScheduleKind.AT, f"{day(1)}T08:00"), [], id="a time to come"),
        pytest.param(cron("0 8 * * *"), [], id="a plain line"),
        pytest.param(Schedule(ScheduleKind.MANUAL), [], id="by hand"),
        pytest.param(replace(cron("0 8 * * *"), end=day(-1)), ["schedule-over"], id="an end that has passed"),
        pytest.param(
            Schedule(ScheduleKind.SEVERAL, "", parts=(cron("0 9 * * *"), calendar(5))),
            ["calendar-ends"],
            id="in a list",
        ),
    ],
)
def test_T4_what_runs_out_is_told(schedule: Schedule, expected: list[str]) -> None:
    assert codes(schedule) == expected


def test_T4_the_plan_tells_it_of_unchanged_jobs_too_and_stays_empty() -> None:
    one = spec("a", schedule=calendar(5))
    plan = plan_of(desired([job(one, {"schedule": 3})]), rows(one))
    assert plan.actions == ()
    (told,) = plan.problems
    assert (told.code, told.line, told.severity) == ("calendar-ends", 3, "warning")
    assert day(5) in told.message


def test_T4_an_edited_calendar_is_told_day_by_day() -> None:
    old = Schedule(ScheduleKind.CRON, "0 8 * * *", exclude="2026-12-24,2026-12-31")
    new = replace(old, exclude="2026-12-24..2026-12-26,2026-12-31", calendars=(("de.ics", "2026-12-31"),))
    (change,) = field_changes(spec("a", schedule=old), job(spec("a", schedule=new), {"schedule": 2}))
    assert (change.field, change.old, change.new) == (
        "schedule.exclude", "2 days: 2026-12-24, 2026-12-31", "4 days: 2026-12-24..2026-12-26, 2026-12-31",
    )  # fmt: skip
    assert change.notes == ("- 2026-12-24", "+ 2026-12-24..2026-12-26")
    assert change.where == Location("a.yaml", 2)


def test_a_calendar_by_another_name_is_no_change() -> None:
    old = calendar(5)
    assert field_changes(spec("a", schedule=old), job(spec("a", schedule=replace(old, calendars=())))) == ()


def test_a_new_bound_and_a_jitter_are_told_in_the_words_of_the_file() -> None:
    old = cron("0 8 * * *")
    new = replace(old, start="2026-12-01", end="2027-01-01T06:00", jitter=300.0, seed="a")
    told = {(c.field, c.old, c.new) for c in field_changes(spec("a", schedule=old), job(spec("a", schedule=new)))}
    assert told == {
        ("schedule.start", "none", "2026-12-01"),
        ("schedule.end", "none", "2027-01-01T06:00"),
        ("schedule.jitter", "none", "5m"),
    }


def test_a_new_job_is_told_with_what_narrows_its_schedule() -> None:
    schedule = replace(cron("0 8 * * *"), exclude="2026-12-24..2026-12-26", end="2027-03-31")
    (action,) = plan_of(desired([spec("a", schedule=schedule)])).actions
    assert action.why.startswith(
        "0 8 * * *; until 2027-03-31; except 3 days: 2026-12-24..2026-12-26; 1 run a day; next"
    )


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (Schedule(ScheduleKind.AT, "2026-12-01T03:00,2026-12-02T03:00"), "at 2026-12-01T03:00, 2026-12-02T03:00"),
        (Schedule(ScheduleKind.CRON, "0 H * * H(1-5)", seed="a"), "0 H * * H(1-5) (0 22 * * 5)"),
        (Schedule(ScheduleKind.CRON, "H/20 8 * * *", seed="a"), "H/20 8 * * * (17-57/20 8 * * *)"),
        (Schedule(ScheduleKind.SEVERAL, "", "UTC", parts=(cron("0 8 * * *"), cron("0 9 * * *", "Asia/Tokyo"))),
         "0 8 * * *; 0 9 * * * (Asia/Tokyo)"),
    ],
)  # fmt: skip
def test_T1_a_schedule_in_words(schedule: Schedule, said: str) -> None:
    assert words.schedule(schedule) == said
