"""Promise: what goes wrong outside is said with a stable code; nothing is lost, retired or run twice, and it mends.

The state directory, the repository and single jobs; what happens to the Engine itself is in `test_service_docker.py`.
"""

import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.model.run import Disposition, Phase
from tests.kit.docker_engine import clean_up
from tests.kit.firing import assert_fired_exactly_once, witness_volume, witnessed_job
from tests.kit.folders import reachable_folder
from tests.kit.service import ServiceChild, eventually, service_child
from tests.kit.standing import api, run_containers, standing
from tests.lab.dockerd import Handle
from tests.lab.githttp import GitHttp
from tests.lab.gitrepo import GitRepo
from tests.lab.images import BUSYBOX, ensure_busybox, labelled_image

TICK = 'schedule: "@every 1s"\nimage: none\nscript: echo tick\n'
RESTORE = "reconciler takeover"


def repository(folder: Path, files: dict[str, str]) -> GitRepo:
    repo = GitRepo(folder / "jobs")
    repo.commit({f"jobs.d/{name}.yaml": text for name, text in files.items()})
    return repo


def told(folder: Path) -> str:
    """Runs until `end` appears beside the repository."""
    script = f"  echo up\n  until [ -e {folder}/end ]; do sleep 0.1; done\n  echo told\n"
    return f"schedule: manual\nimage: none\nscript: |\n{script}"


def fires_on(service: ServiceChild, job: str, count: int = 2) -> None:
    """It makes further runs that succeed."""
    before = sum(run.phase is Phase.SUCCEEDED for run in service.runs(job))
    eventually(
        lambda: sum(run.phase is Phase.SUCCEEDED for run in service.runs(job)) >= before + count, f"{job} fires on"
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    with reachable_folder() as made:
        yield made


@pytest.fixture
def service(folder: Path) -> Iterator[ServiceChild]:
    """On the process engine: a job that waits to be told, and one that ticks."""
    source = repository(folder, {"told": told(folder), "tick": TICK}).path
    with service_child(folder, source, "process", instance="bad") as child:
        yield child


# -- the state directory -------------------------------------------------------------------------------------------


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garble(path: Path) -> None:
    """Overwrite every page but the first, whose header still looks right."""
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))


LOSSES = [
    ("missing", remove, "reconciler.db", "state-lost"), ("empty", empty, "reconciler.db", "state-lost"),
    ("corrupt", garble, "reconciler.db", "state-corrupt"),
    ("without identity", remove, "identity.json", "identity-lost"),
    ("with a damaged identity", empty, "identity.json", "identity-corrupt"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "name", "code"), [loss[1:] for loss in LOSSES], ids=[loss[0] for loss in LOSSES])
def test_lost_state_is_never_a_first_start_and_a_takeover_adopts_what_runs(
    service: ServiceChild, damage: Callable[[Path], None], name: str, code: str
) -> None:
    service.start().reachable()
    eventually(lambda: service.standing().keys() == {"told", "tick"}, "the jobs are applied")
    service.cli("pause", "tick")
    run_id = service.json("run", "told")["run_id"]
    service.await_run("told")
    assert service.stop() == 0
    damage(service.state_dir / name)

    refused = service.run("serve")
    assert refused.returncode == 1
    assert f"[{code}]" in refused.stderr and RESTORE in refused.stderr, refused.stderr
    assert "Traceback" not in refused.stderr

    assert "adopted at the next start" in service.cli("takeover", "bad")
    service.start().reachable()
    run = service.await_run("told")
    assert run.run_id == run_id
    (service.folder / "end").touch()
    ended = service.await_run("told", "succeeded")
    assert (ended.run_id, ended.exit_code) == (run_id, 0)
    assert service.log_of(ended) == "up\ntold\n"
    fires_on(service, "tick") if code.startswith("state") else service.cli("resume", "tick")
    fires_on(service, "tick")
    assert not service.entries("service.broken")


