"""Lists, excluded days, start and end, single times and jitter do what they say, on every clock (T1-T5, T8, T9)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from reconciler.model.job import Schedule, ScheduleKind
from reconciler.schedule.cron import (
    excluded_fires,
    fires,
    latest_excluded,
    latest_fires,
    meaning,
    next_excluded,
    next_fire,
    nominal,
    normalise,
    smallest_interval,
    validate,
)  # fmt: skip
from reconciler.schedule.dates import instant_of, read_time
from reconciler.schedule.intervals import written_interval

BERLIN = "Europe/Berlin"
START = datetime(2026, 12, 20, tzinfo=UTC)
YEAR = timedelta(days=366)


def line(text: str, zone: str = BERLIN, **fields: object) -> Schedule:
    kind, canonical, every = normalise(text)
    return Schedule(kind, canonical, zone, every=every, **fields)


def at(*times: str, zone: str = BERLIN, **fields: object) -> Schedule:
    return Schedule(ScheduleKind.AT, ",".join(times), zone, **fields)


def several(*parts: Schedule) -> Schedule:
    return Schedule(ScheduleKind.SEVERAL, "; ".join(p.expression for p in parts), parts[0].timezone, parts=parts)


def local(found: list[datetime], zone: str = BERLIN) -> list[str]:
    return [hit.astimezone(ZoneInfo(zone)).strftime("%m-%d %H:%M") for hit in found]


def following(schedule: Schedule, count: int, after: datetime = START) -> list[str]:
    assert validate(schedule)[0] == []
    return local(fires(schedule, after, after + 60 * YEAR, START, count), schedule.timezone)


class TestExcluded:
    def test_T5_an_excluded_day_does_not_fire_and_the_next_does(self) -> None:
        schedule = line("0 8 * * mon-fri", exclude="2026-12-24..2026-12-26,2026-12-31")
        assert following(schedule, 5) == ["12-21 08:00", "12-22 08:00", "12-23 08:00", "12-28 08:00", "12-29 08:00"]
        assert local(excluded_fires(schedule, START, START + YEAR, START, 9)) == [
            "12-24 08:00", "12-25 08:00", "12-31 08:00"]  # fmt: skip

    def test_T5_the_day_is_that_of_the_jobs_zone(self) -> None:
        """Half past eleven at night in New York is the next day in UTC."""
        schedule = line("30 23 * * *", "America/New_York", exclude="2026-12-24")
        assert following(schedule, 2, datetime(2026, 12, 24, 0, tzinfo=UTC)) == ["12-23 23:30", "12-25 23:30"]

    def test_T2_a_time_in_the_gap_is_excluded_with_its_day(self) -> None:
        schedule = line("30 2 * * *", exclude="2026-03-29")
        assert following(schedule, 2, datetime(2026, 3, 28, tzinfo=UTC)) == ["03-28 02:30", "03-30 02:30"]

    def test_T2_a_midnight_that_does_not_exist_belongs_to_the_day_that_begins_late(self) -> None:
        zone = "America/Santiago"  # 2026-09-06 begins at 01:00
        excluded = line("0 0 * * *", zone, exclude="2026-09-06")
        assert following(excluded, 2, datetime(2026, 9, 5, 3, tzinfo=UTC)) == ["09-05 00:00", "09-07 00:00"]
        shown = line("0 0 * * *", zone, exclude="2026-09-05")
        assert following(shown, 1, datetime(2026, 9, 5, 3, tzinfo=UTC)) == ["09-06 01:00"]

    def test_T2_a_day_that_comes_twice_is_excluded_both_times(self) -> None:
        """St. John's went back from 00:01 to 23:01 of the day before."""
        schedule = line("*/30 * * * *", "America/St_Johns", exclude="2010-11-06")
        found = following(schedule, 3, datetime(2010, 11, 6, 1, 59, tzinfo=UTC))
        assert found == ["11-05 23:30", "11-07 00:00", "11-07 00:00"]

    def test_T3_counting_skips_what_is_excluded(self) -> None:
        schedule = line("*/10 * * * *", exclude="2026-12-24..2026-12-26,2027-01-01")
        window = latest_fires(schedule, START, START + timedelta(days=20), START)
        hidden = latest_excluded(schedule, START, START + timedelta(days=20), START)
        assert (window.count, hidden.count) == (16 * 144, 4 * 144)
        assert local([hidden.first, hidden.last]) == ["12-24 00:00", "01-01 23:50"]

    def test_T3_looking_for_what_is_excluded_ends(self) -> None:
        schedule = line("0 8 * * *", exclude="2026-12-24")
        assert next_excluded(schedule, START + YEAR, START) is None
        assert next_excluded(line("0 8 * * *"), START, START) is None


