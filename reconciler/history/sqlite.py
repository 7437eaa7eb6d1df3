"""The ledger in SQLite: fulfils history/base.py. In: the model's values; out: the same, after any crash."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from ..model.errors import StateError
from ..model.event import Event
from ..model.job import JobSpec
from ..model.live import StandingJob
from ..model.origin import Origin
from ..model.run import CellState, Pause, RunRecord, SlotRecord
from ..runs import trial
from . import claims, rows, slots, standing
from .database import Database
from .faults import decoding
from .opening import open_for_reading, open_for_writing
from .pruning import Pruner
from .standing import StandingCache

T = TypeVar("T")

LIST_LIMIT = 10_000  # rows that one listing returns at most, whatever is asked

_ORIGIN = ", ".join(rows.ORIGIN_COLUMNS)
_PUT_ORIGIN = f"INSERT OR REPLACE INTO origins ({_ORIGIN}) VALUES ({', '.join('?' * len(rows.ORIGIN_COLUMNS))})"  # noqa: S608


def open_history(path: str | Path, *, read_only: bool = False) -> "SqliteHistory":
    """Open the ledger at `path`; the first writer of a state directory makes it. Raises StateError.

    A missing or empty file beside an identity is `state-lost`, a damaged or foreign one `state-corrupt`, one of a
    newer release `state-version`: none of them is ever taken for a first start.
    """
    path = Path(path)
    return SqliteHistory(open_for_reading(path) if read_only else open_for_writing(path))


class SqliteHistory:
    """Threads may share it. One process writes, any number reads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._standing = StandingCache()
        self._pruner = Pruner(database)

    def together(self) -> contextlib.AbstractContextManager[None]:
        return self._database.together()

    # -- meta -------------------------------------------------------------------------------------------------
    def get_meta(self, key: str) -> str | None:
        found = self._database.rows("SELECT value FROM meta WHERE key = ?", (key,))
        return str(found[0][0]) if found else None

    def set_meta(self, key: str, value: str) -> None:
        with self._database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))

    # -- standing jobs ----------------------------------------------------------------------------------------
    def standing(self) -> Mapping[str, StandingJob]:
        if self._database.read_only:
            return self._read_standing()
        kept = self._standing.get()
        if kept is None:
            with self._database.write():  # no commit may pass between reading and keeping
                kept = self._read_standing()
                self._standing.fill(kept)
        return kept

    def _read_standing(self) -> dict[str, StandingJob]:
        found = self._database.rows(standing.SELECT_STANDING)
        return {job.name: job for job in self._decoded(rows.standing_from, found)}

    def put_standing(self, job: StandingJob) -> None:
        """The cursor never goes back: what is accounted for stays so, even if the caller's record is an old one."""
        stored = job

        def kept(jobs: dict[str, StandingJob]) -> None:
            jobs[stored.name] = stored

        with self._database.write(lambda: self._standing.apply(kept)) as connection:
            stored = standing.put(connection, job)
        self._pruner.touched(job.name)

    def move_standing(self, old: str, new: StandingJob) -> None:
        """Raises StateError `move-conflict` while an earlier job of the new name has active runs of the same slots."""
        stored = new

        def moved(jobs: dict[str, StandingJob]) -> None:
            jobs.pop(old, None)
            jobs[stored.name] = stored

        with self._database.write(lambda: self._standing.apply(moved)) as connection:
            standing.move_rows(connection, old, new.name)
            stored = standing.put(connection, new)
        self._pruner.touched(new.name)

    def drop_standing(self, name: str) -> None:
        def dropped(jobs: dict[str, StandingJob]) -> None:
            jobs.pop(name, None)

        with self._database.write(lambda: self._standing.apply(dropped)) as connection:
            connection.execute("DELETE FROM standing WHERE name = ?", (name,))
        self._pruner.touched(name)

    def set_cursor(self, name: str, cursor: datetime, slots: Iterable[SlotRecord] = ()) -> None:
        with self._database.write(lambda: self._advanced(name, cursor)) as connection:
            _record(connection, name, cursor, slots)
        self._pruner.touched(name)

    def rewind(self, name: str, to: datetime, kept: Iterable[SlotRecord] = ()) -> None:
        at = to.astimezone(UTC)

        def back(jobs: dict[str, StandingJob]) -> None:
            if (job := jobs.get(name)) is not None:
                jobs[name] = replace(job, cursor=min(job.cursor, at), anchor=min(job.anchor, at))

        with self._database.write(lambda: self._standing.apply(back)) as connection:
            slots.take_back(connection, name, at)
            _record(connection, name, None, kept)
            standing.rewind(connection, name, at)
        self._pruner.touched(name)

    def _advanced(self, name: str, cursor: datetime | None) -> None:
        def advanced(jobs: dict[str, StandingJob]) -> None:
            job = jobs.get(name)
            if job is not None and cursor is not None and job.cursor < cursor:
                jobs[name] = replace(job, cursor=cursor.astimezone(UTC))

        self._standing.apply(advanced)

    def spec(self, digest: str) -> JobSpec | None:
        found = self._database.rows("SELECT body, crc FROM specs WHERE digest = ?", (digest,))
        return next(iter(self._decoded(lambda row: rows.spec_from(*row), found)), None)

    def put_origin(self, origin: Origin) -> None:
        with self._database.write() as connection:
            connection.execute(_PUT_ORIGIN, rows.origin_row(origin))

    def origin(self, digest: str) -> Origin | None:
        found = self._database.rows(f"SELECT {_ORIGIN} FROM origins WHERE digest = ?", (digest,))  # noqa: S608
        return next(iter(self._decoded(rows.origin_from, found)), None)

    # -- intents ----------------------------------------------------------------------------------------------
    def begin_intent(self, kind: str, name: str, at: datetime, detail: str = "") -> int:
        with self._database.write() as connection:
            cursor = connection.execute(
                "INSERT INTO intents (kind, name, at, detail) VALUES (?, ?, ?, ?)",
                (kind, name, rows.instant_text(at), detail),
            )
            return int(cursor.lastrowid or 0)

    def end_intent(self, intent: int) -> None:
        with self._database.write() as connection:
            connection.execute("DELETE FROM intents WHERE id = ?", (intent,))

    def open_intents(self) -> Sequence[tuple[int, str, str, str]]:
        """Oldest first."""
        return [
            (found[0], found[1], found[2], found[3])
            for found in self._database.rows("SELECT id, kind, name, detail FROM intents ORDER BY id")
        ]

    # -- runs -------------------------------------------------------------------------------------------------
    def claim(self, run: RunRecord, cursor: datetime | None = None, slots: Iterable[SlotRecord] = (), *,
              current: bool = False) -> bool:  # fmt: skip
        """`cursor` and `slots` are recorded although the slot was claimed before: it is accounted for, too."""
        moved_to: datetime | None = None
        with self._database.write(lambda: self._advanced(run.job, moved_to)) as connection:
            if current and not standing.is_current(connection, run.job, run.digest):
                return False
            claimed = claims.claim(connection, run)
            _record(connection, run.job, cursor, slots)
            moved_to = cursor
        self._pruner.touched(run.job)
        return claimed

    def claim_alone(self, run: RunRecord, spec: JobSpec) -> bool:
        with self._database.write() as connection:
            standing.keep_spec(connection, run.digest, spec)
            claimed = claims.claim(connection, run)
        self._pruner.touched(run.job)
        return claimed

    def trials(self) -> Sequence[RunRecord]:
        bounds = [bound for prefix in trial.PREFIXES for bound in (prefix, prefix[:-1] + "0")]
        return self._runs("WHERE (job > ? AND job < ?) OR (job > ? AND job < ?)", tuple(bounds))

    def forget(self, run: RunRecord) -> None:
        with self._database.write() as connection:
            claims.forget(connection, run)
        self._pruner.touched(run.job)

    def update_run(self, run: RunRecord, slot: SlotRecord | None = None) -> None:
        with self._database.write() as connection:
            claims.update(connection, run, slot)
        self._pruner.touched(run.job)

    def run(self, run_id: str) -> RunRecord | None:
        return next(iter(self._runs("WHERE run_id = ?", (run_id,))), None)

    def keyed(self, job: str, key: str) -> RunRecord | None:
        """The first run that was asked for with this idempotency key."""
        found = self._runs("WHERE job = ? AND key = ? AND key <> '' AND attempt = 1 LIMIT 1", (job, key))
        return next(iter(found), None)

    def last_success(self, job: str) -> datetime | None:
        """A run that was asked for at an instant of its own counts for that instant."""
        found = self._database.rows(claims.LAST_SUCCESS, (job, "~"))
        return rows.optional_instant(found[0][0] if found else None)

    def cells(self, job: str, slot: datetime) -> Sequence[CellState]:
        """In order of their numbers."""
        found = self._database.rows(claims.CELLS, (job, rows.slot_text(slot)))
        with decoding(self._database.path):
            return claims.states(found)

    def active_runs(self) -> Sequence[RunRecord]:
        """Oldest slot first."""
        return self._runs("WHERE open ORDER BY slot, cell, attempt", ())

    def runs(self, job: str | None = None, *, limit: int = 50, before: datetime | None = None,
             failed: bool = False, fold: bool = False) -> Sequence[RunRecord]:  # fmt: skip
        """`before` is exclusive."""
        return self._runs(*claims.listing(job, _bounded(limit), before, failed=failed, fold=fold))

    def of_slot(self, job: str, slot: datetime) -> Sequence[RunRecord]:
        """In order of cells, then attempts."""
        return self._runs("WHERE job = ? AND slot = ? ORDER BY cell, attempt", (job, rows.slot_text(slot)))

    def run_env(self, job: str, slot: datetime) -> tuple[datetime | None, datetime | None]:
        """Manual runs count as well: their data are as good."""
        earlier = (
            "SELECT max(slot) FROM runs WHERE job = ?1 AND slot < ?2 AND replays IS NULL AND started_at IS NOT NULL"
        )
        found = self._database.rows(f"SELECT ({earlier}), ({claims.LAST_SUCCESS})", (job, rows.slot_text(slot)))
        return rows.optional_instant(found[0][0]), rows.optional_instant(found[0][1])

    # -- slots ------------------------------------------------------------------------------------------------
    def slots(self, job: str, *, limit: int = 50, before: datetime | None = None) -> Sequence[SlotRecord]:
        """Those that have ended, newest first; `before` (exclusive) is compared with a range's first slot."""
        found = self._database.rows(
            """SELECT job, first, last, count, disposition, reason, run_id, decided FROM slots
                WHERE job = ? AND disposition IS NOT NULL AND first < ? ORDER BY first DESC LIMIT ?""",
            (job, rows.slot_text(before) if before else "~", _bounded(limit)),
        )
        return self._decoded(rows.slot_from, found)

    # -- operators --------------------------------------------------------------------------------------------
    def pauses(self) -> Sequence[Pause]:
        found = self._database.rows("SELECT job, since, until, reason, actor FROM pauses ORDER BY job")
        return self._decoded(rows.pause_from, found)

    def put_pause(self, pause: Pause) -> None:
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO pauses (job, since, until, reason, actor) VALUES (?, ?, ?, ?, ?)",
                rows.pause_row(pause),
            )

    def drop_pause(self, job: str) -> bool:
        with self._database.write() as connection:
            return connection.execute("DELETE FROM pauses WHERE job = ?", (job,)).rowcount > 0

    def approve(self, plan_digest: str, actor: str, at: datetime, why: str) -> None:
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO approvals (digest, actor, at, why) VALUES (?, ?, ?, ?)",
                (plan_digest, actor, rows.instant_text(at), why),
            )

    def spend_approval(self, digest: str) -> None:
        with self._database.write() as connection:
            connection.execute("DELETE FROM approvals WHERE digest = ?", (digest,))

    def approvals(self) -> Mapping[str, str]:
        return {row[0]: row[1] for row in self._database.rows("SELECT digest, actor FROM approvals")}

    # -- events, retention, health ----------------------------------------------------------------------------
    def add_events(self, events: Iterable[Event]) -> None:
        values = [rows.event_row(event) for event in events]
        if values:
            with self._database.write() as connection:
                connection.executemany("INSERT INTO events (name, at, job, run, fields) VALUES (?, ?, ?, ?, ?)", values)
            for value in values:
                self._pruner.touched(value[2])

    def events(self, *, job: str | None = None, run: str | None = None, limit: int = 100) -> Sequence[Event]:
        """Newest first."""
        given = {"job": job, "run": run}
        terms = [f"{column} = ?" for column, value in given.items() if value is not None]
        where = f"WHERE {' AND '.join(terms)} " if terms else ""
        found = self._database.rows(
            f"SELECT name, at, job, run, fields FROM events {where}ORDER BY id DESC LIMIT ?",  # noqa: S608
            (*(value for value in given.values() if value is not None), _bounded(limit)),
        )
        return [event for event in self._decoded(rows.event_from, found) if event is not None]

    def prune(self, now: datetime) -> Sequence[RunRecord]:
        """As `Pruner.prune`. Also folds the WAL away."""
        found = self._pruner.prune(now, self._standing.get() or {})
        with contextlib.suppress(StateError):  # a saving of time only; what is wrong shows at the next commit
            self._database.checkpoint()
        return found

    def close(self) -> None:
        self._database.close()

    # -- parts ------------------------------------------------------------------------------------------------
    def _runs(self, tail: str, values: Sequence[Any] | dict[str, Any]) -> list[RunRecord]:
        return self._decoded(rows.run_from, self._database.rows(f"{claims.SELECT} {tail}", values))

    def _decoded(self, decode: Callable[[Any], T], found: Iterable[Any]) -> list[T]:
        with decoding(self._database.path):
            return [decode(row) for row in found]


def _record(connection: sqlite3.Connection, job: str, cursor: datetime | None, ended: Iterable[SlotRecord]) -> None:
    for slot in ended:
        slots.record_slot(connection, slot)
    if cursor is not None:
        standing.advance(connection, job, cursor)


def _bounded(limit: int) -> int:
    return max(0, min(limit, LIST_LIMIT))
