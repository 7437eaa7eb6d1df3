"""In: a Schedule. Out: the same in plain English, as a person would read it aloud.

What a field says is taken from its values, so that any way to write them reads alike. Each part is a table of forms;
the first that fits speaks. A form that no table knows is quoted as it was typed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..model.job import Schedule, ScheduleKind
from .aloud_days import FEW, days_aloud, even, listed, numbers
from .expression import Expression, normalise, read_expression
from .fields import Field


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
    if schedule.kind is ScheduleKind.SEVERAL:
        return "; and ".join(aloud(part) for part in schedule.parts)
    return ", ".join([_core(schedule), *_narrowed(schedule)])


def _core(schedule: Schedule) -> str:
    if schedule.kind is ScheduleKind.MANUAL:
        return "never by itself, only by hand"
    if schedule.kind is ScheduleKind.EVERY:
        since = "start" if schedule.start else "when this schedule was applied"
        return f"every {_every(schedule.every)}, counted from {since}"
    if schedule.kind is ScheduleKind.AT:
        times = schedule.expression.split(",")
        shown = [*times[:FEW], *([f"{len(times) - FEW} more"] if len(times) > FEW else [])]
        return f"once at {listed(shown)}, {schedule.timezone}"
    text = normalise(schedule.expression)[1]
    expression = read_expression(text, schedule.seed)
    if expression.wall is None or len(expression.fields) != 6:
        return f"`{text}`, {schedule.timezone}"
    return f"{_said(expression)}, {schedule.timezone}"


def _narrowed(schedule: Schedule) -> list[str]:
    """What stands round the line."""
    said = [f"from {schedule.start}"] if schedule.start else []
    said += [f"until {schedule.end}"] if schedule.end else []
    said += [f"except on {_excluded(schedule.exclude)}"] if schedule.exclude else []
    return [*said, *([f"up to {_every(schedule.jitter)} later (jitter)"] if schedule.jitter >= 1 else [])]


def _excluded(days: str) -> str:
    """`2026-12-24..2027-01-06`, at most three of them."""
    ranges = days.split(",")
    return listed([*ranges[:3], *([f"{len(ranges) - 3} more"] if len(ranges) > 3 else [])])


def _said(expression: Expression) -> str:
    second, minute, hour, day, month, weekday = expression.fields
    assert expression.wall is not None
    times = _first(_TIMES, Clock(second, minute, hour))
    days = days_aloud(day, month, weekday, either=expression.wall.either)
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
    return f"every {_nth(step, 'second')}" if step else f"every minute, at {numbers('second', clock.second.values)}"


def _few(clock: Clock) -> str:
    second, minute, hour = clock.second.values, clock.minute.values, clock.hour.values
    if clock.hour.full or len(second) * len(minute) * len(hour) > FEW:
        return ""
    with_seconds = second != (0,)
    found = [_time(h, m, s if with_seconds else None) for h in hour for m in minute for s in second]
    return f"at {listed(found)}"


def _with_seconds(clock: Clock) -> str:
    """Too many to name: the minutes first, then the seconds in them."""
    if clock.second.values == (0,):
        return ""
    return f"{_first(_TIMES[3:], clock)}, at {numbers('second', clock.second.values)} of the minute"


def _minutes(clock: Clock) -> str:
    """`every 15 minutes from 09:00 to 17:45`."""
    step = _rhythm(clock.minute)
    if not step:
        return ""
    begin = clock.minute.values[0]
    said = f"every {_nth(step, 'minute')}"
    if clock.hour.full:
        return said + (f" from minute {begin}" if begin else "")
    if even(clock.hour.values) == 1:
        return f"{said} from {clock.first} to {clock.last}"
    return f"{said}{f' from minute {begin}' if begin else ''} of {numbers('hour', clock.hour.values)}"


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
    step = even(clock.hour.values)
    return f"every {_nth(step, 'hour')} from {clock.first} to {clock.last}" if step else ""


def _any(clock: Clock) -> str:
    hours = "every hour" if clock.hour.full else numbers("hour", clock.hour.values)
    return f"at {numbers('minute', clock.minute.values)} of {hours}"


_TIMES: tuple[Callable[[Clock], str], ...] = (_seconds, _few, _with_seconds, _minutes, _hours, _any)


# -- parts ----------------------------------------------------------------------------------------------------


def _rhythm(field: Field) -> int:
    """The step, if the values go evenly through the whole field and over its end; else 0."""
    step = even(field.values)
    size = field.kind.size
    whole = step and field.values[0] < field.kind.low + step and field.values[-1] + step > field.kind.low + size - 1
    return step if whole and size % step == 0 else 0


def _nth(step: int, unit: str) -> str:
    return unit if step == 1 else f"{step} {unit}s"


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
