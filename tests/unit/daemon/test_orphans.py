"""Runs that the engine shows and nobody claimed: adopted if they run, swept if they never started, never doubled."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.engine.base import RunOrder
from reconciler.model.ids import run_id
from reconciler.model.job import Concurrency
from reconciler.model.live import StandingJob
from reconciler.model.run import Phase, Trigger
from reconciler.model.service import Policy
from reconciler.spec.canonical import digest_of
from tests.kit.world import NIGHT, World, cron, every


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def made(world: World, name: str, *, start: bool) -> str:
    """A run that is in no ledger: what a takeover after a loss finds."""
    spec = cron("0 3 * * *", name)
    run = run_id(name, NIGHT - timedelta(hours=1), 1)
    prepared = world.engine.prepare(RunOrder(run, spec, "d" * 64, "r" * 40, Policy()))
    if start:
        world.engine.launch(run, prepared.ref)
    return run


def test_P6_a_running_run_that_no_ledger_knows_is_adopted_and_its_end_recorded(world: World) -> None:
    world.behave("nightly", duration=30.0, exit_code=4, output=b"still here\n")
    world.apply(cron("0 3 * * *"))
    run = made(world, "nightly", start=True)
    world.list_anew()
    world.tick(5)
    assert [(found.run_id, found.phase) for found in world.runs("nightly")] == [(run, Phase.RUNNING)]
    world.tick(40)
    (ended,) = world.runs("nightly")
    assert (ended.phase, ended.exit_code, ended.discarded) == (Phase.FAILED, 4, True)
    assert (world.path / ended.log).read_bytes() == b"still here\n"
    assert world.starts() == 1


def test_an_adopted_run_of_a_job_that_nobody_knows_ends_under_the_defaults(world: World) -> None:
    world.behave("gone", duration=30.0)
    run = made(world, "gone", start=True)
    world.list_anew()
    world.tick(60)
    (ended,) = world.runs("gone")
    assert (ended.run_id, ended.phase, ended.trigger) == (run, Phase.SUCCEEDED, Trigger.SCHEDULE)
    assert world.machine.runs == {}


def test_R1_a_run_that_was_made_and_never_claimed_is_swept(world: World) -> None:
    made(world, "nightly", start=False)
    world.list_anew()
    world.rounds()
    assert world.machine.runs == {}
    assert world.runs("nightly") == []
    assert world.starts() == 0


def test_R2_an_adopted_run_holds_its_jobs_place(world: World) -> None:
    world.behave("beat", duration=25.0)
    made(world, "beat", start=True)
    world.apply(every(10))
    world.list_anew()
    world.tick(22)
    assert {disposition for _, disposition, _ in world.slots("beat")} == {"skipped"}


def test_what_turns_up_under_an_ended_runs_name_is_removed_and_never_started(world: World) -> None:
    """A create may outlive its client, and be carried out when the run has long ended."""
    world.apply(cron("1 2 * * *"))
    world.tick(70)
    (ended,) = world.runs("nightly")
    assert ended.discarded
    job: StandingJob = world.history.standing()["nightly"]
    world.engine.prepare(RunOrder(ended.run_id, job.spec, job.digest, job.revision, Policy()))
    world.list_anew()
    world.tick(2)
    assert world.machine.runs == {}
    assert world.starts() == 1


def test_a_listing_from_before_a_run_ended_changes_nothing(world: World) -> None:
    world.behave("nightly", duration=3.0)
    world.apply(cron("1 2 * * *"))
    world.tick(61)
    old = world.engine.observe()
    world.tick(20)
    before = world.runs("nightly")
    world.fleet.change(lambda view: replace(view, live=old))
    world.tick(5)
    assert world.runs("nightly") == before
    assert world.starts() == 1


def test_an_event_of_a_run_that_nobody_knows_asks_for_a_listing_and_an_echo_does_not(world: World) -> None:
    world.apply(cron("1 2 * * *"))
    world.tick(70)
    asked = world.relists
    world.loop.poke(world.runs("nightly")[0].run_id)  # its own removal is heard
    world.rounds(1)
    assert world.relists == asked
    world.loop.poke(run_id("nightly", NIGHT, 1))
    world.rounds(1)
    assert world.relists == asked + 1


# -- what a move takes along -----------------------------------------------------------------------------------


def move(world: World, old: str, new: str) -> None:
    """What an apply of `moved_from` does to the ledger, in one go."""
    row = world.history.standing()[old]
    spec = replace(row.spec, name=new)
    world.history.move_standing(old, replace(row, name=new, spec=spec, digest=digest_of(spec)))


def test_D1_a_running_run_moves_along_and_holds_the_new_names_place(world: World) -> None:
    world.behave("beat", duration=25.0)
    world.apply(every(10, concurrency_policy=Concurrency.FORBID))
    world.tick(12)
    move(world, "beat", "pulse")
    world.fleet.publish_standing(world.history.standing())
    world.tick(20)
    assert [run.phase for run in world.runs("pulse")] == [Phase.RUNNING]
    assert world.slots("pulse")[-1][1] == "skipped"
    assert world.runs("beat") == [] and world.slots("beat") == []


def test_D1_a_slot_that_was_claimed_ahead_moves_along_and_runs(world: World) -> None:
    world.apply(cron("1 2 * * *"))
    world.tick(56)
    assert world.runs("nightly")[0].phase is Phase.PREPARING
    move(world, "nightly", "early")
    world.fleet.publish_standing(world.history.standing())
    world.tick(20)
    assert world.slots("early") == [("02:01:00", "ran", 1)]
    assert world.starts() == 1


def test_a_slot_is_not_claimed_by_a_definition_that_has_gone(world: World) -> None:
    """Apply has moved the job and not yet told: the loop still has the old name in its head."""
    world.apply(every(10))
    world.tick(1)
    move(world, "beat", "pulse")
    world.tick(9)
    assert world.runs("beat") == [] and world.starts() == 0
    world.fleet.publish_standing(world.history.standing())
    world.rounds()
    assert [run.job for run in world.runs("pulse")] == ["pulse"]


def test_what_an_apply_has_done_so_far_does_not_wait_for_its_end(world: World) -> None:
    world.apply(cron("1 2 * * *"))
    world.tick(50)
    move(world, "nightly", "early")
    world.fleet.draft()
    world.tick(15)
    assert world.slots("early") == [("02:01:00", "ran", 1)]
