"""What a failed run leaves, through the whole service: its outputs are kept, its container stays until it is let go."""

import secrets
from collections.abc import Iterator

import pytest

from reconciler.model.ids import container_name
from tests.kit.docker_engine import clean_up
from tests.kit.folders import reachable_folder
from tests.kit.service import ServiceChild, eventually, service_child
from tests.kit.standing import api
from tests.lab.gitrepo import GitRepo
from tests.lab.images import BUSYBOX, ensure_busybox

pytestmark = [pytest.mark.docker, pytest.mark.timeout(200)]

JOB = f"""
schedule: manual
image: {BUSYBOX}
pull_policy: never
networks: [none]
user: "1234:1234"
read_only: true
outputs: /outputs
hold_on_failure: 1h
script: |
  echo hello > $RECONCILER_OUTPUTS/a
  ln -s /etc/passwd $RECONCILER_OUTPUTS/link
  exit 3
"""


@pytest.fixture
def service(docker_host: str) -> Iterator[ServiceChild]:
    ensure_busybox(docker_host)
    instance = f"t{secrets.token_hex(4)}"
    with reachable_folder() as folder:
        repo = GitRepo(folder / "jobs")
        repo.commit({"jobs.d/fails.yaml": JOB})
        try:
            with service_child(folder, repo.path, instance=instance, docker_host=docker_host) as service:
                service.start().reachable()
                eventually(lambda: "fails" in service.cli("jobs", "--all"), "the job is there")
                yield service
        finally:
            clean_up(docker_host, instance)


def test_outputs_and_container_of_a_failed_run_stay_and_go_when_they_should(
    service: ServiceChild, docker_host: str
) -> None:
    service.cli("run", "fails")
    (run,) = eventually(lambda: [r for r in service.runs("fails") if r.collected], "it has ended and is collected")
    assert (run.exit_code, run.discarded) == (3, False)
    listed = service.cli("outputs", "fails")
    assert "a" in listed and "never kept: 1 links, special files or odd names: link" in listed
    shown = service.cli("show", "fails")
    (copies,) = [line.strip() for line in shown.splitlines() if line.strip().startswith("docker cp ")]
    container = copies.split()[2].partition(":")[0]
    assert container == container_name(container.partition(".")[0], run.run_id)
    with api(docker_host) as client:
        stream, _ = client.get_archive(container, "/outputs/a")
        assert b"hello" in b"".join(stream)
        service.cli("discard", "fails")
        eventually(lambda: not client.containers(all=True, filters={"name": container}), "the container is gone")
    assert "a" in service.cli("outputs", "fails")
