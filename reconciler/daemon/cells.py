"""The cells of open slots: what each must know of the others. Read from the ledger once, then kept in step with it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from ..history.base import History
from ..model.job import JobSpec
from ..model.run import CellState, RunRecord, SlotRecord
from ..runs.cells import Group
from ..runs.transitions import slot_record
from .run_book import Book, Open

KEPT = 1024  # slots


@dataclass(slots=True)
class Slot:
    """`attempts`: the latest one that is known of each cell; `open` and `failed` are numbers of cells."""

    states: dict[int, CellState]
    attempts: dict[int, int] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    begun: bool = False

    def note(self, state: CellState) -> None:
        before = self.states.get(state.cell)
        state = replace(state, started=state.started or (before is not None and before.started))
        self.states[state.cell] = state
        self.begun = self.begun or state.started
        (self.open.add if state.phase.active else self.open.discard)(state.cell)
        (self.failed.add if state.phase.bad else self.failed.discard)(state.cell)


class Cells:
    """Belongs to the run loop's thread."""

    def __init__(self, history: History, book: Book) -> None:
        self._history, self._book = history, book
        self._known: dict[tuple[str, datetime], Slot] = {}

    def of(self, run: RunRecord) -> Slot:
        """The cells of its slot. Raises StateError."""
        key = (run.job, run.slot)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= KEPT:
                self._known.clear()
            found = self._known[key] = Slot({})
            for state in self._history.cells(run.job, run.slot):
                found.note(state)
        return found

    def note(self, run: RunRecord) -> None:
        """This was just written: an attempt was claimed, has started, or has ended."""
        slot = self._known.get((run.job, run.slot))
        if slot is None or run.cell is None or run.attempt < slot.attempts.get(run.cell, 0):
            return
        slot.attempts[run.cell] = run.attempt
        slot.note(CellState(run.cell, run.phase, run.started_at is not None))
        if not slot.open:
            del self._known[run.job, run.slot]

    def begun(self, run: RunRecord) -> bool:
        """Is it a cell of a slot of which one has started?"""
        return run.cell is not None and self.of(run).begun

    def begun_slots(self, active: list[RunRecord]) -> frozenset[datetime]:
        """Of a job's active runs."""
        return frozenset(run.slot for run in active if self.begun(run))

    def closing(self, ended: RunRecord, slot: SlotRecord) -> tuple[RunRecord, SlotRecord] | None:
        """`ended` is about to be written as the last attempt of its cell. None: other cells of its slot go on. Else
        what speaks for the slot, and its one entry in the ledger. Raises StateError."""
        if ended.cell is None:
            return ended, slot
        if self.of(ended).open - {ended.cell}:
            return None
        group = Group(tuple(self._history.cells(ended.job, ended.slot))).with_ended(ended)
        disposition, reason = group.disposition(slot.disposition, slot.reason)
        return replace(ended, phase=group.phase), slot_record(ended, disposition, reason)

    def failing(self, spec_of: Callable[[RunRecord], JobSpec]) -> Iterator[tuple[Open, str]]:
        """Cells to be stopped because another of their slot has failed for good (`fail_fast`), and why."""
        for entry in list(self._book.runs.values()):
            run = entry.record
            if run.cell is None or not run.active or run.stop_requested_at is not None:
                continue
            if spec_of(run).strategy.fail_fast and (failed := self.of(run).failed):
                yield entry, f"cell {min(failed)} has failed (strategy.fail_fast)"
