"""In: a day rule of a cron line, and the shape of a month. Out: which of its days the rule names. Knows no dates.

A month's shape is the weekday of its first day (Sunday = 0) and its length: there are 28, so each is worked out once.
"""

from enum import Enum, auto
from functools import lru_cache
from typing import NamedTuple

SATURDAY, SUNDAY = 6, 0


class DayKind(Enum):
    """What a rule names. The first three belong to the day of month, the others to the day of week."""

    FROM_LAST = auto()  # `L`, `L-3`: so many days before the last
    WORKDAY = auto()  # `15W`: the day from Monday to Friday nearest to the 15th, in the same month
    LAST_WORKDAY = auto()  # `LW`, `L-3W`
    NTH_WEEKDAY = auto()  # `fri#2`
    LAST_WEEKDAY = auto()  # `friL`


class DayRule(NamedTuple):
    """`day`: days before the last, the day of month, or the weekday. `nth`: of NTH_WEEKDAY only."""

    kind: DayKind
    day: int
    nth: int = 0

    @property
    def by_week(self) -> bool:
        return self.kind in (DayKind.NTH_WEEKDAY, DayKind.LAST_WEEKDAY)


@lru_cache(maxsize=4096)
def rule_days(rules: tuple[DayRule, ...], first: int, length: int) -> tuple[int, int]:
    """`(by date, by weekday)`: a set bit for each day that a rule of that sort names, day 1 at bit 0."""
    found = [0, 0]
    for rule in rules:
        day = _day(rule, first, length)
        if day is not None:
            found[rule.by_week] |= 1 << (day - 1)
    return found[0], found[1]


def _day(rule: DayRule, first: int, length: int) -> int | None:
    """The day of month; None if this month has none, as there is no 31st of April and seldom a fifth Friday."""
    if rule.kind is DayKind.NTH_WEEKDAY:
        day = (rule.day - first) % 7 + 1 + 7 * (rule.nth - 1)
    elif rule.kind is DayKind.LAST_WEEKDAY:
        last = (first + length - 1) % 7
        day = length - (last - rule.day) % 7
    else:
        day = rule.day if rule.kind is DayKind.WORKDAY else length - rule.day
    if not 1 <= day <= length:
        return None
    return _workday(day, first, length) if rule.kind in (DayKind.WORKDAY, DayKind.LAST_WORKDAY) else day


def _workday(day: int, first: int, length: int) -> int:
    """Saturday goes back to Friday and Sunday on to Monday, but never out of the month."""
    weekday = (first + day - 1) % 7
    if weekday == SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == SUNDAY:
        return day + 1 if day < length else day - 2
    return day
