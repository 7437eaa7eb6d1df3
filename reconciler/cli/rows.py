"""In: a CSV or JSON file of `reconciler run JOB --from`. Out: the values of each cell, and where they were written."""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..model.errors import UsageError

MOST_BYTES = 512 << 10
MOST_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """`where`: `runs.csv:4`, for messages."""

    values: dict[str, str]
    where: str


def read_rows(path: str) -> list[Row]:
    """Texts as typed: numbers are not read as numbers. Raises UsageError, with the line."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise _wrong(path, f"{error.strerror}") from error
    if len(data) > MOST_BYTES:
        raise _wrong(path, f"it is larger than {MOST_BYTES >> 10} KiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong(path, "it is not UTF-8") from error
    rows = _json(text, path) if path.endswith(".json") else _csv(text, path)
    if not rows:
        raise _wrong(path, "it has no rows")
    if len(rows) > MOST_ROWS:
        raise _wrong(path, f"it has {len(rows)} rows, and a slot at most {MOST_ROWS} cells")
    return rows


def _wrong(path: str, why: str, line: int = 0) -> UsageError:
    hint = "CSV with the names of parameters in its first line, or a JSON list of objects"
    return UsageError(f"cannot read {path}{f':{line}' if line else ''}: {why}", code="rows-invalid", hint=hint)


def _csv(text: str, path: str) -> list[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    names: list[str] = []
    rows = []
    try:
        for cells in reader:
            if not names:
                names = [cell.strip() for cell in cells]
                if len(set(names)) < len(names) or not all(names):
                    raise _wrong(path, "a column has no name, or one that another has", reader.line_num)
            elif cells and len(cells) != len(names):
                raise _wrong(path, f"{len(cells)} values for {len(names)} columns", reader.line_num)
            elif cells:
                rows.append(Row(dict(zip(names, cells, strict=True)), f"{path}:{reader.line_num}"))
    except csv.Error as error:
        raise _wrong(path, str(error), reader.line_num) from error
    return rows


def _json(text: str, path: str) -> list[Row]:
    try:
        found = json.loads(text, parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise _wrong(path, error.msg, error.lineno) from error
    except (ValueError, RecursionError) as error:
        raise _wrong(path, str(error) or "it is nested too deeply") from error
    if not isinstance(found, list):
        raise _wrong(path, "it is no list")
    return [Row(_texts(row, path, number), f"{path}, row {number}") for number, row in enumerate(found, 1)]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands in one object twice")
    return found


def _texts(row: Any, path: str, number: int) -> dict[str, str]:
    if not isinstance(row, dict):
        raise _wrong(path, f"row {number} is no object")
    wrong = next((name for name, value in row.items() if not isinstance(value, str | bool)), None)
    if wrong is not None:
        raise _wrong(path, f"row {number}: {wrong!r} is neither text nor a number, true or false")
    return {name: value if isinstance(value, str) else str(value).lower() for name, value in row.items()}
