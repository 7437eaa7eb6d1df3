"""Promise: whatever happens to the Docker Engine, no slot runs twice or is lost, and the service mends by itself."""

import contextlib
import random
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import docker
import pytest

from reconciler.model.run import Disposition, Phase
from tests.kit.docker_engine import clean_up
from tests.kit.firing import Witness, assert_fired_exactly_once, witness_volume, witnessed_job
from tests.kit.folders import reachable_folder
from tests.kit.service import ServiceChild, eventually, service_child
from tests.kit.standing import api, run_containers, standing
from tests.lab.dockerd import Handle, ensure
from tests.lab.faultproxy import FaultProxy
from tests.lab.gitrepo import GitRepo
from tests.lab.images import BUSYBOX, ensure_busybox
from tests.lab.registry import registry

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

# While the Engine is away or slow a slot may be given up, with its reason.
DISTURBED = {Disposition.RAN, Disposition.SKIPPED, Disposition.MISSED, Disposition.UNAVAILABLE, Disposition.SUPERSEDED}
# With time to spare it is given up only for a later one: while nobody could decide, or by one that could not start yet.
SPARED = {Disposition.RAN, Disposition.MISSED, Disposition.SUPERSEDED}
PULL_GIVEN_UP = 150.0  # seconds after which a silent pull has ended for certain; the Engine itself is quicker
PRUNES = 40  # over about seven slots of the slower job
MOST_PRUNES = 8  # by then it must have been noticed
STOPPED_WITHIN = 45.0  # seconds that the end of the service may take while every call hangs
PATIENT = "concurrency_policy: Allow\nstart_deadline: 10m\n"


@pytest.fixture(scope="module")
def own(private_docker: Handle) -> Iterator[Handle]:
    """An Engine of our own to kill, to freeze and to prune. (The shared one is asked for so that there can be one.)"""
    directory = Path(tempfile.mkdtemp(prefix="reconciler-own-"))
    handle = ensure(directory)
    try:
        ensure_busybox(handle.docker_host)
        yield handle
    finally:
        handle.thaw() if (directory / "dockerd.pid").exists() else None
        handle.stop()
        shutil.rmtree(directory, ignore_errors=True)
        Path(f"{directory}.lock").unlink(missing_ok=True)


@dataclass
class Fleet:
    """A service on our own Engine, and who has seen its jobs start."""

    service: ServiceChild
    witness: Witness
    repo: GitRepo

    def fires_on(self, job: str, count: int = 2) -> None:
        since = datetime.now(UTC)
        eventually(
            lambda: sum(r.slot > since and r.phase is Phase.SUCCEEDED for r in self.service.runs(job)) >= count,
            f"{job} fires on",
        )

    def assert_exactly_once(self, strict: set[Disposition], patient: set[Disposition], *, gaps: bool = False) -> None:
        assert_fired_exactly_once(self.service, "strict", self.witness, strict, gaps=gaps)
        assert_fired_exactly_once(self.service, "patient", self.witness, patient, gaps=gaps)
        assert self.service.alive and not self.service.entries("service.broken")


@contextlib.contextmanager
def fleet(host: str, image: str = BUSYBOX, more: str = "") -> Iterator[Fleet]:
    """Two jobs that fire: `strict` gives a slot up when the next is due, `patient` has time to spare."""
    ensure_busybox(host)
    instance = f"t{secrets.token_hex(4)}"
    with reachable_folder() as folder:
        repo = GitRepo(folder / "jobs")
        repo.commit({
            "jobs.d/strict.yaml": witnessed_job("*/2 * * * * *", image, "/witness/starts", more),
            "jobs.d/patient.yaml": witnessed_job("*/3 * * * * *", image, "/witness/starts", more + PATIENT),
        })  # fmt: skip
        try:
            with service_child(folder, repo.path, instance=instance, docker_host=host) as service:
                service.start().reachable()
                made = Fleet(service, witness_volume(host, instance), repo)
                made.fires_on("strict", 1)
                yield made
        finally:
            clean_up(host, instance)


