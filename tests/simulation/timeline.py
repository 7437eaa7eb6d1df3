"""Virtual time: what will happen when, on a clock that never steps; the wall clock is that plus an offset that may."""

import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

BASE = datetime(2026, 10, 1, tzinfo=UTC)


class Timeline:
    """`true` is in seconds since the beginning. What is planned for one time happens in the order of planning."""

    def __init__(self) -> None:
        self.true = 0.0
        self.offset = 0.0  # seconds by which the wall clock is off
        self.booted = 0.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self._wall = BASE
        self._wall_of = (0.0, 0.0)

    def wall(self) -> datetime:
        key = (self.true, self.offset)
        if key != self._wall_of:
            self._wall, self._wall_of = BASE + timedelta(seconds=self.true + self.offset), key
        return self._wall

    def boot(self) -> float:
        return self.true - self.booted

    def at(self, true: float, what: Callable[[], None]) -> None:
        self._serial += 1
        heapq.heappush(self._heap, (max(true, self.true), self._serial, what))

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        self.at(self.true + seconds, what)

    def next_at(self) -> float | None:
        return self._heap[0][0] if self._heap else None

    def take(self) -> Callable[[], None] | None:
        """What happens now, if anything does."""
        if self._heap and self._heap[0][0] <= self.true:
            return heapq.heappop(self._heap)[2]
        return None

    def true_of(self, wall: datetime) -> float:
        """When the wall clock will show it, if it does not step."""
        return (wall - BASE).total_seconds() - self.offset
