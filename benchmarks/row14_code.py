"""Row 14: code of runs. What noticing "no change" costs, staging a checkout of 50 MiB, and how much later a run with
code starts than one without: by hand, with nothing made ready, and at its instant, made ready ahead of it.

The two jobs differ in their code alone. What is told is the difference of neighbouring starts.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from reconciler.gitio.runner import GitRunner
from reconciler.model.job import CodeRepository
from reconciler.model.service import ServiceConfig
from reconciler.server.client import call
from reconciler.workspace.code import origin_of
from reconciler.workspace.mirrors import Mirrors
from tests.kit.code import CodeLab
from tests.lab.gitrepo import ENVIRONMENT, GitRepo

from .docker_lab import lab
from .fleet import Repository, job_text
from .measure import Budget, Case, Other, timed
from .row03_no_change import http_server
from .service import Service, service

TITLE = "code of runs"
FILES, FILE_BYTES = 1000, 52_000  # 50 MiB, of which half can be compressed
EXTRA = "networks: [none]\nread_only: true\n"
PERIOD = 10  # seconds between two slots of a job
TOOK = "SELECT claimed_at, started_at FROM runs WHERE run_id = '{}' AND started_at IS NOT NULL"
LATE = """SELECT job, slot, start_requested_at, started_at FROM runs
    WHERE started_at IS NOT NULL AND trigger = 'schedule' ORDER BY slot"""


def big(folder: Path, files: int) -> GitRepo:
    repo = GitRepo(folder)
    half = FILE_BYTES // 2
    repo.commit({f"d{n % 50}/f{n}": os.urandom(half) + b"a" * half for n in range(files)})
    repo.git("gc", "-q")
    return repo


def no_change(folder: Path, url: str, least: int) -> Case:
    mirrors = Mirrors(folder / "mirrors", GitRunner())
    origin = origin_of(CodeRepository(url, "/code"), "default", ServiceConfig())
    names = ["refs/heads/main", "refs/heads/main^{}", "refs/tags/main", "refs/tags/main^{}"]
    argv = ["git", "ls-remote", "--quiet", "--", url, *names]

    def by_hand() -> None:
        subprocess.run(argv, env=ENVIRONMENT, capture_output=True, check=True)

    return Case(14, "no change of a branch, over http", timed(lambda: mirrors.commit_of(origin, "main")),
                (Other("git ls-remote", timed(by_hand), 1.2, 0.15),), least=least, most=60)  # fmt: skip


def staging(folder: Path, files: int, least: int) -> Case:
    repo = big(folder / "big", files)
    mirror = repo.bare_clone(folder / "big.git")
    code = CodeLab(folder / "staged")
    run, clone = code.run("bench"), folder / "clone"
    item = CodeRepository(str(mirror), "/code", repo.head())

    def clear() -> None:
        shutil.rmtree(clone, ignore_errors=True)

    def by_hand() -> None:
        subprocess.run(["git", "clone", "-q", "--local", str(mirror), str(clone)], env=ENVIRONMENT, check=True)

    ours = timed(lambda: code.make(item, run=run), lambda: code.part.drop("bench"))
    what = f"staging a checkout of {files * FILE_BYTES >> 20} MiB"
    return Case(14, what, ours, (Other("git clone --local", timed(by_hand, clear), 2.0),), least=least, most=30)


def by_hand(child: Service, job: str) -> float:
    """Seconds from the claim of a run to its start."""
    status, answer = call(child.state / "reconciler.sock", "POST", "/v1/jobs/run", {"job": job}, 30.0)
    assert status == 200, answer
    deadline = time.monotonic() + 60
    while not (found := child.query(TOOK.format(answer["run_id"]))):
        assert time.monotonic() < deadline, f"{answer['run_id']} has not started"
        time.sleep(0.02)
    claimed, started = (datetime.fromisoformat(text) for text in found[0])
    return (started - claimed).total_seconds()


def at_their_instants(child: Service, since: float) -> tuple[list[float], list[float]]:
    """How much later the run with code was asked for, and was started, than its neighbour without, of each pair after
    `since`."""
    late: dict[str, list[tuple[float, ...]]] = {"tick-code": [], "tick-plain": []}
    for job, slot, *instants in child.query(LATE):
        due = datetime.fromisoformat(slot).timestamp()
        if due >= since:
            late[job].append(tuple(datetime.fromisoformat(at).timestamp() - due for at in instants))
    pairs = list(zip(late["tick-code"], late["tick-plain"], strict=False))
    return [one[0] - other[0] for one, other in pairs], [one[1] - other[1] for one, other in pairs]


def cases(budget: Budget, folder: Path) -> Iterator[Case]:
    small = GitRepo(folder / "small")
    small.commit({f"f{n}": f"{n}\n" * 50 for n in range(100)})
    small.bare_clone(folder / "served/small.git")
    least = 3 if budget.quick else 15
    with http_server(folder / "served") as base:
        url = f"{base}/small.git"
        yield no_change(folder, url, least)
        yield staging(folder, 100 if budget.quick else FILES, least)
        with_code = EXTRA + f"repositories: [{{url: '{url}', ref: main, target: /code}}]\n"
        files = {
            "hand-plain.yaml": job_text(0, schedule="manual", extra=EXTRA).encode(),
            "hand-code.yaml": job_text(0, schedule="manual", extra=with_code).encode(),
            "tick-plain.yaml": job_text(0, schedule=f"0/{PERIOD} * * * * *", extra=EXTRA).encode(),
            "tick-code.yaml": job_text(0, schedule=f"{PERIOD // 2}/{PERIOD} * * * * *", extra=with_code).encode(),
        }
        repository = Repository(folder / "repository", len(files), files)
        policy = f"policy: {{repositories: ['{base}/*']}}\n"
        with lab() as engine:
            try:
                with service(repository.path, folder / "state", engine.docker_host, "bench14", more=policy) as child:
                    child.await_jobs(len(files))
                    since = time.time() + PERIOD
                    until = since + (2 * PERIOD + 4 if budget.quick else max(60.0, min(240.0, budget.left - 60)))
                    added = []
                    while time.time() < until:
                        added.append(by_hand(child, "hand-code") - by_hand(child, "hand-plain"))
                        time.sleep(1.0)
                    asked, ahead = at_their_instants(child, since)
            finally:
                engine.clear("bench14", networks=True)
    yield Case(14, "started later by its code, nothing made ready", iter(added).__next__, ceiling=0.3,
               least=len(added), most=len(added), warm=0)  # fmt: skip
    yield Case(14, "asked for later by its code, made ready ahead", iter(asked).__next__, ceiling=0.03,
               least=len(asked), most=len(asked), warm=0)  # fmt: skip
    yield Case(14, "started later by its code, made ready ahead", iter(ahead).__next__, ceiling=0.03,
               least=len(ahead), most=len(ahead), warm=0)  # fmt: skip
