"""Promise: what the last run had is copied while the server is asked, and none of it stays if that says otherwise."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from reconciler.gitio.runner import Finished, GitRunner
from reconciler.model.errors import CodeRejected, StateError
from reconciler.model.job import CodeRepository
from tests.kit.code import CodeLab
from tests.kit.service import eventually
from tests.lab.gitrepo import GitRepo, git


class Waiting(GitRunner):
    """The server answers once what `until` tells is there."""

    def __init__(self) -> None:
        super().__init__()
        self.until: Path | None = None

    def run(self, command: Sequence[str], **said: Any) -> Finished:
        if command[0] == "ls-remote" and self.until is not None:
            eventually(self.until.exists, "the copy is under way")
        return super().run(command, **said)


class Ahead:
    """A run has had the code; the next one waits for its own copy before the server is asked."""

    def __init__(self, path: Path, owner: tuple[int, int] | None = None) -> None:
        self.runner = Waiting()
        self.lab = CodeLab(path / "code", owner=owner, runner=self.runner)
        self.repo = GitRepo(path / "repo")
        self.repo.commit({"old": "old\n", "both": "one\n", "big": os.urandom(4 << 20)})
        self.item = CodeRepository(str(self.repo.path), "/code", "main")
        self.lab.make(self.item)

    def next(self) -> Path:
        run = self.lab.run("next")
        self.runner.until = self.lab.root / "runs/next/0"
        return Path(self.lab.make(self.item, run=run).binds[0].source)

    def alive(self) -> list[str]:
        """Copies that are still being made."""
        target, found = str(self.lab.root / "runs/next"), []
        for place in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = place.read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0] in (b"cp", b"sh") and any(target in os.fsdecode(word) for word in words):
                found.append(place.parent.name)
        return found


@pytest.fixture
def ahead(tmp_path: Path) -> Ahead:
    return Ahead(tmp_path)


def test_the_copy_begins_before_the_server_has_answered(ahead: Ahead) -> None:
    tree = ahead.next()
    assert (tree / "both").read_text() == "one\n" and git(tree, "-c", "safe.directory=*", "status", "--short") == ""


def test_a_push_meanwhile_is_what_the_run_has_and_nothing_of_the_last_one_is(ahead: Ahead) -> None:
    commit = ahead.repo.commit({"old": None, "both": "two\n"})
    tree = ahead.next()
    assert git(tree, "-c", "safe.directory=*", "rev-parse", "HEAD") == commit
    assert (tree / "both").read_text() == "two\n" and not (tree / "old").exists()
    assert git(tree, "-c", "safe.directory=*", "status", "--short") == "" and ahead.alive() == []


def test_a_branch_that_is_gone_leaves_neither_copy_nor_child(ahead: Ahead) -> None:
    ahead.repo.git("branch", "-m", "main", "other")
    with pytest.raises(CodeRejected):
        ahead.next()
    assert [path.name for path in (ahead.lab.root / "runs").iterdir() if path.name != "ml.train.1.0"] == []
    assert ahead.alive() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_it_belongs_to_the_jobs_user_then_too(tmp_path: Path) -> None:
    tree = Ahead(tmp_path, owner=(1234, 4321)).next()
    assert {(os.lstat(path).st_uid, os.lstat(path).st_gid) for path in (tree, *tree.rglob("*"))} == {(1234, 4321)}


def test_a_disk_without_room_for_it_copies_nothing_ahead(tmp_path: Path) -> None:
    free = [1 << 40]
    ahead = Ahead(tmp_path)
    ahead.lab = CodeLab(tmp_path / "tight", runner=ahead.runner, free=lambda _place: free[0])
    ahead.lab.make(ahead.item)
    free[0] = (256 << 20) + (6 << 20)  # less than the tree would leave
    with pytest.raises(StateError, match="MiB are free"):
        ahead.lab.make(ahead.item, run=ahead.lab.run("next"))
    assert not (ahead.lab.root / "runs/next").exists()
