"""Decides whether a database file may be used: never is a lost or foreign one taken for a first start.

In: a path; out: a checked file of the newest schema, created only where no state has ever been.
"""

import json
import os
import sqlite3
import time
import uuid
from pathlib import Path

from ..model.errors import StateError
from .database import Database, StoppedDatabase, connect, connect_writer, is_clean
from .faults import corrupt, from_os_error, lost, translated
from .files import IDENTITY, sidecars, size_of, sync_directory
from .schema import APPLICATION_ID, check_current, check_version, migrate, version_of

CHECK_ALWAYS_BELOW = 8 * 1024 * 1024  # bytes; above, only a file that was not closed in order is checked
CHECK_SECONDS = 2.0  # a check that takes longer is broken off: READY must not wait for a disk
_MAGIC = b"SQLite format 3\0"


def create(path: Path, meta: dict[str, str]) -> None:
    """Make a complete empty ledger at `path` in one step: a crash leaves none or all of it. Raises StateError."""
    temporary = path.with_name(f".{path.name}.new")
    leftovers = (temporary, *sidecars(temporary))
    try:
        for leftover in leftovers:
            leftover.unlink(missing_ok=True)
        try:
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o640))
            with translated(path):
                _fill(temporary, meta)
            temporary.rename(path)
        finally:
            for leftover in leftovers:
                leftover.unlink(missing_ok=True)
        sync_directory(path.parent)
    except OSError as error:
        raise from_os_error("create", path, error) from error


def _fill(path: Path, meta: dict[str, str]) -> None:
    connection = connect_writer(path)
    try:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
        migrate(connection)
        connection.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", sorted(meta.items()))
    finally:
        connection.close()


def ensure(path: Path) -> None:
    """Create the ledger of a first start; leave an existing one alone. Raises StateError `state-lost`."""
    size, wal = size_of(path), size_of(sidecars(path)[0])
    if size == 0:
        raise lost(f"{path} is empty")
    if size is None:
        if wal:
            raise lost(f"{path} is missing, its write-ahead log is still there")
        if size_of(path.with_name(IDENTITY)) is not None:
            raise lost(f"{path} is missing, although this instance has worked here")
        create(path, {"instance_id": uuid.uuid4().hex})


def open_for_writing(path: Path) -> Database:
    """Check, migrate and open. Raises StateError."""
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        ensure(path)
        unclean = not is_clean(path)
        _check_header(path)
    except OSError as error:
        raise from_os_error("open", path, error) from error
    with translated(path):
        connection = connect_writer(path)
        try:
            _check_content(path, connection, unclean=unclean)
            migrate(connection)
        finally:
            connection.close()
    return Database(path)


def open_for_reading(path: Path) -> Database:
    """Works beside a writing service and without one, also for readers who may not write there. Raises StateError."""
    try:
        size = size_of(path)
        if not size:
            if size == 0 or size_of(path.with_name(IDENTITY)) is not None:
                raise lost(f"{path} is missing or empty, although this instance has worked here")
            raise StateError(
                f"cannot open the ledger {path}: there is none yet", code="state-absent",
                hint="nothing has run with this state directory; is --state-dir, or RECONCILER_STATE_DIR, right?",
            )  # fmt: skip
        _check_header(path)
    except OSError as error:
        raise from_os_error("read", path, error) from error
    stopped = is_clean(path) and not os.access(path.parent, os.W_OK)
    database = StoppedDatabase(path) if stopped else Database(path, read_only=True)
    with translated(path):
        connection = connect(path, mode="ro", immutable=stopped)
        try:
            _check_ours(path, connection)
            check_current(connection)
        finally:
            connection.close()
    return database


def _check_header(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise corrupt(path, "it is not an SQLite database")


def _check_ours(path: Path, connection: sqlite3.Connection) -> None:
    """The header's application id, and that file and identity belong together."""
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID or version_of(connection) == 0:
        raise corrupt(path, "it is a database of another program")
    check_version(connection)
    row = connection.execute("SELECT value FROM meta WHERE key = 'instance_id'").fetchone()
    expected = _identity_beside(path)
    if expected is not None and (row is None or row[0] != expected):
        raise StateError(
            f"cannot use the ledger {path}: it belongs to another identity than the one beside it",
            code="state-mismatch", hint="restore the whole state directory from one back-up, not single files",
        )  # fmt: skip


def _identity_beside(path: Path) -> str | None:
    """The instance id in the identity file, None without one. Its other fields are identity.py's matter."""
    try:
        found = json.loads(path.with_name(IDENTITY).read_bytes())
    except (FileNotFoundError, PermissionError):
        return None  # readers may not see the key that lies in it
    except ValueError:
        return None  # identity.py says it, with its own code
    told = found.get("instance_id") if isinstance(found, dict) else None
    return told if isinstance(told, str) else None


def _check_content(path: Path, connection: sqlite3.Connection, *, unclean: bool) -> None:
    """SQLite's quick_check, where it is worth its time, within CHECK_SECONDS."""
    _check_ours(path, connection)
    if not unclean and (size_of(path) or 0) > CHECK_ALWAYS_BELOW:
        return
    until = time.monotonic() + CHECK_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > until, 20_000)
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return
    finally:
        connection.set_progress_handler(None, 0)
    if found != "ok":
        raise corrupt(path, str(found))
