"""Promise: a repository of 1 GiB is a matter of the run that asks for it: taken or refused, the disk stays bounded and
all other jobs fire at their instants."""

import contextlib
import hashlib
import os
import statistics
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model.run import Disposition, FailureClass, Phase, RunRecord
from reconciler.workspace.sizes import size_of
from tests.kit.folders import reachable_folder
from tests.kit.service import ServiceChild, eventually, service_child
from tests.lab.gitrepo import GitRepo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]

GIB, PIECE = 1 << 30, 64 << 20
TICK = """schedule: '*/2 * * * * *'
image: none
start_deadline: 60s
concurrency_policy: Allow
script: 'true'
"""
BIG = """schedule: manual
image: none
working_dir: /code
repositories: [{{url: '{url}', ref: main, target: /code}}]
script: cat f* | wc -c
"""
LATEST = 10.0  # seconds after its instant that a job may start on a busy machine; the big one takes longer


def blob(repository: Path, data: bytes) -> str:
    """What `git hash-object -w` makes, without packing what cannot be packed."""
    raw = b"blob %d\0" % len(data) + data
    name = hashlib.sha1(raw, usedforsecurity=False).hexdigest()
    place = repository / "objects" / name[:2] / name[2:]
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(zlib.compress(raw, 0))
    return name


@pytest.fixture(scope="module")
def big() -> Iterator[Path]:
    """A bare repository of sixteen files that nothing can make smaller."""
    with reachable_folder() as folder:
        repo = GitRepo(folder / "big.git", bare=True)
        for name, value in (("core.compression", "0"), ("core.bigFileThreshold", "1m")):
            repo.git("config", name, value)
        noise = os.urandom(PIECE)
        blobs = [blob(repo.path, noise[number:] + noise[:number]) for number in range(GIB // PIECE)]
        repo.commit_tree(repo.tree(*(("100644", f"f{number:02}", blob) for number, blob in enumerate(blobs))))
        assert size_of(repo.path) > GIB
        yield repo.path


class Busy:
    """A service whose other job fires every two seconds; what its code takes of the disk is looked at meanwhile."""

    def __init__(self, service: ServiceChild) -> None:
        self.service, self.peak = service, 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._ended.wait(0.1):
            self.peak = max(self.peak, self.on_disk())

    def on_disk(self) -> int:
        return size_of(self.service.state_dir / "code")

    def run(self) -> tuple[RunRecord, float]:
        """The big job to its end, and the seconds that it took; nobody else has been late."""
        eventually(lambda: len(self.service.runs("tick")) > 1, "it ticks")
        self._thread.start()
        begun = time.monotonic()
        run_id = self.service.json("run", "big")["run_id"]
        ended = eventually(lambda: next((r for r in self.service.runs("big") if r.run_id == run_id and not r.active),
                                        None), "it ends", within=360)  # fmt: skip
        took = time.monotonic() - begun
        eventually(lambda: len(self.service.runs("tick")) > 5, "it ticks on")
        self._ended.set()
        self._thread.join()
        self.check_ticks()
        return ended, took

    def check_ticks(self) -> None:
        ticks = [run for run in self.service.runs("tick") if not run.active]
        late = [(run.started_at - run.slot).total_seconds() for run in ticks if run.started_at is not None]
        print(f"{len(late)} ticks, late by {statistics.median(late):.3f} s, at most {max(late):.3f} s")
        assert len(late) == len(ticks) and max(late) < LATEST
        assert {slot.disposition for slot in self.service.slots("tick")} == {Disposition.RAN}


@contextlib.contextmanager
def busy(big: Path, limits: str) -> Iterator[Busy]:
    with reachable_folder() as folder:
        jobs = GitRepo(folder / "jobs")
        jobs.commit({"jobs.d/tick.yaml": TICK, "jobs.d/big.yaml": BIG.format(url=big)})
        config = f"policy: {{repositories: ['{big}']}}\nlimits: {{{limits}}}\ngit: {{timeout: 5m}}\n"
        with service_child(folder, jobs.path, "process", instance="big", config=config) as service:
            service.start().reachable()
            eventually(lambda: len(service.standing()) == 2, "both are applied")
            yield Busy(service)


def test_by_default_it_is_taken_and_what_is_kept_of_it_is_bounded(big: Path) -> None:
    with busy(big, "code_bytes: 2g") as lab:
        run, took = lab.run()
        log = lab.service.log_of(run)
        print(f"taken in {took:.1f} s, {lab.peak / GIB:.2f} GiB of disk at most")
        assert run.phase is Phase.SUCCEEDED and int(log) == GIB, log
        assert lab.peak < 5.2 * GIB  # its mirror; the tree and the run's copy, each with its history
        eventually(lambda: lab.on_disk() <= 2 * GIB, "it makes room")


def test_beyond_its_bound_it_is_refused_before_it_is_here(big: Path) -> None:
    with busy(big, "repository_bytes: 128m") as lab:
        run, took = lab.run()
        print(f"refused in {took:.1f} s, {lab.peak >> 20} MiB of disk at most")
        assert run.phase is not Phase.SUCCEEDED and run.failure is FailureClass.CODE and run.started_at is None
        assert "more than 128 MiB" in run.reason and lab.peak < 130 << 20 and lab.on_disk() < 1 << 20
        (slot,) = lab.service.slots("big")
        assert slot.disposition is Disposition.UNAVAILABLE
        assert "repository_bytes" in lab.service.entries("run.delayed", code="code-too-big")[0]["hint"]
