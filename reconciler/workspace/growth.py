"""How large the checkouts of open runs have grown. A run may write into its own without end, and no quota holds it.

What a job has left may be deeper than a program of ours could walk, and may change while it is looked at: it is counted
by `du`, a child that yields to everything else. What is deleted and still open, nobody sees.
"""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .checkout import read

PATIENCE = 60.0  # seconds for one run's checkouts; a tree that takes longer is not known
MOST = 1000  # runs in one look
_COUNT = ("nice", "-n", "19", "du", "--summarize", "--one-file-system", "--block-size=1", "--")
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"}


@dataclass(frozen=True, slots=True)
class Grown:
    """A run's checkouts: bytes that they take on the disk, and how many more than when they were made."""

    run_id: str
    size: int
    more: int


def grown(runs: Path) -> Iterator[Grown]:
    """All that are whole below `runs`. Raises nothing for what is gone or cannot be counted."""
    try:
        places = sorted(path for path in runs.iterdir() if not path.name.startswith("."))[:MOST]
    except OSError:
        return
    for place in places:
        try:
            made = read(place)
        except OSError:  # a disk that fails, a process without files: the others are counted
            continue
        size = None if made is None else _size(place)
        if made is not None and size is not None:
            yield Grown(made.run_id, size, max(0, size - made.size))


def _size(place: Path) -> int | None:
    try:
        done = subprocess.run([*_COUNT, str(place)], env=_ENVIRONMENT, cwd="/", stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=PATIENCE, check=False)  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    number = os.fsdecode(done.stdout).partition("\t")[0]  # also where it could not look everywhere
    return int(number) if number.isdecimal() else None
