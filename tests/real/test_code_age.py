"""Promise: what no job has used for long leaves the disk, however small it is, and nothing that is in use."""

import os
import threading
import time
from pathlib import Path

import pytest

from reconciler.gitio.cache import Cache
from reconciler.model.errors import SourceUnavailable
from reconciler.workspace.budget import MIRROR_UNUSED, UNUSED, collect
from tests.kit.code import CodeLab
from tests.lab.gitrepo import GitRepo

HOUR = 3600.0


class Aged:
    """Two repositories that a run each has had; `collect` sees them so many seconds later."""

    def __init__(self, path: Path) -> None:
        self.lab = CodeLab(path / "code")
        self.repos = [GitRepo(path / name) for name in ("one", "two")]
        for repo in self.repos:
            repo.commit({"a": repo.path.name})
            self.lab.checkout(repo.path)

    def collect(self, later: float) -> None:
        collect(self.lab.part._mirrors, self.lab.part._trees, 1 << 40, now=time.time() + later)

    def left(self, pattern: str) -> list[Path]:
        return list(self.lab.root.glob(pattern))


@pytest.fixture
def aged(tmp_path: Path) -> Aged:
    return Aged(tmp_path)


def test_a_mirror_that_nobody_used_for_a_month_goes_with_its_lock(aged: Aged) -> None:
    aged.collect(MIRROR_UNUSED - HOUR)
    assert len(aged.left("mirrors/*.git")) == 2 and aged.left("trees/*") == []
    aged.collect(MIRROR_UNUSED + HOUR)
    assert aged.left("mirrors/*") == []
    assert (aged.lab.checkout(aged.repos[0].path) / "a").read_text() == "one"


def test_one_whose_tree_is_in_use_stays_though_nothing_is_fetched(aged: Aged) -> None:
    for path in aged.left("mirrors/*.git"):
        os.utime(path, (0, 0))
    aged.lab.checkout(aged.repos[1].path)
    aged.collect(UNUSED - HOUR)
    assert len(aged.left("mirrors/*.git")) == 1 and len(aged.left("mirrors/*.lock")) == 1


def test_nothing_is_remembered_of_a_mirror_that_nobody_is_at(aged: Aged) -> None:
    mirrors = aged.lab.part._mirrors
    assert mirrors._turns == {} and not mirrors._users
    (path, _) = aged.left("mirrors/*.git")
    with mirrors.unused(path) as first, mirrors.unused(path) as second:
        assert first and not second
    assert mirrors._turns == {} and not mirrors._users


def test_the_lock_of_one_that_another_process_holds_stays(aged: Aged) -> None:
    (path, _) = aged.left("mirrors/*.git")
    with Cache.at(path).locked(1.0):
        aged.collect(MIRROR_UNUSED + HOUR)
        assert aged.left("mirrors/*") == [path.with_suffix(".lock")]
    aged.collect(0)
    assert aged.left("mirrors/*") == []


def test_who_waited_for_a_lock_that_is_removed_takes_the_new_one(tmp_path: Path) -> None:
    cache, got, leave = Cache(str(tmp_path), "x"), threading.Event(), threading.Event()

    def wait() -> None:
        with cache.locked(20.0):
            got.set()
            leave.wait(20.0)

    with cache.locked(1.0):
        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        cache._lock.unlink()
    assert got.wait(20.0)
    with pytest.raises(SourceUnavailable), cache.locked(0.1):
        pass
    leave.set()
    waiting.join(20.0)
    cache.unlock_for_good()
    assert list(tmp_path.iterdir()) == []
