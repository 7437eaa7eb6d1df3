"""The real service as a child process: `reconciler serve` on a repository, with a state directory of its own."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PATIENCE = 300.0  # seconds for a fleet to be applied


def installed(folder: Path) -> dict[str, str]:
    """The environment of a child that runs from compiled modules, as an installed package does."""
    left_out = ("RECONCILER_", "PYTHONDONTWRITEBYTECODE")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
    return kept | {"PYTHONPYCACHEPREFIX": str(folder / "compiled")}


class Service:
    def __init__(self, child: subprocess.Popen[bytes], state: Path) -> None:
        self.child, self.state = child, state

    def await_jobs(self, count: int) -> None:
        """Until so many jobs stand in the ledger."""
        deadline = time.monotonic() + PATIENCE
        while self.jobs() != count:
            assert self.child.poll() is None, (self.state / "serve.log").read_text()[-3000:]
            assert time.monotonic() < deadline, f"{self.jobs()} of {count} jobs after {PATIENCE} s"
            time.sleep(0.25)

    def jobs(self) -> int:
        found = self.query("SELECT count(*) FROM standing")
        return int(found[0][0]) if found else 0

    def query(self, sql: str) -> list[tuple]:
        """Rows of the ledger, read-only."""
        try:
            connection = sqlite3.connect(f"file:{self.state}/reconciler.db?mode=ro", uri=True)
            try:
                return connection.execute(sql).fetchall()
            finally:
                connection.close()
        except sqlite3.OperationalError:
            return []

    def memory(self) -> float:
        """Resident set, MiB."""
        for line in Path(f"/proc/{self.child.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def cpu(self) -> float:
        """Processor time so far of the threads that live, in seconds: to the nanosecond where the kernel tells."""
        try:
            tasks = Path(f"/proc/{self.child.pid}/task").iterdir()
            return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
        except OSError:
            fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / TICKS

    def switches(self) -> int:
        """Voluntary context switches so far, of all threads."""
        total = 0
        for task in Path(f"/proc/{self.child.pid}/task").iterdir():
            for line in (task / "status").read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches:"):
                    total += int(line.split()[1])
        return total


@contextmanager
def service(
    repository: Path, state: Path, docker_host: str, instance: str, engine: str = "docker", more: str = ""
) -> Iterator[Service]:
    """Serve, with `more` lines in the service file, until the block ends; then TERM, and KILL if that is not heard."""
    state.mkdir(parents=True, exist_ok=True)
    config = state / "service.yaml"
    host = f"docker_host: {docker_host}\n" if docker_host else ""
    config.write_text(f"instance: {instance}\n{host}{more}")
    environment = installed(state.parent) | {"MALLOC_ARENA_MAX": "1"}  # as the installed unit says
    with open(state / "serve.log", "ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "reconciler", "serve", "--config", str(config), "--source", str(repository),
             "--ref", "main", "--engine", engine, "--state-dir", str(state)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
            cwd=Path(__file__).resolve().parents[1],
        )  # fmt: skip
    try:
        yield Service(child, state)
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
