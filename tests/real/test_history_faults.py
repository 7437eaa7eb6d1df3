"""Promise: kill -9, a full disk, a damaged file or a second process cost the ledger nothing that was acknowledged."""

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.history import files
from reconciler.history.database import connect_writer
from reconciler.history.identity import load_or_create
from reconciler.history.logs import LogWriter, read_log
from reconciler.history.sqlite import SqliteHistory, open_history
from reconciler.model.errors import InvariantBroken, StateError
from reconciler.model.event import Event, EventName
from tests.kit.ledger import MINUTE, T0, a_job, a_run, a_slot

ROOT = Path(__file__).parents[2]

# Claims one slot after the other and says so, a line each, only after the ledger has acknowledged it.
WRITER = """
import sys
from reconciler.history.sqlite import open_history
from tests.kit.ledger import MINUTE, T0, a_job, a_run, a_slot
history = open_history(sys.argv[1])
history.put_standing(a_job())
number = int(sys.argv[2])
while True:
    assert history.claim(a_run(T0 + number * MINUTE), cursor=T0 + number * MINUTE)
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
"""


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True,
    )  # fmt: skip


def database(state: Path) -> Path:
    return state / files.DATABASE


# -- kill -9 ------------------------------------------------------------------------------------------------------
def test_kill_9_loses_no_acknowledged_claim(tmp_path: Path) -> None:
    path = database(tmp_path)
    load_or_create(tmp_path, "db1")
    chance = random.Random(7)
    acknowledged = 0
    for _ in range(6):
        with child(WRITER, path, acknowledged) as writer:
            assert writer.stdout
            for _ in range(chance.randrange(20, 200)):
                assert int(writer.stdout.readline()) == acknowledged
                acknowledged += 1
            writer.send_signal(signal.SIGKILL)
            acknowledged += sum(1 for _ in writer.stdout)
        history = open_history(path)
        found = history.runs("etl", limit=10_000)
        # One more may be there: committed, and killed before it could say so.
        assert len(found) in (acknowledged, acknowledged + 1)
        assert [run.slot for run in found] == [T0 + n * MINUTE for n in reversed(range(len(found)))]
        assert history.standing()["etl"].cursor == max(T0, T0 + (len(found) - 1) * MINUTE)
        assert not history.claim(found[0])
        history.close()
        acknowledged = len(found)


def test_kill_9_at_each_step_of_a_first_start_leaves_a_state_that_starts(tmp_path: Path) -> None:
    """The child stops itself after the n-th call that changes the directory."""
    code = """
import os, sys
from pathlib import Path
from reconciler.history.identity import load_or_create
left = int(sys.argv[2])
def step(event, args):
    global left
    if event in ("open", "os.rename", "os.remove", "os.mkdir", "sqlite3.connect"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), 9)
sys.addaudithook(step)
load_or_create(Path(sys.argv[1]), "db1")
"""
    killed = 0
    for number in range(1, 60):
        state = tmp_path / str(number)
        with child(code, state, number) as starter:
            starter.wait(60)
        killed += starter.returncode == -signal.SIGKILL
        identity = load_or_create(state, "db1")
        history = open_history(database(state))
        assert history.get_meta("instance_id") == identity.instance_id
        history.close()
        if starter.returncode == 0:
            break
    assert starter.returncode == 0
    assert killed > 5


# -- a full disk --------------------------------------------------------------------------------------------------
@contextmanager
def small_disk(directory: Path) -> Iterator[bool]:
    """A file system of 1 MiB; False where mounting is not permitted: then a limit on file sizes stands in for it."""
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0755", "small", str(directory)], capture_output=True, check=False
    )
    try:
        yield mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", str(directory)], check=True)


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def fill(history: SqliteHistory) -> tuple[int, StateError]:
    """Claim until the disk says no: how many were acknowledged, and the error."""
    for number in range(100_000):
        try:
            assert history.claim(a_run(T0 + number * MINUTE, reason="x" * 200), cursor=T0 + number * MINUTE)
        except StateError as error:
            return number, error
    raise AssertionError("the disk never filled")


