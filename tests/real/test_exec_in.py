"""Promise: `exec_in` from the job file to the ledger: fires, is accounted for, never runs twice whatever is killed."""

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from reconciler.engine.docker_exec import GAP
from reconciler.model.run import FailureClass, Phase, RunRecord
from tests.kit.docker_engine import clean_up
from tests.kit.exec import Shop, shop
from tests.kit.folders import reachable_folder
from tests.kit.service import ServiceChild, eventually, service_child
from tests.kit.standing import run_containers, standing
from tests.lab.dockerd import Handle
from tests.lab.faultproxy import EXEC_CREATE, EXEC_START, FaultProxy, Rule, fault_proxy
from tests.lab.gitrepo import GitRepo

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]
WITNESS = "/tmp/starts"
CANARY = "kX93canary7Qz"
JOBS = {
    "once": f"script: echo $RECONCILER_RUN_ID >> {WITNESS}\nconcurrency_policy: Allow\n",
    "three": "script: |\n  echo $WORD in $(hostname)\n  exit 3\nenvironment: {WORD: hello}\n",
    "slow": "script: |\n  echo up\n  sleep 4714\ntimeout: 2s\nstop_grace_period: 1s\n",
    "secret": "script: echo it is $PW\nsecrets: [{name: pw, env: PW}]\n",
    "long": "script: |\n  echo up\n  until [ -e /tmp/end ]; do sleep 0.1; done\n  echo told\n  exit 5\n",
}


@dataclass
class Bench:
    """A service that reaches its Engine through a faulty socket, and the container that its jobs run in."""

    service: ServiceChild
    proxy: FaultProxy
    shop: Shop
    repo: GitRepo
    host: str

    def begin(self, job: str) -> str:
        return str(self.service.json("run", job)["run_id"])

    def last_of(self, run_id: str) -> RunRecord:
        """The attempt in which the slot of a run ended, once all is kept."""

        def ended() -> RunRecord | None:
            runs = [run for job in JOBS for run in self.service.runs(job)]
            slot = next(run.slot for run in runs if run.run_id == run_id)
            attempts = [run for run in runs if run.slot == slot]
            done = all(run.collected and run.discarded for run in attempts)
            return attempts[-1] if done and not attempts[-1].active else None

        return eventually(ended, f"{run_id} has ended")  # type: ignore[return-value]

    def reads(self, run_id: str, words: str) -> None:
        """Its log has these words by now."""
        eventually(lambda: words in self.service.run("logs", run_id).stdout, f"{run_id} has said {words}")


def job(name: str, text: str) -> str:
    return f"schedule: manual\nexec_in: {name}\n{text}"


@pytest.fixture(scope="module")
def bench(private_docker: Handle) -> Iterator[Bench]:
    host, instance = private_docker.docker_host, f"t{secrets.token_hex(4)}"
    with shop(host) as target, reachable_folder() as folder, fault_proxy(folder, host) as proxy:
        repo = GitRepo(folder / "jobs")
        repo.commit({f"jobs.d/{name}.yaml": job(target.name, text) for name, text in JOBS.items()})
        place = folder / "secrets"
        place.mkdir(mode=0o700)
        (place / "pw").write_text(CANARY)
        config = (
            "policy: {exec_in: ['shop-*'], secrets_in_env: true}\n"
            f"secret_stores: [{{type: directory, path: {place}}}]\n"
        )
        try:
            with service_child(
                folder, repo.path, instance=instance, docker_host=proxy.docker_host, config=config
            ) as service:
                service.start().reachable()
                eventually(lambda: len(service.standing()) == len(JOBS), "the jobs are applied")
                yield Bench(service, proxy, target, repo, host)
        finally:
            clean_up(host, instance)


def test_it_fires_where_it_should_and_is_accounted_for(bench: Bench) -> None:
    done = bench.service.run("run", "three", "--follow")
    assert done.returncode == 3
    assert f"hello in {bench.shop.ref[:12]}" in done.stdout
    run = bench.service.runs("three")[-1]
    assert (run.phase, run.exit_code, run.failure) == (Phase.FAILED, 3, FailureClass.EXIT)
    assert run.image_id == bench.shop.client.inspect_container(bench.shop.ref)["Image"]
    assert run_containers(bench.host, bench.service.instance) == {}
    assert standing(bench.host, bench.service.instance).keys() == JOBS.keys()


def test_S3_a_secret_is_a_variable_that_nobody_is_shown(bench: Bench) -> None:
    done = bench.service.run("run", "secret", "--follow")
    assert done.returncode == 0 and "it is ***" in done.stdout
    shown = json.dumps(bench.shop.client.inspect_container(bench.shop.ref))
    events = [json.dumps(event) for event in bench.shop.client.events(since=1, until=time.time(), decode=True)]
    ref = bench.service.runs("secret")[-1].ref.rpartition(":")[2]
    for text in (shown, *events, json.dumps(bench.shop.client.exec_inspect(ref)), bench.service.tail()):
        assert CANARY not in text


