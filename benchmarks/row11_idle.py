"""Row 11: what the service costs while nothing is due: resident memory, and processor time, by size of the fleet."""

import time
from collections.abc import Iterator
from pathlib import Path

from .docker_lab import lab
from .fleet import Repository
from .measure import Budget, Case
from .service import service

TITLE = "idle service on the Docker engine"
SETTLE = 30.0  # seconds after the last job was applied
WATCH = 300.0  # seconds; holds one of the listings that come every five minutes


def cases(budget: Budget, folder: Path) -> Iterator[Case]:
    sizes = (10,) if budget.quick else (10, 1000)
    watch = 3.0 if budget.quick else max(30.0, min(WATCH, (budget.seconds - 120) / len(sizes)))
    resident = {}
    with lab() as engine:
        for count in sizes:
            instance = f"bench11-{count}"
            repository = Repository(folder / instance / "repository", count)
            try:
                with service(repository.path, folder / instance / "state", engine.docker_host, instance) as child:
                    child.await_jobs(count)
                    time.sleep(2.0 if budget.quick else SETTLE)
                    cpu, switches, began = child.cpu(), child.switches(), time.monotonic()
                    time.sleep(watch)
                    seconds = time.monotonic() - began
                    share = 100 * (child.cpu() - cpu) / seconds
                    wakes = (child.switches() - switches) / seconds
                    resident[count] = child.memory()
            finally:
                engine.clear(instance, networks=True)
            what = f"idle with {count:,} jobs"
            yield _once(f"{what}: resident memory", resident[count], "MiB", 60.0 if count == 1000 else None)
            yield _once(f"{what}: of one core, over {seconds:.0f} s", share, "%", 0.1)
            yield _once(f"{what}: wake-ups a second", wakes, "/s", None)
    if len(sizes) == 2:
        each = (resident[1000] - resident[10]) * 1024 / 990
        yield _once("memory for each further job", each, "KiB", 5.0)


def _once(what: str, value: float, unit: str, ceiling: float | None) -> Case:
    """A figure that is measured once."""
    return Case(11, what, lambda: value, ceiling=ceiling, unit=unit, least=1, most=1, warm=0)
