"""Instants and spans in the words of the screens of `why` and `explain`."""

from datetime import UTC, datetime, timedelta

from ..schedule.zones import find_zone


def day(at: datetime, zone: str, now: datetime) -> str:
    """`Wed 25 Nov 02:30`; with the year if it is another one, with seconds if there are any."""
    place = find_zone(zone) or UTC
    here, today = at.astimezone(place), now.astimezone(place)
    return f"{here:%a %d %b}{f' {here:%Y}' if here.year != today.year else ''} {clock(at, zone)}"


def clock(at: datetime, zone: str, *, exact: bool = False) -> str:
    """`02:30`, `02:30:15`; if it is to be exact, `02:30:15.417`."""
    here = at.astimezone(find_zone(zone) or UTC)
    if exact:
        return here.strftime("%H:%M:%S.%f")[:-3]
    return here.strftime("%H:%M:%S" if here.second else "%H:%M")


def utc(at: datetime, zone: str) -> str:
    """` (01:30 UTC)`, with the day if it is another one there; "" if the zone is UTC."""
    place = find_zone(zone) or UTC
    if zone == "UTC":
        return ""
    there = at.astimezone(UTC)
    other_day = there.date() != at.astimezone(place).date()
    return f" ({f'{there:%a} ' if other_day else ''}{clock(at, 'UTC')} UTC)"


def near(at: datetime, zone: str, now: datetime) -> str:
    """`02:30` on the same day, else `Wed 25 Nov 02:30`."""
    place = find_zone(zone) or UTC
    same = at.astimezone(place).date() == now.astimezone(place).date()
    return clock(at, zone) if same else day(at, zone, now)


def span(length: timedelta | float) -> str:
    """`0.2 s`, `12 s`, `4 min 2 s`, `23 h 42 min`, `3 d 4 h`: the two largest units."""
    total = length.total_seconds() if isinstance(length, timedelta) else length
    if total < 9.95:
        return f"{max(0.0, total):.1f} s".replace(".0 s", " s")
    whole = round(total)
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    first = next(place for place, (_, size) in enumerate(units) if whole >= size)
    said = [(whole // units[first][1], units[first][0])]
    if first + 1 < len(units):
        rest = whole % units[first][1]
        said.append((rest // units[first + 1][1], units[first + 1][0]))
    return " ".join(f"{count} {unit}" for count, unit in said if count)
