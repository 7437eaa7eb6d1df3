"""In: one cron field as text. Out: the values it allows, or what is wrong with it. The only import of croniter.

croniter expands a field; which fields we let through to it is decided here, since it also reads forms that we do
not promise (`L`, `#`, `H`) and turns `1-1` into every value. Fields repeat from job to job, so each is expanded once.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

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
_LETTERS = {"l": "`L` (last)", "w": "`W` (nearest weekday)", "h": "`H` (spread)", "r": "`R` (random)"}
_SIGNS = {
    "?": ("`?` is not supported", "Write `*`."),
    "#": ("`#` (nth weekday of the month) is not supported", "Run on that weekday and test the date in the job."),
    "~": ("`~` (random) is not supported", "Write a fixed value."),
}


@dataclass(frozen=True, slots=True)
class Token:
    """One element of a field's comma list. A star has no `first`; a single value has first == last."""

    text: str
    first: int | None
    last: int | None
    step: int | None
    single: bool


@dataclass(frozen=True, slots=True)
class Field:
    """One field, read. `star`: it begins with `*`, which counts for Debian's rules even in `*/2`."""

    kind: Kind
    text: str
    star: bool
    values: tuple[int, ...]
    tokens: tuple[Token, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def full(self) -> bool:
        """It allows every value."""
        return len(self.values) == self.kind.size


@lru_cache(maxsize=8192)
def read_field(kind: Kind, text: str) -> Field:
    """Read one lower-case field. Never raises: a bad one has `problems` and no values."""
    tokens, problems = [], []
    for part in text.split(","):
        token = _token(kind, part)
        if isinstance(token, Token):
            tokens.append(token)
        else:
            problems.append(token)
    if problems:
        return Field(kind, text, text.startswith("*"), (), tuple(tokens), tuple(problems))
    values = tuple(sorted({value for token in tokens for value in _expand(kind, token)}))
    return Field(kind, text, text.startswith("*"), values, tuple(tokens))


def _token(kind: Kind, text: str) -> Token | Problem:
    match = _TOKEN.match(text)
    if match is None:
        return _unsupported(kind, text) or _bad(kind, text, "cannot be read", "")
    first_text, last_text, step_text = match.groups()
    step = int(step_text) if step_text is not None else None
    if step == 0:
        return _bad(kind, text, "a step of 0 never moves", "Leave `/0` out.")
    if first_text is None:
        return Token(text, None, None, step, False)
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
    return Token(text, first, last, step, last_text is None)


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
    return kind.low + kind.names.index(text) if text in kind.names else None


def _unsupported(kind: Kind, text: str) -> Problem | None:
    for sign, (message, hint) in _SIGNS.items():
        if sign in text:
            return "schedule-unsupported", f"{message} ({kind.name} {text!r})", hint
    if any(name in text for name in kind.names):
        return None
    rest = re.sub(r"[0-9()/*-]", "", text)
    if rest and set(rest) <= set(_LETTERS):
        hint = "Write plain values." if kind is not DAY else "Run on 28-31, or mon-fri, and test the date in the job."
        return "schedule-unsupported", f"{_LETTERS[rest[0]]} is not supported ({kind.name} {text!r})", hint
    return None


def _not_a_value(kind: Kind, text: str) -> Problem:
    if kind.names:
        return _bad(kind, text, "is no value here", f"Use {kind.low}-{kind.high} or {', '.join(kind.names)}.")
    hint = "Names of months and days stand in the fourth and fifth of five fields." if text.isalpha() else ""
    return _bad(kind, text, f"must be from {kind.low} to {kind.high}", hint)


def _bad(kind: Kind, text: str, why: str, hint: str) -> Problem:
    return "schedule-invalid", f"{kind.name} {text!r}: {why}", hint
