"""Promise: the ledger keeps who said a definition, where, and when a slot was decided; an older one loses nothing."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.history.schema import MIGRATIONS, migrate
from reconciler.history.sqlite import SqliteHistory, open_history
from reconciler.model.desired import Commit
from reconciler.model.errors import InvariantBroken, StateError
from reconciler.model.job import Location
from reconciler.model.origin import Origin
from reconciler.model.run import Disposition
from tests.kit.ledger import DAY, MINUTE, T0, a_job, a_run, a_slot, a_spec, ended, prune_all

COMMIT = Commit("41d7a90" + "0" * 33, "Cleo Baum", 1764169320.5, 'say "hello"')
PLACES = {"schedule": Location("web/etl.yaml", 4), "timezone": Location("_defaults.yaml", 1, inherited=True)}
ORIGIN = Origin("d1", COMMIT, "web/etl.yaml", PLACES)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[SqliteHistory]:
    opened = open_history(tmp_path / "ledger.db")
    yield opened
    opened.close()


def test_where_a_definition_comes_from_is_kept_and_said_anew_by_a_later_commit(history: SqliteHistory) -> None:
    assert history.origin("d1") is None
    history.put_origin(ORIGIN)
    assert history.origin("d1") == ORIGIN
    later = replace(ORIGIN, commit=replace(COMMIT, id="f" * 40), places={})
    history.put_origin(later)
    assert history.origin("d1") == later


def test_origins_go_with_the_definition_they_speak_of(history: SqliteHistory) -> None:
    history.put_standing(a_job(digest="d1"))
    history.put_standing(a_job(digest="d2", spec=a_spec(image="x")))
    for digest in ("d1", "d2"):
        history.put_origin(replace(ORIGIN, digest=digest))
    prune_all(history, T0)
    assert [history.origin(digest) is not None for digest in ("d1", "d2")] == [False, True]


def test_T5_a_slot_says_when_it_was_decided_and_a_range_when_its_last_was(history: SqliteHistory) -> None:
    def decided(minute: int) -> None:
        at = T0 + minute * MINUTE
        history.set_cursor("etl", at, [replace(a_slot(at), decided_at=at + timedelta(milliseconds=12))])

    decided(1)
    (row,) = history.slots("etl")
    assert row.decided_at == T0 + timedelta(minutes=1, milliseconds=12)
    decided(2)
    (row,) = history.slots("etl")
    assert (row.count, row.decided_at) == (2, T0 + timedelta(minutes=2, milliseconds=12))


def test_an_older_ledger_is_refused_to_readers_and_brought_up_to_date_by_the_service(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    open_history(path).close()
    path.unlink()
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute(f"PRAGMA application_id = {0x52434E43:d}")
    migrate(raw, MIGRATIONS[:1])
    raw.execute("INSERT INTO meta (key, value) VALUES ('instance_id', 'abc')")
    raw.execute(
        """INSERT INTO slots (job, first, last, count, disposition, reason, run_id, manual)
            VALUES ('etl', '2026-11-24T02:00:00.000Z', '2026-11-24T02:00:00.000Z', 1, 'missed', 'late', '', 0)"""
    )
    raw.close()
    with pytest.raises(StateError) as caught:
        open_history(path, read_only=True)
    assert caught.value.code == "state-version"
    assert "restart" in caught.value.hint
    history = open_history(path)
    assert history.slots("etl") == [a_slot(T0, disposition=Disposition.MISSED, reason="late")]
    history.put_origin(ORIGIN)
    history.claim(ended(a_run(T0 + DAY)))
    history.close()
    reader = open_history(path, read_only=True)
    assert reader.origin("d1") == ORIGIN
    reader.close()


def test_nothing_of_a_joint_write_stays_when_sqlite_has_given_it_up(history: SqliteHistory, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as other, other:
        other.execute("""CREATE TRIGGER fault BEFORE INSERT ON meta WHEN NEW.key = 'second'
            BEGIN SELECT RAISE(ROLLBACK, 'as a full disk may'); END""")
    with pytest.raises(InvariantBroken), history.together():
        history.set_meta("first", "x")
        for key in ("second", "third"):
            with pytest.raises(InvariantBroken):
                history.set_meta(key, "x")
    assert [history.get_meta(key) for key in ("first", "second", "third")] == [None] * 3
    history.set_meta("later", "x")
    assert history.get_meta("later") == "x"
