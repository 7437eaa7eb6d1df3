"""Promise: a lost, damaged or foreign state is told as such and never taken for a first start; one process holds it."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.history import files, opening
from reconciler.history.identity import Identity, load_or_create
from reconciler.history.lock import InstanceLock
from reconciler.history.opening import open_for_writing
from reconciler.history.schema import MIGRATIONS, migrate
from reconciler.history.sqlite import open_history
from reconciler.history.takeover import TAKEOVER_FROM, takeover
from reconciler.model.errors import AlreadyRunning, StateError
from tests.kit.ledger import T0, a_job, a_run
from tests.kit.nobody import NOBODY, ROOT, needs_root, open_to_all, run_as_nobody

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def database(state: Path) -> Path:
    return state / files.DATABASE


def lived_in(state: Path) -> Identity:
    """A state directory in which an instance has worked and was stopped in order."""
    identity = load_or_create(state, "db1")
    history = open_history(database(state))
    history.put_standing(a_job())
    history.claim(a_run())
    history.close()
    return identity


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises((StateError, AlreadyRunning)) as caught:
        call()
    assert str(caught.value).startswith("cannot ")
    assert caught.value.hint
    return caught.value.code


# -- first start --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("first", ["identity", "history"])
def test_a_first_start_works_in_either_order(state: Path, first: str) -> None:
    if first == "history":
        open_history(database(state)).close()
    identity = load_or_create(state, "db1")
    history = open_history(database(state))
    assert history.get_meta("instance_id") == identity.instance_id
    history.close()
    assert load_or_create(state, "db1") == identity
    assert len(identity.key) == 32


def test_a_first_start_that_was_cut_short_is_finished_by_the_next(state: Path) -> None:
    """The database is made whole beside and renamed; the identity follows it."""
    opening.create(*_prepared(state))
    (state / files.IDENTITY).unlink(missing_ok=True)
    identity = load_or_create(state, "db1")
    assert identity.instance_id == "abc"


def _prepared(state: Path) -> tuple[Path, dict[str, str]]:
    state.mkdir()
    (state / f".{files.DATABASE}.new").write_bytes(b"half of a database")
    return database(state), {"instance_id": "abc"}


def test_the_key_is_for_the_service_alone_and_not_in_a_repr(state: Path) -> None:
    identity = lived_in(state)
    assert (state / files.IDENTITY).stat().st_mode & 0o777 == 0o600
    assert database(state).stat().st_mode & 0o777 == 0o640
    assert identity.key.hex() not in repr(identity)


# -- lost, damaged, foreign ---------------------------------------------------------------------------------------
def test_P2_another_instances_directory_is_refused(state: Path) -> None:
    lived_in(state)
    assert code_of(lambda: load_or_create(state, "db2")) == "instance-changed"


def test_P2_a_lost_identity_names_takeover(state: Path) -> None:
    lived_in(state)
    (state / files.IDENTITY).unlink()
    with pytest.raises(StateError) as caught:
        load_or_create(state, "db1")
    assert caught.value.code == "identity-lost"
    assert "reconciler takeover db1" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b"[1]", b'{"instance": "db1"'])
def test_a_damaged_identity_is_told(state: Path, content: bytes) -> None:
    lived_in(state)
    (state / files.IDENTITY).write_bytes(content)
    assert code_of(lambda: load_or_create(state, "db1")) == "identity-corrupt"


def test_a_flipped_bit_in_the_key_is_noticed(state: Path) -> None:
    """With a wrong key nothing on the engine would be ours any more."""
    identity = lived_in(state)
    path = state / files.IDENTITY
    flipped = identity.key.hex()
    flipped = ("0" if flipped[0] != "0" else "1") + flipped[1:]
    path.write_text(path.read_text().replace(identity.key.hex(), flipped))
    assert code_of(lambda: load_or_create(state, "db1")) == "identity-corrupt"


@pytest.mark.parametrize("read_only", [False, True], ids=["service", "reader"])
@pytest.mark.parametrize("left", ["nothing", "zero bytes"])
def test_a_missing_or_empty_database_is_never_a_first_start(state: Path, left: str, read_only: bool) -> None:
    lived_in(state)
    database(state).unlink()
    if left == "zero bytes":
        database(state).touch()
    assert code_of(lambda: open_history(database(state), read_only=read_only)) == "state-lost"
    assert files.size_of(database(state)) == (0 if left == "zero bytes" else None), "it was not made anew"


def test_an_empty_database_without_an_identity_is_not_a_first_start_either(state: Path) -> None:
    state.mkdir()
    database(state).touch()
    assert code_of(lambda: open_history(database(state))) == "state-lost"
    assert code_of(lambda: load_or_create(state, "db1")) == "state-lost"


def test_a_write_ahead_log_without_its_database_is_told(state: Path) -> None:
    state.mkdir()
    files.sidecars(database(state))[0].write_bytes(b"x" * 100)
    assert code_of(lambda: open_history(database(state))) == "state-lost"


def test_no_state_at_all_is_told_to_a_reader(state: Path) -> None:
    assert code_of(lambda: open_history(database(state), read_only=True)) == "state-absent"


def test_a_file_that_is_no_database_is_told_and_left_alone(state: Path) -> None:
    state.mkdir()
    database(state).write_text("my notes\n" * 1000)
    assert code_of(lambda: open_history(database(state))) == "state-corrupt"
    assert code_of(lambda: open_history(database(state), read_only=True)) == "state-corrupt"
    assert database(state).read_text() == "my notes\n" * 1000


def test_a_database_of_another_program_is_told_and_left_alone(state: Path) -> None:
    state.mkdir()
    foreign = sqlite3.connect(database(state))
    foreign.execute("CREATE TABLE bookmarks (url TEXT)")
    foreign.commit()
    foreign.close()
    assert code_of(lambda: open_history(database(state))) == "state-corrupt"
    foreign = sqlite3.connect(database(state))
    assert foreign.execute("SELECT name FROM sqlite_master").fetchall() == [("bookmarks",)]
    foreign.close()


def test_files_of_two_back_ups_do_not_mix(tmp_path: Path) -> None:
    lived_in(tmp_path / "a")
    lived_in(tmp_path / "b")
    (tmp_path / "a" / files.IDENTITY).rename(tmp_path / "b" / files.IDENTITY)
    assert code_of(lambda: open_history(database(tmp_path / "b"))) == "state-mismatch"


def test_a_directory_where_the_database_should_be_is_a_clear_error(state: Path) -> None:
    database(state).mkdir(parents=True)
    assert code_of(lambda: open_history(database(state))) in ("state-io", "state-corrupt", "state-unreadable")


def test_a_spec_whose_text_was_damaged_is_never_handed_out(state: Path) -> None:
    lived_in(state)
    raw = sqlite3.connect(database(state))
    raw.execute("UPDATE specs SET body = replace(body, 'busybox:1', 'busybox:2')")
    raw.commit()
    raw.close()
    history = open_history(database(state))
    assert code_of(history.standing) == "state-corrupt"
    assert code_of(lambda: history.spec("d1")) == "state-corrupt"
    history.close()


@pytest.mark.parametrize("column", ["phase", "claimed_at", "slot"])
def test_a_row_that_does_not_decode_is_corruption_not_a_traceback(state: Path, column: str) -> None:
    lived_in(state)
    raw = sqlite3.connect(database(state))
    raw.execute(f"UPDATE runs SET {column} = 'garbled'")
    raw.commit()
    raw.close()
    history = open_history(database(state))
    assert code_of(history.runs) == "state-corrupt"
    history.close()


# -- versions -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("read_only", [False, True], ids=["service", "reader"])
def test_a_newer_releases_database_is_refused_untouched(state: Path, read_only: bool) -> None:
    lived_in(state)
    raw = sqlite3.connect(database(state))
    raw.execute("PRAGMA user_version = 999")
    raw.close()
    assert code_of(lambda: open_history(database(state), read_only=read_only)) == "state-version"


def test_a_ledger_of_the_first_version_keeps_its_runs(state: Path) -> None:
    lived_in(state)
    raw = sqlite3.connect(database(state), isolation_level=None)
    now = raw.execute("SELECT * FROM runs ORDER BY run_id").fetchall()
    names = [row[1] for row in raw.execute("PRAGMA table_info(runs)")]
    new = {"cell", "cells", "parameters", "key", "replays", "cause", "devices", "hold_until", "max_parallel", "code"}
    old = ", ".join(name for name in names if name not in new)
    first = sqlite3.connect(":memory:", isolation_level=None)
    migrate(first, MIGRATIONS[:1])
    kept = raw.execute(f"SELECT {old} FROM runs ORDER BY run_id").fetchall()
    first.execute("PRAGMA foreign_keys = OFF")
    first.executemany(f"INSERT INTO runs ({old}) VALUES ({', '.join('?' * len(old.split(', ')))})", kept)
    migrate(first)
    assert now and first.execute("SELECT * FROM runs ORDER BY run_id").fetchall() == now
    raw.close()
    first.close()


def test_migrations_are_applied_in_order_once_and_whole(state: Path) -> None:
    lived_in(state)
    later = [*MIGRATIONS, ("ALTER TABLE runs ADD COLUMN colour TEXT NOT NULL DEFAULT 'grey'",)]
    broken = [*later, ("CREATE TABLE half (a TEXT)", "not SQL")]
    raw = sqlite3.connect(database(state), isolation_level=None)
    migrate(raw, later)
    migrate(raw, later)
    assert raw.execute("SELECT colour FROM runs").fetchall() == [("grey",)]
    with pytest.raises(sqlite3.OperationalError):
        migrate(raw, broken)
    assert raw.execute("PRAGMA user_version").fetchone() == (len(later),)
    assert raw.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchone() == (0,)
    raw.close()


def test_T5_the_schema_itself_refuses_a_second_disposition(state: Path) -> None:
    lived_in(state)
    raw = sqlite3.connect(database(state))
    insert = """INSERT INTO slots (job, first, last, count, disposition, reason, run_id, manual)
        VALUES ('x', ?, ?, ?, 'missed', '', '', 0)"""
    raw.execute(insert, ("2026-01-01", "2026-01-05", 5))
    for first, last, count in [
        ("2026-01-01", "2026-01-01", 1), ("2026-01-03", "2026-01-03", 1), ("2026-01-05", "2026-01-09", 5),
        ("2025-12-31", "2026-01-01", 2), ("2025-12-01", "2026-02-01", 60),
    ]:  # fmt: skip
        with pytest.raises(sqlite3.IntegrityError):
            raw.execute(insert, (first, last, count))
    raw.execute(insert, ("2026-01-06", "2026-01-06", 1))
    with pytest.raises(sqlite3.IntegrityError):
        raw.execute("UPDATE slots SET last = '2026-01-06', count = 6 WHERE job = 'x' AND first = '2026-01-01'")
    raw.close()


def test_the_tables_are_strict_and_durable(state: Path) -> None:
    opened = open_for_writing(database(state))
    with opened.write() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        tables = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        assert [name for name, sql in tables if "STRICT" not in sql] == []
    opened.close()


# -- readers ------------------------------------------------------------------------------------------------------
def test_a_reader_sees_what_a_writing_service_has_committed(state: Path) -> None:
    lived_in(state)
    writer = open_history(database(state))
    reader = open_history(database(state), read_only=True)
    writer.put_standing(a_job("other", digest="d2"))
    assert set(reader.standing()) == {"etl", "other"}
    writer.set_cursor("etl", NOW)
    assert reader.standing()["etl"].cursor == NOW
    reader.close()
    writer.close()


def test_a_reader_cannot_write(state: Path) -> None:
    lived_in(state)
    reader = open_history(database(state), read_only=True)
    with pytest.raises(StateError) as caught:
        reader.set_meta("a", "b")
    assert caught.value.code == "state-read-only"
    reader.close()


IMPORTS = """
from reconciler.history.sqlite import open_history
from reconciler.model.errors import StateError
import encodings.idna, json
import reconciler.spec.canonical
"""
READ = """
try:
    history = open_history({path!r}, read_only=True)
    print(sorted(history.standing()), len(history.runs()))
    history.close()
