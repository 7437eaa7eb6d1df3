"""In: the `schedule` of one job, in any of its forms, and the calendars it names. Out: a Schedule."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..model.job import Schedule, ScheduleKind
from ..model.service import ServiceConfig
from ..schedule import cron
from ..schedule.calendars import Calendar
from ..schedule.dates import MAX_RANGES, day_text, days_text, merged, read_date, read_days, read_time, time_text
from ..schedule.expression import spreads
from .durations import parse_duration
from .layers import Merged

Tokens = tuple[str, ...]
Remark = tuple[str, str, str]  # code, message, hint
Calendars = Mapping[Tokens, tuple[str, Calendar]]  # by the place that names it: its path, and what it says
Ranges = tuple[tuple[int, int], ...]

MAX_JITTER = 86400.0
_WHEN = ("cron", "every", "at")
_DATE_LIKE = re.compile(r"[0-9][0-9./-]*\Z", re.ASCII)


class Report(Protocol):
    def __call__(self, tokens: Tokens, code: str, message: str, hint: str = "", *, warning: bool = False) -> None: ...


@dataclass(frozen=True, slots=True)
class Pass:
    """What all files of one pass share. `checked` remembers the verdict on each distinct schedule, `calendars` each
    calendar by its blob, `days` the text of each set of days, `pairs` each label and variable."""

    config: ServiceConfig
    checked: dict[Schedule, tuple[list[Remark], list[Remark]]] = field(default_factory=dict)
    calendars: dict[str, Calendar] = field(default_factory=dict)
    days: dict[Ranges, str] = field(default_factory=dict)
    pairs: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)

    def check(self, schedule: Schedule) -> tuple[list[Remark], list[Remark]]:
        verdict = self.checked.get(schedule)
        if verdict is None:
            verdict = self.checked[schedule] = cron.validate(schedule)
        return verdict


def calendar_items(said: Any) -> Iterator[tuple[Tokens, str]]:
    """Each file that the `exclude` of a schedule names, and where it does."""
    many = isinstance(said, list)
    for index, one in enumerate(said if many else [said]):
        for number, item in enumerate(one.get("exclude", ()) if isinstance(one, dict) else ()):
            if not is_date(item):
                place = ("schedule", str(index)) if many else ("schedule",)
                yield (*place, "exclude", str(number)), item


def is_date(item: str) -> bool:
    """A date or range, or what was meant to be one: no file has a name of digits alone."""
    return all(_DATE_LIKE.match(part.strip()) for part in item.split(".."))


def read_schedule(name: str, merged: Merged, calendars: Calendars, shared: Pass, report: Report) -> Schedule | None:
    """None if it cannot be used; why, and what is odd about it, was reported."""
    said = merged.values.get("schedule")
    if said is None:
        hint = 'Write `schedule: "30 2 * * *"`, `schedule: "@every 1h"` or `schedule: manual`.'
        report((), "schedule-missing", "schedule is missing, here and in every _defaults.yaml above", hint)
        return None
    reader = _Reader(name, merged, calendars, shared, report)
    if not isinstance(said, list):
        return reader.one(said, ("schedule",))
    parts = [reader.one(item, ("schedule", str(index)), listed=True) for index, item in enumerate(said)]
    usable = tuple(dict.fromkeys(part for part in parts if part is not None))
    if len(usable) < 2 or None in parts:
        return usable[0] if usable and None not in parts else None
    text = "; ".join(part.expression for part in usable)
    return Schedule(ScheduleKind.SEVERAL, text, usable[0].timezone, parts=usable)


class _Reader:
    """Reads the one or several schedules of one job."""

    def __init__(self, name: str, merged: Merged, calendars: Calendars, shared: Pass, report: Report) -> None:
        self.name, self.merged, self.calendars, self.shared, self.report = name, merged, calendars, shared, report
        self.failed = False

    def wrong(self, tokens: Tokens, code: str, message: str, hint: str = "") -> None:
        self.failed = True
        self.report(tokens, code, message, hint)

    def one(self, said: str | dict[str, Any], tokens: Tokens, *, listed: bool = False) -> Schedule | None:
        self.failed = False
        inner: dict[str, Any] = said if isinstance(said, dict) else {}
        text = self._text(said, inner, tokens)
        if text is None:
            return None
        kind, canonical, every = (ScheduleKind.AT, text, 0.0) if "at" in inner else cron.normalise(text)
        if kind is ScheduleKind.MANUAL and (listed or inner.keys() & {"exclude", "start", "end", "jitter"}):
            self.wrong(tokens, "schedule-invalid", "`manual` means never by itself, so nothing can stand beside it")
        dst = self._beside(inner, "dst", listed=listed) or {}
        jitter = self._jitter(inner, tokens)
        exclude, named = self._exclude(inner, tokens)
        schedule = Schedule(
            kind=kind,
            expression="" if kind is ScheduleKind.MANUAL else canonical,
            timezone=self._beside(inner, "timezone", listed=listed) or self.shared.config.timezone,
            gap=dst.get("gap", "after"),
            overlap=dst.get("overlap", "once"),
            every=every,
            start=self._point(inner, "start", tokens),
            end=self._point(inner, "end", tokens),
            exclude=exclude,
            jitter=jitter,
            seed=self.name if jitter or (kind is ScheduleKind.CRON and spreads(canonical)) else "",
            calendars=named,
        )
        if self.failed:
            return None
        errors, warnings = self.shared.check(schedule)
        for code, message, hint in errors:
            self.report(_blamed(code, inner, tokens), code, message, hint)
        for code, message, hint in warnings:
            self.report(tokens, code, message, hint, warning=True)
        return None if errors else schedule

    def _text(self, said: Any, inner: dict[str, Any], tokens: Tokens) -> str | None:
        """The text of the schedule, whichever form it has."""
        if isinstance(said, str):
            return said
        if sum(word in inner for word in _WHEN) != 1:
            self.wrong(tokens, "schedule-invalid", "schedule needs either `cron`, `every` or `at`")
            return None
        if "at" in inner:
            return self._times(inner["at"], (*tokens, "at"))
        return str(inner["cron"]) if "cron" in inner else f"@every {inner['every']}"

    def _times(self, said: str | list[str], tokens: Tokens) -> str | None:
        """The times of `at` in canonical form, sorted."""
        found: set[int] = set()
        for index, text in enumerate([said] if isinstance(said, str) else said):
            try:
                found.add(read_time(text))
            except ValueError as error:
                place = tokens if isinstance(said, str) else (*tokens, str(index))
                self.wrong(place, "date-invalid", f'"{text}" {error}')
        return None if self.failed else ",".join(time_text(wall) for wall in sorted(found))

    def _point(self, inner: dict[str, Any], word: str, tokens: Tokens) -> str:
        """A date or a time in canonical form; "" if there is none."""
        text = inner.get(word)
        if text is None:
            return ""
        try:
            return day_text(read_date(text)) if len(text) <= len("2026-12-24") else time_text(read_time(text))
        except ValueError as error:
            self.wrong((*tokens, word), "date-invalid", f'{word}: "{text}" {error}')
            return ""

    def _jitter(self, inner: dict[str, Any], tokens: Tokens) -> float:
        if "jitter" not in inner:
            return 0.0
        try:
            seconds = parse_duration(inner["jitter"])
        except ValueError as error:
            self.wrong((*tokens, "jitter"), "value-invalid", f"jitter: the duration is {error}")
            return 0.0
        if not 1 <= seconds <= MAX_JITTER:
            self.wrong((*tokens, "jitter"), "value-out-of-range", "the jitter must be from 1s to 24h")
        return float(int(seconds))

    def _exclude(self, inner: dict[str, Any], tokens: Tokens) -> tuple[str, tuple[tuple[str, str], ...]]:
        """All days together, in canonical text; and path and last day of each calendar."""
        ranges: list[tuple[int, int]] = []
        named: list[tuple[str, str]] = []
        for index, item in enumerate(inner.get("exclude", ())):
            place = (*tokens, "exclude", str(index))
            if is_date(item):
                try:
                    ranges.append(read_days(item))
                except ValueError as error:
                    self.wrong(place, "date-invalid", f'exclude: "{item[:60]}" {error}')
                continue
            path, calendar = self.calendars.get(place, ("", None))
            if calendar is None:
                self.failed = True  # told when it was looked for
                continue
            for line, message in calendar.problems:
                where = f"{path}:{line}" if line else path
                hint = "One date or range a line, or iCalendar with events of whole days."
                self.wrong(place, "calendar-invalid", f"{where}: {message}", hint)
            if calendar.days:
                ranges += calendar.days
                named.append((path, day_text(calendar.days[-1][1])))
        days = merged(ranges)
        if len(days) > MAX_RANGES:
            self.wrong((*tokens, "exclude"), "calendar-invalid", f"more than {MAX_RANGES:,} separate days are excluded")
        text = self.shared.days.get(days)
        if text is None:
            text = self.shared.days[days] = days_text(days)
        return text, tuple(named)

    def _beside(self, inner: dict[str, Any], name: str, *, listed: bool) -> Any:
        """A setting that may stand in the schedule or beside it; in one file it must stand once. In a list, what stands
        beside it is what an entry goes by that says nothing itself."""
        outer = self.merged.values.get(name)
        if not inner:
            return outer
        here = self.merged.layer_of((name,)) is self.merged.layer_of(("schedule",))
        if here and not listed and outer is not None and inner.get(name, outer) != outer:
            self.wrong((name,), "said-twice", f"{name} here and in `schedule` disagree", "Keep one of them.")
        return inner.get(name, outer)


def _blamed(code: str, inner: dict[str, Any], tokens: Tokens) -> Tokens:
    """Where an error of a schedule was written; an unknown zone may come from three places."""
    if code == "timezone-unknown":
        return (*tokens, "timezone") if "timezone" in inner else ("timezone",)
    if code == "schedule-window":
        return (*tokens, "end")
    if code == "schedule-never" and "exclude" in inner:
        return (*tokens, "exclude")
    return tokens
