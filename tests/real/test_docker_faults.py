"""Whatever the Engine's socket does to a request, nothing is made or started twice and every error is one of ours."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from reconciler.engine.docker import DockerEngine
from reconciler.engine.docker_client import Timeouts
from reconciler.model.errors import EngineUnavailable
from reconciler.model.job import Mount
from reconciler.model.live import LivePhase, LiveRun
from tests.kit.docker_engine import clean_up, eventually, make_context, make_docker_engine, output_of
from tests.kit.orders import make_spec, run_order, standing_order
from tests.lab.faultproxy import (
    CREATE,
    EVENTS,
    INSPECT,
    LIST,
    LOGS,
    REMOVE,
    RENAME,
    START,
    STOP,
    FaultProxy,
    fault_proxy,
)

QUICK = Timeouts(call=1.0, start=1.5, pull=3.0, idle=1.0)
ACTIONS = ("drop_before", "drop_after", "hang", "hang_after", "error", "garbage")


@dataclass
class Bench:
    """An engine behind a faulty socket, and one that sees the truth."""

    proxy: FaultProxy
    engine: DockerEngine
    truth: DockerEngine
    client: docker.APIClient

    def containers(self) -> list[dict[str, Any]]:
        label = f"io.reconciler.instance={self.engine._core.context.instance}"
        return list(self.client.containers(all=True, filters={"label": label}))


@pytest.fixture
def bench(tmp_path: Path, private_docker: Any) -> Iterator[Bench]:
    host = private_docker.docker_host
    context = make_context(tmp_path / "state")
    client = docker.APIClient(base_url=host, version="1.41", timeout=30)
    with fault_proxy(tmp_path, host) as proxy:
        engine = make_docker_engine(tmp_path, proxy.docker_host, context=context, timeouts=QUICK)
        truth = make_docker_engine(tmp_path, host, context=context)
        engine.ping()
        yield Bench(proxy, engine, truth, client)
        engine.close()
        truth.close()
        clean_up(host, context.instance)
        client.close()


def tries(call: Callable[[], Any], times: int = 4) -> Any:
    """Repeat a verb as the service does: only EngineUnavailable may come of a fault, and it passes."""
    for _ in range(times):
        try:
            return call()
        except EngineUnavailable as error:
            assert error.code and str(error).startswith("cannot ")
    raise AssertionError("the fault has passed, and the verb still fails")


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("nth", [0, 1])
def test_R1_a_fault_at_create_makes_one_container(bench: Bench, action: str, nth: int) -> None:
    order = run_order(make_spec(networks=("none",)))
    bench.proxy.inject(CREATE, action)
    if nth:
        bench.proxy.inject(INSPECT, action)  # looking again by name goes wrong, too
    ref = tries(lambda: bench.engine.prepare(order)).ref
    assert [row["Id"] for row in bench.containers()] == [ref]


@pytest.mark.parametrize("action", ACTIONS)
def test_R1_a_fault_at_start_never_starts_twice(bench: Bench, action: str) -> None:
    """The job appends to a volume, so that a second start would show."""
    spec = make_spec(script="echo ran >> /count/x", networks=("none",), mounts=(Mount("volume", "count", "/count"),))
    order = run_order(spec)
    ref = bench.engine.prepare(order).ref
    bench.proxy.inject(START, action)
    try:
        bench.engine.launch(order.run_id, ref)
    except EngineUnavailable:
        with_luck = bench.truth.inspect(order.run_id, ref)
        if with_luck is not None and with_luck.phase is LivePhase.CREATED:
            with pytest.raises(EngineUnavailable):  # asked once with an unknown result: it is never asked again
                bench.engine.launch(order.run_id, ref)
        found = tries(lambda: bench.engine.find_start(order.run_id, ref))
        if found is None:
            assert bench.containers() == []
            again = run_order(spec, attempt=2)
            ref = bench.engine.prepare(again).ref
            order = again
            bench.engine.launch(order.run_id, ref)
    eventually(lambda: _ended(bench.truth, order.run_id, ref))
    assert _count_of(bench) == "ran\n"


@pytest.mark.parametrize("action", ["drop_before", "hang", "error", "garbage"])
def test_D2_a_fault_at_listing_is_no_empty_machine(bench: Bench, action: str) -> None:
    bench.engine.install(standing_order(make_spec(networks=("none",))))
    bench.proxy.inject(LIST, action)
    with pytest.raises(EngineUnavailable):
        bench.engine.observe()
    assert set(tries(bench.engine.observe).jobs) == {"demo/hello"}


@pytest.mark.parametrize("action", ACTIONS)
def test_P6_a_fault_at_removal_is_confirmed_or_repeated(bench: Bench, action: str) -> None:
    order = standing_order(make_spec(networks=("none",)))
    bench.engine.install(order)
    bench.proxy.inject(REMOVE, action)
    tries(lambda: bench.engine.retire(order.spec.name))
    assert bench.containers() == []


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("at", [CREATE, REMOVE, RENAME, INSPECT], ids=["create", "remove", "rename", "inspect"])
def test_P4_a_fault_while_replacing_leaves_one_standing_container(bench: Bench, action: str, at: str) -> None:
    bench.engine.install(standing_order(make_spec(script="exit 1", networks=("none",))))
    order = standing_order(make_spec(script="exit 2", networks=("none",)))
    bench.proxy.inject(at, action, skip=1 if at == CREATE else 0)

    def pass_once() -> None:
        bench.engine.install(order)
        drift = bench.engine.observe().jobs[order.spec.name].drift
        if drift:
            raise EngineUnavailable(f"cannot settle: {drift}")

    tries(pass_once)
    live = bench.truth.observe().jobs[order.spec.name]
    assert (live.digest, live.drift) == (order.digest, ())
    assert len(bench.containers()) == 1


@pytest.mark.parametrize("action", ["drop_before", "drop_after", "hang", "error"])
def test_R4_a_fault_at_stopping_still_ends_the_run(bench: Bench, action: str) -> None:
    order = run_order(make_spec(script="trap '' TERM; while :; do sleep 0.1; done", networks=("none",)))
    ref = bench.engine.prepare(order).ref
    bench.engine.launch(order.run_id, ref)
    bench.proxy.inject(STOP, action, times=1)
    tries(lambda: bench.engine.stop(order.run_id, ref, 0.3))
    assert _ended(bench.truth, order.run_id, ref)
    assert bench.proxy.count(r"/stop") == 0  # the Engine's own stop is not relied on


def test_R1_a_start_still_in_flight_finds_nothing_after_recovery(bench: Bench) -> None:
    order = run_order(make_spec(networks=("none",)))
    ref = bench.engine.prepare(order).ref
    bench.proxy.inject(START, "late")
    with pytest.raises(EngineUnavailable):
        bench.engine.launch(order.run_id, ref)
    assert bench.engine.find_start(order.run_id, ref) is None
    again = run_order(make_spec(networks=("none",)), attempt=2)
    second = bench.engine.prepare(again).ref
    bench.proxy.let_go()  # the old request reaches the Engine only now
    bench.engine.launch(again.run_id, second)
    eventually(lambda: _ended(bench.truth, again.run_id, second))
    assert [row["Id"] for row in bench.containers()] == [second]


def test_R1_a_start_that_came_through_late_is_adopted(bench: Bench) -> None:
    order = run_order(make_spec(script="sleep 60", networks=("none",)))
    ref = bench.engine.prepare(order).ref
    bench.proxy.inject(START, "late")
    with pytest.raises(EngineUnavailable):
        bench.engine.launch(order.run_id, ref)
    bench.proxy.let_go()
    eventually(lambda: bench.client.inspect_container(ref)["State"]["Running"])
    found = bench.engine.find_start(order.run_id, ref)
    assert found is not None and found.phase is LivePhase.RUNNING
    launched = bench.engine.launch(order.run_id, ref)
    assert launched.phase is LivePhase.RUNNING and bench.proxy.count(START) == 1


def test_R5_a_log_that_breaks_anywhere_is_resumed_byte_for_byte(bench: Bench) -> None:
    script = "i=0; while [ $i -lt 300 ]; do echo line $i; echo line $i >&2; i=$((i+1)); done"
    order = run_order(make_spec(script=script, networks=("none",)))
    ref = bench.engine.prepare(order).ref
    bench.engine.launch(order.run_id, ref)
    eventually(lambda: _ended(bench.truth, order.run_id, ref))
    whole = output_of(bench.truth, order.run_id, ref)
    assert whole.count(b"\n") == 600
    pieces, cursor = b"", ""
    for cut in (1, 300, 1000, 3000, 5000, 9000, 20000):
        bench.proxy.inject(LOGS, "cut_after", after_bytes=cut)
        try:
            for chunk in bench.engine.logs(order.run_id, ref, cursor, follow=False):
                pieces, cursor = pieces + chunk.data, chunk.cursor
        except EngineUnavailable:
            assert cut == 1  # not even a status line came
    for chunk in bench.engine.logs(order.run_id, ref, cursor, follow=True):
        pieces, cursor = pieces + chunk.data, chunk.cursor
    assert pieces == whole


def test_R5_a_silent_log_is_looked_at_again_until_the_run_has_ended(bench: Bench) -> None:
    order = run_order(make_spec(script="echo first; sleep 2.5; echo last", networks=("none",)))
    ref = bench.engine.prepare(order).ref
    bench.engine.launch(order.run_id, ref)
    assert b"".join(c.data for c in bench.engine.logs(order.run_id, ref)) == b"first\nlast\n"
    assert bench.proxy.count(LOGS) >= 2  # idle for a second means: look again


@pytest.mark.parametrize("action", ["cut_after", "drop_before", "garbage"])
def test_a_broken_event_stream_ends_quietly(bench: Bench, action: str) -> None:
    """It gives what came before, and ends: a gap is closed by the next listing."""
    bench.proxy.inject(EVENTS, action, after_bytes=200)  # in the middle of the first event
    found: list[str] = []
    errors: list[EngineUnavailable] = []

    def listen() -> None:
        try:
            found.extend(bench.engine.events(threading.Event()))
        except EngineUnavailable as error:
            errors.append(error)  # it never began

    listener = threading.Thread(target=listen)
    listener.start()
    eventually(lambda: bench.proxy.count(EVENTS))
    for attempt in range(1, 30):  # until the stream was there to carry one
        order = run_order(make_spec(networks=("none",)), attempt=attempt)
        bench.truth.launch(order.run_id, bench.truth.prepare(order).ref)
        listener.join(0.5)
        if not listener.is_alive():
            break
    assert not listener.is_alive() and found == []
    assert bool(errors) is (action == "drop_before")


def test_an_engine_that_is_away_costs_nothing_until_it_is_used(tmp_path: Path) -> None:
    engine = DockerEngine(
        make_context(tmp_path), owned=lambda _: False, docker_host=f"unix://{tmp_path}/no.sock", timeouts=QUICK
    )
    for call in (engine.ping, engine.observe, lambda: engine.retire("a"), lambda: engine.inspect("a.x.1", "")):
        with pytest.raises(EngineUnavailable) as caught:
            call()
        assert caught.value.code == "engine-unavailable" and "no such file" in str(caught.value)
    engine.close()


def _ended(engine: DockerEngine, run_id: str, ref: str) -> LiveRun | None:
    live = engine.inspect(run_id, ref)
    return live if live is not None and live.phase is LivePhase.EXITED else None


def _count_of(bench: Bench) -> str:
    """What the job wrote into its volume, read by another run."""
    reader = run_order(make_spec("demo/read", script="cat /count/x", networks=("none",),
                                 mounts=(Mount("volume", "count", "/count"),)))  # fmt: skip
    ref = bench.truth.prepare(reader).ref
    bench.truth.launch(reader.run_id, ref)
    eventually(lambda: _ended(bench.truth, reader.run_id, ref))
    return output_of(bench.truth, reader.run_id, ref).decode()
