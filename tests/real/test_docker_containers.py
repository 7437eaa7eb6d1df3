"""What a run's container is, on a real Engine: no more power than the policy gives, and ended as a whole."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from reconciler.engine import guard
from reconciler.engine.docker import DockerEngine
from reconciler.model.errors import EngineRejected
from reconciler.model.ids import container_name, standing_name
from reconciler.model.job import FileMount, JobSpec, Mount, Resources
from reconciler.model.live import LivePhase, LiveRun
from reconciler.model.service import Policy
from reconciler.spec.filemodes import fault
from tests.kit.docker_engine import clean_up, eventually, make_context, make_docker_engine, output_of
from tests.kit.orders import make_spec, run_order, standing_order

POLICY = Policy(binds=("/srv",), capabilities=("CHOWN", "SETUID"))


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


def run(engine: DockerEngine, spec: JobSpec, policy: Policy = POLICY) -> tuple[LiveRun, str]:
    """Run to its end; the run and its output."""
    order = run_order(spec, policy=policy)
    ref = engine.prepare(order).ref
    engine.launch(order.run_id, ref)
    ended = eventually(lambda: _ended(engine, order.run_id, ref))
    output = output_of(engine, order.run_id, ref)
    engine.discard(order.run_id, ref)
    return ended, output.decode()


def _ended(engine: DockerEngine, run_id: str, ref: str) -> LiveRun | None:
    live = engine.inspect(run_id, ref)
    assert live is not None
    return live if live.phase is LivePhase.EXITED else None


def test_S2_a_job_has_no_capabilities_no_new_privileges_and_bounded_pids(engine: DockerEngine) -> None:
    _, output = run(engine, make_spec(script="grep -E '^(Cap|NoNewPrivs)' /proc/self/status; cat /proc/1/comm"))
    powers = dict(line.split(":\t") for line in output.splitlines() if ":\t" in line)
    assert {int(powers[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert powers["NoNewPrivs"] == "1"
    assert "docker-init" in output


def test_S2_read_back_a_container_has_no_more_than_was_granted(
    engine: DockerEngine, client: docker.APIClient, tmp_path: Path
) -> None:
    staged = tmp_path / "query.sql"
    staged.write_text("select 1")
    spec = make_spec(
        cap_add=("CHOWN",), resources=Resources(cpus=0.5, memory=32 << 20, shm_size=1 << 20, pids_limit=64),
        mounts=(Mount("volume", "models", "/models"), Mount("tmpfs", "", "/scratch", size=1 << 20)), read_only=True,
    )  # fmt: skip
    order = run_order(spec, policy=POLICY, staged=((str(staged), "/app/query.sql"),))
    host: dict[str, Any] = client.inspect_container(engine.prepare(order).ref)["HostConfig"]
    assert {cap.removeprefix("CAP_") for cap in host["CapAdd"]} == {"CHOWN"}
    assert host["CapDrop"] == ["ALL"]
    assert (host["Memory"], host["MemorySwap"], host["NanoCpus"], host["PidsLimit"]) == (32 << 20, 32 << 20, 5e8, 64)
    assert host["ReadonlyRootfs"] and host["Init"]
    assert {mount["Type"] for mount in host["Mounts"]} == {"volume", "tmpfs", "bind"}
    empty = (None, "", 0, False, [], {}, [0, 0])
    expected = {"MaskedPaths", "ReadonlyPaths", "Runtime", "Isolation"}  # what the Engine fills in by itself
    given = {key for key in guard.NEVER_SENT if host.get(key) not in empty} - expected
    assert given == set()


def test_S2_every_setting_that_this_engine_knows_is_decided(engine: DockerEngine, client: docker.APIClient) -> None:
    """An Engine's new setting shows here before it shows as a power."""
    host = client.inspect_container(engine.prepare(run_order(make_spec())).ref)["HostConfig"]
    assert set(host) <= set(guard.HOST_CONFIG) | guard.NEVER_SENT