def test_R4_its_timeout_ends_it_and_only_it(bench: Bench) -> None:
    run = bench.last_of(bench.begin("slow"))
    assert run.phase is Phase.TIMED_OUT
    assert bench.shop.runs() and bench.shop.processes("4714") == 0


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_R6_a_run_is_adopted_and_its_log_says_what_is_missing(bench: Bench, end: str) -> None:
    run_id = bench.begin("long")
    bench.reads(run_id, "up")
    bench.service.kill() if end == "kill" else bench.service.stop()
    bench.service.start().reachable()
    bench.service.await_entry("run.adopted", run=run_id)
    bench.shop.run("touch /tmp/end")
    run = bench.last_of(run_id)
    bench.shop.run("rm /tmp/end")
    assert (run.run_id, run.phase, run.exit_code) == (run_id, Phase.FAILED, 5)
    log = bench.service.log_of(run)
    assert log.splitlines() == ["up", GAP.decode().strip()]


def test_R3_a_restart_of_its_container_is_the_end_of_it(bench: Bench) -> None:
    run_id = bench.begin("long")
    bench.reads(run_id, "up")
    bench.shop.restart()
    run = bench.last_of(run_id)
    assert run.phase is Phase.LOST
    assert "restarted" in run.reason


def test_a_missing_container_delays_it(bench: Bench) -> None:
    later = f"{bench.shop.name}-later"
    bench.repo.commit({"jobs.d/later.yaml": job(later, "script: echo up\n")})
    eventually(lambda: "later" in bench.service.standing(), "it is applied although nobody is there")
    run_id = bench.begin("later")
    said = bench.service.await_entry("run.delayed", run=run_id)
    assert said["code"] == "exec-target-missing" and later in said["hint"]
    with shop(bench.host, later):
        run = bench.service.await_run("later", "succeeded")
        eventually(lambda: not bench.service.open_runs(), "it is kept")
    assert run.run_id == run_id
    bench.repo.commit({"jobs.d/later.yaml": None})
    eventually(lambda: "later" not in bench.service.standing(), "it is retired")


def test_S1_without_the_grant_the_file_is_refused_at_its_line(bench: Bench) -> None:
    bench.repo.commit({"jobs.d/other.yaml": job("db", "script: echo up\n")})
    said = bench.service.run("plan").stdout
    assert "other.yaml:2" in said and "not allowed" in said and "shop-*" in said
    assert "other" not in bench.service.standing()
    bench.repo.commit({"jobs.d/other.yaml": job("shop-x", "script: echo up\nimage: busybox\n")})
    assert "other.yaml:4" in bench.service.run("plan").stdout
    bench.repo.commit({"jobs.d/other.yaml": job("shop-x", "script: echo up\n")})
    eventually(lambda: "other" in bench.service.standing(), "it is applied")


# -- never twice -----------------------------------------------------------------------------------------------------

POINTS = {
    "before it is made ready": (EXEC_CREATE, "hang", True),
    "when it has been made ready": (EXEC_CREATE, "hang_after", True),
    "before it is started": (EXEC_START, "hang", True),
    "when it has been started, before the answer": (EXEC_START, "drop_after", False),
}


@pytest.mark.parametrize(("match", "action", "provable"), POINTS.values(), ids=POINTS)
def test_R1_killed(bench: Bench, match: str, action: str, provable: bool) -> None:
    """Where it is provable that the command never ran, it runs after all; else it is lost, and says so."""
    before = bench.shop.said()
    killed: list[bool] = []

    def die() -> None:
        bench.service.kill()
        killed.append(True)

    bench.proxy.add(Rule(match, action, then=die))
    run_id = bench.begin("once")
    eventually(lambda: killed, "the service is killed")
    bench.proxy.mend()
    bench.service.start().reachable()
    run = bench.last_of(run_id)
    ran = bench.shop.said()[len(before) :]
    if provable:
        assert (run.phase, ran) == (Phase.SUCCEEDED, [run.run_id])
    else:
        assert (run.phase, ran) == (Phase.LOST, [])
        assert "went down around its start" in run.reason


def test_R1_killed_at_any_moment(bench: Bench) -> None:
    before = bench.shop.said()
    begun = []
    for pause in (0.0, 0.05, 0.1, 0.2, 0.4):
        begun.append(bench.begin("once"))
        time.sleep(pause)  # the point at which it dies
        bench.service.kill()
        bench.service.start().reachable()
    ends = [bench.last_of(run_id) for run_id in begun]
    ran = bench.shop.said()[len(before) :]
    assert len(ran) == len(set(ran))
    assert {run.run_id for run in ends if run.phase is Phase.SUCCEEDED} <= set(ran)
    assert {run.phase for run in ends} <= {Phase.SUCCEEDED, Phase.LOST}
