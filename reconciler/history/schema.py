"""The tables of the ledger and how an older file becomes a newer one. In: an open connection; out: the same, migrated.

Instants are text in UTC of fixed width, so that text order is time order: slots with milliseconds
(`2026-11-24T02:00:00.000Z`), everything else with microseconds.
"""

import sqlite3
from collections.abc import Sequence

from ..model.errors import StateError

APPLICATION_ID = 0x52434E43  # in the file's header: tells our file from any other SQLite file

_RUNS_1 = """run_id, job, slot, attempt, trigger, actor, digest, revision, phase, claimed_at, deadline, replaces,
    retry_at, tries, ref, image_id, image_digest, prepared_at, start_requested_at, started_at, stop_requested_at,
    stop_reason, finished_at, exit_code, failure, reason, peak_memory, cpu_seconds, log, log_bytes, collected,
    discarded, superseded_by, unstarted"""

_V1 = (
    """CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID""",
    # A spec is kept as long as a standing job or a run refers to it. `crc` is of `body`: see rows.py.
    """CREATE TABLE specs (digest TEXT PRIMARY KEY, body TEXT NOT NULL, crc INTEGER NOT NULL) STRICT""",
    """CREATE TABLE standing (
        name TEXT PRIMARY KEY, digest TEXT NOT NULL REFERENCES specs (digest), revision TEXT NOT NULL,
        path TEXT NOT NULL, applied_at TEXT NOT NULL, cursor TEXT NOT NULL, anchor TEXT NOT NULL, ref TEXT NOT NULL,
        image_id TEXT NOT NULL, image_digest TEXT NOT NULL, forbidden TEXT NOT NULL,
        retiring INTEGER NOT NULL CHECK (retiring IN (0, 1))
    ) STRICT""",
    """CREATE INDEX standing_digest ON standing (digest)""",
    """CREATE TABLE runs (
        run_id TEXT PRIMARY KEY, job TEXT NOT NULL, slot TEXT NOT NULL, attempt INTEGER NOT NULL CHECK (attempt >= 1),
        trigger TEXT NOT NULL, actor TEXT NOT NULL, digest TEXT NOT NULL, revision TEXT NOT NULL, phase TEXT NOT NULL,
        claimed_at TEXT NOT NULL, deadline TEXT, replaces TEXT NOT NULL, retry_at TEXT, tries INTEGER NOT NULL,
        ref TEXT NOT NULL, image_id TEXT NOT NULL, image_digest TEXT NOT NULL, prepared_at TEXT,
        start_requested_at TEXT, started_at TEXT, stop_requested_at TEXT, stop_reason TEXT NOT NULL, finished_at TEXT,
        exit_code INTEGER, failure TEXT NOT NULL, reason TEXT NOT NULL, peak_memory INTEGER, cpu_seconds REAL,
        log TEXT NOT NULL, log_bytes INTEGER NOT NULL, collected INTEGER NOT NULL CHECK (collected IN (0, 1)),
        discarded INTEGER NOT NULL CHECK (discarded IN (0, 1)), superseded_by TEXT NOT NULL, unstarted INTEGER NOT NULL,
        open INTEGER GENERATED ALWAYS AS (
            phase IN ('pending', 'preparing', 'starting', 'running', 'stopping') OR NOT collected OR NOT discarded
        ) VIRTUAL,
        UNIQUE (job, slot, attempt)
    ) STRICT""",
    """CREATE INDEX runs_slot ON runs (slot, attempt)""",
    """CREATE INDEX runs_open ON runs (slot, attempt) WHERE open""",
    """CREATE INDEX runs_digest ON runs (digest)""",
    # One row per slot, or per range of adjacent slots that ended alike. disposition NULL = claimed, not yet ended.
    # A manual slot is an instant of its own and may lie inside a range of scheduled ones.
    """CREATE TABLE slots (
        job TEXT NOT NULL, first TEXT NOT NULL, last TEXT NOT NULL, count INTEGER NOT NULL CHECK (count >= 1),
        disposition TEXT, reason TEXT NOT NULL, run_id TEXT NOT NULL, manual INTEGER NOT NULL CHECK (manual IN (0, 1)),
        PRIMARY KEY (job, first), CHECK (first <= last), CHECK ((count = 1) = (first = last))
    ) STRICT, WITHOUT ROWID""",
    # Ranges never overlap, so the latest one that begins at or before the new one's end is the only candidate.
    """CREATE TRIGGER slots_disjoint_insert BEFORE INSERT ON slots WHEN NOT NEW.manual AND (
        SELECT last FROM slots WHERE job = NEW.job AND first <= NEW.last AND NOT manual ORDER BY first DESC LIMIT 1
    ) >= NEW.first BEGIN SELECT RAISE(ABORT, 'a slot has one disposition'); END""",
    """CREATE TRIGGER slots_disjoint_update BEFORE UPDATE OF job, first, last ON slots WHEN NOT NEW.manual AND (
        SELECT last FROM slots WHERE job = NEW.job AND first <= NEW.last AND NOT manual
            AND NOT (job = OLD.job AND first = OLD.first) ORDER BY first DESC LIMIT 1
    ) >= NEW.first BEGIN SELECT RAISE(ABORT, 'a slot has one disposition'); END""",
    """CREATE TABLE intents (
        id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, at TEXT NOT NULL, detail TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE pauses (
        job TEXT PRIMARY KEY, since TEXT NOT NULL, until TEXT, reason TEXT NOT NULL, actor TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE approvals (
        digest TEXT PRIMARY KEY, actor TEXT NOT NULL, at TEXT NOT NULL, why TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE events (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, at TEXT NOT NULL, job TEXT NOT NULL, run TEXT NOT NULL,
        fields TEXT NOT NULL
    ) STRICT""",
    """CREATE INDEX events_job ON events (job, id)""",
    """CREATE INDEX events_run ON events (run, id)""",
)