def test_a_full_disk_degrades_runs_nothing_twice_and_mends_itself(private_docker: Handle, folder: Path) -> None:
    host, instance = private_docker.docker_host, f"t{secrets.token_hex(4)}"
    ensure_busybox(host)
    witness = witness_volume(host, instance)
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=755", "tmpfs", disk], check=True, timeout=30)
    try:
        jobs = {"strict": witnessed_job("*/2 * * * * *", BUSYBOX, "/witness/starts")}
        with service_child(
            folder, repository(folder, jobs).path, instance=instance, docker_host=host, state_dir=disk / "state"
        ) as service:
            service.start().reachable()
            fires_on(service, "strict")
            ballast = fill(disk)
            eventually(lambda: service.degraded("disk-full"), "it says that the disk is full")
            assert service.check()[0] == 2
            assert service.entries("storage.degraded", code="disk-full")[0]["hint"]
            alive = service.entries("storage.degraded")
            ballast.unlink()
            eventually(lambda: not service.degraded("disk-full"), "it has recovered")
            assert service.await_entry("storage.recovered") and alive
            fires_on(service, "strict")
            allowed = {Disposition.RAN, Disposition.SKIPPED, Disposition.MISSED, Disposition.UNAVAILABLE}
            assert_fired_exactly_once(service, "strict", witness, allowed)
            assert service.alive and not service.entries("service.broken")
    finally:
        clean_up(host, instance)
        subprocess.run(["umount", "-l", disk], check=True, timeout=30)