class TestBounds:
    def test_T1_start_and_end_are_included(self) -> None:
        days = line("0 0 * * *", start="2027-01-02", end="2027-01-03")
        assert following(days, 9) == ["01-02 00:00", "01-03 00:00"]
        times = line("0 * * * *", start="2027-01-02T03:00", end="2027-01-02T05:00")
        assert following(times, 9) == ["01-02 03:00", "01-02 04:00", "01-02 05:00"]
        assert latest_fires(times, START, START + YEAR, START).count == 3

    def test_T1_an_end_that_is_a_day_includes_its_last_second(self) -> None:
        schedule = line("59 59 23 * * *", end="2026-12-31", start="2026-12-31")
        assert len(fires(schedule, START, START + YEAR, START, 9)) == 1

    def test_T1_an_interval_with_a_start_counts_from_it_and_not_from_when_it_was_applied(self) -> None:
        schedule = line("@every 36h", "UTC", start="2027-01-01T06:00")
        expected = ["01-01 06:00", "01-02 18:00", "01-04 06:00"]
        for anchor in (START, START + timedelta(minutes=7)):
            assert local(fires(schedule, START, START + YEAR, anchor, 3), "UTC") == expected
        assert latest_fires(schedule, START, datetime(2027, 1, 4, 6, tzinfo=UTC), START).count == 3

    def test_T2_a_bound_that_no_clock_shows_is_the_first_instant_after_the_gap(self) -> None:
        assert instant_of(BERLIN, read_time("2026-03-29T02:30")) == int(
            datetime(2026, 3, 29, 1, tzinfo=UTC).timestamp()
        )
        twice = int(datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp())
        assert instant_of(BERLIN, read_time("2026-10-25T02:30")) == twice, "the first of two"
        day = instant_of("Pacific/Apia", read_time("2011-12-30T12:00"))
        assert day == int(datetime(2011, 12, 30, 10, tzinfo=UTC).timestamp()), "a day that was left out"


class TestAt:
    def test_T1_fires_at_its_times_and_never_else(self) -> None:
        assert following(at("2026-12-24T06:00", "2027-03-01T03:00"), 9) == ["12-24 06:00", "03-01 03:00"]
        assert next_fire(at("2026-12-01T03:00"), START, START) is None

    def test_T2_in_the_gap_it_fires_right_after_it_or_is_an_error(self) -> None:
        early = datetime(2026, 1, 1, tzinfo=UTC)
        assert following(at("2026-03-29T02:30"), 9, early) == ["03-29 03:00"]
        errors, _ = validate(at("2026-03-29T02:30", gap="skip"))
        assert [code for code, _, _ in errors] == ["schedule-never"]

    def test_T2_a_time_that_comes_twice_counts_once_unless_told(self) -> None:
        early = datetime(2026, 10, 1, tzinfo=UTC)
        assert following(at("2026-10-25T02:30"), 9, early) == ["10-25 02:30"]
        assert following(at("2026-10-25T02:30", overlap="twice"), 9, early) == ["10-25 02:30", "10-25 02:30"]


