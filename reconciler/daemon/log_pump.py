"""Streams each running run's output from the engine into its bounded log file, a thread per run."""

import threading
from collections.abc import Callable
from pathlib import Path

from ..engine.base import Engine, LogChunk
from ..history.logs import LogWriter
from ..model.errors import EngineUnavailable, ReconcilerError
from ..runs.masking import StreamMask

MOST_READY = 256 * 1024  # bytes that wait for what follows a possible beginning of a value
GAP = b"... somebody removed the run before all of its output was read: the rest may be missing ...\n"


class LogPump:
    """One run's pump. At the end `drain` fetches what is left, with a deadline, and `close` keeps it."""

    def __init__(
        self, engine: Engine, run_id: str, ref: str, path: Path, limit: int, mask: StreamMask | None = None
    ) -> None:
        self._mask = mask
        self._ready = b""  # masked, and not written yet, since the cursor behind it is not known to be whole
        self._seen = ""  # the cursor of the last piece that was taken
        self._engine, self._run_id, self._ref = engine, run_id, ref
        self._writer = LogWriter(path, limit)
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._follow, name=f"logs {run_id}", daemon=True)
        self._stop = threading.Event()
        self._abandoned = False  # its stream hangs: what still comes of it is not written

    def start(self) -> None:
        self._thread.start()

    def _follow(self) -> None:
        """Follow until the stream ends; when it breaks, look again from the cursor after a pause."""
        pause = 0.2
        while not self._stop.is_set():
            try:
                got = self._copy(follow=True)
            except EngineUnavailable:
                got = False
            except ReconcilerError:
                return
            if self._stop.wait(pause):
                return
            pause = 0.2 if got else min(5.0, pause * 2)

    def _copy(self, *, follow: bool) -> bool:
        got = False
        for chunk in self._engine.logs(self._run_id, self._ref, self._seen or self._writer.cursor, follow):
            with self._lock:
                if follow and self._abandoned:
                    break
                if not chunk.again:
                    self._writer.keep()
                self._take(chunk)
            got = True
            if self._stop.is_set() and follow:
                break
        return got

    def _take(self, chunk: LogChunk) -> None:
        """Write it. What is held back because a value may begin there has no cursor of its own: until more comes, the
        writer's stays before it, so that a crash loses nothing of it."""
        if self._mask is None:
            self._writer.write(chunk.data, chunk.cursor)
            return
        self._ready += self._mask.feed(chunk.data)
        self._seen = chunk.cursor
        if not self._mask.tail or len(self._ready) > MOST_READY:
            kept = self._writer.write(self._ready, self._writer.cursor if self._mask.tail else chunk.cursor)
            self._ready = b""
            if not kept:  # it is fetched again from where the writer stands
                self._mask.finish()
                self._seen = ""

    def drain(self, timeout: float = 30.0) -> None:
        """After the run has ended: stop following, fetch the rest once. Raises EngineUnavailable; may be repeated."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        with self._lock:
            self._abandoned = True
        self._copy(follow=False)

    def close(self, *, gap: bool) -> int:
        """Sync to disk; bytes kept. `gap`: the log may lack its end, and says so."""
        with self._lock:
            if self._mask is not None and (rest := self._ready + self._mask.finish()):
                self._writer.write(rest, self._seen)
                self._ready = b""
            if gap:
                self._writer.write(GAP, self._writer.cursor)
            self._writer.close()
            return self._writer.size


class Pumps:
    """The pumps of all running runs, by run id. Belongs to the run loop and its workers."""

    def __init__(self, engine: Callable[[], Engine], limit: Callable[[], int],
                 mask: Callable[[str], StreamMask | None] = lambda _run_id: None) -> None:  # fmt: skip
        self._engine, self._limit, self._mask = engine, limit, mask
        self._lock = threading.Lock()
        self._pumps: dict[str, LogPump] = {}

    def ensure(self, run_id: str, ref: str, path: Path) -> None:
        """Start following this run's output, once."""
        with self._lock:
            if run_id in self._pumps:
                return
            pump = self._pumps[run_id] = self._pump(run_id, ref, path)
        pump.start()

    def _pump(self, run_id: str, ref: str, path: Path) -> LogPump:
        return LogPump(self._engine(), run_id, ref, path, self._limit(), self._mask(run_id))

    def drain(self, run_id: str, ref: str, path: Path) -> None:
        """Fetch what is left of an ended run's log. Works for a run that was never followed, too."""
        with self._lock:
            pump = self._pumps.get(run_id)
            if pump is None:
                pump = self._pumps[run_id] = self._pump(run_id, ref, path)
        pump.drain()

    def close(self, run_id: str, *, gap: bool) -> int:
        """After `drain`: the log is complete, or as complete as it can be. Bytes kept."""
        kept = self._pumps[run_id].close(gap=gap)
        with self._lock:
            del self._pumps[run_id]
        return kept
