"""What a person types for an instant means the slot that they mean; an instant that is none gets its neighbours."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.answers.instants import around, choose, final, is_slot, latest_trouble, windows
from reconciler.model.job import Schedule, ScheduleKind
from reconciler.model.run import Disposition, Phase
from tests.unit.answers.kit import DAY, HOUR, LONG_AGO, NOW, SLOT, ZONE, row, run

NIGHTLY = Schedule(ScheduleKind.CRON, "30 2 * * *", ZONE)
WEEKDAYS = Schedule(ScheduleKind.CRON, "30 2 * * mon", ZONE)
BEAT = Schedule(ScheduleKind.EVERY, "@every 30s", every=30.0)
BY_HAND = datetime(2026, 11, 24, 9, 12, 33, 417000, tzinfo=UTC)


def meant(text: str, schedule: Schedule | None = NIGHTLY, recorded: tuple[datetime, ...] = ()) -> datetime | None:
    return choose(windows(text, ZONE, NOW), recorded, schedule, LONG_AGO)


TABLE = [
    ("a time of day is the latest such slot", "02:30", NIGHTLY, SLOT),
    ("on a day on which it fires", "02:30", WEEKDAYS, SLOT - 2 * DAY),
    ("with seconds", "02:30:00", NIGHTLY, SLOT),
    ("a day of this year", "11-23T02:30", NIGHTLY, SLOT - 2 * DAY),
    ("a day that is to come", "11-27T02:30", NIGHTLY, SLOT + 2 * DAY),
    ("a weekday that only the year before has", "12-22T02:30", WEEKDAYS, datetime(2025, 12, 22, 1, 30, tzinfo=UTC)),
    ("a date", "2026-11-24T02:30", NIGHTLY, SLOT - DAY),
    ("a date with a blank", "2026-11-24 02:30", NIGHTLY, SLOT - DAY),
    ("in UTC", "2026-11-24T01:30Z", NIGHTLY, SLOT - DAY),
    ("a time of day in UTC", "01:30Z", NIGHTLY, SLOT),
    ("with an offset", "2026-11-24T03:30:00+02:00", NIGHTLY, SLOT - DAY),
    ("in summer time", "2026-07-01T02:30", NIGHTLY, datetime(2026, 7, 1, 0, 30, tzinfo=UTC)),
    ("none", "02:31", NIGHTLY, None),
    ("none of a job that is gone", "02:30", None, None),
    ("of an interval", "02:30:30", BEAT, SLOT + timedelta(seconds=30)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "schedule", "slot"), [r[1:] for r in TABLE], ids=[r[0] for r in TABLE])
def test_the_slot_that_is_meant(text: str, schedule: Schedule | None, slot: datetime | None) -> None:
    assert meant(text, schedule) == slot


def test_a_run_by_hand_is_meant_by_its_minute_its_second_or_its_millisecond() -> None:
    for text in ("10:12", "10:12:33", "10:12:33.417", "2026-11-24T09:12:33.417Z"):
        assert meant(text, NIGHTLY, (BY_HAND,)) == BY_HAND
    assert meant("10:12:34", NIGHTLY, (BY_HAND,)) is None


def test_a_slot_of_an_earlier_schedule_is_still_known_by_its_record() -> None:
    assert meant("03:45", NIGHTLY, (SLOT - DAY + timedelta(minutes=75),)) == SLOT - DAY + timedelta(minutes=75)


@pytest.mark.parametrize(
    "text", ["9999-12-31T23:59:59", "9999-12-31T23:59:59.999999Z", "0001-01-02T00:00", "1969-06-01T00:00"]
)
def test_an_instant_of_a_year_that_nobody_means_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not within the years 1970 to 2199"):
        windows(text, ZONE, NOW)


def test_both_hours_of_a_night_that_has_them_twice_are_looked_at() -> None:
    found = windows("2026-10-25T02:30", ZONE, NOW)
    assert [window.begin for window in found] == [
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
    ]  # fmt: skip
    assert meant("2026-10-25T02:30") == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "noon", "2:30", "25:00", "02-30T02:30", "2026-11-31T02:30", "2026-11-24", "02:30 tomorrow", "9" * 400]
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"instant|day"):
        windows(text, ZONE, NOW)


def test_the_neighbours_of_an_instant() -> None:
    assert around(NIGHTLY, SLOT + HOUR, LONG_AGO) == (SLOT, SLOT + DAY)
    assert around(NIGHTLY, SLOT, LONG_AGO) == (SLOT - DAY, SLOT + DAY)
    assert around(Schedule(ScheduleKind.MANUAL), SLOT, LONG_AGO) == (None, None)
    assert is_slot(NIGHTLY, SLOT, LONG_AGO)
    assert not is_slot(NIGHTLY, SLOT + timedelta(seconds=1), LONG_AGO)


# -- without words ------------------------------------------------------------------------------------------------
def slots_of(*runs, rows=(), most=200):
    newest = sorted(runs, key=lambda r: (r.slot, r.attempt), reverse=True)
    return latest_trouble(newest, rows, most)


OK, BAD = Phase.SUCCEEDED, Phase.FAILED
TROUBLE = [
    ("nothing is recorded", [], [], None),
    ("all is well: the latest", [run(OK, slot=SLOT), run(OK, slot=SLOT - DAY)], [], SLOT),
    ("a failure before it", [run(OK, slot=SLOT), run(BAD, slot=SLOT - DAY)], [], SLOT - DAY),
    ("a failure that a retry mended", [run(OK, 2), run(BAD, 1), run(OK, slot=SLOT - DAY)], [], SLOT),
    ("one that still retries", [run(Phase.PENDING, 2), run(BAD, 1), run(BAD, slot=SLOT - DAY)], [], SLOT - DAY),
    ("one that runs", [run(Phase.RUNNING)], [], SLOT),
    ("a skipped slot", [run(OK, slot=SLOT - DAY)], [row(Disposition.SKIPPED, "x")], SLOT),
    ("its own row says nothing more", [run(OK)], [row(Disposition.RAN, "")], SLOT),
    ("one bad cell of two", [run(OK, cell=0), run(BAD, cell=1), run(OK, slot=SLOT - DAY)], [], SLOT),
    ("a cell that was mended", [run(OK, cell=0), run(BAD, cell=1), run(OK, 2, cell=1), run(BAD, slot=SLOT - DAY)], [],
     SLOT - DAY),
]  # fmt: skip


@pytest.mark.parametrize(("runs", "rows", "slot"), [r[1:] for r in TROUBLE], ids=[r[0] for r in TROUBLE])
def test_without_an_instant_it_is_the_latest_trouble(runs, rows, slot) -> None:
    assert slots_of(*runs, rows=rows) == slot


def test_what_is_older_than_what_was_read_of_the_runs_is_not_called_the_latest() -> None:
    old = [row(Disposition.SKIPPED, "x", first=SLOT - 9 * DAY, last=SLOT - 9 * DAY)]
    runs = [run(OK, slot=SLOT), run(OK, slot=SLOT - DAY)]
    assert slots_of(*runs, rows=old, most=2) == SLOT
    assert slots_of(*runs, rows=old) == SLOT - 9 * DAY


def test_the_last_attempt_speaks_for_its_cell() -> None:
    attempts = [run(OK, 2, cell=1), run(BAD, 1, cell=1), run(OK, 1, cell=0)]
    assert [(r.cell, r.attempt) for r in final(attempts)] == [(0, 1), (1, 2)]
