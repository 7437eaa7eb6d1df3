"""The memory engine keeps simulated time, and its scripted failures happen exactly as scripted."""

from datetime import UTC, datetime, timedelta
from threading import Event as Flag
from threading import Thread

import pytest

from reconciler.engine.memory import Behaviour, MemoryEngine, MemoryWorld
from reconciler.model.errors import EngineRejected, EngineUnavailable
from reconciler.model.live import LivePhase
from tests.kit.orders import engine_context, make_spec, run_order, standing_order

START = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(clock: Clock) -> MemoryWorld:
    return MemoryWorld(clock)


@pytest.fixture
def engine(world: MemoryWorld) -> MemoryEngine:
    return MemoryEngine(engine_context("/unused"), world)


def started(engine: MemoryEngine, **fields: object) -> tuple[str, str]:
    order = run_order(make_spec())
    ref = engine.prepare(order).ref
    engine.launch(order.run_id, ref)
    return order.run_id, ref


def test_a_run_ends_when_the_clock_says_so_and_not_before(engine, world, clock):
    world.behave("demo/hello", Behaviour(duration=60, exit_code=3))
    run_id, ref = started(engine)
    clock.advance(59.9)
    assert engine.inspect(run_id, ref).phase is LivePhase.RUNNING
    clock.advance(3600)
    run = engine.observe().runs[run_id]
    assert (run.phase, run.exit_code) == (LivePhase.EXITED, 3)
    assert run.finished_at == START + timedelta(seconds=60)  # not when somebody looked


def test_stopping_ends_a_run_at_this_instant_with_143_or_if_it_ignores_TERM_137(engine, world, clock):
    world.behave("*", Behaviour(duration=None))
    run_id, ref = started(engine)
    clock.advance(5)
    engine.stop(run_id, ref, 30)
    run = engine.inspect(run_id, ref)
    assert (run.exit_code, run.finished_at) == (143, START + timedelta(seconds=5))
    engine.discard(run_id, ref)
    world.behave("*", Behaviour(duration=None, ignores_term=True))
    run_id, ref = started(engine)
    engine.stop(run_id, ref, 30)
    assert engine.inspect(run_id, ref).exit_code == 137


def test_a_failure_is_raised_as_often_as_scripted_and_changes_nothing(engine, world):
    world.fail("install", EngineRejected("no such image", code="image-missing"), name="demo/hello", times=2)
    order = standing_order(make_spec())
    for _ in range(2):
        with pytest.raises(EngineRejected, match="no such image"):
            engine.install(order)
    assert engine.observe().jobs == {}
    engine.install(standing_order(make_spec("other")))
    engine.install(order)
    assert set(engine.observe().jobs) == {"demo/hello", "other"}


def test_a_late_failure_takes_effect_although_its_answer_is_lost(engine, world):
    world.behave("*", Behaviour(duration=None))
    world.fail("launch", EngineUnavailable("reset by peer"), late=True)
    order = run_order(make_spec())
    ref = engine.prepare(order).ref
    with pytest.raises(EngineUnavailable):
        engine.launch(order.run_id, ref)
    assert engine.find_start(order.run_id, ref).phase is LivePhase.RUNNING
    assert world.starts(order.run_id) == 1


def test_a_hanging_call_goes_on_when_released(engine, world):
    gate = world.hang("observe")
    seen: list[object] = []
    thread = Thread(target=lambda: seen.append(engine.observe()))
    thread.start()
    assert not seen
    gate.set()
    thread.join(10)
    assert len(seen) == 1


def test_after_a_crash_of_the_host_runs_have_ended_and_nobody_knows_how(engine, world):
    world.behave("*", Behaviour(duration=None))
    run_id, ref = started(engine)
    world.crash()
    run = engine.inspect(run_id, ref)
    assert (run.phase, run.exit_code, run.error) == (LivePhase.EXITED, None, "host or supervisor went down")


def test_a_partial_listing_says_so(engine, world):
    world.listing_complete = False
    assert not engine.observe().complete


def test_drift_is_shown_until_the_job_is_installed_again(engine, world):
    order = standing_order(make_spec())
    before = engine.install(order)
    world.drift["demo/hello"] = ("memory limit is gone",)
    assert engine.observe().jobs["demo/hello"].drift == ("memory limit is gone",)
    assert engine.inspect_drift("demo/hello", order) == ("memory limit is gone",)
    assert engine.install(order).ref != before.ref
    assert engine.inspect_drift("demo/hello", order) == ()


def test_the_end_of_a_run_by_the_clock_is_an_event(engine, world, clock):
    world.behave("*", Behaviour(duration=60))
    stop, kicks = Flag(), []

    def listen() -> None:
        for name in engine.events(stop):
            kicks.append(name)
            if kicks.count(run_id) == 3:  # prepared, started, ended
                stop.set()

    order = run_order(make_spec())
    run_id = order.run_id
    thread = Thread(target=listen)
    thread.start()
    while "" not in kicks:  # until it listens
        world.kick("")
        thread.join(0.01)
    ref = engine.prepare(order).ref
    while run_id not in kicks:
        thread.join(0.01)
    engine.launch(run_id, ref)
    while kicks.count(run_id) < 2:
        thread.join(0.01)
    clock.advance(61)
    thread.join(10)
    assert not thread.is_alive()
