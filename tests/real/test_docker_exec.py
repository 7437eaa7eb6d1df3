"""Promise: a command in another container runs once, is kept in full, and ends alone: the container lives on."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.engine.base import EngineContext, RunOrder
from reconciler.engine.docker import DockerEngine
from reconciler.engine.docker_attached import MOST_HELD
from reconciler.engine.docker_exec import GAP
from reconciler.model.errors import EngineRejected, EngineUnavailable
from reconciler.model.live import WENT_DOWN, LivePhase, LiveRun
from reconciler.model.service import Policy
from tests.kit.docker_engine import clean_up, eventually, make_context, make_docker_engine, output_of
from tests.kit.exec import Shop, behind_tcp, shop
from tests.kit.orders import make_spec, run_order, standing_order
from tests.lab.dockerd import Handle
from tests.lab.faultproxy import EXEC_START, FaultProxy, Rule, fault_proxy

POLICY = Policy(exec_in=("shop-*",))
UP = "echo up; while :; do sleep 0.1; done"


@pytest.fixture
def context(tmp_path: Path) -> EngineContext:
    return make_context(tmp_path / "state")


@pytest.fixture
def engine(tmp_path: Path, docker_host: str, context: EngineContext) -> Iterator[DockerEngine]:
    engine = make_docker_engine(tmp_path, docker_host, context=context)
    yield engine
    engine.close()
    clean_up(docker_host, context.instance)


@pytest.fixture
def target(docker_host: str) -> Iterator[Shop]:
    with shop(docker_host) as found:
        yield found


def order_in(target: Shop, script: str, **fields: object) -> RunOrder:
    attempt = fields.pop("attempt", 1)
    spec = make_spec(script=script, image="", exec_in=target.name, **fields)
    return run_order(spec, policy=POLICY, attempt=attempt)  # type: ignore[arg-type]


def started(engine: DockerEngine, order: RunOrder) -> str:
    ref = engine.prepare(order).ref
    assert engine.launch(order.run_id, ref).phase is LivePhase.RUNNING
    return ref


def ended(engine: DockerEngine, order: RunOrder, ref: str) -> LiveRun:
    def look() -> LiveRun | None:
        live = engine.inspect(order.run_id, ref)
        assert live is not None, "it is gone"
        return live if live.phase is LivePhase.EXITED else None

    return eventually(look)


# -- what it is ------------------------------------------------------------------------------------------------------


def test_it_runs_where_it_should_with_its_output_and_its_exit_code(engine: DockerEngine, target: Shop) -> None:
    script = "echo $GREETING from $(pwd) as $(id -u); echo oops >&2; cat; exit 3"
    order = replace(order_in(target, script, user="65534", working_dir="/tmp"),
                    environment=(("GREETING", "hello"),))  # fmt: skip
    prepared = engine.prepare(order)
    assert prepared.image_id == target.client.inspect_container(target.ref)["Image"]
    assert target.said() == []
    live = engine.launch(order.run_id, prepared.ref)
    assert live.started_at is not None
    found = ended(engine, order, prepared.ref)
    assert (found.exit_code, found.error, found.started_at) == (3, "", live.started_at)
    assert found.finished_at is not None
    said = output_of(engine, order.run_id, prepared.ref)
    assert sorted(said.splitlines()) == [b"hello from /tmp as 65534", b"oops"]  # two streams, hardly apart in time
    assert order.run_id not in engine.observe().runs
    engine.discard(order.run_id, prepared.ref)
    assert target.runs()


def test_a_command_as_a_list_and_one_that_is_not_there(engine: DockerEngine, target: Shop) -> None:
    order = order_in(target, "", command=("echo", "a b", "$HOME"))
    order = replace(order, spec=replace(order.spec, script=None))
    ref = started(engine, order)
    assert ended(engine, order, ref).exit_code == 0
    assert output_of(engine, order.run_id, ref) == b"a b $HOME\n"
    missing = replace(order, spec=replace(order.spec, command=("/no/such",)))
    ref = started(engine, missing)
    assert ended(engine, missing, ref).exit_code == 127


def test_all_of_its_output_is_kept_and_nobody_need_follow_it(engine: DockerEngine, target: Shop) -> None:
    order = order_in(target, "i=0; while [ $i -lt 20000 ]; do echo line $i of many; i=$((i+1)); done")
    ref = engine.prepare(order).ref
    got: list[bytes] = []
    engine.launch(order.run_id, ref)
    reader = threading.Thread(target=lambda: got.extend(c.data for c in engine.logs(order.run_id, ref)))
    reader.start()
    ended(engine, order, ref)
    reader.join(20)
    lines = b"".join(got).split(b"\n")
    assert lines == [b"line %d of many" % number for number in range(20000)] + [b""]


def test_what_nobody_reads_does_not_hold_it_up_and_the_log_says_what_is_missing(
    engine: DockerEngine, target: Shop
) -> None:
    size = 5 * MOST_HELD  # more than the Engine takes in, too: the command stands still for a while
    order = order_in(target, f"head -c {size} /dev/zero | tr '\\0' x; echo; echo end")
    ref = started(engine, order)
    assert ended(engine, order, ref).exit_code == 0
    said = output_of(engine, order.run_id, ref)
    assert said.endswith(b"x\nend\n") and said.startswith(b"... ") and len(said) < size


def test_what_a_command_leaves_running_holds_nothing_up(engine: DockerEngine, target: Shop) -> None:
    order = order_in(target, "sleep 4711 & echo done; exit 5")
    ref = started(engine, order)
    assert ended(engine, order, ref).exit_code == 5
    assert output_of(engine, order.run_id, ref) == b"done\n"
    assert target.processes("4711") == 1  # that is what it was told to do
    assert list(engine.logs(order.run_id, ref)) != []
    target.run("kill -9 $(pidof sleep) || :")


def test_its_standing_container_is_seen_and_has_nothing_in_it_to_start(engine: DockerEngine, target: Shop) -> None:
    order = standing_order(order_in(target, "echo up").spec, policy=POLICY)
    engine.install(order)
    live = engine.observe().jobs["demo/hello"]
    assert (live.digest, live.drift) == (order.digest, ())
    assert engine.inspect_drift("demo/hello", order) == ()
    assert engine.install(order).ref == live.ref
    target.client.start(live.ref)
    assert target.client.wait(live.ref)["StatusCode"] == 127
    engine.retire("demo/hello")


def test_its_end_is_heard_at_once(engine: DockerEngine, target: Shop) -> None:
    stop, heard = threading.Event(), threading.Event()
    order = order_in(target, "sleep 1")

    def listen() -> None:
        for name in engine.events(stop):
            if name == order.run_id:
                heard.set()

    listener = threading.Thread(target=listen)
    listener.start()
    started(engine, order)
    assert heard.wait(20)
    stop.set()
    listener.join(20)
    assert not listener.is_alive()


def test_an_engine_behind_tcp_is_spoken_to_in_the_same_way(
    target: Shop, tmp_path: Path, docker_host: str, context: EngineContext
) -> None:
    with behind_tcp(docker_host) as address:
        engine = make_docker_engine(tmp_path, address, context=context)
        order = order_in(target, "echo up; sleep 0.3; exit 8")
        ref = started(engine, order)
        assert ended(engine, order, ref).exit_code == 8
        assert output_of(engine, order.run_id, ref) == b"up\n"
        engine.close()


# -- where it may run ------------------------------------------------------------------------------------------------


def rejected(engine: DockerEngine, order: RunOrder) -> str:
    with pytest.raises(EngineRejected) as caught:
        engine.prepare(order)
    assert caught.value.hint
    return caught.value.code


def test_a_container_that_is_not_there_or_does_not_run_is_missing(
    engine: DockerEngine, target: Shop, docker_host: str
) -> None:
    order = order_in(target, "echo up")
    nobody = replace(order, spec=replace(order.spec, exec_in="shop-nobody"))
    assert rejected(engine, nobody) == "exec-target-missing"
    target.client.pause(target.ref)
    assert rejected(engine, order) == "exec-target-missing"
    target.client.unpause(target.ref)
    by_id = replace(order, spec=replace(order.spec, exec_in=target.ref), policy=Policy(exec_in=("*",)))
    assert rejected(engine, by_id) == "exec-target-missing"
    target.client.stop(target.ref, timeout=0)
    assert rejected(engine, order) == "exec-target-missing"


def test_S2_without_the_grant_nothing_is_sent(engine: DockerEngine, target: Shop) -> None:
    order = order_in(target, "echo up")
    for policy in (Policy(), Policy(exec_in=("shop-db",)), Policy(exec_in=("shop",))):
        assert rejected(engine, replace(order, policy=policy)) == "guard-refused"


REFUSED = {
    "one that is privileged": {"HostConfig": {"Privileged": True}},
    "one that sees the host's processes": {"HostConfig": {"PidMode": "host"}},
    "one with the host's files": {"HostConfig": {"Binds": ["/:/host:ro"]}},
    "one with them in a volume": {
        "HostConfig": {
            "Mounts": [
                {
                    "Type": "volume",
                    "Target": "/host",
                    "VolumeOptions": {
                        "NoCopy": True,
                        "DriverConfig": {"Name": "local", "Options": {"type": "none", "o": "bind", "device": "/"}},
                    },
                }
            ]
        }
    },
    "one with all powers": {"HostConfig": {"CapAdd": ["ALL"]}},
    "one with a device": {
        "HostConfig": {
            "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "rwm"}]
        }
    },
    "one of any reconciler": {"Labels": {"io.reconciler.instance": "other"}},
}


@pytest.mark.parametrize("fields", REFUSED.values(), ids=REFUSED)
def test_S2_is_never_entered(engine: DockerEngine, docker_host: str, fields: dict[str, object]) -> None:
    with shop(docker_host, start=False, **fields) as found:
        assert rejected(engine, order_in(found, "echo up")) == "exec-target-refused"


def test_S2_nor_is_one_that_has_our_state_or_the_Engines_socket(
    engine: DockerEngine, docker_host: str, context: EngineContext, tmp_path: Path
) -> None:
    for source in (context.state_dir, str(tmp_path), docker_host.removeprefix("unix://")):
        with shop(docker_host, start=False, HostConfig={"Binds": [f"{source}:/x"]}) as found:
            assert rejected(engine, order_in(found, "echo up")) == "exec-target-refused"
    with shop(docker_host, Volumes={"/x": {}}) as found:
        order = order_in(found, "echo up")
        assert ended(engine, order, started(engine, order)).exit_code == 0


def test_S2_no_job_is_root_in_a_container_that_is_not(engine: DockerEngine, docker_host: str) -> None:
    with shop(docker_host, User="65534") as found:
        assert found.client.exec_start(found.client.exec_create(found.ref, "id -g", user="4711")["Id"]) == b"0\n"
        for user in ("root", "0", "0:0", "00", "nobody:root", "65534:0", "4711"):
            assert rejected(engine, order_in(found, "id -u", user=user)) == "exec-target-refused"
        order = order_in(found, "id -u")
        ref = started(engine, order)
        ended(engine, order, ref)
        assert output_of(engine, order.run_id, ref) == b"65534\n"


def test_an_exact_repetition_needs_a_container_of_the_same_image(engine: DockerEngine, target: Shop) -> None:
    order = replace(order_in(target, "echo up"), exact=True, image_id=f"sha256:{'0' * 64}")
    assert rejected(engine, order) == "image-missing"


# -- how it ends -----------------------------------------------------------------------------------------------------


def test_R4_TERM_reaches_all_of_it_and_nothing_else(engine: DockerEngine, target: Shop) -> None:
    other = order_in(target, UP, attempt=2)
    other_ref = started(engine, other)
    order = order_in(target, "trap 'echo got TERM; exit 9' TERM; sleep 4712 & setsid sleep 4713 & " + UP)
    ref = started(engine, order)
    eventually(lambda: b"up" in output_of(engine, order.run_id, ref))
    engine.stop(order.run_id, ref, 10)
    assert ended(engine, order, ref).exit_code == 9
    assert b"got TERM" in output_of(engine, order.run_id, ref)
    eventually(lambda: not target.processes("4712") and not target.processes("4713"))
    live = engine.inspect(other.run_id, other_ref)
    assert live is not None and live.phase is LivePhase.RUNNING and target.runs()
    engine.kill(other.run_id, other_ref)
    assert ended(engine, other, other_ref).exit_code == 137


def test_R4_what_ignores_TERM_is_killed_after_its_grace(engine: DockerEngine, target: Shop) -> None:
    order = order_in(target, "trap '' TERM; " + UP, user="65534")
    ref = started(engine, order)
    eventually(lambda: b"up" in output_of(engine, order.run_id, ref))
    engine.stop(order.run_id, ref, 0.5)
    found = ended(engine, order, ref)
    assert (found.exit_code, found.error) == (137, "")
    assert target.runs()


def test_R3_a_restart_of_the_container_is_said_to_be_the_end(engine: DockerEngine, target: Shop) -> None:
    order = order_in(target, UP)
    ref = started(engine, order)
    eventually(lambda: b"up" in output_of(engine, order.run_id, ref))
    target.restart()
    found = ended(engine, order, ref)
    assert found.exit_code != 0 and WENT_DOWN in found.error
    engine.stop(order.run_id, ref, 1)
    engine.discard(order.run_id, ref)


# -- never twice -----------------------------------------------------------------------------------------------------


def witnessed(target: Shop, then: str = "", **fields: object) -> RunOrder:
    return order_in(target, f"echo $RECONCILER_RUN_ID >> {target.witness}; {then}", **fields)


def test_R1_starting_it_twice_runs_it_once(engine: DockerEngine, target: Shop) -> None:
    order = witnessed(target, "sleep 0.3")
    ref = started(engine, order)
    assert engine.launch(order.run_id, ref).ref == ref
    ended(engine, order, ref)
    assert engine.launch(order.run_id, ref).phase is LivePhase.EXITED
    found = engine.find_start(order.run_id, ref)
    assert found is not None and found.exit_code == 0
    assert target.said() == [order.run_id]


def test_R1_what_an_earlier_process_made_ready_is_started_by_the_next(
    engine: DockerEngine, target: Shop, tmp_path: Path, docker_host: str, context: EngineContext
) -> None:
    order = witnessed(target)
    ref = engine.prepare(order).ref
    heir = make_docker_engine(tmp_path, docker_host, context=context)
    heir.launch(order.run_id, ref)
    assert ended(heir, order, ref).exit_code == 0
    assert target.said() == [order.run_id]
    heir.close()


def test_R1_what_never_started_is_used_up_and_can_start_no_more(
    engine: DockerEngine, target: Shop, tmp_path: Path, docker_host: str, context: EngineContext
) -> None:
    order = witnessed(target)
    ref = engine.prepare(order).ref
    heir = make_docker_engine(tmp_path, docker_host, context=context)
    assert heir.find_start(order.run_id, ref) is None
    assert engine.find_start(order.run_id, ref) is None
    late = engine.launch(order.run_id, ref)  # what an earlier process still asks for
    assert late.phase is LivePhase.EXITED
    assert target.said() == []
    heir.close()


@pytest.fixture
def proxied(private_docker: Handle, tmp_path: Path) -> Iterator[FaultProxy]:
    with fault_proxy(tmp_path, private_docker.docker_host) as proxy:
        yield proxy


def test_R1_a_start_that_comes_late_runs_nothing(
    target: Shop, tmp_path: Path, proxied: FaultProxy, context: EngineContext
) -> None:
    engine = make_docker_engine(tmp_path, proxied.docker_host, context=context)
    order = witnessed(target)
    ref = engine.prepare(order).ref
    proxied.inject(EXEC_START, "outlive")
    with pytest.raises(EngineUnavailable):
        engine.launch(order.run_id, ref)
    proxied.mend()
    assert engine.find_start(order.run_id, ref) is None
    again = witnessed(target, attempt=2)
    again_ref = started(engine, again)
    assert ended(engine, again, again_ref).exit_code == 0
    assert target.said() == [again.run_id]
    engine.close()


@pytest.mark.parametrize("action", ["drop_before", "drop_after", "hang_after", "error", "garbage"])
def test_R1_a_start_whose_answer_is_lost_is_known_never_to_have_run(
    target: Shop, tmp_path: Path, proxied: FaultProxy, context: EngineContext, action: str
) -> None:
    engine = make_docker_engine(tmp_path, proxied.docker_host, context=context)
    order = witnessed(target)
    ref = engine.prepare(order).ref
    proxied.add(Rule(EXEC_START, action, seconds=12.0))
    with pytest.raises(EngineUnavailable):
        engine.launch(order.run_id, ref)
    assert engine.find_start(order.run_id, ref) is None
    assert target.said() == []
    engine.close()


def test_R6_what_runs_goes_on_without_us_and_its_end_is_known(
    engine: DockerEngine, target: Shop, tmp_path: Path, docker_host: str, context: EngineContext
) -> None:
    """What it writes meanwhile is not kept, and the log says so; the Engine's own word on its exit code is wrong."""
    order = witnessed(target, "echo before; sleep 1; echo between; echo more; sleep 1; exit 7")
    ref = started(engine, order)
    eventually(lambda: b"before" in output_of(engine, order.run_id, ref))
    engine.close()
    heir = make_docker_engine(tmp_path, docker_host, context=context)
    live = heir.inspect(order.run_id, ref)
    assert live is not None and live.phase is LivePhase.RUNNING
    chunks = list(heir.logs(order.run_id, ref, "exec/7"))
    assert [chunk.data for chunk in chunks] == [GAP]
    assert list(heir.logs(order.run_id, ref, chunks[0].cursor)) == []
    found = ended(heir, order, ref)
    assert (found.exit_code, found.error) == (7, "")
    assert found.started_at is not None and found.finished_at is not None
    assert target.said() == [order.run_id]
    heir.close()


