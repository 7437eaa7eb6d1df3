"""The standing jobs of the ledger, kept in memory by the one process that writes them.

A pass over thousands of unchanged jobs must not decode their definitions each time.
"""

import sqlite3
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from ..model.errors import StateError
from ..model.job import JobSpec
from ..model.live import StandingJob
from . import rows, slots

_COLUMNS = ", ".join(rows.STANDING_COLUMNS)
_PUT = f"INSERT OR REPLACE INTO standing ({_COLUMNS}) VALUES ({', '.join('?' * len(rows.STANDING_COLUMNS))})"  # noqa: S608
SELECT_STANDING = f"""SELECT {", ".join("standing." + name for name in rows.STANDING_COLUMNS)}, body, crc
    FROM standing JOIN specs USING (digest)"""  # noqa: S608 - column names of our own
# Attempts of two jobs for one instant, where the job that gives its name away is still at work.
_CONFLICT = """SELECT run_id FROM runs AS theirs WHERE job = ?2 AND open AND EXISTS (
    SELECT 1 FROM runs AS moved WHERE moved.job = ?1 AND moved.slot = theirs.slot AND moved.cell = theirs.cell
        AND moved.attempt = theirs.attempt)"""
_GIVE_WAY = """DELETE FROM runs WHERE job = ?2 AND EXISTS (
    SELECT 1 FROM runs AS moved WHERE moved.job = ?1 AND moved.slot = runs.slot AND moved.cell = runs.cell
        AND moved.attempt = runs.attempt)"""

_GIVE_KEY = """UPDATE runs SET key = '' WHERE job = ?2 AND key <> '' AND EXISTS (
    SELECT 1 FROM runs AS moved WHERE moved.job = ?1 AND moved.key = runs.key)"""


class StandingCache:
    """What is in the file, by name; None until it was read. Changed only after a commit, in commit order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, StandingJob] | None = None

    def get(self) -> dict[str, StandingJob] | None:
        with self._lock:
            return None if self._jobs is None else dict(self._jobs)

    def fill(self, jobs: Mapping[str, StandingJob]) -> None:
        with self._lock:
            self._jobs = dict(jobs)

    def apply(self, change: Callable[[dict[str, StandingJob]], None]) -> None:
        with self._lock:
            if self._jobs is not None:
                change(self._jobs)


def keep_spec(connection: sqlite3.Connection, digest: str, spec: JobSpec) -> None:
    row = rows.spec_row(digest, spec)
    connection.execute("INSERT OR IGNORE INTO specs (digest, body, crc) VALUES (?, ?, ?)", row)


def put(connection: sqlite3.Connection, job: StandingJob) -> StandingJob:
    """Insert or update, never moving the cursor back; returns what is stored."""
    keep_spec(connection, job.digest, job.spec)
    found = connection.execute("SELECT cursor FROM standing WHERE name = ?", (job.name,)).fetchone()
    if found and found[0] > rows.instant_text(job.cursor):
        job = replace(job, cursor=rows.instant(found[0]))
    connection.execute(_PUT, rows.standing_row(job))
    return job


def is_current(connection: sqlite3.Connection, name: str, digest: str) -> bool:
    """Does this very definition stand, and is to stay?"""
    found = connection.execute("SELECT 1 FROM standing WHERE name = ? AND digest = ? AND NOT retiring", (name, digest))
    return found.fetchone() is not None


def move_rows(connection: sqlite3.Connection, old: str, new: str) -> None:
    """Give everything of `old` the name `new`; ended rows of an earlier job of that name give way where they clash.
    Raises StateError `move-conflict`."""
    if old == new:
        return
    conflict = connection.execute(_CONFLICT, (old, new)).fetchone()
    if conflict:
        raise StateError(
            f"cannot move {old} to {new}: run {conflict[0]} of the earlier {new} has not ended",
            code="move-conflict", hint="it is tried again at the next pass; `reconciler stop` ends that run now",
        )  # fmt: skip
    connection.execute(_GIVE_WAY, (old, new))
    connection.execute(_GIVE_KEY, (old, new))
    connection.execute("UPDATE runs SET job = ? WHERE job = ?", (new, old))
    slots.move_slots(connection, old, new)
    connection.execute("UPDATE OR REPLACE pauses SET job = ? WHERE job = ?", (new, old))
    connection.execute("UPDATE events SET job = ? WHERE job = ?", (new, old))
    # The cursor goes along: what `old` has accounted for is never owed again.
    connection.execute("UPDATE OR REPLACE standing SET name = ? WHERE name = ?", (new, old))


def advance(connection: sqlite3.Connection, name: str, cursor: datetime) -> None:
    connection.execute("UPDATE standing SET cursor = max(cursor, ?) WHERE name = ?", (rows.instant_text(cursor), name))


def rewind(connection: sqlite3.Connection, name: str, to: datetime) -> None:
    at = rows.instant_text(to)
    connection.execute(
        "UPDATE standing SET cursor = min(cursor, ?1), anchor = min(anchor, ?1) WHERE name = ?2", (at, name)
    )
