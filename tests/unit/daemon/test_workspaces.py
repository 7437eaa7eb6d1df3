"""What is made for a run is there before its start, and gone after its end: however it ends, and whoever dies."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.daemon.tidying import Tidying
from reconciler.model.errors import EngineRejected, StateError
from reconciler.model.job import JobSpec
from reconciler.model.run import RunRecord
from reconciler.model.service import ServiceConfig
from reconciler.model.workspace import Bind, Workspace
from reconciler.workspace.base import Parts
from tests.kit.world import World, cron

NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)


@dataclass
class Shelf:
    """A part that only keeps a list: `there` is what a disk would hold."""

    there: set[str] = field(default_factory=set)
    ever: set[str] = field(default_factory=set)
    refuses: bool = False

    def make(self, run: RunRecord, spec: JobSpec, config: ServiceConfig) -> Workspace:
        self.there.add(run.run_id)
        self.ever.add(run.run_id)
        return Workspace((Bind(f"/made/{run.run_id}", "/made"),), (("MADE", "yes"),))

    def drop(self, run_id: str) -> None:
        self.there.discard(run_id)

    def tidy(self, keep: Collection[str]) -> None:
        if self.refuses:
            raise StateError("cannot remove what is left")
        self.there &= set(keep)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def world(tmp_path: Path, shelf: Shelf) -> World:
    return World(tmp_path, workspace=Parts([shelf]))


def test_a_run_finds_it_and_leaves_nothing(world: World, shelf: Shelf) -> None:
    world.behave("nightly", duration=10.0)
    world.apply(cron("1 2 * * *"))
    world.tick(65)
    (run,) = world.runs("nightly")
    order = world.machine.runs[run.run_id].order
    assert order.workspace == (Bind(f"/made/{run.run_id}", "/made"),) and ("MADE", "yes") in order.environment
    assert shelf.there == {run.run_id}
    world.tick(30)
    assert world.verdicts("nightly") == ["succeeded"] and shelf.there == set()


def test_a_run_that_is_given_up_before_its_start_leaves_nothing(world: World, shelf: Shelf) -> None:
    world.machine.fail("prepare", EngineRejected("no such image", code="image-missing"), times=100)
    world.apply(cron("1 2 * * *", start_deadline=30.0))
    world.tick(62)
    assert len(shelf.there) == 1
    world.tick(120)
    assert world.verdicts("nightly") == ["failed"] and shelf.ever and shelf.there == set()


def test_a_run_that_is_stopped_while_it_waits_for_its_instant_leaves_nothing(world: World, shelf: Shelf) -> None:
    world.apply(cron("1 2 * * *"))
    world.tick(59)
    assert shelf.there
    world.retire("nightly")
    world.tick(10)
    assert shelf.there == set()


def test_R6_a_restart_takes_nothing_from_what_runs_and_all_that_a_crash_has_left(world: World, shelf: Shelf) -> None:
    world.behave("nightly", duration=100.0)
    world.apply(cron("1 2 * * *"))
    world.tick(65)
    shelf.there.add("nightly.20261123T020100Z.1")
    world.restart()
    assert shelf.there == {world.runs("nightly")[0].run_id}
    world.tick(120)
    assert shelf.there == set()


def test_what_is_left_over_goes_once_an_hour(world: World, shelf: Shelf) -> None:
    world.rounds()
    shelf.there.add("nightly.20261123T020100Z.1")
    world.tick(3500, 100)
    assert shelf.there
    world.tick(200, 100)
    assert shelf.there == set()


def test_what_cannot_be_removed_stops_neither_the_loop_nor_the_other_parts() -> None:
    broken, other = Shelf(refuses=True), Shelf({"b"})
    tidying = Tidying(Parts([broken, other]).tidy)
    tidying.step((), NOW)
    assert other.there == set()
    broken.refuses, broken.there = False, {"a"}
    tidying.step((), NOW + timedelta(minutes=59))
    assert broken.there == {"a"}
    tidying.step((), NOW + timedelta(minutes=60))
    assert broken.there == set()
