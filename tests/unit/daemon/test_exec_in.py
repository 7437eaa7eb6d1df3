"""Promise: a run in another container is lost only on a word about itself, and waits for a container that is away."""

from pathlib import Path

import pytest

from reconciler.model.run import FailureClass, Phase
from tests.kit.world import World, cron

SHOP = "shop-db-1"


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.behave("nightly", duration=30.0, output=b"done\n")
    made.machine.containers.add(SHOP)
    made.apply(cron("1 2 * * *", image="", exec_in=SHOP))
    return made


def test_R2_a_listing_that_does_not_show_it_does_not_lose_it(world: World) -> None:
    world.tick(75)
    (run,) = world.runs("nightly")
    assert run.phase is Phase.RUNNING
    world.list_anew()
    world.tick(5)
    world.restart()
    world.list_anew()
    world.tick(5)
    assert world.runs("nightly")[0].phase is Phase.RUNNING
    world.tick(30)
    assert world.runs("nightly")[0].phase is Phase.SUCCEEDED
    assert world.starts() == 1


def test_R3_a_restart_of_its_container_ends_it_as_lost(world: World) -> None:
    world.tick(75)
    world.machine.restart(SHOP)
    world.tick(10)
    (run,) = world.runs("nightly")
    assert (run.phase, run.exit_code) == (Phase.LOST, None)
    assert SHOP in run.reason and "restarted" in run.reason


def test_R4_it_waits_for_its_container_until_its_deadline(world: World) -> None:
    world.machine.containers.clear()
    world.tick(75)
    (run,) = world.runs("nightly")
    assert (run.phase, run.failure) == (Phase.PENDING, FailureClass.ENGINE)
    assert SHOP in run.reason
    world.machine.containers.add(SHOP)
    world.tick(120)
    (run,) = world.runs("nightly")
    assert (run.phase, run.attempt, world.starts()) == (Phase.SUCCEEDED, 1, 1)
