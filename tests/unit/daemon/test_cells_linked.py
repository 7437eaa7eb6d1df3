"""Promise: for whoever follows a job, a slot with cells ends once, and has succeeded only if all its cells have."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.model.job import After, JobSpec, Schedule, ScheduleKind, Strategy, WaitFor
from reconciler.model.run import Phase
from tests.kit.world import World, cron

BY_HAND = Schedule(ScheduleKind.MANUAL)
SCAN = cron("1 2 * * *", "scan", strategy=Strategy(parallelism=3, max_parallel=1))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.behave("scan", duration=4.0)
    yield made
    made.history.close()


def on(outcome: str) -> JobSpec:
    return replace(cron("0 0 1 1 *", f"on-{outcome}", after=(After("scan", outcome),)), schedule=BY_HAND)


def fired(world: World) -> dict[str, int]:
    return {outcome: len(world.runs(f"on-{outcome}")) for outcome in ("success", "failure", "any")}


@pytest.mark.parametrize(("bad", "expected"), [
    (None, {"success": 1, "failure": 0, "any": 1}),
    (0, {"success": 0, "failure": 1, "any": 1}),  # the last one to end has succeeded
    (2, {"success": 0, "failure": 1, "any": 1}),
])  # fmt: skip
@pytest.mark.parametrize("kill", [None, 7.0, 9.0, 13.0])
def test_after_is_fired_once_by_the_outcome_of_the_slot_as_a_whole(
    world: World, bad: int | None, expected: dict[str, int], kill: float | None
) -> None:
    if bad is not None:
        world.behave(f"scan#{bad}", duration=4.0, exit_code=1)
    world.apply(SCAN, on("success"), on("failure"), on("any"))
    world.tick(60 + (kill or 8.0))
    if kill is None:
        assert fired(world) == {"success": 0, "failure": 0, "any": 0}, "cells are not at their end"
    else:
        world.restart()
    world.tick(60)
    assert fired(world) == expected


def test_after_is_fired_once_though_the_service_died_before_the_end_was_written(world: World) -> None:
    world.behave("scan#0", duration=4.0, exit_code=1)
    world.apply(SCAN, on("success"), on("failure"), on("any"))
    world.tick(72)
    last = max(world.runs("scan"), key=lambda run: run.cell or 0)
    assert last.active
    world.loop._decider.fire_after(replace(last, phase=Phase.FAILED), world.time)
    world.restart()
    world.tick(60)
    assert fired(world) == {"success": 0, "failure": 1, "any": 1}


def test_pause_after_failures_counts_a_slot_once(world: World) -> None:
    world.behave("scan#0", duration=1.0, exit_code=1)
    world.behave("scan#1", duration=1.0, exit_code=1)
    world.apply(replace(SCAN, schedule=Schedule(ScheduleKind.CRON, "* * * * *"), pause_after_failures=2))
    world.tick(110)
    assert [pause.job for pause in world.history.pauses()] == []
    world.tick(60)
    assert [pause.job for pause in world.history.pauses()] == ["scan"]


def test_wait_for_is_not_content_with_some_of_the_cells(world: World) -> None:
    world.behave("scan#0", duration=4.0, exit_code=1)
    world.apply(SCAN, cron("1 2 * * *", "report", wait_for=(WaitFor("scan", 300.0),)))
    world.tick(120)
    assert world.runs("report")[0].started_at is None
    world.behave("scan#0", duration=4.0)
    world.ask("scan")
    world.tick(30)
    assert world.verdicts("report") == ["succeeded"]
