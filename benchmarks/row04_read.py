"""Row 4: every file of a commit, listed and read."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import git as gitpython

from reconciler.model.service import GitConfig, SourceConfig
from reconciler.source.open import open_source
from tests.lab.gitrepo import ENVIRONMENT

from .fleet import ROOT, Repository
from .measure import Budget, Case, Other, timed

TITLE = "listing and reading all files of a commit"


def git(where: Path, *args: str, stdin: bytes = b"") -> bytes:
    return subprocess.run(
        ["git", *args], cwd=where, env=ENVIRONMENT, input=stdin, capture_output=True, check=True
    ).stdout


def by_hand(path: Path) -> None:
    listing = git(path, "ls-tree", "-r", "-z", "--full-tree", "main", "--", ROOT).split(b"\0")
    blobs = [record.split(None, 3)[2] for record in listing if record]
    git(path, "cat-file", "--batch", stdin=b"\n".join(blobs) + b"\n")


def traversal(path: Path) -> None:
    with gitpython.Repo(path) as repo:
        contents = [item.data_stream.read() for item in repo.commit("main").tree.traverse() if item.type == "blob"]
        assert contents


def cases(budget: Budget, folder: Path) -> Iterator[Case]:
    count = 300 if budget.quick else 10_000
    repository = Repository(folder / "repository", count)
    config = SourceConfig(url=str(repository.path), ref="main")
    trees = iter(range(1_000))

    def ours() -> None:
        source = open_source(config, GitConfig(), str(folder / "cache"))
        snapshot = source.snapshot(None)
        assert len(source.read([entry.blob for entry in snapshot.entries])) == count
        source.close()

    def checkout() -> None:
        git(repository.path, "worktree", "add", "-q", "--detach", str(folder / f"tree-{next(trees)}"), "main")

    yield Case(
        4, f"{count:,} files, nothing known before", timed(ours),
        (
            Other("git children by hand", timed(lambda: by_hand(repository.path)), 1.2, 0.15),
            Other("GitPython traversal", timed(lambda: traversal(repository.path)), 1 / 4),
            Other("git worktree add", timed(checkout), 1 / 4),
        ),
        least=7, most=40,
    )  # fmt: skip
