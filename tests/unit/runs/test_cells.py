"""Promise: a strategy becomes numbered cells with their values, and a slot of cells ends as its cells did."""

from dataclasses import replace

import pytest

from reconciler.model.job import Concurrency, Parameter, Strategy
from reconciler.model.run import CellState, Disposition, FailureClass, Outcome, Phase, RunRequest, Trigger
from reconciler.model.service import Limits
from reconciler.runs.before_start import CELL_WAIT
from reconciler.runs.cells import Group, again, expand, with_values
from reconciler.runs.environment import reconciler_environment
from reconciler.runs.machine import Context, GiveUp, Prepare, Wait, next_step
from reconciler.runs.parameters import carried
from reconciler.runs.places import Places
from reconciler.runs.retry import next_attempt
from reconciler.runs.transitions import preparing

from .kit import HOUR, MINUTE, SECOND, SLOT, run, running, spec

MATRIX = Strategy((("lr", ("0.3", "0.1")), ("depth", ("2", "4", "6"))), max_parallel=4)
ASKED = RunRequest("a/job", SLOT, 1, Trigger.MANUAL, "anna", key="k", parameters=(("epochs", "3"),))


def states(*phases: Phase, started: bool = True) -> Group:
    return Group(tuple(CellState(number, phase, started) for number, phase in enumerate(phases)))


def a_cell(number: int = 0, **fields: object):  # type: ignore[no-untyped-def]
    return run(cell=number, cells=6, max_parallel=2, **fields)


def test_a_matrix_is_numbered_with_the_last_axis_fastest() -> None:
    cells = expand(ASKED, spec(strategy=MATRIX))
    assert [dict(cell.parameters) for cell in cells] == [
        {"epochs": "3", "lr": lr, "depth": depth} for lr in ("0.3", "0.1") for depth in ("2", "4", "6")
    ]
    assert [(cell.cell, cell.cells, cell.max_parallel) for cell in cells] == [(number, 6, 4) for number in range(6)]
    assert [cell.key for cell in cells] == ["k", "", "", "", "", ""], "one request, one key"
    assert len({cell.run_id for cell in cells}) == 6


def test_copies_are_alike_but_for_their_number_and_without_a_strategy_there_is_one_run() -> None:
    assert [cell.parameters for cell in expand(ASKED, spec(strategy=Strategy(parallelism=3)))] == [ASKED.parameters] * 3
    assert expand(ASKED, spec()) == (ASKED,)


def test_what_is_done_again_keeps_number_values_and_count() -> None:
    failed = [a_cell(5, parameters=(("lr", "1"),)), a_cell(3, parameters=(("lr", "2"),))]
    made = again(ASKED, failed)
    assert [(one.cell, one.cells, one.parameters, one.max_parallel, one.key) for one in made] == [
        (3, 6, (("lr", "2"),), 2, "k"), (5, 6, (("lr", "1"),), 2, ""),
    ]  # fmt: skip
    assert {one.max_parallel for one in again(ASKED, failed, 1)} == {1}


def test_rows_are_cells_on_top_of_what_they_share() -> None:
    made = with_values(ASKED, [(("lr", "1"),), ()])
    assert [one.parameters for one in made] == [(("epochs", "3"), ("lr", "1")), (("epochs", "3"),)]


S, F, X, L, C, R = Phase.SUCCEEDED, Phase.FAILED, Phase.TIMED_OUT, Phase.LOST, Phase.CANCELLED, Phase.RUNNING


@pytest.mark.parametrize(
    ("phases", "phase", "disposition", "said"),
    [
        ((S, S), S, Disposition.RAN, "2 of 2 cells ok"),
        ((S, F, S, X), F, Disposition.RAN, "2 of 4 cells ok; failed: 1, 3"),
        ((S, L), L, Disposition.LOST, "1 of 2 cells ok; lost: 1"),
        ((F, L), F, Disposition.RAN, "0 of 2 cells ok; failed: 0; lost: 1"),
        ((S, C), C, Disposition.RAN, "1 of 2 cells ok; cancelled: 1"),
        ((S, *[F] * 22), F, Disposition.RAN,
         f"1 of 23 cells ok; failed: {', '.join(map(str, range(1, 21)))} and 2 more"),
    ],
)  # fmt: skip
def test_T5_how_a_slot_of_cells_has_ended(
    phases: tuple[Phase, ...], phase: Phase, disposition: Disposition, said: str
) -> None:
    group = states(*phases)
    assert (group.open, group.phase) == (False, phase)
    assert group.disposition(Disposition.MISSED, "why") == (disposition, said)


def test_T5_if_no_cell_ever_started_the_last_one_speaks() -> None:
    group = states(F, C, started=False)
    assert group.disposition(Disposition.MISSED, "too late") == (
        Disposition.MISSED,
        "none of 2 cells started: too late",
    )


