"""In: one cron field as text. Out: the values it allows, or what is wrong with it. The only import of croniter.

croniter expands ranges and steps. Which are let through to it is decided here: it turns `1-1` into every value, and
what it makes of `L`, `W`, `#` and `H` is not what we promise, so those are read here. Fields repeat from job to job,
so each is expanded once.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from .monthdays import DayKind, DayRule
from .spread import spread

Problem = tuple[str, str, str]  # code, message, hint

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


@dataclass(frozen=True, slots=True, eq=False)  # six of them, told apart by what they are: no hash of all fields
class Kind:
    """One of the six fields: its bounds, its names, and its place in the five fields that croniter takes."""

    name: str
    low: int
    high: int
    place: int
    names: tuple[str, ...] = ()  # the first stands for `low`

    @property
    def size(self) -> int:
        """How many different values there are; 7 is Sunday again."""
        return self.high - self.low + (0 if self.high == 7 else 1)


SECOND = Kind("second", 0, 59, 0)  # the same bounds as a minute, so croniter expands it as one
MINUTE = Kind("minute", 0, 59, 0)
HOUR = Kind("hour", 0, 23, 1)
DAY = Kind("day of month", 1, 31, 2)
MONTH = Kind("month", 1, 12, 3, MONTHS)
WEEKDAY = Kind("day of week", 0, 7, 4, WEEKDAYS)
KINDS = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY)

_TOKEN = re.compile(r"(?:\*|([0-9]{1,4}|[a-z]+)(?:-([0-9]{1,4}|[a-z]+))?)(?:/([0-9]{1,4}))?\Z", re.ASCII)
_CASE = re.ASCII | re.IGNORECASE
_SPREAD = re.compile(r"h(?:\(([0-9]{1,4}|[a-z]+)-([0-9]{1,4}|[a-z]+)\))?(?:/([0-9]{1,4}))?\Z", _CASE)
_DATE_RULE = re.compile(r"(?:l(?:-([0-9]{1,2}))?(w)?|([0-9]{1,2})w)\Z", _CASE)
_WEEK_RULE = re.compile(r"([0-9]|[a-z]{3})(?:#([0-9])|(l))\Z", _CASE)
_SPREAD_DAYS = 28  # `H` as a day of month: one that every month has
_ELSEWHERE = (  # what a form that is not read belongs to
    (re.compile(r"[0-9()/-]*r[0-9()/-]*\Z", _CASE), "`R` (random) is not supported", "`H` spreads by the job's name."),
    (re.compile(r".*~"), "`~` (random) is not supported", "`H` spreads by the job's name: `H(0-29)`."),
    (re.compile(r".*\?"), "`?` stands alone, as a day of month or a day of week", "Write `*`."),
    (
        re.compile(r"w\Z", _CASE),
        "`W` needs a day",
        "Write `15W` (nearest to the 15th), `LW` (the last), or mon-fri.",
    ),
    (re.compile(r"l[0-9]\Z", _CASE), "`L` follows its weekday", "Write `friL` for the last Friday of the month."),
    (re.compile(r"l\Z", _CASE), "`L` needs a weekday here", "Write `friL` (the last Friday); crons disagree on `L`."),
)


@dataclass(frozen=True, slots=True)
class Token:
    """One element of a field's comma list. A star has no `first`; a single value has first == last."""

    text: str
    first: int | None
    last: int | None
    step: int | None
    single: bool
    spread: tuple[int, ...] | None = None  # the values of an `H`


@dataclass(frozen=True, slots=True)
class Field:
    """One field, read. `star`: it begins with `*`, which counts for Debian's rules even in `*/2`; `?` is one too.

    `rules`: the days that depend on the month, beside `values`.
    """

    kind: Kind
    text: str
    star: bool
    values: tuple[int, ...]
    tokens: tuple[Token, ...]
    problems: tuple[Problem, ...] = ()
    rules: tuple[DayRule, ...] = ()

    @property
    def full(self) -> bool:
        """It allows every value."""
        return len(self.values) == self.kind.size


