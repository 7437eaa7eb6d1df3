"""A schedule read aloud says what it does, in words that nobody has to decode."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.model.job import Schedule, ScheduleKind
from reconciler.schedule.aloud import aloud
from reconciler.schedule.clock_changes import change_on, clock_changes, effect
from reconciler.schedule.cron import fires
from tests.unit.schedule.test_cron import READ, schedule

TABLE = [
    ("30 2 * * *", "at 02:30 every day"),
    ("@daily", "at 00:00 every day"),
    ("@weekly", "at 00:00 every Sunday"),
    ("@monthly", "at 00:00 on day 1 of every month"),
    ("@yearly", "at 00:00 on day 1 of January"),
    ("@hourly", "every hour on the hour"),
    ("* * * * *", "every minute"),
    ("*/15 * * * *", "every 15 minutes"),
    ("5-59/15 * * * *", "every 15 minutes from minute 5"),
    ("*/15 9-17 * * mon-fri", "every 15 minutes from 09:00 to 17:45, Monday to Friday"),
    ("*/15 9,12,15 * * *", "every 15 minutes of hours 9, 12 and 15"),
    ("*/7 * * * *", "at minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56 of every hour"),
    ("* 9 * * *", "every minute of hour 9"),
    ("* 9-10 * * *", "every minute from 09:00 to 10:59"),
    ("17 * * * *", "every hour at minute 17"),
    ("17 */2 * * *", "every 2 hours from 00:17"),
    ("17 1-23/2 * * *", "every 2 hours from 01:17"),
    ("0 9-17 * * mon-fri", "every hour from 09:00 to 17:00, Monday to Friday"),
    ("0 8-20/2 * * *", "every 2 hours from 08:00 to 20:00"),
    ("0 6,9-10 * * *", "at 06:00, 09:00 and 10:00 every day"),
    ("0,30 6,18 * * sat,sun", "at 06:00, 06:30, 18:00 and 18:30 every Saturday and Sunday"),
    ("5,20,50 1,2,7,9 * * *", "at minutes 5, 20 and 50 of hours 1, 2, 7 and 9 every day"),
    ("5,20 * * * *", "at minutes 5 and 20 of every hour"),
    ("0 2 1 * fri", "at 02:00 on day 1 or any Friday (either; Debian's rule)"),
    ("0 2 13 jan fri,mon", "at 02:00 on day 13 or any Monday or Friday in January (either; Debian's rule)"),
    ("1-7 * */7 * *", "at minutes 1 to 7 of every hour on days 1, 8, 15, 22 and 29 of every month"),
    ("0 5 1-7 * */7", "at 05:00 on days 1 to 7 of every month that is also a Sunday (both; Debian's rule for `*/7`)"),
    ("0 5 */2 * mon", "at 05:00 on every 2nd day (1, 3, 5 ... 31) of every month that is also a Monday "
                      "(both; Debian's rule for `*/2`)"),
    ("0 5 1,15 * *", "at 05:00 on days 1 and 15 of every month"),
    ("0 5 * 6-8 *", "at 05:00 every day in June to August"),
    ("0 5 * 1,7 tue", "at 05:00 every Tuesday in January and July"),
    ("0 5 * * fri-sun", "at 05:00, Friday to Sunday"),
    ("0 5 * * mon,wed,fri", "at 05:00 every Monday, Wednesday and Friday"),
    ("0 5 L * *", "at 05:00 on the last day of every month"),
    ("0 5 L-3 * *", "at 05:00 on the 3rd day before the last of every month"),
    ("0 5 15W,1 * *", "at 05:00 on day 1 and the workday nearest to day 15 of every month"),
    ("0 5 LW * *", "at 05:00 on the last workday of every month"),
    ("0 5 * * fri#1", "at 05:00 on the 1st Friday of every month"),
    ("0 5 * 3 friL", "at 05:00 on the last Friday of March"),
    ("0 5 * * mon,fri#2", "at 05:00 on every Monday and the 2nd Friday of every month"),
    ("0 5 1 * fri#2", "at 05:00 on day 1 or the 2nd Friday (either; Debian's rule)"),
    ("15,45 30 7 * * *", "at 07:30:15 and 07:30:45 every day"),
    ("*/10 * * * * *", "every 10 seconds"),
    ("* * * * * *", "every second"),
    ("5 * * * * *", "every minute, at second 5"),
    ("5 */15 * * * *", "every 15 minutes, at second 5 of the minute"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), TABLE, ids=[row[0] for row in TABLE])
def test_T1_a_schedule_is_read_aloud(text: str, said: str) -> None:
    assert aloud(schedule(text, "Europe/Berlin")) == f"{said}, Europe/Berlin"


@pytest.mark.parametrize(
    ("text", "said"),
    [("@every 90s", "every 1 minute 30 seconds"), ("@every 1h", "every hour"), ("@every 2d", "every 2 days")],
)
def test_T1_an_interval_is_read_aloud(text: str, said: str) -> None:
    assert aloud(schedule(text)) == f"{said}, counted from when this schedule was applied"


def test_T1_a_spread_line_says_what_it_came_to() -> None:
    spread = replace(schedule("H H(1-5) * * *"), seed="ml/train")
    assert re.fullmatch(r"at 0[1-5]:[0-5]\d every day, UTC", aloud(spread))


def test_T1_times_lists_and_what_narrows_them_are_read_aloud() -> None:
    once = Schedule(ScheduleKind.AT, "2026-12-24T18:00:00,2026-12-31T18:00:00", "Europe/Berlin")
    assert aloud(once) == "once at 2026-12-24T18:00:00 and 2026-12-31T18:00:00, Europe/Berlin"
    narrow = replace(schedule("0 8 * * *"), start="2026-12-01", end="2026-12-31", jitter=90.0,
                     exclude="2026-12-24..2026-12-26")  # fmt: skip
    assert aloud(narrow) == (
        "at 08:00 every day, UTC, from 2026-12-01, until 2026-12-31, except on 2026-12-24..2026-12-26, "
        "up to 1 minute 30 seconds later (jitter)"
    )
    several = Schedule(ScheduleKind.SEVERAL, parts=(schedule("0 8 * * *"), schedule("0 9 * * sun")))
    assert aloud(several) == "at 08:00 every day, UTC; and at 09:00 every Sunday, UTC"


def test_T1_by_hand_and_what_cannot_be_read() -> None:
    assert aloud(Schedule(ScheduleKind.MANUAL)) == "never by itself, only by hand"
    assert aloud(replace(schedule("* * * * *"), expression="61 * * * *")) == "`61 * * * *`, UTC"


@pytest.mark.parametrize("text", [row[1] for row in READ])
def test_T1_every_form_that_is_read_can_be_said(text: str) -> None:
    assert "`" not in aloud(schedule(text)).partition(" (both")[0]


# -- days on which the clocks change ------------------------------------------------------------------------------
AUTUMN, SPRING = datetime(2026, 10, 25, 1, tzinfo=UTC), datetime(2027, 3, 28, 1, tzinfo=UTC)


def test_T2_changes_of_a_zone_are_found_in_order() -> None:
    found = clock_changes("Europe/Berlin", AUTUMN - timedelta(days=90), AUTUMN + timedelta(days=366))
    assert [change.at for change in found] == [AUTUMN, SPRING, datetime(2027, 10, 31, 1, tzinfo=UTC)][: len(found)]
    assert [change.words for change in found[:2]] == [
        "the clocks go back from 03:00 to 02:00", "the clocks go forward from 02:00 to 03:00",
    ]  # fmt: skip
    assert clock_changes("UTC", AUTUMN, SPRING) == ()
    assert clock_changes("No/Where", AUTUMN, SPRING) == ()


EFFECTS = [
    ("a fixed time in the gap", "30 2 * * *", {}, SPRING,
     "02:30 does not exist and fires once, right after the gap at 03:00 (dst.gap: after)"),
    ("one that is to be left out", "30 2 * * *", {"gap": "skip"}, SPRING,
     "02:30 does not exist and is left out (dst.gap: skip)"),
    ("a fixed time that comes twice", "30 2 * * *", {}, AUTUMN,
     "02:30 comes twice and fires once, at the first (dst.overlap: once)"),
    ("one that is to run twice", "30 2 * * *", {"overlap": "twice"}, AUTUMN,
     "02:30 comes twice and fires both times (dst.overlap: twice)"),
    ("a time of day beside the change", "30 4 * * *", {}, SPRING, ""),
    ("a wildcard in the gap", "*/10 * * * *", {}, SPRING, "elapsed time counts: what does not exist is not made up"),
    ("a wildcard in the repeated hour", "0 * * * *", {}, AUTUMN, "elapsed time counts: it fires in both"),
    ("an interval", "@every 1h", {}, AUTUMN, ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "rule", "at", "said"), [row[1:] for row in EFFECTS], ids=[row[0] for row in EFFECTS])
def test_T2_what_a_change_of_clocks_means_is_said_and_true(
    text: str, rule: dict[str, str], at: datetime, said: str
) -> None:
    made = schedule(text, "Europe/Berlin", **rule)
    change = change_on("Europe/Berlin", at)
    assert change is not None
    assert effect(made, change) == said
    noon = at.replace(hour=11)
    fired = len(fires(made, noon - timedelta(hours=12), noon, noon - timedelta(days=9), 1000))
    if "fires once" in said:
        assert fired == 1
    elif "both times" in said:
        assert fired == 2
    elif "left out" in said:
        assert fired == 0


def test_T2_a_day_without_a_change_has_none() -> None:
    assert change_on("Europe/Berlin", SPRING - timedelta(days=1)) is None
    assert change_on("Europe/Berlin", SPRING + timedelta(days=1)) is None
