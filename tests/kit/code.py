"""Runs with code for tests: a repository's address in; what a run of a job that names it finds, and on what disk."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from reconciler.gitio.runner import GitRunner
from reconciler.model.job import CodeRepository, JobSpec, Schedule, ScheduleKind
from reconciler.model.run import CodeAt, Phase, RunRecord, Trigger
from reconciler.model.service import ServiceConfig
from reconciler.model.workspace import Workspace
from reconciler.workspace.code import Code

FIRST = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)


class CodeLab:
    """The part that makes code, on a disk of its own below `root`. Each run is of a slot of its own."""

    def __init__(self, root: Path, config: ServiceConfig | None = None, owner: tuple[int, int] | None = None,
                 runner: GitRunner | None = None,
                 free: Callable[[Path], int] = lambda _place: 1 << 40) -> None:  # fmt: skip
        self.root, self.config, self._owner, self._runner = root, config or ServiceConfig(), owner, runner
        self._free = free
        self.part = self.reopened()
        self._count = 0

    def reopened(self) -> Code:
        """What a new process has."""
        self.part = Code(self.root, self.root / "runs", lambda _spec: self._owner, self._runner, self._free)
        return self.part

    def run(self, name: str = "", *, slot: int | None = None, cell: int | None = None, code: tuple[CodeAt, ...] = (),
            ) -> RunRecord:  # fmt: skip
        self._count += 1
        number = self._count if slot is None else slot
        at = FIRST + timedelta(hours=number)
        return RunRecord(name or f"ml.train.{number}.{cell or 0}", "ml/train", at, 1, Trigger.SCHEDULE, "scheduler",
                         "d" * 64, "r" * 40, Phase.PREPARING, at, cell=cell, code=code)  # fmt: skip

    def make(self, *repositories: CodeRepository, run: RunRecord | None = None, **fields: object) -> Workspace:
        return self.part.make(run or self.run(), job_with(*repositories, **fields), self.config)

    def checkout(self, url: str | Path, ref: str = "main", **said: Any) -> Path:
        """What a further run finds of one repository."""
        return Path(self.make(CodeRepository(str(url), "/code", ref, **said)).binds[0].source)


def job_with(*repositories: CodeRepository, **fields: object) -> JobSpec:
    schedule = Schedule(ScheduleKind.MANUAL)
    return JobSpec("ml/train", "default", schedule, "busybox:local", repositories=repositories, **fields)  # type: ignore[arg-type]
