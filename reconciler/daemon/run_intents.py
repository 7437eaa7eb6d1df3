"""What is to be written before an engine is asked: many at once, with one flush of the disk."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

from ..history.base import History
from ..model.errors import StateError
from ..model.run import RunRecord
from .cells import Cells
from .pools import Pools
from .run_book import Open
from .run_ops import Result

MOST_INTENTS = 16  # starts that one flush of the disk makes wait for each other


@dataclass(frozen=True, slots=True, eq=False)
class _Intent:
    entry: Open
    before: RunRecord
    made: RunRecord
    pool: str
    call: Callable[[], Result]


class Intents:
    """Belongs to the run loop's thread. `storage` hears how the ledger is."""

    def __init__(
        self, pools: Pools, history: History, cells: Cells, storage: Callable[[StateError | None], None]
    ) -> None:
        self._pools, self._history, self._cells, self._storage = pools, history, cells, storage
        self._intents: list[_Intent] = []
        self._refused = False

    def add(self, entry: Open, made: RunRecord, op: str, pool: str, call: Callable[[], Result]) -> None:
        """Write `made`, then have `call` made: with other intents of this round, see `carry_out`."""
        self._intents.append(_Intent(entry, entry.record, made, pool, call))
        if made.cell is not None and made.phase is not entry.record.phase:
            self._cells.note(made)
        entry.record, entry.busy = made, op
        if len(self._intents) >= MOST_INTENTS:
            self._write()

    def carry_out(self) -> bool:
        """Have everything done that was intended in this round. False if the disk refused some of it: that is as it was
        before."""
        self._write()
        refused, self._refused = self._refused, False
        return not refused

    def _write(self) -> None:
        """All with one flush of the disk; only then is the engine asked."""
        intents, self._intents = self._intents, []
        if not intents:
            return
        written: list[_Intent] = []
        refused: StateError | None = None
        try:
            with self._history.together() if len(intents) > 1 else nullcontext():
                for intent in intents:
                    try:  # the record of now: it may have been asked to stop since
                        self._history.update_run(intent.entry.record)
                        written.append(intent)
                    except StateError as error:
                        refused = error
        except StateError as error:
            written, refused = [], error
        for intent in intents:
            if intent in written:
                self._pools.submit(intent.pool, intent.call)
            else:
                self._take_back(intent)
        self._refused = self._refused or refused is not None
        self._storage(refused)

    def _take_back(self, intent: _Intent) -> None:
        entry = intent.entry
        entry.busy = ""
        if entry.record is intent.made:
            entry.record = intent.before
        if intent.made.cell is not None:
            self._cells.note(entry.record)
