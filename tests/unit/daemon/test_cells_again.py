"""Promise: a person can run the failed cells again, or cells of a file; what cannot be is said, and nothing runs."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.daemon.manual import CellsAsked
from reconciler.model.errors import Permanent
from reconciler.model.job import Parameter, ParameterType, Schedule, ScheduleKind, Strategy
from reconciler.model.run import Phase, RunRecord
from tests.kit.world import World, cron

MANUAL = Schedule(ScheduleKind.MANUAL)
SCAN = cron(
    "0 8 * * *", "scan", schedule=MANUAL, strategy=Strategy((("lr", ("0.3", "0.1", "3e-3")),), max_parallel=2),
    parameters=(Parameter("epochs", ParameterType.INTEGER, "10"),),
)  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.behave("scan", duration=2.0)
    made.behave("scan#1", duration=2.0, exit_code=1)
    made.apply(SCAN)
    made.rounds()
    yield made
    made.history.close()


def start(world: World, key: str = "", **asked: object) -> RunRecord:
    return world.operators.run_job("scan", "anna", {}, key, CellsAsked(**asked))[0]  # type: ignore[arg-type]


def refused(world: World, **asked: object) -> tuple[str, str]:
    before = len(world.runs("scan"))
    with pytest.raises(Permanent) as caught:
        start(world, **asked)
    assert len(world.runs("scan")) == before
    return caught.value.code, str(caught.value)


def test_resume_runs_only_the_cells_that_failed_with_their_numbers_values_and_count(world: World) -> None:
    world.ask("scan", epochs="3")
    world.tick(10)
    world.behave("scan#1", duration=2.0)
    again = start(world, resume="latest")
    world.tick(10)
    (run,) = [r for r in world.runs("scan") if r.slot == again.slot]
    assert (run.cell, run.cells, run.phase) == (1, 3, Phase.SUCCEEDED)
    assert run.parameters == (("epochs", "3"), ("lr", "0.1"))
    environment = world.environment(run.run_id)
    assert (environment["RECONCILER_CELL"], environment["RECONCILER_CELLS"], environment["LR"]) == ("1", "3", "0.1")
    assert [slot.reason for slot in world.history.slots("scan")] == ["1 of 1 cells ok", "2 of 3 cells ok; failed: 1"]


def test_resume_names_a_slot_by_any_of_its_runs(world: World) -> None:
    first = world.ask("scan")
    world.tick(10)
    world.ask("scan")
    world.tick(10)
    assert start(world, resume=first.run_id.replace(".c0.", ".c2.")).cell == 1


def test_R1_a_key_holds_for_a_resume_too(world: World) -> None:
    world.ask("scan")
    world.tick(10)
    first = start(world, "again-1", resume="latest")
    world.tick(10)
    assert start(world, "again-1", resume="latest").run_id == first.run_id


def test_R1_a_key_stands_for_the_same_rows(world: World) -> None:
    rows = (({"lr": "1", "epochs": "3"}, "a.csv:2"), ({"lr": "2"}, "a.csv:3"))
    first = start(world, "rows-1", rows=rows)
    world.tick(10)
    assert start(world, "rows-1", rows=rows).run_id == first.run_id
    assert start(world, "rows-1").run_id == first.run_id, "a key alone asks for its run"
    for other, said in ((rows[:1], "with other rows"), ((rows[0], ({"lr": "3"}, "a.csv:3")), "another lr (a.csv:3)")):
        with pytest.raises(Permanent) as caught:
            start(world, "rows-1", rows=other)
        assert caught.value.code == "key-taken"
        assert said in str(caught.value)


def test_what_cannot_be_resumed_is_refused(world: World) -> None:
    assert refused(world, resume="latest")[0] == "run-unknown"
    world.ask("scan")
    assert refused(world, resume="latest")[0] == "job-active"
    world.tick(10)
    world.behave("scan#1", duration=1.0)
    start(world, resume="latest")
    world.tick(10)
    assert refused(world, resume="latest")[0] == "nothing-to-resume"
    assert refused(world, resume="scan.20200101T000000Z.c1.1")[0] == "run-unknown"


def test_rows_are_cells_of_their_own(world: World) -> None:
    world.behave("scan#1", duration=2.0)
    rows = (({"lr": "0.5"}, "runs.csv:2"), ({"lr": "0.7", "epochs": "99"}, "runs.csv:3"), ({"lr": "0.9"}, "runs.csv:4"))
    first = start(world, rows=rows, max_parallel=1)
    world.tick(1)
    assert sum(run.phase is Phase.RUNNING for run in world.runs("scan")) == 1
    world.tick(20)
    runs = sorted(world.runs("scan"), key=lambda run: run.cell or 0)
    assert {run.slot for run in runs} == {first.slot}
    assert [dict(run.parameters) for run in runs] == [
        {"epochs": "10", "lr": "0.5"}, {"epochs": "99", "lr": "0.7"}, {"epochs": "10", "lr": "0.9"},
    ]  # fmt: skip
    assert {run.phase for run in runs} == {Phase.SUCCEEDED}


def test_a_row_that_does_not_fit_is_named_by_its_place(world: World) -> None:
    rows = (({"lr": "0.5"}, "runs.csv:2"), ({"lr": "0.7", "epochs": "many"}, "runs.csv:3"))
    code, message = refused(world, rows=rows)
    assert code == "parameter-invalid"
    assert message.endswith("(runs.csv:3)")
    assert refused(world, rows=(({"epochs": "1"}, ""),)) == (
        "parameter-missing", "cannot run scan: parameter lr has no default, so it must be given (row 1)",
    )  # fmt: skip
    assert refused(world, rows=(({"lr": "1"}, ""),) * 1001)[0] == "rows-invalid"


def test_a_bound_on_cells_is_for_rows_and_resume_alone_and_is_no_nonsense(world: World) -> None:
    rows = (({"lr": "1"}, ""),)
    for asked in ({"max_parallel": 2}, {"rows": rows, "max_parallel": -1}, {"rows": rows, "max_parallel": 1001},
                  {"rows": rows, "resume": "latest"}):  # fmt: skip
        assert refused(world, **asked)[0] == "usage"


def test_an_axis_cannot_be_given_by_hand(world: World) -> None:
    with pytest.raises(Permanent) as caught:
        world.ask("scan", lr="0.5")
    assert caught.value.code == "parameter-axis"


def test_R7_retention_counts_slots_and_not_cells(world: World) -> None:
    world.behave("scan#1", duration=1.0)
    limits = replace(SCAN.history, keep_success=2, keep_failed=1)
    world.apply(replace(SCAN, history=limits))
    for _ in range(4):
        world.ask("scan")
        world.tick(10)
    while world.history.prune(world.time):
        pass
    assert sorted({run.slot for run in world.runs("scan")}) == sorted(s.first for s in world.history.slots("scan"))[2:]
    assert len(world.runs("scan")) == 6
