"""What the engine shows of standing jobs, and whether it answers at all. Listings are rare, and pings come between."""

from collections.abc import Callable
from datetime import datetime, timedelta

from ..engine.base import Engine
from ..model.errors import EngineUnavailable
from ..model.event import EventName
from ..model.live import LiveState
from .backoff import Backoff
from .events import EventStream
from .fleet import Fleet

RELIST = 300.0  # seconds between two listings when nothing happens
RENEW = timedelta(hours=1)  # in which an unchanged listing counts as a new one: what follows from it may depend on time
PINGS = 15  # in that time: an engine that hangs sends no events, and says nothing of it either


class Observer:
    """Belongs to the sync loop's thread. Keeps the `engine` condition."""

    def __init__(self, engine: Callable[[], Engine], fleet: Fleet, emit: EventStream, relist: float = RELIST) -> None:
        self._engine, self._fleet, self._emit = engine, fleet, emit
        self._relist, self._ping = timedelta(seconds=relist), timedelta(seconds=relist / PINGS)
        self._live: LiveState | None = None
        self._news_at: datetime | None = None  # when it was made
        self._relist_at: datetime | None = None
        self._ping_at: datetime | None = None
        self._backoff = Backoff(1.0, 60.0)

    def forget(self) -> None:
        """Something has changed: list anew at the next look."""
        self._relist_at = None

    def next_at(self, now: datetime) -> list[datetime | None]:
        """When to look again."""
        return [self._relist_at, self._ping_at, self._backoff.next_at(now)]

    def observe(self, now: datetime, *, kicked: bool) -> LiveState | None:
        """The newest listing, made anew if it is time; None while the engine does not answer.

        One that says what the one before said, and shows no run, is the same object: nothing follows from it.
        """
        if self._backoff.waiting("engine", now) and not kicked:
            return None
        fresh = self._live is not None and self._relist_at is not None and now < self._relist_at and not kicked
        if fresh and self._ping_at is not None and now < self._ping_at:
            return self._live
        try:
            if fresh:
                self._engine().ping()
            else:
                self._take(self._engine().observe(), now)
                self._relist_at = now + self._relist
        except EngineUnavailable as error:
            self._live, self._relist_at, self._ping_at = None, None, None
            self._backoff.failed("engine", now)
            if self._fleet.set_condition("engine", now, code=error.code, message=str(error), hint=error.hint):
                self._emit.emit(EventName.ENGINE_LOST, code=error.code, error=str(error), hint=error.hint)
            return None
        self._ping_at = now + self._ping
        self._backoff.succeeded("engine")
        if self._fleet.set_condition("engine", now):
            self._emit.emit(EventName.ENGINE_RECOVERED)
        return self._live

    def _take(self, live: LiveState, now: datetime) -> None:
        old = self._live
        renewed = self._news_at is None or abs(now - self._news_at) >= RENEW
        if old is None or renewed or live.runs or live != old:
            self._live, self._news_at = live, now
