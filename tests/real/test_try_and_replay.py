"""Promise: a file runs once before it is committed and leaves nothing, and an earlier run runs again as it was."""

import base64
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from reconciler.server.client import call
from tests.kit.docker_engine import clean_up
from tests.kit.folders import reachable_folder
from tests.kit.service import PATIENCE, ROOT, ServiceChild, eventually, service_child
from tests.kit.standing import run_containers
from tests.lab.gitrepo import GitRepo
from tests.lab.images import labelled_image

WHO = "schedule: manual\nimage: {}\nscript: echo $WHO $LEVEL\nenvironment: {{LEVEL: {}}}\n"
TRIED = """
schedule: "0 2 * * *"
image: none
files: {/etc/query.sql: {from: query.sql}}
parameters: {epochs: {type: integer, default: 3}}
outputs: /outputs
script: |
  echo "$RECONCILER_JOB $EPOCHS $ZONE $(cat "$RECONCILER_FILES/etc/query.sql")"
  echo kept > "$RECONCILER_OUTPUTS/a"
  exit 7
"""
OWNERS = """
owners:
  team: {paths: ["ml/**"], policy: {images: ["registry.example.org/**"]}}
  rest: {paths: ["**"]}
"""
SLEEPER = "schedule: manual\nimage: none\nscript: echo asleep; sleep 60\n"


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceChild]:
    with reachable_folder() as folder:
        repo = GitRepo(Path(folder) / "jobs")
        repo.commit({"jobs.d/hello.yaml": "schedule: manual\nimage: none\nscript: echo hi\n"}, "one job")
        with service_child(folder, repo.path, "process", instance="tries", config=OWNERS) as made:
            made.start().reachable()
            eventually(lambda: len(made.standing()) == 1, "the job stands")
            yield made


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A work tree with files that nobody has committed."""
    jobs = tmp_path / "work/jobs.d"
    (jobs / "data").mkdir(parents=True)
    (jobs / "data/_defaults.yaml").write_text("environment: {ZONE: lab}\n")
    (jobs / "data/load.yaml").write_text(TRIED)
    (jobs / "data/query.sql").write_text("select 1")
    (jobs / "data/sleeper.yaml").write_text(SLEEPER)
    return jobs


def leavings(service: ServiceChild) -> list[str]:
    """Files of the state directory that speak of a trial, the ledger's and the journal's own rows apart."""
    return [str(path) for path in service.state_dir.rglob("*") if "Try" in path.name]


def test_a_file_runs_with_what_is_beside_it_and_leaves_nothing(service: ServiceChild, work: Path) -> None:
    done = service.run("try", str(work / "data/load.yaml"), "--param", "epochs=5")
    assert (done.returncode, done.stdout) == (7, "data/load 5 lab select 1\n"), done
    assert "failed, exit 7" in done.stderr
    with service.ledger() as history:
        assert history.trials() == []
        (forgotten,) = [event for event in history.events() if event.name == "trial.forgotten"]
    assert (forgotten.job, forgotten.fields["verdict"]) == ("Try/data/load", "failed")
    assert leavings(service) == []
    assert set(service.standing()) == {"hello"}


def test_a_file_with_a_mistake_is_told_so_before_anything_is_sent(service: ServiceChild, work: Path) -> None:
    (work / "data/load.yaml").write_text("schedule: manual\nimage: none\ncomand: [x]\n")
    done = service.run("try", str(work / "data/load.yaml"))
    assert done.returncode == 1 and 'did you mean "command"?' in done.stderr, done


def test_S1_policy_holds_for_what_is_tried_and_a_client_cannot_talk_it_away(service: ServiceChild, work: Path) -> None:
    (work / "ml").mkdir()
    (work / "ml/train.yaml").write_text("schedule: manual\nimage: busybox\nscript: id\n")
    done = service.run("try", str(work / "ml/train.yaml"))
    assert done.returncode == 1 and "not allowed for team" in done.stderr, done
    sent = {
        "path": "ml/train.yaml",
        "files": {"ml/train.yaml": base64.b64encode(b"schedule: manual\nimage: busybox\n").decode()},
    }
    code, answer = call(service.folder / "run/reconciler.sock", "POST", "/v1/try", sent, 10.0)
    assert code == 409 and answer["code"] == "try-invalid" and "not allowed for team" in answer["error"], answer


@pytest.mark.parametrize(
    ("path", "files"),
    [
        pytest.param("../../etc/x.yaml", {"../../etc/x.yaml": "aW1hZ2U6IHgK"}, id="a path that climbs"),
        pytest.param("a.yaml", {}, id="nothing sent"),
        pytest.param("a.yaml", {"a.yaml": "%%%"}, id="no base64"),
        pytest.param("a.yaml", {"a.yaml": "/w=="}, id="no text"),
        pytest.param("_defaults.yaml", {"_defaults.yaml": "e30="}, id="no job"),
        pytest.param("a.yaml", {f"{n}.yaml": "" for n in range(600)}, id="too many files"),
    ],
)  # fmt: skip
def test_a_request_that_makes_no_sense_is_refused(service: ServiceChild, path: str, files: dict[str, str]) -> None:
    code, answer = call(service.folder / "run/reconciler.sock", "POST", "/v1/try", {"path": path, "files": files}, 10.0)
    assert (code, answer["code"]) == (409, "try-invalid"), answer


def test_ctrl_c_ends_the_run_too(service: ServiceChild, work: Path) -> None:
    child = subprocess.Popen(service.argv("try", str(work / "data/sleeper.yaml")), cwd=ROOT, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "asleep\n"
    began = time.monotonic()
    os.kill(child.pid, signal.SIGINT)
    assert child.wait(PATIENCE) == 130
    assert time.monotonic() - began < 30
    with service.ledger() as history:
        assert history.trials() == []
    child.stdout.close()
    if child.stderr is not None:
        child.stderr.close()


# -- replay on a real Engine -----------------------------------------------------------------------------------


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    return GitRepo(tmp_path / "jobs")


@pytest.fixture
def on_docker(repo: GitRepo, docker_host: str) -> Iterator[ServiceChild]:
    labelled_image(docker_host, "who:1", ["ENV WHO=first"])
    labelled_image(docker_host, "who:2", ["ENV WHO=second"])
    repo.commit({"jobs.d/who.yaml": WHO.format("who:1", "old")}, "one job")
    with reachable_folder() as folder:
        with service_child(folder, repo.path, "docker", instance="replays", docker_host=docker_host) as made:
            made.start().reachable()
            eventually(lambda: len(made.standing()) == 1, "the job stands")
            yield made
        clean_up(docker_host, "replays")


def test_a_run_runs_again_with_the_image_that_its_tag_meant_then(
    on_docker: ServiceChild, repo: GitRepo, docker_host: str
) -> None:
    first = on_docker.run("run", "who", "--follow")
    assert (first.returncode, first.stdout) == (0, "first old\n"), first
    old = on_docker.runs("who")[-1]
    labelled_image(docker_host, "who:1", ["ENV WHO=moved"])
    repo.commit({"jobs.d/who.yaml": WHO.format("who:2", "new")}, "newer")
    eventually(lambda: on_docker.standing()["who"].digest != old.digest, "the newer one stands")
    newer = on_docker.run("run", "who", "--follow")
    assert newer.stdout == "second new\n", newer
    again = on_docker.run("replay", old.run_id, "--follow")
    assert (again.returncode, again.stdout) == (0, "first old\n"), again
    assert on_docker.runs("who")[-1].cause == old.run_id

    client = docker.APIClient(base_url=docker_host, version="1.41", timeout=30)
    try:
        eventually(lambda: run_containers(docker_host, "replays") == {}, "their containers are gone")
        client.remove_image(old.image_id, force=True)
    finally:
        client.close()
    asked = on_docker.run("replay", old.run_id)
    assert asked.returncode == 0, asked
    waits = eventually(lambda: [run for run in on_docker.runs("who") if run.tries], "it is tried")[0]
    assert "no longer has sha256:" in waits.reason
    assert on_docker.run("stop", waits.run_id).returncode == 0
