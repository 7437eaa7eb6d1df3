"""In: a Schedule and a span. Out: the changes of its zone's clocks in it, and what each means to the schedule (T2)."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ..model.job import Schedule, ScheduleKind
from .expression import normalise, read_expression
from .timers import MAX_SHIFT
from .zones import find_zone, stretch

MOST = 8  # changes that one span is searched for
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ClockChange:
    """At `at` the offset goes from `before` to `after`, in seconds east of UTC."""

    at: datetime
    before: int
    after: int

    @property
    def forward(self) -> bool:
        return self.after > self.before

    @property
    def words(self) -> str:
        """`the clocks go forward from 02:00 to 03:00`."""
        way = "forward" if self.forward else "back"
        return f"the clocks go {way} from {_clock(self.at, self.before)} to {_clock(self.at, self.after)}"


def clock_changes(zone: str, after: datetime, until: datetime) -> tuple[ClockChange, ...]:
    """The changes in (after, until], oldest first, at most MOST."""
    if find_zone(zone) is None:
        return ()
    found: list[ClockChange] = []
    at, end = int(after.timestamp()), int(until.timestamp())
    while len(found) < MOST:
        here = stretch(zone, at)
        if here.end > end:
            break
        following = stretch(zone, here.end)
        if following.offset != here.offset:
            found.append(ClockChange(_EPOCH + timedelta(seconds=here.end), here.offset, following.offset))
        at = here.end
    return tuple(found)


def change_on(zone: str, at: datetime) -> ClockChange | None:
    """The change on the local day of `at`."""
    info = find_zone(zone)
    if info is None:
        return None
    day = at.astimezone(info).date()
    span = timedelta(hours=26)
    for change in clock_changes(zone, at - span, at + span):
        edges = (change.at - timedelta(seconds=1), change.at)
        if day in [edge.astimezone(info).date() for edge in edges]:
            return change
    return None


def effect(schedule: Schedule, change: ClockChange) -> str:
    """What becomes of the times that the change leaves out or repeats; "" if none of the schedule's is among them."""
    if schedule.kind is ScheduleKind.SEVERAL:
        return "; ".join(dict.fromkeys(found for part in schedule.parts if (found := effect(part, change))))
    if schedule.kind is not ScheduleKind.CRON:
        return ""
    expression = read_expression(normalise(schedule.expression)[1], schedule.seed)
    start = int(change.at.timestamp())
    low, high = sorted((start + change.before, start + change.after))
    hit = expression.wall.next(low, high) if expression.wall is not None else None
    if hit is None:
        return ""
    time = (_EPOCH + timedelta(seconds=hit)).strftime("%H:%M:%S").removesuffix(":00")
    if high - low > MAX_SHIFT:
        return "this corrects the calendar: nothing is made up or held back for it"
    if not expression.fixed:
        return "elapsed time counts: " + (
            "what does not exist is not made up" if change.forward else "it fires in both"
        )
    if change.forward:
        after = _clock(change.at, change.after)
        runs = f"fires once, right after the gap at {after}" if schedule.gap == "after" else "is left out"
        return f"{time} does not exist and {runs} (dst.gap: {schedule.gap})"
    runs = "fires once, at the first" if schedule.overlap == "once" else "fires both times"
    return f"{time} comes twice and {runs} (dst.overlap: {schedule.overlap})"


def _clock(at: datetime, offset: int) -> str:
    return (at + timedelta(seconds=offset)).strftime("%H:%M")
