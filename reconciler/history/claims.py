"""The rows of runs: claiming one, rewriting it, and which to list. In: an open transaction, records; out: SQL, rows."""

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from ..model.run import CellState, Phase, RunRecord, SlotRecord
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


def forget(connection: sqlite3.Connection, run: RunRecord) -> None:
    """Delete its row if it has ended, and that of its slot."""
    if connection.execute("DELETE FROM runs WHERE run_id = ? AND NOT open", (run.run_id,)).rowcount:
        connection.execute("DELETE FROM slots WHERE job = ? AND first = ?", (run.job, rows.slot_text(run.slot)))


# A slot of cells has succeeded once all of them have: `run` speaks for it then.
SUCCEEDED = """run.phase = 'succeeded' AND (run.cell < 0 OR NOT EXISTS (SELECT 1 FROM runs AS other
    WHERE other.job = run.job AND other.slot = run.slot AND other.phase <> 'succeeded' AND other.superseded_by = ''))"""
# A backfill's run says nothing of the instant at which it was asked for.
LAST_SUCCESS = f"""SELECT slot FROM runs AS run WHERE job = ?1 AND slot < ?2 AND replays IS NULL AND {SUCCEEDED}
    ORDER BY slot DESC LIMIT 1"""  # noqa: S608
CELLS = """SELECT cell, phase, started_at IS NOT NULL FROM runs
    WHERE job = ? AND slot = ? AND cell >= 0 ORDER BY cell, attempt"""


def states(found: Iterable[Sequence[Any]]) -> list[CellState]:
    """Rows of CELLS as a state for each cell: the last attempt's, or an earlier one's that is not written as ended."""
    cells: dict[int, CellState] = {}
    for cell, text, started in found:
        before, phase = cells.get(cell), Phase(text)
        if before is not None and before.phase.active:
            phase = before.phase
        cells[cell] = CellState(cell, phase, bool(started) or (before is not None and before.started))
    return list(cells.values())


_WORST = """CASE WHEN phase IN ('starting', 'running', 'stopping') THEN 0 WHEN phase IN ('pending', 'preparing') THEN 1
    WHEN superseded_by <> '' THEN 5 WHEN phase = 'succeeded' THEN 4 WHEN phase = 'cancelled' THEN 3 ELSE 2 END"""
_FOLDED = f"""WHERE run_id IN (SELECT run_id FROM (
        SELECT run_id, row_number() OVER (
            PARTITION BY job, slot, CASE WHEN cell < 0 THEN attempt END ORDER BY {_WORST}, cell, attempt DESC
        ) AS place FROM (SELECT DISTINCT job, slot FROM runs {{where}}ORDER BY slot DESC LIMIT :limit)
            JOIN runs USING (job, slot)
    ) WHERE place = 1) {{again}}"""  # noqa: S608


def listing(
    job: str | None, limit: int, before: datetime | None, *, failed: bool, fold: bool
) -> tuple[str, dict[str, Any]]:
    """`(what follows SELECT, values)` for the newest runs; `before` is exclusive. `fold`: one for a slot's cells."""
    terms = ["job = :job"] if job is not None else []
    terms += ["slot < :before"] if before is not None else []
    terms += [f"phase IN {_BAD}"] if failed else []
    where = f"WHERE {' AND '.join(terms)} " if terms else ""
    values = {"job": job, "limit": limit, "before": rows.slot_text(before) if before is not None else None}
    if fold:
        again = f"AND (cell >= 0 OR phase IN {_BAD}) " if failed else ""
        where = _FOLDED.format(where=where, again=again)
    return where + "ORDER BY slot DESC, cell, attempt DESC LIMIT :limit", values
