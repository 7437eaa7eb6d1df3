"""Promise: a run's log is bounded, says what is missing, survives a crash byte for byte, and never fails a run."""

import os
import resource
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.history import logfiles
from reconciler.history.logs import LogFollower, LogWriter, log_path, read_log, remove_logs
from reconciler.model.ids import run_id
from tests.kit.ledger import T0, a_run

LIMIT = 4096


def text_of(path: Path, tail: int | None = None) -> bytes:
    return b"".join(read_log(path, tail))


def numbered(first: int, last: int) -> bytes:
    return b"".join(b"line %06d\n" % n for n in range(first, last))


def write_all(writer: LogWriter, data: bytes, size: int = 500) -> None:
    for at in range(0, len(data), size):
        assert writer.write(data[at : at + size], str(at + size))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "etl" / "x.log"


def test_a_short_log_is_kept_as_it_was(path: Path) -> None:
    writer = LogWriter(path, LIMIT)
    write_all(writer, b"hello\nworld")
    assert text_of(path) == b"hello\nworld", "readable while it is written"
    writer.close()
    writer.close()
    assert text_of(path) == b"hello\nworld"
    assert (writer.size, writer.complete, writer.degraded) == (11, True, "")
    assert [file.name for file in path.parent.iterdir()] == ["x.log"]


