"""What SQLite and the file system raise -> StateError with a stable code and a hint."""

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from ..model.errors import InvariantBroken, StateError

DISK_FULL_HINT = "free space on the file system of the state directory; nothing was lost, and work goes on by itself"
RESTORE_HINT = (
    "stop the service and restore the state directory from a back-up, or start afresh while keeping what runs: "
    "`reconciler takeover INSTANCE`"
)
_READ_HINT = "run it as the service's user, as a member of its group, or as root"


def lost(what: str) -> StateError:
    """The database is gone or empty although this instance has worked here: never a first start."""
    return StateError(f"cannot open the ledger: {what}", code="state-lost", hint=RESTORE_HINT)


def corrupt(path: Path, reason: str) -> StateError:
    return StateError(f"cannot use the ledger {path}: {reason}", code="state-corrupt", hint=RESTORE_HINT)


def disk_is_full(path: Path) -> bool:
    """Not even one block or inode is left for us where `path` lies."""
    try:
        left = os.statvfs(path if path.is_dir() else path.parent)
    except OSError:
        return False
    return left.f_bavail == 0 or (left.f_files > 0 and left.f_favail == 0)


def from_os_error(action: str, path: Path, error: OSError) -> StateError:
    """`action` reads "write", "create", "lock"."""
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StateError(f"cannot {action} {path}: {reason}", code="disk-full", hint=DISK_FULL_HINT)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StateError(f"cannot {action} {path}: {reason}", code="state-unreadable", hint=_READ_HINT)
    return StateError(
        f"cannot {action} {path}: {reason}", code="state-io", hint="look at the kernel log and the disk below it"
    )


def from_sqlite(path: Path, error: sqlite3.Error) -> Exception:
    """The StateError for what SQLite said; a broken constraint is a fault of ours."""
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
    said = str(error)
    if isinstance(error, sqlite3.IntegrityError):
        return InvariantBroken(f"the ledger refused a row: {said}")
    if primary == sqlite3.SQLITE_FULL or (primary == sqlite3.SQLITE_IOERR and disk_is_full(path)):
        return StateError(f"cannot write the ledger {path}: the disk is full", code="disk-full", hint=DISK_FULL_HINT)
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or said.startswith("Could not decode to UTF-8"):
        return corrupt(path, said)
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StateError(
            f"cannot write the ledger {path}: another process holds it ({said})", code="state-busy",
            hint="it is retried; if it stays, look with `fuser` for who has the file open",
        )  # fmt: skip
    if primary in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOLFS):
        return StateError(
            f"cannot use the ledger {path}: {said}", code="state-io", hint="look at the kernel log and the disk below"
        )
    if primary in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH):
        return StateError(f"cannot open the ledger {path}: {said}", code="state-unreadable", hint=_READ_HINT)
    return StateError(f"cannot use the ledger {path}: {said}", code="state-error", hint="see docs/operate.md")


class _Border:
    """A context manager that makes errors of `kinds` another one; a generator would cost as much as a small query."""

    __slots__ = ("_kinds", "_path", "_say")

    def __init__(
        self, path: Path, kinds: tuple[type[Exception], ...], say: Callable[[Path, Exception], Exception]
    ) -> None:
        self._path, self._kinds, self._say = path, kinds, say

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, self._kinds):
            raise self._say(self._path, error) from error


def translated(path: Path) -> _Border:
    """Nothing of sqlite3 is seen above this package."""
    return _Border(path, (sqlite3.Error, UnicodeDecodeError), _of_sqlite3)


def _of_sqlite3(path: Path, error: Exception) -> Exception:
    if isinstance(error, sqlite3.Error):
        return from_sqlite(path, error)
    return corrupt(path, "it holds text that is no UTF-8")  # the module reads names and messages as UTF-8


def decoding(path: Path) -> _Border:
    """A row that SQLite hands out and that is none of ours was damaged."""
    return _Border(path, (ValueError, KeyError, TypeError, AttributeError), _of_row)


def _of_row(path: Path, error: Exception) -> Exception:
    return corrupt(path, f"a row does not decode ({error})")
