"""An Engine that is killed, frozen or pruned costs no run twice and no definition for good (rules R1, P6)."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import docker.errors
import pytest

from reconciler.engine.base import RunOrder
from reconciler.engine.docker import DockerEngine
from reconciler.engine.docker_client import Timeouts
from reconciler.model.errors import EngineRejected, EngineUnavailable
from reconciler.model.live import LivePhase
from tests.kit.docker_engine import eventually, make_docker_engine, output_of
from tests.kit.orders import make_spec, run_order, standing_order
from tests.lab.dockerd import Handle, default_directory, ensure
from tests.lab.images import ensure_busybox

ROUNDS = 25  # each meets another moment of the removal
QUICK = Timeouts(call=2.0, start=5.0, pull=5.0, idle=2.0)


@pytest.fixture(scope="module")
def own(private_docker: Handle) -> Iterator[Handle]:
    """An Engine of this file's own: it is killed, frozen and pruned."""
    handle = ensure(f"{default_directory()}-own", install=False)
    yield handle
    handle.stop()


@pytest.fixture
def engine(own: Handle, tmp_path: Path) -> Iterator[DockerEngine]:
    engine = make_docker_engine(tmp_path, own.docker_host, timeouts=QUICK)
    yield engine
    engine.close()


def back(engine: DockerEngine) -> str:
    """Wait until the Engine answers again."""

    def ask() -> str:
        try:
            return engine.ping()
        except EngineUnavailable:
            return ""

    return eventually(ask)


def test_P6_prune_at_any_time_shows_as_absence_and_is_healed(own: Handle, engine: DockerEngine) -> None:
    order = standing_order(make_spec())
    engine.install(order)
    prepared = run_order(make_spec())
    ref = engine.prepare(prepared).ref
    running = run_order(make_spec("demo/long", script="echo up; sleep 60"))
    long_ref = engine.prepare(running).ref
    engine.launch(running.run_id, long_ref)
    client = docker.APIClient(base_url=own.docker_host, version="1.41", timeout=30)
    client.prune_containers()
    client.prune_networks()
    client.prune_images(filters={"dangling": False})
    client.close()
    live = engine.observe()
    assert (live.jobs, set(live.runs), live.complete) == ({}, {running.run_id}, True)
    with pytest.raises(EngineRejected) as caught:
        engine.launch(prepared.run_id, ref)
    assert caught.value.code == "run-gone"
    assert engine.find_start(prepared.run_id, ref) is None
    ensure_busybox(own.docker_host)
    assert engine.install(order).ref
    again = run_order(make_spec(), attempt=2)
    assert engine.launch(again.run_id, engine.prepare(again).ref).started_at is not None
    engine.kill(running.run_id, long_ref)


def test_P6_a_run_whose_container_is_just_being_removed_is_made_anew_and_starts(
    own: Handle, engine: DockerEngine
) -> None:
    """Its name is taken a moment longer than it can be used, and freed a moment later than it can be seen."""
    client = docker.APIClient(base_url=own.docker_host, version="1.41", timeout=30)
    try:
        for attempt in range(1, ROUNDS + 1):
            order = run_order(make_spec(networks=("none",)), attempt=attempt)
            old = engine.prepare(order).ref
            remover = threading.Thread(target=_remove_if_it_can, args=(client, old))
            remover.start()
            began = time.monotonic()
            _until_it_starts(engine, order)
            assert time.monotonic() - began < QUICK.call
            remover.join()
    finally:
        client.close()


def _remove_if_it_can(client: docker.APIClient, ref: str) -> None:
    """On a busy machine the start may come first: the Engine then refuses to remove what runs, which is as well."""
    try:
        client.remove_container(ref)
    except docker.errors.APIError as error:
        assert error.status_code == 409, error


def _until_it_starts(engine: DockerEngine, order: RunOrder) -> None:
    """What the service does: what is gone at its start is prepared again."""
    for _ in range(8):
        try:
            assert engine.launch(order.run_id, engine.prepare(order).ref).phase is not LivePhase.CREATED
            return
        except EngineRejected as error:
            assert error.code == "run-gone", error
    pytest.fail("it was gone each time")


