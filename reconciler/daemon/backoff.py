"""Exponential back-off per key, and the count of repeats without convergence."""

from datetime import datetime, timedelta

STALLED_AFTER = 5  # applies of one digest within the window below
WINDOW = timedelta(minutes=10)


class Backoff:
    """`first`, doubling, at most `most` seconds. Belongs to one thread."""

    def __init__(self, first: float, most: float) -> None:
        self._first, self._most = first, most
        self._failures: dict[str, tuple[int, datetime]] = {}
        self._repeats: dict[str, list[datetime]] = {}
        self.stalled: dict[str, str] = {}  # name -> why

    def failed(self, key: str, now: datetime) -> None:
        count = self._failures.get(key, (0, now))[0] + 1
        delay = min(self._most, self._first * 2 ** min(count - 1, 30))
        self._failures[key] = (count, now + timedelta(seconds=delay))
        if len(self._failures) > 10_000:  # keys of digests long gone
            self._failures = {k: v for k, v in self._failures.items() if v[1] > now}

    def succeeded(self, key: str) -> None:
        self._failures.pop(key, None)

    def waiting(self, key: str, now: datetime) -> bool:
        entry = self._failures.get(key)
        return entry is not None and now < entry[1]

    def repeated(self, key: str, name: str, now: datetime) -> None:
        """Note a success; the same thing succeeding again and again is a loop, not progress (rule P1)."""
        self.succeeded(key)
        times = [t for t in self._repeats.get(key, []) if now - t < WINDOW] + [now]
        self._repeats[key] = times
        if len(times) >= STALLED_AFTER:
            self.stalled[name] = f"applied {len(times)} times within {WINDOW} without staying applied"
        if len(self._repeats) > 10_000:
            self._repeats = {k: v for k, v in self._repeats.items() if now - v[-1] < WINDOW}

    def forget(self, name: str) -> None:
        """A new revision or an operator asked for another try."""
        self.stalled.pop(name, None)
        for key in [k for k in self._failures if k.startswith(name + " ")]:
            del self._failures[key]

    def clear(self) -> None:
        self.stalled.clear()
        self._failures.clear()
        self._repeats.clear()

    def next_at(self, now: datetime) -> datetime | None:
        return min((at for _, at in self._failures.values() if at > now), default=None)