except StateError as error:
    print(error.code, bool(error.hint))
"""


def readable(state: Path) -> None:
    """As the unit sets it up: the group may read, and nobody else may write."""
    open_to_all(state)
    for file in state.iterdir():
        if file.name != files.IDENTITY:
            os.chown(file, -1, NOBODY)


@needs_root
def test_a_member_of_the_group_reads_while_nothing_runs(state: Path) -> None:
    """SQLite would want to create files beside the database, which such a reader may not."""
    lived_in(state)
    readable(state)
    before = sorted(os.listdir(state))
    assert run_as_nobody(IMPORTS, READ.format(path=str(database(state)))) == "['etl'] 1"
    assert sorted(os.listdir(state)) == before


@needs_root
def test_a_member_of_the_group_reads_beside_a_running_service(state: Path) -> None:
    lived_in(state)
    writer = open_history(database(state))
    writer.put_standing(a_job("other", digest="d2"))
    readable(state)
    assert run_as_nobody(IMPORTS, READ.format(path=str(database(state)))) == "['etl', 'other'] 1"
    writer.close()


@needs_root
def test_a_member_of_the_group_goes_on_reading_when_the_service_starts_and_stops(state: Path) -> None:
    lived_in(state)
    readable(state)
    steps = """
import sys
history = open_history({path!r}, read_only=True)
for line in sys.stdin:
    print(sorted(history.standing()), flush=True)
