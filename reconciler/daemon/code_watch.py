"""Looks at the checkouts of open runs now and then, and stops a run whose own have outgrown their bound, or that has
grown most where the disk is nearly full. A watch, not a wall: between two looks a run may write what it likes.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Protocol

from ..history.base import History
from ..model.errors import ReconcilerError
from ..model.event import EventName
from ..model.run import RunRecord
from ..workspace.growth import PATIENCE, Grown
from .events import EventStream
from .requests import Request
from .run_loop import RunLoop

LOOK_EVERY = 10.0  # seconds
COUNTED_WITHIN = PATIENCE[-1] / 60  # minutes
WORTH = 256 << 20  # bytes: a run that has written less did not fill the disk
LONGEST_END = 900.0  # seconds in which one that ends is expected to give back what it holds


class Looks(Protocol):
    """The checkouts that there are, as `workspace.growth.Growth`."""

    def look(self) -> list[Grown]: ...
    def close(self) -> None: ...


class CodeWatch:
    """`lacking`: bytes that the disk lacks, once what is kept for later has made room; `bound`: of one run's checkouts
    in bytes, 0 = none."""

    def __init__(
        self, *, growth: Looks, lacking: Callable[[], int], bound: Callable[[], int],
        runs: RunLoop, kick: Callable[[], None], history: History, emit: EventStream,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._growth, self._lacking, self._bound = growth, lacking, bound
        self._runs, self._kick, self._history, self._emit = runs, kick, history, emit
        self._clock, self._ends = clock, dict[str, float]()  # runs that end, since when

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(LOOK_EVERY):
            with contextlib.suppress(ReconcilerError):  # of the ledger: the next look is soon
                self.step()
        self._growth.close()

    def step(self) -> None:
        """One look; those that must end are asked to."""
        bound = self._bound()
        found = self._growth.look()
        for item in found:
            if bound and (item.size > bound or item.countless) and (run := self._running(item)) is not None:
                why = f"its checkouts take {_mib(item.size)}, more than limits.checkout_bytes ({_mib(bound)})"
                if item.countless:
                    why = f"its checkouts have more files than can be counted in {COUNTED_WITHIN:.0f} minutes"
                hint = "write to `outputs` or a volume, or raise the limit"
                self._end(run, item, why, code="checkout-too-big", hint=hint)
        if not found or not self._lacking():
            self._ends.clear()
            return
        if self._is_one_ending(found) or not self._lacking():  # the last one may have given it back since
            return
        for run, item in self._suspects(found):
            grew = "have more files than can be counted" if item.countless else f"grew most, by {_mib(item.more)}"
            why = f"the disk is nearly full, and its checkouts {grew}"
            self._end(run, item, why, code="disk-full", hint="free space below the state directory")
            return  # once it has given back what it held, a look tells whether that was enough

    def _suspects(self, found: Iterable[Grown]) -> Iterator[tuple[RunRecord, Grown]]:
        for item in sorted(found, key=lambda item: (not item.countless, -item.more)):
            if (item.countless or item.more >= WORTH) and (run := self._running(item)) is not None:
                yield run, item

    def _is_one_ending(self, found: Iterable[Grown]) -> bool:
        """Those that were asked to end, or have ended, hold their disk until they are collected; also when their
        checkouts are being removed, and so are no longer found. One that does not come to its end is not waited for: it
        may go on writing."""
        now, seen = self._clock(), {item.run_id for item in found}
        self._ends = {
            run.run_id: self._ends.get(run.run_id, now)
            for run in self._history.active_runs()
            if run.run_id in self._ends or (_ends(run) and (run.code or run.run_id in seen))
        }
        return any(now - since < LONGEST_END for since in self._ends.values())

    def _running(self, item: Grown) -> RunRecord | None:
        """Its record if its command runs and nobody has asked it to end."""
        run = self._history.run(item.run_id)
        asked = run is None or not run.active or run.started_at is None or run.stop_requested_at is not None
        return None if asked else run

    def _end(self, run: RunRecord, item: Grown, why: str, *, code: str, hint: str) -> None:
        def act(loop: RunLoop, now: datetime) -> None:
            if loop.ask_stop(run.run_id, f"{code}: {why}", now):
                self._emit.emit(EventName.CODE_OUTGROWN, job=run.job, run=run.run_id, code=code, error=why, hint=hint,
                                bytes=item.size)  # fmt: skip

        self._ends.setdefault(run.run_id, self._clock())
        self._runs.requests.put(Request(act))
        self._kick()


def _ends(run: RunRecord) -> bool:
    return not run.active or run.stop_requested_at is not None


def _mib(size: int) -> str:
    return f"{size >> 20} MiB"
