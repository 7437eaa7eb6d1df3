"""Promise: where the disk is full, code that is kept for later makes room for code that is needed now."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from reconciler.gitio.runner import Finished, GitRunner
from reconciler.model.errors import StateError
from tests.kit.code import CodeLab
from tests.lab.gitrepo import GitRepo


class Disk(GitRunner):
    """A runner on a disk that is full as long as `full` is below it. It remembers its commands."""

    def __init__(self) -> None:
        super().__init__()
        self.full: Path | None = None
        self.commands: list[str] = []

    def free(self, _place: Path) -> int:
        return 0 if self.full is not None and self.full.exists() else 1 << 40


class Failing(Disk):
    """The disk has room when it is asked, and has none when git writes."""

    def run(self, command: Sequence[str], **said: Any) -> Finished:
        self.commands.append(command[0])
        if command[0] == "checkout" and super().free(Path()) == 0:
            return Finished(128, b"", "fatal: cannot create directory at 'a': No space left on device\n")
        return super().run(command, **said)

    def free(self, _place: Path) -> int:
        return 1 << 40


def repository(path: Path) -> GitRepo:
    repo = GitRepo(path)
    repo.commit({"train.py": "print(1)\n"})
    return repo


@pytest.mark.parametrize("kind", [Disk, Failing])
def test_what_is_kept_makes_room_when_the_disk_is_full(tmp_path: Path, kind: type[Disk]) -> None:
    disk = kind()
    lab = CodeLab(tmp_path / "code", runner=disk, free=disk.free)
    lab.checkout(repository(tmp_path / "old").path)
    (disk.full,) = (lab.root / "trees").glob("*/*")
    tree = lab.checkout(repository(tmp_path / "new").path)
    assert (tree / "train.py").read_text() == "print(1)\n" and not disk.full.exists()


def test_nothing_is_fetched_where_no_room_can_be_made_and_the_run_is_told_so(tmp_path: Path) -> None:
    disk = Failing()
    disk.full = tmp_path
    lab = CodeLab(tmp_path / "code", runner=disk, free=lambda _place: 100 << 20)
    with pytest.raises(StateError, match="100 MiB are free") as caught:
        lab.checkout(repository(tmp_path / "new").path)
    assert caught.value.code == "disk-full" and disk.commands == []


def test_a_disk_that_stays_full_is_tried_no_more_than_twice(tmp_path: Path) -> None:
    disk = Failing()
    disk.full = tmp_path
    lab = CodeLab(tmp_path / "code", runner=disk, free=disk.free)
    with pytest.raises(StateError) as caught:
        lab.checkout(repository(tmp_path / "new").path)
    assert caught.value.code == "disk-full" and disk.commands.count("checkout") == 2
