"""Fires are those of cronsim, an independent implementation, in every zone of zoneinfo and through its changes (T1-T3).

Where the two differ on purpose, or cronsim loses fires, is listed in `ours_alone`; there Debian cron's main loop,
walked minute by minute, is the judge instead.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model.job import Schedule
from reconciler.schedule.cron import fires, latest_fires, normalise, validate
from reconciler.schedule.zones import find_zone
from tests.unit.schedule.oracle import debian

AROUND = timedelta(hours=36)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CHUNKS = 6
FIXED = [
    "30 2 * * *", "0 2 * * *", "0 3 * * *", "0 0 * * *", "30 0 * * *", "30 23 * * *", "0 12 * * *", "15 1-3 * * *",
    "0 0 1 * *", "30 2 * * sun", "30 0 L * *", "0 0 * * 0L", "0 2 * * sun#2", "0 1 LW * *",
]  # fmt: skip
WILD = ["0 * * * *", "*/20 1-3 * * *"]
MONTHS = [datetime(year, month, 1, tzinfo=UTC) for year in range(1970, 2038) for month in range(1, 13)]


@dataclass(frozen=True)
class Change:
    """The last time a zone's clocks went this way."""

    zone: str
    at: datetime
    shift: timedelta

    def ours_alone(self, wild: bool) -> bool:
        """Where cronsim is no oracle.

        * Three hours back or more, or more than three on: a correction of the clock in Debian cron and here (a zone
          that crosses the date line), which cronsim makes up for like any gap.
        * A job with a star, if the clocks change within an hour of the wall or by a part of one: cronsim moves by
          whole hours from a midnight that may not exist, and then misses fires, or never ends (Colombo 2006).
        """
        if wild:
            return self.shift % HOUR != timedelta(0) or self.at.astimezone(ZoneInfo(self.zone)).minute != 0
        return not -3 * HOUR < self.shift <= 3 * HOUR


def offset(zone: ZoneInfo, at: datetime) -> timedelta:
    found = at.astimezone(zone).utcoffset()
    assert found is not None
    return found


@lru_cache(maxsize=1)
def changes() -> tuple[Change, ...]:
    """The last change forward and the last one back of every zone; zones that are alike since 1970 count once."""
    alike: dict[tuple[timedelta, ...], str] = {}
    for name in sorted(available_timezones()):
        if find_zone(name) is not None:
            alike.setdefault(tuple(offset(ZoneInfo(name), month) for month in MONTHS), name)
    found = []
    for offsets, name in alike.items():
        last = {late > early: index for index, (early, late) in enumerate(itertools.pairwise(offsets))
                if late != early}  # fmt: skip
        found += [exact(name, MONTHS[index], MONTHS[index + 1]) for index in last.values()]
    return tuple(found)


def exact(name: str, low: datetime, high: datetime) -> Change:
    """The change between two instants, to the second."""
    zone, before = ZoneInfo(name), offset(ZoneInfo(name), low)
    while high - low > timedelta(seconds=1):
        middle = (low + (high - low) / 2).replace(microsecond=0)
        low, high = (middle, high) if offset(zone, middle) == before else (low, middle)
    return Change(name, high, offset(zone, high) - before)


def simulated(text: str, zone: str, after: datetime, until: datetime) -> Iterator[datetime]:
    for hit in CronSim(text, after.astimezone(ZoneInfo(zone))):
        at = hit.astimezone(UTC)
        if at > until:
            return
        yield at


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_T2_fires_round_the_changes_of_every_zone_are_those_of_cronsim(chunk: int) -> None:
    compared = walked = 0
    for change in changes()[chunk::CHUNKS]:
        if change.at.second:
            continue  # Monrovia 1972: neither oracle knows seconds
        after, until = change.at - AROUND, change.at + AROUND
        for text in (*FIXED, *WILD):
            schedule = Schedule(normalise(text)[0], text, change.zone)
            if change.ours_alone(text in WILD):
                if "L" in text or "#" in text:
                    continue
                begin = after + timedelta(minutes=1)
                expected = debian(text, change.zone, begin, int((until - begin).total_seconds() / 60) + 1)
                walked += 1
            else:
                expected = list(simulated(text, change.zone, after, until))
                compared += 1
            found = fires(schedule, after, until, after, 10_000)
            assert found == expected, (text, change)
            window = latest_fires(schedule, after, until, after)
            assert (window.count, window.last) == (len(found), found[-1] if found else None), (text, change)
    assert compared > 20 * walked > 0


def test_T2_every_kind_of_change_is_among_them() -> None:
    """What the comparison above stands for."""
    found = {change.zone: change for change in changes()}
    assert len(found) > 200
    shifts = {change.shift for change in changes()}
    assert {HOUR, -HOUR, HOUR / 2, -HOUR / 2, 2 * HOUR, -2 * HOUR, DAY} <= shifts
    at_midnight = [c for c in changes() if (c.at - c.shift).astimezone(ZoneInfo(c.zone)).hour in (0, 23)]
    assert len(at_midnight) > 20


# -- the dialect -----------------------------------------------------------------------------------------------

number = st.integers(0, 59).map(str)
dates = st.lists(
    st.one_of(st.integers(1, 31).map(str), st.just("L"), st.just("LW")), min_size=1, max_size=3, unique=True
)
weekdays = st.lists(
    st.one_of(
        st.integers(0, 7).map(str),
        st.tuples(st.integers(0, 7), st.integers(1, 5)).map(lambda pair: f"{pair[0]}#{pair[1]}"),
        st.integers(0, 7).map(lambda day: f"{day}L"),
    ),
    min_size=1, max_size=3, unique=True,
)  # fmt: skip
days = st.one_of(st.sampled_from(["*", "*/2", "1-7"]), dates.map(",".join))
of_week = st.one_of(st.sampled_from(["*", "*/7", "1-5"]), weekdays.map(",".join))
months = st.sampled_from(["*", "2", "4,6", "2-9/3"])
lines = st.tuples(number, st.integers(0, 23).map(str), days, months, of_week).map(" ".join)
instants = st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1)).map(
    lambda at: at.replace(tzinfo=UTC, microsecond=0)
)


@given(lines, instants, st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]))
@settings(max_examples=300, deadline=None)
def test_T1_days_by_their_place_in_the_month_are_those_of_cronsim(text: str, after: datetime, zone: str) -> None:
    schedule = Schedule(normalise(text)[0], normalise(text)[1], zone)
    if validate(schedule)[0]:
        return
    theirs = CronSim(text, after.astimezone(ZoneInfo(zone)))
    for hit in fires(schedule, after, after + 3000 * DAY, after, 5):
        assert next(theirs).astimezone(UTC) == hit, text


@given(lines, instants)
@settings(max_examples=200, deadline=None)
def test_T3_looking_back_finds_what_looking_ahead_found(text: str, after: datetime) -> None:
    """Backwards here is the last fire of a window, and cronsim's own way back."""
    schedule = Schedule(normalise(text)[0], normalise(text)[1], "UTC")
    found = fires(schedule, after, after + 3000 * DAY, after, 4)
    if validate(schedule)[0] or len(found) < 2:
        return
    for earlier, later in itertools.pairwise(found):
        assert latest_fires(schedule, after, later - timedelta(seconds=1), after).last == earlier
        assert next(CronSim(text, later, reverse=True)) == earlier
