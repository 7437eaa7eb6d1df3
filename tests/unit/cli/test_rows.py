"""Promise: a file of rows is read as typed, within bounds, and what is wrong with it has its line."""

from pathlib import Path

import pytest

from reconciler.cli.rows import MOST_BYTES, read_rows
from reconciler.model.errors import UsageError


def written(folder: Path, text: str | bytes, name: str = "runs.csv") -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_csv_and_json_are_texts_as_typed(tmp_path: Path) -> None:
    path = written(tmp_path, '\ufefflr,note\n3e-3,"two\nlines, and a comma"\n\n0.10,\n')
    assert [(row.values, row.where.removeprefix(path)) for row in read_rows(path)] == [
        ({"lr": "3e-3", "note": "two\nlines, and a comma"}, ":3"), ({"lr": "0.10", "note": ""}, ":5"),
    ]  # fmt: skip
    path = written(tmp_path, '[{"lr": 3e-3, "n": 1.10, "dry": true}, {"lr": "x"}]', "runs.json")
    assert [(row.values, row.where.removeprefix(path)) for row in read_rows(path)] == [
        ({"lr": "3e-3", "n": "1.10", "dry": "true"}, ", row 1"), ({"lr": "x"}, ", row 2"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "", "it has no rows"),
        ("a.csv", "lr\n", "it has no rows"),
        ("a.csv", "lr,lr\n1,2\n", "a.csv:1: a column has no name"),
        ("a.csv", "lr,\n1,2\n", "a.csv:1: a column has no name"),
        ("a.csv", "lr,n\n1,2\n3\n", "a.csv:3: 1 values for 2 columns"),
        ("a.csv", 'lr\n"open\n', "a.csv:2: "),
        ("a.csv", b"lr\n\xff\n", "it is not UTF-8"),
        ("a.csv", "lr\n" + "1\n" * 1001, "1001 rows"),
        ("a.csv", "x" * (MOST_BYTES + 1), "larger than 512 KiB"),
        ("a.json", "{}", "it is no list"),
        ("a.json", "[1]", "row 1 is no object"),
        ("a.json", '[{"a": [1]}]', "row 1: 'a' is neither text"),
        ("a.json", '[{"a": null}]', "row 1: 'a' is neither text"),
        ("a.json", '[{"a": 1, "a": 2}]', "twice"),
        ("a.json", '[\n{"a": }]', "a.json:2: "),
        ("a.json", "[" * 100_000, "a.json"),
    ],
)
def test_what_is_wrong_has_its_line(tmp_path: Path, name: str, text: str | bytes, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_rows(written(tmp_path, text, name))
    assert said in str(caught.value)
    assert caught.value.code == "rows-invalid"


def test_an_absent_file_is_an_error_like_any_other(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_rows(str(tmp_path / "none.csv"))
