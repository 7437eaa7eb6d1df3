"""`hold_on_failure`: what a failed run leaves stays to be looked into, holds nobody up, and goes by itself."""

from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.model.job import Resources, Retries
from reconciler.model.live import LivePhase
from reconciler.model.run import RunRecord
from reconciler.model.service import DeviceConfig, Policy, ServiceConfig
from tests.kit.world import World, cron, every


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path, ServiceConfig(state_dir=str(tmp_path), devices=DeviceConfig(("GPU-a",)),
                                          policy=Policy(gpus=True)))  # fmt: skip
    world.list_anew()
    return world


def there(world: World, run: RunRecord) -> bool:
    seen = world.engine.inspect(run.run_id, run.ref)
    return seen is not None and seen.phase is LivePhase.EXITED


def test_a_failed_run_keeps_its_container_until_then_and_its_slot_is_closed(world: World) -> None:
    world.behave("nightly", exit_code=3)
    world.apply(cron("1 2 * * *", hold_on_failure=600.0))
    world.tick(70)
    (run,) = world.runs("nightly")
    assert run.phase.value == "failed" and run.collected and not run.discarded
    assert run.hold_until is not None and run.finished_at is not None
    assert timedelta(0) <= run.hold_until - run.finished_at - timedelta(seconds=600) <= timedelta(seconds=2)
    assert there(world, run)
    assert world.slots("nightly") == [("02:01:00", "ran", 1)]
    world.tick(600)
    assert not there(world, run) and world.runs("nightly")[0].discarded


@pytest.mark.parametrize("fields", [{"exit_code": 0}, {"duration": None}], ids=["a success", "one that was stopped"])
def test_what_has_not_failed_is_not_kept(world: World, fields: dict[str, object]) -> None:
    world.behave("nightly", **fields)
    world.apply(cron("1 2 * * *", hold_on_failure=600.0))
    world.tick(65)
    world.loop.ask_stop(world.runs("nightly")[0].run_id, "stopped by eve", world.time)
    world.tick(10)
    (run,) = world.runs("nightly")
    assert run.hold_until is None and run.discarded


def test_the_next_slot_is_not_held_up_and_three_are_kept(world: World) -> None:
    world.behave("beat", exit_code=1)
    world.apply(every(10, hold_on_failure=3600.0))
    world.tick(65)
    runs = world.runs("beat")
    assert world.verdicts("beat")[:6] == ["failed"] * 6
    assert [there(world, run) for run in runs[:6]] == [False] * 3 + [True] * 3


def test_it_survives_a_restart_of_the_service(world: World) -> None:
    world.behave("nightly", exit_code=1)
    world.apply(cron("1 2 * * *", hold_on_failure=300.0))
    world.tick(65)
    world.restart(down=10.0)
    world.list_anew()
    world.tick(60)
    (run,) = world.runs("nightly")
    assert there(world, run)
    world.tick(300)
    assert not there(world, run)


def test_a_person_may_let_it_go_before_that_and_nothing_else(world: World) -> None:
    world.behave("nightly", exit_code=1)
    world.apply(cron("1 2 * * *", hold_on_failure=3600.0))
    world.tick(65)
    (run,) = world.runs("nightly")
    assert not world.loop.let_go("nightly.20261123T020100Z.1", world.time)
    assert world.loop.let_go(run.run_id, world.time)
    world.tick(5)
    assert not there(world, run) and world.runs("nightly")[0].discarded
    assert not world.loop.let_go(run.run_id, world.time)


def test_R2_a_kept_container_leases_no_device(world: World) -> None:
    gpu = Resources(gpus=1)
    world.behave("a", exit_code=1)
    world.behave("b", duration=5.0)
    world.apply(cron("1 2 * * *", "a", resources=gpu, hold_on_failure=3600.0), cron("2 2 * * *", "b", resources=gpu))
    world.tick(125)
    assert there(world, world.runs("a")[0])
    assert world.runs("b")[0].devices == ("GPU-a",)


def test_every_attempt_is_kept_and_the_retry_goes_on(world: World) -> None:
    world.behave("nightly", exit_code=1)
    world.apply(cron("1 2 * * *", hold_on_failure=3600.0, retries=Retries(limit=1, delay=5.0)))
    world.tick(80)
    assert [there(world, run) for run in world.runs("nightly")] == [True, True]