def test_an_engine_that_dies_is_said_to_be_away_and_comes_back_to_the_same_runs(own: Handle) -> None:
    with fleet(own.docker_host) as jobs:
        own.kill()
        eventually(lambda: jobs.service.degraded("engine-unavailable"), "it says that the Engine is away")
        assert jobs.service.check()[0] == 2
        lost = jobs.service.entries("engine.lost")[-1]
        assert lost["code"] == "engine-unavailable" and lost["hint"]
        own.start()
        eventually(lambda: not jobs.service.degraded("engine-unavailable"), "it is back")
        jobs.fires_on("strict")
        jobs.fires_on("patient")
        jobs.assert_exactly_once(DISTURBED | {Disposition.LOST}, SPARED | {Disposition.LOST})
        assert jobs.service.standing().keys() == standing(own.docker_host, jobs.service.instance).keys()


@pytest.mark.slow
def test_an_engine_that_hangs_costs_nothing_and_holds_nobody_up(own: Handle) -> None:
    """It accepts what it is asked and answers late, or not in time: nothing is repeated on suspicion."""
    with fleet(own.docker_host) as jobs:
        own.freeze()
        time.sleep(4.0)  # the fault itself
        own.thaw()
        jobs.fires_on("patient", 1)

        own.freeze()
        began = time.monotonic()
        assert jobs.service.stop() == 0
        assert time.monotonic() - began < STOPPED_WITHIN
        jobs.service.start().reachable()  # ready although the Engine hangs
        eventually(lambda: jobs.service.degraded("engine-unavailable"), "it says that the Engine is away", within=100.0)
        own.thaw()
        jobs.fires_on("patient")
        jobs.assert_exactly_once(DISTURBED, SPARED)


def test_a_dead_engine_at_the_start_delays_the_jobs_and_nothing_else(own: Handle) -> None:
    instance = f"t{secrets.token_hex(4)}"
    ensure_busybox(own.docker_host)
    with reachable_folder() as folder:
        repo = GitRepo(folder / "jobs")
        repo.commit({"jobs.d/beat.yaml": witnessed_job("*/2 * * * * *", BUSYBOX, "/witness/starts")})
        proxy = FaultProxy(str(folder / "p.sock"), own.docker_host.removeprefix("unix://"))
        try:
            with service_child(folder, repo.path, instance=instance, docker_host=proxy.docker_host) as service:
                service.start().reachable()
                eventually(lambda: service.degraded("engine-unavailable"), "it says that the Engine is away")
                assert service.run("apply").returncode == 1
                assert service.meta("engine") == "docker"
                proxy.serve()
                service.await_run("beat", "succeeded")
                eventually(lambda: service.check()[0] == 0, "all is as it should be")
        finally:
            proxy.close()
            clean_up(own.docker_host, instance)


def prune(host: str, *, images: bool = False) -> None:
    """What `docker container prune` and `docker system prune -af` remove: all that does not run."""
    with api(host) as client:
        with contextlib.suppress(docker.errors.APIError):  # 409: somebody else removes one of them just now
            client.prune_containers()
        client.prune_networks()
        if images:
            client.prune_images(filters={"dangling": False})


def test_P6_pruning_at_any_instant_costs_no_slot_and_no_log(own: Handle) -> None:
    """Before the instant, at it, while the command runs, between its end and the moment that its end is seen."""
    moments = random.Random(7)  # spread over the jobs' periods, the same in each run
    with fleet(own.docker_host) as jobs:
        for _ in range(PRUNES):
            time.sleep(moments.uniform(0.05, 0.9))
            prune(own.docker_host)
        jobs.fires_on("patient")
        jobs.assert_exactly_once(DISTURBED, {Disposition.RAN}, gaps=True)
        assert {run.phase for run in jobs.service.runs("patient") if not run.active} == {Phase.SUCCEEDED}


def test_P6_pruned_containers_are_healed_at_once_and_no_slot_is_lost(own: Handle) -> None:
    with fleet(own.docker_host) as jobs:

        def in_place() -> bool:
            return standing(own.docker_host, jobs.service.instance).keys() == {"strict", "patient"}

        for moment in (0.37, 0.81, 1.43):
            time.sleep(moment)  # other points of the jobs' periods
            prune(own.docker_host)
            eventually(in_place, "healed", within=10.0)
        jobs.fires_on("strict")
        jobs.assert_exactly_once(DISTURBED, {Disposition.RAN}, gaps=True)

        # Rule P1: who undoes it again and again is not fought for ever. The jobs fire all the same.
        for _ in range(MOST_PRUNES):
            prune(own.docker_host)
            eventually(lambda: in_place() or jobs.service.entries("job.stalled"), "healed, or left alone")
            if jobs.service.entries("job.stalled"):
                break
        assert "undone each time" in jobs.service.await_entry("job.stalled")["why"]
        prune(own.docker_host)
        jobs.fires_on("strict")
        assert not in_place()
        jobs.service.cli("apply")
        eventually(in_place, "an operator has it tried again", within=10.0)
        jobs.assert_exactly_once(DISTURBED, {Disposition.RAN}, gaps=True)


