"""Promise: a run that writes into its checkout without end is stopped before it has the disk, and leaves nothing."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model.run import FailureClass, Phase
from reconciler.workspace.budget import collect
from reconciler.workspace.growth import LONGEST_REST, PATIENCE, REST, Growth
from tests.kit.code import CodeLab
from tests.kit.folders import reachable_folder
from tests.kit.service import eventually, service_child
from tests.lab.gitrepo import GitRepo

JOB = """schedule: manual
image: none
stop_grace_period: 1s
working_dir: /code
repositories: [{{url: '{url}', ref: main, target: /code}}]
script: |
  {script}
"""
GREEDY = "pwd; i=0; while [ $i -lt 400 ]; do head -c 1048576 /dev/zero > f$i; i=$((i+1)); sleep 0.05; done; sleep 60"


def test_its_size_is_known_however_deep_it_is(tmp_path: Path) -> None:
    repo = GitRepo(tmp_path / "repo")
    repo.commit({"a": "a\n"})
    lab = CodeLab(tmp_path / "code")
    now, tree = 0.0, lab.checkout(repo.path)
    growth = Growth(lab.root / "runs", clock=lambda: now)
    (before,) = growth.look()
    assert before.run_id == "ml.train.1.0" and before.more < 1 << 20
    script = "i=0; while [ $i -lt 1500 ]; do mkdir d && cd d || exit 1; i=$((i+1)); done; head -c 9000000 /dev/zero > x"
    subprocess.run(["sh", "-c", script], cwd=tree, check=True, timeout=60)
    assert growth.look() == [before]  # it rests
    now = REST
    (after,) = growth.look()
    assert after.more > 9_000_000 and after.size - before.size > 9_000_000
    lab.part.drop("ml.train.1.0")
    assert growth.look() == [] and Growth(tmp_path / "none").look() == []


def test_one_that_the_disk_does_not_tell_of_hides_no_other(tmp_path: Path) -> None:
    """The watch's thread is one of the service's: what it raises ends the service."""
    repo = GitRepo(tmp_path / "repo")
    repo.commit({"a": "a\n"})
    lab = CodeLab(tmp_path / "code")
    lab.checkout(repo.path)
    (lab.root / "runs/a.bad.run/code.json").mkdir(parents=True)
    (lab.root / "trees/x/bad/ready.json").mkdir(parents=True)
    assert [item.run_id for item in Growth(lab.root / "runs").look()] == ["ml.train.1.0"]
    collect(lab.part._mirrors, lab.part._trees, 1 << 40)
    assert not (lab.root / "trees/x/bad").exists() and len(list((lab.root / "trees").glob("*/*"))) == 1


class Slow:
    """Runs of which those with a file `slow` beside their checkouts are counted for as long as that is there."""

    COUNT = 'n=0; while [ -e "$0/slow" ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done; exec du -s -B1 "$0"'

    def __init__(self, path: Path, count: int) -> None:
        repo = GitRepo(path / "repo")
        repo.commit({"a": "a\n"})
        self.lab, self.now = CodeLab(path / "code"), 0.0
        self.trees = [self.lab.checkout(repo.path) for _ in range(count)]
        self.growth = Growth(self.lab.root / "runs", ("sh", "-c", self.COUNT), lambda: self.now, quick=0.3)

    def slow(self, number: int) -> Path:
        return self.trees[number].parent / "slow"

    def write(self, number: int) -> None:
        (self.trees[number] / "x").write_bytes(b"x" * (5 << 20))

    def grew(self, after: float = REST) -> list[bool]:
        """Which are known to have grown, a look later."""
        self.now += after
        return [item.more >= 5 << 20 for item in self.growth.look()]


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Slow]:
    made = Slow(tmp_path, 3)
    yield made
    made.growth.close()


def test_slow_ones_do_not_keep_the_others_from_being_counted(slow: Slow) -> None:
    for number in (0, 1):
        slow.slow(number).touch()
        slow.write(number)
    assert slow.grew() == [False, False, False]
    slow.write(2)
    begun = time.monotonic()
    assert slow.grew() == [False, False, True]
    assert time.monotonic() - begun < 20
    slow.slow(0).unlink()
    assert slow.grew() == [True, False, True]
    slow.slow(1).unlink()
    eventually(lambda: slow.grew() == [True, True, True], "the other has its turn")
    (slow.trees[0] / "y").write_bytes(b"y" * (5 << 20))
    before = slow.growth.look()[0].size
    slow.now += LONGEST_REST  # it rests no longer than that
    assert slow.growth.look()[0].size > before


def test_one_that_takes_too_long_is_tried_once_more_and_is_then_countless(slow: Slow) -> None:
    slow.slow(1).touch()
    slow.growth.look()
    for patience, countless in zip(PATIENCE, (False, True), strict=True):
        slow.now += patience + 1
        assert [item.countless for item in slow.growth.look()] == [False, countless, False]
        slow.now += LONGEST_REST
        slow.growth.look()  # it is begun anew
    slow.slow(1).unlink()
    eventually(lambda: not any(item.countless for item in slow.growth.look()), "it can be counted after all")


def test_what_is_being_counted_ends_with_the_watch_and_with_its_run(slow: Slow) -> None:
    slow.slow(0).touch()
    slow.growth.look()
    slow.lab.part.drop("ml.train.1.0")
    assert len(slow.growth.look()) == 2
    slow.slow(1).touch()
    slow.grew()
    slow.growth.close()
    assert subprocess.run(["pgrep", "-f", str(slow.lab.root)], capture_output=True, check=False).stdout == b""


def test_what_the_disk_lacks_is_known_once_the_cache_has_made_room(tmp_path: Path) -> None:
    repo = GitRepo(tmp_path / "repo")
    repo.commit({"a": "a\n"})
    free = 1 << 40
    lab = CodeLab(tmp_path / "code", free=lambda _place: free)
    assert lab.part.lacking() == 0  # nothing is there yet
    lab.checkout(repo.path)
    assert lab.part.lacking() == 0 and list((lab.root / "trees").glob("*/*")) != []
    free = 200 << 20
    assert lab.part.lacking() == 56 << 20 and list((lab.root / "trees").glob("*/*")) == []


def test_a_run_that_outgrows_its_bound_is_stopped_and_others_go_on() -> None:
    with reachable_folder() as folder:
        code, jobs = GitRepo(folder / "code"), GitRepo(folder / "jobs")
        code.commit({"a": "a\n"})
        jobs.commit({
            "jobs.d/greedy.yaml": JOB.format(url=code.path, script=GREEDY),
            "jobs.d/modest.yaml": JOB.format(url=code.path, script="sleep 40"),
        })  # fmt: skip
        config = f"policy: {{repositories: ['{code.path}']}}\nlimits: {{checkout_bytes: 40m}}\n"
        with service_child(folder, jobs.path, "process", instance="grown", config=config) as service:
            service.start().reachable()
            eventually(lambda: len(service.standing()) == 2, "both are applied")
            for job in ("modest", "greedy"):
                service.json("run", job)
            told = service.await_entry("code.outgrown")
            assert told["code"] == "checkout-too-big" and told["bytes"] > 40 << 20 and told["hint"]
            run = eventually(lambda: next((r for r in service.runs("greedy") if not r.active), None), "it ends")
            assert (run.phase, run.failure) == (Phase.FAILED, FailureClass.DISK)
            assert run.reason.startswith("checkout-too-big: ") and "limits.checkout_bytes (40 MiB)" in run.reason
            assert service.runs("modest")[0].active
            shown = service.cli("show", run.run_id)
            assert "checkout-too-big" in shown
            place = Path(service.log_of(run).splitlines()[0])
            eventually(lambda: not place.exists(), "its checkout is removed")
