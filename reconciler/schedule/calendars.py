"""In: the text of a calendar file. Out: the days it names, or what is wrong with it, line by line.

Two forms: one date or range a line with `#` comments, or iCalendar (RFC 5545) with events of whole days. What would
change the meaning of an event and is not read here is a problem: no day is ever left out in silence.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from ..model.years import FIRST_YEAR, LAST_YEAR, OUTSIDE
from .dates import MAX_RANGES, Days, merged, read_days
from .wallclock import EPOCH

MAX_LINES = 50_000
MAX_EVENTS = 5_000
MAX_PROBLEMS = 5  # told of one file
LAST_REPEAT = 2099  # an event that repeats for ever does so until then
LONGEST_EVENT = 3660  # days
_MAX_COUNT = LAST_YEAR
_PROPERTY = re.compile(r"([A-Za-z0-9-]+)((?:;[^:\"]*(?:\"[^\"]*\"[^:\"]*)*)?):(.*)\Z", re.DOTALL)
_DAY = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})\Z", re.ASCII)
_DURATION = re.compile(r"\+?P(?:([0-9]{1,4})W|([0-9]{1,5})D)\Z", re.ASCII)
# What says nothing about when a day is.
_PLAIN = frozenset((
    "ATTACH", "ATTENDEE", "CATEGORIES", "CLASS", "COLOR", "COMMENT", "CONFERENCE", "CONTACT", "CREATED", "DESCRIPTION",
    "DTSTAMP", "GEO", "IMAGE", "LAST-MODIFIED", "LOCATION", "ORGANIZER", "PRIORITY", "RELATED-TO", "RESOURCES",
    "SEQUENCE", "SUMMARY", "TRANSP", "UID", "URL",
))  # fmt: skip
_PASSED_OVER = frozenset({"VTIMEZONE", "STANDARD", "DAYLIGHT", "VALARM"})


@dataclass(frozen=True, slots=True)
class Calendar:
    """`days` are empty if there are `problems`: (line, what is wrong), line 0 for the file as a whole."""

    days: Days = ()
    problems: tuple[tuple[int, str], ...] = ()


class _WrongError(Exception):
    """What is wrong at the line being read."""


def read_calendar(text: str) -> Calendar:
    """Never raises, whatever the text is; takes time and room in proportion to it."""
    if text.count("\n") > MAX_LINES:
        return Calendar((), ((0, f"has more than {MAX_LINES:,} lines"),))
    problems: list[tuple[int, str]] = []
    ranges: list[tuple[int, int]] = []
    head = text.removeprefix("\ufeff").lstrip()[:15].upper()
    events = _events(text, problems) if head == "BEGIN:VCALENDAR" else _lines(text, problems)
    for found in events:
        ranges += found
        if len(ranges) > MAX_LINES:
            return Calendar((), ((0, f"names more than {MAX_LINES:,} days"),))
    days = merged(ranges)
    if not problems and not days:
        problems.append((0, "names no day"))
    if len(days) > MAX_RANGES:
        problems.append((0, f"names more than {MAX_RANGES:,} separate days"))
    return Calendar((), tuple(problems[:MAX_PROBLEMS])) if problems else Calendar(days)


def _lines(text: str, problems: list[tuple[int, str]]) -> Iterator[list[tuple[int, int]]]:
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        said = line.partition("#")[0].strip()
        if said:
            try:
                yield [read_days(said)]
            except ValueError as error:
                problems.append((number, f"{said[:40]!r} {error}"))


# -- iCalendar -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Event:
    """One VEVENT being read; days as proleptic ordinals."""

    line: int
    start: int | None = None
    end: int | None = None
    length: int | None = None
    rule: str = ""
    broken: bool = False  # told already

    def days(self) -> list[tuple[int, int]]:
        """Each time it takes place. Raises _WrongError."""
        if self.start is None:
            raise _WrongError("the event has no DTSTART")
        if self.end is not None and self.length is not None:
            raise _WrongError("the event has both DTEND and DURATION")
        length = 1 if self.end is None else self.end - self.start
        length = self.length if self.length is not None else max(length, 1) if self.end == self.start else length
        if not 1 <= length <= LONGEST_EVENT:
            raise _WrongError(f"the event must last from 1 to {LONGEST_EVENT} days")
        starts = _repeated(self.start, self.rule) if self.rule else [self.start]
        return [(begin - EPOCH, begin - EPOCH + length - 1) for begin in starts]


def _events(text: str, problems: list[tuple[int, str]]) -> Iterator[list[tuple[int, int]]]:
    """The days of each event."""
    event: _Event | None = None
    inside: list[str] = []
    count, number = 0, 0
    for number, line in _unfolded(text.removeprefix("\ufeff")):
        try:
            name, parameters, value = _parts(line)
            if name == "BEGIN":
                event = _begin(inside, value.strip().upper(), number, event)
                count += inside[-1] == "VEVENT"
                if count > MAX_EVENTS:
                    problems.append((number, f"more than {MAX_EVENTS:,} events"))
                    return
            elif name == "END":
                if not inside or inside.pop() != value.strip().upper():
                    raise _WrongError(f"END:{value[:20]} closes nothing")
                if value.strip().upper() == "VEVENT" and event is not None:
                    done, event = event, None
                    number = done.line
                    if not done.broken:
                        yield done.days()
            elif event is not None and inside[-1] == "VEVENT":
                _take(event, name, parameters, value.strip())
            elif not inside:
                raise _WrongError("stands outside of the calendar")
        except _WrongError as error:
            problems.append((number, str(error)))
            if event is not None:
                event.broken = True
            if len(problems) >= MAX_PROBLEMS:
                return
    if inside:
        problems.append((number, f"the file ends within {inside[-1]}"))


def _unfolded(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines with the number of their first; a line that begins with a blank continues the one before."""
    begun, parts = 0, [""]
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if line[:1] in (" ", "\t") and begun:
            parts.append(line[1:])
            continue
        if begun and parts[0].strip():
            yield begun, "".join(parts)
        begun, parts = number, [line]
    if parts[0].strip():
        yield begun, "".join(parts)


