"""Row 2: from git to plan over a fleet that stands, after a commit that touches 0, 1, 10 or 100 files."""

import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from reconciler.daemon.fetch import Fetcher
from reconciler.model.plan import Plan
from reconciler.model.service import ServiceConfig, SourceConfig
from reconciler.plan.diff import PlanContext, make_plan
from reconciler.source.open import open_source
from reconciler.spec.desire import desire

from .fleet import ROOT, Repository, applied
from .measure import Budget, Case, Other, timed

TITLE = "warm pass: from git to plan, listing given"


class Pass:
    """One pass as the sync loop makes it, on a fleet that is applied."""

    def __init__(self, repository: Repository, folder: Path) -> None:
        self.config = ServiceConfig(source=SourceConfig(url=str(repository.path), ref="main"))
        self.fetcher = Fetcher(lambda config: open_source(config.source, config.git, str(folder)), "bench")
        self.revision = repository.head()
        self.settle()

    def _refresh(self):
        return self.fetcher.refresh(self.config, self.revision, datetime.now(UTC), kicked=False)

    def run(self) -> Plan:
        desired = self._refresh()
        context = PlanContext(now=datetime.now(UTC), previous_revision=self.revision)
        return make_plan(desired, self.live, self.standing, self.config, context)

    def settle(self) -> None:
        """As if the last plan had been applied."""
        desired = self._refresh()
        self.revision = desired.commit.id
        self.standing, self.live = applied(desired)

    def reload(self) -> Plan:
        """The same with nothing remembered."""
        source = self.fetcher.source
        assert source is not None
        snapshot = source.snapshot(self.revision)
        desired, _ = desire(snapshot, source.read, self.config, {})
        context = PlanContext(now=datetime.now(UTC), previous_revision=self.revision)
        return make_plan(desired, self.live, self.standing, self.config, context)


def children(repository: Repository, revision: Callable[[], str], *, changed: bool) -> Callable[[], None]:
    """What git itself needs: which commit, which files, the contents of those that differ."""

    def git(*args: str, stdin: bytes = b"") -> bytes:
        return subprocess.run(["git", *args], cwd=repository.path, input=stdin, capture_output=True, check=True).stdout

    def work() -> None:
        head = git("rev-parse", "main").decode().strip()
        if not changed:
            return
        listing = git("diff-tree", "-r", "-z", revision(), head, "--", ROOT).split(b"\0")
        blobs = [record.split()[3] for record in listing if record.startswith(b":")]
        git("ls-tree", "-r", "-z", "--full-tree", head, "--", ROOT)
        git("cat-file", "--batch", stdin=b"\n".join(blobs) + b"\n")

    return work


def cases(budget: Budget, folder: Path) -> Iterator[Case]:
    count = 300 if budget.quick else 10_000
    repository = Repository(folder / "repository", count)
    world = Pass(repository, folder / "cache")
    for files in (0, 1, 10, 100):
        reload = (Other("full reload", timed(world.reload), 0.01),) if files == 0 else ()  # takes seconds
        before = {"head": repository.head()}

        def change(files=files, before=before) -> None:
            world.settle()
            before["head"] = repository.head()
            if files:
                repository.change(files)

        def ours(files=files) -> None:
            plan = world.run()
            assert plan.unchanged == count - len(plan.actions), plan.actions[:3]

        yield Case(
            2, f"{files} of {count:,} files changed", timed(ours, change),
            (
                Other("git children by hand", timed(children(repository, lambda b=before: b["head"], changed=files > 0),
                                                    change), None if files == 0 else 1.3),
                *reload,
            ),
            ceiling=0.05 if files == 0 else 1.0, least=3 if budget.quick else 7, most=25,
        )  # fmt: skip
