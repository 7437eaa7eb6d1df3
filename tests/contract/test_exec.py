"""Every engine that can run a command in another container keeps the same promises about it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import pytest

from reconciler.engine.base import Engine, RunOrder
from reconciler.model.errors import EngineRejected
from reconciler.model.live import LivePhase
from reconciler.model.service import Policy
from tests.contract.conftest import Lab, docker_lab, ended, eventually, log_of, memory_lab
from tests.kit.orders import Act, exits, ignores_term, make_spec, run_order, sleeps, standing_order

POLICY = Policy(exec_in=("shop-*",))


@dataclass
class Place:
    """A lab with one container of somebody else."""

    lab: Lab
    name: str
    restart: Callable[[], None]

    def order(self, act: Act, **fields: object) -> RunOrder:
        self.lab.behave("demo/hello", act)
        spec = make_spec("demo/hello", act.script, image="", **{"exec_in": self.name, **fields})
        return run_order(spec, policy=POLICY)

    def started(self, engine: Engine, act: Act) -> tuple[str, str]:
        order = self.order(act)
        ref = engine.prepare(order).ref
        engine.launch(order.run_id, ref)
        if b"up\n" in act.behaviour.output:
            eventually(lambda: b"up\n" in log_of(engine, order.run_id, ref))
        return order.run_id, ref


@pytest.fixture(params=["memory", pytest.param("docker", marks=pytest.mark.docker)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    instance, name = f"c{token_hex(4)}", f"shop-{token_hex(4)}"
    if request.param == "memory":
        lab, world = memory_lab(instance, tmp_path)
        world.containers.add(name)
        with lab.open:
            yield Place(lab, name, lambda: world.restart(name))
        return
    from tests.kit.exec import shop

    host = request.getfixturevalue("docker_host")
    lab = docker_lab(instance, tmp_path, host)
    with lab.open, shop(host, name) as found:
        yield Place(lab, name, found.restart)


@pytest.fixture
def engine(place: Place) -> Engine:
    return place.lab.engine()


def test_the_job_stands_like_any_other(place: Place, engine: Engine) -> None:
    order = standing_order(place.order(exits(0)).spec, policy=POLICY)
    ref = engine.install(order).ref
    assert engine.install(order).ref == ref
    assert engine.observe().jobs["demo/hello"].digest == order.digest
    assert engine.inspect_drift("demo/hello", order) == ()
    engine.retire("demo/hello")
    assert engine.observe().jobs == {}


def test_it_ends_with_its_exit_code_and_its_output(place: Place, engine: Engine) -> None:
    run_id, ref = place.started(engine, exits(3))
    live = ended(engine, run_id, ref)
    assert (live.job, live.ref, live.exit_code, live.error) == ("demo/hello", ref, 3, "")
    assert live.started_at is not None and live.finished_at is not None
    assert log_of(engine, run_id, ref) == b"ends with 3\n"


def test_no_listing_shows_it_and_each_look_does(place: Place, engine: Engine) -> None:
    run_id, ref = place.started(engine, sleeps())
    state = engine.observe()
    assert (state.complete, dict(state.runs)) == (True, {})
    live = engine.inspect(run_id, ref)
    assert live is not None and live.phase is LivePhase.RUNNING
    engine.kill(run_id, ref)
    ended(engine, run_id, ref)


def test_preparing_starts_nothing_and_needs_the_container(place: Place, engine: Engine) -> None:
    order = place.order(exits(0))
    ref = engine.prepare(order).ref
    live = engine.inspect(order.run_id, ref)
    assert live is not None and live.phase is LivePhase.CREATED
    assert log_of(engine, order.run_id, ref) == b""
    with pytest.raises(EngineRejected) as caught:
        engine.prepare(place.order(exits(0), exec_in="shop-nobody"))
    assert caught.value.code == "exec-target-missing"


def test_R1_it_starts_once_however_often_it_is_asked(place: Place, engine: Engine) -> None:
    run_id, ref = place.started(engine, exits(3))
    ended(engine, run_id, ref)
    assert engine.launch(run_id, ref).exit_code == 3
    assert log_of(engine, run_id, ref) == b"ends with 3\n"
    found = engine.find_start(run_id, ref)
    assert found is not None and found.exit_code == 3


def test_R1_one_that_never_started_is_known_for_certain(place: Place, engine: Engine) -> None:
    order = place.order(exits(0))
    ref = engine.prepare(order).ref
    assert place.lab.engine().find_start(order.run_id, ref) is None
    assert engine.find_start(order.run_id, ref) is None


def test_R4_stopping_is_TERM_then_KILL_and_may_be_repeated(place: Place, engine: Engine) -> None:
    run_id, ref = place.started(engine, sleeps())
    engine.stop(run_id, ref, 10)
    assert ended(engine, run_id, ref).exit_code == 143
    assert b"got TERM\n" in log_of(engine, run_id, ref)  # a shell may say beside it that its child was terminated
    engine.stop(run_id, ref, 10)
    engine.kill(run_id, ref)


def test_R4_what_ignores_TERM_is_killed(place: Place, engine: Engine) -> None:
    run_id, ref = place.started(engine, ignores_term())
    engine.stop(run_id, ref, 0.3)
    assert ended(engine, run_id, ref).exit_code == 137


def test_R6_a_restarted_service_finds_it_by_its_reference(place: Place, engine: Engine) -> None:
    run_id, ref = place.started(engine, sleeps())
    heir = place.lab.engine()
    live = heir.inspect(run_id, ref)
    assert live is not None and live.phase is LivePhase.RUNNING
    heir.stop(run_id, ref, 10)
    assert ended(heir, run_id, ref).exit_code == 143


def test_R3_a_restart_of_its_container_ends_it_without_success(place: Place, engine: Engine) -> None:
    run_id, ref = place.started(engine, sleeps())
    place.restart()

    def over() -> bool:
        live = engine.inspect(run_id, ref)
        return live is None or (live.phase is LivePhase.EXITED and live.exit_code != 0)

    eventually(over)


def test_a_running_one_is_not_discarded_and_an_ended_one_is(place: Place, engine: Engine) -> None:
    run_id, ref = place.started(engine, sleeps())
    with pytest.raises(EngineRejected) as caught:
        engine.discard(run_id, ref)
    assert caught.value.code == "run-active"
    engine.kill(run_id, ref)
    ended(engine, run_id, ref)
    engine.discard(run_id, ref)
    engine.discard(run_id, ref)
    assert engine.inspect(run_id, ref) is None
    assert list(engine.logs(run_id, ref)) == []
