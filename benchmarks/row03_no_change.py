"""Row 3: noticing that nothing has changed, on a local repository and on a remote one over loopback http."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import git as gitpython

from reconciler.model.service import GitConfig, SourceConfig
from reconciler.source.open import open_source
from tests.lab.gitrepo import ENVIRONMENT

from .fleet import Repository
from .measure import Budget, Case, Other, timed

TITLE = 'noticing "no change"'
NAMES = ("refs/heads/main", "refs/heads/main^{}", "refs/tags/main", "refs/tags/main^{}")
SERVER = "import sys; from pathlib import Path; from tests.lab.githttp import GitHttp; \
s = GitHttp(Path(sys.argv[1])); print(s.url, flush=True); sys.stdin.read()"


@contextmanager
def http_server(root: Path) -> Iterator[str]:
    """A process of its own that serves the repositories below `root`; its base URL."""
    child = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[1],
    )  # fmt: skip
    assert child.stdout is not None and child.stdin is not None
    try:
        yield child.stdout.readline().decode().strip()
    finally:
        child.stdin.close()
        child.wait(10)
        child.stdout.close()


def ls_remote(url: str) -> None:
    subprocess.run(["git", "ls-remote", "--quiet", "--", url, *NAMES], env=ENVIRONMENT, capture_output=True, check=True)


def cases(budget: Budget, folder: Path) -> Iterator[Case]:
    repository = Repository(folder / "repository", 50 if budget.quick else 1000)
    bare = repository.repo.bare_clone(folder / "served/fleet.git")
    least = 3 if budget.quick else 15
    with http_server(folder / "served") as base:
        for number, (what, url) in enumerate(
            (("a local repository", str(repository.path)), ("a remote over http", f"{base}/fleet.git"))
        ):
            source = open_source(SourceConfig(url=url, ref="main"), GitConfig(), str(folder / "cache"))
            known = source.snapshot(None)

            def ours(source=source, known=known) -> None:
                assert source.snapshot(known.commit.id) is known

            os.environ.update({key: value for key, value in ENVIRONMENT.items() if key.startswith("GIT_")})
            clone = gitpython.Repo.clone_from(url, folder / f"clone-{number}", bare=True)
            fetch = partial(clone.remotes.origin.fetch, "+refs/heads/main:refs/heads/main")
            yield Case(
                3, what, timed(ours),
                (
                    Other("git ls-remote", timed(lambda url=url: ls_remote(url)), 1.05, 0.08),
                    Other("GitPython fetch", timed(fetch), 1 / 1.3),
                ),
                least=least, most=120,
            )  # fmt: skip
            source.close()
            clone.close()
    assert bare.exists()
