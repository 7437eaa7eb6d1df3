"""Rule S3: a job reads its secret, no other place has it, and it goes with the run, whoever dies meanwhile."""

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from reconciler.history.identity import read_identity
from tests.kit.docker_engine import clean_up
from tests.kit.folders import reachable_folder
from tests.kit.service import ServiceChild, eventually, service_child
from tests.lab.dockerd import Handle
from tests.lab.gitrepo import GitRepo
from tests.lab.images import BUSYBOX, ensure_busybox

DSN, TOKEN = "postgres://u:c4n4ry-w0rd@db/shop", "c4n4ry-t0k3n"
# On processes a file is below $RECONCILER_FILES. The job shows what it finds without showing a value.
JOB = """
schedule: manual
image: {image}
user: "1234:56"
secrets:
  - orders-dsn
  - {{name: api-token, target: /etc/app/token, mode: 0440}}
script: |
  file="${{RECONCILER_FILES-}}/run/secrets/orders-dsn"
  echo "length $(wc -c < "$file")"
  [ "$(cat "$file")" = "{dsn}" ] && echo same
  [ "$(cat "${{RECONCILER_FILES-}}/etc/app/token")" = "{token}" ] && echo token
  ls -nL "$file" | cut -c1-10
  ls -nL "${{RECONCILER_FILES-}}/etc/app/token" | cut -c1-10
  ls -nL "$file" | tr -s ' ' | cut -d' ' -f3,4
  ( echo x > "$file" ) 2>/dev/null || echo read-only
  {then}
"""


def job(image: str, then: str = ":") -> str:
    text = JOB.format(image=image, dsn="$(printf '%s' 'postgres://u:c4n4' 'ry-w0rd@db/shop')",
                      token="$(printf '%s' c4n4 ry-t0k3n)", then=then)  # fmt: skip
    return text


@pytest.fixture(params=["process", pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.timeout(300)])])
def service(request: pytest.FixtureRequest) -> Iterator[ServiceChild]:
    instance, host = f"t{secrets.token_hex(4)}", ""
    if request.param == "docker":
        handle: Handle = request.getfixturevalue("private_docker")
        host = handle.docker_host
        ensure_busybox(host)
    image = BUSYBOX if host else "none"
    with reachable_folder() as folder:
        store = folder / "store"
        store.mkdir(mode=0o700)
        (store / "orders-dsn").write_text(DSN)
        (store / "api-token").write_text(TOKEN)
        repo = GitRepo(folder / "jobs")
        repo.commit({"jobs.d/reads.yaml": job(image), "jobs.d/sleeps.yaml": job(image, "sleep 600")}, "two jobs")
        config = f"secret_stores: [{{type: directory, path: {store}}}]\n"
        try:
            with service_child(folder, repo.path, request.param, instance=instance, docker_host=host, config=config
                               ) as made:  # fmt: skip
                made.start().reachable()
                eventually(lambda: len(made.standing()) == 2, "the jobs stand")
                place = memory_of(made)
                yield made
        finally:
            if host:
                clean_up(host, instance)
            shutil.rmtree(place, ignore_errors=True)


def memory_of(service: ServiceChild) -> Path:
    identity = read_identity(service.state_dir)
    assert identity is not None
    return Path("/dev/shm") / f"reconciler-{identity.instance_id[:16]}"


def left(service: ServiceChild) -> list[str]:
    place = memory_of(service)
    return sorted(path.name for path in place.iterdir()) if place.exists() else []


def test_S3_a_job_reads_its_secret_and_nothing_of_it_stays(service: ServiceChild) -> None:
    done = service.run("run", "reads", "--wait")
    assert done.returncode == 0, done
    (run,) = service.runs("reads")
    user = "1234 56" if service.engine == "docker" else "65534 65534"
    log = service.log_of(run)
    assert log.splitlines() == [f"length {len(DSN)}", "same", "token", "-r--------", "-r--r-----", user, "read-only"]
    eventually(lambda: left(service) == [], "its directory has gone")
    assert b"c4n4ry-" not in b"".join(path.read_bytes() for path in service.state_dir.rglob("*") if path.is_file())


def test_S3_neither_the_standing_container_nor_that_of_a_run_shows_a_value(service: ServiceChild) -> None:
    service.cli("run", "sleeps")
    run = service.await_run("sleeps")
    if service.engine == "docker":
        with docker.APIClient(base_url=service.docker_host, version="1.41") as client:
            shown = [client.inspect_container(row["Id"]) for row in client.containers(all=True)
                     if any(name.startswith(f"/{service.instance}.") for name in row["Names"])]  # fmt: skip
        assert len(shown) == 3 and "c4n4ry-" not in json.dumps(shown)
        mounts = [mount for each in shown for mount in each["Mounts"]]
        assert [(mount["RW"], mount["Type"]) for mount in mounts] == 2 * [(False, "bind")]  # of the run alone
    assert left(service) == [run.run_id]
    service.cli("stop", "sleeps")
    eventually(lambda: left(service) == [], "its directory has gone")


def test_R6_a_kill_leaves_a_running_job_its_secret_and_no_other_one_after_the_restart(service: ServiceChild) -> None:
    service.cli("run", "sleeps")
    run = service.await_run("sleeps")
    service.kill()
    assert left(service) == [run.run_id]
    (memory_of(service) / "reads.20261124T020000Z.1").mkdir()
    (memory_of(service) / "reads.20261124T020000Z.1" / "x~400").write_text("of a run that a crash has forgotten")
    service.start().reachable()
    eventually(lambda: left(service) == [run.run_id], "what a crash has left is gone")
    service.cli("stop", "sleeps")
    eventually(lambda: left(service) == [], "its directory has gone")


def test_S3_a_missing_or_unsafe_secret_is_a_problem_of_the_file_and_heals_by_itself(service: ServiceChild) -> None:
    store = service.folder / "store"
    (store / "api-token").unlink()
    repo = GitRepo(service.folder / "jobs")
    text = job(BUSYBOX if service.docker_host else "none", "echo edited")
    repo.commit({"jobs.d/reads.yaml": text}, "edit one")
    done = service.run("plan")
    assert "reads.yaml:7" in done.stdout, done
    assert "default asks for the secret api-token, and no store has it" in done.stdout
    assert service.run("validate", str(repo.path)).returncode == 1
    service.cli("run", "reads")  # the live version, which keeps firing
    assert service.await_entry("run.delayed", job="reads")["code"] == "secret-gone"
    (store / "api-token").write_text(TOKEN)
    healed = service.await_run("reads", "succeeded")
    assert healed.tries or healed.unstarted, "the same run, or after the edit its next attempt"
    eventually(lambda: "echo edited" in (service.standing()["reads"].spec.script or ""), "the edit is applied")
    os.chmod(store, 0o755)
    eventually(lambda: "has mode 0755" in service.run("plan").stdout, "the store is refused")
    done = service.run("doctor")
    assert done.returncode == 1 and f"cannot use the secrets in {store}: it has mode 0755" in done.stdout
