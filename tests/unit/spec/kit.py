"""A repository as a dict of texts, and what `desire` makes of it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.model.desired import Commit, DesiredState, Entry, Snapshot
from reconciler.model.job import JobSpec
from reconciler.model.live import StandingJob
from reconciler.model.problem import SpecProblem
from reconciler.model.service import ServiceConfig
from reconciler.spec.desire import Cache, desire

JOB = "schedule: manual\nimage: busybox:1.36\n"


@dataclass
class Repo:
    """Files by path below `root`, the jobs directory. `asked` lists the blobs that were read, in order."""

    files: dict[str, str | bytes]
    root: str = "jobs.d"
    config: ServiceConfig = field(default_factory=ServiceConfig)
    problems: tuple[SpecProblem, ...] = ()
    cache: Cache = field(default_factory=dict)
    standing: dict[str, StandingJob] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def snapshot(self) -> Snapshot:
        entries = []
        for path, text in sorted(self.files.items()):
            full = f"{self.root}/{path}" if self.root else path
            entries.append(Entry(path, full, self.blob(text), len(_bytes(text))))
        return Snapshot(Commit("c" * 40), "main", tuple(entries), self.problems)

    @staticmethod
    def blob(text: str | bytes) -> str:
        return hashlib.sha1(_bytes(text)).hexdigest()

    def read(self, blobs: Sequence[str]) -> Mapping[str, bytes]:
        self.asked += blobs
        have = {self.blob(text): _bytes(text) for text in self.files.values()}
        return {blob: have[blob] for blob in blobs}

    def desire(self) -> DesiredState:
        state, self.cache = desire(self.snapshot(), self.read, self.config, self.cache, self.standing)
        assert not [p for p in state.problems if p.code == "unreadable-file"], state.problems
        return state


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def job(text: str, config: ServiceConfig | None = None, *, path: str = "a.yaml", **others: str) -> JobSpec:
    """The spec of one file on top of `schedule: manual` and an image; fails with its problems."""
    state = desired(text, config, path=path, **others)
    assert not state.errors, "\n".join(map(str, state.errors))
    return state.jobs[path.rpartition(".")[0]].spec


def problems(text: str, config: ServiceConfig | None = None, **others: str) -> list[SpecProblem]:
    """All problems of one file that is otherwise right."""
    return list(desired(text, config, **others).problems)


def desired(text: str, config: ServiceConfig | None = None, *, path: str = "a.yaml", **others: str) -> DesiredState:
    """`others`: further files, `__` for a slash and `_yaml` at the end for the suffix."""
    missing = [line for line in JOB.splitlines() if f"{line.split(':')[0]}:" not in text]
    files: dict[str, str | bytes] = {path: text + ("" if text.endswith("\n") else "\n") + "\n".join(missing) + "\n"}
    return Repo(files | dict(others), config=config or ServiceConfig()).desire()