def test_an_end_that_is_about_to_be_written_counts() -> None:
    group = states(S, R).with_ended(running(Phase.FAILED, cell=1, cells=2))
    assert (group.open, group.failed, group.begun) == (False, 1, True)
    assert states(S, R).open


def test_R9_a_cell_finds_its_number_and_how_many_there_are() -> None:
    found = dict(reconciler_environment(a_cell(3), spec(), None, None))
    assert (found["RECONCILER_CELL"], found["RECONCILER_CELLS"]) == ("3", "6")
    assert "RECONCILER_CELL" not in dict(reconciler_environment(run(), spec(), None, None))


# -- waiting for a place -------------------------------------------------------------------------------------------
FULL, FREE = Context(begun=True, cells_full=True), Context(begun=True)


def test_T6_a_cell_of_a_slot_that_has_begun_waits_beyond_every_deadline_but_one() -> None:
    waiting = a_cell(4, deadline=SLOT + MINUTE)
    step = next_step(waiting, None, spec(), SLOT + 20 * HOUR, FULL)
    assert isinstance(step, Wait)
    assert "max_parallel: 2" in step.why
    assert step.until == SLOT + CELL_WAIT
    late = next_step(waiting, None, spec(), SLOT + CELL_WAIT, FULL)
    assert isinstance(late, GiveUp)
    assert (late.disposition, "30 days" in late.outcome.reason) == (Disposition.MISSED, True)


def test_T6_a_cell_that_gets_its_place_has_its_time_to_start_from_then_on() -> None:
    now = SLOT + 20 * HOUR
    waiting = a_cell(4, deadline=SLOT + MINUTE)
    step = next_step(waiting, None, spec(start_deadline=60.0), now, FREE)
    assert step == Prepare(now + MINUTE)
    assert preparing(waiting, now, now + MINUTE).deadline == now + MINUTE
    assert next_step(waiting, None, spec(), now, FREE) == Prepare(now + 12 * HOUR)


def test_T6_before_the_slot_has_begun_its_deadline_is_every_cells() -> None:
    step = next_step(a_cell(4, deadline=SLOT + MINUTE), None, spec(), SLOT + MINUTE, Context(cells_full=True))
    assert isinstance(step, GiveUp)
    assert step.disposition is Disposition.MISSED


def test_R4_a_cells_retry_has_a_window_of_its_own_however_late_the_cell_was() -> None:
    ended = running(Phase.RUNNING, cell=4, cells=6, deadline=SLOT + 100 * HOUR)
    retry = next_attempt(ended, Outcome(Phase.FAILED, 1, FailureClass.EXIT, "exit 1", SLOT, SLOT),
                         spec(retries=replace(spec().retries, limit=1, delay=1.0)), SLOT)  # fmt: skip
    assert retry is not None
    assert (retry.cell, retry.max_parallel, retry.deadline) == (4, 0, SLOT + SECOND + 12 * HOUR)


def test_places_of_a_slot_are_held_from_the_preparation_to_the_end() -> None:
    at_work = [a_cell(0, phase=Phase.RUNNING), a_cell(1, phase=Phase.PREPARING)]
    waiting, other = a_cell(2), replace(a_cell(2), slot=SLOT + HOUR)
    places = Places([(one, spec()) for one in (*at_work, waiting, other)], Limits())
    assert places.cells_full(waiting)
    assert not places.cells_full(other), "each slot has its own places"
    assert not places.cells_full(at_work[1]), "it has its place"
    assert not places.alone(waiting)
    assert Places([(one, spec()) for one in (*at_work, waiting)], Limits()).alone(waiting)
    backing_off = Places([(at_work[0], spec()), (a_cell(1, tries=1), spec())], Limits())
    assert backing_off.cells_full(waiting)
    retry = Places([(at_work[0], spec()), (a_cell(1, trigger=Trigger.RETRY), spec())], Limits())
    assert not retry.cells_full(waiting)
    assert retry.passed(waiting, replace(waiting, phase=Phase.PREPARING), spec()) is False
    assert retry.cells_full(a_cell(3))


def test_T4_cells_take_a_newer_definition_only_if_it_has_the_same_cells() -> None:
    cell, old = a_cell(1, parameters=(("lr", "0.3"),)), spec(strategy=MATRIX)
    assert carried(cell, old, replace(old, script="newer", concurrency_policy=Concurrency.ALLOW)) == cell.parameters
    assert carried(cell, old, replace(old, strategy=Strategy(parallelism=6))) is None
    assert carried(cell, old, replace(old, parameters=(Parameter("n", default="1"),))) is None
    assert carried(run(), spec(), old) is None
