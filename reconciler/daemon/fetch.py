"""source -> spec: keeps the desired state of the newest revision, reading and parsing only what changed."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from ..model.desired import DesiredState, Snapshot
from ..model.errors import ReconcilerError
from ..model.live import StandingJob
from ..model.service import ServiceConfig
from ..source.base import Source, trusted
from ..source.watch import next_poll
from ..spec.desire import NONE, Cache, desire


class Fetcher:
    """`refresh(now)` returns the desired state; the same object as before when nothing has changed.

    A local source is asked at every pass (its head is a file); a remote one when its poll is due or it was kicked.
    """

    def __init__(self, open_it: Callable[[ServiceConfig], Source], seed: str) -> None:
        self._open = open_it
        self._seed = seed
        self._source: Source | None = None
        self._source_of: object = None
        self._cache: Cache = {}
        self._snapshot: Snapshot | None = None
        self._desired: DesiredState | None = None
        self._made_with: object = None
        self._failures = 0
        self._passed_over: str | None = None  # the head that could not be used
        self.poll_at: datetime | None = None

    @property
    def source(self) -> Source | None:
        return self._source

    @property
    def desired(self) -> DesiredState | None:
        return self._desired

    def refresh(
        self, config: ServiceConfig, applied: str | None, now: datetime, *, kicked: bool,
        standing: Mapping[str, StandingJob] = NONE,
    ) -> DesiredState:  # fmt: skip
        """Read the newest revision; `standing` as of `desire`. Raises SourceUnavailable or SourceRejected, and then
        nothing has changed."""
        source = self._opened(config)
        due = self.poll_at is None or now >= self.poll_at or source.local or kicked
        if not due and self._desired is not None and self._made_with is config:
            return self._desired
        try:
            desired = self._read(source, config, applied, standing)
        except ReconcilerError:
            self._failures += 1
            self._passed_over = self._head(source)
            self._schedule(config, now)
            raise
        self._failures, self._passed_over = 0, None
        self._schedule(config, now)
        return desired

    def _opened(self, config: ServiceConfig) -> Source:
        signers = config.people if config.source.require_signed != "none" else ()
        wanted = (config.source, config.git, signers)
        if self._source is None or self._source_of != wanted:
            if self._source is not None:
                self._source.close()
                self._source = None
            self._source = self._open(config)
            self._source_of, self._snapshot, self.poll_at = wanted, None, None
        return self._source

    def _read(
        self, source: Source, config: ServiceConfig, applied: str | None, standing: Mapping[str, StandingJob]
    ) -> DesiredState:
        snapshot = trusted(source.snapshot(applied))
        if self._desired is not None and snapshot is self._snapshot and self._made_with is config:
            return self._desired
        desired, self._cache = desire(snapshot, source.read, config, self._cache, standing)
        self._desired, self._snapshot, self._made_with = desired, snapshot, config
        return desired

    def _schedule(self, config: ServiceConfig, now: datetime) -> None:
        delay = next_poll(config.source.poll_interval, self._failures, self._seed)
        self.poll_at = now + timedelta(seconds=delay)

    def newer(self) -> bool:
        """Cheap: has a local source moved on since `refresh`? (rule D7) A head that was looked at and cannot be used
        does not count: what the last usable revision asks for is still to be done."""
        if self._source is None or self._snapshot is None:
            return False
        return self._head(self._source) not in (None, self._snapshot.commit.id, self._passed_over)

    def _head(self, source: Source) -> str | None:
        """None if it cannot be told for nothing."""
        try:
            return source.head() if source.local else None
        except ReconcilerError:
            return None

    def close(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None
