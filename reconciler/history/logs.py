"""A run's output on disk, bounded: the first part and the last part are kept, a line between tells what is missing.

In: chunks in order, each with the engine's cursor; out: files below `logs/`. Nothing here fails a run: what cannot be
written is counted, marked in the log, and `degraded` says why.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from ..model.run import RunRecord
from . import logfiles
from .files import LOGS, sync_directory
from .logfiles import State, log_path
from .logread import LogFollower, read_log

__all__ = ["LogFollower", "LogWriter", "log_path", "read_log", "remove_logs"]

SAVE_SECONDS = 5.0  # at most so much is fetched again from the engine after a crash
SAVE_BYTES = 1 << 20
PIECES = 4  # the end is kept in so many files; the oldest goes as a whole
_LINE_SEARCH = 64 * 1024  # bytes: the end begins at a line's beginning if there is one so near


class LogWriter:
    """Writes one run's log. For one thread at a time; after a crash a new one goes on from `cursor`.

    `size`: bytes on disk. `degraded`: why something could not be written, "" = nothing. `complete`: the log was closed
    by an earlier writer; writes are ignored.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._head_room = max(1, limit // 8)
        self._piece_room = max(1, (limit - self._head_room) // PIECES)
        self.degraded = ""
        self.complete = False
        self._total = self._lost = 0
        self._file = -1
        self._left = 0  # bytes that the open file still takes
        self._ready = False  # are the files in step with `_total`?
        self._saved_at, self._saved_total = time.monotonic(), 0
        self.cursor = ""
        self._size: int | None = None
        with self._tolerant():
            self._look_back()

    def _look_back(self) -> None:
        state = logfiles.read_state(self._path)
        if state is None:
            self.complete = self._path.exists()
        elif state.closed:
            self.cursor, self.complete = state.cursor, True
            self._put_in_place()
        else:
            self.cursor, self._total = state.cursor, state.total

    @contextlib.contextmanager
    def _tolerant(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.degraded = error.strerror or str(error)

    @property
    def size(self) -> int:
        if self._size is not None:
            return self._size
        with contextlib.suppress(OSError):
            files = [self._path, *(piece for _, piece in logfiles.pieces(self._path))]
            return sum(file.stat().st_size for file in files)
        return 0

    def write(self, data: bytes, cursor: str) -> bool:
        """False = it was not kept: `cursor` stays, so that a caller who can may fetch it again."""
        if self.complete or not data:
            self.cursor = cursor or self.cursor
            return True
        begin = self._total
        try:
            self._make_ready()
            self._append_loss()
            self._append(data)
        except OSError as error:
            self.degraded = error.strerror or str(error)
            self._lost += len(data)
            self._total, self._ready = begin, False
            return False
        self.cursor, self._lost = cursor, 0
        with self._tolerant():
            self._save(hard=False)
        return True

    def keep(self) -> None:
        """What an earlier writer has left beyond its cursor stays: the engine cannot send it again. Before a write."""
        if self._ready or self.complete:
            return
        with self._tolerant():
            offset, path = [(0, self._path), *logfiles.pieces(self._path)][-1]
            if path.exists():
                self._total = max(self._total, offset + path.stat().st_size)

    def _make_ready(self) -> None:
        """Cut off what lies after `_total`: the engine is about to send it again. Not earlier, as it may not."""
        if self._ready:
            return
        self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        logfiles.write_state(self._path, State(self.cursor, self._total))
        self._close_file()
        last = (0, self._path)
        for offset, piece in logfiles.pieces(self._path):
            if offset >= self._total:
                piece.unlink()
            else:
                last = (offset, piece)
        offset, path = last
        self._open(path, self._head_room if path == self._path else self._piece_room)
        length, there = self._total - offset, os.fstat(self._file).st_size
        if there < length:  # what lay here is gone: the rest begins a piece of its own, and the gap shows
            self._close_file()
            self._open(logfiles.piece_path(self._path, self._total), self._piece_room)
        else:
            os.ftruncate(self._file, length)
            self._left = max(0, self._left - length)
        self._ready = True

    def _open(self, path: Path, room: int) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        self._left = room

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if self._left == 0:
                self._next_piece()
            written = os.write(self._file, view[: self._left])
            self._total += written
            self._left -= written
            view = view[written:]

    def _append_loss(self) -> None:
        if self._lost:
            self._append(b"\n... %d bytes lost: %s ...\n" % (self._lost, self.degraded.encode()))

    def _next_piece(self) -> None:
        os.fdatasync(self._file)
        self._close_file()
        self._open(logfiles.piece_path(self._path, self._total), self._piece_room)
        for _, piece in logfiles.pieces(self._path)[:-PIECES]:
            piece.unlink()

    def _save(self, *, hard: bool) -> None:
        due = time.monotonic() - self._saved_at >= SAVE_SECONDS or self._total - self._saved_total >= SAVE_BYTES
        if not (hard or due):
            return
        if self._file >= 0:
            os.fdatasync(self._file)  # the note must never be ahead of the data
        logfiles.write_state(self._path, State(self.cursor, self._total))
        self._saved_at, self._saved_total = time.monotonic(), self._total

    def _close_file(self) -> None:
        if self._file >= 0:
            handle, self._file = self._file, -1
            os.close(handle)

    def close(self) -> None:
        """Put the pieces together and sync them to disk. Idempotent; never raises for a full or failing disk."""
        if self.complete:
            return
        with self._tolerant():
            if self._lost:
                self._make_ready()
                self._append_loss()
                self._lost = 0
            if self._file >= 0:
                os.fsync(self._file)
            self._close_file()
            if self._path.exists():
                self._assemble()
            self.complete = True
        self._close_file()

    def _assemble(self) -> None:
        ends = logfiles.pieces(self._path)
        if ends:
            with logfiles.final_path(self._path).open("wb") as out:
                os.fchmod(out.fileno(), 0o640)
                _write_whole(self._path, ends, out)
                out.flush()
                os.fsync(out.fileno())
            logfiles.write_state(self._path, State(self.cursor, self._total, closed=True))
        self._put_in_place()

    def _put_in_place(self) -> None:
        """Repeatable from any point at which it may be cut short; the note goes last."""
        with contextlib.suppress(FileNotFoundError):
            logfiles.final_path(self._path).rename(self._path)
        for _, piece in logfiles.pieces(self._path):
            piece.unlink()
        sync_directory(self._path.parent)
        logfiles.state_path(self._path).unlink(missing_ok=True)
        self._size = self._path.stat().st_size


def _write_whole(head: Path, ends: Sequence[tuple[int, Path]], out: BinaryIO) -> None:
    """Head, the line about what is missing, end. Raises OSError."""
    with head.open("rb") as file:
        shutil.copyfileobj(file, out)
        at = file.tell()
    for offset, piece in ends:
        with piece.open("rb") as file:
            if offset > at:
                out.write(logfiles.marker(offset - at + _to_next_line(file)))
            shutil.copyfileobj(file, out)
            at = offset + file.tell()


def _to_next_line(file: BinaryIO) -> int:
    """Move to the first line's beginning; bytes passed over, 0 if there is none near."""
    newline = file.read(_LINE_SEARCH).find(b"\n")
    return file.seek(newline + 1)


def remove_logs(state_dir: Path, runs: Iterable[RunRecord]) -> None:
    """Delete the files of runs that history has let go of. What cannot be deleted now is left behind."""
    root = state_dir / LOGS
    for run in runs:
        path = state_dir / run.log
        if root not in path.parents or ".." in path.parts:
            continue
        with contextlib.suppress(OSError):
            for file in (*(piece for _, piece in logfiles.pieces(path)), logfiles.final_path(path), path):
                file.unlink(missing_ok=True)
            logfiles.state_path(path).unlink(missing_ok=True)
            for parent in path.parents:
                if parent == root:
                    break
                parent.rmdir()  # ends at the first that still holds something