def test_a_broken_connection_is_said_in_the_log_and_the_exit_code_is_known(
    target: Shop, tmp_path: Path, proxied: FaultProxy, context: EngineContext
) -> None:
    engine = make_docker_engine(tmp_path, proxied.docker_host, context=context)
    order = order_in(target, "echo first; sleep 1; echo second; sleep 1; echo third; exit 4")
    ref = started(engine, order)
    eventually(lambda: b"first" in output_of(engine, order.run_id, ref))
    proxied.cut(EXEC_START)
    assert ended(engine, order, ref).exit_code == 4
    said = output_of(engine, order.run_id, ref)
    assert said.startswith(b"first\n... the connection") and b"third" not in said
    engine.close()


def test_R1_what_the_engine_has_forgotten_is_lost_or_told_by_its_events(
    engine: DockerEngine, target: Shop, tmp_path: Path, docker_host: str, context: EngineContext
) -> None:
    order = witnessed(target, "exit 6")
    waiting = witnessed(target, attempt=2)
    ref, waiting_ref = started(engine, order), engine.prepare(waiting).ref
    ended(engine, order, ref)
    target.remove()
    heir = make_docker_engine(tmp_path, docker_host, context=context)
    assert heir.inspect(order.run_id, ref) is None
    told = heir.find_start(order.run_id, ref)
    assert told is not None and (told.exit_code, told.error) == (6, "")
    assert heir.find_start(waiting.run_id, waiting_ref) is None
    with pytest.raises(EngineRejected) as caught:
        heir.launch(waiting.run_id, waiting_ref)
    assert caught.value.code == "run-gone"
    nobody = f"exec:{'0' * 64}:{'0' * 64}"
    lost = heir.find_start(order.run_id, nobody)
    assert lost is not None and lost.exit_code is None and WENT_DOWN in lost.error
    heir.close()
