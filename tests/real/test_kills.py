"""Promise: the service may be killed at any point of firing: no slot runs twice, none is lost, nothing is left over."""

import random
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.model.run import Disposition, Phase, RunRecord
from tests.kit.docker_engine import clean_up
from tests.kit.firing import (
    Witness,
    assert_fired_exactly_once,
    assert_logs_whole,
    witness_file,
    witness_volume,
    witnessed_job,
)
from tests.kit.folders import reachable_folder
from tests.kit.service import ServiceChild, eventually, service_child
from tests.kit.standing import run_containers, standing
from tests.lab.dockerd import Handle
from tests.lab.faultproxy import CREATE, INSPECT, LOGS, REMOVE, START, FaultProxy, fault_proxy
from tests.lab.gitrepo import GitRepo
from tests.lab.images import BUSYBOX, ensure_busybox

KILLS, KILLS_OF_PROCESSES = 22, 16
LONGEST = 2.6  # seconds that the service lives at most after it is ready: every point of a slot's life is within reach
# What a kill may do to a slot: it is late and runs, or the one before it is still at work, or it fell due while nobody
# was there and a later one is caught up.
ALLOWED = {Disposition.RAN, Disposition.SKIPPED, Disposition.MISSED, Disposition.SUPERSEDED, Disposition.UNAVAILABLE}


def repository(folder: Path, files: dict[str, str]) -> Path:
    repo = GitRepo(folder / "jobs")
    repo.commit({f"jobs.d/{name}.yaml": text for name, text in files.items()})
    return repo.path


def firing_jobs(image: str, witness: str) -> dict[str, str]:
    """`strict` gives a slot up when the next is due; `patient` runs each slot that was ever claimed."""
    patient = "concurrency_policy: Allow\nstart_deadline: 5m\n"
    return {
        "strict": witnessed_job("*/2 * * * * *", image, witness),
        "patient": witnessed_job("*/3 * * * * *", image, witness, patient, "sleep 0.7"),
    }


def kill_again_and_again(service: ServiceChild, seed: int, kills: int) -> None:
    """The pause is the point at which it dies, and has no other purpose."""
    chance = random.Random(seed)
    service.start()
    eventually(lambda: any(run.started_at for run in service.runs("patient")), "the first run")
    for _ in range(kills):
        time.sleep(chance.uniform(0.0, LONGEST))
        service.kill()
        service.start()


def assert_nothing_lost(service: ServiceChild, witness: Witness) -> None:
    assert_fired_exactly_once(service, "strict", witness, ALLOWED)
    assert_fired_exactly_once(service, "patient", witness, {Disposition.RAN, Disposition.MISSED})
    caught_up = [s for s in service.slots("patient") if s.disposition is Disposition.MISSED]
    assert all("only the latest slot is caught up" in slot.reason for slot in caught_up)
    assert not [run for job in ("strict", "patient") for run in service.runs(job) if run.phase is Phase.LOST]
    assert not service.entries("service.broken")


def pause_all(service: ServiceChild) -> None:
    """Let everything come to its end, so that what is left over can be seen."""
    service.cli("pause", "--all")
    eventually(lambda: not service.open_runs(), "all runs are ended, kept and removed")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [20261124])
def test_kills_at_any_moment_on_docker(private_docker: Handle, seed: int) -> None:
    host, instance = private_docker.docker_host, f"t{secrets.token_hex(4)}"
    ensure_busybox(host)
    witness = witness_volume(host, instance)
    with reachable_folder() as folder:
        source = repository(folder, firing_jobs(BUSYBOX, "/witness/starts"))
        try:
            with service_child(folder, source, instance=instance, docker_host=host) as service:
                kill_again_and_again(service, seed, KILLS)
                assert_nothing_lost(service, witness)
                pause_all(service)
                eventually(lambda: not run_containers(host, instance), "no run's container is left")
                assert standing(host, instance).keys() == service.standing().keys() == {"strict", "patient"}
        finally:
            clean_up(host, instance)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [20261125])
