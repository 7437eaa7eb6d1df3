"""A job's `files:` -> files on the host, one directory per digest, to be bound read-only into its runs.

A digest's directory never changes its contents, so a run keeps the files it started with (rule P5). Staging twice is
the same as once; a half-written directory is completed by the next call, never used before it is complete.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from ..model.disk import on_disk
from ..model.job import FileMount, JobSpec
from ..spec.filemodes import numeric_user

_DIGEST = re.compile(r"[0-9a-f]{16,128}\Z")
_HALF = ".half-"
_DIRECTORY_MODE = 0o755  # the process engine's jobs read as an unprivileged user; contents are in git anyway


def stage_files(spec: JobSpec, digest: str, root: str) -> tuple[tuple[str, str], ...]:
    """Write what `spec.files` says below `root/digest`, durably; (host path, target) of each, in the job's order.

    `digest` is the spec's, lower-case hex. Raises StateError (`disk-full`, `state-error`).
    """
    if not _DIGEST.match(digest):
        raise ValueError(f"not a digest: {digest!r}")
    if not spec.files:
        return ()
    directory = Path(root, digest)
    with on_disk(f"stage files in {directory}"):
        _make_directories(directory)
        owner = _owner(spec)
        written = [_write(directory, file, owner) for file in spec.files]
        if any(written):
            _sync_directory(directory)
    return tuple((str(directory / _host_name(file)), file.target) for file in spec.files)


def drop_staged(keep: Collection[str], root: str) -> tuple[str, ...]:
    """Remove the directories of all digests that are not in `keep`; the digests removed, sorted.

    `keep` must hold the digest of every standing job and of every run that is not discarded (rule R6). Whatever else
    lies in `root` is left alone. Raises StateError.
    """
    kept = frozenset(keep)
    dropped = []
    for path in _staged(root):
        if path.name not in kept:
            with on_disk(f"stage files in {path}"):
                shutil.rmtree(path)
            dropped.append(path.name)
    return tuple(sorted(dropped))


def sweep(root: str) -> int:
    """Remove the half-written files that a crash left; how many. Not while another thread stages. Raises StateError."""
    count = 0
    for directory in _staged(root):
        with on_disk(f"stage files in {directory}"):
            for left in directory.glob(f"{_HALF}*"):
                left.unlink()
                count += 1
    return count


def _staged(root: str) -> list[Path]:
    with on_disk(f"stage files in {root}"):
        try:
            found = sorted(Path(root).iterdir())
        except FileNotFoundError:
            return []
        return [path for path in found if _DIGEST.match(path.name) and path.is_dir() and not path.is_symlink()]


def _make_directories(directory: Path) -> None:
    if directory.is_dir():
        return
    directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
    directory.chmod(_DIRECTORY_MODE)  # whatever the umask is
    _sync_directory(directory.parent)


def _owner(spec: JobSpec) -> tuple[int, int] | None:
    """The numeric `user` of the job, so that it may read a file of mode 0400. None = the service's own: it cannot give
    files away, or only the image knows the name's number."""
    return numeric_user(spec.user) if os.geteuid() == 0 else None


def _write(directory: Path, file: FileMount, owner: tuple[int, int] | None) -> bool:
    """Put one file in place by renaming; False if it was there already, with the same contents and mode."""
    path, data = directory / _host_name(file), file.content.encode("utf-8", "surrogatepass")
    if _is_same(path, data, file.mode):
        if owner is not None:  # it was staged when the service was not root, perhaps
            with suppress(PermissionError):
                os.chown(path, *owner, follow_symlinks=False)
        return False
    half = directory / f"{_HALF}{os.getpid()}-{path.name}"
    half.unlink(missing_ok=True)
    fd = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb", closefd=False) as out:
            out.write(data)
        if owner is not None:
            with suppress(PermissionError):  # a root without CAP_CHOWN
                os.fchown(fd, *owner)
        os.fchmod(fd, file.mode & 0o777)
        os.fsync(fd)
    except OSError:
        half.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    half.replace(path)
    return True


def _is_same(path: Path, data: bytes, mode: int) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(file.fileno())
        return (
            status.st_size == len(data)
            and (status.st_mode & 0o7777) == (mode & 0o777)
            and file.read(len(data) + 1) == data
        )


def _host_name(file: FileMount) -> str:
    """A name that no target can turn into a path, the same for the same target."""
    return hashlib.sha256(file.target.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
