"""Row 7: from the due instant to our start request, as a proxy before the Engine sees it, and to `StartedAt`.

The real service fires a job every other second; between two of them a bare request starts a container that was prepared
in the same way. Neither has a network, so that the figures are those of starting.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from reconciler.engine import labels
from reconciler.engine.base import EngineContext, utc_from_rfc3339
from reconciler.engine.docker_body import Acquired, create_body
from reconciler.engine.labels import Kind, Mark
from reconciler.model.job import JobSpec

from .docker_lab import Bare, Lab, lab
from .fleet import Repository, job_text
from .measure import Budget, Case, Other
from .service import Service, service
from .world import desired_of

TITLE = "lateness on the Docker engine"
JOBS, PERIOD = 5, 10  # a job is due every PERIOD / JOBS seconds
SETTLE = 15.0  # seconds before the first run that counts
EXTRA = "networks: [none]\nread_only: true\n"
RUNS = "SELECT ref, slot, started_at FROM runs WHERE started_at IS NOT NULL"


@contextmanager
def tap(folder: Path, docker_host: str) -> Iterator[tuple[str, Path]]:
    """A proxy process in `folder`: its DOCKER_HOST and its log."""
    listen, log = folder / "tap.sock", folder / "tap.log"
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.tap", str(listen), docker_host.removeprefix("unix://"), str(log)],
        stdout=subprocess.PIPE, cwd=Path(__file__).resolve().parents[1],
    )  # fmt: skip
    assert child.stdout is not None
    try:
        child.stdout.readline()
        yield f"unix://{listen}", log
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


class BareStarts:
    """A container with the very settings of ours, prepared beforehand, started at an instant through the same proxy."""

    def __init__(self, engine: Lab, address: str, spec: JobSpec) -> None:
        self.bare, self.number = Bare(address), 0
        context = EngineContext("bench7-bare", "0" * 32, b"0" * 32, state_dir="/nonexistent")
        marks = labels.write(context, Mark(Kind.RUN, spec.owner, spec.name, "bare", "d" * 64, "c" * 40))
        self.body = create_body(spec, marks, Acquired(engine.image_id), spec.environment, ())

    def start_at(self, instant: float) -> float:
        """Seconds from `instant`, at which the request is written, to StartedAt."""
        bare = self.bare
        self.number += 1
        ref = bare.ask("POST", f"/containers/create?name=bench7-bare.{self.number}", self.body)["Id"]
        time.sleep(max(0.0, instant - time.time()))
        asked = time.time()
        bare.ask("POST", f"/containers/{ref}/start")
        started = utc_from_rfc3339(bare.ask("GET", f"/containers/{ref}/json")["State"]["StartedAt"])
        assert started is not None
        bare.ask("DELETE", f"/containers/{ref}?force=1")
        return started.timestamp() - asked


def lateness(child: Service, log: Path, since: float) -> tuple[list[float], list[float]]:
    """Seconds from each slot after `since` to the request for its run, and to its StartedAt."""
    asked = {}
    for line in log.read_text().splitlines():
        at, path = line.split()
        asked[path.split("/")[-2]] = float(at)
    requested, started = [], []
    for ref, slot, began in child.query(RUNS):
        due = datetime.fromisoformat(slot).timestamp()
        if due >= since and ref in asked:
            requested.append(asked[ref] - due)
            started.append(datetime.fromisoformat(began).timestamp() - due)
    return requested, started


def cases(budget: Budget, folder: Path) -> Iterator[Case]:
    step = PERIOD // JOBS
    files = {
        f"tick-{n}.yaml": job_text(n, schedule=f"{n * step}/{PERIOD} * * * * *", extra=EXTRA).encode()
        for n in range(JOBS)
    }
    repository = Repository(folder / "repository", JOBS, files)
    with lab() as engine, tap(folder, engine.docker_host) as (address, log):
        bare = BareStarts(engine, address, next(iter(desired_of(1, EXTRA).jobs.values())).spec)
        try:
            with service(repository.path, folder / "state", address, "bench7") as child:
                child.await_jobs(JOBS)
                time.sleep(1 if budget.quick else SETTLE)
                since = time.time()
                until = since + (24 if budget.quick else max(60.0, min(300.0, budget.left - 60)))
                theirs = []
                while time.time() < until:
                    odd = (int(time.time()) // step + 1) * step + step / 2 + 0.4  # in the middle between two slots
                    theirs.append(bare.start_at(odd))
                requested, started = lateness(child, log, since)
        finally:
            engine.clear("bench7", networks=True)
            engine.clear("bench7-bare")
    count = min(len(started), len(theirs))
    yield Case(7, "due -> start request written", iter(requested).__next__, ceiling=0.005, tail=0.015,
               least=len(requested), most=len(requested), warm=0)  # fmt: skip
    yield Case(7, "due -> StartedAt", iter(started).__next__,
               (Other("bare start of a prepared container", iter(theirs).__next__, 1.05, 0.05),),
               least=count, most=count, warm=0)  # fmt: skip