def test_a_log_up_to_the_limit_loses_nothing(path: Path) -> None:
    data = numbered(0, LIMIT // 12)
    writer = LogWriter(path, LIMIT)
    write_all(writer, data)
    assert text_of(path) == data
    writer.close()
    assert text_of(path) == data


def test_of_a_long_log_the_first_and_the_last_part_are_kept_and_the_gap_is_counted(path: Path) -> None:
    data = numbered(0, 10_000)
    writer = LogWriter(path, LIMIT)
    write_all(writer, data)
    writer.close()
    kept = text_of(path)
    assert len(kept) <= LIMIT + 64
    assert len(kept) > LIMIT // 2
    with path.open("rb") as file:
        found = logfiles.find_marker(file)
    assert found is not None
    head_end, rest, dropped = found
    assert kept[:head_end] == data[:head_end]
    assert kept[rest:] == data[head_end + dropped :]
    assert kept[rest:].startswith(b"line "), "the end begins with a whole line"
    assert [file.name for file in path.parent.iterdir()] == ["x.log"]


def test_a_flood_never_takes_more_than_the_limit_on_disk(path: Path) -> None:
    writer = LogWriter(path, LIMIT)
    for n in range(300):
        writer.write(b"%05d" % n * 50, str(n))
        assert sum(f.stat().st_size for f in path.parent.glob("x.log*") if f.suffix != ".state") <= LIMIT
    writer.write(b"y" * 10 * LIMIT, "big")
    assert writer.size <= LIMIT


def test_nothing_written_leaves_no_file(path: Path) -> None:
    LogWriter(path, LIMIT).close()
    assert not path.exists()
    assert text_of(path) == b""


def test_a_complete_log_is_not_written_again(path: Path) -> None:
    """The service died between closing the log and recording it; the engine may be gone meanwhile."""
    first = LogWriter(path, LIMIT)
    write_all(first, b"all of it\n")
    first.close()
    again = LogWriter(path, LIMIT)
    assert again.complete
    assert again.write(b"all of it\n", "c9")
    again.close()
    assert text_of(path) == b"all of it\n"


def crash(writer: LogWriter) -> None:
    """What kill -9 does: the file is closed by the kernel, nothing else happens."""
    writer._close_file()


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_R5_after_a_crash_the_engine_goes_on_from_the_cursor_without_gap_or_repetition(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("crash") / "x.log"
    whole = numbered(0, data.draw(st.integers(1, 800)))
    straight = path.with_name("straight.log")
    steady = LogWriter(straight, LIMIT)
    write_all(steady, whole, 97)
    steady.close()
    for _ in range(data.draw(st.integers(0, 3))):
        writer = LogWriter(path, LIMIT)
        at = int(writer.cursor or 0)
        for _ in range(data.draw(st.integers(0, 40))):
            writer.write(whole[at : at + 97], str(at + 97))
            at += 97
            if data.draw(st.booleans()):
                writer._save(hard=True)
        crash(writer)
    writer = LogWriter(path, LIMIT)
    at = int(writer.cursor or 0)
    for start in range(at, len(whole), 97):
        writer.write(whole[start : start + 97], str(start + 97))
    writer.close()
    assert text_of(path) == text_of(straight)


def test_P6_what_was_read_stays_if_the_engine_cannot_send_it_again(path: Path) -> None:
    writer = LogWriter(path, LIMIT)
    write_all(writer, numbered(0, 100))
    crash(writer)
    again = LogWriter(path, LIMIT)
    again.close()
    assert text_of(path) == numbered(0, 100)


@pytest.mark.parametrize("lines", [3, 100, 1000])
def test_R5_what_nobody_can_send_again_stays_and_the_rest_comes_behind_it(path: Path, lines: int) -> None:
    straight, writer = LogWriter(path.with_name("y.log"), LIMIT), LogWriter(path, LIMIT)
    for one in (straight, writer):
        write_all(one, numbered(0, lines))
    crash(writer)
    again = LogWriter(path, LIMIT)
    again.keep()
    for one in (straight, again):
        assert one.write(b"... a gap ...\n", "lost")
        one.close()
    assert text_of(path) == text_of(path.with_name("y.log"))
    assert again.cursor == "lost"


@pytest.mark.parametrize("step", ["state", "rename", "pieces"])
def test_a_crash_while_a_log_is_put_together_loses_nothing(path: Path, step: str) -> None:
    writer = LogWriter(path, LIMIT)
    write_all(writer, numbered(0, 200))
    before = text_of(path)
    ends = logfiles.pieces(path)
    with logfiles.final_path(path).open("wb") as out:
        out.write(before)
    if step != "state":
        logfiles.write_state(path, logfiles.State("9", 2200, closed=True))
    if step == "pieces":
        logfiles.final_path(path).rename(path)
        ends[0][1].unlink()
    crash(writer)
    assert text_of(path) == before
    again = LogWriter(path, LIMIT)
    again.close()
    assert again.complete
    assert text_of(path) == before
    assert [file.name for file in path.parent.iterdir()] == ["x.log"]


def test_a_damaged_note_means_asking_the_engine_from_the_beginning(path: Path) -> None:
    writer = LogWriter(path, LIMIT)
    write_all(writer, b"one\ntwo\n")
    crash(writer)
    logfiles.state_path(path).write_bytes(b"")
    again = LogWriter(path, LIMIT)
    assert again.cursor == ""
    again.write(b"one\ntwo\nthree\n", "3")
    again.close()
    assert text_of(path) == b"one\ntwo\nthree\n"


def test_a_disk_that_takes_no_more_fails_no_write_and_is_told_in_the_log(path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = LogWriter(path, 1 << 20)
    assert writer.write(b"before\n", "1")
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        assert not writer.write(b"x" * 200, "2")
        assert writer.cursor == "1", "a caller may fetch it again"
        assert writer.degraded
        assert not writer.write(b"y" * 200, "3")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert writer.write(b"after\n", "4")
    writer.close()
    assert text_of(path) == b"before\n\n... 400 bytes lost: File too large ...\nafter\n"
    assert writer.cursor == "4"


def test_a_loss_at_the_very_end_is_told_as_well(path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = LogWriter(path, 1 << 20)
    writer.write(b"before\n", "1")
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        writer.write(b"x" * 200, "2")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    writer.close()
    assert b"200 bytes lost" in text_of(path)


def test_a_log_directory_that_cannot_be_made_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where a directory should be")
    writer = LogWriter(tmp_path / "logs" / "etl" / "x.log", LIMIT)
    assert not writer.write(b"hello", "1")
    writer.close()
    assert "irectory" in writer.degraded
    assert writer.size == 0


# -- reading ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("tail", "shown"),
    [
        pytest.param(0, b"", id="none"),
        pytest.param(1, b"line 000299\n", id="the last line"),
        pytest.param(2, b"line 000298\nline 000299\n", id="the last two"),
        pytest.param(None, None, id="all"),
        pytest.param(10_000, None, id="more than there are"),
    ],
)
@pytest.mark.parametrize("closed", [False, True], ids=["while written", "complete"])
def test_tail(path: Path, tail: int | None, shown: bytes | None, closed: bool) -> None:
    writer = LogWriter(path, LIMIT)
    write_all(writer, numbered(0, 300))
    if closed:
        writer.close()
    assert text_of(path, tail) == (numbered(0, 300) if shown is None else shown)


def test_tail_counts_a_last_line_without_its_newline(path: Path) -> None:
    writer = LogWriter(path, LIMIT)
    write_all(writer, b"one\ntwo\nthree")
    assert text_of(path, 1) == b"three"
    assert text_of(path, 2) == b"two\nthree"


@pytest.mark.parametrize("every", [1, 7, 100, 1000])
def test_following_gives_every_byte_once_in_order(path: Path, every: int) -> None:
    """Also when the log is put together, and pieces are dropped, between two looks."""
    whole = numbered(0, 1000)
    writer = LogWriter(path, LIMIT)
    follower = LogFollower(path)
    seen = b""
    for n, at in enumerate(range(0, len(whole), 50)):
        writer.write(whole[at : at + 50], str(at))
        if n % every == 0:
            seen += b"".join(follower.read())
    writer.close()
    seen += b"".join(follower.read())
    assert b"".join(follower.read()) == b""
    if every < 100:
        assert seen == whole
    else:  # it looked too seldom: what it missed is told, the rest is in order
        lines = [int(line[5:]) for line in seen.splitlines() if line.startswith(b"line ") and len(line) == 11]
        assert lines == sorted(set(lines))
        assert lines[-1] == 999
        assert b"bytes dropped ..." in seen


def test_a_follower_may_come_before_the_log(path: Path) -> None:
    follower = LogFollower(path)
    assert list(follower.read()) == []
    writer = LogWriter(path, LIMIT)
    writer.write(b"now\n", "1")
    assert list(follower.read()) == [b"now\n"]
    writer.close()


# -- names and removal --------------------------------------------------------------------------------------------
def test_a_logs_path_says_job_and_run(tmp_path: Path) -> None:
    run = run_id("ml/train-churn", T0, 1)
    assert log_path("ml/train-churn", run) == f"logs/ml/train-churn/{run}.log"


def test_a_very_deep_job_still_has_a_file_name_that_fits(tmp_path: Path) -> None:
    job = "/".join(["a" * 63] * 6)
    path = tmp_path / log_path(job, run_id(job, T0, 1))
    writer = LogWriter(path, LIMIT)
    write_all(writer, numbered(0, 200))
    writer.close()
    assert text_of(path) == numbered(0, 200)


def test_removing_logs_takes_the_files_and_empty_directories_only(tmp_path: Path) -> None:
    kept = a_run(job="ml/other", log=log_path("ml/other", "other.1"))
    gone = a_run(job="ml/train", log=log_path("ml/train", "train.1"))
    outside = a_run(log="reconciler.db")
    (tmp_path / "reconciler.db").write_bytes(b"precious")
    for run in (kept, gone):
        writer = LogWriter(tmp_path / run.log, LIMIT)
        write_all(writer, numbered(0, 200))
    remove_logs(tmp_path, [gone, outside, a_run(), a_run(log="logs/../reconciler.db")])
    assert sorted(os.listdir(tmp_path / "logs" / "ml")) == ["other"]
    assert (tmp_path / "reconciler.db").exists()
    assert text_of(tmp_path / kept.log) == numbered(0, 200)
