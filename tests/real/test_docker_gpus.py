"""Rule R2 for devices on a real Engine without a GPU: the request names the leased ids, and its refusal says why."""

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from reconciler.engine.docker import DockerEngine
from reconciler.model.errors import EngineRejected
from reconciler.model.live import LivePhase
from reconciler.model.service import Policy
from tests.kit.docker_engine import clean_up, make_context, make_docker_engine
from tests.kit.orders import make_spec, run_order, standing_order

UUIDS = ("GPU-6a7f1c3e-0d4b-4c56-9f0e-1b2c3d4e5f60", "GPU-0b9d8e7f-1a2b-4c3d-8e4f-5a6b7c8d9e0f")
POLICY = Policy(gpus=True)


@pytest.fixture
def engine(tmp_path: Path, docker_host: str) -> Iterator[DockerEngine]:
    context = make_context(tmp_path / "state")
    engine = make_docker_engine(tmp_path, docker_host, context=context)
    yield engine
    engine.close()
    clean_up(docker_host, context.instance)


@pytest.fixture
def client(docker_host: str) -> Iterator[docker.APIClient]:
    client = docker.APIClient(base_url=docker_host, version="1.41", timeout=30)
    yield client
    client.close()


def test_R2_the_container_asks_for_exactly_the_leased_devices(engine: DockerEngine, client: docker.APIClient) -> None:
    ref = engine.prepare(run_order(make_spec(), policy=POLICY, devices=UUIDS)).ref
    made = client.inspect_container(ref)
    (asked,) = made["HostConfig"]["DeviceRequests"]
    assert (asked["Driver"], asked["DeviceIDs"], asked["Capabilities"]) == ("nvidia", list(UUIDS), [["gpu"]])
    assert not asked["Count"] and not asked["Options"]
    assert f"NVIDIA_VISIBLE_DEVICES={','.join(UUIDS)}" in made["Config"]["Env"]


def test_R2_an_Engine_that_has_no_GPU_says_so_at_the_start_and_nothing_has_run(engine: DockerEngine) -> None:
    order = run_order(make_spec(), policy=POLICY, devices=UUIDS[:1])
    ref = engine.prepare(order).ref
    with pytest.raises(EngineRejected) as refused:
        engine.launch(order.run_id, ref)
    assert refused.value.code == "gpu-unavailable"
    seen = engine.inspect(order.run_id, ref)
    assert seen is not None and seen.phase is LivePhase.CREATED
    engine.discard(order.run_id, ref)


def test_P1_a_standing_job_holds_no_device_and_does_not_drift(engine: DockerEngine, client: docker.APIClient) -> None:
    order = standing_order(make_spec(), policy=POLICY)
    ref = engine.install(order).ref
    assert not client.inspect_container(ref)["HostConfig"]["DeviceRequests"]
    assert engine.inspect_drift(order.spec.name, order) == ()


def test_S2_a_run_without_a_lease_sees_no_GPU(engine: DockerEngine, client: docker.APIClient) -> None:
    ref = engine.prepare(run_order(make_spec(environment=(("NVIDIA_VISIBLE_DEVICES", "all"),)), policy=POLICY)).ref
    made = client.inspect_container(ref)
    assert "NVIDIA_VISIBLE_DEVICES=void" in made["Config"]["Env"]
    assert not made["HostConfig"]["DeviceRequests"]
