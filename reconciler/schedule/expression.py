"""In: the text of a schedule. Out: its kind and canonical form, and the wall clock that its fields stand for."""

import re
from functools import lru_cache
from typing import NamedTuple

from ..model.job import ScheduleKind
from .fields import DAY, HOUR, KINDS, MINUTE, MONTH, SECOND, WEEKDAY, Field, Problem, read_field
from .wallclock import EVERY_WEEKDAY, WallClock, day_mask, weekday_masks

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
MAX_LENGTH = 512
MAX_EVERY = 10 * 366 * 86400.0
# A letter that is a word of its own, or ends a number or the name of a day: `lw`, `15w`, `fril`; not the h of `thu`.
_LETTER = re.compile(r"\b([0-9]{0,4}|sun|mon|tue|wed|thu|fri|sat)(h|lw|l|w)\b", re.ASCII)
_SPACE = re.compile(r"[ \t\r\n]+")
_EVERY = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?\Z", re.ASCII)
_LONGEST = {1: 31, 2: 29, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31}


class Expression(NamedTuple):
    """A cron line, read: its six fields (second first), or what is wrong with it and no `wall`.

    `fixed`: neither second, minute nor hour begins with `*`: Debian's "job at a specific time" (rule T2).
    """

    fields: tuple[Field, ...]
    wall: WallClock | None
    fixed: bool
    problems: tuple[Problem, ...] = ()


def canonical(text: str) -> str:
    """One space between fields, lower case but for the letters H, L and W: what is equal here fires alike."""
    plain = text.strip().lower()
    if "  " in plain or not plain.isprintable():
        plain = _SPACE.sub(" ", plain)
    if plain.startswith("@") or not plain.isascii() or not ("h" in plain or "l" in plain or "w" in plain):
        return plain  # the h of `@every 36h` is another
    return _LETTER.sub(lambda match: match[1] + match[2].upper(), plain)


@lru_cache(maxsize=4096)
def normalise(expression: str) -> tuple[ScheduleKind, str, float]:
    """`(kind, canonical text, seconds of @every or 0)`. Never raises: `validate` tells what is wrong."""
    text = canonical(expression)
    if text == "manual":
        return ScheduleKind.MANUAL, text, 0.0
    if text == "@every" or text.startswith("@every "):
        return ScheduleKind.EVERY, text, parse_every(text[6:].strip())
    return ScheduleKind.CRON, text, 0.0


def parse_every(text: str) -> float:
    """Seconds of `1h30m`, `90s`, `2d`; 0 if it is no such duration of whole seconds."""
    match = _EVERY.match(text.replace(" ", ""))
    if match is None or not text:
        return 0.0
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(days * 86400 + hours * 3600 + minutes * 60 + seconds)


def spreads(text: str) -> bool:
    """Does a canonical line depend on the job's name?"""
    return "H" in text


@lru_cache(maxsize=16384)
def read_expression(text: str, name: str = "") -> Expression:
    """Read a canonical cron line or macro. `name` (needed for `H` alone) is what spreads it. Never raises."""
    early = _early_problem(text)
    if early is not None:
        return Expression((), None, False, (early,))
    parts = MACROS.get(text, text).split(" ")
    if len(parts) not in (5, 6):
        return Expression((), None, False, (_field_count(parts),))
    if len(parts) == 5:
        parts.insert(0, "0")
    fields = tuple([
        read_field(kind, part, name) if "H" in part else read_field(kind, part)
        for kind, part in zip(KINDS, parts, strict=True)
    ])  # fmt: skip
    fixed = not (fields[0].star or fields[1].star or fields[2].star)
    problems = [problem for field in fields if field.problems for problem in field.problems]
    if problems:
        return Expression(fields, None, fixed, tuple(problems))
    wall = _wall(fields)
    if not fires_at_all(wall):
        return Expression(fields, None, fixed, (_never(fields),))
    return Expression(fields, wall, fixed)