def test_kills_at_any_moment_on_processes(seed: int) -> None:
    with reachable_folder() as folder:
        witness = witness_file(folder / "starts")
        source = repository(folder, firing_jobs("none", str(folder / "starts")))
        with service_child(folder, source, "process", instance="kills") as service:
            kill_again_and_again(service, seed, KILLS_OF_PROCESSES)
            assert_nothing_lost(service, witness)
            pause_all(service)
            assert list((service.state_dir / "process/runs").iterdir()) == []


# -- at one point, with a request under way ---------------------------------------------------------------------


@dataclass
class Bench:
    """A service that reaches its Engine through a faulty socket."""

    service: ServiceChild
    proxy: FaultProxy
    host: str
    witness: Witness

    def die_at(self, match: str, action: str) -> RunRecord:
        """Start a run, kill the service while its request is in that state, and start it anew; the run."""
        self.proxy.inject(match, action, times=1_000)
        seen = self.proxy.count(match)
        run_id = self.service.json("run", "once")["run_id"]
        eventually(lambda: self.proxy.count(match) > seen, f"{match} is asked")
        if action == "hang_after":
            time.sleep(0.2)  # the Engine works on it, which nobody can see from here
        self.service.kill()
        self.proxy.mend()
        self.service.start().reachable()
        return next(run for run in self.service.runs("once") if run.run_id == run_id)

    def die_late(self, match: str) -> RunRecord:
        """The same, and the request is carried out when the run has long ended."""
        self.proxy.hold()
        before = self.proxy.carried_out
        run = self.die_at(match, "late")
        self.last_of(run)
        self.proxy.let_go()
        eventually(lambda: self.proxy.carried_out > before, "the late request is carried out")
        return run

    def last_of(self, run: RunRecord) -> RunRecord:
        """The attempt in which the run's slot ended, once all is kept and removed."""

        def ended() -> RunRecord | None:
            attempts = [found for found in self.service.runs("once") if found.slot == run.slot]
            done = all(found.collected and found.discarded for found in attempts)
            return attempts[-1] if done and not attempts[-1].active else None

        return eventually(ended, f"{run.run_id} has ended") or run

    def assert_ran_once(self, run: RunRecord) -> None:
        last = self.last_of(run)
        assert last.phase is Phase.SUCCEEDED, last
        assert self.witness.starts("once")[run.slot] == 1
        assert_logs_whole(self.service, [last])
        eventually(lambda: not run_containers(self.host, self.service.instance), "no run's container is left")


@pytest.fixture(scope="module")
def bench(private_docker: Handle) -> Iterator[Bench]:
    host, instance = private_docker.docker_host, f"t{secrets.token_hex(4)}"
    ensure_busybox(host)
    with reachable_folder() as folder, fault_proxy(folder, host) as proxy:
        source = repository(folder, {"once": witnessed_job("manual", BUSYBOX, "/witness/starts")})
        try:
            with service_child(folder, source, instance=instance, docker_host=proxy.docker_host) as service:
                service.start().reachable()
                eventually(lambda: "once" in service.standing(), "the job is applied")
                yield Bench(service, proxy, host, witness_volume(host, instance))
        finally:
            clean_up(host, instance)


POINTS = [
    ("before its container is made", CREATE, "hang"), ("when its container has been made", CREATE, "hang_after"),
    ("before it is started", START, "hang"), ("when it has been started", START, "hang_after"),
    ("before its log is read", LOGS, "hang"), ("before it is removed", REMOVE, "hang"),
    ("when it has been removed", REMOVE, "hang_after"), ("while it is looked at", INSPECT, "hang"),
]  # fmt: skip


@pytest.mark.parametrize(("match", "action"), [point[1:] for point in POINTS], ids=[point[0] for point in POINTS])
def test_killed(bench: Bench, match: str, action: str) -> None:
    bench.assert_ran_once(bench.die_at(match, action))


def test_R1_a_start_that_outlives_its_client_runs_nothing_twice(bench: Bench) -> None:
    """The request waits before the Engine, recovery has long decided, and then it is carried out."""
    run = bench.die_late(START)
    bench.assert_ran_once(run)


def test_P6_a_container_that_is_made_after_its_run_has_ended_is_removed(bench: Bench) -> None:
    """A create that outlives its client: what turns up under an ended run's name is swept, and never started."""
    run = bench.die_late(CREATE)
    bench.service.cli("apply")  # lists anew; otherwise that is a matter of minutes
    bench.assert_ran_once(run)
