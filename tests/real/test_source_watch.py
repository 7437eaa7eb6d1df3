"""Promise: a commit or push to a local repository is noticed within a second, and a watch never goes blind for good."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.model.service import GitConfig, SourceConfig
from reconciler.source import watch as watching
from reconciler.source.base import Source
from reconciler.source.open import open_source
from tests.lab.gitrepo import GitRepo, git

JOB = "schedule: '@hourly'\nimage: busybox:local\n"


class Watched:
    """A source that is being watched; `kicks` counts, `noticed` waits for one more than there were."""

    def __init__(self, source: Source) -> None:
        self.kicks = 0
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=source.watch, args=(self._stop, self._kick))
        self._thread.start()

    def _kick(self) -> None:
        with self._changed:
            self.kicks += 1
            self._changed.notify_all()

    def noticed(self, change: Callable[[], object], within: float = 5.0) -> float:
        """Seconds from the end of `change` to the kick."""
        before = self.kicks
        change()
        began = time.monotonic()
        with self._changed:
            assert self._changed.wait_for(lambda: self.kicks > before, within), "nobody kicked"
        return time.monotonic() - began

    def close(self) -> float:
        began = time.monotonic()
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()
        return time.monotonic() - began


Watch = Callable[..., Watched]


@pytest.fixture
def watch() -> Iterator[Watch]:
    opened: list[tuple[Source, Watched]] = []

    def start(path: Path, ref: str = "main") -> Watched:
        before = inotify_watches()
        source = open_source(SourceConfig(str(path), ref), GitConfig(timeout=20.0), "")
        watched = Watched(source)
        opened.append((source, watched))
        armed(before)
        return watched

    yield start
    for source, watched in opened:
        watched.close()
        source.close()


def inotify_watches() -> int:
    """How many inotify watches this process holds."""
    count = 0
    for link in Path("/proc/self/fdinfo").iterdir():
        try:
            count += link.read_text().count("inotify wd:")
        except OSError:
            continue
    return count


def armed(before: int) -> None:
    deadline = time.monotonic() + 10
    while inotify_watches() <= before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert inotify_watches() > before


def gone(before: int) -> None:
    """A watcher's own thread gives its watches back a moment after it was told to end."""
    deadline = time.monotonic() + 10
    while inotify_watches() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert inotify_watches() <= before


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    repo = GitRepo(tmp_path / "work")
    repo.commit({"jobs.d/a.yaml": JOB})
    return repo


def test_a_push_to_a_bare_repository_is_noticed_within_a_second(repo: GitRepo, tmp_path: Path, watch: Watch) -> None:
    watched = watch(repo.bare_clone(tmp_path / "jobs.git"))
    for number in range(3):
        repo.commit({"jobs.d/a.yaml": f"{JOB}#{number}\n"})
        assert watched.noticed(repo.push) < 1.0


@pytest.mark.parametrize("ref", ["main", "HEAD"])
def test_a_commit_to_a_work_repository_is_noticed_within_a_second(repo: GitRepo, watch: Watch, ref: str) -> None:
    watched = watch(repo.path, ref)
    assert watched.noticed(lambda: repo.commit({"jobs.d/b.yaml": JOB})) < 1.0


def test_packing_references_is_no_news_and_the_next_push_is(repo: GitRepo, watch: Watch) -> None:
    watched = watch(repo.path)
    repo.git("pack-refs", "--all", "--prune")
    assert watched.noticed(lambda: repo.commit({"jobs.d/b.yaml": JOB})) < 1.0
    assert watched.kicks == 1


def test_switching_HEAD_to_another_branch_is_noticed_and_that_branch_followed(repo: GitRepo, watch: Watch) -> None:
    repo.git("branch", "team/release")
    repo.commit({"jobs.d/b.yaml": JOB})
    watched = watch(repo.path, "HEAD")
    assert watched.noticed(lambda: repo.git("checkout", "-q", "team/release")) < 1.0
    assert watched.noticed(lambda: repo.commit({"jobs.d/c.yaml": JOB})) < 6.0


