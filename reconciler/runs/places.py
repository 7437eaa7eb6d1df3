"""In: the open runs, in the order of their turn, and the limits. Out: who may get ready and who may start (rule R2).

A place is held from the request to start until the end. Nobody is made ready for a place that others, first in line,
will take; but whoever is next is ready by the time one is free. What an owner may have in all (cores, memory, GPUs) is
counted in the same way, by each run's own limits; who is first in line and needs much is not passed by who needs less.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from ..model.job import JobSpec
from ..model.run import Phase, RunRecord
from ..model.service import Limits, Total

HOLDING = frozenset({Phase.STARTING, Phase.RUNNING, Phase.STOPPING})
_EVERYBODY = ""
_NANO = 1_000_000_000  # cores are counted in whole billionths, as the engine does: sums of floats would drift
NO_TOTALS: Mapping[str, Total] = {}


class _Lane(NamedTuple):
    """One limit: who shares it, how much this run takes of how much, and what to call it. `kept`: whoever is first in
    line and lacks this alone has it kept free."""

    key: str
    needs: int
    most: int
    words: str
    kept: bool = False


def turn(run: RunRecord, spec: JobSpec) -> tuple[int, object, int, str]:
    """Sorts by turn: the highest priority, then the oldest slot, then the first cell."""
    return -spec.priority, run.slot, run.cell or 0, run.run_id


def group_key(spec: JobSpec, shared: Mapping[str, int]) -> str:
    """What runs of one group have in common: a group is its owner's own, unless the service file names it."""
    return spec.concurrency_group if spec.concurrency_group in shared else f"{spec.owner}:{spec.concurrency_group}"


def _placed(run: RunRecord) -> bool:
    """A cell that has been given its place in its slot, until it ends: also while it backs off before its start."""
    at_work = run.phase in HOLDING or run.phase is Phase.PREPARING or (run.phase is Phase.PENDING and run.tries > 0)
    return run.cell is not None and at_work


