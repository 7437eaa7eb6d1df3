"""Promise: a start script is a phase of its own on every engine: before the command, with its own exit code."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.docker_engine import clean_up
from tests.kit.folders import reachable_folder
from tests.kit.service import ServiceChild, eventually, service_child
from tests.lab.gitrepo import GitRepo
from tests.lab.images import BUSYBOX, ensure_busybox

JOBS = {
    "good": "start_script: |\n  echo prepared > /tmp/$RECONCILER_RUN_ID\nscript: cat /tmp/$RECONCILER_RUN_ID\n",
    "bad": "start_script: |\n  echo trying\n  exit 41\nscript: echo never\n",
    "later": "start_script: echo fine\nscript: exit 42\n",
    "slow": "start_script: sleep 60\nscript: echo never\ntimeout: 2s\nstop_grace_period: 5s\n",
}


@pytest.fixture(
    scope="module", params=["process", pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.timeout(300)])]
)
def service(request: pytest.FixtureRequest) -> Iterator[ServiceChild]:
    host = request.getfixturevalue("docker_host") if request.param == "docker" else ""
    if host:
        ensure_busybox(host)
    image = BUSYBOX if host else "none"
    with reachable_folder() as folder:
        repo = GitRepo(Path(folder) / "jobs")
        head = f"schedule: manual\nimage: {image}\n"
        repo.commit({f"jobs.d/{name}.yaml": head + text for name, text in JOBS.items()}, "jobs")
        with service_child(folder, repo.path, request.param, instance="phases", docker_host=host) as made:
            made.start().reachable()
            eventually(lambda: len(made.standing()) == len(JOBS), "the jobs stand")
            yield made
        if host:
            clean_up(host, "phases")


def test_it_runs_before_the_command_and_each_has_its_section_of_the_log(service: ServiceChild) -> None:
    done = service.run("run", "good", "--follow")
    assert (done.returncode, done.stdout) == (0, "[reconciler] start_script\n[reconciler] command\nprepared\n"), done


def test_if_it_fails_the_command_never_starts_and_the_run_says_which_it_was(service: ServiceChild) -> None:
    done = service.run("run", "bad", "--follow")
    assert done.returncode == 41 and "never" not in done.stdout, done
    shown = service.json("show", "bad")
    assert (shown["failure"], shown["reason"], shown["exit_code"]) == ("start_script", "start_script: exit 41", 41)


def test_what_the_command_does_is_not_laid_at_its_door(service: ServiceChild) -> None:
    assert service.run("run", "later", "--wait").returncode == 42
    shown = service.json("show", "later")
    assert (shown["failure"], shown["reason"]) == ("exit", "exit 42")


def test_R4_the_timeout_reaches_it(service: ServiceChild) -> None:
    service.run("run", "slow", "--wait")
    shown = service.json("show", "slow")
    assert (shown["phase"], shown["failure"]) == ("timed_out", "timeout"), shown
