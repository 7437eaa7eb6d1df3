"""What a run leaves in its outputs is kept before its container goes; neither a bound nor a full disk loses a run."""

from pathlib import Path

import pytest

from reconciler.model.errors import EngineUnavailable
from reconciler.model.event import EventName
from reconciler.model.job import Retries, Strategy
from reconciler.model.service import Limits, ServiceConfig
from reconciler.workspace.outputs import place_of, read
from tests.kit.world import World, cron

LEFT = (("a.txt", b"hello"), ("model/weights", b"0123456789"))


def world_of(tmp_path: Path, **limits: object) -> World:
    world = World(tmp_path, ServiceConfig(state_dir=str(tmp_path), limits=Limits(**limits)))  # type: ignore[arg-type]
    world.behave("nightly", outputs=LEFT)
    return world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return world_of(tmp_path)


def files(world: World, nth: int = -1) -> tuple[tuple[str, int], ...] | None:
    kept = read(place_of(world.runs("nightly")[nth], world.path))
    return None if kept is None else kept.files


def test_outputs_are_kept_before_the_container_goes(world: World) -> None:
    world.apply(cron("1 2 * * *", outputs="/outputs"))
    world.tick(70)
    (run,) = world.runs("nightly")
    assert run.collected and run.discarded
    assert files(world) == (("a.txt", 5), ("model/weights", 10))
    assert (place_of(run, world.path) / "data/model/weights").read_bytes() == b"0123456789"


def test_a_job_that_asks_for_none_has_none(world: World) -> None:
    world.apply(cron("1 2 * * *"))
    world.tick(70)
    assert files(world) is None and not (world.path / "outputs").exists()


def test_a_failed_run_and_each_retry_have_their_own(world: World) -> None:
    world.behave("nightly", outputs=LEFT, exit_code=1)
    world.apply(cron("1 2 * * *", outputs="/outputs", retries=Retries(limit=1, delay=5.0)))
    world.tick(80)
    assert [files(world, nth) is not None for nth in (0, 1)] == [True, True]


def test_the_directory_is_named_in_the_environment(world: World) -> None:
    world.apply(cron("1 2 * * *", outputs="/outputs", hold_on_failure=60.0))
    world.behave("nightly", exit_code=1)
    world.tick(65)
    (run,) = world.runs("nightly")
    assert ("RECONCILER_OUTPUTS", "/outputs") in world.machine.runs[run.run_id].order.environment


def test_what_goes_beyond_the_bound_is_left_out_and_an_event_says_so(tmp_path: Path) -> None:
    world = world_of(tmp_path, outputs_bytes=9)
    world.apply(cron("1 2 * * *", outputs="/outputs"))
    world.tick(70)
    assert files(world) == (("a.txt", 5),)
    (told,) = [e for e in world.history.events(job="nightly") if e.name is EventName.OUTPUTS_TRIMMED]
    assert (told.fields["left_out"], told.fields["files"]) == ("model/weights", 1)
    assert world.verdicts("nightly") == ["succeeded"]


def test_a_disk_that_refuses_them_loses_neither_the_run_nor_them(world: World) -> None:
    (world.path / "outputs").write_text("in the way")
    world.apply(cron("1 2 * * *", outputs="/outputs"))
    world.tick(100)
    (run,) = world.runs("nightly")
    assert run.phase.value == "succeeded" and not run.collected and run.run_id in world.machine.runs
    assert world.slots("nightly") == [("02:01:00", "ran", 1)]
    told = [e for e in world.history.events(job="nightly") if e.name is EventName.OUTPUTS_DELAYED]
    assert len(told) == 1
    (world.path / "outputs").unlink()
    world.tick(40)
    assert files(world) == (("a.txt", 5), ("model/weights", 10))
    assert world.runs("nightly")[0].discarded


def test_an_engine_that_does_not_answer_and_a_kill_in_between_lose_nothing(world: World) -> None:
    world.machine.fail("outputs", EngineUnavailable("no answer"), times=2)
    world.apply(cron("1 2 * * *", outputs="/outputs"))
    world.tick(61)
    world.restart(down=5.0)
    world.tick(60)
    assert files(world) == (("a.txt", 5), ("model/weights", 10))


def test_each_cell_has_its_own(world: World) -> None:
    world.apply(cron("1 2 * * *", outputs="/outputs", strategy=Strategy(parallelism=3)))
    world.tick(75)
    runs = world.runs("nightly")
    assert sorted(run.cell or 0 for run in runs) == [0, 1, 2]
    assert len({place_of(run, world.path) for run in runs}) == 3
    assert all(files(world, nth) == (("a.txt", 5), ("model/weights", 10)) for nth in range(3))
