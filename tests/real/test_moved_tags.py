"""Promise (P4): a tag that moves in its registry is a change where the job asked to follow it, and nowhere else."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest
from structlog.testing import capture_logs

from reconciler.daemon.refresh import REFRESHED
from reconciler.engine.docker import DockerEngine
from reconciler.model.live import StandingJob
from reconciler.model.service import Registry
from tests.kit.docker_engine import clean_up, eventually, make_context, make_docker_engine
from tests.kit.synced import Synced
from tests.lab.images import labelled_image
from tests.lab.registry import RegistryServer, registry

DAY = 24 * 60.0  # minutes


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with registry(tmp_path_factory.mktemp("registry"), "anna", "s3cret-canary") as server:
        yield server


@pytest.fixture
def password(tmp_path: Path) -> Path:
    made = tmp_path / "registry.pw"
    made.write_text("s3cret-canary")
    return made


@pytest.fixture
def engine(tmp_path: Path, docker_host: str, hub: RegistryServer, password: Path) -> Iterator[DockerEngine]:
    logins = {hub.address: Registry("anna", str(password))}
    context = replace(make_context(tmp_path), registries=lambda: logins)
    engine = make_docker_engine(tmp_path, docker_host, context=context)
    yield engine
    engine.close()
    clean_up(docker_host, context.instance)
    hub.forget(docker_host)


@pytest.fixture
def synced(tmp_path: Path, engine: DockerEngine) -> Iterator[Synced]:
    made = Synced(tmp_path, engine=lambda _context, _world: engine)
    yield made
    made.close()


def pushed(docker_host: str, hub: RegistryServer, instance: str, command: str) -> tuple[str, str]:
    """What `team/tool:stable` means from now on: (the tag, the image's id). Only the registry has it."""
    local = f"{instance}-{command}:1"
    image_id = labelled_image(docker_host, local, [f'CMD ["{command}"]'])
    tag = hub.push(docker_host, local, "team/tool:stable")
    client = docker.APIClient(base_url=docker_host, version="1.41", timeout=30)
    try:
        client.remove_image(local, force=True)
    finally:
        client.close()
    return tag, image_id


def test_P4_who_follows_a_tag_gets_what_it_means_after_a_day_and_the_others_keep_what_they_had(
    synced: Synced, engine: DockerEngine, hub: RegistryServer, docker_host: str, password: Path
) -> None:
    instance = engine._core.context.instance
    tag, first = pushed(docker_host, hub, instance, "true")
    synced.write("follows", f"{tag}\npull_policy: daily\nnetworks: [none]")
    synced.write("stays", f"{tag}\nnetworks: [none]")
    assert synced.rounds() == {}

    def standing() -> dict[str, StandingJob]:
        return dict(synced.history.standing())

    def images() -> dict[str, str]:
        return {name: job.image_id for name, job in standing().items()}

    by_digest = f"{hub.address}/team/tool@{standing()['follows'].image_digest}"
    synced.write("pinned", f"{by_digest}\npull_policy: daily\nnetworks: [none]")
    assert synced.rounds() == {}
    assert images() == dict.fromkeys(("follows", "stays", "pinned"), first)
    assert len({job.image_digest for job in standing().values()} - {""}) == 1

    second = pushed(docker_host, hub, instance, "false")[1]
    assert second != first
    synced.rounds(DAY - 10)
    assert set(images().values()) == {first} and not synced.history.get_meta(REFRESHED), "nobody has asked yet"
    synced.rounds(20)
    eventually(lambda: synced.rounds(0.1) == {} and images()["follows"] == second)
    eventually(lambda: synced.rounds(0.1) == {} and by_digest in json.loads(synced.history.get_meta(REFRESHED) or "{}"))
    assert images() == {"follows": second, "stays": first, "pinned": first}
    said = [event for event in synced.history.events(job="follows") if event.name.value == "job.replaced"]
    assert len(said) == 1 and "pull_policy daily" in str(said[0].fields), said

    # The registry no longer takes the login: that is said, and everything stays as it was.
    pushed(docker_host, hub, instance, "sync")
    password.write_text("wrong")
    with capture_logs() as logs:
        synced.rounds(DAY + 60)
        eventually(lambda: [line for line in logs if line["event"] == "image.refresh-failed"])
    (line, *_) = [line for line in logs if line["event"] == "image.refresh-failed"]
    assert line["code"] == "registry-auth" and "s3cret-canary" not in str(logs)
    synced.rounds()
    assert images() == {"follows": second, "stays": first, "pinned": first}