def _parts(line: str) -> tuple[str, str, str]:
    """`DTSTART;VALUE=DATE:20261224` in its three parts; the first two in capitals."""
    match = _PROPERTY.match(line)
    if match is None:
        raise _WrongError(f"{line[:40]!r} is no line of a calendar")
    return match[1].upper(), match[2].upper(), match[3]


def _begin(inside: list[str], kind: str, number: int, event: _Event | None) -> _Event | None:
    """Open a component; the event that is being read from now on."""
    inside.append(kind)
    if kind == "VCALENDAR" and len(inside) == 1:
        return None
    if kind == "VEVENT" and inside == ["VCALENDAR", "VEVENT"]:
        return _Event(number)
    if kind in _PASSED_OVER and len(inside) <= 3:
        return event
    raise _WrongError(f"{kind[:20]} is not read in a calendar of days: only VEVENT is")


def _take(event: _Event, name: str, parameters: str, value: str) -> None:
    """One property of an event. Raises _WrongError on what would move its days and is not read here."""
    if name == "DTSTART":
        event.start = _day(name, parameters, value)
    elif name == "DTEND":
        event.end = _day(name, parameters, value)
    elif name == "DURATION":
        match = _DURATION.match(value)
        if match is None:
            raise _WrongError(f"DURATION {value[:20]!r} is not in whole days or weeks, such as P1D")
        event.length = int(match[1] or 0) * 7 + int(match[2] or 0)
    elif name == "RRULE":
        if event.rule:
            raise _WrongError("the event has two RRULEs")
        event.rule = value.upper()
    elif name == "STATUS":
        if value.upper() == "CANCELLED":
            raise _WrongError("the event is cancelled: remove it")
    elif name not in _PLAIN and not name.startswith("X-"):
        raise _WrongError(f"{name[:20]} is not read here: only whole days, and events that repeat yearly, are")


def _day(name: str, parameters: str, value: str) -> int:
    match = _DAY.match(value)
    if match is None or (parameters and parameters != ";VALUE=DATE"):
        raise _WrongError(f"{name} must be a whole day, such as {name};VALUE=DATE:20261224")
    year, month, day = (int(part) for part in match.groups())
    return _ordinal(year, month, day, f"{name} {value}")


def _ordinal(year: int, month: int, day: int, what: str) -> int:
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise _WrongError(f"{what} {OUTSIDE}")
    try:
        return date(year, month, day).toordinal()
    except ValueError:
        raise _WrongError(f"{what} is no day of the calendar") from None


def _repeated(start: int, rule: str) -> list[int]:
    """The starts of an event that repeats every year, or every few: 29 February in leap years alone."""
    parts = dict(part.partition("=")[::2] for part in rule.strip(";").split(";"))
    first = date.fromordinal(start)
    if parts.pop("FREQ", "") != "YEARLY":
        raise _WrongError("RRULE: only FREQ=YEARLY is read")
    parts.pop("WKST", None)
    if parts.pop("BYMONTH", str(first.month)).lstrip("0") != str(first.month):
        raise _WrongError("RRULE: BYMONTH must be the month of DTSTART")
    if parts.pop("BYMONTHDAY", str(first.day)).lstrip("0") != str(first.day):
        raise _WrongError("RRULE: BYMONTHDAY must be the day of DTSTART")
    every = _number(parts.pop("INTERVAL", "1"), "INTERVAL")
    if "COUNT" in parts and "UNTIL" in parts:
        raise _WrongError("RRULE has both COUNT and UNTIL")
    count = _number(parts.pop("COUNT"), "COUNT") if "COUNT" in parts else _MAX_COUNT
    until = date(LAST_REPEAT, 12, 31).toordinal()
    if "UNTIL" in parts:
        match = _DAY.match(parts.pop("UNTIL")[:8])
        if match is None:
            raise _WrongError("RRULE: UNTIL must be a day such as 20301231")
        until = min(until, _ordinal(int(match[1]), int(match[2]), int(match[3]), "UNTIL"))
    if parts:
        raise _WrongError(f"RRULE: {min(parts)[:20]} is not read here")
    found: list[int] = []
    for year in range(first.year, LAST_REPEAT + 1, every):
        day = _anniversary(first, year)
        if day is not None and day <= until and len(found) < count:
            found.append(day)
    return found


def _anniversary(first: date, year: int) -> int | None:
    if (first.month, first.day) == (2, 29) and (date(year, 3, 1) - timedelta(days=1)).day != 29:
        return None
    return date(year, first.month, first.day).toordinal()


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= len(text) <= 4 and int(text) >= 1):
        raise _WrongError(f"RRULE: {what} must be a number from 1 to 9999")
    return int(text)
