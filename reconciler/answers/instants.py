"""In: what a person types for an instant, and what fires or was recorded. Out: the slot that is meant, or none.

`02:30`, `11-24T02:30`, `2026-11-24T02:30`, with seconds or without, in the job's zone; with `Z` or an offset, in that.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from ..model.job import Schedule
from ..model.run import Disposition, Phase, RunRecord, SlotRecord
from ..model.years import OUTSIDE, plausible
from ..schedule.cron import excluded_fires, fires, latest_fires, next_fire
from ..schedule.zones import find_zone

BACK, AHEAD = 31, 31  # days in which a time of day is looked for
FAR = timedelta(days=400)  # how far back the fire before an instant is looked for
_TIME = r"(?P<clock>\d{2}:\d{2}(?P<seconds>:\d{2}(?P<fraction>\.\d{1,6})?)?)"
_FORM = re.compile(
    rf"(?:(?:(?P<year>\d{{4}})-)?(?P<day>\d{{2}}-\d{{2}})[T ])?{_TIME}(?P<zone>Z|[+-]\d{{2}}:\d{{2}})?\Z"
)


@dataclass(frozen=True, slots=True)
class Window:
    """Instants in [begin, end): a person who says 02:30 means any of that minute."""

    begin: datetime
    end: datetime

    def holds(self, at: datetime) -> bool:
        return self.begin <= at < self.end


def windows(text: str, zone: str, now: datetime) -> tuple[Window, ...]:
    """What `text` may mean, the likeliest first: of a time of day what is past before what is to come, of a day that of
    this year. Raises ValueError."""
    match = _FORM.match(text.strip())
    if match is None:
        raise ValueError("not an instant such as 02:30, 2026-11-24T02:30 or 2026-11-24T01:30:00Z")
    place = _zone(match["zone"], zone)
    found = [at for day in _days(match["year"], match["day"], now.astimezone(place)) for at in _at(day, match, place)]
    if not found:
        raise ValueError("there is no such day, or no such time of day")
    if not plausible(found[0]):
        raise ValueError(f"it {OUTSIDE}")
    width = timedelta(seconds=1) if match["seconds"] else timedelta(minutes=1)
    width = timedelta(milliseconds=1) if match["fraction"] else width
    if match["day"] is None:
        past = sorted((at for at in found if at <= now), reverse=True)
        found = [*past, *sorted(at for at in found if at > now)]
    return tuple(Window(at, at + width) for at in found)


def _zone(said: str | None, zone: str) -> tzinfo:
    if said is None:
        return find_zone(zone) or UTC
    return UTC if said == "Z" else datetime.fromisoformat(f"2000-01-01T00:00{said}").tzinfo or UTC


def _days(year: str | None, day: str | None, today: datetime) -> Iterator[str]:
    """The dates that may be meant, as ISO text."""
    if day is None:
        yield from ((today + timedelta(days=n)).date().isoformat() for n in range(-BACK, AHEAD + 1))
    elif year is not None:
        yield f"{year}-{day}"
    else:
        yield from (f"{today.year + n}-{day}" for n in (0, -1, 1))


def _at(day: str, match: re.Match[str], place: tzinfo) -> Iterator[datetime]:
    """Both instants of an hour that comes twice."""
    try:
        local = datetime.fromisoformat(f"{day}T{match['clock']}").replace(tzinfo=place)
        yield from dict.fromkeys(local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    except (ValueError, OverflowError):  # 30 February, 25:00
        return


def choose(
    found: Sequence[Window], recorded: Sequence[datetime], schedule: Schedule | None, anchor: datetime
) -> datetime | None:
    """The slot that is meant: of the first window that holds one the very instant, else what was recorded, else
    what the schedule fires."""
    for window in found:
        inside = [at for at in recorded if window.holds(at)]
        last = window.end - timedelta(seconds=1)
        if schedule is not None:
            for find in (fires, excluded_fires):
                inside += find(schedule, window.begin - timedelta(seconds=1), last, anchor, 1)
        if inside:
            return window.begin if window.begin in inside else inside[0]
    return None


def day_of(at: datetime, zone: str) -> Window:
    """The day of a zone that an instant is in."""
    place = find_zone(zone) or UTC
    begin = at.astimezone(place).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    following = datetime.combine(begin.date() + timedelta(days=1), begin.timetz())
    return Window(begin.astimezone(UTC), following.astimezone(UTC))


def busy(day: Window, schedule: Schedule, anchor: datetime) -> bool:
    """Does it fire on that day?"""
    tick = timedelta(seconds=1)
    return bool(fires(schedule, day.begin - tick, day.end - tick, anchor, 1))


def is_slot(schedule: Schedule, at: datetime, anchor: datetime) -> bool:
    return fires(schedule, at - timedelta(seconds=1), at, anchor, 1) == [at] or is_excluded(schedule, at, anchor)


def is_excluded(schedule: Schedule, at: datetime, anchor: datetime) -> bool:
    """Would it fire then, were that day not excluded?"""
    return excluded_fires(schedule, at - timedelta(seconds=1), at, anchor, 1) == [at]


def around(schedule: Schedule, at: datetime, anchor: datetime) -> tuple[datetime | None, datetime | None]:
    """The fires nearest before and after an instant."""
    before = latest_fires(schedule, at - FAR, at - timedelta(microseconds=1), anchor).last
    return before, next_fire(schedule, at, anchor)


def latest_trouble(runs: Sequence[RunRecord], slots: Sequence[SlotRecord], most: int) -> datetime | None:
    """The latest slot that did not end well; without any, the latest; None if nothing was ever recorded.

    Both are newest first and hold at most `most`: what is older than the oldest run of a full listing is not looked at.
    """
    by_slot: dict[datetime, list[RunRecord]] = {}
    for run in runs:
        by_slot.setdefault(run.slot, []).append(run)
    horizon = runs[-1].slot if len(runs) >= most else None
    others = [row for row in slots if row.disposition not in (Disposition.RAN, Disposition.LOST)]
    bad = [row.last for row in others if (horizon is None or row.last > horizon)]
    bad += [slot for slot, attempts in by_slot.items() if _bad(attempts)]
    every = [*by_slot, *(row.last for row in others)]
    return max(bad, default=None) or max(every, default=None)


def _bad(attempts: Sequence[RunRecord]) -> bool:
    """Has it ended, and not well?"""
    last = final(attempts)
    return not any(run.active for run in last) and any(run.phase is not Phase.SUCCEEDED for run in last)


def final(attempts: Sequence[RunRecord]) -> list[RunRecord]:
    """The last attempt of each cell, in order of the cells."""
    found: dict[int, RunRecord] = {}
    for run in sorted(attempts, key=lambda run: run.attempt):
        found[-1 if run.cell is None else run.cell] = run
    return [found[cell] for cell in sorted(found)]
