"""Exponential back-off per key, and the count of repeats without convergence (rule P1)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from ..model.desired import DesiredState

STALLED_AFTER = 5  # applies of one digest within the window below
WINDOW = timedelta(minutes=10)
MOST_KEYS = 10_000  # of digests long gone


class Backoff:
    """`first`, doubling, at most `most` seconds. Belongs to one thread."""

    def __init__(self, first: float, most: float) -> None:
        self._first, self._most = first, most
        self._failures: dict[str, tuple[int, datetime]] = {}

    def failed(self, key: str, now: datetime) -> None:
        count = self._failures.get(key, (0, now))[0] + 1
        delay = min(self._most, self._first * 2 ** min(count - 1, 30))
        self._failures[key] = (count, now + timedelta(seconds=delay))
        if len(self._failures) > MOST_KEYS:
            self._failures = {k: v for k, v in self._failures.items() if v[1] > now}

    def succeeded(self, key: str) -> None:
        self._failures.pop(key, None)

    def waiting(self, key: str, now: datetime) -> bool:
        entry = self._failures.get(key)
        return entry is not None and now < entry[1]

    def clear(self) -> None:
        """An operator asked for another try of everything."""
        self._failures.clear()

    def next_at(self, now: datetime) -> datetime | None:
        return min((at for _, at in self._failures.values() if at > now), default=None)


@dataclass(frozen=True, slots=True)
class _Stalled:
    digest: str
    why: str
    until: datetime


class Convergence:
    """Notices what is applied again and again and does not stay. It is left alone for a while, or until its file
    changes: a loop must not wear the engine out, and must not be for ever either."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], list[datetime]] = {}
        self._stalled: dict[str, _Stalled] = {}

    def applied(self, name: str, digest: str, now: datetime) -> str:
        """Note a success. The reason, if this makes it stalled; else ""."""
        key = (name, digest)
        times = self._times[key] = [t for t in self._times.get(key, []) if now - t < WINDOW] + [now]
        if len(self._times) > MOST_KEYS:
            self._times = {k: v for k, v in self._times.items() if now - v[-1] < WINDOW}
        if len(times) < STALLED_AFTER:
            return ""
        minutes = int(WINDOW.total_seconds() // 60)
        why = f"applied {len(times)} times in {minutes} min and undone each time; tried again in {minutes} min"
        self._stalled[name] = _Stalled(digest, why, now + WINDOW)
        del self._times[key]
        return why

    def stalled(self, desired: DesiredState, now: datetime) -> dict[str, str]:
        """Name -> why of what is left alone now."""
        self._stalled = {
            name: s
            for name, s in self._stalled.items()
            if now < s.until and name in desired.jobs and desired.jobs[name].digest == s.digest
        }
        return {name: s.why for name, s in self._stalled.items()}

    def clear(self) -> None:
        self._times.clear()
        self._stalled.clear()

    def next_at(self) -> datetime | None:
        return min((s.until for s in self._stalled.values()), default=None)
