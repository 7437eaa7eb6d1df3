"""How large the checkouts of open runs have grown. A run may write into its own without end, and no quota holds it.

What a job has left may be deeper than a program of ours could walk, and may change while it is looked at: it is counted
by `du`, a child that yields to everything else. What is deleted and still open, nobody sees.

Each is counted again after a rest of its own. One that takes long is counted beside the others, one such at a time: a
run with millions of files does not keep the others from being looked at.
"""

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from .checkout import read

QUICK = 1.0  # seconds; what takes longer is counted beside the others
LOOK = 3.0  # seconds for one look at all; those that waited longest come first
PATIENCE = (60.0, 600.0)  # seconds for a slow one, and for the next try; then it cannot be counted
SHARE = 0.02  # of a core, for one run
REST, LONGEST_REST = 5.0, 300.0  # seconds between two counts of one run
MOST = 10_000  # runs in one look
_COUNT = ("nice", "-n", "19", "du", "--summarize", "--one-file-system", "--block-size=1", "--")
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"}


@dataclass(frozen=True, slots=True)
class Grown:
    """A run's checkouts, as they were counted last: bytes that they take on the disk, and how many more than when they
    were made. `countless`: they have so many files that they could not be counted since."""

    run_id: str
    size: int
    more: int
    countless: bool = False


class _Checkout:
    """What is known of one run's checkouts. `due`: when it is to be counted."""

    def __init__(self, run_id: str, size: int) -> None:
        self.made, self.due, self.slow, self.failed = size, 0.0, False, 0
        self.grown = Grown(run_id, size, 0)


class Growth:
    """Those that are whole below `runs`. Belongs to one thread. `command` counts the directory that is put behind it,
    as `du` does."""

    def __init__(
        self, runs: Path, command: Sequence[str] = _COUNT, clock: Callable[[], float] = time.monotonic,
        quick: float = QUICK,
    ) -> None:  # fmt: skip
        self._runs, self._command, self._clock, self._quick = runs, tuple(command), clock, quick
        self._known: dict[Path, _Checkout] = {}
        self._slow: tuple[Path, _Count] | None = None

    def look(self) -> list[Grown]:
        """All, counted anew where it is time. Raises nothing for what is gone or cannot be counted."""
        self._learn()
        self._settle(0.0)
        until = self._clock() + LOOK
        for place, known in sorted(self._known.items(), key=lambda item: item[1].due):
            now = self._clock()
            if known.due > now or now > until:
                break
            if self._slow is None or not known.slow:
                self._count(place, known)
        self._settle(max(0.0, until - self._clock()))
        return [known.grown for known in self._known.values()]

    def close(self) -> None:
        """Nothing is counted any more."""
        if self._slow is not None:
            self._slow[1].end()
            self._slow = None

    def _learn(self) -> None:
        """Which there are now."""
        try:
            places = sorted(path for path in self._runs.iterdir() if not path.name.startswith("."))[:MOST]
        except OSError:
            places = []
        found = {}
        for place in places:
            known = self._known.get(place)
            with suppress(OSError):  # a disk that fails, a process without files: the others are counted
                if known is None and (made := read(place)) is not None:
                    known = _Checkout(made.run_id, made.size)
            if known is not None:
                found[place] = known
        self._known = found

    def _settle(self, most: float) -> None:
        """The slow one, if it has come to its end, or does in `most` seconds, or must."""
        if self._slow is None:
            return
        place, count = self._slow
        known = self._known.get(place)
        if known is None:
            self.close()
        elif count.wait(most):
            self._slow = None
            self._book(known, count)
        elif count.took() > PATIENCE[min(known.failed, len(PATIENCE) - 1)]:
            self.close()
            known.failed += 1
            known.grown = replace(known.grown, countless=known.failed >= len(PATIENCE))
            known.due = self._clock() + LONGEST_REST

    def _count(self, place: Path, known: _Checkout) -> None:
        try:
            count = _Count([*self._command, str(place)], self._clock)
        except OSError:
            return  # at the next look
        if count.wait(self._quick):
            self._book(known, count)
        elif self._slow is None:
            self._slow, known.slow = (place, count), True
        else:  # its turn comes
            count.end()
            known.slow = True

    def _book(self, known: _Checkout, count: "_Count") -> None:
        took, size = count.took(), count.size()
        known.slow, known.due = took > self._quick, self._clock() + min(LONGEST_REST, max(REST, took / SHARE))
        if size is not None:
            known.failed, known.grown = 0, Grown(known.grown.run_id, size, max(0, size - known.made))


class _Count:
    """A child that counts one directory."""

    def __init__(self, command: Sequence[str], clock: Callable[[], float]) -> None:
        self._clock, self._begun, self._said = clock, clock(), b""
        self._child = subprocess.Popen(command, env=_ENVIRONMENT, cwd="/", stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # fmt: skip

    def wait(self, most: float) -> bool:
        """For its end; has it come?"""
        try:
            self._said = self._child.communicate(timeout=most)[0]
        except subprocess.TimeoutExpired:
            return False
        return True

    def took(self) -> float:
        """Seconds, until now."""
        return self._clock() - self._begun

    def size(self) -> int | None:
        number = os.fsdecode(self._said).partition("\t")[0]  # also where it could not look everywhere
        return int(number) if number.isdecimal() else None

    def end(self) -> None:
        """It yields to nothing where the disk itself hangs: then it is left."""
        self._child.kill()
        with suppress(subprocess.TimeoutExpired):
            self._child.communicate(timeout=LOOK)
