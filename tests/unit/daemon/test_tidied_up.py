"""Somebody tidies the engine up under us: what was ready is made anew at once, and the slot runs once."""

from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.daemon.log_pump import GAP
from reconciler.model.errors import EngineRejected, EngineUnavailable
from reconciler.model.job import Concurrency
from reconciler.model.run import Phase
from tests.kit.world import World, cron, every

GONE = EngineRejected("cannot start it: it is gone", code="run-gone")


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


@pytest.mark.parametrize("policy", [Concurrency.FORBID, Concurrency.ALLOW])
def test_P6_a_run_that_is_pruned_time_and_again_does_not_lose_its_slot_to_the_next(
    tmp_path: Path, policy: Concurrency
) -> None:
    world = World(tmp_path)
    world.apply(every(3, concurrency_policy=policy))
    world.machine.fail("launch", GONE, times=4)
    world.tick(8, step=0.25)
    assert world.slots("beat") == [("02:00:03", "ran", 1), ("02:00:06", "ran", 1)]
    assert world.verdicts("beat")[:2] == ["succeeded", "succeeded"]


def test_P6_what_was_tidied_away_is_not_taken_for_a_retry_while_the_engine_has_a_moments_rest(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.apply(every(1, concurrency_policy=Concurrency.ALLOW, start_deadline=600))
    world.machine.fail("launch", GONE)
    world.pools.hold = "start"
    world.tick(1, step=0.5)
    world.pools.release()
    world.loop.engine_down()  # another call of that round met an Engine that does not answer
    world.tick(10, step=0.5)
    assert {found for _, found, _ in world.slots("beat")} == {"ran"}


def test_P6_an_engine_that_loses_everything_it_makes_is_not_asked_without_a_pause(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.apply(cron("1 2 * * *"))
    world.machine.fail("launch", GONE, times=10_000)
    world.tick(3600)
    assert world.starts() < 100
    (run,) = world.runs("nightly")
    assert run.tries > 5 and run.reason == str(GONE)


def test_R5_of_a_run_that_was_pruned_before_its_end_was_seen_the_engine_is_asked_how_it_ended(world: World) -> None:
    world.tick(3)
    run = world.runs("nightly")[0].run_id
    world.time += timedelta(seconds=5)  # it ends, and nobody has looked since
    world.machine.forget(run)
    world.tick(10)
    (ended,) = world.runs("nightly")
    assert (ended.phase, ended.exit_code) == (Phase.SUCCEEDED, 0)
    assert (world.path / ended.log).read_bytes().endswith(GAP)


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