def test_R1_a_frozen_engine_may_still_act_later_and_nothing_runs_twice(own: Handle, engine: DockerEngine) -> None:
    order = run_order(make_spec(script="echo ran"))
    ref = engine.prepare(order).ref
    own.freeze()
    try:
        for call in (engine.ping, engine.observe, lambda: engine.launch(order.run_id, ref)):
            with pytest.raises(EngineUnavailable):
                call()
    finally:
        own.thaw()  # the requests that were given up are carried out now
    back(engine)
    found = engine.find_start(order.run_id, ref)
    if found is not None and found.phase is not LivePhase.CREATED and engine.inspect(order.run_id, ref) is not None:
        eventually(lambda: output_of(engine, order.run_id, ref))
        assert output_of(engine, order.run_id, ref) == b"ran\n"
    else:
        assert engine.inspect(order.run_id, ref) is None


def test_R3_what_ran_when_the_engine_was_killed_is_seen_after_it_is_back(own: Handle, engine: DockerEngine) -> None:
    standing = standing_order(make_spec())
    engine.install(standing)
    order = run_order(make_spec(script="echo up; sleep 60", networks=("none",)))
    ref = engine.prepare(order).ref
    engine.launch(order.run_id, ref)
    waiting = run_order(make_spec("demo/waiting", networks=("none",)))
    waiting_ref = engine.prepare(waiting).ref
    own.kill()
    with pytest.raises(EngineUnavailable):
        engine.observe()
    own.start()
    back(engine)
    live = engine.observe()
    assert set(live.jobs) == {"demo/hello"} and live.jobs["demo/hello"].drift == ()
    found = engine.find_start(order.run_id, ref)
    assert found is not None and found.started_at is not None
    assert engine.find_start(waiting.run_id, waiting_ref) is None  # still there and never started: provable
    engine.kill(order.run_id, ref)
    engine.discard(order.run_id, ref)


def test_R1_what_the_engine_no_longer_tells_is_unknown_and_never_guessed(own: Handle, engine: DockerEngine) -> None:
    order = run_order(make_spec(script="exit 5", networks=("none",)))
    ref = engine.prepare(order).ref
    engine.launch(order.run_id, ref)
    eventually(lambda: _exited(engine, order.run_id, ref))
    engine.discard(order.run_id, ref)
    told = engine.find_start(order.run_id, ref)  # removed, but the Engine's events still know
    assert told is not None and (told.phase, told.exit_code, told.error) == (LivePhase.EXITED, 5, "")
    own.kill()  # events die with the Engine
    own.start()
    back(engine)
    lost = engine.find_start(order.run_id, ref)
    assert lost is not None and lost.exit_code is None and "result unknown" in lost.error


def test_events_end_quietly_when_the_engine_dies(own: Handle, engine: DockerEngine) -> None:
    seen: list[str] = []
    listener = threading.Thread(target=lambda: seen.extend(engine.events(threading.Event())))
    listener.start()
    order = run_order(make_spec(networks=("none",)))

    def kicked() -> bool:
        ref = engine.prepare(order).ref
        engine.discard(order.run_id, ref)
        return bool(seen)

    eventually(kicked)
    assert set(seen) == {order.run_id}
    own.kill()
    listener.join(20)
    assert not listener.is_alive()
    own.start()
    back(engine)


def test_many_threads_share_one_engine_object(own: Handle, engine: DockerEngine) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            spec = make_spec(f"demo/job-{number}", script="exit 0", networks=("none",))
            engine.install(standing_order(spec))
            order = run_order(spec)
            ref = engine.prepare(order).ref
            engine.launch(order.run_id, ref)
            engine.observe()
            eventually(lambda: _exited(engine, order.run_id, ref))
            engine.discard(order.run_id, ref)
            engine.retire(spec.name)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test must show it
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    live = engine.observe()
    assert not [name for name in live.jobs if name.startswith("demo/job-")]


def _exited(engine: DockerEngine, run_id: str, ref: str) -> bool:
    live = engine.inspect(run_id, ref)
    return live is not None and live.phase is LivePhase.EXITED