@lru_cache(maxsize=8192)
def read_field(kind: Kind, text: str, name: str = "") -> Field:
    """Read one field of a canonical line. Never raises: a bad one has `problems` and no values. `name` spreads `H`."""
    tokens: list[Token] = []
    values: set[int] = set()
    rules: list[DayRule] = []
    problems: list[Problem] = []
    for part in text.split(","):
        rule = _rule(kind, part)
        if isinstance(rule, DayRule):
            rules.append(rule)
            continue
        token = rule or (_spread(kind, part, name) if _SPREAD.match(part) else _token(kind, part))
        if isinstance(token, Token):
            tokens.append(token)
            values.update(_expand(kind, token) if token.spread is None else token.spread)
        else:
            problems.append(token)
    star = text.startswith(("*", "?"))
    if problems:
        return Field(kind, text, star, (), tuple(tokens), tuple(problems))
    return Field(kind, text, star, tuple(sorted(values)), tuple(tokens), (), tuple(dict.fromkeys(rules)))


def _rule(kind: Kind, text: str) -> DayRule | Problem | None:
    """`L`, `L-3`, `15W`, `LW` as a day of month, `fri#2` and `friL` as a day of week; None: it is no such form."""
    if kind is DAY and (match := _DATE_RULE.match(text)):
        before, workday, near = match.groups()
        if near is not None:
            day = int(near)
            return DayRule(DayKind.WORKDAY, day) if 1 <= day <= 31 else _bad(kind, text, "must be from 1W to 31W", "")
        back = int(before or 0)
        if back > 30 or before in ("0", "00"):
            return _bad(kind, text, "must be from L-1 to L-30", "`L` alone is the last day.")
        return DayRule(DayKind.LAST_WORKDAY if workday else DayKind.FROM_LAST, back)
    if kind is WEEKDAY and (match := _WEEK_RULE.match(text)):
        day_text, nth, _ = match.groups()
        weekday = _number(kind, day_text)
        if weekday is None or weekday > 7:
            return _not_a_value(kind, text)
        if nth is None:
            return DayRule(DayKind.LAST_WEEKDAY, weekday % 7)
        if not 1 <= int(nth) <= 5:
            return _bad(kind, text, "a month has a first to a fifth weekday, `#1` to `#5`", "`friL` is the last one.")
        return DayRule(DayKind.NTH_WEEKDAY, weekday % 7, int(nth))
    return None


def _spread(kind: Kind, text: str, name: str) -> Token | Problem:
    """`H`, `H(0-29)`, `H/15`, `H(0-29)/10`: where in its range a job falls is up to its name."""
    match = _SPREAD.match(text)
    assert match is not None, text
    first_text, last_text, step_text = match.groups()
    whole = first_text is None
    low = kind.low if whole else _number(kind, first_text)
    high = kind.low + (_SPREAD_DAYS if kind is DAY else kind.size) - 1 if whole else _number(kind, last_text)
    step = int(step_text) if step_text is not None else None
    if low is None or high is None:
        return _not_a_value(kind, text)
    if not kind.low <= low <= high <= kind.low + kind.size - 1:
        return _bad(kind, text, f"`H` needs a range within {kind.low}-{kind.low + kind.size - 1}", "")
    if step == 0:
        return _bad(kind, text, "a step of 0 never moves", "Leave `/0` out.")
    if not name:
        hint = "For a line on its own: `reconciler next --cron ... --name JOB`."
        return "schedule-invalid", f"`H` is spread by the job's name, and there is no job here ({text!r})", hint
    size = high - low + 1
    begin = low + spread(name, kind.name, size if step is None else min(step, size))
    values = (begin,) if step is None else tuple(range(begin, high + 1, step))
    as_star = whole and step is not None
    return Token(text, None if as_star else begin, None if as_star else values[-1], step, single=False, spread=values)


