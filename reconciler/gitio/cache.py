"""Our own bare repository of one remote's objects: made, checked, locked and thrown away here. It holds no truth.

It is written without `git init`, so nothing of a template is in it, and its config is compared with ours byte by byte
each time: whoever could write to it has had a chance to plant a hook or a filter, so a strange one is made anew.
"""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..model.disk import on_disk
from ..model.errors import SourceUnavailable

_CONFIG_SHA1 = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
_CONFIG_SHA256 = _CONFIG_SHA1.replace("= 0", "= 1") + "[extensions]\n\tobjectformat = sha256\n"
_LOCK_PAUSE = 0.05  # seconds


class Cache:
    """The repository that `key` stands for (an address, for one) below `root`. Two processes may share it: whoever
    fetches holds `locked`."""

    def __init__(self, root: str, key: str) -> None:
        self._root = Path(root)
        self._path = self._root / f"{hashlib.sha256(key.encode()).hexdigest()[:20]}.git"

    @classmethod
    def at(cls, path: Path) -> "Cache":
        """The one whose `git_dir` that is."""
        cache = cls(str(path.parent), "")
        cache._path = path
        return cache

    @property
    def _lock(self) -> Path:
        return self._path.with_suffix(".lock")

    @property
    def git_dir(self) -> str:
        return str(self._path)

    @contextmanager
    def locked(self, timeout: float) -> Iterator[None]:
        """Hold the repository for writing. Raises StateError; SourceUnavailable `source-busy` after `timeout` s."""
        deadline = time.monotonic() + timeout
        while (fd := self._try()) is None:
            if time.monotonic() > deadline:
                raise SourceUnavailable(
                    "cannot fetch: another process is fetching the same repository", code="source-busy"
                )
            time.sleep(_LOCK_PAUSE)
        try:
            yield
        finally:
            os.close(fd)

    def unlock_for_good(self) -> None:
        """Remove the lock's file, unless somebody holds it. Raises StateError."""
        if (fd := self._try()) is not None:
            try:
                with on_disk(f"keep git objects below {self._root}"):
                    self._lock.unlink(missing_ok=True)
            finally:
                os.close(fd)

    def _try(self) -> int | None:
        """The lock's file, held; None if somebody else has it, or has removed it meanwhile."""
        with on_disk(f"keep git objects below {self._root}"):
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if _try_lock(fd) and _is_at(fd, self._lock):
            return fd
        os.close(fd)
        return None

    def prepare(self, sha256: bool) -> None:
        """Make the repository if it is missing or not as we made it. Call with the lock held. Raises StateError."""
        config = _CONFIG_SHA256 if sha256 else _CONFIG_SHA1
        with on_disk(f"keep git objects below {self._root}"):
            if self._is_ours(config):
                self._sweep()
                return
            self.wipe()
            for directory in ("objects/pack", "objects/info", "refs/reconciler"):
                (self._path / directory).mkdir(mode=0o700, parents=True)
            (self._path / "config").write_text(config, encoding="ascii")
            (self._path / "HEAD").write_text("ref: refs/heads/none\n", encoding="ascii")

    def wipe(self) -> None:
        """Throw everything away. Call with the lock held. Raises StateError."""
        with on_disk(f"keep git objects below {self._root}"):
            if self._path.is_symlink() or self._path.is_file():
                self._path.unlink()
            elif self._path.exists():
                shutil.rmtree(self._path)

    def _is_ours(self, config: str) -> bool:
        try:
            head = (self._path / "HEAD").read_bytes()
            same = (self._path / "config").read_bytes() == config.encode()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return False
        planted = any((self._path / name).exists() for name in ("hooks", "commondir", "objects/info/alternates"))
        return same and head == b"ref: refs/heads/none\n" and not planted and not self._path.is_symlink()

    def _sweep(self) -> None:
        """What a killed child left behind: half packs, and locks that would stop every later fetch."""
        for pattern in ("objects/pack/tmp_*", "objects/tmp_objdir*", "objects/??/tmp_obj_*"):
            for left in self._path.glob(pattern):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        for pattern in ("*.lock", "refs/**/*.lock", "objects/info/*.lock"):
            for left in self._path.glob(pattern):
                left.unlink()


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except OSError:
        return False