def test_a_full_disk_is_told_loses_nothing_and_heals_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as mounted:
        if not mounted:
            full_by_limit(tmp_path / "disk")
            return
        state = tmp_path / "disk" / "state"
        load_or_create(state, "db1")
        history = open_history(database(state))
        history.put_standing(a_job())
        ballast = tmp_path / "disk" / "ballast"
        ballast.write_bytes(b"x" * 300_000)
        done, error = fill(history)
        assert error.code == "disk-full"
        assert error.hint
        assert len(history.runs(limit=10_000)) == done, "readable, and no more than was acknowledged"
        assert history.standing()["etl"].cursor == max(T0, T0 + (done - 1) * MINUTE)
        assert done > 0
        ballast.unlink()
        assert history.claim(a_run(T0 + done * MINUTE), cursor=T0 + done * MINUTE)
        history.close()
        again = open_history(database(state))
        assert len(again.runs(limit=10_000)) == done + 1
        again.close()


def full_by_limit(state: Path) -> None:
    """Where nothing can be mounted. A limit is an I/O error to SQLite, not a full disk."""
    history = open_history(database(state))
    history.put_standing(a_job())
    with no_file_above(400_000):
        done, error = fill(history)
        assert error.code in ("disk-full", "state-io")
        assert len(history.runs(limit=10_000)) == done
    assert history.claim(a_run(T0 + done * MINUTE))
    history.close()


def test_a_write_error_of_the_disk_is_told_and_heals(tmp_path: Path) -> None:
    full_by_limit(tmp_path)


def test_a_first_start_on_a_full_disk_leaves_nothing_half_made(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    with no_file_above(20_000), pytest.raises(StateError) as caught:
        load_or_create(state, "db1")
    assert caught.value.code in ("disk-full", "state-io")
    assert os.listdir(state) == []
    load_or_create(state, "db1")


def test_logs_on_a_full_disk_go_on_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as mounted:
        ballast = tmp_path / "disk" / "ballast"
        path = tmp_path / "disk" / "logs" / "x.log"
        writer = LogWriter(path, 8 << 20)
        assert writer.write(b"first\n", "1")
        with no_file_above(100) if not mounted else no_file_above(resource.RLIM_INFINITY):
            if mounted:
                with pytest.raises(OSError, match="No space"):
                    ballast.write_bytes(b"x" * (2 << 20))
            assert not writer.write(b"y" * 5000, "2")
        ballast.unlink(missing_ok=True)
        assert writer.write(b"last\n", "3")
        writer.close()
        text = b"".join(read_log(path))
        assert text.startswith(b"first\n")
        assert b"5000 bytes lost" in text
        assert text.endswith(b"last\n")


# -- damaged files ------------------------------------------------------------------------------------------------
def a_ledger(state: Path, runs: int = 60) -> bytes:
    load_or_create(state, "db1")
    history = open_history(database(state))
    for name in ("etl", "other"):
        history.put_standing(a_job(name, digest=name))
    for number in range(runs):
        history.claim(a_run(T0 + number * MINUTE), cursor=T0 + number * MINUTE)
        history.update_run(a_run(T0 + number * MINUTE, reason="r"), a_slot(T0 + number * MINUTE))
        history.add_events([Event(EventName.RUN_DELAYED, T0, "etl")])
    history.close()
    return database(state).read_bytes()


def use(path: Path) -> None:
    """Everything a service and a reader do with it at first."""
    history = open_history(path)
    try:
        history.standing()
        history.runs(limit=1000)
        history.slots("etl", limit=1000)
        history.events(limit=1000)
        history.claim(a_run(T0 + 10_000 * MINUTE))
        history.prune(T0)
    finally:
        history.close()


def test_a_database_with_flipped_bytes_is_told_or_whole_never_a_traceback(tmp_path: Path) -> None:
    whole = a_ledger(tmp_path)
    chance = random.Random(11)
    told = 0
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(chance.choice((1, 8, 64))):
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        restore(tmp_path, bytes(damaged))
        try:
            use(database(tmp_path))
        except StateError as error:
            assert error.code in ("state-corrupt", "state-mismatch", "state-version", "state-error"), error.code
            told += 1
        except InvariantBroken:
            told += 1  # an index that no longer agrees with its table
    assert told > 20


def restore(state: Path, content: bytes) -> None:
    for side in files.sidecars(database(state)):
        side.unlink(missing_ok=True)
    database(state).write_bytes(content)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.99])