def _token(kind: Kind, text: str) -> Token | Problem:
    if text == "?" and kind in (DAY, WEEKDAY):
        return Token("*", None, None, None, single=False)
    match = _TOKEN.match(text)
    if match is None:
        return _unsupported(kind, text) or _bad(kind, text, "cannot be read", "")
    first_text, last_text, step_text = match.groups()
    step = int(step_text) if step_text is not None else None
    if step == 0:
        return _bad(kind, text, "a step of 0 never moves", "Leave `/0` out.")
    if first_text is None:
        return Token(text, None, None, step, single=False)
    first = _number(kind, first_text)
    last = first if last_text is None else _number(kind, last_text)
    if first is None or last is None:
        return _unsupported(kind, text) or _not_a_value(kind, text)
    if kind is WEEKDAY and last == 0 and first > 0 and last_text is not None:
        last = 7  # sat-sun is meant as 6-7
    if not (kind.low <= first <= kind.high and kind.low <= last <= kind.high):
        hint = "A field of years is not supported." if kind is WEEKDAY and first >= 1970 else ""
        return _bad(kind, text, f"must be from {kind.low} to {kind.high}", hint)
    if first > last:
        high = kind.low + kind.size - 1
        hint = f"Crons disagree on it. Write {first}-{high},{kind.low}-{last}, or list the values."
        return _bad(kind, text, "the range runs backwards", hint)
    return Token(text, first, last, step, single=last_text is None)


def _expand(kind: Kind, token: Token) -> list[int]:
    """The token's values by croniter; Sunday is 0."""
    if token.text == "*":
        return list(range(kind.low, kind.low + kind.size))
    if token.first is None or token.last is None:
        text = token.text
    else:
        open_end = token.single and token.step is not None  # `5/15` goes on to the end of the field
        high = kind.high - (kind is WEEKDAY and token.first < 7)
        last = high if open_end else token.last
        if token.first >= last:
            return [token.first % 7 if kind is WEEKDAY else token.first]  # croniter reads `1-1` as every value
        text = f"{token.first}-{last}" + (f"/{token.step}" if token.step is not None else "")
    from croniter import croniter  # a third of the time of `reconciler validate`; most lines have no range or step

    fields = ["*"] * 5
    fields[kind.place] = text
    expanded = croniter.expand(" ".join(fields))[0][kind.place]
    if "*" in expanded:
        return list(range(kind.low, kind.low + kind.size))
    return [value for value in expanded if isinstance(value, int)]


def _number(kind: Kind, text: str) -> int | None:
    if text.isdigit():
        return int(text)
    return kind.low + kind.names.index(text.lower()) if text.lower() in kind.names else None


def _unsupported(kind: Kind, text: str) -> Problem | None:
    if any(name in text for name in kind.names):
        return None
    for form, message, hint in _ELSEWHERE:
        if form.match(text):
            return "schedule-unsupported", f"{message} ({kind.name} {text!r})", hint
    if re.match(r"[0-9()/-]*(?:[lw][0-9()/-]*)+\Z", text, _CASE):
        hint = "As in `L`, `L-3`, `15W` and `LW` for the day of month, `friL` for the day of week."
        return "schedule-unsupported", f"`L` and `W` are not read like this ({kind.name} {text!r})", hint
    if "#" in text:
        hint = "As in `fri#2`, in the last field: the second Friday of the month."
        return "schedule-unsupported", f"`#` is not read like this ({kind.name} {text!r})", hint
    return None


def _not_a_value(kind: Kind, text: str) -> Problem:
    if kind.names:
        return _bad(kind, text, "is no value here", f"Use {kind.low}-{kind.high} or {', '.join(kind.names)}.")
    hint = "Names of months and days stand in the fourth and fifth of five fields." if text.isalpha() else ""
    return _bad(kind, text, f"must be from {kind.low} to {kind.high}", hint)


def _bad(kind: Kind, text: str, why: str, hint: str) -> Problem:
    return "schedule-invalid", f"{kind.name} {text!r}: {why}", hint
