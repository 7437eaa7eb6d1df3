"""Timers made of timers: within bounds, without days, shifted, or several as one. Windows are (low, high]."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from .dates import Days
from .timers import HORIZON, Timer
from .wallclock import DAY
from .zones import stretch

MAX_WALK = 20_000  # fires that are told apart one by one
_EVER = 1 << 40


@dataclass(frozen=True, slots=True)
class Bounded:
    """Only from `first` to `last`, both included."""

    inner: Timer
    first: int
    final: int

    def next(self, after: int, origin: int) -> int | None:
        hit = self.inner.next(max(after, self.first - 1), origin)
        return hit if hit is not None and hit <= self.final else None

    def last(self, low: int, high: int, origin: int) -> int | None:
        low, high = max(low, self.first - 1), min(high, self.final)
        return self.inner.last(low, high, origin) if low < high else None

    def count(self, low: int, high: int, origin: int) -> int:
        low, high = max(low, self.first - 1), min(high, self.final)
        return self.inner.count(low, high, origin) if low < high else 0


@dataclass(frozen=True, slots=True)
class Shifted:
    """Every fire so many seconds later (rule T9)."""

    inner: Timer
    by: int

    def next(self, after: int, origin: int) -> int | None:
        hit = self.inner.next(after - self.by, origin)
        return None if hit is None else hit + self.by

    def last(self, low: int, high: int, origin: int) -> int | None:
        hit = self.inner.last(low - self.by, high - self.by, origin)
        return None if hit is None else hit + self.by

    def count(self, low: int, high: int, origin: int) -> int:
        return self.inner.count(low - self.by, high - self.by, origin)


@dataclass(frozen=True, slots=True)
class Without:
    """Without the fires on some days of a zone's calendar; `outside` them the other way round: on these days only."""

    inner: Timer
    zone: str
    days: Days
    outside: bool = False

    def next(self, after: int, origin: int) -> int | None:
        hit, limit = self.inner.next(after, origin), after + HORIZON
        while hit is not None and hit < limit:
            _, end = self._hidden(hit)
            if end is None:
                return hit
            if end >= _EVER:
                return None
            hit = self.inner.next(end - 1, origin)
        return None

    def last(self, low: int, high: int, origin: int) -> int | None:
        while low < high:
            hit = self.inner.last(low, high, origin)
            if hit is None:
                return None
            begin, end = self._hidden(hit)
            if end is None:
                return hit
            high = begin - 1
        return None

    def count(self, low: int, high: int, origin: int) -> int:
        hidden = sum(self.inner.count(begin - 1, end - 1, origin) for begin, end in self._spans(low + 1, high + 1))
        return self.inner.count(low, high, origin) - hidden

    def _hidden(self, at: int) -> tuple[int, int | None]:
        """The instants [begin, end) round a hidden one, within its stretch; end None = it is not hidden.

        An end of `_EVER` or later: nothing after it is shown. A clock that is set back over midnight shows a date
        twice, which is why each stretch of constant offset is looked at on its own.
        """
        here = stretch(self.zone, at)
        first, last = self._range((at + here.offset) // DAY)
        if first is None or last is None:
            return at, None
        if last >= _EVER:
            return max(first * DAY - here.offset, here.start), _EVER
        return max(first * DAY - here.offset, here.start), min((last + 1) * DAY - here.offset, here.end)

    def _range(self, day: int) -> tuple[int | None, int | None]:
        """The hidden range of days that holds `day`."""
        index = bisect_right(self.days, (day, _EVER)) - 1
        inside = index >= 0 and self.days[index][1] >= day
        if inside is not self.outside:
            return self.days[index] if inside else (-_EVER, self.days[0][0] - 1) if index < 0 else self._between(index)
        return None, None

    def _between(self, index: int) -> tuple[int, int]:
        following = self.days[index + 1][0] - 1 if index + 1 < len(self.days) else _EVER
        return self.days[index][1] + 1, following

    def _spans(self, low: int, high: int) -> Iterator[tuple[int, int]]:
        """The hidden instants within [low, high), as disjoint [begin, end), latest first."""
        while high > low:
            begin, end = self._hidden(high - 1)
            if end is not None:
                yield max(begin, low), high
                high = begin
                continue
            here = stretch(self.zone, high - 1)
            first = self._shown_from((high - 1 + here.offset) // DAY)
            high = max(first * DAY - here.offset, here.start)

    def _shown_from(self, day: int) -> int:
        """The first day of the run of days without a hidden one that `day` belongs to."""
        index = bisect_right(self.days, (day, _EVER)) - 1
        if self.outside:
            return self.days[index][0]
        return self.days[index][1] + 1 if index >= 0 else -_EVER


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The fires of several timers, each instant once."""

    timers: tuple[Timer, ...]

    def next(self, after: int, origin: int) -> int | None:
        hits = [hit for timer in self.timers if (hit := timer.next(after, origin)) is not None]
        return min(hits, default=None)

    def last(self, low: int, high: int, origin: int) -> int | None:
        hits = [hit for timer in self.timers if (hit := timer.last(low, high, origin)) is not None]
        return max(hits, default=None)

    def count(self, low: int, high: int, origin: int) -> int:
        return walk_count(self, low, high, origin)

    def reach(self, low: int, high: int, origin: int) -> int:
        """The earliest start of a window up to `high`, not before `low`, in which all fires can be told apart."""
        while low < high and sum(timer.count(low, high, origin) for timer in self.timers) > MAX_WALK:
            low = high - (high - low) // 2 if high - low > 1 else high - 1
        return low


@dataclass(frozen=True, slots=True)
class Unless:
    """The fires of `inner` at which `other` does not fire. Gives up after `MAX_WALK` that coincide."""

    inner: Timer
    other: Timer

    def next(self, after: int, origin: int) -> int | None:
        for _ in range(MAX_WALK):
            hit = self.inner.next(after, origin)
            if hit is None or self.other.next(hit - 1, origin) != hit:
                return hit
            after = hit
        return None

    def last(self, low: int, high: int, origin: int) -> int | None:
        for _ in range(MAX_WALK):
            hit = self.inner.last(low, high, origin)
            if hit is None or self.other.next(hit - 1, origin) != hit:
                return hit
            high = hit - 1
        return None

    def count(self, low: int, high: int, origin: int) -> int:
        return walk_count(self, low, high, origin)


def walk_count(timer: Timer, low: int, high: int, origin: int) -> int:
    """Fires in the window, one by one; at most `MAX_WALK`."""
    found = 0
    while found < MAX_WALK:
        hit = timer.next(low, origin)
        if hit is None or hit > high:
            break
        found, low = found + 1, hit
    return found
