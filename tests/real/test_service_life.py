"""Promise: the service comes, goes, reloads and is asked twice without touching a run; it never guesses its engine."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model.run import Phase
from tests.kit.docker_engine import clean_up
from tests.kit.folders import reachable_folder
from tests.kit.service import ServiceChild, eventually, service_child
from tests.kit.standing import standing
from tests.lab.gitrepo import GitRepo
from tests.lab.images import BUSYBOX, ensure_busybox
from tests.lab.registry import registry

# Runs until somebody says how it shall end: no test waits for a clock. `END` is a path on the host or in a volume.
TOLD = """
schedule: manual
image: IMAGE
volumes: ["told:/told"]
script: |
  echo up
  until [ -e END ]; do sleep 0.1; done
  echo told
"""
TICK = 'schedule: "@every 1s"\nimage: none\nscript: echo tick\n'
QUIET = "schedule: manual\nimage: none\nscript: echo quiet\n"


def repository(folder: Path, files: dict[str, str], name: str = "jobs") -> GitRepo:
    repo = GitRepo(folder / name)
    repo.commit({f"jobs.d/{name}.yaml": text for name, text in files.items()})
    return repo


@pytest.fixture
def folder() -> Iterator[Path]:
    with reachable_folder() as made:
        yield made


@pytest.fixture
def on_processes(folder: Path) -> Iterator[ServiceChild]:
    """A service on the process engine with a job that waits to be told, and one that ticks."""
    source = repository(folder, {"told": told_process(folder), "tick": TICK})
    with service_child(folder, source.path, "process", instance="life") as service:
        yield service


@pytest.fixture
def on_docker(folder: Path, docker_host: str) -> Iterator[ServiceChild]:
    ensure_busybox(docker_host)
    instance = f"t{secrets.token_hex(4)}"
    text = TOLD.replace("IMAGE", BUSYBOX).replace("END", "/told/end")
    try:
        with service_child(
            folder, repository(folder, {"told": text}).path, instance=instance, docker_host=docker_host
        ) as service:
            yield service
    finally:
        clean_up(docker_host, instance)


def told_process(folder: Path) -> str:
    return TOLD.replace("IMAGE", "none").replace('volumes: ["told:/told"]\n', "").replace("END", f"{folder}/end")


def started(service: ServiceChild) -> str:
    """A run of `told` that is under way; its id."""
    service.start().reachable()
    eventually(lambda: "told" in service.standing(), "the job is applied")
    run_id = service.json("run", "told")["run_id"]
    service.await_run("told")
    return str(run_id)


def assert_adopted(service: ServiceChild, run_id: str) -> None:
    """The next start goes on with the very run; it ends by itself, and its log is whole."""
    service.start().reachable()
    service.await_entry("run.adopted", run=run_id)
    service.cli("stop", run_id) if service.engine == "docker" else (service.folder / "end").touch()
    run = eventually(lambda: next((r for r in service.runs("told") if not r.active and r.discarded), None), "its end")
    assert run.run_id == run_id
    assert run.phase is (Phase.CANCELLED if service.engine == "docker" else Phase.SUCCEEDED)
    assert service.log_of(run) == ("up\n" if service.engine == "docker" else "up\ntold\n")
    assert len(service.runs("told")) == 1


@pytest.mark.parametrize("on", [pytest.param("on_docker", marks=pytest.mark.docker), "on_processes"])
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_R6_the_end_of_the_service_leaves_a_run_alone_and_the_next_start_adopts_it(
    on: str, how: str, request: pytest.FixtureRequest
) -> None:
    service: ServiceChild = request.getfixturevalue(on)
    run_id = started(service)
    assert getattr(service, how)() in (0, None)
    assert [(run.run_id, run.phase) for run in service.runs("told")] == [(run_id, Phase.RUNNING)]
    if how == "stop":
        assert any(line.startswith("STOPPING=1") for line in service.told)
    assert_adopted(service, run_id)


def test_a_second_instance_is_refused_and_the_first_goes_on(on_processes: ServiceChild) -> None:
    service = on_processes.start().reachable()
    second = service.run("serve")
    assert (second.returncode, "[already-running]" in second.stderr) == (1, True), second.stderr
    assert f"pid {service.child.pid}" in second.stderr
    before = len(service.runs("tick"))
    eventually(lambda: len(service.runs("tick")) > before + 1, "the first one goes on firing")


def test_a_state_directory_of_another_instance_is_refused(on_processes: ServiceChild) -> None:
    service = on_processes.start()
    service.stop()
    service.instance = "other"
    service.configure()
    done = service.run("serve")
    assert (done.returncode, "[instance-changed]" in done.stderr) == (1, True), done.stderr


def test_a_state_directory_that_is_moved_away_ends_the_service_with_a_clear_error(on_processes: ServiceChild) -> None:
    service = on_processes
    run_id = started(service)
    elsewhere = service.folder / "elsewhere"
    service.state_dir.rename(elsewhere)
    assert service.ended() == 1
    assert service.entries("service.unfit", code="state-moved")[0]["hint"]
    elsewhere.rename(service.state_dir)
    assert_adopted(service, run_id)


# -- SIGHUP --------------------------------------------------------------------------------------------------------


def test_D1_a_live_job_keeps_following_its_own_file_beside_a_newcomer(folder: Path) -> None:
    repo = repository(folder, {"a": QUIET})
    with service_child(folder, repo.path, "process", instance="life") as service:
        service.start().reachable()
        eventually(lambda: "a" in service.standing(), "the job is applied")
        repo.commit({"jobs.d/a.yaml": None, "jobs.d/a.yml": QUIET}, "Rename the file")
        eventually(lambda: service.standing()["a"].path == "a.yml", "the ledger follows the file")
        repo.commit({"jobs.d/a.yaml": QUIET + "timeout: 1m\n"}, "Add a second file of that name")
        held = service.await_entry("job.held", job="a")
        assert held["path"] == "a.yaml:1:1" and "jobs.d/a.yml" in held["why"]
        repo.commit({"jobs.d/a.yml": QUIET + "timeout: 5m\n"}, "Edit the live file")
        eventually(lambda: service.standing()["a"].spec.timeout == 300.0, "the edit is applied")
        plan = service.run("plan")
        assert plan.returncode == 1 and "1 unchanged" in plan.stdout, plan.stdout + plan.stderr
        assert "a.yaml:1:1" in plan.stdout and "is refused" in plan.stdout
        repo.commit({"jobs.d/a.yml": None}, "Delete the live file")
        eventually(lambda: service.standing()["a"].spec.timeout == 60.0, "the other takes its place")
        assert service.standing()["a"].path == "a.yaml"


def test_SIGHUP_takes_the_service_file_anew_and_follows_another_repository_at_once(on_processes: ServiceChild) -> None:
    service = on_processes.start().reachable()
    eventually(lambda: "tick" in service.standing(), "the first repository is followed")
    other = repository(service.folder, {"told": told_process(service.folder), "tick": TICK, "third": QUIET}, "other")
    service.source = str(other.path)
    service.configure("allow_rewrite: true")
    service.hang_up()
    eventually(lambda: "third" in service.standing(), "the other repository is followed")
    assert any("RELOADING=1" in line for line in service.told)
    assert service.entries("service.reloaded")
    other.commit({"jobs.d/fourth.yaml": QUIET})
    eventually(lambda: "fourth" in service.standing(), "a commit there is seen by its watch", within=20.0)


def test_SIGHUP_with_a_broken_service_file_changes_nothing(on_processes: ServiceChild) -> None:
    service = on_processes.start().reachable()
    eventually(lambda: "tick" in service.standing(), "the jobs are applied")
    service.configure("limits: {max_running: many}")
    service.hang_up()
    assert service.await_entry("service.reload-failed")["code"] == "config-invalid"
    service.configure("instance_id: x")
    before = len(service.runs("tick"))
    eventually(lambda: len(service.runs("tick")) > before + 1, "it goes on firing")


def test_SIGHUP_says_what_needs_a_restart(on_processes: ServiceChild) -> None:
    service = on_processes.start().reachable()
    service.engine = "docker"
    service.configure()
    service.hang_up()
    entry = service.await_entry("service.reload-failed")
    assert (entry["code"], "engine" in entry["error"]) == ("restart-needed", True)


def test_SIGHUP_brings_the_login_of_a_registry(folder: Path, docker_host: str) -> None:
    ensure_busybox(docker_host)
    instance = f"t{secrets.token_hex(4)}"
    (folder / "registry.pw").write_text("s3cret-canary")
    (folder / "registry").mkdir()
    with registry(folder / "registry", "anna", "s3cret-canary") as server:
        image = server.push(docker_host, BUSYBOX, f"team/{instance}:1")
        source = repository(folder, {"a": f"schedule: manual\nimage: {image}\nscript: echo a\n"})
        try:
            with service_child(folder, source.path, instance=instance, docker_host=docker_host) as service:
                service.start().reachable()
                service.await_entry("job.apply-failed", job="a", code="registry-auth")
                login = f"{{username: anna, password_file: {folder}/registry.pw}}"
                service.configure(f'registries: {{"{server.address}": {login}}}')
                service.hang_up()
                eventually(lambda: "a" in service.standing(), "the image is pulled with the new login")
                assert "s3cret-canary" not in service.log_path.read_text()
        finally:
            clean_up(docker_host, instance)


# -- which engine --------------------------------------------------------------------------------------------------


def test_auto_takes_docker_if_it_answers_and_the_choice_is_recorded(folder: Path, docker_host: str) -> None:
    instance = f"t{secrets.token_hex(4)}"
    source = repository(folder, {"quiet": QUIET.replace("none", BUSYBOX)}).path
    ensure_busybox(docker_host)
    try:
        with service_child(folder, source, "auto", instance=instance, docker_host=docker_host) as service:
            service.start()
            assert service.meta("engine") == "docker"
            eventually(lambda: "quiet" in standing(docker_host, instance), "the job is applied")
            service.stop()

            service.docker_host = f"unix://{folder}/nobody.sock"  # recorded, and away: retried, never switched
            service.configure()
            service.start().reachable()
            eventually(lambda: service.degraded("engine-unavailable"), "it says that Docker is away")
            assert service.meta("engine") == "docker"
            code, line = service.check()
            assert (code, "engine-unavailable" in line) == (2, True), line
    finally:
        clean_up(docker_host, instance)


def test_auto_takes_processes_if_docker_does_not_answer_and_keeps_to_it(folder: Path) -> None:
    source = repository(folder, {"tick": TICK}).path
    away = f"unix://{folder}/nobody.sock"
    with service_child(folder, source, "auto", instance="life", docker_host=away) as service:
        service.start()
        assert service.meta("engine") == "process"
        assert "process, because Docker does not answer" in service.tail()
        service.await_run("tick", "succeeded")


def test_a_switch_of_the_engine_is_refused_while_runs_are_active(on_processes: ServiceChild, docker_host: str) -> None:
    service = on_processes
    run_id = started(service)
    service.cli("pause", "tick")
    eventually(lambda: [run.run_id for run in service.open_runs()] == [run_id], "only the told one runs")
    service.stop()
    service.engine, service.docker_host = "docker", docker_host
    service.configure()
    refused = service.run("serve")
    assert (refused.returncode, "[engine-busy]" in refused.stderr) == (1, True), refused.stderr
    assert run_id in refused.stderr
    assert service.meta("engine") == "process"

    service.engine = "process"
    service.configure()
    assert_adopted(service, run_id)
    service.stop()
    service.engine = "memory"
    service.configure()
    service.start().reachable()
    assert service.meta("engine") == "memory"
    assert "switched from process to memory" in service.tail()
    assert list((service.state_dir / "process/jobs").iterdir()) == []
