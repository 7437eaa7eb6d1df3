"""What ages out, a bounded piece of work at a time (rules T5, R7: failures are kept longer than successes)."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta

from ..model.job import HistoryLimits
from ..model.run import RunRecord
from .rows import RUN_COLUMNS, instant_text, run_from, slot_text, spec_from

JOBS_PER_CALL = 200
RUNS_PER_CALL = 1_000
SLOT_ROWS_PER_JOB = 1_500  # a day of a job that fires each minute, whatever `keep_for` says
EVENTS_IN_ALL = 200_000
_ROWS_PER_STATEMENT = 5_000
_DEFAULTS = HistoryLimits()

# Steps from name to name by the indices instead of reading every slot. '~' is after all job names.
_JOBS = """WITH RECURSIVE names (name) AS (
        SELECT :after UNION ALL SELECT nullif(min(
            coalesce((SELECT min(name) FROM standing WHERE name > names.name), '~'),
            coalesce((SELECT min(job) FROM runs WHERE job > names.name), '~'),
            coalesce((SELECT min(job) FROM slots WHERE job > names.name), '~')
        ), '~') FROM names WHERE name IS NOT NULL LIMIT :count + 1
    ) SELECT name FROM names WHERE name IS NOT NULL LIMIT -1 OFFSET 1"""
_LIMITS = """SELECT body, crc FROM specs WHERE digest = coalesce((SELECT digest FROM standing WHERE name = ?1),
    (SELECT digest FROM runs WHERE job = ?1 ORDER BY slot DESC, attempt DESC LIMIT 1))"""
# The cells of a slot count once, as a failure if any has failed, and age out when none has work left.
# The newest success stays whatever its age: RECONCILER_PREVIOUS_SUCCESS is how far a job's data go.
_SURPLUS = f"""SELECT {", ".join(RUN_COLUMNS)} FROM (
        SELECT *, dense_rank() OVER (PARTITION BY good ORDER BY slot DESC, CASE WHEN cell < 0 THEN attempt END DESC)
            AS place FROM (
                SELECT *, CASE WHEN cell < 0 THEN phase = 'succeeded'
                    ELSE min(phase = 'succeeded' OR superseded_by <> '') OVER whole END AS good,
                    CASE WHEN cell < 0 THEN open ELSE max(open) OVER whole END AS busy
                FROM runs WHERE job = :job WINDOW whole AS (PARTITION BY slot, cell >= 0)
            ) WHERE NOT busy
    ) WHERE (good AND (place > max(1, :keep_success) OR (slot < :oldest AND place > 1)))
        OR (NOT good AND (place > :keep_failed OR slot < :oldest))
    ORDER BY slot, cell, attempt LIMIT :limit"""  # noqa: S608 - column names of our own
_OLD_SLOTS = """DELETE FROM slots WHERE job = :job AND disposition IS NOT NULL AND (last < :oldest OR first <= (
        SELECT first FROM slots WHERE job = :job ORDER BY first DESC LIMIT 1 OFFSET :rows
    ))"""


def next_jobs(connection: sqlite3.Connection, after: str) -> list[str]:
    """The next JOBS_PER_CALL names after `after` that have rows; fewer = the round is complete."""
    return [row[0] for row in connection.execute(_JOBS, {"after": after, "count": JOBS_PER_CALL})]


def drop_runs(connection: sqlite3.Connection, run_ids: Sequence[str]) -> None:
    connection.executemany("DELETE FROM runs WHERE run_id = ?", [(run_id,) for run_id in run_ids])


def prune_job(
    connection: sqlite3.Connection, job: str, now: datetime, room: int, limits: HistoryLimits | None
) -> Sequence[RunRecord]:
    """Drop the slots and events of `job` that are too old; return the runs that it has in excess, at most `room`.
    Runs that are active or not yet collected are none of them. `limits` None = decode them from what is stored."""
    if limits is None:
        found = connection.execute(_LIMITS, (job,)).fetchone()
        limits = spec_from(*found).history if found else _DEFAULTS
    oldest = now - timedelta(seconds=limits.keep_for)
    values = {
        "job": job, "keep_success": limits.keep_success, "keep_failed": limits.keep_failed, "limit": room,
        "oldest": slot_text(oldest), "rows": SLOT_ROWS_PER_JOB,
    }  # fmt: skip
    connection.execute(_OLD_SLOTS, values)
    connection.execute("DELETE FROM events WHERE job = ? AND at < ?", (job, instant_text(oldest)))
    return [run_from(row) for row in connection.execute(_SURPLUS, values)]


def prune_rest(connection: sqlite3.Connection, now: datetime) -> None:
    """Once a round: events of the service itself, approvals, and specs that nothing refers to any more."""
    oldest = instant_text(now - timedelta(seconds=_DEFAULTS.keep_for))
    connection.execute("DELETE FROM events WHERE job = '' AND at < ?", (oldest,))
    connection.execute(
        "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE id <= (SELECT max(id) FROM events) - ? LIMIT ?)",
        (EVENTS_IN_ALL, _ROWS_PER_STATEMENT),
    )
    connection.execute("DELETE FROM approvals WHERE at < ?", (oldest,))
    connection.execute(
        """DELETE FROM specs WHERE NOT EXISTS (SELECT 1 FROM standing WHERE standing.digest = specs.digest)
            AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.digest = specs.digest)"""
    )
    connection.execute("DELETE FROM origins WHERE NOT EXISTS (SELECT 1 FROM specs WHERE specs.digest = origins.digest)")
