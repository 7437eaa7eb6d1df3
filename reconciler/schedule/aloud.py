"""In: a Schedule. Out: the same in plain English, as a person would read it aloud.

What a field says is taken from its values, so that any way to write them reads alike. Each part is a table of forms;
the first that fits speaks. A form that no table knows is quoted as it was typed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..model.job import Schedule, ScheduleKind
from .expression import Expression, normalise, read_expression
from .fields import Field

FEW = 6  # times of day that are named one by one
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December")  # fmt: skip
DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONDAY_FIRST = (1, 2, 3, 4, 5, 6, 0)


@dataclass(frozen=True, slots=True)
class Clock:
    """Second, minute and hour of an expression."""

    second: Field
    minute: Field
    hour: Field

    @property
    def first(self) -> str:
        return _time(self.hour.values[0], self.minute.values[0])

    @property
    def last(self) -> str:
        return _time(self.hour.values[-1], self.minute.values[-1])


def aloud(schedule: Schedule) -> str:
    """`at 02:30 every day, Europe/Berlin`; never raises: what cannot be read is quoted."""
    if schedule.kind is ScheduleKind.MANUAL:
        return "never by itself, only by hand"
    if schedule.kind is ScheduleKind.EVERY:
        return f"every {_every(schedule.every)}, counted from when this schedule was applied"
    text = normalise(schedule.expression)[1]
    expression = read_expression(text)
    if expression.wall is None or len(expression.fields) != 6:
        return f"`{text}`, {schedule.timezone}"
    return f"{_said(expression)}, {schedule.timezone}"


def _said(expression: Expression) -> str:
    second, minute, hour, day, month, weekday = expression.fields
    assert expression.wall is not None
    times = _first(_TIMES, Clock(second, minute, hour))
    days = _days(day, month, weekday, either=expression.wall.either)
    if days == "every day" and "every" in times:
        return times
    if times.startswith("every"):
        return f"{times}, {days}"
    return f"{times} {days}" if days.startswith(("every", "on ")) else f"{times}, {days}"


def _first(forms: Sequence[Callable[[Clock], str]], clock: Clock) -> str:
    return next(said for form in forms if (said := form(clock)))


# -- times of day: each form says its own case, and "" otherwise ----------------------------------------------


def _seconds(clock: Clock) -> str:
    """Every minute of every hour, and not once in it."""
    if clock.second.values == (0,) or not (clock.minute.full and clock.hour.full):
        return ""
    step = _rhythm(clock.second)
    return f"every {_nth(step, 'second')}" if step else f"every minute, at {_numbers('second', clock.second.values)}"


def _few(clock: Clock) -> str:
    second, minute, hour = clock.second.values, clock.minute.values, clock.hour.values
    if clock.hour.full or len(second) * len(minute) * len(hour) > FEW:
        return ""
    with_seconds = second != (0,)
    found = [_time(h, m, s if with_seconds else None) for h in hour for m in minute for s in second]
    return f"at {_and(found)}"


def _with_seconds(clock: Clock) -> str:
    """Too many to name: the minutes first, then the seconds in them."""
    if clock.second.values == (0,):
        return ""
    return f"{_first(_TIMES[3:], clock)}, at {_numbers('second', clock.second.values)} of the minute"


def _minutes(clock: Clock) -> str:
    """`every 15 minutes from 09:00 to 17:45`."""
    step = _rhythm(clock.minute)
    if not step:
        return ""
    begin = clock.minute.values[0]
    said = f"every {_nth(step, 'minute')}"
    if clock.hour.full:
        return said + (f" from minute {begin}" if begin else "")
    if _even(clock.hour.values) == 1:
        return f"{said} from {clock.first} to {clock.last}"
    return f"{said}{f' from minute {begin}' if begin else ''} of {_numbers('hour', clock.hour.values)}"


def _hours(clock: Clock) -> str:
    """`every 2 hours from 00:05`, `every hour from 09:00 to 17:00`."""
    if len(clock.minute.values) > 1:
        return ""
    minute = clock.minute.values[0]
    if clock.hour.full:
        return f"every hour at minute {minute}" if minute else "every hour on the hour"
    step = _rhythm(clock.hour)
    if step:
        return f"every {_nth(step, 'hour')} from {clock.first}"
    step = _even(clock.hour.values)
    return f"every {_nth(step, 'hour')} from {clock.first} to {clock.last}" if step else ""


def _any(clock: Clock) -> str:
    hours = "every hour" if clock.hour.full else _numbers("hour", clock.hour.values)
    return f"at {_numbers('minute', clock.minute.values)} of {hours}"


_TIMES: tuple[Callable[[Clock], str], ...] = (_seconds, _few, _with_seconds, _minutes, _hours, _any)


# -- days and months ------------------------------------------------------------------------------------------


def _days(day: Field, month: Field, weekday: Field, *, either: bool) -> str:
    months = _months(month)
    inside = f" in {months}" if months else ""
    if day.full and weekday.full:
        return f"every day{inside}"
    if day.full:
        return f"{_weekdays(weekday)}{inside}"
    of = f" of {months or 'every month'}"
    if weekday.full:
        return f"on {_dates(day)}{of}"
    if either:
        return f"on {_dates(day)} or any {_weekdays(weekday, 'or', every='')}{inside} (either; Debian's rule)"
    begun = day if day.star else weekday
    return f"on {_dates(day)}{of} that is also {_weekdays(weekday, 'or', every='a ')} " \
           f"(both; Debian's rule for `{begun.text}`)"  # fmt: skip


def _dates(day: Field) -> str:
    step = _even(day.values)
    if step > 1 and len(day.values) > FEW:
        return f"every {_ordinal(step)} day ({_shown(day.values)})"
    if step == 1 and len(day.values) > 2:
        return f"days {day.values[0]} to {day.values[-1]}"
    return _numbers("day", day.values)


def _weekdays(weekday: Field, joined: str = "and", every: str = "every ") -> str:
    values = [value for value in _MONDAY_FIRST if value in weekday.values]
    places = [_MONDAY_FIRST.index(value) for value in values]
    if len(values) > 2 and _even(places) == 1:
        return f"{DAYS[values[0]]} to {DAYS[values[-1]]}"
    return f"{every}{_and([DAYS[value] for value in values], joined)}"


def _months(month: Field) -> str:
    if month.full:
        return ""
    names = [MONTHS[value - 1] for value in month.values]
    return f"{names[0]} to {names[-1]}" if len(names) > 2 and _even(month.values) == 1 else _and(names)


# -- parts ----------------------------------------------------------------------------------------------------


def _rhythm(field: Field) -> int:
    """The step, if the values go evenly through the whole field and over its end; else 0."""
    step = _even(field.values)
    size = field.kind.size
    whole = step and field.values[0] < field.kind.low + step and field.values[-1] + step > field.kind.low + size - 1
    return step if whole and size % step == 0 else 0


def _even(values: Sequence[int]) -> int:
    """The one distance between neighbours; 0 if there are several, or a single value."""
    steps = {later - earlier for earlier, later in pairwise(values)}
    return steps.pop() if len(steps) == 1 else 0


def _nth(step: int, unit: str) -> str:
    return unit if step == 1 else f"{step} {unit}s"


def _ordinal(number: int) -> str:
    return f"{number}{ {2: 'nd', 3: 'rd'}.get(number % 10 if number % 100 not in (12, 13) else 0, 'th') }"


def _numbers(unit: str, values: Sequence[int]) -> str:
    if len(values) == 1:
        return f"{unit} {values[0]}"
    if len(values) > 2 and _even(values) == 1:
        return f"{unit}s {values[0]} to {values[-1]}"
    return f"{unit}s {_shown(values)}" if len(values) > 2 * FEW else f"{unit}s {_and([str(v) for v in values])}"


def _shown(values: Sequence[int]) -> str:
    """`1, 3, 5 ... 31`."""
    return f"{', '.join(map(str, values[:3]))} ... {values[-1]}"


def _and(words: Sequence[str], joined: str = "and") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {joined} {words[-1]}"


def _time(hour: int, minute: int, second: int | None = None) -> str:
    return f"{hour:02d}:{minute:02d}" + (f":{second:02d}" if second is not None else "")


def _every(seconds: float) -> str:
    """`90 seconds`, `1 hour 30 minutes`."""
    rest, said = int(seconds), []
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, rest = divmod(rest, length)
        if count:
            said.append(f"{count} {unit}{'' if count == 1 else 's'}")
    if len(said) == 1 and said[0].startswith("1 "):
        return said[0][2:]
    return " ".join(said)
