"""Promise: a git child has a deadline, bounds and an environment of its own, and takes its whole family with it."""

import os
import threading
import time
from pathlib import Path

import pytest

from reconciler.gitio import profile
from reconciler.gitio.runner import MAX_STDERR, GitRunner
from reconciler.model.errors import SourceRejected, SourceUnavailable


def shell(script: str) -> list[str]:
    """A git command that runs `script`: an alias of our own making stands for a git that misbehaves."""
    return ["-c", f"alias.misbehave=!{script}\ntrue", "misbehave"]


def alive(marker: str) -> list[int]:
    """Pids of processes whose command line holds `marker`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if marker.encode() in words:
            found.append(int(path.parent.name))
    return found


def until(condition: object, within: float = 10.0) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


def test_a_child_and_its_children_end_at_the_deadline() -> None:
    marker = f"71{os.getpid()}.5"  # seconds, and ours alone
    began = time.monotonic()
    with pytest.raises(SourceUnavailable) as caught:
        GitRunner().run(shell(f"sleep {marker} & sleep {marker}"), timeout=0.5)
    assert caught.value.code == "git-timeout" and time.monotonic() - began < 3
    assert until(lambda: not alive(marker))


def test_a_child_that_ends_and_leaves_others_behind_leaves_nobody() -> None:
    marker = f"72{os.getpid()}.5"
    assert GitRunner().run(shell(f"sleep {marker} >/dev/null 2>&1 &"), timeout=10).status == 0
    assert until(lambda: not alive(marker))


def test_a_child_that_closes_its_output_and_hangs_ends_at_the_deadline() -> None:
    marker = f"73{os.getpid()}.5"
    with pytest.raises(SourceUnavailable):
        GitRunner().run(shell(f"exec >&- 2>&-; sleep {marker}"), timeout=0.5)
    assert until(lambda: not alive(marker))


def test_cancel_ends_what_runs_and_refuses_what_comes() -> None:
    runner, marker, codes = GitRunner(), f"74{os.getpid()}.5", []

    def work() -> None:
        try:
            runner.run(shell(f"sleep {marker}"), timeout=60)
        except SourceUnavailable as error:
            codes.append(error.code)

    thread = threading.Thread(target=work)
    thread.start()
    assert until(lambda: alive(marker))
    runner.cancel()
    thread.join(5)
    assert codes == ["source-closed"] and until(lambda: not alive(marker))
    with pytest.raises(SourceUnavailable):
        runner.run(["--version"], timeout=5)


def test_endless_output_is_cut_off() -> None:
    with pytest.raises(SourceRejected) as caught:
        GitRunner().run(shell("yes"), timeout=20, max_output=1 << 20)
    assert caught.value.code == "source-too-large"


def test_endless_complaints_are_kept_to_their_end() -> None:
    done = GitRunner().run(shell("yes | head -c 3000000 >&2; echo the end >&2"), timeout=20)
    assert len(done.stderr) <= MAX_STDERR and done.stderr.endswith("the end\n")


def test_much_input_and_much_output_at_once_do_not_block() -> None:
    data = b"0123456789abcdef" * 200_000
    assert GitRunner().run(shell("cat"), stdin=data, timeout=20).stdout == data


def test_input_that_nobody_reads_is_no_error() -> None:
    assert GitRunner().run(shell("exit 0"), stdin=b"x" * 4_000_000, timeout=20).stdout == b""


def test_a_file_beyond_its_bound_ends_the_child(tmp_path: Path) -> None:
    target = tmp_path / "big"
    GitRunner().run(shell(f"head -c 9000000 /dev/zero >{target}"), timeout=20, max_file=1 << 20)
    assert target.stat().st_size == 1 << 20


def test_nothing_of_our_environment_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_SECRET", "value")
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("GIT_DIR", "/somewhere")
    names = {line.partition("=")[0] for line in GitRunner().run(shell("env"), timeout=10).stdout.decode().splitlines()}
    assert not names & {"CANARY_SECRET", "LD_PRELOAD", "GIT_DIR", "SSH_AUTH_SOCK", "USER"}


def test_no_descriptor_of_ours_is_inherited(tmp_path: Path) -> None:
    with (tmp_path / "ours").open("w") as ours:
        os.set_inheritable(ours.fileno(), True)
        listing = GitRunner().run(shell("ls -l /proc/self/fd"), timeout=10).stdout.decode()
    assert str(tmp_path) not in listing


def test_git_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(profile.ENVIRONMENT, "PATH", "/nonexistent")
    with pytest.raises(SourceRejected) as caught:
        GitRunner().run(["--version"], timeout=5)
    assert caught.value.code == "git-missing" and caught.value.hint
