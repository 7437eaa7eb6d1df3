"""The cells of a simulation's open slots: which have not ended, which run, and what speaks for the slot in the end."""

from dataclasses import dataclass, field
from datetime import datetime

from ..model.run import Phase, RunRecord


@dataclass(slots=True)
class Slot:
    """Run ids of its cells: those that have not ended, and those of them that run. `bad`: what speaks for it."""

    open: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)
    begun: bool = False
    bad: Phase | None = None

    def full(self, most: int) -> bool:
        """Are as many at work as may be? 0 = any number may."""
        return 0 < most <= len(self.running)


class CellBook:
    """By job and slot. A job without a strategy is never in it."""

    def __init__(self) -> None:
        self._slots: dict[str, dict[datetime, Slot]] = {}

    def add(self, run: RunRecord) -> None:
        if run.cell is not None:
            self._slots.setdefault(run.job, {}).setdefault(run.slot, Slot()).open.add(run.run_id)

    def begun(self, job: str) -> frozenset[datetime]:
        """The open slots of which a cell has started."""
        slots = self._slots.get(job)
        return frozenset(at for at, slot in slots.items() if slot.begun) if slots else frozenset()

    def of(self, run: RunRecord) -> Slot | None:
        """None = it is the only run of its slot, or the slot has ended."""
        return None if run.cell is None else self._slots.get(run.job, {}).get(run.slot)

    def started(self, run: RunRecord) -> bool:
        """Is it the first of its slot to start?"""
        slot = self.of(run)
        if slot is None:
            return True
        first, slot.begun = not slot.begun, True
        slot.running.add(run.run_id)
        return first

    def closed(self, run: RunRecord, phase: Phase) -> Phase | None:
        """`run` has ended. What speaks for its slot if that ends with it: a failure, a stop, else success."""
        slot = self.of(run)
        if slot is None:
            return phase
        slot.open.discard(run.run_id)
        slot.running.discard(run.run_id)
        if phase is not Phase.SUCCEEDED and slot.bad is not Phase.TIMED_OUT:
            slot.bad = phase
        if slot.open:
            return None
        del self._slots[run.job][run.slot]
        return slot.bad or Phase.SUCCEEDED
