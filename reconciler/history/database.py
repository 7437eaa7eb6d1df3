"""One SQLite file in WAL mode: a single writer behind a lock, a few pooled readers, errors as StateError.

Every committed transaction is on disk (synchronous=FULL). Waits are bounded by BUSY_TIMEOUT.
"""

import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..model.errors import StateError
from .faults import translated
from .files import sidecars, size_of

Parameters = Sequence[Any] | dict[str, Any]

BUSY_TIMEOUT = 10.0  # seconds that a writer waits for another, in this process or another
IDLE_READERS = 4  # connections kept open between reads
_CACHE_KIB = 512  # page cache of each connection; SQLite's own default is four times that


def connect(path: Path, *, mode: str, immutable: bool = False, timeout: float = BUSY_TIMEOUT) -> sqlite3.Connection:
    """Open without creating a journal or a transaction. `mode` is rw, rwc or ro. Raises sqlite3.Error."""
    uri = f"file:{quote(str(path.absolute()))}?mode={mode}" + ("&immutable=1" if immutable else "")
    connection = sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_writer(path: Path) -> sqlite3.Connection:
    """The connection that commits durably. Raises sqlite3.Error."""
    connection = connect(path, mode="rw")
    try:
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        # Checkpoints cost an fsync of the database in the committing thread: rare ones here, the others in prune().
        connection.execute("PRAGMA wal_autocheckpoint = 2000")
        connection.execute("PRAGMA journal_size_limit = 16777216")
    except BaseException:
        connection.close()
        raise
    return connection


@dataclass(slots=True)
class _Joint:
    """A transaction that several writes of one thread share. `broken`: SQLite gave all of it up within a part."""

    thread: int
    committed: list[Callable[[], None]] = field(default_factory=list)
    broken: BaseException | None = None


class Database:
    """Threads may share it. `read_only` never creates or changes a file in the directory of a stopped service."""

    def __init__(self, path: Path, *, read_only: bool = False, busy_timeout: float = BUSY_TIMEOUT) -> None:
        self.path, self.read_only = path, read_only
        self._busy_timeout = busy_timeout
        self._write_lock = threading.Lock()
        self._pool_lock = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._joint: _Joint | None = None
        self._readers: deque[sqlite3.Connection] = deque()
        self._closed = False

    @contextmanager
    def write(self, committed: Callable[[], None] | None = None) -> Iterator[sqlite3.Connection]:
        """One transaction: durable when the block has ended, undone when it raises. `committed` is called after the
        commit and before any later one. Raises StateError."""
        if self.read_only:
            raise StateError("cannot write the ledger: it was opened for reading", code="state-read-only")
        joint = self._joint
        if joint is not None and joint.thread == threading.get_ident():
            with self._part_of(joint) as connection:
                yield connection
            if committed is not None:
                joint.committed.append(committed)
            return
        self._take_turn()
        try:
            with translated(self.path):
                connection = self._open_writer()
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    self._undo(connection)
                    raise
            if committed is not None:
                committed()
        finally:
            self._write_lock.release()

    @contextmanager
    def together(self) -> Iterator[None]:
        """This thread's writes inside the block are one transaction: one flush of the disk, all of them or none.
        Other writers wait meanwhile, so nothing slow belongs in here. Raises StateError."""
        joint = _Joint(threading.get_ident())

        def committed() -> None:
            for part in joint.committed:
                part()

        with self.write(committed):
            self._joint = joint
            try:
                yield
            finally:
                self._joint = None
            if joint.broken is not None:  # somebody went on after a fault that has undone what was before it
                raise joint.broken

    @contextmanager
    def _part_of(self, joint: _Joint) -> Iterator[sqlite3.Connection]:
        """One write of a joint transaction; if it fails, it alone is undone. None may follow what has undone all of
        them: it would be a transaction of its own."""
        with translated(self.path):
            if joint.broken is not None:
                raise joint.broken
            connection = self._open_writer()
            connection.execute("SAVEPOINT part")
            try:
                yield connection
                connection.execute("RELEASE part")
            except BaseException as error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK TO part")
                    connection.execute("RELEASE part")
                else:
                    joint.broken = joint.broken or error
                raise

    def _take_turn(self) -> None:
        if not self._write_lock.acquire(timeout=self._busy_timeout):
            raise StateError("cannot write the ledger: a write of this process takes too long", code="state-busy")

    def _open_writer(self) -> sqlite3.Connection:
        if self._closed:
            raise StateError("cannot use the ledger: it was closed", code="state-closed")
        if self._writer is None:
            self._writer = connect_writer(self.path)
            self._writer.execute(f"PRAGMA busy_timeout = {int(self._busy_timeout * 1000):d}")
        return self._writer

    def _undo(self, connection: sqlite3.Connection) -> None:
        """Roll back; a connection that cannot even do that is thrown away, and the next write opens a new one."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._writer = None
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def rows(self, sql: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        """All rows of one query, from one consistent state of the file. Raises StateError."""
        connection = self._borrow()
        try:
            with translated(self.path):
                return connection.execute(sql, parameters).fetchall()
        finally:
            self._give_back(connection)

    def _borrow(self) -> sqlite3.Connection:
        with self._pool_lock:
            if self._closed:
                raise StateError("cannot use the ledger: it was closed", code="state-closed")
            if self._readers:
                return self._readers.pop()
        with translated(self.path):
            return self._connect_reader()

    def _connect_reader(self) -> sqlite3.Connection:
        connection = connect(self.path, mode="ro")
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._pool_lock:
            if not self._closed and len(self._readers) < IDLE_READERS:
                self._readers.append(connection)
                return
        connection.close()

    def checkpoint(self) -> None:
        """Move the WAL into the database as far as readers allow, so that commits need not. Raises StateError."""
        self._take_turn()
        try:
            with translated(self.path):
                self._open_writer().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        finally:
            self._write_lock.release()

    def close(self) -> None:
        """Idempotent. The last connection of all processes folds the WAL into the database."""
        with self._write_lock, self._pool_lock:
            self._closed = True
            connections = [*self._readers, *([self._writer] if self._writer else [])]
            self._readers.clear()
            self._writer = None
        for connection in connections:
            with contextlib.suppress(sqlite3.Error):
                connection.close()


class StoppedDatabase(Database):
    """Reads a cleanly closed database in a directory where this process may not create SQLite's side files.

    SQLite is told that nobody writes (`immutable`), which is checked after each query: a writer that has come
    meanwhile shows by its `-wal`, and the query is made again in the ordinary way.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, read_only=True)

    def rows(self, sql: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        if is_clean(self.path):
            with translated(self.path):
                connection = connect(self.path, mode="ro", immutable=True)
                try:
                    found = connection.execute(sql, parameters).fetchall()
                except sqlite3.DatabaseError:
                    if is_clean(self.path):
                        raise
                    found = None
                finally:
                    connection.close()
            if found is not None and is_clean(self.path):
                return found
        return super().rows(sql, parameters)


def is_clean(path: Path) -> bool:
    """No `-wal` with content: no service is writing, and the last one was closed in order."""
    return not size_of(sidecars(path)[0])
