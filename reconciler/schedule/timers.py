"""The three sources of fires: an interval, a cron line in a zone, and single times in a zone.

All speak of int seconds since the epoch; windows are (low, high]. `origin` is what an interval counts from.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from .wallclock import DAY, FIRST, LAST
from .zones import Stretch, stretch

MAX_SHIFT = 3 * 3600  # a larger change of offset is a correction, as in Debian cron
HORIZON = 50 * 366 * DAY  # how far a next fire is looked for


class Timer(Protocol):
    """Something that fires."""

    def next(self, after: int, origin: int) -> int | None:
        """The first fire strictly later than `after`; None if there is none within the horizon."""
        ...

    def last(self, low: int, high: int, origin: int) -> int | None:
        """The last fire in (low, high]."""
        ...

    def count(self, low: int, high: int, origin: int) -> int:
        """How many fires there are in (low, high]."""
        ...


class Wall(Protocol):
    """Which seconds of a clock on the wall are meant; windows here are [low, high)."""

    def next(self, low: int, high: int) -> int | None: ...
    def previous(self, low: int, high: int) -> int | None: ...
    def count(self, low: int, high: int) -> int: ...


@dataclass(frozen=True, slots=True)
class WallTimes:
    """Single times, sorted."""

    times: tuple[int, ...]

    def next(self, low: int, high: int) -> int | None:
        index = bisect_left(self.times, low)
        return self.times[index] if index < len(self.times) and self.times[index] < high else None

    def previous(self, low: int, high: int) -> int | None:
        index = bisect_left(self.times, high) - 1
        return self.times[index] if index >= 0 and self.times[index] >= low else None

    def count(self, low: int, high: int) -> int:
        return max(bisect_left(self.times, high) - bisect_left(self.times, low), 0)


@dataclass(frozen=True, slots=True)
class EveryTimer:
    """`@every`: anchor + k * every, k >= 1. A restart or an edit of another field shifts nothing.

    `begin`, if there is one, is itself the first fire, and the anchor does not count.
    """

    every: int
    begin: int | None = None

    def next(self, after: int, origin: int) -> int | None:
        origin = self._origin(origin)
        hit = origin + max((after - origin) // self.every + 1, 1) * self.every
        return hit if hit < LAST else None

    def last(self, low: int, high: int, origin: int) -> int | None:
        origin = self._origin(origin)
        hit = origin + (high - origin) // self.every * self.every
        return hit if hit > max(low, origin) else None

    def count(self, low: int, high: int, origin: int) -> int:
        origin = self._origin(origin)
        return max((high - origin) // self.every, 0) - max((low - origin) // self.every, 0)

    def _origin(self, origin: int) -> int:
        return origin if self.begin is None else self.begin - self.every


@dataclass(frozen=True, slots=True)
class CronTimer:
    """A cron line, or single times, in a zone."""

    wall: Wall
    zone: str
    fixed: bool
    gap_after: bool
    once: bool

    def next(self, after: int, origin: int) -> int | None:  # noqa: ARG002  only an interval has an anchor
        at = max(after + 1, FIRST + DAY)
        limit = min(at + HORIZON, LAST - DAY)
        while at < limit:
            here = stretch(self.zone, at)
            if at == here.start and self._fires_for_gap(here):
                return at
            offset = here.offset
            low = at + offset if here.before <= offset else max(at + offset, self._seen(here))
            hit = self.wall.next(low, (here.end if here.end < limit else limit) + offset)
            if hit is not None:
                return hit - offset
            at = here.end
        return None

    def last(self, low: int, high: int, origin: int) -> int | None:  # noqa: ARG002
        return next((hit for part in self._stretches(low, high) if (hit := self._last_in(*part)) is not None), None)

    def count(self, low: int, high: int, origin: int) -> int:  # noqa: ARG002
        return sum(self._count_in(*part) for part in self._stretches(low, high))

    def _stretches(self, low: int, high: int) -> Iterator[tuple[Stretch, int, int]]:
        """(low, high] cut at the changes of offset, latest first, as (stretch, from, to) with `to` exclusive."""
        end, low = high + 1, max(low, FIRST + DAY)
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
