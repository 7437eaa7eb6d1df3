"""In: a readable cron line. Out: warnings on what other crons read differently, or what is rarely meant."""

from ..model.job import Schedule, ScheduleKind
from .expression import Expression
from .fields import Field, Problem
from .intervals import smallest_interval
from .monthdays import DayKind


def advise(expression: Expression) -> list[Problem]:
    """Warnings `(code, message, hint)`; none of them holds a job."""
    found: list[Problem] = []
    for field in expression.fields:
        found += _steps(field)
    found += _crowded(expression)
    found += _day_rule(expression)
    found += _days(expression)
    return found


def advise_window(schedule: Schedule) -> list[Problem]:
    """What is odd about everything round the line."""
    found: list[Problem] = []
    interval = smallest_interval(schedule) if schedule.jitter else None
    if interval is not None and schedule.jitter >= interval:
        message = f"the jitter is cut to less than the smallest interval of {interval:.0f} s"
        found.append(("schedule-jitter-cut", message, "So that no slot comes as late as the next one."))
    if schedule.kind is ScheduleKind.EVERY and schedule.exclude and not schedule.start:
        message = "which fires of an interval fall on the excluded days depends on when it was applied"
        found.append(("schedule-every-excluded", message, "Write a cron line, or give it a `start` to count from."))
    return found


def _steps(field: Field) -> list[Problem]:
    found: list[Problem] = []
    size = field.kind.size
    for token in field.tokens:
        if token.step is None:
            continue
        if token.spread is not None and token.first is not None:
            continue  # `H(0-29)/10` says its range itself
        if token.first is not None and token.single:
            text = f"{token.first}-{field.kind.high}/{token.step}"
            message = f"{field.kind.name} {token.text!r}: not every cron reads a step after a single value"
            found.append(("schedule-open-step", message, f"Write `{text}`, which every cron reads alike."))
        elif token.step >= size:
            message = f"{field.kind.name} {token.text!r}: the step is larger than the field, so it stands for one value"
            found.append(("schedule-large-step", message, "For longer distances use `@every`, or the next field."))
        elif token.first is None and token.step > 1 and size % token.step:
            message = (
                f"{field.kind.name} {token.text!r}: {token.step} does not divide {size}, so the last step is short"
            )
            found.append(("schedule-uneven-step", message, "Use `@every` for even distances."))
    return found


def _crowded(expression: Expression) -> list[Problem]:
    """`* */12 * * *` fires sixty times in each of its hours; meant is nearly always `0 */12 * * *`."""
    second, minute, hour = expression.fields[:3]
    if minute.text == "*" and not hour.full:
        message = f"fires every minute of hour {hour.text!r}, not once in it"
        return [("schedule-every-minute", message, f"Write `0 {hour.text} ...` for once an hour.")]
    if second.text == "*" and not (minute.full and hour.full):
        message = f"fires every second of minute {minute.text!r}, not once in it"
        return [("schedule-every-second", message, "Write `0` as the seconds for once a minute.")]
    return []


def _day_rule(expression: Expression) -> list[Problem]:
    """Day of month with day of week: four readings are in the field, ours is Debian's."""
    day, weekday = expression.fields[3], expression.fields[5]
    if day.full or weekday.full:
        return []
    if day.star or weekday.star:
        message = f"day of month {day.text!r} and day of week {weekday.text!r}: only days that are both count"
        hint = "As in Debian cron, since one begins with `*`; Kubernetes and others fire on either."
        return [("schedule-day-and", message, hint)]
    message = f"day of month {day.text!r} and day of week {weekday.text!r}: a day that is either counts"
    return [("schedule-day-or", message, "As in Debian cron; for days that are both, test the date in the job.")]


def _days(expression: Expression) -> list[Problem]:
    day, month, weekday = expression.fields[3:]
    found: list[Problem] = []
    if any(token.first == 7 for token in weekday.tokens):
        message = f"day of week {weekday.text!r}: 7 is Sunday here, but some crons refuse it or count from 1"
        found.append(("schedule-sunday-7", message, "Write `sun` or 0."))
    numbered = [rule for rule in weekday.rules if weekday.text.split(",")[0][:1].isdigit()]
    if numbered:
        message = f"day of week {weekday.text!r}: Quartz counts from Sunday = 1, here and in cron Sunday is 0"
        found.append(("schedule-weekday-number", message, "Write the day's name: `friL`, `fri#2`."))
    fifths = [rule for rule in weekday.rules if rule.nth == 5]
    if fifths and len(fifths) == len(weekday.rules) and not weekday.values:
        message = f"day of week {weekday.text!r}: months without a fifth one are left out"
        found.append(("schedule-short-months", message, "For the last one of every month write `friL`."))
    dates = [rule.day if rule.kind is DayKind.WORKDAY else 1 + (rule.day > 27) * 30 for rule in day.rules]
    only_late = not day.star and min([*day.values, *dates]) > 28
    if only_late and dates and expression.wall is not None and not expression.wall.either:
        message = f"day of month {day.text!r}: months that are too short for it are left out"
        found.append(("schedule-short-months", message, "For the last workday of every month write `LW`."))
    elif only_late and expression.wall is not None and not expression.wall.either:
        lengths = {1: 31, 2: 28, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31}
        if any(min(day.values) > lengths[value] for value in month.values):
            message = f"day of month {day.text!r}: months that are shorter are left out"
            found.append(("schedule-short-months", message, "For a run in every month use a day up to 28."))
    return found
