"""Compares wall and boot clock at each tick (rule T7): a step, a sleep of the host, or a frozen process."""

from dataclasses import dataclass
from datetime import datetime

STEP = 2.0  # seconds by which the clocks may drift apart between two ticks before it is a step
ABSENT = 45.0  # seconds without a tick that count as a downtime; a tick comes at least every 15


@dataclass(frozen=True, slots=True)
class ClockNews:
    """What happened since the last tick. `downtime` is (from, to) in wall time: slots in it were not seen."""

    stepped: float = 0.0  # seconds, negative = back
    downtime: tuple[datetime, datetime] | None = None


class ClockWatch:
    """One per run loop. The first look takes the last instant that an earlier process was alive."""

    def __init__(self, last_alive: datetime | None = None) -> None:
        self._wall = last_alive
        self._boot: float | None = None

    def look(self, wall: datetime, boot: float) -> ClockNews:
        before_wall, before_boot = self._wall, self._boot
        self._wall, self._boot = wall, boot
        if before_wall is None:
            return ClockNews()
        gone = (wall - before_wall).total_seconds()
        if before_boot is None:  # a restart: how long is only known by the wall clock
            return ClockNews(downtime=(before_wall, wall) if gone > 1.0 else None)
        step = gone - (boot - before_boot)
        stepped = step if abs(step) > STEP else 0.0
        away = stepped > 0 or boot - before_boot > ABSENT
        return ClockNews(stepped, (before_wall, wall) if away else None)
