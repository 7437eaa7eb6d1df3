"""Outputs on a real Engine: any user can write, nothing of the host is bound, and what is left there cannot fool us."""

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from reconciler.engine.docker import DockerEngine
from reconciler.model.job import JobSpec
from reconciler.model.live import LivePhase, LiveRun
from reconciler.model.outputs import PartKind
from reconciler.workspace.outputs import collect
from tests.kit.docker_engine import clean_up, eventually, make_context, make_docker_engine, output_of
from tests.kit.orders import make_spec, run_order


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


def ran(engine: DockerEngine, spec: JobSpec) -> tuple[str, str]:
    """Run to a good end; run id and ref."""
    order = run_order(spec)
    ref = engine.prepare(order).ref
    engine.launch(order.run_id, ref)

    def look() -> LiveRun | None:
        live = engine.inspect(order.run_id, ref)
        return live if live is not None and live.phase is LivePhase.EXITED else None

    assert eventually(look).exit_code == 0, output_of(engine, order.run_id, ref)
    return order.run_id, ref


@pytest.mark.parametrize("user", [None, "1234:1234"])
@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("target", ["/outputs", "/a/deep/place", "/home"])
def test_whoever_the_job_is_it_can_write_and_finds_nothing(
    engine: DockerEngine, user: str | None, read_only: bool, target: str
) -> None:
    script = f'[ -z "$(ls -A {target})" ] && echo hello > {target}/a && chmod 600 {target}/a'
    run_id, ref = ran(engine, make_spec(script=script, outputs=target, user=user, read_only=read_only))
    parts = engine.outputs(run_id, ref, target)
    assert parts is not None
    assert [(part.path, b"".join(part.data)) for part in parts] == [("a", b"hello\n")]


def test_no_host_path_is_bound_and_the_volume_goes_with_the_container(
    engine: DockerEngine, client: docker.APIClient
) -> None:
    run_id, ref = ran(engine, make_spec(script="true", outputs="/outputs"))
    (mount,) = client.inspect_container(ref)["Mounts"]
    assert mount["Type"] == "volume"
    engine.discard(run_id, ref)
    with pytest.raises(docker.errors.NotFound):
        client.inspect_volume(mount["Name"])


def test_links_modes_and_special_files_of_a_job_come_to_nothing(engine: DockerEngine, tmp_path: Path) -> None:
    script = """cd /outputs
    echo a > a; ln a again; ln -s /etc/shadow link; ln -s / all; mkfifo pipe
    echo tool > tool; chmod 6755 tool; mkdir -p "odd name/sub"; echo x > "odd name/sub/-rf"
    mkdir closed; chmod 0 closed"""
    run_id, ref = ran(engine, make_spec(script=script, outputs="/outputs", user="1234:1234"))
    parts = engine.outputs(run_id, ref, "/outputs")
    assert parts is not None
    kept = collect(parts, tmp_path / "kept", 1 << 20, 100)
    assert {path for path, _ in kept.files} == {"a", "again", "tool", "odd name/sub/-rf"}
    assert set(kept.skipped) == {"link", "all", "pipe"}
    data = tmp_path / "kept/data"
    assert (data / "tool").stat().st_mode & 0o7777 == 0o750
    assert not [path for path in data.rglob("*") if path.is_symlink()]
    assert (data / "again").read_text() == "a\n"


def test_reading_ends_at_the_bound_however_much_there_is(engine: DockerEngine, tmp_path: Path) -> None:
    script = "cd /outputs; echo a > a; truncate -s 2T b 2>/dev/null || dd if=/dev/zero of=b bs=1M count=64; echo c > c"
    run_id, ref = ran(engine, make_spec(script=script, outputs="/outputs"))
    parts = engine.outputs(run_id, ref, "/outputs")
    assert parts is not None
    kept = collect(parts, tmp_path / "kept", 1 << 20, 100)
    assert (kept.files, kept.left_out) == ((("a", 2),), "b")


def test_an_entry_shows_what_it_is(engine: DockerEngine) -> None:
    run_id, ref = ran(engine, make_spec(script="mkdir /outputs/d; ln -s d /outputs/l", outputs="/outputs"))
    parts = engine.outputs(run_id, ref, "/outputs")
    assert parts is not None
    assert [(part.path, part.kind) for part in parts] == [("d", PartKind.DIRECTORY), ("l", PartKind.OTHER)]