def test_R4_TERM_reaches_the_whole_group(engine: DockerEngine) -> None:
    script = """
    sh -c 'trap "echo child got TERM; exit 0" TERM; echo child up; while :; do sleep 0.1; done' &
    child=$!
    trap 'wait $child; echo main got TERM; exit 7' TERM
    while :; do sleep 0.1; done
    """
    order = run_order(make_spec(script=script))
    ref = engine.prepare(order).ref
    engine.launch(order.run_id, ref)
    eventually(lambda: b"child up" in output_of(engine, order.run_id, ref))
    engine.stop(order.run_id, ref, 20.0)
    live = engine.inspect(order.run_id, ref)
    output = output_of(engine, order.run_id, ref)
    assert live is not None and live.exit_code == 7
    assert b"child got TERM" in output and b"main got TERM" in output


def test_R3_a_command_beyond_its_memory_ends_as_137(engine: DockerEngine) -> None:
    script = "exec head -c 200m /dev/zero | tail"
    live, _ = run(engine, make_spec(script=f"{script}; exit 137", resources=Resources(memory=16 << 20)))
    assert live.exit_code in (137, 1)


def test_R7_usage_of_an_ended_run_is_known_when_a_listing_saw_it_run(engine: DockerEngine) -> None:
    order = run_order(make_spec(script="i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo done; sleep 60"))
    ref = engine.prepare(order).ref
    engine.launch(order.run_id, ref)
    eventually(lambda: b"done" in output_of(engine, order.run_id, ref))
    engine.observe()
    engine.kill(order.run_id, ref)
    usage = engine.usage(order.run_id, ref)
    assert usage.peak_memory is not None and usage.peak_memory > 100_000
    assert usage.cpu_seconds is not None and usage.cpu_seconds > 0.01


def test_R3_a_start_that_is_refused_says_why_and_leaves_a_container_that_never_ran(engine: DockerEngine) -> None:
    order = run_order(make_spec(user="nobody-here"))
    ref = engine.prepare(order).ref
    with pytest.raises(EngineRejected) as caught:
        engine.launch(order.run_id, ref)
    assert caught.value.code == "user-missing" and caught.value.hint
    live = engine.inspect(order.run_id, ref)
    assert live is not None and live.phase is LivePhase.CREATED and live.error
    assert engine.find_start(order.run_id, ref) is None


@pytest.mark.parametrize(
    ("command", "code"),
    [
        pytest.param(("no-such-command",), 127, id="no such command"),
        pytest.param(("/etc/passwd",), 126, id="a file that is no program"),
    ],
)
def test_R3_a_command_that_cannot_be_run_ends_with_the_shells_codes(
    engine: DockerEngine, command: tuple[str, ...], code: int
) -> None:
    live, output = run(engine, make_spec(command=command, script=None))
    assert live.exit_code == code and command[0] in output


def test_a_job_on_two_networks_reaches_both(engine: DockerEngine, client: docker.APIClient) -> None:
    instance = engine._core.context.instance
    client.create_network(f"{instance}.shop", driver="bridge")
    spec = make_spec(script="ls /sys/class/net", networks=("default", f"{instance}.shop"))
    _, output = run(engine, spec, Policy(networks=(f"{instance}.shop",)))
    assert {"eth0", "eth1"} <= set(output.split())


def test_S1_without_networks_there_is_only_loopback(engine: DockerEngine) -> None:
    _, output = run(engine, make_spec(script="ls /sys/class/net", networks=("none",)))
    assert not [name for name in output.split() if name.startswith("eth")]


def test_S1_two_jobs_of_an_owner_share_its_volume(engine: DockerEngine) -> None:
    volume = (Mount("volume", "models", "/models"),)
    run(engine, make_spec("ml/write", script="echo hello > /models/x", mounts=volume))
    _, output = run(engine, make_spec("ml/read", script="cat /models/x", mounts=volume))
    assert output == "hello\n"


def test_files_are_staged_read_only(engine: DockerEngine, tmp_path: Path) -> None:
    staged = tmp_path / "query.sql"
    staged.write_text("select 1")
    order = run_order(make_spec(script="cat /app/query.sql; echo x > /app/query.sql"),
                      staged=((str(staged), "/app/query.sql"),))  # fmt: skip
    ref = engine.prepare(order).ref
    engine.launch(order.run_id, ref)
    live = eventually(lambda: _ended(engine, order.run_id, ref))
    assert live.exit_code == 1
    assert staged.read_text() == "select 1"