"""
    drop = f"import os; os.setgroups([]); os.setresgid(*[{NOBODY}] * 3); os.setresuid(*[{NOBODY}] * 3)"
    child = subprocess.Popen(
        [sys.executable, "-c", f"{IMPORTS}\n{drop}\n{steps.format(path=str(database(state)))}"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def seen() -> str:
        assert child.stdin and child.stdout
        child.stdin.write("\n")
        child.stdin.flush()
        return child.stdout.readline().strip()

    with child:
        assert seen() == "['etl']"
        writer = open_history(database(state))
        writer.put_standing(a_job("later", digest="d2"))
        readable(state)
        assert seen() == "['etl', 'later']"
        writer.drop_standing("etl")
        assert seen() == "['later']"
        writer.close()
        assert seen() == "['later']"
        assert child.stdin
        child.stdin.close()


@needs_root
def test_a_stranger_is_told_that_he_may_not_read(state: Path) -> None:
    lived_in(state)
    open_to_all(state)
    database(state).chmod(0o600)
    assert run_as_nobody(IMPORTS, READ.format(path=str(database(state)))) == "state-unreadable True"


# -- lock ---------------------------------------------------------------------------------------------------------
def test_one_instance_per_directory_and_the_message_names_the_holder(state: Path) -> None:
    with InstanceLock(state) as lock:
        with pytest.raises(AlreadyRunning, match=f"pid {os.getpid()}") as caught:
            InstanceLock(state)
        assert caught.value.code == "already-running"
        assert lock.held
    InstanceLock(state).close()


def test_deleting_the_lock_file_lets_nobody_in(state: Path) -> None:
    with InstanceLock(state) as lock:
        (state / files.LOCK).unlink()
        assert code_of(lambda: InstanceLock(state)) == "already-running"
        assert lock.held


def test_a_directory_that_was_moved_away_is_noticed(state: Path) -> None:
    with InstanceLock(state) as lock:
        state.rename(state.with_name("moved"))
        assert not lock.held
        state.mkdir()
        assert not lock.held


def test_a_child_process_does_not_hold_the_lock_on(state: Path) -> None:
    """A run's supervisor outlives the service."""
    lock = InstanceLock(state)
    with subprocess.Popen(["sleep", "60"]) as child:
        lock.close()
        InstanceLock(state).close()
        child.kill()


