"""Promise: a slot's cells are claimed together and run once each, whatever dies in between; the slot closes once."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.model.errors import EngineRejected, Permanent
from reconciler.model.job import Concurrency, JobSpec, Retries, Schedule, ScheduleKind, Strategy
from reconciler.model.run import Phase, RunRecord, Trigger
from tests.kit.world import World, cron, every

MATRIX = Strategy((("lr", ("0.3", "0.1", "3e-3")), ("depth", ("2", "4"))), max_parallel=2)
HOURLY = Schedule(ScheduleKind.CRON, "0 * * * *")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.history.close()


def copies(
    count: int, name: str = "scan", *, max_parallel: int = 0, fail_fast: bool = False, **fields: object
) -> JobSpec:
    """A job by hand with so many equal cells."""
    strategy = Strategy(parallelism=count, max_parallel=max_parallel, fail_fast=fail_fast)
    return cron("0 8 * * *", name, **{"schedule": Schedule(ScheduleKind.MANUAL), "strategy": strategy, **fields})


def behave(world: World, cells: dict[int, int], duration: float | None = 5.0, name: str = "scan") -> None:
    """Every cell takes `duration` seconds; those given end with that exit code."""
    world.behave(name, duration=duration)
    for cell, code in cells.items():
        world.behave(f"{name}#{cell}", duration=duration, exit_code=code)


def by_cell(world: World, name: str = "scan") -> dict[int, list[RunRecord]]:
    found: dict[int, list[RunRecord]] = {}
    for run in sorted(world.runs(name), key=lambda run: (run.cell or 0, run.slot, run.attempt)):
        assert run.cell is not None
        found.setdefault(run.cell, []).append(run)
    return found


def ask(world: World, job: JobSpec) -> RunRecord:
    world.apply(job)
    world.rounds()
    return world.ask(job.name)


def most_at_once(runs: list[RunRecord]) -> int:
    starts = [run.started_at for run in runs if run.started_at is not None]
    return max(sum(r.started_at <= at < r.finished_at for r in runs if r.started_at and r.finished_at) for at in starts)


def why(world: World, name: str = "scan") -> list[tuple[str, str]]:
    return [(slot.disposition.value, slot.reason) for slot in reversed(world.history.slots(name))]


# -- what a cell is given ------------------------------------------------------------------------------------------
def test_each_cell_of_a_matrix_finds_its_number_and_its_values(world: World) -> None:
    world.apply(cron("1 2 * * *", "scan", strategy=MATRIX))
    world.tick(120)
    found = [world.environment(run.run_id) for run in world.runs("scan")]
    told = sorted((e["RECONCILER_CELL"], e["RECONCILER_CELLS"], e["LR"], e["DEPTH"]) for e in found)
    assert told == [("0", "6", "0.3", "2"), ("1", "6", "0.3", "4"), ("2", "6", "0.1", "2"), ("3", "6", "0.1", "4"),
                    ("4", "6", "3e-3", "2"), ("5", "6", "3e-3", "4")]  # fmt: skip
    assert {run.run_id for run in world.runs("scan")} == {f"scan.20261124T020100Z.c{n}.1" for n in range(6)}
    assert why(world) == [("ran", "6 of 6 cells ok")]


def test_no_more_than_max_parallel_run_at_a_time_and_in_their_order(world: World) -> None:
    behave(world, {})
    ask(world, copies(12, max_parallel=3))
    world.tick(60)
    runs = world.runs("scan")
    assert most_at_once(runs) == 3
    starts = [by_cell(world)[cell][0].started_at for cell in range(12)]
    assert starts == sorted(at for at in starts if at is not None)


def test_without_max_parallel_all_start_at_once(world: World) -> None:
    behave(world, {})
    ask(world, copies(5))
    world.tick(2)
    assert world.starts() == 5


# -- how a slot ends -----------------------------------------------------------------------------------------------
def test_T5_the_slot_closes_once_when_its_last_cell_has_ended_and_says_how_they_did(world: World) -> None:
    behave(world, {1: 3, 3: 1})
    ask(world, copies(5, max_parallel=2))
    world.tick(12)
    assert why(world) == []
    world.tick(30)
    assert why(world) == [("ran", "3 of 5 cells ok; failed: 1, 3")]


def test_R4_each_cell_has_its_own_retries(world: World) -> None:
    behave(world, {1: 3})
    ask(world, copies(3, retries=Retries(limit=2, delay=5)))
    world.tick(60)
    assert {cell: len(runs) for cell, runs in by_cell(world).items()} == {0: 1, 1: 3, 2: 1}
    assert [run.trigger for run in by_cell(world)[1]] == [Trigger.MANUAL, Trigger.RETRY, Trigger.RETRY]
    assert why(world) == [("ran", "2 of 3 cells ok; failed: 1")]


def test_a_waiting_retry_gives_its_place_to_another_cell(world: World) -> None:
    behave(world, {0: 3})
    ask(world, copies(3, max_parallel=1, retries=Retries(limit=1, delay=60)))
    world.tick(20)
    assert [by_cell(world)[cell][0].phase for cell in range(3)] == [Phase.FAILED, Phase.SUCCEEDED, Phase.SUCCEEDED]


def test_fail_fast_stops_the_others_once_a_cell_has_failed_for_good(world: World) -> None:
    behave(world, {}, duration=100.0)
    world.behave("scan#1", duration=3.0, exit_code=1)
    ask(world, copies(5, fail_fast=True, retries=Retries(limit=1, delay=5)))
    world.tick(8)
    assert by_cell(world)[0][0].phase is Phase.RUNNING, "there is another attempt"
    world.tick(40)
    assert [runs[-1].phase.value for runs in by_cell(world).values()] == ["cancelled", "failed", *["cancelled"] * 3]
    assert by_cell(world)[4][0].reason == "cell 1 has failed (strategy.fail_fast)"
    assert why(world) == [("ran", "0 of 5 cells ok; failed: 1; cancelled: 0, 2, 3, 4")]


def test_fail_fast_keeps_those_from_starting_that_wait_for_their_place(world: World) -> None:
    behave(world, {0: 1})
    ask(world, copies(5, max_parallel=1, fail_fast=True))
    world.tick(10)
    assert world.starts() == 1
    assert why(world) == [("ran", "0 of 5 cells ok; failed: 0; cancelled: 1, 2, 3, 4")]


def test_R3_lost_cells_make_the_slot_lost_unless_others_have_failed(world: World) -> None:
    behave(world, {}, duration=30.0)
    ask(world, copies(3))
    world.tick(3)
    victim = by_cell(world)[1][0]
    del world.machine.runs[victim.run_id]
    world.tick(60)
    assert why(world) == [("lost", "2 of 3 cells ok; lost: 1")]


def test_a_slot_of_which_no_cell_could_start_says_why(world: World) -> None:
    error = EngineRejected("cannot prepare: no such image", code="image-missing")
    world.machine.fail("prepare", error, times=10_000)
    world.apply(replace(copies(4, max_parallel=2), schedule=HOURLY, start_deadline=60.0))
    world.tick(3600 + 90)
    assert why(world)[0][0] in ("unavailable", "missed")
    assert why(world)[0][1].startswith("none of 4 cells started: ")
    assert not any(run.active for run in world.runs("scan"))


# -- waiting -------------------------------------------------------------------------------------------------------
def test_T6_a_slot_that_has_begun_is_not_late_however_long_its_cells_take(world: World) -> None:
    behave(world, {}, duration=1500.0)
    world.apply(replace(copies(4, max_parallel=1), schedule=HOURLY, start_deadline=60.0))
    world.tick(3600 * 3, step=5.0)
    first = [run for run in world.runs("scan") if run.slot.hour == 3]
    assert [run.phase for run in first] == [Phase.SUCCEEDED] * 4


def test_R2_Forbid_skips_the_next_slot_while_any_cell_is_active_or_waits_for_its_place(world: World) -> None:
    behave(world, {}, duration=25.0)
    world.apply(every(60, "scan", strategy=Strategy(parallelism=4, max_parallel=1)))
    world.tick(185)
    assert world.slots("scan") == [("02:01:00", "ran", 1), ("02:02:00", "skipped", 1)]
    assert world.starts() == 5


def test_R4_a_waiting_retry_of_one_cell_goes_on_while_others_are_at_work(world: World) -> None:
    behave(world, {0: 3}, duration=40.0)
    world.behave("scan#0", duration=1.0, exit_code=3)
    job = every(60, "scan", strategy=Strategy(parallelism=2), retries=Retries(limit=1, delay=70))
    world.apply(job)
    world.behave("scan#1", duration=100.0)
    world.tick(60 + 90)
    assert [run.attempt for run in by_cell(world)[0] if run.slot.minute == 1] == [1, 2]


def test_R2_Replace_stops_every_cell_and_the_next_slot_waits_for_the_last(world: World) -> None:
    behave(world, {}, duration=None)
    world.apply(
        every(60, "scan", strategy=Strategy(parallelism=3, max_parallel=2), concurrency_policy=Concurrency.REPLACE)
    )
    world.tick(130)
    old = [run for run in world.runs("scan") if run.slot.minute == 1]
    new = [run for run in world.runs("scan") if run.slot.minute == 2]
    assert {run.phase for run in old} == {Phase.CANCELLED}
    assert {run.replaces for run in new} == {(old[-1].run_id,)}, "one id stands for all cells of a slot"
    ends, starts = [r.finished_at for r in old if r.started_at], [r.started_at for r in new if r.started_at]
    assert max(at for at in ends if at) <= min(at for at in starts if at)


# -- whatever dies -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("after", range(1, 40, 3))
def test_R1_a_kill_between_any_two_cells_doubles_and_loses_nothing(world: World, after: int) -> None:
    behave(world, {2: 1})
    ask(world, copies(6, max_parallel=2, retries=Retries(limit=1, delay=4)))
    for _ in range(3):
        world.tick(after / 3)
        world.restart()
    world.tick(60)
    runs = by_cell(world)
    assert {cell: [r.phase.value for r in runs[cell]] for cell in runs} == {
        cell: ["failed", "failed"] if cell == 2 else ["succeeded"] for cell in range(6)
    }
    assert world.starts() == 7
    assert why(world) == [("ran", "5 of 6 cells ok; failed: 2")]


def test_R1_a_kill_after_a_failure_still_stops_the_others(world: World) -> None:
    behave(world, {}, duration=100.0)
    world.behave("scan#0", duration=3.0, exit_code=1)
    ask(world, copies(3, fail_fast=True))
    while by_cell(world)[0][0].phase is not Phase.FAILED:
        world.time += timedelta(seconds=0.5)
        world.loop.step(world.time)
        if by_cell(world)[0][0].phase is Phase.FAILED:
            break
        world.rounds(1)
    world.restart()
    world.tick(5)
    assert {run.phase for run in world.runs("scan")} == {Phase.FAILED, Phase.CANCELLED}


def test_stopping_the_job_stops_every_cell_and_stopping_a_run_one(world: World) -> None:
    behave(world, {}, duration=None)
    first = ask(world, copies(4, max_parallel=2))
    world.tick(2)
    world.operators.stop_run(first.run_id, "anna", "")
    world.tick(2)
    assert [run.phase.value for (run,) in by_cell(world).values()] == ["cancelled", "running", "running", "pending"]
    assert "3 cells of" in world.operators.stop_run(by_cell(world)[1][0].run_id, "anna", "", whole_slot=True)
    world.tick(2)
    assert {run.phase for run in world.runs("scan")} == {Phase.CANCELLED}


def test_T4_cells_of_a_slot_that_has_begun_keep_its_definition_and_before_that_take_the_newer(world: World) -> None:
    behave(world, {})
    job = copies(3, max_parallel=1)
    ask(world, job)
    world.tick(3)
    world.apply(replace(job, script="newer"))
    world.tick(30)
    assert len({run.digest for run in world.runs("scan")}) == 1
    world.machine.fail("prepare", EngineRejected("no image", code="image-missing"), times=2)
    first = world.ask("scan")
    world.tick(1)
    world.apply(replace(job, script="newest"))
    world.tick(40)
    assert {run.digest for run in world.runs("scan") if run.slot == first.slot and run.started_at} == {
        world.history.standing()["scan"].digest
    }


def test_a_job_with_cells_keeps_to_one_run_of_its_own(world: World) -> None:
    behave(world, {}, duration=None)
    ask(world, copies(3))
    with pytest.raises(Permanent) as caught:
        world.ask("scan")
    assert caught.value.code == "job-active"


def test_a_thousand_cells_that_are_stopped_keep_no_other_job_from_firing(world: World) -> None:
    behave(world, {}, duration=None)
    first = ask(world, copies(200, max_parallel=1))
    world.tick(2)
    world.operators.stop_run(first.run_id, "anna", "", whole_slot=True)
    world.loop.step(world.time)
    left = sum(run.active for run in world.runs("scan"))
    assert 50 <= left < 150, "a round has its bound"
    world.tick(10)
    assert not any(run.active for run in world.runs("scan"))
    assert [slot.reason[:20] for slot in world.history.slots("scan")] == ["0 of 200 cells ok; c"]
