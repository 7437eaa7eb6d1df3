"""Promise: docs/benchmarks.md has a line for every row that the benchmarks define, and is of the form they write."""

import re
from pathlib import Path

import pytest

from benchmarks.__main__ import ROWS, title
from benchmarks.measure import Verdict
from benchmarks.report import HEAD, page

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/benchmarks.md").read_text()


def lines(text: str) -> list[list[str]]:
    """The cells of each line of the table, its head left out."""
    _, _, body = text.partition(HEAD + "\n")
    rows = re.findall(r"^\| (.*) \|$", body, re.MULTILINE)
    return [[cell.strip() for cell in row.split(" | ")] for row in rows]


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_its_line(row: int) -> None:
    assert [cells for cells in lines(PAGE) if cells[0] == str(row)]


@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_named(row: int) -> None:
    assert f"**{row}** {title(row)}" in PAGE


def test_every_row_has_a_module_and_every_module_is_a_row() -> None:
    modules = {path.stem for path in (ROOT / "benchmarks").glob("row*.py")}
    assert modules == set(ROWS.values())


def test_the_page_says_what_was_measured_and_what_could_not_be() -> None:
    verdicts = [
        Verdict(1, "a thing", 2.0, "s", 9, "a peer", 4.0, 0.5, 0.4, 0.6, reach=0.7),
        Verdict(1, "another", 0.004, "s", 9, reach=0.005),
    ]
    text = page(verdicts, {"cores": "2"}, {1: "things", 2: "others"})
    assert [cells[-1] for cells in lines(text)] == ["yes", "yes"]
    assert "* cores: 2" in text
    assert "Row 2 could not be measured" in text
    assert "Row 1 could not" not in text


@pytest.mark.parametrize(
    ("low", "high", "met"), [(0.4, 0.6, "yes"), (0.65, 0.75, "unclear"), (0.71, 0.9, "no")],
)  # fmt: skip
def test_a_target_is_met_by_the_whole_interval_or_not_at_all(low: float, high: float, met: str) -> None:
    assert Verdict(1, "a", 1.0, "s", 9, "b", 2.0, 0.5, low, high, reach=0.7).met == met