class Places:
    """Of one round. Tell `passed` of each run after its turn."""

    def __init__(
        self, runs: Iterable[tuple[RunRecord, JobSpec]], limits: Limits, totals: Mapping[str, Total] = NO_TOTALS
    ) -> None:
        self._limits, self._totals = limits, totals
        self._kept: set[str] = set()  # lanes that somebody ahead in line waits for
        self._held: dict[str, int] = {}
        self._ready: dict[str, int] = {}  # those that were passed and are being prepared, or are ready
        self._active: Counter[tuple[str, datetime]] = Counter()  # runs of a slot that have not ended
        self._cells: Counter[tuple[str, datetime]] = Counter()  # cells of a slot that have their place in it
        self._slots: dict[str, set[datetime]] = {}  # job -> its slots that had not ended when the round began
        for run, spec in runs:
            if run.active:
                self._slots.setdefault(run.job, set()).add(run.slot)
            self._active[run.job, run.slot] += run.active
            self._cells[run.job, run.slot] += _placed(run)
            if run.phase in HOLDING:
                self._count(self._held, spec, 1)

    def lacking(self, spec: JobSpec) -> str:
        """What has no free place for it, in words; "" = it may start."""
        return next((lane.words for lane in self._lanes(spec) if lane.key in self._kept or self._full(lane)), "")

    def _full(self, lane: _Lane) -> bool:
        return self._held.get(lane.key, 0) + lane.needs > lane.most

    def crowded(self, spec: JobSpec) -> bool:
        """Are as many ready, or getting ready, before it as there are places in all?"""
        return any(self._ready.get(lane.key, 0) + lane.needs > lane.most for lane in self._lanes(spec))

    def waits(self, spec: JobSpec) -> None:
        """A run that is due waits for a place. If it lacks nothing but a part of its owner's total, nobody behind it
        takes what becomes free; unless it needs more than there is in all, since the total was lowered."""
        full = [lane for lane in self._lanes(spec) if self._full(lane)]
        if any(lane.needs > lane.most for lane in full):
            return
        if all(lane.kept for lane in full):
            self._kept.update(lane.key for lane in full)

    def new_round(self) -> None:
        """For whoever keeps one of these over many rounds: nobody has had a turn yet."""
        self._kept.clear()

    def cells_full(self, run: RunRecord) -> bool:
        """Are as many cells of its slot at work as may be? One that is at work itself has its place."""
        if not run.max_parallel or _placed(run):
            return False
        return self._cells[run.job, run.slot] >= run.max_parallel

    def alone(self, run: RunRecord) -> bool:
        """Has its job no other slot under way?"""
        return self._slots.get(run.job, set()) <= {run.slot}

    def active(self, job: str, slot: datetime) -> bool:
        """Has any run of this slot not ended?"""
        return self._active[job, slot] > 0

    def passed(self, before: RunRecord, after: RunRecord, spec: JobSpec) -> bool:
        """Its turn is over, and took it from `before` to `after`. True if it has ended, and others may go on.

        What it held is free in the next round only: whoever is first in line has had its turn in this one already.
        """
        if after.phase in HOLDING and before.phase not in HOLDING:
            self._count(self._held, spec, 1)
        if _placed(after) and not _placed(before):
            self._cells[after.job, after.slot] += 1
        self._active[after.job, after.slot] += after.active - before.active
        if after.phase is Phase.PREPARING:
            self._count(self._ready, spec, 1)
        return before.active and not after.active

    def freed(self, spec: JobSpec) -> None:
        """For whoever keeps no rounds: a place is free again."""
        self._count(self._held, spec, -1)

    def _count(self, counts: dict[str, int], spec: JobSpec, by: int) -> None:
        for lane in self._lanes(spec):
            counts[lane.key] = counts.get(lane.key, 0) + by * lane.needs

    def _lanes(self, spec: JobSpec) -> list[_Lane]:
        """Each limit that it is subject to."""
        limits, found = self._limits, []
        if limits.max_running is not None:
            found.append(_Lane(_EVERYBODY, 1, limits.max_running, "a place (limits.max_running)"))
        if spec.concurrency_group:
            key = group_key(spec, limits.groups)
            found.append(_Lane(key, 1, limits.groups.get(key, 1), f"a place in group {spec.concurrency_group}"))
        total = self._totals.get(spec.owner)
        return found if total is None else [*found, *_of_owner(spec, total)]


def _of_owner(spec: JobSpec, total: Total) -> list[_Lane]:
    """A run without a limit takes nothing: no such job is admitted where it would count (spec.totals)."""
    owner, asked, found = spec.owner, spec.resources, []
    if total.running is not None:
        words = f"one of the {total.running} places of {owner} (total.running)"
        found.append(_Lane(f"{owner}\nrunning", 1, total.running, words))
    if total.cpus is not None and asked.cpus:
        words = f"{asked.cpus:g} of the {total.cpus:g} cpus of {owner} (total.cpus)"
        found.append(_Lane(f"{owner}\ncpus", round(asked.cpus * _NANO), round(total.cpus * _NANO), words, kept=True))
    if total.memory is not None and asked.memory:
        words = f"{_size(asked.memory)} of the {_size(total.memory)} of memory of {owner} (total.memory)"
        found.append(_Lane(f"{owner}\nmemory", asked.memory, total.memory, words, kept=True))
    if total.gpus is not None and asked.gpus:
        words = f"{asked.gpus} of the {total.gpus} GPUs of {owner} (total.gpus)"
        found.append(_Lane(f"{owner}\ngpus", asked.gpus, total.gpus, words, kept=True))
    return found


def _size(count: int) -> str:
    """`64g`, in the largest unit that leaves a whole number."""
    for unit, power in (("t", 40), ("g", 30), ("m", 20), ("k", 10)):
        if count >= 1 << power and count % (1 << power) == 0:
            return f"{count >> power}{unit}"
    return str(count)
