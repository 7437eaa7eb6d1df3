"""Row 8: many runs due in one second on Docker, from the instant to the last StartedAt, against bare start requests.

The bare side has its containers prepared, with the settings of ours, and starts them over four connections, in the
middle between two of our bursts.
"""

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from reconciler.engine import labels
from reconciler.engine.base import EngineContext, utc_from_rfc3339
from reconciler.engine.docker_body import Acquired, create_body
from reconciler.engine.labels import Kind, Mark

from .docker_lab import Lab, lab
from .fleet import Repository, job_path, job_text
from .measure import Budget, Case, Other
from .service import Service, service
from .world import desired_of

TITLE = "burst on the Docker engine"
EXTRA = "networks: [none]\nread_only: true\n"
MINUTES = {4: 1, 16: 1, 50: 2}  # runs of a burst -> minutes between two
PARALLEL = 8  # starts that may be under way at once, and so out of turn
RUNS = "SELECT run_id, slot, started_at FROM runs WHERE started_at IS NOT NULL"


class Bare:
    """Prepares and starts so many containers, and takes them away."""

    def __init__(self, engine: Lab, count: int) -> None:
        self.engine, self.count, self.number = engine, count, 0
        spec = next(iter(desired_of(1, EXTRA).jobs.values())).spec
        context = EngineContext("bench8-bare", "0" * 32, b"0" * 32, state_dir="/nonexistent")
        marks = labels.write(context, Mark(Kind.RUN, spec.owner, spec.name, "bare", "d" * 64, "c" * 40))
        self.body = create_body(spec, marks, Acquired(engine.image_id), spec.environment, ())

    def burst(self) -> float:
        """Seconds from the first request to the last StartedAt."""
        self.number += 1
        names = [f"bench8-bare.{self.number}.{one}" for one in range(self.count)]
        self.engine.create(dict.fromkeys(names, self.body))
        begin = time.time()
        self.engine.spread(lambda bare, name: bare.ask("POST", f"/containers/{name}/start"), names)
        ends = []
        for name in names:
            state = self.engine.bare[0].ask("GET", f"/containers/{name}/json")["State"]
            started = utc_from_rfc3339(state["StartedAt"])
            assert started is not None
            ends.append(started.timestamp())
        self.engine.clear("bench8-bare")
        return max(ends) - begin


def bursts(child: Service, since: float, count: int) -> list[list[tuple[str, float]]]:
    """(run, seconds from its slot to its start) of each whole burst after `since`, in the order of the starts."""
    found: dict[str, list[tuple[str, float]]] = {}
    for run, slot, started in child.query(RUNS):
        due = datetime.fromisoformat(slot).timestamp()
        if due >= since:
            found.setdefault(slot, []).append((run, datetime.fromisoformat(started).timestamp() - due))
    return [sorted(runs, key=lambda run: run[1]) for runs in found.values() if len(runs) == count]


def out_of_turn(runs: list[tuple[str, float]]) -> int:
    """By how many places a run started away from its turn (by run id: all are of one slot), at most."""
    turns = {run: place for place, run in enumerate(sorted(run for run, _ in runs))}
    return max(abs(turns[run] - place) for place, (run, _) in enumerate(runs))


def cases(budget: Budget, folder: Path) -> Iterator[Case]:
    with lab() as engine:
        for count in (4,) if budget.quick else (16, 50):
            minutes = MINUTES[count]
            files = {job_path(n): job_text(n, schedule=f"0 */{minutes} * * * *", extra=EXTRA).encode()
                     for n in range(count)}  # fmt: skip
            instance, bare = f"bench8-{count}", Bare(engine, count)
            repository = Repository(folder / instance / "repository", count, files)
            theirs: list[float] = []
            try:
                with service(repository.path, folder / instance / "state", engine.docker_host, instance) as child:
                    child.await_jobs(count)
                    since = time.time() + 10  # what is claimed ahead is prepared from the second burst on
                    rounds = 1 if budget.quick else max(3, min(5, int(budget.seconds / 2 / 60 / minutes)))
                    for _ in range(rounds):
                        period = 60 * minutes
                        time.sleep(period - time.time() % period + period / 2 + 5)  # past the next burst
                        theirs.append(bare.burst())
                    ours = bursts(child, since, count)
            finally:
                engine.clear(instance, networks=True)
                engine.clear("bench8-bare")
            whole = min(len(ours), len(theirs))
            late = iter([max(seconds for _, seconds in runs) for runs in ours])
            yield Case(8, f"{count} due: until the last has started", late.__next__,
                       (Other("bare starts, 4 connections", iter(theirs).__next__, 1 / 0.95, 0.1),),
                       least=whole, most=whole, warm=0)  # fmt: skip
            turns = iter([float(out_of_turn(runs)) for runs in ours])
            yield Case(8, f"{count} due: farthest from its turn", turns.__next__, ceiling=PARALLEL, unit="places",
                       least=whole, most=whole, warm=0)  # fmt: skip
