"""Pruning costs an idle fleet nothing, and misses nothing: new rows at once, old ones in the next round."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.history.database import Database
from reconciler.history.pruning import ROUND_AFTER, Pruner
from reconciler.history.sqlite import SqliteHistory, open_history
from reconciler.model.event import Event, EventName
from reconciler.model.job import HistoryLimits, JobSpec, Schedule, ScheduleKind
from reconciler.model.live import StandingJob

NOW = datetime(2026, 11, 24, 2, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[SqliteHistory]:
    made = open_history(tmp_path / "reconciler.db")
    schedule, kept = Schedule(ScheduleKind.MANUAL), HistoryLimits(keep_for=DAY.total_seconds())
    spec = JobSpec("etl", "default", schedule, "busybox:1", history=kept)
    made.put_standing(StandingJob("etl", spec, "d" * 64, "r", "etl.yaml", NOW, NOW, NOW))
    while made.prune(NOW):
        pass
    made.prune(NOW)
    yield made
    made.close()


def told(history: SqliteHistory, at: datetime) -> None:
    history.add_events([Event(EventName.JOB_HELD, at, "etl")])


def test_T5_rows_that_are_too_old_already_go_at_once(history: SqliteHistory) -> None:
    told(history, NOW - 2 * DAY)
    history.prune(NOW)
    assert history.events(job="etl") == []


def test_T5_rows_that_grow_old_by_themselves_go_in_the_next_round(history: SqliteHistory) -> None:
    told(history, NOW - DAY)
    history.prune(NOW)
    assert len(history.events(job="etl")) == 1
    history.prune(NOW + ROUND_AFTER)
    assert history.events(job="etl") == []


class Watched(Database):
    """Counts its transactions."""

    writes = 0

    def write(self, committed: Callable[[], None] | None = None) -> AbstractContextManager[sqlite3.Connection]:  # type: ignore[override]
        self.writes += 1
        return super().write(committed)


def test_an_idle_ledger_is_not_even_read_between_two_rounds(history: SqliteHistory, tmp_path: Path) -> None:
    database = Watched(tmp_path / "reconciler.db")
    pruner = Pruner(database)
    pruner.prune(NOW, {})
    first = database.writes
    pruner.prune(NOW + ROUND_AFTER / 2, {})
    assert (first, database.writes) == (1, 1)
    pruner.touched("etl")
    pruner.prune(NOW + ROUND_AFTER / 2, {})
    assert database.writes == 2
    pruner.prune(NOW + ROUND_AFTER / 2, {})
    assert database.writes == 2
    database.close()


def test_T5_a_clock_that_was_set_back_does_not_put_the_next_round_off(history: SqliteHistory) -> None:
    told(history, NOW - 3 * DAY)
    told(history, NOW - 5 * DAY)
    history.prune(NOW - 10 * DAY)
    assert len(history.events(job="etl")) == 2
    history.prune(NOW - 10 * DAY)
    history.prune(NOW - 2 * DAY - timedelta(hours=1))
    assert len(history.events(job="etl")) == 1