# -- takeover -----------------------------------------------------------------------------------------------------
def test_takeover_after_a_lost_identity_keeps_the_ledger(state: Path) -> None:
    old = lived_in(state)
    (state / files.IDENTITY).unlink()
    taken = takeover(state, "db1", NOW)
    assert (taken.kept_ledger, taken.kept_key, taken.aside) == (True, False, None)
    assert taken.identity.key != old.key
    assert load_or_create(state, "db1") == taken.identity
    history = open_history(database(state))
    assert set(history.standing()) == {"etl"}
    assert history.get_meta(TAKEOVER_FROM) == "db1"
    history.close()


@pytest.mark.parametrize("damage", ["missing", "empty", "garbage"])
def test_takeover_after_a_lost_database_keeps_the_key_and_sets_the_rest_aside(state: Path, damage: str) -> None:
    old = lived_in(state)
    database(state).unlink()
    if damage != "missing":
        database(state).write_bytes(b"" if damage == "empty" else b"garbage" * 1000)
    files.sidecars(database(state))[0].write_bytes(b"what is left of the log")
    taken = takeover(state, "db1", NOW)
    assert taken.identity == old
    assert (taken.kept_ledger, taken.kept_key) == (False, True)
    assert taken.aside is not None
    kept = {path.name for path in taken.aside.iterdir()}
    assert kept == {f"{files.DATABASE}-wal"} | ({files.DATABASE} if damage != "missing" else set())
    history = open_history(database(state))
    assert history.standing() == {}
    assert history.get_meta(TAKEOVER_FROM) == "db1"
    assert history.get_meta("instance_id") == old.instance_id
    history.close()


