"""In: the outputs folder of an ended run, full of whatever its job put there. Out: its entries, safe to be read.

A process that has escaped may still change the folder. So every step goes from an open folder to the next by name,
follows no link, and looks at what it has opened. A file of another user is not read: it was linked there.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ..model.errors import EngineUnavailable
from ..model.outputs import OutputPart, PartKind

BLOCK = 256 * 1024
DEPTH = 64  # folders within folders
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def read(folder: Path, owner: int) -> Iterator[OutputPart]:
    """In the order of names. `owner`: user id that the job ran as. Raises EngineUnavailable."""
    try:
        root = _opened(str(folder), None, _FOLDER, 0o700)
    except FileNotFoundError:
        return
    except OSError as error:
        raise EngineUnavailable(f"cannot read the outputs in {folder}: {error.strerror}") from error
    try:
        yield from _entries(root, "", owner, 0)
    except OSError as error:
        raise EngineUnavailable(f"cannot read the outputs in {folder}: {error.strerror}") from error
    finally:
        os.close(root)


def _entries(parent: int, prefix: str, owner: int, depth: int) -> Iterator[OutputPart]:
    for name in sorted(os.listdir(parent)):
        path = f"{prefix}{name}"
        try:
            mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode) and depth < DEPTH:
                here = _opened(name, parent, _FOLDER, 0o700)
            elif stat.S_ISREG(mode):
                here = _opened(name, parent, _FILE, 0o400)
            else:
                yield OutputPart(path, PartKind.OTHER)
                continue
        except (FileNotFoundError, NotADirectoryError, PermissionError, IsADirectoryError):
            yield OutputPart(path, PartKind.OTHER)
            continue
        try:
            status = os.fstat(here)
            if stat.S_ISDIR(status.st_mode):
                yield OutputPart(path, PartKind.DIRECTORY)
                yield from _entries(here, f"{path}/", owner, depth + 1)
            elif stat.S_ISREG(status.st_mode) and status.st_uid == owner:
                runs = bool(status.st_mode & 0o100)
                yield OutputPart(path, PartKind.FILE, status.st_size, runs, _bytes(here, status))
            else:
                yield OutputPart(path, PartKind.OTHER)
        finally:
            os.close(here)


def _opened(name: str, parent: int | None, flags: int, needed: int) -> int:
    """A service that is not root runs jobs as itself, and they may have closed what is theirs to themselves."""
    try:
        return os.open(name, flags, dir_fd=parent)
    except PermissionError:
        handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            Path("/proc/self/fd", str(handle)).chmod(needed)  # of what is open, whatever bears the name by now
        finally:
            os.close(handle)
        return os.open(name, flags, dir_fd=parent)


def _bytes(handle: int, status: os.stat_result) -> Iterator[bytes]:
    """Exactly as many as were announced: a file that still grows is cut, one that shrank is filled up with zeros."""
    left = status.st_size
    while left:
        data = os.read(handle, min(BLOCK, left)) or bytes(min(BLOCK, left))
        left -= len(data)
        yield data
