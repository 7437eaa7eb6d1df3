"""Names of what lies in a state directory, and writing small files so that a crash leaves the old or the new one."""

import os
from pathlib import Path

DATABASE = "reconciler.db"
IDENTITY = "identity.json"
LOCK = "lock"
LOGS = "logs"


def sync_directory(path: Path) -> None:
    """Make renames in `path` durable. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: Path, data: bytes, *, mode: int, durable: bool = True) -> None:
    """Replace `path` in one step, fsynced with its directory if `durable`. Raises OSError; then `path` is untouched."""
    temporary = path.with_name(f".{path.name}.new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_directory(path.parent)


def sidecars(database: Path) -> tuple[Path, Path]:
    """SQLite's `-wal` and `-shm` beside a database."""
    return database.with_name(database.name + "-wal"), database.with_name(database.name + "-shm")


def size_of(path: Path) -> int | None:
    """Bytes; None = absent. Raises OSError for anything but absence."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
