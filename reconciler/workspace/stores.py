"""Where the values of secrets are: one Protocol, and the stores that need nothing but this host.

A store is asked when a run is made ready, not before: what is rotated meanwhile counts. What could be read by others
than root and the service is refused.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from ..model.errors import Permanent
from ..model.secret import MAX_BYTES, NAME, Secret, StoreConfig, variable_of
from ..runs.masking import SHORTEST

MOST = 10_000  # names of one store
_OTHERS = 0o077
_QUIETLY = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Names(NamedTuple):
    """`short`: those of less than SHORTEST bytes, as far as that can be told without a look at the value."""

    all: frozenset[str] = frozenset()
    short: frozenset[str] = frozenset()


class SecretStore(Protocol):
    """All raise Permanent: the store cannot be used, as it is or at all."""

    def names(self) -> Names:
        """What it has; of an environment the variables without their prefix."""

    def has(self, name: str) -> bool:
        """Could it be read now? Nothing of it is."""

    def read(self, name: str) -> Secret | None:
        """None = it does not have it."""


class Directory:
    """A file each, below a directory of root's or the service's that nobody else may enter."""

    def __init__(self, path: str) -> None:
        self._path = path

    def names(self) -> Names:
        with self._opened() as fd, os.scandir(fd) as entries:
            found, short = set(), set()
            for entry in entries:
                if NAME.match(entry.name) and entry.is_file(follow_symlinks=False):
                    found.add(entry.name)
                    if entry.stat(follow_symlinks=False).st_size < SHORTEST:
                        short.add(entry.name)
                if len(found) > MOST:
                    raise _unusable(self._path, f"it holds more than {MOST} files")
        return Names(frozenset(found), frozenset(short))

    def has(self, name: str) -> bool:
        with self._opened() as folder:
            try:
                fd = os.open(name, _QUIETLY, dir_fd=folder)
            except FileNotFoundError:
                return False
            try:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise _unusable(f"{self._path}/{name}", "it is no plain file")
            finally:
                os.close(fd)
        return True

    def read(self, name: str) -> Secret | None:
        with self._opened() as fd:
            return read_value(name, name, dir_fd=fd)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise _unusable(self._path, error.strerror or "it cannot be opened") from error
        try:
            self._check(os.fstat(fd))
            yield fd
        except OSError as error:
            raise _unusable(self._path, error.strerror or "it cannot be read") from error
        finally:
            os.close(fd)

    def _check(self, status: os.stat_result) -> None:
        if status.st_uid not in (0, os.geteuid()):
            raise _unsafe(self._path, "belongs to another user than root and the service's")
        if status.st_mode & _OTHERS:
            raise _unsafe(self._path, f"has mode {stat.S_IMODE(status.st_mode):04o}")


class Credentials(Directory):
    """What systemd hands to the service, decrypted if it was encrypted; systemd keeps others out in its own way."""

    def _check(self, status: os.stat_result) -> None:
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o007:
            raise _unsafe(self._path, "is open to others")


class Environment:
    """Variables of the service that begin with `prefix`."""

    def __init__(self, prefix: str, environ: Mapping[str, str]) -> None:
        self._prefix, self._environ = prefix, environ

    def names(self) -> Names:
        cut = len(self._prefix)
        found = [name for name in self._environ if name.startswith(self._prefix) and len(name) > cut]
        short = frozenset(name[cut:] for name in found if len(os.fsencode(self._environ[name])) < SHORTEST)
        return Names(frozenset(name[cut:] for name in found), short)

    def has(self, name: str) -> bool:
        return self._prefix + variable_of(name) in self._environ

    def read(self, name: str) -> Secret | None:
        value = self._environ.get(self._prefix + variable_of(name))
        return None if value is None else Secret(os.fsencode(value))


class Nothing:
    """Credentials of a service that systemd has not given any."""

    def names(self) -> Names:
        return Names()

    def has(self, name: str) -> bool:  # noqa: ARG002
        return False

    def read(self, name: str) -> Secret | None:  # noqa: ARG002
        return None


def open_store(config: StoreConfig, environ: Mapping[str, str]) -> SecretStore:
    """Any but `age`, whose files come with the job. Opens nothing yet."""
    if config.type == "directory":
        return Directory(config.path)
    if config.type == "environment":
        return Environment(config.prefix, environ)
    where = environ.get("CREDENTIALS_DIRECTORY", "")
    return Credentials(where) if where else Nothing()


def read_value(path: str, name: str, dir_fd: int | None = None) -> Secret | None:
    """One file, in whole and not through a link. Raises Permanent, OSError."""
    try:
        fd = os.open(path, _QUIETLY, dir_fd=dir_fd)
    except FileNotFoundError:
        return None
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise _unusable(path, "it is no plain file")
        value = file.read(MAX_BYTES + 1)
    if len(value) > MAX_BYTES:
        raise Permanent(f"cannot use the secret {name}: it is larger than 1 MiB", code="secret-too-large",
                        hint="Put what is large into a volume, and its key into a secret.")  # fmt: skip
    return Secret(value)


def read_identity(path: str) -> bytes:
    """A private key, which nobody but root and the service may read. Raises Permanent."""
    try:
        status = Path(path).lstat()
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & _OTHERS:
            raise Permanent(f"cannot use {path}: others may read it", code="secret-store-unsafe",
                            hint=f"chown it to root or the service's user, and chmod 0400 {path}")  # fmt: skip
        value = read_value(path, path)
    except OSError as error:
        raise _unusable(path, error.strerror or "it cannot be read") from error
    if value is None:
        raise _unusable(path, "it is not there")
    return value.reveal()


def _unsafe(path: str, why: str) -> Permanent:
    return Permanent(
        f"cannot use the secrets in {path}: it {why}", code="secret-store-unsafe",
        hint=f"chown it to root or the service's user, and chmod 0700 {path}",
    )  # fmt: skip


def _unusable(path: str, why: str) -> Permanent:
    return Permanent(
        f"cannot read secrets from {path}: {why}", code="secret-store-unreadable",
        hint="see `secret_stores` of the service file; the service's user must be able to read it",
    )  # fmt: skip