OWN_UID, OWN_GID = 12345, 12346  # of a service that is not root
READERS = [
    ("0400", OWN_UID, None, ()), ("0400", OWN_UID, "0", ()), ("0400", OWN_UID, "0", ("DAC_OVERRIDE",)),
    ("0400", OWN_UID, "1000:50", ()), ("0440", OWN_UID, f"1000:{OWN_GID}", ()), ("0400", OWN_UID, str(OWN_UID), ()),
    ("0444", OWN_UID, "1000:50", ()), ("0400", 1000, "1000:50", ()), ("0400", 0, "0", ()), ("0400", 0, "1000", ()),
    ("0040", OWN_UID, f"{OWN_UID}:{OWN_GID}", ()),
]  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize(("mode", "owner", "user", "caps"), READERS)
def test_P4_what_is_said_of_a_file_that_a_job_cannot_read_is_true(
    engine: DockerEngine, client: docker.APIClient, tmp_path: Path, mode: str, owner: int, user: str | None,
    caps: tuple[str, ...],
) -> None:  # fmt: skip
    staged = tmp_path / "file"
    staged.write_text("x")
    os.chown(staged, owner, OWN_GID if owner == OWN_UID else 50)
    staged.chmod(int(mode, 8))
    file = FileMount("/file", "x", int(mode, 8))
    spec = make_spec(script="cat /file", user=user, cap_add=caps, files=(file,))
    policy, binds = Policy(capabilities=("DAC_OVERRIDE",)), ((str(staged), "/file"),)
    order = run_order(spec, policy=policy, staged=binds)
    ref = engine.prepare(order).ref
    engine.launch(order.run_id, ref)
    read = eventually(lambda: _ended(engine, order.run_id, ref)).exit_code == 0
    told = fault(spec, file, owner, staged.stat().st_gid)
    assert (told is None) == read
    if read:
        assert engine.install(standing_order(spec, policy=policy, staged=binds)).ref
        return
    with pytest.raises(EngineRejected) as caught:
        engine.install(standing_order(spec, policy=policy, staged=binds))
    assert caught.value.code == "file-unreadable" and "/file" in str(caught.value) and caught.value.hint
    with pytest.raises(docker.errors.NotFound):
        client.inspect_container(standing_name(engine._core.context.instance, spec.name))


@pytest.fixture
def granted(tmp_path: Path) -> Path:
    root = tmp_path / "granted"
    (root / "in").mkdir(parents=True)
    (root / "in" / "x").write_text("data")
    (root / "link").symlink_to("/etc")
    os.mkfifo(root / "fifo")
    return root


@pytest.mark.parametrize(
    ("part", "code"),
    [("in", ""), ("in/x", ""), ("absent", "bind-missing"), ("link", "bind-symlink"), ("link/ssl", "bind-symlink"),
     ("fifo", "bind-denied"), ("socket", "bind-denied"), ("../state", "guard-refused")],
)  # fmt: skip
def test_P4_bind_sources_are_checked_before_the_engine_is_asked(
    engine: DockerEngine, granted: Path, part: str, code: str
) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(granted / "socket"))
        (granted.parent / "state").mkdir(exist_ok=True)
        order = standing_order(
            make_spec(mounts=(Mount("bind", f"{granted}/{part}", "/in"),)), policy=Policy(binds=(str(granted),))
        )
        if not code:
            assert engine.install(order).ref
            return
        with pytest.raises(EngineRejected) as caught:
            engine.install(order)
    assert caught.value.code in (code, "bind-denied")
    assert engine.observe().jobs == {}


def test_P1_changes_by_hand_are_drift_and_the_next_install_heals_them(
    engine: DockerEngine, client: docker.APIClient
) -> None:
    order = standing_order(make_spec(resources=Resources(memory=32 << 20), cap_add=("CHOWN",)), policy=POLICY)
    first = engine.install(order)
    assert engine.inspect_drift(order.spec.name, order) == ()
    client.update_container(first.ref, mem_limit=64 << 20, memswap_limit=64 << 20, restart_policy={"Name": "always"})
    assert set(engine.inspect_drift(order.spec.name, order)) == {
        "Memory is no longer as applied", "MemorySwap is no longer as applied", "RestartPolicy is no longer as applied",
    }  # fmt: skip
    second = engine.install(order)
    assert second.ref != first.ref
    assert engine.inspect_drift(order.spec.name, order) == ()


