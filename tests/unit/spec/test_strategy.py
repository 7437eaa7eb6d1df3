"""Promise: `strategy` of a job file is read as typed; too many cells or a wrong value are errors with their line."""

import pytest

from reconciler.model.job import Strategy
from reconciler.spec.canonical import digest_of, from_data, to_data

from .kit import job, problems

SCAN = (
    "parameters: {depth: {type: integer}}\nstrategy:\n  matrix: {lr: [0.30, 3e-3], depth: [2, 4]}\n  max_parallel: 3\n"
)


def test_S4_axes_stand_in_file_order_and_their_texts_count_as_typed() -> None:
    found = job(SCAN).strategy
    assert found == Strategy((("lr", ("0.30", "3e-3")), ("depth", ("2", "4"))), max_parallel=3)
    assert (found.cells, job("strategy: {parallelism: 8, fail_fast: true}").strategy.cells) == (4, 8)
    assert from_data(to_data(job(SCAN))) == job(SCAN)
    assert digest_of(job(SCAN)) != digest_of(
        job(SCAN.replace("lr: [0.30, 3e-3], depth: [2, 4]", "depth: [2, 4], lr: [0.30, 3e-3]"))
    )


def test_a_scheduled_job_needs_no_default_for_an_axis() -> None:
    assert job("schedule: '@daily'\n" + SCAN).strategy.cells == 4


def test_D1_the_jobs_own_replaces_that_of_its_folder() -> None:
    defaults = {"_defaults.yaml": "strategy: {parallelism: 8, fail_fast: true}\n"}
    assert job("strategy: {matrix: {a: [1]}}\n", **defaults).strategy == Strategy((("a", ("1",)),))
    assert job("", **defaults).strategy == Strategy(parallelism=8, fail_fast=True)


def test_a_matrix_of_a_million_cells_is_an_error_with_its_line() -> None:
    values = ", ".join(str(number) for number in range(1000))
    (problem,) = problems(f"strategy:\n  matrix:\n    a: [{values}]\n    b: [{values}]\n    c: [{values}]\n")
    assert (problem.line, problem.code) == (3, "strategy-cells")
    assert "1000000000 cells (1000 x 1000 x 1000)" in problem.message


@pytest.mark.parametrize(
    ("text", "line", "code"),
    [
        ("strategy:\n  max_parallel: 2\n", 2, "strategy-kind"),
        ("strategy:\n  parallelism: 2\n  matrix: {a: [1]}\n", 2, "strategy-kind"),
        ("strategy:\n  parallelism: 1001\n", 2, "value-out-of-range"),
        ("strategy:\n  parallelism: 0\n", 2, "value-out-of-range"),
        ("strategy:\n  matrix: {}\n", 2, "value-empty"),
        ("strategy:\n  matrix:\n    a: []\n", 3, "value-empty"),
        ("strategy:\n  matrix:\n    a: [1, 2, 1]\n", 3, "strategy-twice"),
        ("strategy:\n  matrix:\n    A: [1]\n", 3, "value-invalid"),
        ("parameters: {n: {type: integer}}\nstrategy:\n  matrix:\n    n: [1,\n      x]\n", 5, "parameter-invalid"),
        ("environment: {LR: 1}\nstrategy:\n  matrix:\n    lr: [1]\n", 4, "parameter-clash"),
        ("parameters: {l-r: {}}\nstrategy:\n  matrix:\n    l_r: [1]\n", 4, "parameter-clash"),
        ("strategy:\n  matrix:\n    reconciler_cell: [1]\n", 3, "variable-reserved"),
    ],
)
def test_what_cannot_be_is_an_error_with_its_line(text: str, line: int, code: str) -> None:
    assert [(problem.line, problem.code) for problem in problems(text)] == [(line, code)]
