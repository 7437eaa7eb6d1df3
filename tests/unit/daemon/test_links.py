"""One job's outcome fires another, and a slot waits for another job: once each, whatever dies in between."""

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.model.job import After, Concurrency, Retries, Schedule, ScheduleKind, WaitFor
from reconciler.model.run import Pause, Phase, Trigger
from tests.kit.world import World, cron

BY_HAND = Schedule(ScheduleKind.MANUAL)


def after(name: str, *links: After, **fields: object) -> object:
    return replace(cron("0 0 1 1 *", name, after=links, **fields), schedule=BY_HAND)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize(
    ("code", "fired"),
    [(0, {"on-success": 1, "on-failure": 0, "on-any": 1}), (3, {"on-success": 0, "on-failure": 1, "on-any": 1})],
    ids=["a success", "a failure"],
)
def test_after_is_fired_by_the_outcome_it_names(world: World, code: int, fired: dict[str, int]) -> None:
    world.behave("nightly", exit_code=code, duration=2.0)
    world.apply(cron("1 2 * * *"), *(after(f"on-{on}", After("nightly", on)) for on in ("success", "failure", "any")))
    world.tick(90)
    assert {name: len(world.runs(name)) for name in fired} == fired
    for name, count in fired.items():
        for run in world.runs(name)[:count]:
            assert (run.phase, run.trigger, run.cause) == (Phase.SUCCEEDED, Trigger.AFTER, "nightly.20261124T020100Z.1")
            assert world.slots(name)[0][1] == "ran"


def test_after_waits_for_the_last_attempt(world: World) -> None:
    world.behave("nightly", exit_code=3, duration=2.0)
    world.apply(cron("1 2 * * *", retries=Retries(limit=1, delay=30)), after("alarm", After("nightly", "failure")))
    world.tick(75)
    assert len(world.runs("nightly")) == 2
    assert not world.runs("alarm")
    world.tick(60)
    (alarm,) = world.runs("alarm")
    assert alarm.cause == "nightly.20261124T020100Z.2"


def test_after_is_fired_once_though_the_end_is_written_twice(world: World) -> None:
    world.behave("nightly", duration=2.0)
    world.apply(cron("1 2 * * *"), after("next", After("nightly")))
    world.tick(62)
    (run,) = world.runs("nightly")
    ended = replace(run, phase=Phase.SUCCEEDED)
    for _ in range(3):
        world.loop._decider.fire_after(ended, world.time)
        world.restart()
        world.tick(2)
    assert len(world.runs("next")) == 1
    world.tick(60)
    assert world.verdicts("nightly") == ["succeeded"]
    assert len(world.runs("next")) == 1


def test_after_keeps_to_the_jobs_own_policy(world: World) -> None:
    world.behave("nightly", duration=2.0)
    world.behave("slow", duration=None)
    world.apply(cron("* * * * *"), after("slow", After("nightly")), after("paused", After("nightly")))
    world.history.put_pause(Pause("paused", world.time, None, "supplier moves", "cleo"))
    world.loop.repause(world.time)
    world.tick(150)
    assert [slot[1] for slot in world.slots("slow")] == ["skipped"]
    assert {slot[1] for slot in world.slots("paused")} == {"paused"}
    assert world.starts() == 2 + 1


def test_after_two_jobs_that_end_at_one_moment_fires_twice(world: World) -> None:
    for name in ("a", "b"):
        world.behave(name, duration=2.0)
    world.apply(
        cron("1 2 * * *", "a"), cron("1 2 * * *", "b"),
        after("both", After("a"), After("b"), concurrency_policy=Concurrency.ALLOW),
    )  # fmt: skip
    world.tick(90)
    assert sorted(run.cause.partition(".")[0] for run in world.runs("both")) == ["a", "b"]


def test_wait_for_holds_a_slot_until_the_other_has_succeeded_for_its_own(world: World) -> None:
    world.behave("etl", duration=90.0)
    world.apply(cron("1 2 * * *", "etl"), cron("1 2 * * *", "report", wait_for=(WaitFor("etl", 600.0),)))
    world.tick(120)
    assert world.runs("report")[0].started_at is None
    world.tick(60)
    (etl,), (report,) = world.runs("etl"), world.runs("report")
    assert report.phase is Phase.SUCCEEDED
    assert report.started_at is not None and etl.finished_at is not None
    assert etl.finished_at <= report.started_at


def test_wait_for_has_a_bound_and_says_what_it_waited_for(world: World) -> None:
    world.behave("etl", exit_code=1, duration=1.0)
    world.apply(cron("1 2 * * *", "etl"), cron("1 2 * * *", "report", wait_for=(WaitFor("etl", 120.0),)))
    world.tick(200)
    assert world.slots("report") == [("02:01:00", "missed", 1)]
    (slot,) = world.history.slots("report")
    assert "etl to succeed for 2026-11-24T02:01:00Z" in slot.reason


def test_wait_for_is_content_with_a_rerun(world: World) -> None:
    world.behave("etl", exit_code=1, duration=1.0)
    world.apply(cron("1 2 * * *", "etl"), cron("1 2 * * *", "report", wait_for=(WaitFor("etl", 600.0),)))
    world.tick(90)
    world.behave("etl", exit_code=0, duration=1.0)
    world.loop.start_manual(world.loop.jobs["etl"], "anna", world.time)
    world.tick(30)
    assert world.verdicts("report") == ["succeeded"]


def test_wait_for_survives_a_restart(world: World) -> None:
    world.behave("etl", duration=90.0)
    world.apply(cron("1 2 * * *", "etl"), cron("1 2 * * *", "report", wait_for=(WaitFor("etl", 600.0),)))
    world.tick(100)
    world.restart(down=20.0)
    world.tick(90)
    assert world.verdicts("report") == ["succeeded"]
    assert world.starts() == 2
