"""Row 6: how late runs start when many are due in one second, on the process engine, by the service's own ledger."""

import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from statistics import median

from reconciler.daemon.pools import STARTS

from .fleet import Repository, job_path
from .measure import Budget, Case, Other
from .service import Service, service

TITLE = "lateness with many due in one second, on the process engine"
PERIOD = 20  # seconds between two bursts
SETTLE = 5.0
JOB = f'schedule: "*/{PERIOD} * * * * *"\nimage: none\ncommand: [/bin/true]\nhistory: {{keep_success: 1}}\n'
RUNS = "SELECT slot, started_at FROM runs WHERE started_at IS NOT NULL"


def spawned(count: int) -> list[float]:
    """Seconds from now to each of as many bare spawns, one after the other."""
    begin, found, children = time.time(), [], []
    for _ in range(count):
        children.append(subprocess.Popen(["/bin/true"], stdin=subprocess.DEVNULL, start_new_session=True))
        found.append(time.time() - begin)
    for child in children:
        child.wait()
    return found


def shells(count: int) -> list[float]:
    """Seconds from now to each of as many spawns of a shell that runs the command, by as many threads as ours has for
    starts: what a supervisor for each run costs at the least."""
    begin, children = time.time(), []

    def one() -> float:
        command = ["/bin/sh", "-c", "/bin/true; :"]
        children.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True))
        return time.time() - begin

    with ThreadPoolExecutor(STARTS) as pool:
        found = [future.result() for future in [pool.submit(one) for _ in range(count)]]
    for child in children:
        child.wait()
    return found


def bursts(child: Service, since: float, seen: dict[str, list[float]], count: int) -> None:
    """Slot -> seconds from it to each start, of those later than `since` that are whole; rows do not stay for long."""
    found: dict[str, list[float]] = {}
    for slot, started in child.query(RUNS):
        due = datetime.fromisoformat(slot).timestamp()
        if due >= since:
            found.setdefault(slot, []).append(datetime.fromisoformat(started).timestamp() - due)
    seen.update(
        (slot, late) for slot, late in found.items() if len(late) >= len(seen.get(slot, ())) and len(late) == count
    )


def cases(budget: Budget, folder: Path) -> Iterator[Case]:
    sizes = (1, 8) if budget.quick else (1, 50, 200)
    for count in sizes:
        files = {job_path(number): JOB.encode() for number in range(count)}
        repository = Repository(folder / f"late-{count}", count, files)
        seen: dict[str, list[float]] = {}
        bare: list[list[float]] = []
        under_shells: list[list[float]] = []
        with service(repository.path, folder / f"state-{count}", "", f"bench6-{count}", engine="process") as child:
            child.await_jobs(count)
            time.sleep(SETTLE)
            since = time.time()
            until = since + (2.5 * PERIOD if budget.quick else min(300.0, max(80.0, budget.seconds / len(sizes))))
            while time.time() < until or not seen:
                assert time.time() < until + 10 * PERIOD, f"no whole burst of {count}"
                time.sleep(1.0)
                bursts(child, since, seen, count)
                if time.time() % PERIOD // 1 == PERIOD // 2:  # in the middle between two bursts
                    bare.append(spawned(count))
                    under_shells.append(shells(count))
        yield from _told(count, list(seen.values()), bare, under_shells)


def _told(
    count: int, ours: list[list[float]], bare: list[list[float]], under_shells: list[list[float]]
) -> Iterator[Case]:
    rounds = min(len(ours), len(bare))
    for word, of in (("median", median), ("last", max)) if count > 1 else (("start", max),):
        what = f"{count} due in one second: {word}"
        late, theirs, floor = (iter([of(burst) for burst in them]) for them in (ours, bare, under_shells))
        others = (Other("bare spawns, one after the other", theirs.__next__),
                  Other(f"bare shells with the command, {STARTS} threads", floor.__next__))  # fmt: skip
        yield Case(6, what, late.__next__, others, ceiling=0.005 if count == 1 else None,
                   least=rounds, most=rounds, warm=0)  # fmt: skip
