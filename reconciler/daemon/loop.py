"""The thread around a step: `step(now) -> wake_at`, for ever, with progress that the watchdog can see."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from ..model.errors import InvariantBroken, ReconcilerError
from .clock import Clock
from .kick import Kick
from .lean import structlog

log = structlog.get_logger()


class Loop:
    """Runs `step` in a thread of its own. An expected error backs off; a fault of ours ends the process."""

    def __init__(
        self,
        name: str,
        step: Callable[[datetime], datetime | None],
        clock: Clock,
        *,
        fatal: Callable[[BaseException], None],
        kick: Kick,
    ) -> None:
        self.name = name
        self.kick = kick
        self._step = step
        self._clock = clock
        self._fatal = fatal
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self.progressed_at = clock.boot()  # boot clock, seconds
        self.ticked = threading.Event()
        self.busy = False  # inside a step; a long fetch is busy, not stuck

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self.kick()

    def join(self, timeout: float) -> bool:
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    def progress(self) -> None:
        """Called by long steps at their own milestones."""
        self.progressed_at = self._clock.boot()

    def _main(self) -> None:
        failures = 0
        while not self._stop.is_set():
            self.progress()
            self.busy = True
            try:
                wake_at = self._step(self._clock.now())
                failures = 0
            except ReconcilerError as error:
                failures += 1
                wake_at = self._clock.now() + timedelta(seconds=min(60.0, 0.5 * 2**failures))
                log.error("loop.failed", loop=self.name, code=error.code, error=str(error), hint=error.hint)
            except (Exception, InvariantBroken) as error:  # noqa: BLE001  the one wrapper: crash, let systemd restart
                self._fatal(error)
                return
            finally:
                self.busy = False
            self.ticked.set()
            self.progress()
            if not self._stop.is_set():
                self.kick.wait(wake_at)


def log_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of an event that are worth a place in the log."""
    return {key: value for key, value in fields.items() if value not in (None, "")}
