"""Seeds in; what became of them out. A seed that fails is named with what happened in it and how to have it again."""

import contextlib
import secrets
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.kit.folders import reachable_folder
from tests.lab.dockerd import Handle, apt_install, ensure
from tests.lab.images import ensure_busybox

from .rules import ALWAYS, Story
from .script import draw
from .world import world


@dataclass
class Done:
    """Sums over seeds."""

    seeds: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def add(self, other: "Done") -> None:
        self.seeds += other.seeds
        self.counts.update(other.counts)
        self.failed += other.failed

    def summary(self) -> str:
        counted = ", ".join(f"{value} {name}" for name, value in sorted(self.counts.items()))
        return f"{self.seeds} seeds in {self.seconds:.0f} s: {counted}; {len(self.failed)} failed"


@contextlib.contextmanager
def own_engine() -> Iterator[Handle]:
    """An Engine that may be frozen, crashed and pruned."""
    if shutil.which("strace") is None:
        apt_install("strace")
    directory = Path(tempfile.mkdtemp(prefix="reconciler-storm-"))
    handle = ensure(directory)
    try:
        yield handle
    finally:
        handle.stop()
        shutil.rmtree(directory, ignore_errors=True)
        Path(f"{directory}.lock").unlink(missing_ok=True)


def one(seed: int, engine: Handle, most: int | None = None, say: Callable[[str], None] = lambda _: None) -> Done:
    """One seed, on this Engine."""
    storm = draw(seed, most)
    done = Done(1)
    instance = f"s{seed}-{secrets.token_hex(3)}"
    ensure_busybox(engine.docker_host)
    begun = time.monotonic()
    with reachable_folder() as folder, world(storm, folder, engine, instance) as lived:
        try:
            lived.live()
            try:
                lived.settle()
            except AssertionError:
                Story(lived).check(ALWAYS)  # says more than that something never came true
                raise
            Story(lived).check()
            done.counts.update(lived.counts())
        except Exception as error:  # noqa: BLE001  a failing seed, whatever it met
            kept = Path(tempfile.mkdtemp(prefix=f"reconciler-storm-{seed}-"))
            lived.keep(kept)
            more = f" MOST={most}" if most is not None else ""
            done.failed.append(
                f"seed {seed}: {type(error).__name__}: {error}\n{storm}\nwhat happened:\n" + "\n".join(lived.told)
                + f"\nlog, ledger and requests: {kept}\nagain: make simulate-docker SEED={seed}{more}"
            )  # fmt: skip
    done.seconds = time.monotonic() - begun
    became = "FAILED" if done.failed else "every rule holds"
    say(f"seed {seed}: {became} after {done.seconds:.0f} s, {dict(done.counts)}")
    return done


def run_some(seeds: Iterable[int], until: float) -> Done:
    """Seeds one after the other on one Engine; none begins after `until` (monotonic)."""
    done = Done()
    with own_engine() as engine:
        for seed in seeds:
            if time.monotonic() > until:
                break
            done.add(one(seed, engine, say=lambda line: print(line, flush=True)))
            for failure in done.failed[-1:]:
                print(failure, flush=True) if f"seed {seed}:" in failure else None
    return done


def run_many(seeds: Iterable[int], seconds: float, lanes: int) -> Done:
    """All seeds, or as many as begin within `seconds`; `lanes` processes, an Engine each."""
    begun, seeds = time.monotonic(), list(seeds)
    done = Done()
    with ProcessPoolExecutor(lanes) as pool:
        for part in pool.map(run_some, [seeds[i::lanes] for i in range(lanes)], [begun + seconds] * lanes):
            done.add(part)
    done.seconds = time.monotonic() - begun
    return done