# Cells: a slot may have several runs, told apart by `cell` (-1 = the only one). What UNIQUE says of a table can only be
# changed by making it anew.
_V2 = (
    """CREATE TABLE runs_2 (
        run_id TEXT PRIMARY KEY, job TEXT NOT NULL, slot TEXT NOT NULL, attempt INTEGER NOT NULL CHECK (attempt >= 1),
        trigger TEXT NOT NULL, actor TEXT NOT NULL, digest TEXT NOT NULL, revision TEXT NOT NULL, phase TEXT NOT NULL,
        claimed_at TEXT NOT NULL, deadline TEXT, replaces TEXT NOT NULL, retry_at TEXT, tries INTEGER NOT NULL,
        ref TEXT NOT NULL, image_id TEXT NOT NULL, image_digest TEXT NOT NULL, prepared_at TEXT,
        start_requested_at TEXT, started_at TEXT, stop_requested_at TEXT, stop_reason TEXT NOT NULL, finished_at TEXT,
        exit_code INTEGER, failure TEXT NOT NULL, reason TEXT NOT NULL, peak_memory INTEGER, cpu_seconds REAL,
        log TEXT NOT NULL, log_bytes INTEGER NOT NULL, collected INTEGER NOT NULL CHECK (collected IN (0, 1)),
        discarded INTEGER NOT NULL CHECK (discarded IN (0, 1)), superseded_by TEXT NOT NULL, unstarted INTEGER NOT NULL,
        cell INTEGER NOT NULL DEFAULT -1 CHECK (cell >= -1), cells INTEGER NOT NULL DEFAULT 0,
        parameters TEXT NOT NULL DEFAULT '[]', key TEXT NOT NULL DEFAULT '', replays TEXT,
        cause TEXT NOT NULL DEFAULT '', devices TEXT NOT NULL DEFAULT '[]', hold_until TEXT,
        open INTEGER GENERATED ALWAYS AS (
            phase IN ('pending', 'preparing', 'starting', 'running', 'stopping') OR NOT collected OR NOT discarded
        ) VIRTUAL,
        UNIQUE (job, slot, cell, attempt)
    ) STRICT""",
    f"INSERT INTO runs_2 ({_RUNS_1}) SELECT {_RUNS_1} FROM runs",  # noqa: S608 - column names of our own
    "DROP TABLE runs",
    "ALTER TABLE runs_2 RENAME TO runs",
    """CREATE INDEX runs_slot ON runs (slot, cell, attempt)""",
    """CREATE INDEX runs_open ON runs (slot, cell, attempt) WHERE open""",
    """CREATE INDEX runs_digest ON runs (digest)""",
    """CREATE UNIQUE INDEX runs_key ON runs (job, key) WHERE key <> '' AND attempt = 1 AND cell <= 0""",
)

# Which file of the repository a job lives in: of one name under two `paths`, the path below them is the same (rule D1).
_V3 = ("""ALTER TABLE standing ADD COLUMN full_path TEXT NOT NULL DEFAULT ''""",)
_V4 = (
    """ALTER TABLE slots ADD COLUMN decided TEXT""",
    # Who said what a definition says, and where: of each that `specs` has, since this version.
    """CREATE TABLE origins (
        digest TEXT PRIMARY KEY, revision TEXT NOT NULL, author TEXT NOT NULL, committed_at REAL NOT NULL,
        subject TEXT NOT NULL, path TEXT NOT NULL, places TEXT NOT NULL
    ) STRICT""",
)

# A key is carried by the first cell of its slot alone, whatever that cell's number.
_V5 = (
    """ALTER TABLE runs ADD COLUMN max_parallel INTEGER NOT NULL DEFAULT 0""",
    """DROP INDEX runs_key""",
    """CREATE UNIQUE INDEX runs_key ON runs (job, key) WHERE key <> '' AND attempt = 1""",
)

# The commits of the code that a run had.
_V6 = ("""ALTER TABLE runs ADD COLUMN code TEXT NOT NULL DEFAULT '[]'""",)

Migration = Sequence[str]
# Append only; the index of the last one is the version.
MIGRATIONS: tuple[Migration, ...] = (_V1, _V2, _V3, _V4, _V5, _V6)


def version_of(connection: sqlite3.Connection) -> int:
    """The file's schema version; 0 = no tables of ours yet."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def check_version(connection: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Raises StateError `state-version` if a newer release has written this file."""
    found = version_of(connection)
    if found > len(migrations):
        raise StateError(
            f"cannot read the ledger: it has schema version {found}, this release knows {len(migrations)}",
            code="state-version",
            hint="install the release that wrote it, or a newer one; going back needs the back-up from before",
        )


def check_current(connection: sqlite3.Connection) -> None:
    """For readers, who may not migrate. Raises StateError `state-version` if the file is not of this very version."""
    check_version(connection)
    found = version_of(connection)
    if found < len(MIGRATIONS):
        raise StateError(
            f"cannot read the ledger: it has schema version {found}, this release reads {len(MIGRATIONS)}",
            code="state-version",
            hint="the service brings it up to date when it starts: systemctl restart reconciler",
        )


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring the file to the newest version, one transaction per version. Raises StateError, sqlite3.Error."""
    check_version(connection, migrations)
    for version in range(version_of(connection), len(migrations)):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in migrations[version]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version + 1:d}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
