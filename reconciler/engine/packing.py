"""In: files and directories of this host. Out: a tar archive of them, piece by piece, the same for the same tree.

It holds directories, regular files and symbolic links, which stay as they are, with numeric owners and no mode beyond
rwx. What else lies there is left out. The form is GNU's, which every tar reads, busybox's too.
"""

import os
import stat
import tarfile
from collections.abc import Iterable, Iterator

from ..model.disk import on_disk
from ..model.errors import StateError

BLOCK = 256 * 1024
RECORD = tarfile.BLOCKSIZE


class Archive:
    """`parts`: (name in the archive, path on this host). To be gone through once; then `last` is the name of its last
    entry. Going through it raises StateError."""

    def __init__(self, parts: Iterable[tuple[str, str]]) -> None:
        self._parts = tuple(parts)
        self.last = ""

    def __iter__(self) -> Iterator[bytes]:
        for name, path in self._parts:
            with on_disk(f"send {path}"):
                for entry, piece in _tree(name, path):
                    self.last = entry
                    yield piece
        yield bytes(2 * RECORD)


def _tree(name: str, path: str) -> Iterator[tuple[str, bytes]]:
    """Depth first in the order of names; by a list and not by recursion, since a tree may be as deep as it likes."""
    left = [(name, path)]
    while left:
        name, path = left.pop()
        status = os.lstat(path)
        if stat.S_ISDIR(status.st_mode):
            yield name, _header(name, status, tarfile.DIRTYPE)
            with os.scandir(path) as found:
                children = sorted((entry.name for entry in found), reverse=True)
            left += [(f"{name}/{child}", f"{path}/{child}") for child in children]
        elif stat.S_ISLNK(status.st_mode):
            yield name, _header(name, status, tarfile.SYMTYPE, os.readlink(path))  # noqa: PTH115 - a Path changes it
        elif stat.S_ISREG(status.st_mode):
            for piece in _file(name, path):
                yield name, piece


def _file(name: str, path: str) -> Iterator[bytes]:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        left = status.st_size
        yield _header(name, status, tarfile.REGTYPE)
        while left:
            data = os.read(fd, min(BLOCK, left))
            if not data:
                raise StateError(f"cannot send {path}: it became shorter meanwhile", hint="it is sent again")
            left -= len(data)
            yield data
        yield bytes(-status.st_size % RECORD)
    finally:
        os.close(fd)


def _header(name: str, status: os.stat_result, kind: bytes, link: str = "") -> bytes:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    entry.mode, entry.mtime = status.st_mode & 0o777, int(status.st_mtime)
    entry.uid, entry.gid = status.st_uid, status.st_gid
    entry.size = status.st_size if kind == tarfile.REGTYPE else 0
    return entry.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