class TestSeveral:
    def test_T1_the_fires_of_all_each_instant_once(self) -> None:
        schedule = several(line("0 8 * * *"), line("0 */4 * * *", exclude="2026-12-21"), at("2026-12-21T09:00"))
        found = following(schedule, 4, datetime(2026, 12, 20, 22, 59, tzinfo=UTC))
        assert found == ["12-21 08:00", "12-21 09:00", "12-22 00:00", "12-22 04:00"]
        window = latest_fires(schedule, START, START + timedelta(days=10), START)
        assert window.count == len(fires(schedule, START, START + timedelta(days=10), START, 999)) == 10 * 6 - 6 + 1 + 1

    def test_T5_what_one_excludes_and_another_fires_is_no_blackout(self) -> None:
        schedule = several(line("0 8 * * *"), line("0 */4 * * *", exclude="2026-12-21"))
        hidden = local(excluded_fires(schedule, START, START + timedelta(days=9), START, 9))
        assert hidden == ["12-21 00:00", "12-21 04:00", "12-21 12:00", "12-21 16:00", "12-21 20:00"]
        assert latest_excluded(schedule, START, START + YEAR, START).count == 5

    def test_T1_zones_may_differ(self) -> None:
        schedule = several(line("0 8 * * *"), line("0 8 * * *", "Asia/Tokyo"))
        assert following(schedule, 2) == ["12-20 08:00", "12-21 00:00"]

    def test_T3_too_many_to_tell_apart_are_counted_at_the_end_only(self) -> None:
        schedule = several(line("* * * * * *"), line("*/2 * * * * *"))
        window = latest_fires(schedule, START, START + YEAR, START)
        assert window.capped
        assert window.last == START + YEAR
        assert window.count == (window.last - window.first).total_seconds() + 1

    def test_T8_how_close_they_come_to_each_other_counts(self) -> None:
        assert smallest_interval(several(line("0 8 * * *"), line("20 8 * * *"))) == 1200
        assert smallest_interval(several(line("55 23 * * *"), line("5 0 * * *"))) == 600
        unlike = several(line("0 8 * * *"), line("0 9-17 * * *", "Asia/Tokyo"), at("2026-12-24T06:00"))
        assert smallest_interval(unlike) == 1
        assert written_interval(unlike) == 3600, "a policy holds against it what each entry says"
        assert written_interval(several(line("0 8 * * *"), line("20 8 * * *"))) == 1200


class TestJitter:
    def test_T9_it_is_fixed_by_the_name_and_the_same_for_every_slot(self) -> None:
        seen = set()
        for number in range(50):
            schedule = line("0 8 * * *", jitter=300.0, seed=f"team/job-{number}")
            found = fires(schedule, START, START + timedelta(days=30), START, 30)
            bare = fires(line("0 8 * * *"), START, START + timedelta(days=30), START, 30)
            late = {(hit - on_time).total_seconds() for hit, on_time in zip(found, bare, strict=True)}
            assert len(late) == 1
            seen |= late
        assert all(0 <= late <= 300 for late in seen)
        assert len(seen) > 30

    def test_T9_never_as_late_as_the_next_slot(self) -> None:
        for number in range(200):
            schedule = line("*/5 * * * *", jitter=3600.0, seed=f"job-{number}")
            first = next_fire(schedule, START - timedelta(seconds=1), START)
            assert first is not None
            assert first - START < timedelta(minutes=5)
        assert [code for code, _, _ in validate(schedule)[1]] == ["schedule-jitter-cut"]

    def test_T9_a_slot_stands_for_the_instant_without_jitter(self) -> None:
        for text in ("0 8 * * *", "@every 90m"):
            schedule = line(text, jitter=300.0, seed="team/a")
            bare = next_fire(line(text), START, START)
            hit = next_fire(schedule, START + timedelta(seconds=301), START)
            assert hit != bare
            assert nominal(schedule, hit) == bare
        assert nominal(line("0 8 * * *", jitter=300.0, seed="team/a"), START) == START, "a slot of another schedule"
        by_hand = bare + timedelta(milliseconds=5)
        assert nominal(schedule, by_hand) == by_hand

    def test_T9_the_day_that_counts_is_that_before_jitter(self) -> None:
        names = (f"job-{number}" for number in range(99))
        schedule = next(one for name in names if following(
            one := line("59 23 * * *", jitter=3600.0, seed=name), 1)[0].startswith("12-21"))  # fmt: skip
        excluded = replace(schedule, exclude="2026-12-21")
        hits = fires(schedule, START, START + timedelta(days=5), START, 5)
        assert fires(excluded, START, START + timedelta(days=5), START, 5) == [hits[0], *hits[2:]]


