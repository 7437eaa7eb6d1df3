"""Reading a run's log, while it is written and afterwards. In: its path; out: bytes, never the same twice."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from . import logfiles
from .logfiles import View, look

_BLOCK = 64 * 1024
_LINE = 400  # bytes of a last line that are shown


def read_log(path: Path, tail: int | None = None) -> Iterator[bytes]:
    """All that is there now, or its last `tail` lines. Raises StateError."""
    yield from LogFollower(path, tail=tail).read()


def last_line(path: Path) -> tuple[str, datetime] | None:
    """The end of the last line that was written, and when; None without any. Raises StateError."""
    view = look(path)
    if view is None:
        return None
    with view:
        written = max(os.fstat(file.fileno()).st_mtime for _, file in view.parts)
    data = b"".join(read_log(path, tail=1))[-_LINE:]
    text = data.decode("utf-8", "replace").strip()
    return (text, datetime.fromtimestamp(written, UTC)) if text else None


class LogFollower:
    """`read` gives what has come since the last time; call it until the run's log is complete, and once more.

    `place` is where another follower of this log has got to.
    """

    def __init__(self, path: Path, *, tail: int | None = None, place: tuple[int, bool] | None = None) -> None:
        self._path, self._tail = path, tail
        self._at: int | None = None  # offset of the next byte: in the output while live, then in the one file
        self._live = True
        if place is not None:
            self._at, self._live = place

    @property
    def place(self) -> tuple[int, bool] | None:
        """None = nothing was there yet."""
        return None if self._at is None else (self._at, self._live)

    def read(self) -> Iterator[bytes]:
        """Nothing = nothing new. What was dropped before it could be read shows as a line. Raises StateError."""
        view = look(self._path)
        if view is None:
            return
        with view:
            if self._at is None:
                self._at = 0 if self._tail is None else _tail_start(view, self._tail)
            elif self._live and not view.live:
                self._at = _in_whole_file(view.parts[0][1], self._at)
            self._live = view.live
            for offset, file in view.parts:
                yield from self._new_of(offset, file)

    def _new_of(self, offset: int, file: BinaryIO) -> Iterator[bytes]:
        assert self._at is not None
        if self._at < offset:
            missing, self._at = offset - self._at, offset
            yield logfiles.marker(missing)
        file.seek(self._at - offset)
        while data := file.read(_BLOCK):
            self._at += len(data)
            yield data


def _in_whole_file(file: BinaryIO, at: int) -> int:
    """Where byte `at` of the output stands in the complete log; the marker's place if it was dropped."""
    found = logfiles.find_marker(file)
    if found is None:
        return at
    head_end, rest, dropped = found
    if at < head_end + dropped:
        return min(at, head_end)
    return rest + at - head_end - dropped


def _tail_start(view: View, lines: int) -> int:
    """Offset of the last `lines` lines, 0 if there are fewer. A last line without its newline counts."""
    offset, file = view.parts[-1]
    end = offset + os.fstat(file.fileno()).st_size
    if lines <= 0:
        return end
    for offset, file in reversed(view.parts):
        at = os.fstat(file.fileno()).st_size
        while at > 0:
            begin = max(0, at - _BLOCK)
            file.seek(begin)
            block = file.read(at - begin)
            newline = len(block)
            while (newline := block.rfind(b"\n", 0, newline)) >= 0:
                if offset + begin + newline == end - 1:
                    continue
                lines -= 1
                if lines == 0:
                    return offset + begin + newline + 1
            at = begin
    return 0
