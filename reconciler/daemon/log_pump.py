"""Streams each running run's output from the engine into its bounded log file, a thread per run."""

import threading
from collections.abc import Callable
from pathlib import Path

from ..engine.base import Engine
from ..history.logs import LogWriter
from ..model.errors import EngineUnavailable, ReconcilerError

GAP = b"... somebody removed the run before all of its output was read: the rest may be missing ...\n"


class LogPump:
    """One run's pump. At the end `drain` fetches what is left, with a deadline, and `close` keeps it."""

    def __init__(self, engine: Engine, run_id: str, ref: str, path: Path, limit: int) -> None:
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
        for chunk in self._engine.logs(self._run_id, self._ref, self._writer.cursor, follow):
            with self._lock:
                if follow and self._abandoned:
                    break
                self._writer.write(chunk.data, chunk.cursor)
            got = True
            if self._stop.is_set() and follow:
                break
        return got

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
            if gap:
                self._writer.write(GAP, self._writer.cursor)
            self._writer.close()
            return self._writer.size


class Pumps:
    """The pumps of all running runs, by run id. Belongs to the run loop and its workers."""

    def __init__(self, engine: Callable[[], Engine], limit: Callable[[], int]) -> None:
        self._engine, self._limit = engine, limit
        self._lock = threading.Lock()
        self._pumps: dict[str, LogPump] = {}

    def ensure(self, run_id: str, ref: str, path: Path) -> None:
        """Start following this run's output, once."""
        with self._lock:
            if run_id in self._pumps:
                return
            pump = self._pumps[run_id] = LogPump(self._engine(), run_id, ref, path, self._limit())
        pump.start()

    def drain(self, run_id: str, ref: str, path: Path) -> None:
        """Fetch what is left of an ended run's log. Works for a run that was never followed, too."""
        with self._lock:
            pump = self._pumps.get(run_id)
            if pump is None:
                pump = self._pumps[run_id] = LogPump(self._engine(), run_id, ref, path, self._limit())
        pump.drain()

    def close(self, run_id: str, *, gap: bool) -> int:
        """After `drain`: the log is complete, or as complete as it can be. Bytes kept."""
        kept = self._pumps[run_id].close(gap=gap)
        with self._lock:
            del self._pumps[run_id]
        return kept
