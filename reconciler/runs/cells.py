"""In: what is asked for one slot, and its job. Out: its cells, a request each; later, how the slot as a whole ended.

A cell is one run of a slot. All of a slot are claimed at once, and its slot closes once, when the last has ended.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from ..model.job import JobSpec, Strategy
from ..model.run import CellState, Disposition, Phase, RunRecord, RunRequest, Trigger
from .parameters import Values

MOST_CELLS = 1000
_NAMED = 20  # cells in one sentence


def points(strategy: Strategy) -> Iterator[Values]:
    """The values of each cell, in the order of their numbers. The last axis varies fastest."""
    if not strategy.matrix:
        return iter([()] * strategy.parallelism)
    names = [name for name, _ in strategy.matrix]
    texts = product(*(values for _, values in strategy.matrix))
    return (tuple(zip(names, each, strict=True)) for each in texts)


def expand(request: RunRequest, spec: JobSpec) -> tuple[RunRequest, ...]:
    """The runs of the slot: the request itself without a strategy. Its parameters are those that all cells share."""
    strategy = spec.strategy
    if not strategy.cells:
        return (request,)
    return with_values(replace(request, max_parallel=strategy.max_parallel), list(points(strategy)))


def with_values(request: RunRequest, each: Sequence[Values]) -> tuple[RunRequest, ...]:
    """A cell for each of these, on top of the request's own parameters. The first one carries the key."""
    return tuple(
        replace(request, cell=number, cells=len(each), parameters=request.parameters + values,
                key="" if number else request.key)
        for number, values in enumerate(each)
    )  # fmt: skip


def again(request: RunRequest, cells: Sequence[RunRecord], max_parallel: int = 0) -> tuple[RunRequest, ...]:
    """Only these cells of an earlier slot: the same numbers, values and count. `max_parallel` 0 = as before. Those of a
    backfill stand for the same slots of the past as before."""
    return tuple(
        replace(request, replays=run.replays, trigger=Trigger.BACKFILL if run.replays else request.trigger,
                cell=run.cell, cells=run.cells, parameters=run.parameters,
                max_parallel=max_parallel or run.max_parallel,
                key="" if place else request.key)
        for place, run in enumerate(sorted(cells, key=lambda run: run.cell or 0))
    )  # fmt: skip


# -- the slot as a whole ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    """The cells of one slot. `failed`: the first that has failed for good; `open`: any has work before it."""

    states: tuple[CellState, ...]

    @property
    def begun(self) -> bool:
        """Has any cell ever started?"""
        return any(state.started for state in self.states)

    @property
    def open(self) -> bool:
        return any(state.phase.active for state in self.states)

    @property
    def failed(self) -> int | None:
        return next((state.cell for state in self.states if state.phase.bad), None)

    @property
    def phase(self) -> Phase:
        """What speaks for the slot once it has ended: failed if a cell has."""
        phases = {state.phase for state in self.states}
        bad = next((phase for phase in (Phase.FAILED, Phase.TIMED_OUT, Phase.OOM, Phase.LOST) if phase in phases), None)
        return bad or (Phase.CANCELLED if Phase.CANCELLED in phases else Phase.SUCCEEDED)

    def with_ended(self, run: RunRecord) -> "Group":
        """As it will be once this end is written."""
        ended = CellState(run.cell or 0, run.phase, run.started_at is not None)
        return Group(tuple(
            replace(ended, started=ended.started or state.started) if state.cell == run.cell else state
            for state in self.states
        ))  # fmt: skip

    def disposition(self, last: Disposition, why: str) -> tuple[Disposition, str]:
        """How the slot ended. `last` and `why`: of the cell that ended last, which speak if none ever started."""
        if not self.begun:
            return last, f"none of {len(self.states)} cells started: {why}"
        lost = self.phase is Phase.LOST
        return Disposition.LOST if lost else Disposition.RAN, self.words()

    def words(self) -> str:
        """`13 of 15 cells ok; failed: 3, 7; cancelled: 9`."""
        said = [f"{sum(s.phase is Phase.SUCCEEDED for s in self.states)} of {len(self.states)} cells ok"]
        failed = (Phase.FAILED, Phase.TIMED_OUT, Phase.OOM)
        groups = (("failed", failed), ("lost", (Phase.LOST,)), ("cancelled", (Phase.CANCELLED,)))
        for word, phases in groups:
            numbers = [str(state.cell) for state in self.states if state.phase in phases]
            if numbers:
                more = f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
                said.append(f"{word}: {', '.join(numbers[:_NAMED])}{more}")
        running = sum(state.phase.active for state in self.states)
        return "; ".join([*said, *([f"{running} not ended"] if running else [])])