def resolved(text: str, name: str) -> str:
    """The same line with what each `H` came to for this name: `H 1 * * *` -> `17 1 * * *`. Of a readable line."""
    fields = read_expression(text, name).fields
    return " ".join(_resolved(field) for field in fields[6 - len(text.split(" ")) :])


def _resolved(field: Field) -> str:
    by_text = {token.text: token for token in field.tokens if token.spread is not None}
    parts = []
    for part in field.text.split(","):
        token = by_text.get(part)
        values = token.spread if token is not None else None
        if token is None or not values:
            parts.append(part)
        else:
            parts.append(f"{values[0]}-{values[-1]}/{token.step}" if len(values) > 1 else str(values[0]))
    return ",".join(parts)


def _wall(fields: tuple[Field, ...]) -> WallClock:
    second, minute, hour, day, month, weekday = fields
    return WallClock(
        seconds=second.values,
        minutes=minute.values,
        hours=hour.values,
        day_mask=day_mask(day.values),
        weekday_masks=weekday_masks(weekday.values),
        months=month.values,
        either=not (day.star or weekday.star),  # Debian's rule: `*/2` counts as a star too
        rules=day.rules + weekday.rules,
        daily=month.full and day.full and weekday.full,
    )


def fires_at_all(wall: WallClock) -> bool:
    """Is there a day it allows? Every month begins on every weekday within 40 years, and so does a leap February."""
    if wall.daily or (wall.either and not wall.rules):
        return True
    if wall.rules or wall.weekday_masks != EVERY_WEEKDAY:
        months = ((1 << _LONGEST[month]) - 1 for month in wall.months)
        return any(wall.shape_days(first, month) for month in months for first in range(7))
    return any(wall.day_mask & ((1 << _LONGEST[month]) - 1) for month in wall.months)


def _early_problem(text: str) -> Problem | None:
    if not text:
        return "schedule-invalid", "a schedule is empty", "Write a cron line, `@every 1h`, or `manual`."
    if len(text) > MAX_LENGTH:
        return "schedule-invalid", f"a schedule is longer than {MAX_LENGTH} characters", ""
    if not text.isascii() or not text.isprintable():
        return "schedule-invalid", "a schedule holds characters that are not plain ASCII", ""
    if text == "@reboot":
        hint = "Use `@every`, or a cron line; what was missed while the host was down is caught up."
        return "schedule-unsupported", "`@reboot` is not supported", hint
    if text.startswith(("tz=", "cron_tz=")):
        return "schedule-unsupported", "a zone inside the cron line is not supported", "Write it as `timezone:`."
    if text.startswith("@") and text not in MACROS:
        from difflib import get_close_matches

        near = get_close_matches(text, [*MACROS, "@every 1h"], n=1)
        hint = f"Did you mean `{near[0]}`?" if near else f"Known are {', '.join(MACROS)} and `@every DURATION`."
        return "schedule-invalid", f"unknown macro {text.split(' ')[0]!r}", hint
    return None


def _field_count(parts: list[str]) -> Problem:
    message = f"a cron line has five fields, or six with seconds in front; this has {len(parts)}"
    if len(parts) == 7:
        return "schedule-unsupported", message, "A field of years is not supported."
    return "schedule-invalid", message, "minute hour day-of-month month day-of-week, as in `30 2 * * mon-fri`."


def _never(fields: tuple[Field, ...]) -> Problem:
    day, month = fields[KINDS.index(DAY)], fields[KINDS.index(MONTH)]
    message = f"never fires: no month of {month.text!r} has a day {day.text!r}"
    weekday = fields[KINDS.index(WEEKDAY)]
    if not weekday.full:
        message += f" that is a {weekday.text!r}"
    return "schedule-never", message, "February has 29 days at most; April, June, September and November have 30."


__all__ = [
    "DAY", "HOUR", "MACROS", "MINUTE", "MONTH", "SECOND", "WEEKDAY", "Expression", "canonical", "normalise",
    "parse_every", "read_expression", "resolved", "spreads",
]  # fmt: skip
