"""Job files in numbers: realistic, of about 30 lines, half of the schedules distinct; in memory or in a repository."""

from datetime import UTC, datetime
from pathlib import Path

from reconciler.model.desired import Commit, DesiredState, Entry, Snapshot
from reconciler.model.live import LiveJob, LiveState, StandingJob
from tests.lab.gitrepo import GitRepo, git

FOLDERS = 40
IMAGE = "busybox:local"
ROOT = "jobs.d"


def expression(number: int) -> str:
    """Half of them distinct, the other half from a handful, as people write them. None is due within the hour."""
    hour = (datetime.now(UTC).hour + 3 + number % 12) % 24
    if number % 2:
        return f"{number % 60} {hour} * * {number % 5 + 1}"
    return f"{number // 2 % 60} {hour} {number // 120 % 28 + 1} {number // 3360 % 12 + 1} *"


def job_text(number: int, *, version: int = 0, schedule: str | None = None, extra: str = "") -> str:
    """One job file."""
    return f"""\
# yaml-language-server: $schema=../job.schema.json
description: Load the orders of region {number} into the warehouse
labels:
  team: data
  tier: "{number % 4}"
schedule: "{schedule or expression(number)}"
timezone: {("UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo")[number % 4]}
image: {IMAGE}
command:
  - /bin/echo
  - --region
  - "{number}"
  - --version={version}
environment:
  REGION: "{number}"
  WAREHOUSE: postgres://warehouse.internal:5432/orders
  BATCH_SIZE: "5000"
  LOG_LEVEL: info
  DRY_RUN: "false"
resources:
  cpus: 0.5
  memory: 256m
  pids_limit: 128
timeout: 30m
stop_grace_period: 20s
concurrency_policy: Forbid
retries:
  limit: 2
  delay: 30s
catch_up: latest
history:
  keep_success: 10
{extra}"""


def job_path(number: int) -> str:
    return f"team-{number % FOLDERS:02}/load-{number:05}.yaml"


def texts(count: int, **kwargs: str) -> dict[str, bytes]:
    """Path below the jobs directory -> contents."""
    return {job_path(n): job_text(n, **kwargs).encode() for n in range(count)}  # type: ignore[arg-type]


def snapshot_of(files: dict[str, bytes]) -> tuple[Snapshot, dict[str, bytes]]:
    """A snapshot of files in memory, and their contents by blob id."""
    blobs = {f"{number:040x}": data for number, data in enumerate(files.values())}
    entries = tuple(
        Entry(path, f"{ROOT}/{path}", blob, len(blobs[blob])) for path, blob in zip(files, blobs, strict=True)
    )
    return Snapshot(Commit("c" * 40, "Anna Roth", 0.0, "a change"), "main", entries), blobs


class Repository:
    """A packed repository of `count` job files; `change` commits new versions of some."""

    def __init__(self, path: Path, count: int, files: dict[str, bytes] | None = None) -> None:
        self.repo, self.path, self.count = GitRepo(path), path, count
        self.repo.git("config", "gc.auto", "0")
        self.repo.commit({f"{ROOT}/{name}": data for name, data in (files or texts(count)).items()}, "the fleet")
        git(path, "gc", "-q")
        self.version = 0

    def change(self, files: int) -> str:
        """Commit `files` changed files, others each time; the commit id."""
        self.version += 1
        start = self.version * files
        numbers = [(start + n) % self.count for n in range(files)]
        return self.repo.commit({f"{ROOT}/{job_path(n)}": job_text(n, version=self.version) for n in numbers})

    def head(self) -> str:
        return self.repo.head()


def applied(desired: DesiredState) -> tuple[dict[str, StandingJob], LiveState]:
    """Ledger and listing as they are once `desired` has been applied."""
    now = datetime.now(UTC)
    rows = {
        name: StandingJob(name, job.spec, job.digest, desired.commit.id, job.path, now, now, now, ref=f"{number:064x}")
        for number, (name, job) in enumerate(desired.jobs.items())
    }
    live = {
        name: LiveJob(name, row.digest, row.revision, row.spec.owner, row.ref, drift=()) for name, row in rows.items()
    }
    return rows, LiveState("docker", live, {})
