"""In: the values of the six fields. Out: which naive wall-clock seconds they allow. Knows no zones.

A wall-clock second is an int: seconds from 1970-01-01 00:00 as a clock on the wall would count them. Every search
takes its bounds, jumps from month to month, and costs microseconds; counting costs one step a month.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from .monthdays import DayRule, rule_days

DAY = 86400
EPOCH = date(1970, 1, 1).toordinal()
FIRST = (date(1900, 1, 1).toordinal() - EPOCH) * DAY  # nothing is scheduled before
LAST = (date(9999, 12, 30).toordinal() - EPOCH) * DAY
_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MONTH = (1 << 31) - 1


def _bits(year: int, month: int) -> int:
    """A set bit for each day of the month, day 1 at bit 0."""
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return (1 << (_LENGTHS[month - 1] + leap)) - 1


@lru_cache(maxsize=4096)
def _shape(year: int, month: int) -> tuple[int, int]:
    """The weekday of a month's first day (Sunday = 0), and a set bit for each of its days."""
    return date(year, month, 1).toordinal() % 7, _bits(year, month)


@dataclass(frozen=True, slots=True)
class WallClock:
    """The times of day, and the days, that a schedule allows.

    `weekday_masks[w]` has a bit for each allowed day of a month that begins on weekday w (Sunday = 0).
    `either`: a day needs to fit the day of month *or* the weekday (both are restricted), else both.
    """

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    day_mask: int
    weekday_masks: tuple[int, ...]
    months: tuple[int, ...]
    either: bool
    rules: tuple[DayRule, ...] = ()  # days that depend on the month: `L`, `15W`, `fri#2`
    daily: bool = False  # every day is allowed, so none is looked for

    @property
    def per_day(self) -> int:
        return len(self.hours) * len(self.minutes) * len(self.seconds)

    @property
    def first_of_day(self) -> int:
        return self.hours[0] * 3600 + self.minutes[0] * 60 + self.seconds[0]

    @property
    def last_of_day(self) -> int:
        return self.hours[-1] * 3600 + self.minutes[-1] * 60 + self.seconds[-1]

    def times_of_day(self) -> Iterator[int]:
        return (h * 3600 + m * 60 + s for h in self.hours for m in self.minutes for s in self.seconds)

    # -- searching --------------------------------------------------------------------------------------------

    def next(self, low: int, high: int) -> int | None:
        """The first allowed second in [low, high)."""
        if low < FIRST or high > LAST:
            low, high = max(low, FIRST), min(high, LAST)
        if low >= high:
            return None
        day, time = divmod(low, DAY)
        last_day = (high - 1) // DAY
        found = self.next_day(day, last_day)
        if found == day:
            hit = self._time_from(time)
            if hit is not None:
                return _below(day * DAY + hit, high)
            found = self.next_day(day + 1, last_day)
        return None if found is None else _below(found * DAY + self.first_of_day, high)

    def previous(self, low: int, high: int) -> int | None:
        """The last allowed second in [low, high)."""
        low, high = max(low, FIRST), min(high, LAST)
        if low >= high:
            return None
        day, time = divmod(high - 1, DAY)
        first_day = low // DAY
        found = self.previous_day(day, first_day)
        if found == day:
            hit = self._time_until(time)
            if hit is not None:
                return _from(day * DAY + hit, low)
            found = self.previous_day(day - 1, first_day)
        return None if found is None else _from(found * DAY + self.last_of_day, low)

    def count(self, low: int, high: int) -> int:
        """How many allowed seconds lie in [low, high)."""
        low, high = max(low, FIRST), min(high, LAST)
        if low >= high:
            return 0
        (day, time), (last_day, last_time) = divmod(low, DAY), divmod(high, DAY)
        total = self._days(day, last_day) * self.per_day
        if self.next_day(day, day) is not None:
            total -= self._times_before(time)
        if self.next_day(last_day, last_day) is not None:
            total += self._times_before(last_time)
        return total

    # -- days -------------------------------------------------------------------------------------------------

    def month_days(self, year: int, month: int) -> int:
        """A set bit for each allowed day of a month, whatever `months` says."""
        return self.shape_days(*_shape(year, month))

    def shape_days(self, first: int, month: int) -> int:
        """The same for a month that begins on weekday `first` (Sunday = 0) and has the days of the mask `month`."""
        by_date, by_week = self.day_mask, self.weekday_masks[first]
        if self.rules:
            dates, weekdays = rule_days(self.rules, first, month.bit_length())
            by_date, by_week = by_date | dates, by_week | weekdays
        return (by_date | by_week if self.either else by_date & by_week) & month

    def next_day(self, day: int, last: int) -> int | None:
        """The first allowed day in [day, last]; days count from 1970-01-01."""
        if day > last:
            return None
        if self.daily:
            return day
        start = date.fromordinal(day + EPOCH)
        year, month = start.year, start.month
        skip = start.day - 1
        while True:
            begin = day - skip
            if month in self.months:
                bits = self.month_days(year, month) >> skip
                if bits:
                    found = day + (bits & -bits).bit_length() - 1
                    return found if found <= last else None
            day, skip = begin + _bits(year, month).bit_length(), 0
            if day > last:
                return None
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)

    def previous_day(self, day: int, first: int) -> int | None:
        """The last allowed day in [first, day]."""
        if day < first:
            return None
        if self.daily:
            return day
        start = date.fromordinal(day + EPOCH)
        year, month = start.year, start.month
        keep = start.day
        while True:
            if month in self.months:
                bits = self.month_days(year, month) & ((1 << keep) - 1)
                if bits:
                    found = day - keep + bits.bit_length()
                    return found if found >= first else None
            day -= keep
            if day < first:
                return None
            year, month = (year, month - 1) if month > 1 else (year - 1, 12)
            keep = _bits(year, month).bit_length()

    def _days(self, day: int, end: int) -> int:
        """How many allowed days lie in [day, end)."""
        total = 0
        while day < end:
            start = date.fromordinal(day + EPOCH)
            skip = start.day - 1
            after = day - skip + _bits(start.year, start.month).bit_length()
            if start.month in self.months:
                bits = self.month_days(start.year, start.month) >> skip
                if end < after:
                    bits &= (1 << (end - day)) - 1
                total += bits.bit_count()
            day = after
        return total

    # -- times of day -----------------------------------------------------------------------------------------

    def _time_from(self, time: int) -> int | None:
        """The first allowed time of day at or after `time`."""
        hour, minute, second = time // 3600, time // 60 % 60, time % 60
        i = bisect_left(self.hours, hour)
        if i == len(self.hours):
            return None
        if self.hours[i] == hour:
            j = bisect_left(self.minutes, minute)
            if j < len(self.minutes):
                if self.minutes[j] > minute:
                    return hour * 3600 + self.minutes[j] * 60 + self.seconds[0]
                k = bisect_left(self.seconds, second)
                if k < len(self.seconds):
                    return hour * 3600 + minute * 60 + self.seconds[k]
                if j + 1 < len(self.minutes):
                    return hour * 3600 + self.minutes[j + 1] * 60 + self.seconds[0]
            i += 1
            if i == len(self.hours):
                return None
        return self.hours[i] * 3600 + self.minutes[0] * 60 + self.seconds[0]

    def _time_until(self, time: int) -> int | None:
        """The last allowed time of day at or before `time`."""
        index = self._times_before(time + 1) - 1
        if index < 0:
            return None
        rest, k = divmod(index, len(self.seconds))
        i, j = divmod(rest, len(self.minutes))
        return self.hours[i] * 3600 + self.minutes[j] * 60 + self.seconds[k]

    def _times_before(self, time: int) -> int:
        """How many allowed times of day lie before `time` (0 to 86400)."""
        hour, minute, second = time // 3600, time // 60 % 60, time % 60
        i = bisect_left(self.hours, hour)
        total = i * len(self.minutes) * len(self.seconds)
        if i < len(self.hours) and self.hours[i] == hour:
            j = bisect_left(self.minutes, minute)
            total += j * len(self.seconds)
            if j < len(self.minutes) and self.minutes[j] == minute:
                total += bisect_left(self.seconds, second)
        return total


def _below(value: int, high: int) -> int | None:
    return value if value < high else None


def _from(value: int, low: int) -> int | None:
    return value if value >= low else None


@lru_cache(maxsize=1024)
def day_mask(days: tuple[int, ...]) -> int:
    return sum(1 << (day - 1) for day in days)


@lru_cache(maxsize=256)
def weekday_masks(weekdays: tuple[int, ...]) -> tuple[int, ...]:
    """For months that begin on each weekday, the days of the month that fall on one of `weekdays` (Sunday = 0)."""
    return tuple(sum(1 << day for day in range(31) if (first + day) % 7 in weekdays) & _MONTH for first in range(7))


EVERY_WEEKDAY = weekday_masks(tuple(range(7)))
