"""The rows of runs: claiming one, rewriting it, and which to list. In: an open transaction, records; out: SQL, rows."""

import sqlite3
from datetime import datetime
from typing import Any

from ..model.run import RunRecord, SlotRecord
from . import rows, slots

_COLUMNS = ", ".join(rows.RUN_COLUMNS)
# Statements are put together from column names of our own only; values are always bound.
_CLAIM = f"""INSERT INTO runs ({_COLUMNS}) VALUES ({", ".join(":" + name for name in rows.RUN_COLUMNS)})
    ON CONFLICT DO NOTHING"""  # noqa: S608
# A run keeps its identity; `job` is left out because the job may have moved since the caller read the record.
_IDENTITY = frozenset({"run_id", "job", "slot", "cell", "attempt"})
_SETTINGS = ", ".join(f"{name} = :{name}" for name in rows.RUN_COLUMNS if name not in _IDENTITY)
_UPDATE = f"UPDATE runs SET {_SETTINGS} WHERE run_id = :run_id"  # noqa: S608
_BAD = "('failed', 'timed_out', 'lost', 'oom')"
SELECT = f"SELECT {_COLUMNS} FROM runs"  # noqa: S608


def claim(connection: sqlite3.Connection, run: RunRecord) -> bool:
    """Insert the run and its slot. False = the slot was claimed before, and nothing has changed."""
    if connection.execute(_CLAIM, rows.run_row(run)).rowcount != 1:
        return False
    if run.attempt == 1 and not slots.claim_slot(connection, run):
        connection.execute("DELETE FROM runs WHERE run_id = ?", (run.run_id,))
        return False
    return True


def update(connection: sqlite3.Connection, run: RunRecord, slot: SlotRecord | None) -> None:
    """Rewrite its row; with `slot`, close the slot too, under the name that the job has by now."""
    connection.execute(_UPDATE, rows.run_row(run))
    if slot is not None:
        found = connection.execute("SELECT job FROM runs WHERE run_id = ?", (run.run_id,)).fetchone()
        slots.close_slot(connection, found[0] if found else run.job, run, slot)


def listing(job: str | None, limit: int, before: datetime | None, *, failed: bool) -> tuple[str, tuple[Any, ...]]:
    """`(what follows SELECT, values)` for the newest runs; `before` is exclusive."""
    terms: list[str] = []
    values: list[Any] = []
    if job is not None:
        terms.append("job = ?")
        values.append(job)
    if before is not None:
        terms.append("slot < ?")
        values.append(rows.slot_text(before))
    if failed:
        terms.append(f"phase IN {_BAD}")
    where = f"WHERE {' AND '.join(terms)} " if terms else ""
    return where + "ORDER BY slot DESC, cell, attempt DESC LIMIT ?", (*values, limit)
