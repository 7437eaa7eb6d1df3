"""In: a Schedule. Out: the timer that finds its fires, and what is wrong with it. Each distinct one is read once."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from ..model.job import Schedule, ScheduleKind
from .combined import AnyOf, Bounded, Shifted, Unless, Without
from .dates import Days, days_of, instant_of, read_date, read_time
from .expression import MAX_EVERY, normalise, read_expression
from .fields import Problem
from .intervals import smallest_interval
from .spread import spread
from .timers import CronTimer, EveryTimer, Timer, WallTimes
from .wallclock import DAY, FIRST, LAST
from .zones import find_zone, zone_hint


@dataclass(frozen=True, slots=True)
class Compiled:
    """`fires` is when runs are due; `excluded` when they would be, were it not for the excluded days; None = never.

    `nominal`: for each part with a jitter, its fires without, by how much it moves them, and the interval if it is one.
    """

    fires: Timer
    excluded: Timer | None = None
    nominal: tuple[tuple[Timer, int, int], ...] = ()
    memo: dict[tuple[int, int], int | None] = field(default_factory=dict, compare=False)  # fires asked for of late


@lru_cache(maxsize=16384)
def compiled(schedule: Schedule) -> Compiled | None:
    """None if it is manual or cannot be read; `problems_of` tells why."""
    if schedule.kind is ScheduleKind.SEVERAL:
        return _several(schedule)
    if schedule.kind is ScheduleKind.MANUAL or find_zone(schedule.timezone) is None:
        return None
    try:
        timer = _core(schedule)
        if timer is None:
            return None
        if not (schedule.start or schedule.end or schedule.exclude or schedule.jitter):
            return Compiled(timer)  # nearly every one
        if schedule.start or schedule.end:
            timer = Bounded(timer, *window(schedule))
        days = days_of(schedule.exclude)
    except ValueError:
        return None
    return _moved(schedule, timer, days)


def _moved(schedule: Schedule, timer: Timer, days: Days) -> Compiled:
    """With its days left out and its jitter put on top: the date that counts is that before jitter."""
    shown: Timer = Without(timer, schedule.timezone, days) if days else timer
    hidden = Without(timer, schedule.timezone, days, outside=True) if days else None
    by = jitter_of(schedule)
    if not by:
        return Compiled(shown, hidden)
    return Compiled(Shifted(shown, by), Shifted(hidden, by) if hidden else None, ((shown, by, int(schedule.every)),))


def _several(schedule: Schedule) -> Compiled | None:
    parts = [part for one in schedule.parts if (part := compiled(one)) is not None]
    if len(parts) != len(schedule.parts) or not parts:
        return None
    fires = AnyOf(tuple(part.fires for part in parts))
    hidden = tuple(part.excluded for part in parts if part.excluded is not None)
    nominal = tuple(moved for part in parts for moved in part.nominal)
    return Compiled(fires, Unless(AnyOf(hidden), fires) if hidden else None, nominal)


def _core(schedule: Schedule) -> Timer | None:
    """Without bounds, exclusions and jitter. Raises ValueError on times that cannot be read."""
    if schedule.kind is ScheduleKind.EVERY:
        begin = window(schedule)[0] if schedule.start else None
        return None if every_problems(schedule) else EveryTimer(int(schedule.every), begin)
    after, once = schedule.gap == "after", schedule.overlap == "once"
    if schedule.kind is ScheduleKind.AT:
        times = tuple(sorted({read_time(text) for text in schedule.expression.split(",")}))
        return CronTimer(WallTimes(times), schedule.timezone, True, after, once)
    expression = read_expression(normalise(schedule.expression)[1], schedule.seed)
    if expression.wall is None:
        return None
    return CronTimer(expression.wall, schedule.timezone, expression.fixed, after, once)


def window(schedule: Schedule) -> tuple[int, int]:
    """The first and the last instant that `start` and `end` allow. Raises ValueError."""
    first, final = FIRST + DAY, LAST
    zone = schedule.timezone
    if schedule.start:
        day = len(schedule.start) == len("2026-12-24")
        first = instant_of(zone, read_date(schedule.start) * DAY if day else read_time(schedule.start))
    if schedule.end:
        day = len(schedule.end) == len("2026-12-24")
        final = instant_of(zone, (read_date(schedule.end) + 1) * DAY) - 1 if day else instant_of(
            zone, read_time(schedule.end)
        )  # fmt: skip
    return first, final


def jitter_of(schedule: Schedule) -> int:
    """By how many seconds this job is late (rule T9): always the same, and less than its smallest interval."""
    most = int(schedule.jitter)
    if most <= 0:
        return 0
    interval = smallest_interval(schedule)
    most = most if interval is None else min(most, int(interval) - 1)
    return spread(schedule.seed, "jitter", most + 1)


def meaning(schedule: Schedule) -> Schedule:
    """The schedule without what does not change when it fires: equal for two that fire alike as written."""
    return replace(
        schedule,
        expression=normalise(schedule.expression)[1] if schedule.kind is not ScheduleKind.SEVERAL else "",
        timezone=schedule.timezone if not schedule.parts else "",
        calendars=(),
        parts=tuple(meaning(part) for part in schedule.parts),
    )


# -- what is wrong ---------------------------------------------------------------------------------------------


def problems_of(schedule: Schedule) -> list[Problem]:
    """The errors `(code, message, hint)` of one that is not SEVERAL."""
    found = every_problems(schedule) if schedule.kind is ScheduleKind.EVERY else _line_problems(schedule)
    if find_zone(schedule.timezone) is None:
        message = f"unknown time zone {schedule.timezone!r}"
        return [("timezone-unknown", message, zone_hint(schedule.timezone)), *found]
    if found or schedule.kind is ScheduleKind.MANUAL:
        return found
    try:
        days_of(schedule.exclude)
        return list(_window_problems(schedule) or _never_problems(schedule))
    except ValueError as error:
        return [("date-invalid", f"a date or time of the schedule {error}", "")]


def every_problems(schedule: Schedule) -> list[Problem]:
    if 1.0 <= schedule.every <= MAX_EVERY and schedule.every == int(schedule.every):
        return []
    hint = "Write `@every 90s`, `@every 1h30m` or `@every 2d`: whole seconds, at least one."
    return [("schedule-invalid", f"{schedule.expression!r} is no interval", hint)]


def _line_problems(schedule: Schedule) -> list[Problem]:
    if schedule.kind is not ScheduleKind.CRON:
        return []
    return list(read_expression(normalise(schedule.expression)[1], schedule.seed).problems)


def _window_problems(schedule: Schedule) -> list[Problem]:
    if not (schedule.start and schedule.end):
        return []
    first, final = window(schedule)
    if first <= final:
        return []
    return [("schedule-window", f"ends ({schedule.end}) before it starts ({schedule.start})", "")]


def _never_problems(schedule: Schedule) -> Iterator[Problem]:
    """Without a clock: a time that no clock shows, bounds that hold no fire, exclusions that leave none."""
    times: list[int] = []
    if schedule.kind is ScheduleKind.AT:
        for text in schedule.expression.split(","):
            times.append(instant_of(schedule.timezone, read_time(text)))
            one = compiled(replace(schedule, expression=text, start="", end="", exclude="", jitter=0.0))
            if one is None or one.fires.last(times[-1] - DAY, times[-1] + DAY, 0) is None:
                message = f"never fires: no clock in {schedule.timezone} shows {text}"
                yield "schedule-never", message, "The clocks are set forward over it; choose another time."
                return
    timer = compiled(schedule)
    if timer is None or not (schedule.start or schedule.end or schedule.exclude):
        return
    bare = compiled(replace(schedule, exclude="", jitter=0.0))
    if schedule.start or schedule.end:
        first, final = window(schedule)
        if bare is None or not _fires_within(bare.fires, first, final):
            yield "schedule-never", "never fires: there is no fire between its start and its end", ""
            return
        if schedule.exclude and schedule.end and not _fires_within(timer.fires, first, final + DAY):
            yield "schedule-never", "never fires: `exclude` leaves no fire between its start and its end", ""
            return
    if times and schedule.exclude and timer.fires.last(min(times) - DAY, max(times) + 3 * DAY, 0) is None:
        yield "schedule-never", "never fires: `exclude` leaves none of its times", ""
        return
    long = [first for first, last in days_of(schedule.exclude) if last - first > 366]
    if schedule.kind is not ScheduleKind.AT and not schedule.end:
        for day in long:
            start = instant_of(schedule.timezone, day * DAY)
            if timer.fires.next(start - 1, start) is None:
                yield "schedule-never", "never fires again: `exclude` leaves no fire within 50 years", ""
                return


def _fires_within(timer: Timer, first: int, final: int) -> bool:
    hit = timer.next(first - 1, first - 1)
    return hit is not None and hit <= final
