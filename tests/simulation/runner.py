"""Seeds in; what became of them out. A seed that fails is named with the command that shows it again."""

import os
import shutil
import tempfile
import time
import traceback
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.daemon.lean import structlog
from reconciler.history.sqlite import open_history

from .service import DATABASE
from .world import World

PIECE = 10  # seeds that a process takes at a time


@dataclass(slots=True)
class Failure:
    seed: int
    what: str
    at: float  # days

    def __str__(self) -> str:
        return f"seed {self.seed} at day {self.at:.2f}: {self.what}\n  again: make simulate SEED={self.seed}"


@dataclass(slots=True)
class Done:
    """Sums over seeds."""

    days: float = 0.0
    seeds: int = 0
    seconds: float = 0.0
    cpu: float = 0.0  # seconds
    counts: Counter[str] = field(default_factory=Counter)
    failed: list[Failure] = field(default_factory=list)

    def add(self, other: "Done") -> None:
        self.seeds += other.seeds
        self.cpu += other.cpu
        self.counts.update(other.counts)
        self.failed += other.failed

    def summary(self) -> str:
        counted = ", ".join(f"{value} {name}" for name, value in sorted(self.counts.items()))
        head = f"{self.seeds} seeds x {self.days:g} days in {self.seconds:.0f} s ({self.cpu:.0f} s of CPU): {counted}"
        return "\n".join([head, *map(str, self.failed[:20]), f"{len(self.failed)} failed"])


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory in memory, where the ledger's flushes cost nothing."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    path = Path(tempfile.mkdtemp(prefix="reconciler-simulation-", dir=base))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the service's log: nobody reads that of ten thousand services."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        yield
    finally:
        structlog.configure(**before)


def simulate(world: World, days: float) -> None:
    """Raises Broken, or whatever else the loops did not expect."""
    world.live(days)
    world.settle()


def run_some(seeds: Sequence[int], days: float, until: float | None = None) -> Done:
    """In this process. Stops taking seeds at `until` (monotonic)."""
    done = Done(days)
    begun = time.process_time()
    with quiet(), scratch() as path:
        template = path / "template" / DATABASE
        template.parent.mkdir()
        open_history(template).close()
        for seed in seeds:
            if until is not None and time.monotonic() > until:
                break
            done.seeds += 1
            home = path / str(seed)
            world = World(seed, home, template=template)
            try:
                simulate(world, days)
            except Exception as error:  # noqa: BLE001  a failing seed, whatever it met
                done.failed.append(Failure(seed, _said(error), world.time.true / 86400.0))
                print(done.failed[-1], flush=True)
            finally:
                world.close()
                shutil.rmtree(home, ignore_errors=True)
            done.counts.update(
                rounds=world.steps, deaths=world.deaths, faults=world.faults, starts=len(world.machine.starts),
                slots=world.rules.slots_checked,
            )  # fmt: skip
    done.cpu = time.process_time() - begun
    return done


def _said(error: BaseException) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error}" + ("" if isinstance(error, AssertionError) else f" ({where.name})")


def run_many(seeds: Iterable[int], days: float, *, seconds: float | None = None, jobs: int = 1) -> Done:
    """All seeds, or as many as begin within `seconds`."""
    begun = time.monotonic()
    until = None if seconds is None else begun + seconds
    seeds = list(seeds)
    done = Done(days)
    if jobs <= 1:
        done.add(run_some(seeds, days, until))
    else:
        pieces = [seeds[i : i + PIECE] for i in range(0, len(seeds), PIECE)]
        with ProcessPoolExecutor(jobs) as pool:
            for part in pool.map(run_some, pieces, [days] * len(pieces), [until] * len(pieces)):
                done.add(part)
    done.seconds = time.monotonic() - begun
    return done


def replay(seed: int, days: float, lines: int, most: int | None = None) -> bool:
    """One seed again, telling the last `lines` of what happened. True if it fails."""
    what, world, trace = _again(seed, days, lines, most)
    if what is None:
        print(f"seed {seed}: every rule holds")
        return False
    print("\n".join(trace))
    print(f"seed {seed} at day {world.time.true / 86400.0:.4f}: {_said(what)}")
    if not isinstance(what, AssertionError):
        traceback.print_exception(what)
    return True


def shrink(seed: int, days: float) -> int | None:
    """The smallest number of happenings (faults, commits, people) after which the seed still fails, by halving: it may
    not be the very smallest, since fewer may fail where more do not. None = the seed does not fail."""
    what, world, _ = _again(seed, days, 0, None)
    if what is None:
        return None
    low, high = 0, world.script.happened
    while low < high:
        middle = (low + high) // 2
        if _again(seed, days, 0, middle)[0] is None:
            low = middle + 1
        else:
            high = middle
    return high


def _again(seed: int, days: float, lines: int, most: int | None) -> tuple[Exception | None, World, Sequence[str]]:
    with quiet(), scratch() as path:
        world = World(seed, path / "world", most=most)
        world.trace = trace = deque(maxlen=lines)
        try:
            simulate(world, days)
        except Exception as error:  # noqa: BLE001  as above
            return error, world, trace
        finally:
            world.close()
    return None, world, trace