def test_a_truncated_database_is_told_and_left_as_it_is(tmp_path: Path, share: float) -> None:
    whole = a_ledger(tmp_path)
    cut = whole[: int(len(whole) * share)]
    restore(tmp_path, cut)
    with pytest.raises(StateError) as caught:
        open_history(database(tmp_path))
    assert caught.value.code == "state-corrupt"
    assert "takeover" in caught.value.hint
    assert database(tmp_path).read_bytes()[: len(cut)] == cut


def test_a_damaged_page_of_a_stopped_service_is_found_before_it_starts(tmp_path: Path) -> None:
    whole = bytearray(a_ledger(tmp_path))
    page = int.from_bytes(whole[16:18], "big")
    for number in range(3, len(whole) // page, 2):
        whole[number * page : number * page + 200] = os.urandom(200)
    restore(tmp_path, bytes(whole))
    with pytest.raises(StateError) as caught:
        open_history(database(tmp_path))
    assert caught.value.code == "state-corrupt"


def test_a_write_ahead_log_cut_in_the_middle_keeps_what_was_committed_before(tmp_path: Path) -> None:
    """As after a power loss on a disk that wrote in another order: whole transactions only."""
    load_or_create(tmp_path, "db1")
    history = open_history(database(tmp_path))
    for number in range(20):
        history.claim(a_run(T0 + number * MINUTE))
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in (database(tmp_path), files.sidecars(database(tmp_path))[0], tmp_path / files.IDENTITY):
        shutil.copy(path, copy)
    history.close()
    wal = files.sidecars(database(copy))[0]
    os.truncate(wal, wal.stat().st_size * 2 // 3)
    after = open_history(database(copy))
    found = [run.slot for run in after.runs(limit=100)]
    assert 0 < len(found) < 20
    assert found == [T0 + n * MINUTE for n in reversed(range(len(found)))]
    assert len(after.active_runs()) == len(found)
    after.close()


# -- other processes ----------------------------------------------------------------------------------------------
RACER = """
import sys
from reconciler.history.lock import InstanceLock
from reconciler.model.errors import AlreadyRunning
sys.stdin.readline()
try:
    lock = InstanceLock(sys.argv[1])
    print("holds", flush=True)
except AlreadyRunning as error:
    print(error.code, flush=True)
sys.stdin.readline()
"""


def test_of_processes_that_start_at_once_one_holds_the_directory(tmp_path: Path) -> None:
    racers = [child(RACER, tmp_path / "state") for _ in range(4)]
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("\n")
        racer.stdin.flush()
    said = [racer.stdout.readline().strip() if racer.stdout else "" for racer in racers]
    for racer in racers:
        racer.communicate("\n", timeout=60)
    assert sorted(said) == ["already-running", "already-running", "already-running", "holds"]


def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    with child(RACER, tmp_path / "state") as first:
        assert first.stdin and first.stdout
        first.stdin.write("\n")
        first.stdin.flush()
        assert first.stdout.readline() == "holds\n"
        first.kill()
    with child(RACER, tmp_path / "state") as second:
        assert second.communicate("\n\n", timeout=60)[0] == "holds\n"


def test_a_writer_that_meets_a_lock_waits_a_bounded_time_and_says_so(tmp_path: Path) -> None:
    from reconciler.history.database import Database

    load_or_create(tmp_path, "db1")
    other = connect_writer(database(tmp_path))
    other.execute("BEGIN IMMEDIATE")
    history = SqliteHistory(Database(database(tmp_path), busy_timeout=0.3))
    begin = time.monotonic()
    with pytest.raises(StateError) as caught:
        history.set_meta("a", "b")
    assert caught.value.code == "state-busy"
    assert time.monotonic() - begin < 10
    assert history.get_meta("instance_id"), "readers are not held up"
    other.execute("COMMIT")
    other.close()
    history.set_meta("a", "b")
    history.close()


def test_a_reader_does_not_hold_up_the_service(tmp_path: Path) -> None:
    load_or_create(tmp_path, "db1")
    history = open_history(database(tmp_path))
    reader = sqlite3.connect(f"file:{database(tmp_path)}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM runs").fetchone() == (0,)
    assert history.claim(a_run())
    history.prune(datetime.now(UTC) + timedelta(days=1))
    assert reader.execute("SELECT count(*) FROM runs").fetchone() == (0,)
    reader.close()
    history.close()
