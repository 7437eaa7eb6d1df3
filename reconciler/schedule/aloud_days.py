"""In: the day, month and weekday fields of a cron line. Out: the days that they name, in English; words for numbers."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from .fields import Field
from .monthdays import DayKind, DayRule

FEW = 6  # values that are named one by one
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December")  # fmt: skip
DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONDAY_FIRST = (1, 2, 3, 4, 5, 6, 0)


def days_aloud(day: Field, month: Field, weekday: Field, *, either: bool) -> str:
    months = _months(month)
    inside = f" in {months}" if months else ""
    if day.full and weekday.full:
        return f"every day{inside}"
    of = f" of {months or 'every month'}"
    if day.full:
        return f"on {_weekdays(weekday, every='every ')}{of}" if weekday.rules else f"{_weekdays(weekday)}{inside}"
    if weekday.full:
        return f"on {_dates(day)}{of}"
    if either:
        some = "any " if weekday.values else ""
        return f"on {_dates(day)} or {some}{_weekdays(weekday, 'or', every='')}{inside} (either; Debian's rule)"
    begun = day if day.star else weekday
    return f"on {_dates(day)}{of} that is also {_weekdays(weekday, 'or', every='a ')} " \
           f"(both; Debian's rule for `{begun.text}`)"  # fmt: skip


def _dates(day: Field) -> str:
    named = [_RULES[rule.kind](rule) for rule in day.rules]
    return listed([*([_numbered(day)] if day.values else []), *named])


def _numbered(day: Field) -> str:
    step = even(day.values)
    if step > 1 and len(day.values) > FEW:
        return f"every {_ordinal(step)} day ({shown(day.values)})"
    if step == 1 and len(day.values) > 2:
        return f"days {day.values[0]} to {day.values[-1]}"
    return numbers("day", day.values)


def _weekdays(weekday: Field, joined: str = "and", every: str = "every ") -> str:
    values = [value for value in _MONDAY_FIRST if value in weekday.values]
    places = [_MONDAY_FIRST.index(value) for value in values]
    named = [_RULES[rule.kind](rule) for rule in weekday.rules]
    if len(values) > 2 and even(places) == 1:
        return listed([f"{DAYS[values[0]]} to {DAYS[values[-1]]}", *named], joined)
    plain = [f"{every}{listed([DAYS[value] for value in values], joined)}"] if values else []
    return listed([*plain, *named], joined)


def _before_last(rule: DayRule) -> str:
    return f"the {_ordinal(rule.day)} day before the last" if rule.day else "the last day"


# Days that depend on the month.
_RULES: dict[DayKind, Callable[[DayRule], str]] = {
    DayKind.FROM_LAST: _before_last,
    DayKind.WORKDAY: lambda rule: f"the workday nearest to day {rule.day}",
    DayKind.LAST_WORKDAY: lambda rule: (
        f"the workday nearest to {_before_last(rule)}" if rule.day else "the last workday"
    ),
    DayKind.NTH_WEEKDAY: lambda rule: f"the {_ordinal(rule.nth)} {DAYS[rule.day]}",
    DayKind.LAST_WEEKDAY: lambda rule: f"the last {DAYS[rule.day]}",
}


def _months(month: Field) -> str:
    if month.full:
        return ""
    names = [MONTHS[value - 1] for value in month.values]
    return f"{names[0]} to {names[-1]}" if len(names) > 2 and even(month.values) == 1 else listed(names)


# -- words for numbers ----------------------------------------------------------------------------------------


def even(values: Sequence[int]) -> int:
    """The one distance between neighbours; 0 if there are several, or a single value."""
    steps = {later - earlier for earlier, later in pairwise(values)}
    return steps.pop() if len(steps) == 1 else 0


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(0 if number % 100 in (11, 12, 13) else number % 10, "th")
    return f"{number}{ending}"


def numbers(unit: str, values: Sequence[int]) -> str:
    if len(values) == 1:
        return f"{unit} {values[0]}"
    if len(values) > 2 and even(values) == 1:
        return f"{unit}s {values[0]} to {values[-1]}"
    return f"{unit}s {shown(values)}" if len(values) > 2 * FEW else f"{unit}s {listed([str(v) for v in values])}"


def shown(values: Sequence[int]) -> str:
    """`1, 3, 5 ... 31`."""
    return f"{', '.join(map(str, values[:3]))} ... {values[-1]}"


def listed(words: Sequence[str], joined: str = "and") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {joined} {words[-1]}"
