"""A backfill does every slot of a span again, once each, bounded and stoppable, and changes nothing that was told."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from reconciler.daemon.backfill import BackfillAsked, backfill, slots_of
from reconciler.daemon.manual import CellsAsked
from reconciler.model.errors import Permanent
from reconciler.model.job import Schedule, ScheduleKind, Strategy
from reconciler.model.run import Phase, RunRecord, Trigger
from tests.kit.world import NIGHT, World, cron

HOUR = timedelta(hours=1)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.behave("nightly", duration=3.0)
    made.apply(cron("*/10 * * * *"))
    made.tick(5)
    return made


def ask(world: World, hours: float = 1.0, key: str = "", **more: object) -> RunRecord:
    asked = BackfillAsked(NIGHT - hours * HOUR, NIGHT, **more)  # type: ignore[arg-type]
    return backfill(world.loop, "nightly", "anna", asked, {}, key, world.time)


def done(world: World) -> list[RunRecord]:
    runs = [run for run in world.runs("nightly") if run.replays is not None]
    return sorted(runs, key=lambda run: run.cell or 0)


def test_backfill_does_each_slot_of_the_span_again_oldest_first(world: World) -> None:
    ask(world)
    world.tick(60)
    runs = done(world)
    assert [f"{run.replays:%H:%M}" for run in runs] == ["01:00", "01:10", "01:20", "01:30", "01:40", "01:50", "02:00"]
    assert {run.phase for run in runs} == {Phase.SUCCEEDED}
    assert {run.trigger for run in runs} == {Trigger.BACKFILL}
    starts = [run.started_at for run in runs if run.started_at is not None]
    assert starts == sorted(starts) and len(set(starts)) == 7, "one after the other"
    environment = world.environment(runs[2].run_id)
    assert environment["RECONCILER_SLOT"] == "2026-11-24T01:20:00Z"
    assert environment["RECONCILER_PREVIOUS_SLOT"] == "2026-11-24T01:10:00Z"
    assert (environment["RECONCILER_TRIGGER"], environment["RECONCILER_CELLS"]) == ("backfill", "7")
    assert [slot[1:] for slot in world.slots("nightly")] == [("ran", 1)], "one slot, at the instant it was asked for"


def test_backfill_survives_a_restart(world: World) -> None:
    ask(world, max_parallel=2)
    world.tick(4)
    world.restart(down=2.0)
    world.tick(60)
    assert [run.phase for run in done(world)] == [Phase.SUCCEEDED] * 7
    assert world.starts() == 7


def test_backfill_is_stopped_as_a_whole(world: World) -> None:
    ask(world)
    world.tick(5)
    world.loop.ask_stop(world.loop.active("nightly")[0].run_id, "stopped by anna", world.time, whole_slot=True)
    world.tick(20)
    assert Phase.CANCELLED in {run.phase for run in done(world)}
    assert not any(run.active for run in done(world))
    assert world.starts() <= 2


def test_R9_a_resumed_backfill_stands_for_the_slots_that_it_does_again(world: World) -> None:
    world.behave("nightly#2", duration=1.0, exit_code=1)
    ask(world)
    world.tick(60)
    world.behave("nightly#2", duration=1.0)
    again = world.operators.run_job("nightly", "anna", {}, "", CellsAsked(resume="latest"))[0]
    world.tick(10)
    (run,) = [run for run in done(world) if run.slot == again.slot]
    assert (run.trigger, run.phase, run.cell) == (Trigger.BACKFILL, Phase.SUCCEEDED, 2)
    environment = world.environment(run.run_id)
    assert environment["RECONCILER_SLOT"] == "2026-11-24T01:20:00Z"
    assert environment["RECONCILER_PREVIOUS_SLOT"] == "2026-11-24T01:10:00Z"
    assert world.history.last_success("nightly") is None


def test_backfill_is_no_success_of_today(world: World) -> None:
    ask(world)
    world.tick(60)
    assert world.history.last_success("nightly") is None
    world.behave("nightly", duration=1.0, exit_code=1)
    world.apply(cron("*/10 * * * *", pause_after_failures=1))
    world.tick(2)
    backfill(world.loop, "nightly", "anna", BackfillAsked(NIGHT - HOUR, NIGHT), {}, "", world.time)
    world.tick(60)
    assert not world.history.pauses()


def test_backfill_holds_the_jobs_place(world: World) -> None:
    ask(world)
    with pytest.raises(Permanent) as met:
        ask(world)
    assert met.value.code == "job-active"


def test_R1_a_key_stands_for_the_same_slots(world: World) -> None:
    def keyed(key: str, begin: datetime) -> RunRecord:
        return world.operators.backfill("nightly", "anna", BackfillAsked(begin, NIGHT), {}, key)[0]

    first = keyed("week-1", NIGHT - HOUR)
    world.tick(60)
    assert keyed("week-1", NIGHT - HOUR).run_id == first.run_id
    by_hand = world.ask("nightly", "order-7")
    world.tick(10)
    asked = (
        (lambda: keyed("week-1", NIGHT - 2 * HOUR), "for other slots"),
        (lambda: world.ask("nightly", "week-1"), "a backfill"),
        (lambda: keyed("order-7", NIGHT - HOUR), f"{by_hand.run_id}, no backfill"),
    )
    for again, said in asked:
        with pytest.raises(Permanent) as met:
            again()
        assert met.value.code == "key-taken"
        assert said in str(met.value)


@pytest.mark.parametrize("most", [-1, 0, 1001, 1 << 70])
def test_backfill_refuses_a_number_at_a_time_that_is_none(world: World, most: int) -> None:
    with pytest.raises(Permanent, match="at a time") as met:
        ask(world, max_parallel=most)
    assert met.value.code == "usage"


@pytest.mark.parametrize(
    ("fields", "begin", "end", "code"),
    [
        ({}, NIGHT, NIGHT - HOUR, "usage"),
        ({}, NIGHT, NIGHT + 24 * HOUR, "usage"),
        ({}, NIGHT + timedelta(seconds=1), NIGHT + timedelta(seconds=2), "backfill-empty"),
        ({}, NIGHT - 2000 * HOUR, NIGHT, "backfill-too-many"),
        ({"strategy": Strategy(parallelism=3)}, NIGHT - HOUR, NIGHT, "backfill-cells"),
        ({"schedule": Schedule(ScheduleKind.MANUAL)}, NIGHT - HOUR, NIGHT, "backfill-empty"),
    ],
    ids=["backwards", "the future", "no slot", "too many slots", "a job with cells", "a job by hand"],
)
def test_backfill_refuses(world: World, fields: dict[str, object], begin: datetime, end: datetime, code: str) -> None:
    job = world.loop.jobs["nightly"]
    job = replace(job, spec=replace(job.spec, **fields))  # type: ignore[arg-type]
    with pytest.raises(Permanent) as met:
        slots_of(job, BackfillAsked(begin, end), world.time)
    assert met.value.code == code