ERRORS = [
    ("an end before the start", line("0 8 * * *", start="2027-01-02", end="2027-01-01"), "schedule-window"),
    ("a window without a fire", line("0 8 * * sun", start="2027-01-04", end="2027-01-08"), "schedule-never"),
    ("everything in the window excluded", line("0 8 * * *", start="2027-01-04", end="2027-01-05",
                                               exclude="2027-01-01..2027-01-10"), "schedule-never"),
    ("everything excluded", line("0 8 * * *", exclude="1970-01-01..2199-12-31"), "schedule-never"),
    ("everything excluded for fifty years", line("0 8 * * *", exclude="2020-01-01..2120-12-31"), "schedule-never"),
    ("the only time excluded", at("2026-12-24T08:00", exclude="2026-12-24"), "schedule-never"),
    ("a day that the zone left out", at("2011-12-30T12:00", zone="Pacific/Apia"), "schedule-never"),
    ("a time outside of its bounds", at("2026-12-24T08:00", end="2026-12-01"), "schedule-never"),
    ("an unknown zone", at("2026-12-24T08:00", zone="Mars"), "timezone-unknown"),
    ("several, one of them wrong", several(line("0 8 * * *"), line("0 0 30 2 *")), "schedule-never"),
    ("days that cannot be read", line("0 8 * * *", exclude="x"), "date-invalid"),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "code"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
def test_T1_what_never_fires_is_an_error(schedule: Schedule, code: str) -> None:
    errors, warnings = validate(schedule)
    assert ([error[0] for error in errors], warnings) == ([code], [])
    assert next_fire(schedule, START, START) is None or code == "schedule-never"


def test_T1_a_year_that_is_excluded_is_no_error() -> None:
    assert validate(line("0 8 * * *", exclude="2026-01-01..2027-12-31"))[0] == []
    assert validate(line("0 0 29 2 *", exclude="2028-02-29"))[0] == []


def test_T4_what_it_means_and_not_how_it_was_written_decides_whether_it_was_edited() -> None:
    one = line("0 8 * * mon", exclude="2026-12-24", calendars=(("a.ics", "2026-12-24"),))
    assert meaning(one) == meaning(replace(one, expression="0  8 * * MON", calendars=()))
    for edited in (replace(one, exclude="2026-12-25"), replace(one, end="2027-01-01"), replace(one, jitter=5.0)):
        assert meaning(one) != meaning(edited)
    assert meaning(several(one, line("@daily"))) == meaning(several(replace(one, calendars=()), line("@DAILY")))
    assert meaning(several(one, line("@daily"))) != meaning(several(one))


def test_T3_a_calendar_of_single_days_costs_little() -> None:
    """Every second day of eleven years: ten years are counted without walking minute by minute."""
    days = ",".join((START + timedelta(days=2 * n)).strftime("%Y-%m-%d") for n in range(2000))
    schedule = line("* * * * * *", exclude=days)
    window = latest_fires(schedule, START, START + timedelta(days=3660), START)
    assert abs(window.count - 3660 * 43200) < 2 * 86400
    assert next_fire(line("0 0 * * *", exclude=days), START, START) is not None
