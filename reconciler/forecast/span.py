"""The span of time that is simulated, and when the service does not run in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Span:
    """`downtime`: (from, to) in which the service does not run; containers go on."""

    begin: datetime
    end: datetime
    downtime: tuple[tuple[datetime, datetime], ...] = ()


def spans(text: Sequence[tuple[datetime, datetime]]) -> tuple[tuple[datetime, datetime], ...]:
    """Downtimes in order, those that meet made one."""
    found: list[tuple[datetime, datetime]] = []
    for begin, end in sorted(text):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return tuple(found)
