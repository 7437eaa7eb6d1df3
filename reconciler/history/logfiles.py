"""How a run's log lies on disk: names, the resume note, and a consistent look at the pieces while they change.

While a run is written, byte n of its output (n counts from 0 over everything, dropped bytes too) lies in

    X.log                    the first bytes, up to the head's limit
    X.log.000000001048576    pieces of the end, each named by the offset of its first byte; the oldest are dropped
    X.log.state              JSON: the engine's cursor and the offset that belongs to it

and after `close` in X.log alone: head, a line that tells how much is missing, end. No X.log.state = complete.
"""

import contextlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import BinaryIO

from ..model.errors import StateError
from .faults import from_os_error
from .files import LOGS, write_atomically

_PIECE = re.compile(r"\.(\d{15})\Z")
_MARKER = re.compile(rb"\n\.\.\. (\d+) bytes dropped \.\.\.\n")
_NAME_LIMIT = 200  # of 255 that a file name may have; the rest is for suffixes
_MARKER_SEARCH = 16 * 1024 * 1024  # bytes; the head is never longer than that
_LOOKS = 10  # times to look again while the writer changes the pieces


def log_path(job: str, run_id: str) -> str:
    """Path below the state directory: `logs/ml/train-churn/ml.train-churn.20261124T020000Z.1.log`."""
    return str(PurePosixPath(LOGS, job, f"{run_id[-_NAME_LIMIT:]}.log"))


def marker(dropped: int) -> bytes:
    return b"\n... %d bytes dropped ...\n" % dropped


def find_marker(file: BinaryIO) -> tuple[int, int, int] | None:
    """(end of the head, start of the end, bytes dropped) in a complete log; None = nothing is missing."""
    file.seek(0)
    found = _MARKER.search(file.read(_MARKER_SEARCH))
    return None if found is None else (found.start(), found.end(), int(found[1]))


@dataclass(frozen=True, slots=True)
class State:
    """`total`: offset that `cursor` belongs to. `closed`: X.log.final is whole and only waits to be put in place."""

    cursor: str = ""
    total: int = 0
    closed: bool = False


def state_path(path: Path) -> Path:
    return path.with_name(path.name + ".state")


def final_path(path: Path) -> Path:
    return path.with_name(path.name + ".final")


def piece_path(path: Path, offset: int) -> Path:
    return path.with_name(f"{path.name}.{offset:015d}")


def pieces(path: Path) -> list[tuple[int, Path]]:
    """(offset, file) of the end's pieces, oldest first. Raises OSError."""
    with os.scandir(path.parent) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(path.name)]
    matches = ((name, _PIECE.match(name, len(path.name))) for name in names)
    return sorted((int(match[1]), path.with_name(name)) for name, match in matches if match)


def read_state(path: Path) -> State | None:
    """None = there is none. A damaged note counts as "nothing is known": the engine is asked from the beginning."""
    try:
        found = json.loads(state_path(path).read_bytes())
        return State(str(found["cursor"]), int(found["total"]), bool(found["closed"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return State()


def write_state(path: Path, state: State) -> None:
    """Raises OSError."""
    content = {"cursor": state.cursor, "total": state.total, "closed": state.closed}
    write_atomically(state_path(path), json.dumps(content).encode(), mode=0o640, durable=False)


class View:
    """Open files of one consistent moment. `live`: offsets are those of the output; else those of the one file."""

    def __init__(self, live: bool, parts: Sequence[tuple[int, BinaryIO]]) -> None:
        self.live, self.parts = live, parts

    def __enter__(self) -> "View":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for _, file in self.parts:
            file.close()


def look(path: Path) -> View | None:
    """None = nothing was written yet. Raises StateError."""
    try:
        for _ in range(_LOOKS):
            with contextlib.suppress(_ChangedMeanwhile):
                return _look(path)
    except OSError as error:
        raise from_os_error("read", path, error) from error
    raise StateError(f"cannot read {path}: it changes all the time", code="state-busy", hint="try again")


class _ChangedMeanwhile(Exception):
    """A piece was dropped, or all were put together, between two steps of a look."""


def _look(path: Path) -> View | None:
    try:
        opened: list[tuple[int, BinaryIO]] = [(0, path.open("rb"))]
    except FileNotFoundError:
        return None
    try:
        state = read_state(path)
        live = state is not None and (not state.closed or final_path(path).exists())
        for offset, piece in pieces(path) if live else ():
            opened.append((offset, piece.open("rb")))
        ours, there = os.fstat(opened[0][1].fileno()), path.stat()
        if (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino):
            raise _ChangedMeanwhile
    except BaseException as error:
        for _, file in opened:
            file.close()
        if isinstance(error, FileNotFoundError):
            raise _ChangedMeanwhile from error
        raise
    return View(live, opened)
