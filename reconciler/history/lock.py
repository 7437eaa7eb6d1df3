"""One instance per state directory: in, a directory; out, a lock that ends with the process.

The lock is on the directory itself. Deleting a lock file would let a second instance in; there is none to delete:
`lock` only tells who holds it.
"""

import fcntl
import os
from pathlib import Path
from types import TracebackType

from ..model.errors import AlreadyRunning
from .faults import from_os_error
from .files import LOCK, write_atomically


class InstanceLock:
    """Held from `__init__` to `close`. Raises AlreadyRunning, StateError. Children do not inherit it."""

    def __init__(self, state_dir: str | Path) -> None:
        self._directory = Path(state_dir)
        try:
            self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._handle = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise from_os_error("lock", self._directory, error) from error
        try:
            self._acquire()
        except BaseException:
            os.close(self._handle)
            raise

    def _acquire(self) -> None:
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(
                f"cannot use the state directory {self._directory}: another instance holds it{self._holder()}",
                hint="stop it first, or give this instance a state directory of its own",
            ) from None
        except OSError as error:
            raise from_os_error("lock", self._directory, error) from error
        try:
            write_atomically(self._directory / LOCK, f"{os.getpid()}\n".encode(), mode=0o644, durable=False)
        except OSError as error:
            raise from_os_error("write", self._directory / LOCK, error) from error

    def _holder(self) -> str:
        try:
            return f", pid {int((self._directory / LOCK).read_text('ascii')[:20])}"
        except (OSError, ValueError):
            return ""

    @property
    def held(self) -> bool:
        """False once the directory was moved or replaced: what we write would reach files that nobody finds."""
        try:
            there, ours = self._directory.stat(), os.fstat(self._handle)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino) and ours.st_nlink > 0

    def close(self) -> None:
        """Idempotent."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> "InstanceLock":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
