"""In: a Schedule and an instant. Out: when it fires next, or last, or how often (rules T1-T3).

Cron fields are matched on the naive wall clock, and mapped to UTC, stretch of constant offset by stretch, with Debian
cron's rule at its ends (`timers`): what a fixed-time job would have done in a gap of up to three hours is done once
right after it, and in a repeated stretch it runs once; a job with a star in second, minute or hour follows elapsed
time. Larger changes (a zone that crosses the date line) are corrections: the new time simply counts.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from ..model.job import Schedule, ScheduleKind
from .advice import advise, advise_window
from .combined import AnyOf, Unless
from .compiled import Compiled, compiled, meaning, problems_of
from .expression import normalise, read_expression
from .fields import Problem
from .intervals import smallest_interval
from .timers import Timer
from .wallclock import DAY, FIRST

__all__ = [
    "FireWindow", "excluded_fires", "fires", "latest_excluded", "latest_fires", "meaning", "next_excluded", "next_fire",
    "nominal", "normalise", "smallest_interval", "validate",
]  # fmt: skip

MAX_WINDOW = 10 * 366 * DAY  # how far back what is due is counted
REMEMBERED = 4  # fires of one schedule
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class FireWindow:
    """The fires in a window: the first, the last and how many. `capped`: the window held more than is counted (ten
    years; of several schedules as one, twenty thousand fires), and only its end counts."""

    first: datetime | None = None
    last: datetime | None = None
    count: int = 0
    capped: bool = False


def validate(schedule: Schedule) -> tuple[list[Problem], list[Problem]]:
    """`(errors, warnings)`, each `(code, message, hint)`."""
    if schedule.kind is ScheduleKind.SEVERAL:
        found = [validate(part) for part in schedule.parts]
        errors, warnings = ([p for one in found for p in one[side]] for side in (0, 1))
        return list(dict.fromkeys(errors)), list(dict.fromkeys(warnings))
    errors = problems_of(schedule)
    if errors:
        return errors, []
    warnings = advise_window(schedule)
    if schedule.kind is ScheduleKind.CRON:
        warnings = advise(read_expression(normalise(schedule.expression)[1], schedule.seed)) + warnings
    return errors, warnings


def next_fire(schedule: Schedule, after: datetime, anchor: datetime) -> datetime | None:
    """The first fire strictly later than `after`; None if it is manual, unreadable, or has none within 50 years.

    `anchor` is what `@every` counts from; cron lines ignore it.
    """
    found = compiled(schedule)
    hit = None if found is None else _next(found, _floor(after), _floor(anchor))
    return None if hit is None else _instant(hit)


def next_excluded(schedule: Schedule, after: datetime, anchor: datetime) -> datetime | None:
    """The first instant later than `after` at which it would fire, were that day not excluded."""
    found = compiled(schedule)
    if found is None or found.excluded is None:
        return None
    hit = found.excluded.next(_floor(after), _floor(anchor))
    return None if hit is None else _instant(hit)


def fires(schedule: Schedule, after: datetime, until: datetime, anchor: datetime, limit: int) -> list[datetime]:
    """The fires in (after, until], oldest first, at most `limit`."""
    found = compiled(schedule)
    return [] if found is None else _walk(found.fires, after, until, anchor, limit)


def excluded_fires(
    schedule: Schedule, after: datetime, until: datetime, anchor: datetime, limit: int
) -> list[datetime]:
    """What the excluded days left out in (after, until], oldest first, at most `limit`."""
    found = compiled(schedule)
    return [] if found is None or found.excluded is None else _walk(found.excluded, after, until, anchor, limit)


def latest_fires(schedule: Schedule, after: datetime, until: datetime, anchor: datetime) -> FireWindow:
    """What fell due in (after, until], by counting and not by walking: cheap after a year of downtime too."""
    found = compiled(schedule)
    if found is None:
        return FireWindow()
    low, high, origin = _floor(after), _floor(until), _floor(anchor)
    if low > FIRST + DAY and high - low <= MAX_WINDOW:  # nearly always nothing, or one fire
        first = _next(found, low, origin)
        if first is None or first > high:
            return FireWindow()
        following = _next(found, first, origin)
        if following is None or following > high:
            at = _instant(first)
            return FireWindow(at, at, 1)
    return _counted(found.fires, after, until, anchor)


def latest_excluded(schedule: Schedule, after: datetime, until: datetime, anchor: datetime) -> FireWindow:
    """The same for what the excluded days left out."""
    found = compiled(schedule)
    if found is None or found.excluded is None:
        return FireWindow()
    return _counted(found.excluded, after, until, anchor)


def nominal(schedule: Schedule, slot: datetime) -> datetime:
    """The instant that a slot stands for: without its jitter. A run by hand, or a slot of another schedule, stands for
    itself."""
    found, at = compiled(schedule), _floor(slot)
    for timer, by, every in found.nominal if found is not None and _instant(at) == slot else ():
        if timer.next(at - by - 1, at - by - every) == at - by:
            return _instant(at - by)
    return slot


def _next(found: Compiled, after: int, origin: int) -> int | None:
    """One decision asks for the same few instants again and again."""
    memo = found.memo
    key = (after, origin)
    try:
        return memo[key]
    except KeyError:
        if len(memo) >= REMEMBERED:
            memo.clear()
        hit = memo[key] = found.fires.next(after, origin)
        return hit


def _walk(timer: Timer, after: datetime, until: datetime, anchor: datetime, limit: int) -> list[datetime]:
    found: list[datetime] = []
    at, end, origin = _floor(after), _floor(until), _floor(anchor)
    while len(found) < limit:
        hit = timer.next(at, origin)
        if hit is None or hit > end:
            break
        found.append(_instant(hit))
        at = hit
    return found


def _counted(timer: Timer, after: datetime, until: datetime, anchor: datetime) -> FireWindow:
    low, high, origin = _floor(after), _floor(until), _floor(anchor)
    capped = high - low > MAX_WINDOW
    low = max(low, high - MAX_WINDOW, FIRST + DAY)
    several = timer.inner if isinstance(timer, Unless) else timer
    if isinstance(several, AnyOf):
        reach = several.reach(low, high, origin)
        low, capped = reach, capped or reach > low
    first = timer.next(low, origin)
    last = None if first is None or first > high else timer.last(low, high, origin)
    if first is None or last is None:
        return FireWindow(capped=capped)
    return FireWindow(_instant(first), _instant(last), timer.count(low, high, origin), capped)


def _floor(at: datetime) -> int:
    """Whole seconds since the epoch; fires fall on whole seconds, so what is later than the floor is later."""
    passed = at - _EPOCH  # exact, where a float of seconds rounds up in far years
    return passed.days * DAY + passed.seconds


def _instant(at: int) -> datetime:
    return datetime.fromtimestamp(at, UTC)
