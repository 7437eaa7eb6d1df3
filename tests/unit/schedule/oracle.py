"""An independent account of when a job fires: Debian cron's main loop, minute by minute, with zoneinfo.

Shares no code with the product: its own reading of fields, and a walk over every minute instead of a search.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
NAMES = {name: value for names, first in (("jan feb mar apr may jun jul aug sep oct nov dec", 1),
                                          ("sun mon tue wed thu fri sat", 0))
         for value, name in enumerate(names.split(), first)}  # fmt: skip


def values(text: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        begin, dash, end = span.partition("-")
        if begin == "*":
            first, last = low, high
        else:
            first = NAMES.get(begin) if begin in NAMES else int(begin)
            last = (NAMES[end] if end in NAMES else int(end)) if dash else first
        found |= set(range(first, last + 1, int(step or 1)))
    return {0 if high == 7 and value == 7 else value for value in found}


class Line:
    """Five fields, and Debian's rules for them."""

    def __init__(self, text: str) -> None:
        fields = text.split()
        self.sets = [values(field, *bounds) for field, bounds in zip(fields, BOUNDS, strict=True)]
        self.either = not (fields[2].startswith("*") or fields[4].startswith("*"))
        self.wild = fields[0].startswith("*") or fields[1].startswith("*")

    def matches(self, local: datetime) -> bool:
        minutes, hours, days, months, weekdays = self.sets
        if local.minute not in minutes or local.hour not in hours or local.month not in months:
            return False
        day, weekday = local.day in days, local.isoweekday() % 7 in weekdays
        return (day or weekday) if self.either else (day and weekday)


@lru_cache(maxsize=64)
def local_minutes(zone: str, start: datetime, minutes: int) -> tuple[tuple[datetime, datetime], ...]:
    """(UTC minute, wall clock) for every minute of a window."""
    info = ZoneInfo(zone)
    instants = [start + index * MINUTE for index in range(minutes)]
    return tuple((at, at.astimezone(info).replace(tzinfo=None)) for at in instants)


def debian(
    text: str, zone: str, start: datetime, minutes: int, gap: str = "after", overlap: str = "once"
) -> list[datetime]:
    """Every fire in [start, start + minutes). The minute before `start` counts as handled."""
    line = Line(text)
    found = []
    handled = local_minutes(zone, start, minutes)[0][1] - MINUTE
    for at, local in local_minutes(zone, start, minutes):
        jump = local - handled
        if line.wild or jump == MINUTE:
            due = line.matches(local)
            handled = local
        elif jump > MINUTE:
            skipped = [] if jump - MINUTE > timedelta(hours=3) or gap == "skip" else between(handled, local)
            due = line.matches(local) or any(line.matches(minute) for minute in skipped)
            handled = local
        elif jump > -timedelta(hours=3) + MINUTE and overlap == "once":
            due = False
        else:
            due = line.matches(local)
            handled = local
        if due:
            found.append(at)
    return found


def between(after: datetime, before: datetime) -> list[datetime]:
    count = int((before - after) / MINUTE)
    return [after + index * MINUTE for index in range(1, count)]


def changes(zone: str, year: int) -> list[datetime]:
    """The hours of a year (UTC) in which the zone's offset changes."""
    info = ZoneInfo(zone)
    found, at = [], datetime(year, 1, 1, tzinfo=UTC)
    offset = at.astimezone(info).utcoffset()
    while at.year == year:
        at += timedelta(hours=1)
        now = at.astimezone(info).utcoffset()
        if now != offset:
            found.append(at)
            offset = now
    return found
