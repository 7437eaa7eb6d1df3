"""In: a zone's name and an instant. Out: the stretch of constant offset round it, found through zoneinfo alone.

zoneinfo does not tell when offsets change, so a year is probed once, a day at a time, and remembered.
Instants are int seconds since the epoch.
"""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

_DAY = 86400
_LOW, _HIGH = 1900, 9999
_FAR = 1 << 40

# These name the machine's own zone, or count leap seconds: neither is the same on another host.
_REFUSED = ("localtime", "posixrules", "Factory", "right/", "posix/")


_RECENT: dict[str, "Stretch"] = {}  # the last answer for each zone


@dataclass(frozen=True, slots=True)
class Stretch:
    """Instants in [start, end) share `offset`; just before `start` it was `before`. Seconds, east positive.

    A stretch may also end where a year does; then the next one's `before` equals its `offset`.
    """

    start: int
    end: int
    offset: int
    before: int


@lru_cache(maxsize=1024)
def find_zone(name: str) -> ZoneInfo | None:
    """The zone, or None if there is none of that exact name."""
    if not name or name.startswith(_REFUSED):
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, malformed, or a directory such as `Europe`
        return None


def zone_hint(name: str) -> str:
    """What the writer of an unknown zone may have meant."""
    if name.startswith(_REFUSED):
        return "That zone is not the same on every machine; use an IANA name such as Europe/Berlin, or UTC."
    known = {zone.lower(): zone for zone in available_timezones() if not zone.startswith(_REFUSED)}
    if name.lower() in known:
        return f"Did you mean {known[name.lower()]}?"
    from difflib import get_close_matches

    near = [known[match] for match in get_close_matches(name.lower(), known, n=3, cutoff=0.6)]
    return f"Did you mean {' or '.join(near)}?" if near else "Use an IANA name such as Europe/Berlin, or UTC."


def stretch(zone: str, at: int) -> Stretch:
    """The stretch that holds `at`. The zone must be known."""
    recent = _RECENT.get(zone)  # nearly all questions are about now
    if recent is not None and recent.start <= at < recent.end:
        return recent
    if zone == "UTC":
        return _RECENT.setdefault(zone, Stretch(-_FAR, _FAR, 0, 0))
    year = min(max(datetime.fromtimestamp(at, UTC).year, _LOW), _HIGH)
    starts, stretches = _year(zone, year)
    found = _RECENT[zone] = stretches[max(bisect_right(starts, at) - 1, 0)]
    return found


@lru_cache(maxsize=4096)
def _year(zone: str, year: int) -> tuple[tuple[int, ...], tuple[Stretch, ...]]:
    """The stretches that begin in a year (UTC), the first at its first instant. The last
    one of the last year never ends: a search that goes on from an end must get somewhere."""
    info = find_zone(zone)
    assert info is not None, zone
    begin = int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
    last_year = year == _HIGH  # its last day is beyond the calendar where clocks are ahead
    end = int((datetime(year, 12, 31, tzinfo=UTC) if last_year else datetime(year + 1, 1, 1, tzinfo=UTC)).timestamp())
    marks = [(begin, _offset(info, begin - 1))]
    offset = _offset(info, begin)
    offsets = [offset]
    for day in range(begin, end, _DAY):
        last = _offset(info, min(day + _DAY, end) - 1)
        if last != offset:
            change = _change(info, max(begin, day - 1), min(day + _DAY, end) - 1, offset)
            marks.append((change, offset))
            offsets.append(last)
            offset = last
    ends = [*(mark[0] for mark in marks[1:]), _FAR if last_year else end]
    found = [Stretch(at, to, now, before) for (at, before), to, now in zip(marks, ends, offsets, strict=True)]
    if len(found) > 1 and found[0].start == found[0].end:
        del found[0]
    return tuple(item.start for item in found), tuple(found)


def _change(info: ZoneInfo, low: int, high: int, offset: int) -> int:
    """The first instant in (low, high] whose offset is not `offset`; `low`'s is, `high`'s is not."""
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(info, middle) == offset:
            low = middle
        else:
            high = middle
    return high


def _offset(info: ZoneInfo, at: int) -> int:
    delta = datetime.fromtimestamp(at, info).utcoffset()
    assert delta is not None
    return round(delta.total_seconds())