def test_takeover_of_an_empty_directory_makes_a_fresh_state(state: Path) -> None:
    """The whole directory was lost; what runs is still there."""
    taken = takeover(state, "db1", NOW)
    assert load_or_create(state, "db1") == taken.identity
    history = open_history(database(state))
    assert history.get_meta(TAKEOVER_FROM) == "db1"
    history.close()


def test_takeover_of_a_healthy_state_keeps_all_of_it_and_may_be_repeated(state: Path) -> None:
    old = lived_in(state)
    for _ in range(2):
        taken = takeover(state, "db1", NOW)
        assert (taken.identity, taken.kept_ledger, taken.kept_key, taken.aside) == (old, True, True, None)


def test_takeover_with_a_damaged_identity_sets_it_aside(state: Path) -> None:
    lived_in(state)
    (state / files.IDENTITY).write_bytes(b"{}")
    taken = takeover(state, "db1", NOW)
    assert taken.aside is not None
    assert [path.name for path in taken.aside.iterdir()] == [files.IDENTITY]
    assert taken.kept_ledger


def test_takeover_of_mixed_back_ups_trusts_the_key(tmp_path: Path) -> None:
    a = lived_in(tmp_path / "a")
    lived_in(tmp_path / "b")
    (tmp_path / "a" / files.IDENTITY).rename(tmp_path / "b" / files.IDENTITY)
    taken = takeover(tmp_path / "b", "db1", NOW)
    assert taken.identity == a
    assert not taken.kept_ledger
    open_history(database(tmp_path / "b")).close()


def test_takeover_never_takes_another_healthy_instances_directory(state: Path) -> None:
    lived_in(state)
    assert code_of(lambda: takeover(state, "db2", NOW)) == "instance-changed"


def test_takeover_is_refused_while_the_service_runs(state: Path) -> None:
    lived_in(state)
    with InstanceLock(state):
        assert code_of(lambda: takeover(state, "db1", NOW)) == "already-running"


def test_takeover_does_not_touch_a_newer_releases_database(state: Path) -> None:
    lived_in(state)
    raw = sqlite3.connect(database(state))
    raw.execute("PRAGMA user_version = 999")
    raw.close()
    assert code_of(lambda: takeover(state, "db1", NOW)) == "state-version"
    assert database(state).exists()


def test_a_claim_made_before_a_back_up_is_still_there_after_restoring_it(state: Path, tmp_path: Path) -> None:
    """docs/state.md: stop, copy the directory, and later put it back."""
    import shutil

    lived_in(state)
    shutil.copytree(state, tmp_path / "backup")
    shutil.rmtree(state)
    shutil.copytree(tmp_path / "backup", state)
    load_or_create(state, "db1")
    history = open_history(database(state))
    assert not history.claim(a_run(T0))
    history.close()
