"""In: a schedule. Out: the seconds between its two closest fires, on a clock that is never changed (rules T8, T9)."""

from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

from ..model.job import Schedule, ScheduleKind
from .dates import read_time
from .expression import normalise, read_expression
from .wallclock import DAY, EPOCH, WallClock

_YEAR_2000 = 730120 - EPOCH  # the calendar repeats within 40 years, whatever the fields say
_SPAN = 80 * 366


def smallest_interval(schedule: Schedule) -> float | None:
    """None for manual, unreadable, or a single time. Of several, their own and how close they come to each other;
    one second where that depends on when they were applied, or on zones."""
    if schedule.kind is ScheduleKind.EVERY:
        return schedule.every or None
    if schedule.kind is ScheduleKind.SEVERAL:
        return _of_several(schedule.parts)
    if schedule.kind is ScheduleKind.AT:
        times = sorted({read_time(text) for text in schedule.expression.split(",")})
        return float(min((b - a for a, b in pairwise(times)), default=0)) or None
    wall = _wall(schedule)
    return None if wall is None else float(_closest(wall))


def written_interval(schedule: Schedule) -> float | None:
    """What a policy can hold against a schedule: as `smallest_interval`, but entries of a list whose distance is up to
    zones, or to when they were applied, count each for itself."""
    if schedule.kind is not ScheduleKind.SEVERAL or _alike(schedule.parts):
        return smallest_interval(schedule)
    return min((found for part in schedule.parts if (found := smallest_interval(part)) is not None), default=None)


def _alike(parts: tuple[Schedule, ...]) -> bool:
    """Cron lines of one zone and jitter: how close they come is known."""
    lines = all(part.kind is ScheduleKind.CRON for part in parts)
    return lines and len({(part.timezone, part.jitter) for part in parts}) == 1


def _wall(schedule: Schedule) -> WallClock | None:
    if schedule.kind is not ScheduleKind.CRON:
        return None
    return read_expression(normalise(schedule.expression)[1], schedule.seed).wall


@lru_cache(maxsize=1024)
def _of_several(parts: tuple[Schedule, ...]) -> float | None:
    own = [interval for part in parts if (interval := smallest_interval(part)) is not None]
    walls = [wall for part in parts if (wall := _wall(part)) is not None]
    if len(walls) != len(parts) or not _alike(parts):
        return 1.0
    times: set[int] = set()
    for wall in walls:
        times.update(wall.times_of_day())
    ordered = sorted(times)
    between = [later - earlier for earlier, later in pairwise([*ordered, ordered[0] + DAY])]
    return float(min([*own, *between]))


@lru_cache(maxsize=4096)
def _closest(wall: WallClock) -> int:
    """Seconds between the two closest fires: of one minute, of one hour, of one day, or of two days."""
    spans, inside = [], 0
    for values, unit in ((wall.seconds, 1), (wall.minutes, 60), (wall.hours, 3600)):
        spans += [(later - earlier) * unit - inside for earlier, later in pairwise(values)]
        inside += (values[-1] - values[0]) * unit
    if spans and min(spans) <= DAY - inside:
        return min(spans)  # no two days come closer
    spans.append(_closest_days(replace(wall, seconds=(0,), minutes=(0,), hours=(0,))) * DAY - inside)
    return min(spans)


@lru_cache(maxsize=1024)
def _closest_days(wall: WallClock) -> int:
    """Days between the two closest allowed days; the times of day mean nothing, and a fleet has few such rules."""
    begin = _YEAR_2000
    end, closest = begin + _SPAN, _SPAN
    day = wall.next_day(begin, end)
    while day is not None and closest > 1:
        following = wall.next_day(day + 1, end)
        if following is not None:
            closest = min(closest, following - day)
        day = following
    return closest