def fill(disk: Path) -> Path:
    """Take all that is left of a small file system."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return ballast


# -- the repository ------------------------------------------------------------------------------------------------


def test_D2_an_unreachable_remote_retires_nothing_and_jobs_keep_firing(folder: Path) -> None:
    work = repository(folder, {"tick": TICK})
    (folder / "srv").mkdir()
    bare = work.bare_clone(folder / "srv/jobs.git")
    with GitHttp(folder / "srv") as remote:
        config = f"source: {{url: '{remote.url}/{bare.name}', ref: main, poll_interval: 1s}}"
        with service_child(folder, "", "process", instance="bad", config=config) as service:
            service.start().reachable()
            fires_on(service, "tick")
            remote.fault = "500"
            failed = service.await_entry("sync.failed")
            assert failed["code"] == "source-unavailable" and failed["hint"]
            fires_on(service, "tick")
            assert service.degraded(failed["code"])
            assert service.check()[0] == 2
            work.commit({"jobs.d/other.yaml": TICK})
            work.push()
            remote.fault = ""
            service.await_entry("sync.recovered")
            fires_on(service, "other")
            assert service.standing().keys() == {"tick", "other"}
            assert service.check()[0] == 0


def test_D2_a_remote_that_is_away_at_the_first_start_delays_nothing_but_the_plan(folder: Path) -> None:
    config = "source: {url: 'http://127.0.0.1:1/jobs.git', ref: main, poll_interval: 1s}"
    with service_child(folder, "", "process", instance="bad", config=config) as service:
        service.start().reachable()
        eventually(lambda: service.degraded("source-unavailable"), "it says that the remote is away")
        assert service.run("apply").returncode == 1
        assert service.stop() == 0


def test_D5_a_rewritten_history_is_held_until_it_is_accepted(folder: Path) -> None:
    work = repository(folder, {"tick": TICK})
    bare = work.bare_clone(folder / "jobs.git")
    with service_child(folder, bare, "process", instance="bad") as service:
        service.start().reachable()
        eventually(lambda: "tick" in service.standing(), "the job is applied")
        work.git("commit", "-q", "--amend", "-m", "another past")
        work.commit({"jobs.d/other.yaml": TICK})
        work.push("--force", "main")
        refused = service.await_entry("plan.refused")
        fires_on(service, "tick")
        assert service.standing().keys() == {"tick"}
        assert service.degraded(refused["code"])
        service.cli("approve", work.head())
        eventually(lambda: service.standing().keys() == {"tick", "other"}, "the new history is applied")
        accepted = work.commit({"jobs.d/third.yaml": TICK}) and work.head("HEAD~1")
        work.push("main")
        eventually(lambda: "third" in service.standing(), "what came on top is applied")
        work.git("reset", "-q", "--hard", accepted)
        work.push("--force", "main")
        service.await_entry("plan.refused", 2)  # the approval was for once
        assert "third" in service.standing()


# -- single jobs ---------------------------------------------------------------------------------------------------


@pytest.fixture
def docker_service(folder: Path, docker_host: str) -> Iterator[ServiceChild]:
    ensure_busybox(docker_host)
    instance = f"t{secrets.token_hex(4)}"
    try:
        with service_child(folder, folder / "jobs", instance=instance, docker_host=docker_host) as service:
            yield service
    finally:
        clean_up(docker_host, instance)


def docker_job(image: str, schedule: str = "*/2 * * * * *", more: str = "pull_policy: never\n") -> str:
    return f'schedule: "{schedule}"\nimage: {image}\n{more}script: echo $RECONCILER_RUN_ID\n'


def test_P4_a_definition_whose_image_is_missing_does_not_replace_the_live_one(docker_service: ServiceChild) -> None:
    service = docker_service
    repo = repository(service.folder, {"beat": docker_job(BUSYBOX), "other": docker_job(BUSYBOX, "manual")})
    service.start().reachable()
    fires_on(service, "beat", 1)
    live = standing(service.docker_host, service.instance)["beat"]

    repo.commit({"jobs.d/beat.yaml": docker_job("nowhere:1"), "jobs.d/other.yaml": docker_job(BUSYBOX, "@daily")})
    failed = service.await_entry("job.apply-failed", job="beat")
    assert failed["code"] == "image-missing" and failed["hint"]
    assert standing(service.docker_host, service.instance)["beat"].ref == live.ref
    eventually(lambda: service.standing()["other"].spec.schedule.expression == "@daily", "the rest applies")
    fires_on(service, "beat")
    assert service.standing()["beat"].digest == live.digest

    repo.commit({"jobs.d/beat.yaml": docker_job("127.0.0.1:1/nowhere:1", more="")})
    eventually(lambda: service.entries("job.apply-failed", code="registry-unavailable"), "a registry that is away")
    assert standing(service.docker_host, service.instance)["beat"].ref == live.ref
    repo.commit({"jobs.d/beat.yaml": docker_job(BUSYBOX, "*/3 * * * * *")})  # rule D7: its fix is not held up
    eventually(lambda: service.standing()["beat"].digest != live.digest, "the fix is applied")
    fires_on(service, "beat")


def test_R4_a_slot_whose_image_is_missing_is_delayed_and_runs_when_it_appears(docker_service: ServiceChild) -> None:
    service, tag = docker_service, f"gone-{secrets.token_hex(4)}:1"
    labelled_image(service.docker_host, tag, ["LABEL a=b"])
    repository(service.folder, {"late": docker_job(tag, "manual")})
    service.start().reachable()
    eventually(lambda: "late" in service.standing(), "the job is applied")
    with api(service.docker_host) as client:
        client.remove_image(tag, force=True)  # first the image: a container alone would be healed at once
        client.remove_container(service.standing()["late"].ref)
    run_id = service.json("run", "late")["run_id"]
    delayed = service.await_entry("run.delayed", run=run_id)
    assert delayed["code"] == "image-missing" and delayed["hint"]
    service.await_entry("job.apply-failed", job="late", code="image-missing")  # healing it fails for the same reason
    labelled_image(service.docker_host, tag, ["LABEL a=b"])
    ended = service.await_run("late", "succeeded")
    assert [run.started_at is not None for run in service.runs("late")].count(True) == 1
    assert ended.slot == next(run.slot for run in service.runs("late") if run.run_id == run_id)
    eventually(lambda: "late" in standing(service.docker_host, service.instance), "the standing container is healed")
    with api(service.docker_host) as client:
        eventually(lambda: not run_containers(service.docker_host, service.instance), "the run is removed")
        client.remove_image(tag, force=True)


def test_P2_a_foreign_container_of_our_name_is_reported_and_never_touched(docker_service: ServiceChild) -> None:
    service = docker_service
    repository(service.folder, {"data/orders": docker_job(BUSYBOX, "manual"), "beat": docker_job(BUSYBOX)})
    with api(service.docker_host) as client:
        labels = {"io.reconciler.instance": service.instance}  # a copied label proves nothing
        for name, marked in (("data.orders", labels),):
            made = client.create_container(BUSYBOX, ["true"], name=f"{service.instance}.{name}", labels=marked)
        service.start().reachable()
        fires_on(service, "beat")
        held = service.await_entry("job.held", job="data/orders")
        assert "not provably ours" in held["why"]
        assert "data/orders" not in service.standing()
        code, line = service.check()
        assert (code, "data/orders HELD" in line) == (1, True), line
        assert client.inspect_container(made["Id"])["State"]["Status"] == "created"
        client.remove_container(made["Id"])
    eventually(lambda: "data/orders" in service.standing(), "it is installed when the name is free")
