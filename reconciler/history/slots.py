"""The slot ledger inside a transaction: one row per slot or range, exactly one disposition each (rule T5)."""

import sqlite3
from datetime import datetime
from typing import Any

from ..model.run import Disposition, RunRecord, SlotRecord, Trigger
from .rows import optional_text, slot_text

_WITHIN = "SELECT 1 FROM slots WHERE job = ? AND NOT manual AND first > ? AND first <= ? LIMIT 1"
_LATEST_BEFORE = """SELECT first, count, disposition, reason, run_id FROM slots
    WHERE job = ? AND NOT manual AND first < ? ORDER BY first DESC LIMIT 1"""
_INSERT = """INSERT INTO slots (job, first, last, count, disposition, reason, run_id, manual, decided)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""

_OTHER_CELL = """SELECT 1 FROM runs JOIN slots ON slots.job = runs.job AND slots.first = runs.slot
    WHERE runs.job = ? AND runs.slot = ? AND runs.cell NOT IN (-1, ?) AND slots.disposition IS NULL LIMIT 1"""

# Asked for at an instant of their own, which no schedule gave: their rows may lie within ranges of scheduled slots.
OWN_INSTANT = frozenset({Trigger.MANUAL, Trigger.AFTER, Trigger.BACKFILL, Trigger.TRY, Trigger.REPLAY,
                         Trigger.DEV})  # fmt: skip

# A slot with a run of its own is a row of its own.
_OWN_ROW = frozenset({Disposition.RAN, Disposition.LOST})


def claim_slot(connection: sqlite3.Connection, run: RunRecord) -> bool:
    """Insert the open row of a first attempt. False = the slot has a row already; the cells of a slot share one."""
    slot, manual = slot_text(run.slot), int(run.trigger in OWN_INSTANT)
    if connection.execute("SELECT 1 FROM slots WHERE job = ? AND first = ?", (run.job, slot)).fetchone():
        return (
            run.cell is not None and connection.execute(_OTHER_CELL, (run.job, slot, run.cell)).fetchone() is not None
        )
    if not manual and _covering(connection, run.job, slot):
        return False
    connection.execute(_INSERT, (run.job, slot, slot, 1, None, "", run.run_id, manual, None))
    return True


def _covering(connection: sqlite3.Connection, job: str, slot: str) -> bool:
    """Does the scheduled row that begins last before `slot` reach it? Rows are disjoint, so no other can."""
    row = connection.execute(
        "SELECT last FROM slots WHERE job = ? AND NOT manual AND first <= ? ORDER BY first DESC LIMIT 1", (job, slot)
    ).fetchone()
    return row is not None and row[0] >= slot


def record_slot(connection: sqlite3.Connection, slot: SlotRecord) -> None:
    """Record scheduled slots that ended without a run. What was told before stays as it was told.

    Adjacent slots of one disposition and reason extend the row before them.
    """
    first, last = slot_text(slot.first), slot_text(slot.last)
    if _covering(connection, slot.job, first) or connection.execute(_WITHIN, (slot.job, first, last)).fetchone():
        _record_uncovered(connection, slot, first, last)
        return
    before = connection.execute(_LATEST_BEFORE, (slot.job, first)).fetchone()
    if before is not None and _mergeable(before, slot):
        connection.execute(
            "UPDATE slots SET last = ?, count = count + ?, decided = ? WHERE job = ? AND first = ?",
            (last, slot.count, optional_text(slot.decided_at), slot.job, before[0]),
        )
        return
    _insert(connection, slot, first, last, slot.count)


def _record_uncovered(connection: sqlite3.Connection, slot: SlotRecord, first: str, last: str) -> None:
    """After the clock was set back under a job that was made anew, a range may meet rows that are there already.
    They stay; of the range, the ends that have no row get one each."""
    for end in dict.fromkeys((first, last)):
        if not _covering(connection, slot.job, end):
            _insert(connection, slot, end, end, 1)


def _mergeable(before: tuple[Any, ...], slot: SlotRecord) -> bool:
    _, _, disposition, reason, run_id = before
    return slot.disposition not in _OWN_ROW and (disposition, reason, run_id) == (
        slot.disposition, slot.reason, slot.run_id,
    )  # fmt: skip


def _insert(connection: sqlite3.Connection, slot: SlotRecord, first: str, last: str, count: int) -> None:
    taken = connection.execute("SELECT 1 FROM slots WHERE job = ? AND first = ?", (slot.job, first)).fetchone()
    if taken is None:  # else a manual run has this very millisecond
        decided = optional_text(slot.decided_at)
        said = (slot.disposition.value, slot.reason, slot.run_id)
        connection.execute(_INSERT, (slot.job, first, last, count, *said, 0, decided))


def close_slot(connection: sqlite3.Connection, job: str, run: RunRecord, slot: SlotRecord) -> None:
    """End the row that `run`'s slot has had since its claim. A later attempt may correct what an earlier one said.

    `job` is the run's present name: it may have moved since the caller read its record.
    """
    connection.execute(
        "UPDATE slots SET disposition = ?, reason = ?, run_id = ? WHERE job = ? AND first = ? AND first = last",
        (slot.disposition.value, slot.reason, slot.run_id or run.run_id, job, slot_text(run.slot)),
    )


def move_slots(connection: sqlite3.Connection, old: str, new: str) -> None:
    """Rename a job's rows. Rows of an earlier job of the new name give way where both have one for an instant."""
    connection.execute(
        """DELETE FROM slots WHERE job = ?2 AND EXISTS (SELECT 1 FROM slots AS moved WHERE moved.job = ?1
            AND moved.first <= slots.last AND moved.last >= slots.first
            AND (moved.manual = slots.manual OR moved.first = slots.first))""",
        (old, new),
    )
    connection.execute("UPDATE slots SET job = ? WHERE job = ?", (new, old))


def take_back(connection: sqlite3.Connection, job: str, after: datetime) -> None:
    """Forget scheduled slots after an instant that have not come yet. Those with a run keep their rows: no clock makes
    them fire again (rule T7)."""
    connection.execute(
        "DELETE FROM slots WHERE job = ? AND NOT manual AND run_id = '' AND last > ?", (job, slot_text(after))
    )