def test_P6_a_system_prune_of_everything_costs_no_slot(own: Handle, tmp_path: Path) -> None:
    """`docker system prune -af`: containers, networks and images; the registry has the image."""
    ensure_busybox(own.docker_host)
    with registry(tmp_path) as server:
        image = server.push(own.docker_host, BUSYBOX, "tools/busybox:1")
        with fleet(own.docker_host, image) as jobs:
            for _ in range(2):
                prune(own.docker_host, images=True)
                jobs.fires_on("patient")
            jobs.assert_exactly_once(DISTURBED, {Disposition.RAN}, gaps=True)
            assert standing(own.docker_host, jobs.service.instance).keys() == {"strict", "patient"}


def test_P2_a_takeover_after_the_loss_of_everything_adopts_the_containers(own: Handle) -> None:
    """The whole state directory is gone: identity, key and ledger. What runs goes on and is ours again."""
    host, instance = own.docker_host, f"t{secrets.token_hex(4)}"
    told = (
        f"schedule: manual\nimage: {BUSYBOX}\nvolumes: ['told:/told']\nscript: |\n"
        "  echo up\n  until [ -e /told/end ]; do sleep 0.1; done\n  echo told\n"
    )
    ensure_busybox(host)
    with reachable_folder() as folder:
        repo = GitRepo(folder / "jobs")
        repo.commit({"jobs.d/told.yaml": told})
        try:
            with service_child(folder, repo.path, instance=instance, docker_host=host) as service:
                service.start().reachable()
                eventually(lambda: "told" in service.standing(), "the job is applied")
                run_id = service.json("run", "told")["run_id"]
                service.await_run("told")
                before = run_containers(host, instance)
                service.stop()
                shutil.rmtree(service.state_dir)

                service.start().reachable()  # for all it knows a first start: nothing of it is its own
                held = service.await_entry("job.held", job="told")
                assert "takeover" in service.run("plan").stdout + held["why"] + str(held)
                assert run_containers(host, instance) == before
                service.stop()

                assert "1 run of it found" in service.cli("takeover", instance)
                service.start().reachable()
                assert service.await_run("told").run_id == run_id
                eventually(lambda: "told" in service.standing(), "the job is adopted")
                assert run_containers(host, instance) == before
                service.cli("stop", run_id)
                assert service.await_run("told", "cancelled").run_id == run_id
        finally:
            clean_up(host, instance)


def test_D7_a_pull_that_hangs_holds_nothing_up_for_long(own: Handle) -> None:
    """A registry that takes the connection and never answers: the rest is applied and fires at once, the fix of that
    very job as soon as the pull is given up."""
    with socket.create_server(("127.0.0.1", 0)) as silent, fleet(own.docker_host) as jobs:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        repo = jobs.repo
        stuck = witnessed_job("*/2 * * * * *", f"{address}/nobody:1", "/witness/starts")
        other = witnessed_job("*/3 * * * * *", BUSYBOX, "/witness/starts", PATIENT, "echo changed")
        repo.commit({"jobs.d/strict.yaml": stuck, "jobs.d/patient.yaml": other})
        eventually(lambda: "changed" in (jobs.service.standing()["patient"].spec.script or ""), "the rest applies")
        jobs.fires_on("strict")  # its live version, meanwhile
        fix = witnessed_job("*/2 * * * * *", BUSYBOX, "/witness/starts", then="echo fixed")
        commit = repo.commit({"jobs.d/strict.yaml": fix})
        eventually(
            lambda: jobs.service.standing()["strict"].revision == commit, "the fix is applied", within=PULL_GIVEN_UP
        )
        jobs.fires_on("strict")