def test_a_branch_that_does_not_exist_yet_is_noticed_when_it_comes(repo: GitRepo, watch: Watch) -> None:
    watched = watch(repo.path, "team/release")
    assert watched.noticed(lambda: repo.git("branch", "team/release")) < 3.0


def test_a_tag_that_moves_is_noticed(repo: GitRepo, watch: Watch) -> None:
    repo.git("tag", "live")
    repo.commit({"jobs.d/b.yaml": JOB})
    watched = watch(repo.path, "live")
    assert watched.noticed(lambda: repo.git("tag", "-f", "live")) < 1.0


def test_other_branches_and_the_work_tree_wake_nobody(repo: GitRepo, watch: Watch) -> None:
    watched = watch(repo.path)
    (repo.path / "jobs.d/a.yaml").write_text("edited")
    repo.git("add", "-A")
    repo.git("branch", "side")
    repo.git("update-ref", "refs/heads/side", "HEAD")
    assert watched.noticed(lambda: repo.git("commit", "-q", "-m", "now")) < 1.0
    assert watched.kicks == 1


@pytest.mark.parametrize("how", ["renamed away and another in its place", "deleted and made anew", "a link turned"])
def test_a_repository_that_is_swapped_for_another_is_noticed(
    repo: GitRepo, tmp_path: Path, watch: Watch, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PAUSE_MS", 500)
    new, link = GitRepo(tmp_path / "new"), tmp_path / "current"
    new.commit({"jobs.d/n.yaml": JOB})
    link.symlink_to(repo.path)

    def swap() -> None:
        if how == "a link turned":
            (tmp_path / "next").symlink_to(new.path)
            (tmp_path / "next").replace(link)
            return
        repo.path.rename(tmp_path / "old") if "renamed" in how else shutil.rmtree(repo.path)
        new.path.rename(repo.path)

    watched = watch(link if how == "a link turned" else repo.path)
    watched.noticed(swap)
    where = new.path if how == "a link turned" else repo.path
    for _ in range(3):  # and whatever it has been swapped for is followed
        watched.noticed(lambda: git(where, "commit", "-q", "--allow-empty", "-m", "x"))


def test_no_inotify_left_means_looking_instead(repo: GitRepo, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> Iterator[set[tuple[int, str]]]:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("watchfiles.watch", refuse)
    source = open_source(SourceConfig(str(repo.path), "main"), GitConfig(), "")
    watched = Watched(source)
    try:
        assert watched.noticed(lambda: repo.commit({"jobs.d/b.yaml": JOB})) < 2.5
    finally:
        watched.close()


def test_stopping_takes_less_than_a_second_and_leaves_no_descriptor(repo: GitRepo) -> None:
    source = open_source(SourceConfig(str(repo.path), "main"), GitConfig(), "")
    none = inotify_watches()
    Watched(source).close()  # imports
    gone(none)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        watched = Watched(source)
        armed(none)
        assert watched.close() < 1.0
        gone(none)
    deadline = time.monotonic() + 10  # the last watcher's own thread closes its descriptors a moment later
    while len(os.listdir("/proc/self/fd")) > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(os.listdir("/proc/self/fd")) <= before


def test_waiting_for_a_commit_costs_next_to_nothing(repo: GitRepo, watch: Watch) -> None:
    watched = watch(repo.path)
    began, cpu = time.monotonic(), time.process_time()
    threading.Event().wait(3.0)
    assert (time.process_time() - cpu) / (time.monotonic() - began) < 0.01
    assert watched.kicks == 0


def test_a_remote_is_left_to_polling(tmp_path: Path) -> None:
    source = open_source(SourceConfig("https://127.0.0.1:1/x.git", "main"), GitConfig(), str(tmp_path))
    assert not source.local
    assert Watched(source).close() < 1.0
