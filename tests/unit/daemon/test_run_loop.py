"""The loop that fires: every slot runs once and is accounted for, whatever stops, dies or comes late."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from reconciler.daemon.events import level_of
from reconciler.model.errors import EngineRejected, EngineUnavailable
from reconciler.model.event import EventName
from reconciler.model.job import Concurrency, OnRetire, Retries
from reconciler.model.run import Phase, Trigger
from reconciler.runs.retry import successor
from reconciler.schedule.cursor import silent_until
from reconciler.spec.canonical import digest_of
from tests.kit.world import World, cron, every


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_due_slot_runs_once_and_is_recorded(world: World) -> None:
    world.behave("nightly", duration=2.0, output=b"done\n")
    world.apply(cron("5 2 * * *"))
    world.tick(310)
    (run,) = world.runs("nightly")
    assert (run.phase, run.trigger, run.exit_code, run.collected, run.discarded) == (
        Phase.SUCCEEDED, Trigger.SCHEDULE, 0, True, True,
    )  # fmt: skip
    assert world.slots("nightly") == [("02:05:00", "ran", 1)]
    assert (world.path / run.log).read_bytes() == b"done\n"
    assert run.started_at is not None
    assert run.started_at - run.slot <= timedelta(seconds=1)


@pytest.mark.parametrize(("code", "hinted"), [(1, True), (0, False)], ids=["a failure", "a success"])
def test_S2_a_failure_that_smells_of_a_dropped_capability_says_so(world: World, code: int, hinted: bool) -> None:
    world.behave("nightly", duration=1.0, exit_code=code, output=b"chown: /x: Operation not permitted\n")
    world.apply(cron("5 2 * * *"))
    world.tick(310)
    (run,) = world.runs("nightly")
    (ended,) = [event for event in world.history.events(run=run.run_id) if event.name is EventName.RUN_FINISHED]
    assert ("cap_add" in str(ended.fields.get("hint"))) is hinted


def test_a_run_is_prepared_before_its_instant(world: World) -> None:
    world.apply(cron("1 2 * * *"))
    world.tick(58)
    (run,) = world.runs("nightly")
    assert run.phase is Phase.PREPARING
    assert run.prepared_at is not None
    assert world.starts() == 0
    world.tick(3)
    assert world.starts() == 1


def test_R2_Forbid_skips_a_slot_while_the_run_before_it_goes_on(world: World) -> None:
    world.behave("beat", duration=25.0)
    world.apply(every(10))
    world.tick(45)
    assert world.slots("beat") == [("02:00:10", "ran", 1), ("02:00:20", "skipped", 2)]
    assert world.starts() == 2
    skipped = world.history.slots("beat")[0]
    assert skipped.decided_at is not None and skipped.decided_at - skipped.last < timedelta(seconds=1)


def test_R2_Replace_ends_the_old_run_before_the_new_one_starts(world: World) -> None:
    world.behave("beat", duration=None)
    world.apply(every(30, concurrency_policy=Concurrency.REPLACE))
    world.tick(70)
    first, second = world.runs("beat")[:2]
    assert first.phase is Phase.CANCELLED
    assert first.finished_at is not None and second.started_at is not None
    assert first.finished_at <= second.started_at


def test_R4_a_failed_run_is_retried_after_its_delay(world: World) -> None:
    world.behave("nightly", exit_code=3)
    world.apply(cron("1 2 * * *", retries=Retries(limit=2, delay=30)))
    world.tick(240)
    assert world.verdicts("nightly") == ["failed", "failed", "failed"]
    assert [run.trigger for run in world.runs("nightly")] == [Trigger.SCHEDULE, Trigger.RETRY, Trigger.RETRY]
    assert world.slots("nightly") == [("02:01:00", "ran", 1)]


def test_R4_a_run_that_takes_too_long_is_ended_for_its_timeout(world: World) -> None:
    world.behave("nightly", duration=None)
    world.apply(cron("1 2 * * *", timeout=20.0))
    world.tick(120)
    (run,) = world.runs("nightly")
    assert run.phase is Phase.TIMED_OUT


def test_R4_a_missing_image_delays_the_start_and_does_not_use_retries(world: World) -> None:
    world.machine.fail("prepare", EngineRejected("cannot prepare: no such image", code="image-missing"), times=3)
    world.apply(cron("1 2 * * *"))
    world.tick(120)
    (run,) = world.runs("nightly")
    assert (run.phase, run.tries) == (Phase.SUCCEEDED, 3)


def test_a_start_whose_answer_was_lost_is_never_repeated(world: World) -> None:
    """Rule R1: the engine did start it, we were not told."""
    world.behave("nightly", duration=5.0)
    world.machine.fail("launch", EngineUnavailable("no answer"), late=True)
    world.apply(cron("1 2 * * *"))
    world.tick(100)
    assert world.verdicts("nightly") == ["succeeded"]
    assert world.starts() == 1


def test_a_start_that_never_reached_the_engine_goes_on_under_a_new_name(world: World) -> None:
    world.machine.fail("launch", EngineUnavailable("no answer"))
    world.apply(cron("1 2 * * *"))
    world.tick(100)
    first, second = world.runs("nightly")
    assert (first.phase, second.phase) == (Phase.CANCELLED, Phase.SUCCEEDED)
    assert first.superseded_by == second.run_id
    assert world.slots("nightly") == [("02:01:00", "ran", 1)]


def test_R6_a_restart_adopts_what_runs_and_records_its_end(world: World) -> None:
    world.behave("nightly", duration=60.0, exit_code=7, output=b"x\n")
    world.apply(cron("1 2 * * *"))
    world.tick(70)
    world.restart(down=20)
    world.tick(60)
    (run,) = world.runs("nightly")
    assert (run.phase, run.exit_code) == (Phase.FAILED, 7)
    assert world.starts() == 1


def test_R1_a_run_that_ended_while_nobody_watched_is_recorded_as_it_ended(world: World) -> None:
    world.behave("nightly", duration=5.0, exit_code=0, output=b"late news\n")
    world.apply(cron("1 2 * * *"))
    world.tick(62)
    world.restart(down=600)
    world.tick(10)
    (run,) = world.runs("nightly")
    assert run.phase is Phase.SUCCEEDED
    assert (world.path / run.log).read_bytes() == b"late news\n"


def test_R2_what_the_engine_does_not_show_is_lost_and_blocks_nothing(world: World) -> None:
    world.behave("nightly", duration=None)
    world.apply(cron("1 2 * * *"))
    world.tick(70)
    world.machine.forget(world.runs("nightly")[0].run_id)
    world.tick(20)
    assert world.verdicts("nightly") == ["lost"]
    assert world.slots("nightly") == [("02:01:00", "lost", 1)]


def test_T6_after_a_downtime_only_the_latest_slot_is_caught_up(world: World) -> None:
    world.apply(every(60))
    world.tick(61)
    world.restart(down=605)
    world.tick(30)
    runs = world.runs("beat")
    assert [run.trigger for run in runs][:2] == [Trigger.SCHEDULE, Trigger.SCHEDULE] or len(runs) >= 2
    dispositions = {d: sum(c for _, found, c in world.slots("beat") if found == d) for d in ("ran", "missed")}
    assert dispositions["missed"] == 9
    assert world.starts() == len([r for r in runs if r.started_at])


def test_T5_a_run_made_ready_for_a_slot_that_was_then_missed_is_told_as_an_error(world: World) -> None:
    world.apply(cron("1 2 * * *", start_deadline=30.0))
    world.tick(58)
    world.restart(down=600)
    world.tick(30)
    (run,) = world.runs("nightly")
    (ended,) = [event for event in world.history.events(run=run.run_id) if event.name is EventName.RUN_FINISHED]
    assert world.slots("nightly") == [("02:01:00", "missed", 1)]
    assert level_of(ended.name, ended.fields["verdict"], ended.fields["disposition"]) == "error"
    assert level_of(ended.name, "succeeded") == level_of(ended.name, "cancelled", "paused") == "info"


def test_T7_a_clock_set_back_fires_no_slot_again(world: World) -> None:
    world.apply(every(60))
    world.tick(185)
    before = world.starts()
    world.time -= timedelta(seconds=150)
    world.rounds()
    world.tick(120)
    assert world.starts() == before


def test_T7_a_person_may_have_it_fire_from_now_on(world: World) -> None:
    world.apply(every(60))
    world.tick(185)
    world.time += timedelta(days=3)
    world.tick(185)
    world.time -= timedelta(days=3)
    world.tick(300)
    before, job = world.starts(), world.history.standing()["beat"]
    until = silent_until(job, world.time)
    assert until is not None and until > world.time + timedelta(days=2)
    assert world.loop.rewind("beat", world.time) == {"beat": until}
    assert world.loop.rewind("beat", world.time) == {}, "once is enough"
    assert silent_until(world.history.standing()["beat"], world.time) is None
    world.tick(300)
    assert world.starts() == before + 5
    rows = world.history.slots("beat", limit=1000)
    assert all(later.first > earlier.last for later, earlier in pairwise(rows)), "each slot is in one row"
    assert len({run.slot for run in world.runs("beat")}) == len(world.runs("beat"))


def test_T7_what_was_claimed_for_a_time_to_come_holds_no_place(world: World) -> None:
    world.apply(cron("1 2 * * *"))
    world.time += timedelta(days=3)
    world.tick(58)
    assert [run.phase for run in world.runs("nightly")][-1] is Phase.PREPARING
    world.time -= timedelta(days=3)
    world.tick(1)
    world.loop.rewind("nightly", world.time)
    world.rounds()
    world.tick(180)
    assert ("02:01:00", "ran", 1) in world.slots("nightly")


def test_T4_resuming_owes_nothing_from_the_pause(world: World) -> None:
    from reconciler.model.run import Pause

    world.apply(every(60))
    world.tick(5)
    world.history.put_pause(Pause("beat", world.time, None, "supplier moves", "anna"))
    world.loop.repause(world.time)
    world.tick(300)
    assert world.starts() == 0
    world.history.put_pause(Pause("beat", world.history.pauses()[0].since, world.time, "supplier moves", "anna"))
    world.loop.resume(world.time)
    world.history.drop_pause("beat")
    world.loop.repause(world.time)
    world.rounds()
    assert world.starts() == 0
    assert sum(count for _, found, count in world.slots("beat") if found == "paused") == 5
    world.tick(60)
    assert world.starts() == 1


def test_T4_an_edit_within_the_lead_runs_the_owed_slot_with_the_new_spec(world: World) -> None:
    world.apply(cron("1 2 * * *"))
    world.tick(30)
    world.apply(cron("1 2 * * *", description="newer"))
    world.tick(60)
    (run,) = world.runs("nightly")
    assert run.digest == world.history.standing()["nightly"].digest


def test_a_schedule_edited_within_the_lead_does_not_fire_the_old_slot(world: World) -> None:
    world.apply(cron("1 2 * * *"))
    world.tick(56)
    assert world.runs("nightly")
    world.apply(cron("30 2 * * *"))
    world.tick(60)
    assert world.starts() == 0
    assert world.slots("nightly") == [("02:01:00", "superseded", 1)]


def test_a_job_retired_within_the_lead_does_not_fire(world: World) -> None:
    world.apply(cron("1 2 * * *"))
    world.tick(56)
    world.retire("nightly")
    world.tick(60)
    assert world.starts() == 0


def test_P5_retiring_drains(world: World) -> None:
    world.behave("nightly", duration=60.0)
    world.apply(cron("1 2 * * *"))
    world.tick(62)
    world.retire("nightly")
    world.tick(70)
    assert world.verdicts("nightly") == ["succeeded"]


def test_T8_the_starts_of_an_edited_schedule_do_not_hold_the_new_one_back(world: World) -> None:
    world.apply(cron("*/2 * * * *"))
    world.tick(300)
    world.apply(cron("10 2 * * *"))
    world.tick(400)
    assert world.slots("nightly") == [("02:02:00", "ran", 1), ("02:04:00", "ran", 1), ("02:10:00", "ran", 1)]


def test_R4_a_stop_ends_the_next_attempt_that_was_claimed_before_a_crash(world: World) -> None:
    """The next attempt is claimed before the end of the old one is written; the process died between the two."""
    world.behave("nightly", duration=60.0, exit_code=1)
    world.apply(cron("1 2 * * *", retries=Retries(limit=1, delay=30)))
    world.tick(65)
    (run,) = world.runs("nightly")
    at = world.time + timedelta(seconds=30)
    world.history.claim(successor(run, Trigger.RETRY, world.time, retry_at=at, deadline=at + timedelta(hours=1)))
    world.restart()
    world.loop.ask_stop(run.run_id, "stopped by anna", world.time)
    world.tick(120)
    assert world.verdicts("nightly") == ["cancelled", "cancelled"]
    assert world.slots("nightly") == [("02:01:00", "ran", 1)]
    assert world.starts() == 1


def test_R2_a_queued_run_waits_its_turn_although_its_policy_is_edited(world: World) -> None:
    world.behave("beat", duration=45.0)
    world.apply(every(30, concurrency_policy=Concurrency.QUEUE))
    world.tick(65)
    world.apply(every(30, concurrency_policy=Concurrency.FORBID))
    world.tick(60)
    first, second = world.runs("beat")[:2]
    assert first.finished_at is not None and second.started_at is not None
    assert first.finished_at <= second.started_at


def test_T5_an_engine_that_stays_away_makes_the_slot_unavailable(world: World) -> None:
    world.machine.fail("prepare", EngineUnavailable("away"), times=10_000)
    world.apply(cron("1 2 * * *", start_deadline=120.0))
    world.tick(400)
    assert world.slots("nightly") == [("02:01:00", "unavailable", 1)]
    assert world.starts() == 0


@pytest.mark.parametrize("verb", ["prepare", "launch", "inspect", "logs", "usage", "discard", "find_start"])
@pytest.mark.parametrize("late", [False, True], ids=["before it took effect", "after it took effect"])
def test_one_failing_call_of_the_engine_costs_no_slot_and_no_double(world: World, verb: str, late: bool) -> None:
    world.behave("nightly", duration=3.0, output=b"hello\n")
    world.machine.fail(verb, EngineUnavailable("reset"), late=late)
    world.apply(cron("1 2 * * *"))
    world.tick(180)
    assert world.verdicts("nightly")[-1] == "succeeded"
    assert world.slots("nightly") == [("02:01:00", "ran", 1)]
    started = [run for run in world.runs("nightly") if run.started_at is not None]
    assert len(started) == 1


@pytest.mark.parametrize("at", range(50, 80))
def test_a_kill_at_any_second_of_firing_loses_and_doubles_nothing(world: World, at: int) -> None:
    world.behave("nightly", duration=6.0, output=b"hello\n")
    world.apply(cron("1 2 * * *"))
    world.tick(at)
    world.restart(down=1)
    world.tick(120)
    assert world.verdicts("nightly")[-1] == "succeeded"
    assert world.slots("nightly") == [("02:01:00", "ran", 1)]
    assert len([run for run in world.runs("nightly") if run.started_at is not None]) == 1
    assert world.machine.runs == {}


def test_P5_on_retire_stop_ends_the_run_of_a_retired_job(world: World) -> None:
    world.behave("nightly", duration=None)
    world.apply(cron("1 2 * * *", on_retire=OnRetire.STOP))
    world.tick(65)
    world.retire("nightly")
    world.tick(5)
    assert world.verdicts("nightly") == ["cancelled"]


def test_D1_a_moved_job_takes_its_running_run_along(world: World) -> None:
    world.behave("nightly", duration=60.0)
    world.apply(cron("1 2 * * *", on_retire=OnRetire.STOP))
    world.tick(65)
    old = world.history.standing()["nightly"]
    moved = replace(old.spec, name="ops/nightly", moved_from="nightly")
    world.history.move_standing("nightly", replace(old, name="ops/nightly", spec=moved, digest=digest_of(moved)))
    world.fleet.publish_standing(world.history.standing())
    world.tick(70)
    assert world.verdicts("ops/nightly") == ["succeeded"]
    assert world.slots("ops/nightly") == [("02:01:00", "ran", 1)]
