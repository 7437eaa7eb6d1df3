"""A DockerEngine for tests: a private Engine's address in, an engine with an identity of its own out."""

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import docker

from reconciler.engine.base import EngineContext
from reconciler.engine.docker import DockerEngine
from reconciler.engine.docker_client import Timeouts
from reconciler.model.job import JobSpec
from reconciler.model.live import LivePhase, LiveRun
from tests.kit.orders import run_order
from tests.lab.images import BUSYBOX, ensure_busybox

IMAGE = BUSYBOX
T = TypeVar("T")
QUICK = Timeouts(call=5.0, start=10.0, pull=30.0, idle=10.0)


def make_context(state_dir: Path, instance: str = "") -> EngineContext:
    """An identity that no other test has."""
    return EngineContext(
        instance=instance or f"t{secrets.token_hex(4)}",
        instance_id=secrets.token_hex(16),
        key=secrets.token_bytes(32),
        state_dir=str(state_dir),
    )


def make_docker_engine(
    tmp_path: Path,
    docker_host: str,
    *,
    context: EngineContext | None = None,
    owned: Callable[[str], bool] = lambda _ref: False,
    timeouts: Timeouts = QUICK,
) -> DockerEngine:
    """An engine on `docker_host`, where `busybox:local` is made available. Call `clean_up` when done."""
    ensure_busybox(docker_host)
    return DockerEngine(context or make_context(tmp_path), owned=owned, docker_host=docker_host, timeouts=timeouts)


def eventually(look: Callable[[], T], within: float = 30.0) -> T:
    """The first true answer of `look`; fails after `within` seconds."""
    deadline = time.monotonic() + within
    while not (answer := look()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
    return answer


def output_of(engine: DockerEngine, run_id: str, ref: str) -> bytes:
    """What a run has written so far."""
    return b"".join(chunk.data for chunk in engine.logs(run_id, ref, follow=False))


def ended_run(engine: DockerEngine, spec: JobSpec, image_id: str = "", attempt: int = 1) -> tuple[int | None, str, str]:
    """Run it, wait for its end, remove it: (exit code, output, image id)."""
    order = run_order(spec, image_id=image_id, attempt=attempt)
    made = engine.prepare(order)
    engine.launch(order.run_id, made.ref)

    def look() -> LiveRun | None:
        live = engine.inspect(order.run_id, made.ref)
        return live if live is not None and live.phase is LivePhase.EXITED else None

    ended = eventually(look, within=120.0)
    said = output_of(engine, order.run_id, made.ref).decode()
    engine.discard(order.run_id, made.ref)
    return ended.exit_code, said, made.image_id


def clean_up(docker_host: str, instance: str) -> None:
    """Remove what one test instance left: what is called `<instance>.…`, and image tags with its name."""
    client = docker.APIClient(base_url=docker_host, version="1.41", timeout=60)
    try:
        for row in client.containers(all=True):
            if any(name.startswith(f"/{instance}.") for name in row["Names"]):
                _quietly(lambda ref=row["Id"]: client.remove_container(ref, force=True, v=True))
        for network in client.networks():
            if network["Name"].startswith(f"{instance}."):
                _quietly(lambda ref=network["Id"]: client.remove_network(ref))
        for volume in client.volumes()["Volumes"] or []:
            if volume["Name"].startswith(f"{instance}."):
                _quietly(lambda name=volume["Name"]: client.remove_volume(name, force=True))
        for image in client.images():
            for tag in image["RepoTags"] or []:
                if instance in tag:
                    _quietly(lambda tag=tag: client.remove_image(tag, force=True))
    finally:
        client.close()


def _quietly(remove: Callable[[], object]) -> None:
    try:
        remove()
    except docker.errors.APIError:
        pass  # it went meanwhile, or a later call removes it
