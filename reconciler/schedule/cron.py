"""In: a Schedule and an instant. Out: when it fires next, or last, or how often (rules T1-T3).

Cron fields are matched on the naive wall clock, and mapped to UTC here, stretch of constant offset by stretch, with
Debian cron's rule at its ends: what a fixed-time job would have done in a gap of up to three hours is done once right
after it, and in a repeated stretch it runs once; a job with a star in second, minute or hour follows elapsed time.
Larger changes (a zone that crosses the date line) are corrections: the new time simply counts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise

from ..model.job import Schedule, ScheduleKind
from .advice import advise
from .expression import MAX_EVERY, normalise, read_expression
from .fields import Problem
from .wallclock import DAY, FIRST, LAST, WallClock
from .zones import Stretch, find_zone, stretch, zone_hint

__all__ = ["FireWindow", "fires", "latest_fires", "next_fire", "normalise", "smallest_interval", "validate"]

MAX_SHIFT = 3 * 3600  # a larger change of offset is a correction, as in Debian cron
HORIZON = 50 * 366 * DAY  # how far a next fire is looked for
MAX_WINDOW = 10 * 366 * DAY  # how far back what is due is counted
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class FireWindow:
    """The fires in a window: the first, the last and how many. `capped`: the window was longer than ten years, and
    only its last ten count."""

    first: datetime | None = None
    last: datetime | None = None
    count: int = 0
    capped: bool = False


def validate(schedule: Schedule) -> tuple[list[Problem], list[Problem]]:
    """`(errors, warnings)`, each `(code, message, hint)`."""
    errors: list[Problem] = []
    warnings: list[Problem] = []
    if find_zone(schedule.timezone) is None:
        errors.append(("timezone-unknown", f"unknown time zone {schedule.timezone!r}", zone_hint(schedule.timezone)))
    if schedule.kind is ScheduleKind.EVERY:
        errors += _every_problems(schedule)
    elif schedule.kind is ScheduleKind.CRON:
        expression = read_expression(normalise(schedule.expression)[1])
        errors += expression.problems
        warnings += [] if expression.problems else advise(expression)
    return errors, warnings


def next_fire(schedule: Schedule, after: datetime, anchor: datetime) -> datetime | None:
    """The first fire strictly later than `after`; None if it is manual, unreadable, or has none within 50 years.

    `anchor` is what `@every` counts from; cron lines ignore it.
    """
    timer = _timer(schedule)
    if timer is None:
        return None
    hit = timer.next(_floor(after), _floor(anchor))
    return None if hit is None else _instant(hit)


def fires(schedule: Schedule, after: datetime, until: datetime, anchor: datetime, limit: int) -> list[datetime]:
    """The fires in (after, until], oldest first, at most `limit`."""
    timer = _timer(schedule)
    found: list[datetime] = []
    at, end, origin = _floor(after), _floor(until), _floor(anchor)
    while timer is not None and len(found) < limit:
        hit = timer.next(at, origin)
        if hit is None or hit > end:
            break
        found.append(_instant(hit))
        at = hit
    return found


def latest_fires(schedule: Schedule, after: datetime, until: datetime, anchor: datetime) -> FireWindow:
    """What fell due in (after, until], by counting and not by walking: cheap after a year of downtime too."""
    timer = _timer(schedule)
    low, high, origin = _floor(after), _floor(until), _floor(anchor)
    capped = high - low > MAX_WINDOW
    low = max(low, high - MAX_WINDOW, FIRST + DAY)
    first = None if timer is None else timer.next(low, origin)
    if timer is None or first is None or first > high:
        return FireWindow(capped=capped)
    last = timer.last(low, high, origin)
    return FireWindow(_instant(first), _instant(last), timer.count(low, high, origin), capped)


def smallest_interval(schedule: Schedule) -> float | None:
    """Seconds between the two closest fires on an even clock (without DST); None for manual or unreadable."""
    if schedule.kind is ScheduleKind.EVERY:
        return schedule.every or None
    timer = _timer(schedule)
    return float(_closest(timer.wall)) if isinstance(timer, CronTimer) else None


# -- timers: int seconds since the epoch ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EveryTimer:
    """`@every`: anchor + k * every, k >= 1. A restart or an edit of another field shifts nothing."""

    every: int

    def next(self, after: int, origin: int) -> int | None:
        hit = origin + max((after - origin) // self.every + 1, 1) * self.every
        return hit if hit < LAST else None

    def last(self, low: int, high: int, origin: int) -> int:  # noqa: ARG002  one shape with CronTimer
        return origin + (high - origin) // self.every * self.every

    def count(self, low: int, high: int, origin: int) -> int:
        return max((high - origin) // self.every, 0) - max((low - origin) // self.every, 0)


@dataclass(frozen=True, slots=True)
class CronTimer:
    """A cron line in a zone. Windows are (low, high]."""

    wall: WallClock
    zone: str
    fixed: bool
    gap_after: bool
    once: bool

    def next(self, after: int, origin: int) -> int | None:  # noqa: ARG002  cron lines have no anchor
        at = max(after + 1, FIRST + DAY)
        limit = min(at + HORIZON, LAST - DAY)
        while at < limit:
            here = stretch(self.zone, at)
            if at == here.start and self._fires_for_gap(here):
                return at
            hit = self.wall.next(max(at + here.offset, self._seen(here)), min(here.end, limit) + here.offset)
            if hit is not None:
                return hit - here.offset
            at = here.end
        return None

    def last(self, low: int, high: int, origin: int) -> int:  # noqa: ARG002
        """The last fire in the window, which must hold one."""
        return next(hit for part in self._stretches(low, high) if (hit := self._last_in(*part)) is not None)

    def count(self, low: int, high: int, origin: int) -> int:  # noqa: ARG002
        return sum(self._count_in(*part) for part in self._stretches(low, high))

    def _stretches(self, low: int, high: int) -> Iterator[tuple[Stretch, int, int]]:
        """(low, high] cut at the changes of offset, latest first, as (stretch, from, to) with `to` exclusive."""
        end = high + 1
        while end > low + 1:
            here = stretch(self.zone, end - 1)
            begin = max(here.start, low + 1)
            yield here, begin, end
            end = begin

    def _last_in(self, here: Stretch, low: int, high: int) -> int | None:
        """The last fire in [low, high), which lies within the stretch."""
        hit = self.wall.previous(max(low + here.offset, self._seen(here)), high + here.offset)
        if hit is not None:
            return hit - here.offset
        return here.start if low == here.start and self._fires_for_gap(here) else None

    def _count_in(self, here: Stretch, low: int, high: int) -> int:
        begin = max(low + here.offset, self._seen(here))
        total = self.wall.count(begin, high + here.offset)
        extra = low == here.start and self._fires_for_gap(here)
        return total + (extra and self.wall.next(begin, begin + 1) is None)

    def _fires_for_gap(self, here: Stretch) -> bool:
        """Does a fixed time fall into the gap that ends where this stretch starts?"""
        return (
            self.fixed
            and self.gap_after
            and 0 < here.offset - here.before <= MAX_SHIFT
            and self.wall.next(here.start + here.before, here.start + here.offset) is not None
        )

    def _seen(self, here: Stretch) -> int:
        """The wall clock before which a fixed time has had its turn already."""
        repeats = self.fixed and self.once and 0 < here.before - here.offset < MAX_SHIFT
        return here.start + (here.before if repeats else here.offset)


@lru_cache(maxsize=16384)
def _timer(schedule: Schedule) -> EveryTimer | CronTimer | None:
    """The schedule, read once; None if it is manual or cannot be read (`validate` tells why)."""
    if schedule.kind is ScheduleKind.EVERY:
        return None if _every_problems(schedule) else EveryTimer(int(schedule.every))
    if schedule.kind is ScheduleKind.MANUAL or find_zone(schedule.timezone) is None:
        return None
    expression = read_expression(normalise(schedule.expression)[1])
    if expression.wall is None:
        return None
    return CronTimer(
        expression.wall, schedule.timezone, expression.fixed, schedule.gap == "after", schedule.overlap == "once"
    )


def _every_problems(schedule: Schedule) -> list[Problem]:
    if 1.0 <= schedule.every <= MAX_EVERY and schedule.every == int(schedule.every):
        return []
    hint = "Write `@every 90s`, `@every 1h30m` or `@every 2d`: whole seconds, at least one."
    return [("schedule-invalid", f"{schedule.expression!r} is no interval", hint)]


@lru_cache(maxsize=4096)
def _closest(wall: WallClock) -> int:
    """Seconds between the two closest fires: of one minute, of one hour, of one day, or of two days."""
    spans, inside = [], 0
    for values, unit in ((wall.seconds, 1), (wall.minutes, 60), (wall.hours, 3600)):
        spans += [(later - earlier) * unit - inside for earlier, later in pairwise(values)]
        inside += (values[-1] - values[0]) * unit
    spans.append(_closest_days(wall) * DAY - inside)
    return min(spans)


def _closest_days(wall: WallClock) -> int:
    """Days between the two closest allowed days. The calendar repeats within 40 years, whatever the fields say."""
    begin = (datetime(2000, 1, 1, tzinfo=UTC) - _EPOCH).days
    end, closest = begin + 80 * 366, 80 * 366
    day = wall.next_day(begin, end)
    while day is not None and closest > 1:
        following = wall.next_day(day + 1, end)
        if following is not None:
            closest = min(closest, following - day)
        day = following
    return closest


def _floor(at: datetime) -> int:
    """Whole seconds since the epoch; fires fall on whole seconds, so what is later than the floor is later."""
    return (at - _EPOCH) // timedelta(seconds=1)


def _instant(at: int) -> datetime:
    return _EPOCH + timedelta(seconds=at)
