"""In: a run's log file and a limit. Out: its bytes in order, and a file that keeps its beginning and its end.

A log is one file that the job appends to; positions in it never change. What a long log loses is its middle: a hole is
punched there, which frees the disk and leaves the writer alone. Readers jump over holes and say how much is missing.
"""

import errno
import os
from pathlib import Path
from threading import Lock

from .base import LogChunk

LOG_CHUNK = 64 * 1024  # bytes
BLOCK = 4096  # holes are whole blocks; a smaller one would only write zeros
LOG_LIMIT = 64 * 1024 * 1024  # bytes kept of one run: an eighth from the beginning, the rest from the end
_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_NO_HOLES = (errno.EOPNOTSUPP, errno.ENOSYS)

_punching = Lock()  # so that no reader sees the zeros of a hole that appears under its read


def read_log(path: Path, position: int) -> tuple[list[LogChunk], int]:
    """Up to one chunk from `position`, preceded by a notice if something is missing there; and the next position."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return [], position
    try:
        with _punching:
            begin = _next_data(fd, position)
            data = os.pread(fd, LOG_CHUNK, begin)
            hole = _next_hole(fd, begin)
    finally:
        os.close(fd)
    data = data[: hole - begin]
    chunks = []
    if begin > position:
        notice = f"\n[{begin - position} bytes of output were dropped here]\n"
        chunks.append(LogChunk(notice.encode(), str(begin)))
    if data:
        chunks.append(LogChunk(data, str(begin + len(data))))
    return chunks, begin + len(data)


def _next_data(fd: int, position: int) -> int:
    try:
        return os.lseek(fd, position, os.SEEK_DATA)
    except OSError:  # at the end of the file
        return position


def _next_hole(fd: int, position: int) -> int:
    try:
        return os.lseek(fd, position, os.SEEK_HOLE)
    except OSError:  # at the end of the file
        return position + LOG_CHUNK


def trim_log(path: Path, limit: int) -> int:
    """Free the middle of a log of more than `limit` bytes on disk; return its size. A filesystem without holes keeps
    all of it (docs/engines.md)."""
    size = path.stat().st_size
    begin = _up(limit // 8)
    end = (size - (limit - limit // 8)) // BLOCK * BLOCK
    if end > begin:
        with _punching:
            _punch(path, begin, end - begin)
    return size


def _up(count: int) -> int:
    return -(-count // BLOCK) * BLOCK


def _punch(path: Path, offset: int, length: int) -> None:
    import ctypes  # a megabyte that only services with very long logs pay

    libc = ctypes.CDLL(None, use_errno=True)
    fallocate = libc.fallocate64 if hasattr(libc, "fallocate64") else libc.fallocate
    fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, offset, length) != 0:
            number = ctypes.get_errno()
            if number not in _NO_HOLES:
                raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(fd)
