"""Somebody tidies the engine up under us: what was ready is made anew at once, and the slot runs once."""

from pathlib import Path

import pytest

from reconciler.daemon.log_pump import GAP
from reconciler.model.errors import EngineRejected, EngineUnavailable
from reconciler.model.run import Phase
from tests.kit.world import World, cron


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.behave("nightly", duration=2.0, output=b"done\n")
    made.apply(cron("1 2 * * *"))
    made.tick(57)
    assert made.runs("nightly")[0].prepared_at is not None
    return made


def test_P6_a_prepared_run_that_is_pruned_is_made_anew_before_its_instant(world: World) -> None:
    run = world.runs("nightly")[0].run_id
    world.machine.forget(run)
    world.loop.poke(run)
    world.tick(1)
    assert run in world.machine.runs
    world.tick(10)
    (ended,) = world.runs("nightly")
    assert (ended.phase, ended.tries, world.starts()) == (Phase.SUCCEEDED, 0, 1)


@pytest.mark.parametrize("code", ["run-gone", "network-missing"])
def test_P6_a_run_that_turns_out_to_be_gone_at_its_instant_is_made_anew_without_a_pause(
    world: World, code: str
) -> None:
    world.machine.fail("launch", EngineRejected("cannot start it: it is gone", code=code))
    world.tick(3)
    world.rounds()
    (run,) = world.runs("nightly")
    assert run.started_at is not None
    assert (run.started_at - run.slot).total_seconds() < 1.0


def test_R5_a_log_that_may_lack_its_end_says_so(world: World) -> None:
    world.tick(4)
    run = world.runs("nightly")[0].run_id
    world.machine.forget(run)
    world.tick(30)
    (lost,) = world.runs("nightly")
    assert lost.phase is Phase.LOST
    assert (world.path / lost.log).read_bytes().endswith(GAP)


def test_an_engine_that_does_not_answer_is_looked_at_by_the_other_loop(world: World) -> None:
    asked = world.relists
    world.machine.fail("launch", EngineUnavailable("no answer"))
    world.tick(5)
    assert world.relists > asked
