"""Promise: a run that writes into its checkout without end is stopped before it has the disk, and leaves nothing."""

import subprocess
from pathlib import Path

from reconciler.model.run import FailureClass, Phase
from reconciler.workspace.budget import collect
from reconciler.workspace.growth import grown
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
    tree = lab.checkout(repo.path)
    (before,) = grown(lab.root / "runs")
    assert before.run_id == "ml.train.1.0" and before.more < 1 << 20
    script = "i=0; while [ $i -lt 1500 ]; do mkdir d && cd d || exit 1; i=$((i+1)); done; head -c 9000000 /dev/zero > x"
    subprocess.run(["sh", "-c", script], cwd=tree, check=True, timeout=60)
    (after,) = grown(lab.root / "runs")
    assert after.more > 9_000_000 and after.size - before.size > 9_000_000
    lab.part.drop("ml.train.1.0")
    assert list(grown(lab.root / "runs")) == [] and list(grown(tmp_path / "none")) == []


def test_one_that_the_disk_does_not_tell_of_hides_no_other(tmp_path: Path) -> None:
    """The watch's thread is one of the service's: what it raises ends the service."""
    repo = GitRepo(tmp_path / "repo")
    repo.commit({"a": "a\n"})
    lab = CodeLab(tmp_path / "code")
    lab.checkout(repo.path)
    (lab.root / "runs/a.bad.run/code.json").mkdir(parents=True)
    (lab.root / "trees/x/bad/ready.json").mkdir(parents=True)
    assert [item.run_id for item in grown(lab.root / "runs")] == ["ml.train.1.0"]
    collect(lab.part._mirrors, lab.part._trees, 1 << 40)
    assert not (lab.root / "trees/x/bad").exists() and len(list((lab.root / "trees").glob("*/*"))) == 1


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
