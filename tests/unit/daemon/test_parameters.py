"""Promise: a run has the values that it was given, on every attempt and after every crash; a key starts one run."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.model.errors import EngineRejected, Permanent
from reconciler.model.job import Parameter, ParameterType, Retries, Schedule, ScheduleKind
from reconciler.model.run import Phase, Trigger
from tests.kit.world import World, cron

EPOCHS = Parameter("epochs", ParameterType.INTEGER, "10")
SINCE = Parameter("since", default="yesterday")
MANUAL = Schedule(ScheduleKind.MANUAL)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.history.close()


def test_R7_a_scheduled_run_has_the_defaults_and_records_them(world: World) -> None:
    world.apply(cron("1 2 * * *", parameters=(EPOCHS, SINCE)))
    world.tick(70)
    (run,) = world.runs("nightly")
    assert run.parameters == (("epochs", "10"), ("since", "yesterday"))
    assert {"EPOCHS": "10", "SINCE": "yesterday"}.items() <= world.environment(run.run_id).items()


def test_R7_a_run_by_hand_has_what_it_was_given_and_so_has_its_retry(world: World) -> None:
    world.behave("nightly", duration=1.0, exit_code=1)
    world.apply(cron("0 8 * * *", schedule=MANUAL, parameters=(EPOCHS, SINCE), retries=Retries(limit=1, delay=5)))
    world.rounds()
    world.ask("nightly", since="2026-11-20")
    world.tick(10)
    first, second = world.runs("nightly")
    assert (second.trigger, second.parameters) == (Trigger.RETRY, first.parameters)
    assert first.parameters == (("epochs", "10"), ("since", "2026-11-20"))
    assert world.environment(second.run_id)["SINCE"] == "2026-11-20"


def test_what_the_definition_does_not_take_is_refused_and_nothing_is_claimed(world: World) -> None:
    world.apply(cron("0 8 * * *", parameters=(EPOCHS,)))
    world.rounds()
    for given, code in (({"epoch": "1"}, "parameter-unknown"), ({"epochs": "x"}, "parameter-invalid")):
        with pytest.raises(Permanent) as caught:
            world.ask("nightly", **given)
        assert caught.value.code == code
    assert world.runs("nightly") == []


def test_R1_a_key_given_twice_answers_with_the_run_of_the_first_time(world: World) -> None:
    world.behave("nightly", duration=30.0)
    world.apply(cron("0 8 * * *", parameters=(SINCE,)))
    world.rounds()
    first = world.ask("nightly", "order-7", since="x")
    world.tick(5)
    assert world.ask("nightly", "order-7", since="x").run_id == first.run_id, "although it is active (Forbid)"
    world.restart()
    assert world.ask("nightly", "order-7").run_id == first.run_id
    world.tick(60)
    assert world.ask("nightly", "order-7", since="x").phase is Phase.SUCCEEDED
    assert world.starts() == 1
    assert world.ask("nightly", "order-8").run_id != first.run_id


def test_R1_a_key_stands_for_one_request(world: World) -> None:
    world.apply(cron("0 8 * * *", parameters=(SINCE,)))
    world.rounds()
    world.ask("nightly", "order-7", since="x")
    for key, since, code in (
        ("order-7", "y", "key-taken"),
        ("a\nb", "x", "key-invalid"),
        ("k" * 201, "x", "key-invalid"),
    ):
        with pytest.raises(Permanent) as caught:
            world.ask("nightly", key, since=since)
        assert caught.value.code == code
        assert caught.value.hint


def test_R1_keys_of_two_jobs_that_become_one_do_not_stand_in_the_way(world: World) -> None:
    for name in ("old", "new"):
        world.apply(cron("0 8 * * *", name))
        world.rounds()
        world.ask(name, "order-7")
        world.tick(20)
    moved = replace(world.history.standing()["old"], name="new", spec=cron("0 8 * * *", "new"))
    world.history.move_standing("old", moved)
    found = world.history.keyed("new", "order-7")
    assert found is not None
    assert found.run_id.startswith("old.")


def test_T4_an_owed_run_keeps_what_it_was_given_under_a_newer_definition(world: World) -> None:
    world.machine.fail("prepare", EngineRejected("no such image", code="image-missing"), times=3)
    world.apply(cron("0 8 * * *", parameters=(EPOCHS, SINCE)))
    world.rounds()
    world.ask("nightly", since="x")
    world.tick(2)
    world.apply(cron("0 8 * * *", parameters=(replace(EPOCHS, default="30"), SINCE), image="busybox:mended"))
    world.tick(30)
    run = world.runs("nightly")[-1]
    assert run.phase is Phase.SUCCEEDED
    assert world.environment(run.run_id)["SINCE"] == "x"
    assert world.environment(run.run_id)["EPOCHS"] == "30"


def test_T4_a_run_that_the_newer_definition_does_not_take_keeps_its_own(world: World) -> None:
    world.machine.fail("prepare", EngineRejected("no such image", code="image-missing"), times=2)
    world.apply(cron("0 8 * * *", parameters=(EPOCHS, SINCE)))
    world.rounds()
    digest = world.ask("nightly", since="x").digest
    world.tick(1)
    world.apply(cron("0 8 * * *", parameters=(EPOCHS,)))
    world.tick(30)
    (run,) = world.runs("nightly")
    assert (run.phase, run.digest) == (Phase.SUCCEEDED, digest)
