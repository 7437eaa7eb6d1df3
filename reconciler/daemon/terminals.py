"""The terminals of interactive runs: opened before they start, kept while their client is away for a moment.

A run whose client does not come back is somebody's to end: `alone` tells which.
"""

import hmac
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..engine.base import Engine, Line
from ..model.errors import Permanent, Transient

PATIENCE = 30.0  # seconds that a run goes on without a client
MOST = 8  # clients at once: each has a thread of its own
OF_OTHERS = 6  # of them, of all who are no administrators together
OF_ONE = 2  # of them, of one person who is none


@dataclass(slots=True)
class _Held:
    line: Line | None
    since: float  # when its client was last there
    taken: bool = False
    member: str | None = None  # who is at it; None = an administrator


class Terminals:
    """By run id. Threads may share it. `monotonic`: a clock in seconds. `key`: what tokens of notebooks are made with,
    so that none has to be kept."""

    def __init__(
        self, engine: Callable[[], Engine], monotonic: Callable[[], float] = time.monotonic, key: bytes = b""
    ) -> None:
        self._engine, self._monotonic, self._key = engine, monotonic, key
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}

    def token(self, run_id: str) -> str:
        """What whoever comes to the notebook of this run must know."""
        return hmac.new(self._key, f"notebook of {run_id}".encode(), "sha256").hexdigest()[:48]

    def open(self, run_id: str, ref: str) -> None:
        """Before its start. Raises EngineRejected, EngineUnavailable."""
        line = self._engine().attach(run_id, ref)
        with self._lock:
            old = self._held.get(run_id)
            self._held[run_id] = _Held(line, self._monotonic())
        if old is not None and old.line is not None:
            old.line.close()

    def expect(self, run_id: str) -> None:
        """An earlier process has started it: its client has its time to come back from now on."""
        with self._lock:
            self._held.setdefault(run_id, _Held(None, self._monotonic()))

    def check_room(self, member: str | None) -> None:
        """Is there a terminal for this person? None = an administrator. Raises Transient (`service-busy`)."""
        with self._lock:
            self._check_room(member)

    def _check_room(self, member: str | None) -> None:
        taken = [held.member for held in self._held.values() if held.taken]
        others = [name for name in taken if name is not None]
        if member is not None and others.count(member) >= OF_ONE:
            raise Transient(f"cannot open a terminal: {member} has {OF_ONE}, and nobody may have more at once",
                            code="service-busy", hint="leave one of them")  # fmt: skip
        if len(taken) >= MOST or (member is not None and len(others) >= OF_OTHERS):
            raise Transient(f"cannot open a terminal: {len(taken)} are open", code="service-busy",
                            hint="wait until somebody leaves one")  # fmt: skip

    def take(self, run_id: str, ref: str, member: str | None) -> Line:
        """Its streams, for one at a time; then `leave`. `member`: who asks, None = an administrator. Raises Permanent
        (`dev-taken`), Transient (`service-busy`), EngineRejected, EngineUnavailable."""
        with self._lock:
            held = self._held.setdefault(run_id, _Held(None, self._monotonic()))
            if held.taken:
                raise Permanent(f"cannot attach to {run_id}: somebody is at its terminal", code="dev-taken",
                                hint="one client at a time; open another shell: reconciler dev JOB")  # fmt: skip
            self._check_room(member)
            held.taken, held.member = True, member
        try:
            if held.line is None:
                held.line = self._engine().attach(run_id, ref)
        except BaseException:
            self.leave(run_id)
            raise
        return held.line

    def leave(self, run_id: str, *, ended: bool = False) -> None:
        """Its client has gone, or its streams have `ended`."""
        with self._lock:
            held = self._held.get(run_id)
            if held is None:
                return
            held.taken, held.since = False, self._monotonic()
            line, held.line = held.line, None if ended else held.line
        if ended and line is not None:
            line.close()

    def let_go(self, run_id: str) -> None:
        """Nobody will read its streams any more: the Engine waits for who could, and tells no end meanwhile."""
        with self._lock:
            held = self._held.get(run_id)
            if held is None or held.taken:
                return
            line, held.line = held.line, None
        if line is not None:
            line.close()

    def knows(self, run_id: str) -> bool:
        """Is there still something to read of it?"""
        with self._lock:
            held = self._held.get(run_id)
            return held is not None and held.line is not None

    def alone(self) -> list[str]:
        """Runs whose client has been away for longer than PATIENCE."""
        before = self._monotonic() - PATIENCE
        with self._lock:
            return [run_id for run_id, held in self._held.items() if not held.taken and held.since < before]

    def close(self, run_id: str) -> None:
        """Nothing is left of it."""
        with self._lock:
            held = self._held.pop(run_id, None)
        if held is not None and held.line is not None:
            held.line.close()
