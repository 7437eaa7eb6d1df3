"""For a reboot or other work on the host: nothing is started, what runs goes on. Ends by hand, or with the reboot.

What is due meanwhile is accounted for when the drain ends, as after a downtime (rule T6).
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from ..history.base import History, Reader
from ..model.errors import Permanent
from ..model.event import EventName
from .events import EventStream
from .fleet import Fleet

META = "drain"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Drain:
    """`boot` tells this start of the machine from the next one."""

    since: str  # ISO 8601, UTC
    actor: str
    reason: str
    boot: str

    @property
    def began(self) -> datetime:
        return datetime.fromisoformat(self.since)

    @property
    def words(self) -> str:
        said = f": {self.reason}" if self.reason else ""
        return f"drained by {self.actor} since {self.began:%Y-%m-%dT%H:%M:%SZ}{said}"


def boot_id() -> str:
    """Which start of the machine this is; "" where the kernel does not tell."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def stored(history: Reader) -> Drain | None:
    """The drain in force, by the ledger."""
    text = history.get_meta(META)
    return Drain(**json.loads(text)) if text else None


class Drainer:
    """Belongs to the run loop's thread. `current` is None unless nothing may start."""

    def __init__(self, history: History, fleet: Fleet, emit: EventStream, boot: str) -> None:
        self._history, self._fleet, self._emit, self._boot = history, fleet, emit, boot
        self.current: Drain | None = None

    def recover(self, now: datetime) -> Drain | None:
        """After a restart of the service the drain goes on, after one of the machine it is over: the one that ended."""
        found = stored(self._history)
        if found is None:
            return None
        if found.boot != self._boot:
            self._forget(found, "reboot", now)
            return found
        self._take(found, now)
        return None

    def begin(self, actor: str, reason: str, now: datetime) -> Drain:
        """Begun before: it stays as it was said first."""
        if self.current is None:
            drain = Drain(now.isoformat(), actor, reason, self._boot)
            self._history.set_meta(META, json.dumps(asdict(drain)))
            self._take(drain, now)
            self._emit.emit(EventName.SERVICE_DRAINED, actor=actor, reason=reason)
        assert self.current is not None
        return self.current

    def end(self, actor: str, now: datetime) -> Drain:
        """Raises Permanent `not-drained`."""
        found = self.current
        if found is None:
            raise Permanent("cannot end the drain: there is none", code="not-drained")
        self.current = None
        self._forget(found, actor, now)
        return found

    def _take(self, drain: Drain, now: datetime) -> None:
        self.current = drain
        hint = "after the reboot it ends by itself; to end it now: reconciler drain --end"
        self._fleet.set_condition("drain", now, code="draining", message=f"nothing starts: {drain.words}", hint=hint)

    def _forget(self, drain: Drain, actor: str, now: datetime) -> None:
        self._history.set_meta(META, "")
        self._fleet.set_condition("drain", now)
        self._emit.emit(EventName.SERVICE_UNDRAINED, actor=actor, since=drain.since)
