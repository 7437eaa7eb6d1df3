"""The cells of open slots: what each must know of the others. The ledger knows it; what it said is kept until a cell
starts or ends."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

from ..history.base import History
from ..model.job import JobSpec
from ..model.run import RunRecord, SlotRecord
from ..runs.cells import Group
from ..runs.transitions import slot_record
from .run_book import Book, Open

KEPT = 1024  # slots


class Cells:
    """Belongs to the run loop's thread."""

    def __init__(self, history: History, book: Book) -> None:
        self._history, self._book = history, book
        self._known: dict[tuple[str, datetime], Group] = {}

    def of(self, run: RunRecord) -> Group:
        """The cells of its slot. Raises StateError."""
        key = (run.job, run.slot)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= KEPT:
                self._known.clear()
            found = self._known[key] = Group(tuple(self._history.cells(run.job, run.slot)))
        return found

    def forget(self, run: RunRecord) -> None:
        """A cell of this slot has started or ended: the ledger says more by now."""
        self._known.pop((run.job, run.slot), None)

    def begun(self, run: RunRecord) -> bool:
        """Is it a cell of a slot of which one has started?"""
        return run.cell is not None and self.of(run).begun

    def begun_slots(self, active: list[RunRecord]) -> frozenset[datetime]:
        """Of a job's active runs."""
        return frozenset(run.slot for run in active if self.begun(run))

    def closing(self, ended: RunRecord, slot: SlotRecord) -> tuple[RunRecord, SlotRecord] | None:
        """`ended` is about to be written as the last attempt of its cell. None: other cells of its slot go on. Else
        what speaks for the slot, and its one entry in the ledger."""
        if ended.cell is None:
            return ended, slot
        group = Group(tuple(self._history.cells(ended.job, ended.slot))).with_ended(ended)
        if group.open:
            return None
        disposition, reason = group.disposition(slot.disposition, slot.reason)
        return replace(ended, phase=group.phase), slot_record(ended, disposition, reason)

    def failing(self, spec_of: Callable[[RunRecord], JobSpec]) -> Iterator[tuple[Open, str]]:
        """Cells to be stopped because another of their slot has failed for good (`fail_fast`), and why."""
        for entry in list(self._book.runs.values()):
            run = entry.record
            if run.cell is None or not run.active or run.stop_requested_at is not None:
                continue
            if spec_of(run).strategy.fail_fast and (failed := self.of(run).failed) is not None:
                yield entry, f"cell {failed} has failed (strategy.fail_fast)"
