"""Places are scarce and given fairly: queues, groups, max_running and priority hold, and nobody waits for ever."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.model.errors import Permanent
from reconciler.model.event import EventName
from reconciler.model.job import CatchUp, Concurrency, Queue
from reconciler.model.run import Phase, RunRecord, Trigger
from reconciler.model.service import Limits, ServiceConfig
from tests.kit.world import World, cron, every


def world_of(tmp_path: Path, **limits: object) -> World:
    return World(tmp_path, ServiceConfig(state_dir=str(tmp_path), limits=Limits(**limits)))  # type: ignore[arg-type]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return world_of(tmp_path)


def most_at_once(*runs: RunRecord) -> int:
    """How many of them ran at one instant, at most."""
    spans = [(run.started_at, run.finished_at) for run in runs if run.started_at is not None]
    return max(
        sum(begin <= at and (end is None or at < end) for begin, end in spans) for at, _ in spans
    )  # fmt: skip


def test_R2_Queue_runs_every_slot_one_after_the_other(world: World) -> None:
    world.behave("beat", duration=25.0)
    world.apply(every(10, concurrency_policy=Concurrency.QUEUE))
    world.tick(40)
    world.apply(every(3600, concurrency_policy=Concurrency.QUEUE))
    world.tick(80)
    runs = world.runs("beat")
    assert [f"{run.slot:%H:%M:%S}" for run in runs] == ["02:00:10", "02:00:20", "02:00:30", "02:00:40"]
    assert world.verdicts("beat") == ["succeeded"] * 4
    assert most_at_once(*runs) == 1
    assert [run.slot for run in sorted(runs, key=lambda run: run.started_at or run.slot)] == [r.slot for r in runs]


def test_R2_a_full_queue_skips_and_says_so(world: World) -> None:
    world.behave("beat", duration=None)
    world.apply(every(10, concurrency_policy=Concurrency.QUEUE, queue=Queue(limit=2)))
    world.tick(65)
    assert world.slots("beat") == [("02:00:40", "skipped", 3)]
    (skipped,) = world.history.slots("beat")
    assert "queue.limit: 2" in skipped.reason
    assert [run.phase for run in world.runs("beat")] == [Phase.RUNNING, Phase.PENDING, Phase.PENDING]


def test_T6_waiting_in_a_queue_has_a_bound_of_its_own(world: World) -> None:
    world.behave("beat", duration=None)
    world.apply(every(10, concurrency_policy=Concurrency.QUEUE, queue=Queue(limit=1, timeout=60.0)))
    world.tick(85)
    missed = [slot for slot in world.slots("beat") if slot[1] == "missed"]
    assert missed == [("02:00:20", "missed", 1)]


def test_R2_a_queue_survives_a_restart(world: World) -> None:
    world.behave("beat", duration=25.0)
    world.apply(every(10, concurrency_policy=Concurrency.QUEUE))
    world.tick(31)
    world.restart(down=2.0)
    world.apply(every(3600, concurrency_policy=Concurrency.QUEUE))
    world.tick(80)
    assert world.verdicts("beat") == ["succeeded"] * 3
    assert most_at_once(*world.runs("beat")) == 1


def test_R2_max_running_holds_for_what_was_prepared_ahead(tmp_path: Path) -> None:
    world = world_of(tmp_path, max_running=2)
    names = [f"job-{number}" for number in range(6)]
    for name in names:
        world.behave(name, duration=5.0)
    world.apply(*(cron("1 2 * * *", name) for name in names))
    world.tick(120)
    runs = [run for name in names for run in world.runs(name)]
    assert [run.phase for run in runs] == [Phase.SUCCEEDED] * 6
    assert most_at_once(*runs) == 2


def test_R2_the_highest_priority_is_first_in_line(tmp_path: Path) -> None:
    world = world_of(tmp_path, max_running=1)
    ranks = {"a": 0, "b": 10, "c": -5, "d": 10}
    for name in ranks:
        world.behave(name, duration=5.0)
    world.apply(*(cron("1 2 * * *", name, priority=rank) for name, rank in ranks.items()))
    world.tick(120)
    started = sorted((world.runs(name)[0].started_at, name) for name in ranks)
    assert [name for _, name in started] == ["b", "d", "a", "c"]


def test_R2_a_place_that_is_freed_goes_to_the_first_in_line(tmp_path: Path) -> None:
    """The run that ends comes after it in the order of turns, and another waiting one after that."""
    world = world_of(tmp_path, max_running=1)
    for name in ("a", "b", "c"):
        world.behave(name, duration=30.0)
    world.apply(cron("1 2 * * *", "a"), cron("1 2 * * *", "c"))
    world.tick(70)
    world.apply(every(10, "b", priority=3))
    world.tick(45)
    started = [(run.started_at, name) for name in ("a", "b", "c") for run in world.runs(name) if run.started_at]
    assert [name for _, name in sorted(started)][:2] == ["a", "b"]


def test_R2_a_group_has_one_place_and_other_owners_have_their_own(world: World) -> None:
    for name in ("a", "b", "x"):
        world.behave(name, duration=20.0)
    mine = [cron("1 2 * * *", name, concurrency_group="warehouse") for name in ("a", "b")]
    theirs = replace(cron("1 2 * * *", "x", concurrency_group="warehouse"), owner="other")
    world.apply(*mine, theirs)
    world.tick(130)
    assert most_at_once(world.runs("a")[0], world.runs("b")[0]) == 1
    assert most_at_once(world.runs("a")[0], world.runs("x")[0]) == 2


def test_R2_a_group_of_the_service_file_is_everybodys(tmp_path: Path) -> None:
    world = world_of(tmp_path, groups={"warehouse": 2})
    specs = [cron("1 2 * * *", name, concurrency_group="warehouse") for name in ("a", "b", "x")]
    for spec in specs:
        world.behave(spec.name, duration=20.0)
    world.apply(*specs[:2], replace(specs[2], owner="other"))
    world.tick(130)
    assert most_at_once(*(world.runs(name)[0] for name in ("a", "b", "x"))) == 2


def test_T6_catch_up_all_runs_what_was_missed_oldest_first_within_its_bound(world: World) -> None:
    spec = cron("*/10 * * * *", concurrency_policy=Concurrency.QUEUE, catch_up=CatchUp.ALL, catch_up_limit=3)
    world.behave("nightly", duration=5.0)
    world.apply(spec)
    world.tick(5)
    world.restart(down=3600.0 + 60.0)
    world.tick(120)
    runs = world.runs("nightly")
    assert [(f"{run.slot:%H:%M}", run.trigger) for run in runs] == [
        ("02:40", Trigger.CATCH_UP), ("02:50", Trigger.CATCH_UP), ("03:00", Trigger.CATCH_UP),
    ]  # fmt: skip
    assert most_at_once(*runs) == 1
    assert ("02:10:00", "missed", 3) in world.slots("nightly")
    world.restart(down=1.0)
    world.tick(60)
    assert len(world.runs("nightly")) == 3, "a consumed catch-up stays consumed"


def test_pause_after_failures_pauses_and_a_person_ends_it(world: World) -> None:
    world.behave("beat", exit_code=1, duration=1.0)
    world.apply(every(10, pause_after_failures=3))
    world.tick(75)
    assert world.verdicts("beat") == ["failed"] * 3
    (pause,) = world.history.pauses()
    assert (pause.job, pause.actor) == ("beat", "reconciler")
    assert "pause_after_failures: 3" in pause.reason
    assert world.slots("beat")[-1][1] == "paused"


def test_pause_after_failures_counts_from_the_last_success(world: World) -> None:
    world.behave("beat", exit_code=1, duration=1.0)
    world.apply(every(10, pause_after_failures=3))
    world.tick(22)  # the next one is prepared five seconds ahead
    world.behave("beat", exit_code=0, duration=1.0)
    world.tick(10)
    world.behave("beat", exit_code=1, duration=1.0)
    world.tick(22)
    assert world.verdicts("beat") == ["failed", "failed", "succeeded", "failed", "failed"]
    assert not world.history.pauses()


class TestDrain:
    def test_nothing_starts_what_runs_goes_on_and_the_end_accounts_for_it(self, world: World) -> None:
        world.behave("beat", duration=5.0)
        world.apply(every(20))
        world.tick(22)
        world.loop.drain("anna", "kernel update", world.time)
        world.tick(120)
        assert world.starts() == 1
        assert world.verdicts("beat") == ["succeeded"]
        assert world.loop.drained.startswith("drained by anna")
        world.loop.end_drain("anna", world.time)
        world.tick(10)
        assert world.starts() == 2
        assert [slot[1] for slot in world.slots("beat")] == ["ran", "missed", "ran"]

    def test_it_outlives_the_service_and_ends_with_a_reboot(self, world: World) -> None:
        world.apply(every(20))
        world.tick(5)
        world.loop.drain("anna", "", world.time)
        world.restart(down=60.0)
        world.tick(30)
        assert world.starts() == 0
        world.boot_id = "another"
        world.restart(down=60.0)
        world.tick(2)
        assert world.starts() == 1
        assert world.loop.drained == ""
        names = [event.name for event in world.history.events(limit=1000)]
        assert EventName.SERVICE_DRAINED in names and EventName.SERVICE_UNDRAINED in names

    def test_what_was_ready_waits_and_a_drain_that_is_none_cannot_end(self, world: World) -> None:
        world.apply(cron("1 2 * * *"))
        world.tick(57)
        (run,) = world.runs("nightly")
        assert run.phase is Phase.PREPARING
        world.loop.drain("anna", "", world.time)
        world.tick(60)
        assert world.starts() == 0
        world.loop.end_drain("anna", world.time)
        world.tick(5)
        assert world.starts() == 1
        assert world.runs("nightly")[0].started_at is not None
        assert (world.runs("nightly")[0].started_at or run.slot) - run.slot < timedelta(minutes=2)
        with pytest.raises(Permanent) as met:
            world.loop.end_drain("anna", world.time)
        assert met.value.code == "not-drained"