def test_P1_a_standing_container_started_by_hand_is_drift(engine: DockerEngine, client: docker.APIClient) -> None:
    order = standing_order(make_spec(script="exit 0"))
    name = standing_name(engine._core.context.instance, order.spec.name)
    engine.install(order)
    client.start(name)
    client.wait(name)
    assert engine.observe().jobs[order.spec.name].drift == ("its container was started by hand",)
    engine.install(order)
    assert engine.observe().jobs[order.spec.name].drift == ()


def test_P4_a_standing_container_that_runs_is_not_killed(engine: DockerEngine, client: docker.APIClient) -> None:
    order = standing_order(make_spec(script="sleep 60"))
    ref = engine.install(order).ref
    client.start(ref)
    with pytest.raises(EngineRejected) as caught:
        engine.install(standing_order(make_spec(script="sleep 61")))
    assert caught.value.code == "standing-started"
    with pytest.raises(EngineRejected):
        engine.retire(order.spec.name)
    assert client.inspect_container(ref)["State"]["Running"]
    assert [row["Id"] for row in _of(client, engine)] == [ref]


def test_P4_a_refused_replacement_leaves_the_old_one_untouched(engine: DockerEngine, client: docker.APIClient) -> None:
    order = standing_order(make_spec())
    ref = engine.install(order).ref
    with pytest.raises(EngineRejected):
        engine.install(standing_order(make_spec(resources=Resources(memory=4096))))  # less than the Engine allows
    assert [row["Id"] for row in _of(client, engine)] == [ref]
    assert engine.inspect_drift(order.spec.name, order) == ()


def test_P6_a_half_made_replacement_is_reported_and_cleared_away(
    engine: DockerEngine, client: docker.APIClient
) -> None:
    order = standing_order(make_spec())
    name = standing_name(engine._core.context.instance, order.spec.name)
    engine.install(order)
    client.rename(name, f"{name}.NEW")  # as after a crash between removing the old one and renaming the new one
    drift = engine.observe().jobs[order.spec.name].drift
    assert drift == ("an interrupted replacement left a container behind",)
    engine.install(order)
    live = engine.observe().jobs[order.spec.name]
    assert live.drift == () and len(_of(client, engine)) == 1
    client.rename(name, f"{name}.NEW")
    engine.observe()
    engine.retire(order.spec.name)
    assert _of(client, engine) == []


def test_R1_the_start_request_is_the_first_of_a_launch(tmp_path: Path, docker_host: str) -> None:
    from tests.lab.faultproxy import START, fault_proxy

    with fault_proxy(tmp_path, docker_host) as proxy:
        engine = make_docker_engine(tmp_path, proxy.docker_host)
        order = run_order(make_spec(networks=("none",)))
        ref = engine.prepare(order).ref
        before = len(proxy.requests)
        engine.launch(order.run_id, ref)
        assert "start" in proxy.requests[before] and proxy.count(START) == 1
        engine.close()
        clean_up(docker_host, engine._core.context.instance)


def test_R1_the_run_is_named_by_its_id_and_labelled(engine: DockerEngine, client: docker.APIClient) -> None:
    order = run_order(make_spec(labels=(("team", "x"),)))
    data = client.inspect_container(engine.prepare(order).ref)
    assert data["Name"] == "/" + container_name(engine._core.context.instance, order.run_id)
    assert data["Config"]["Labels"]["io.reconciler.label.team"] == "x"
    assert "team" not in data["Config"]["Labels"]
    assert "secret" not in json.dumps(data["Config"]["Labels"])


def _of(client: docker.APIClient, engine: DockerEngine) -> list[dict[str, Any]]:
    wanted = {"label": f"io.reconciler.instance={engine._core.context.instance}"}
    return list(client.containers(all=True, filters=wanted))
