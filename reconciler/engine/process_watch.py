"""In: running supervisors. Out: a call when one ends, at once, and logs that stay within their limit.

One thread per engine, asleep while nothing runs. It waits on pidfds, so runs of an earlier service are seen to end as
well as our own children.
"""

import os
import selectors
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .process_log import trim_log
from .process_proc import ProcessId, exists, has_group, is_alive, kill_members
from .process_spawn import reap

TICK = 0.1  # seconds between two looks at the logs of running runs
SWEEP_DEADLINE = 5.0  # seconds to get rid of what a command left behind


@dataclass(frozen=True, slots=True)
class Watched:
    run_id: str
    ref: str
    supervisor: ProcessId
    log: Path
    fd: int | None  # None: this kernel has no pidfd; the tick looks


@dataclass(slots=True)
class Kicks:
    """Names that changed, once each, for any number of listeners."""

    _news: threading.Condition = field(default_factory=threading.Condition)
    _feeds: list[dict[str, None]] = field(default_factory=list)

    def subscribe(self) -> dict[str, None]:
        feed: dict[str, None] = {}
        with self._news:
            self._feeds.append(feed)
        return feed

    def unsubscribe(self, feed: dict[str, None]) -> None:
        with self._news:
            self._feeds[:] = [other for other in self._feeds if other is not feed]

    def send(self, name: str) -> None:
        with self._news:
            for feed in self._feeds:
                feed[name] = None
            self._news.notify_all()

    def receive(self, feed: dict[str, None], timeout: float) -> list[str]:
        with self._news:
            if not feed:
                self._news.wait(timeout)
            names = list(feed)
            feed.clear()
        return names


class Watcher:
    """`add` is cheap and may be repeated. `ended(run_id)` is called on the watcher's thread."""

    def __init__(self, ended: Callable[[str], None], boot: str, log_limit: int) -> None:
        self._ended = ended
        self._boot = boot
        self._log_limit = log_limit
        self._lock = threading.Lock()
        self._watched: dict[str, Watched] = {}
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector.register(self._wake_in, selectors.EVENT_READ, None)
        self._thread: threading.Thread | None = None
        self._closing = False

    def add(self, run_id: str, ref: str, supervisor: ProcessId, log: Path) -> None:
        with self._lock:
            if self._closing or run_id in self._watched:
                return
            fd = _pidfd(supervisor, self._boot)
            watched = self._watched[run_id] = Watched(run_id, ref, supervisor, log, fd)
            if fd is not None:
                self._selector.register(fd, selectors.EVENT_READ, watched)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="process-watch", daemon=True)
                self._thread.start()
        self._wake()

    def close(self) -> None:
        """Stop watching; what runs goes on."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
        self._wake()
        if self._thread is not None:
            self._thread.join(SWEEP_DEADLINE + 1)
        for watched in self._watched.values():
            if watched.fd is not None:
                os.close(watched.fd)
        self._selector.close()
        os.close(self._wake_in)
        os.close(self._wake_out)

    def _wake(self) -> None:
        try:
            os.write(self._wake_out, b".")
        except BlockingIOError:
            pass  # it is awake already

    def _run(self) -> None:
        looked = time.monotonic()
        while not self._closing:
            ready = self._selector.select(TICK if self._watched else None)
            for key, _ in ready:
                if key.data is None:
                    _drain(self._wake_in)
                else:
                    self._finish(key.data)
            if time.monotonic() - looked >= TICK:
                self._tick()
                looked = time.monotonic()

    def _tick(self) -> None:
        for watched in list(self._watched.values()):
            if watched.fd is None and not is_alive(watched.supervisor, self._boot):
                self._finish(watched)
            else:
                self._trim(watched)

    def _trim(self, watched: Watched) -> None:
        try:
            trim_log(watched.log, self._log_limit)
        except OSError:
            pass  # removed by hand, or an I/O error that the next reader reports

    def _finish(self, watched: Watched) -> None:
        with self._lock:
            if self._watched.pop(watched.run_id, None) is None:
                return
            if watched.fd is not None:
                self._selector.unregister(watched.fd)
                os.close(watched.fd)
        pid = watched.supervisor.pid
        if has_group(pid):  # background processes of the command, or it outlived its supervisor
            leader = pid if exists(watched.supervisor, self._boot) else None  # not reaped: the number is still its own
            kill_members(watched.ref, leader, time.monotonic() + SWEEP_DEADLINE)
        reap(pid)
        self._trim(watched)
        self._ended(watched.run_id)


def _pidfd(process: ProcessId, boot: str) -> int | None:
    try:
        fd = os.pidfd_open(process.pid)
    except OSError:  # ended a moment ago, or an old kernel
        return None
    if exists(process, boot):
        return fd
    os.close(fd)  # the number is somebody else's by now
    return None


def _drain(fd: int) -> None:
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        pass
