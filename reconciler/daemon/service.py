"""The long-running whole: starts the loops, tells the service manager, waits for signals, leaves runs alone."""

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from ..model.errors import ReconcilerError
from .clock import Clock
from .lean import structlog
from .loop import Loop
from .systemd import Notifier

log = structlog.get_logger()

RUN_LOOP_STUCK = 60.0  # seconds without progress of the loop that fires
SYNC_LOOP_STUCK = 2 * 3600.0  # a pass may hold a long pull; each of its waits has a deadline of its own
STOP_WITHIN = 20.0  # seconds for both loops to come to rest


class Part(Protocol):
    """Something that runs beside the loops: the server, a watcher, the engine's events."""

    def start(self) -> None: ...
    def stop(self) -> None: ...


class Background:
    """A Part that is one thread round `target(stop)`; `target` returns soon after `stop` is set."""

    def __init__(self, name: str, target: Callable[[threading.Event], None]) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=target, args=(self._stop,), name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(5.0)


class Service:
    """Runs until SIGTERM or SIGINT. The exit code is 0, 1 when it cannot go on (`unfit` says why), 3 after a fault of
    ours."""

    def __init__(
        self,
        *,
        runs: Loop,
        sync: Loop,
        parts: Sequence[Part],
        clock: Clock,
        status: Callable[[], str],
        reload: Callable[[], None],
        unfit: Callable[[], ReconcilerError | None],
        notifier: Notifier | None = None,
    ) -> None:
        self._runs, self._sync, self._parts, self._clock = runs, sync, parts, clock
        self._status, self._reload, self._unfit = status, reload, unfit
        self._notifier = notifier or Notifier()
        # A pipe, not an Event: a signal handler may interrupt this very thread while it holds an Event's lock.
        self._wake_r, self._wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._stopping = False
        self._hangups = 0
        self._fault: BaseException | None = None
        self._ended = False

    def fatal(self, error: BaseException) -> None:
        """Called by a loop that met a fault of ours: end the process, so that it is restarted clean."""
        self._fault = self._fault or error
        log.error("service.broken", error=f"internal error: {type(error).__name__}: {error}", exc_info=error)
        self._wake()

    def run(self) -> int:
        """Start everything, then serve signals and the watchdog until told to stop."""
        self._install_signals()
        started: list[Part] = []
        try:
            self._runs.start()
            self._await_first_tick()
            self._notifier.ready(self._status())
            self._sync.start()
            for part in self._parts:
                part.start()
                started.append(part)
            self._serve()
        finally:
            self._notifier.stopping()
            self._stop(started)
        return 3 if self._fault else 1 if self._ended else 0

    def _await_first_tick(self) -> None:
        until = self._clock.boot() + 30.0
        while not self._runs.ticked.wait(0.05):
            if self._fault or self._stopping or self._clock.boot() > until:
                return

    def _serve(self) -> None:
        interval = min(self._notifier.watchdog_interval or 5.0, 5.0)
        last = ""
        while not self._stopping and self._fault is None:
            self._sleep(interval)
            if (why := self._unfit()) is not None:
                log.error("service.unfit", code=why.code, error=str(why), hint=why.hint)
                self._ended = True
                return
            if self._hangups:
                self._hangups = 0
                self._notifier.reloading(int(time.monotonic() * 1e6))
                self._reload()
                self._notifier.ready(self._status())
            status = self._status()
            if status != last:
                self._notifier.status(status)
                last = status
            if self.healthy():
                self._notifier.watchdog()

    def healthy(self) -> bool:
        """Have both loops made progress? Anything else would only prove that this thread is alive."""
        now = self._clock.boot()
        return now - self._runs.progressed_at < RUN_LOOP_STUCK and now - self._sync.progressed_at < SYNC_LOOP_STUCK

    def _stop(self, started: Sequence[Part]) -> None:
        for part in reversed(started):
            part.stop()
        self._sync.stop()
        self._runs.stop()
        until = self._clock.boot() + STOP_WITHIN
        for loop in (self._runs, self._sync):
            if not loop.join(max(0.1, until - self._clock.boot())):
                log.warning("service.loop-busy", loop=loop.name, hint="it is left to end with the process")

    def _install_signals(self) -> None:
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGINT, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_hangup)

    def _on_stop(self, _number: int, _frame: object) -> None:
        if self._stopping:
            os._exit(130)  # asked twice: runs are the engine's and the state is durable at every instant
        self._stopping = True
        self._wake()

    def _on_hangup(self, _number: int, _frame: object) -> None:
        self._hangups += 1
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full: a wake-up is under way already
            os.write(self._wake_w, b"!")

    def _sleep(self, seconds: float) -> None:
        if select.select([self._wake_r], [], [], seconds)[0]:
            os.read(self._wake_r, 4096)
