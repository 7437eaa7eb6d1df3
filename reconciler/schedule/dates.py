"""Dates and wall-clock times as job files write them, sets of days, and where a wall clock's time lies in a zone.

A day is an int, days since 1970-01-01; a set of days is a tuple of (first, last), sorted, disjoint and never adjacent.
Wall-clock seconds are as in `wallclock`; instants are int seconds since the epoch.
"""

import re
from collections.abc import Iterable
from datetime import date, timedelta
from functools import lru_cache

from ..model.years import FIRST_YEAR, LAST_YEAR, OUTSIDE
from .wallclock import DAY, EPOCH
from .zones import stretch

Days = tuple[tuple[int, int], ...]

MAX_RANGES = 4096  # of one schedule, after merging
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})\Z", re.ASCII)
_TIME = re.compile(r"([0-9-]{10})[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?\Z", re.ASCII)
_ZONED = re.compile(r"[0-9-]{10}[Tt ][0-9:.]+ ?(?:[Zz]|[+-][0-9:]+)\Z", re.ASCII)


def read_date(text: str) -> int:
    """The day of `2026-12-24`. Raises ValueError, whose text says what is wrong."""
    match = _DATE.match(text)
    if match is None:
        raise ValueError("is no date such as 2026-12-24")
    year, month, day = (int(part) for part in match.groups())
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise ValueError(OUTSIDE)
    try:
        return date(year, month, day).toordinal() - EPOCH
    except ValueError:
        raise ValueError("is no day of the calendar") from None


def read_days(text: str) -> tuple[int, int]:
    """`2026-12-24`, or `2026-12-24..2027-01-06` with both ends. Raises ValueError."""
    begin, dots, end = text.partition("..")
    first = read_date(begin.strip())
    last = read_date(end.strip()) if dots else first
    if last < first:
        raise ValueError("ends before it begins")
    return first, last


def read_time(text: str) -> int:
    """The wall-clock second of `2026-12-01T03:00` or `2026-12-01T03:00:30`. Raises ValueError."""
    match = _TIME.match(text)
    if match is None:
        if _ZONED.match(text):
            raise ValueError("has a zone of its own: write the time in the zone of `timezone`")
        raise ValueError("is no time such as 2026-12-01T03:00")
    hour, minute, second = (int(part or 0) for part in match.groups()[1:])
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("is no time of day")
    return read_date(match[1]) * DAY + hour * 3600 + minute * 60 + second


def day_text(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def time_text(wall: int) -> str:
    """`2026-12-01T03:00`, with seconds if there are any."""
    day, time = divmod(wall, DAY)
    text = f"{day_text(day)}T{time // 3600:02}:{time // 60 % 60:02}"
    return text + (f":{time % 60:02}" if time % 60 else "")


def merged(ranges: Iterable[tuple[int, int]]) -> Days:
    """Any ranges of days as a set: sorted, with those that touch made one."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


def days_text(days: Days) -> str:
    """The canonical text of a set of days: `2026-12-24..2026-12-26,2027-01-01`."""
    return ",".join(day_text(a) if a == b else f"{day_text(a)}..{day_text(b)}" for a, b in days)


@lru_cache(maxsize=1024)
def days_of(text: str) -> Days:
    """The inverse of `days_text`. Raises ValueError on what is no such text."""
    return merged(read_days(part) for part in text.split(",")) if text else ()


def instant_of(zone: str, wall: int) -> int:
    """The first instant at which the clock on the wall has reached `wall`: after a gap, and the first of two."""
    at = wall - DAY - 3 * 3600  # no zone is further east, nor was it before a change
    here = stretch(zone, at)
    while here.end + here.offset <= wall:
        at = here.end
        here = stretch(zone, at)
    return max(wall - here.offset, at)
