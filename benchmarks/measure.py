"""In: two or more ways to do one thing. Out: samples taken in turn, and ratios of their medians with an interval.

Absolute times of a shared machine say little. So every side runs once a round, in an order that changes, and what is
told is the ratio of the medians; its 95 % interval comes from drawing whole rounds again (bootstrap), which keeps what
disturbed both sides of a round together.
"""

import gc
import os
import random
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles

DRAWS = 1000
LEAST_ROUNDS = 5
Sample = Callable[[], float]  # does the thing once; what it took, in the case's unit


@dataclass(frozen=True)
class Other:
    """A peer or a limit. `reach`: the ratio ours / this that we want at most; None = told, not judged."""

    name: str
    sample: Sample
    reach: float | None = None
    margin: float | None = None  # width of the interval that is narrow enough; None = 15 % of the reach


@dataclass(frozen=True)
class Case:
    """One line or more of the table. `ceiling`: what our own median may be at most, in `unit`."""

    row: int
    what: str
    ours: Sample
    others: tuple[Other, ...] = ()
    ceiling: float | None = None
    tail: float | None = None  # what our 99th percentile may be at most
    unit: str = "s"
    least: int = LEAST_ROUNDS
    most: int = 200
    warm: int = 1  # rounds that are not counted


@dataclass(frozen=True)
class Verdict:
    """One line: ours alone (`against` empty) or against one other."""

    row: int
    what: str
    ours: float
    unit: str
    rounds: int
    against: str = ""
    other: float = 0.0
    ratio: float = 0.0
    low: float = 0.0
    high: float = 0.0
    reach: float | None = None
    tail: float | None = None  # our 99th percentile, where it counts

    tail_reach: float | None = None

    @property
    def met(self) -> str:
        """`yes`, `no`, `unclear` (the interval holds the target), or nothing where there is none."""
        if self.reach is None:
            return ""
        if not self.against:
            late = self.tail is not None and self.tail_reach is not None and self.tail > self.tail_reach
            return "yes" if self.ours <= self.reach and not late else "no"
        if self.high <= self.reach:
            return "yes"
        return "no" if self.low > self.reach else "unclear"


@dataclass
class Budget:
    """How long one row may take, in seconds, and how many rounds at least."""

    seconds: float
    quick: bool = False
    until: float = field(init=False)

    def __post_init__(self) -> None:
        self.until = time.monotonic() + self.seconds

    @property
    def left(self) -> float:
        return self.until - time.monotonic()


def timed(
    work: Callable[[], object],
    before: Callable[[], object] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Sample:
    """A sample in seconds of `clock`. What `before` does, and collecting garbage, is not counted."""

    def sample() -> float:
        if before is not None:
            before()
        gc.collect()
        start = clock()
        work()
        return clock() - start

    return sample


def cold(work: Callable[[], object]) -> Sample:
    """Processor time of `work` in a forked child, so that nothing which it remembers helps the next sample. Nothing
    waits in what is measured so: it is the time of one core, whoever else uses the machine."""

    def sample() -> float:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(write, repr(timed(work, clock=time.process_time)()).encode())
            except BaseException:  # noqa: BLE001  not beyond the child
                traceback.print_exc()
            finally:
                os._exit(0)
        os.close(write)
        with open(read, "rb") as answer:
            took = float(answer.read())  # ValueError: `work` failed, and the child has said why
        os.waitpid(child, 0)
        return took

    return sample


def interval(ours: Sequence[float], other: Sequence[float], draws: int = DRAWS) -> tuple[float, float, float]:
    """Ratio of the medians and its 95 % interval. The same samples give the same interval."""
    source = random.Random(1)
    places = range(len(ours))
    ratios = []
    for _ in range(draws):
        drawn = source.choices(places, k=len(places))
        ratios.append(median(ours[i] for i in drawn) / median(other[i] for i in drawn))
    ratios.sort()
    return median(ours) / median(other), ratios[int(draws * 0.025)], ratios[int(draws * 0.975) - 1]


def run(case: Case, budget: Budget) -> list[Verdict]:
    """Rounds until every interval is narrow enough, or the time is up."""
    sides = [case.ours, *(other.sample for other in case.others)]
    samples: list[list[float]] = [[] for _ in sides]
    for _ in range(0 if budget.quick else case.warm):
        for side in sides:
            side()
    order = list(range(len(sides)))
    source = random.Random(2)
    least = min(2, case.least) if budget.quick and case.least != case.most else case.least
    while len(samples[0]) < case.most:
        began = time.monotonic()
        source.shuffle(order)
        for place in order:
            samples[place].append(sides[place]())
        took = time.monotonic() - began
        enough = len(samples[0]) >= least and (budget.quick or _narrow(case, samples))
        out_of_time = budget.left < took and len(samples[0]) >= min(2, least)
        if enough or (out_of_time and case.least != case.most):
            break
    return _verdicts(case, samples)


def _narrow(case: Case, samples: list[list[float]]) -> bool:
    for other, found in zip(case.others, samples[1:], strict=True):
        if other.reach is None:
            continue
        _, low, high = interval(samples[0], found, 300)
        if high - low > (0.15 * other.reach if other.margin is None else other.margin):
            return False
    return True


def _verdicts(case: Case, samples: list[list[float]]) -> list[Verdict]:
    ours, rounds = samples[0], len(samples[0])
    middle = median(ours)
    found = []
    if case.ceiling is not None or not case.others:
        late = percentile(ours, 99) if case.tail is not None else None
        found.append(
            Verdict(case.row, case.what, middle, case.unit, rounds, reach=case.ceiling, tail=late, tail_reach=case.tail)
        )
    for other, theirs in zip(case.others, samples[1:], strict=True):
        ratio, low, high = interval(ours, theirs)
        found.append(
            Verdict(case.row, case.what, middle, case.unit, rounds, other.name, median(theirs), ratio, low, high,
                    other.reach)
        )  # fmt: skip
    return found


def percentile(values: Sequence[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]
