"""A real service for tests: a source in; a `reconciler serve` child, its log, its ledger and its commands out."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from reconciler.engine.process import ProcessEngine
from reconciler.history.sqlite import SqliteHistory, open_history
from reconciler.model.live import StandingJob
from reconciler.model.run import RunRecord, SlotRecord, Trigger
from reconciler.schedule.cron import fires
from reconciler.server.client import call
from tests.kit.orders import engine_context

T = TypeVar("T")
PATIENCE = 60.0  # seconds that anything may take on a busy machine
ROOT = Path(__file__).resolve().parents[2]


def eventually(look: Callable[[], T], what: str = "", within: float = PATIENCE) -> T:
    """The first true answer of `look`; fails after `within` seconds."""
    deadline = time.monotonic() + within
    while not (answer := look()):
        assert time.monotonic() < deadline, f"it never came true: {what}"
        time.sleep(0.05)
    return answer


class ServiceChild:
    """One state directory and the service on it, below `folder` (a short path: a socket lies in it).

    `start` may be called again after `stop` or `kill`. `config` holds further lines of the service file.
    """

    def __init__(
        self, folder: Path, source: Path | str, engine: str = "docker", *, instance: str, docker_host: str = "",
        config: str = "", state_dir: Path | None = None,
    ) -> None:  # fmt: skip
        self.folder, self.instance = folder, instance
        self.state_dir = state_dir or folder / "state"
        self.file, self.log_path = folder / "reconciler.yaml", folder / "service.log"
        self.source, self.engine, self.docker_host = str(source), engine, docker_host
        self.configure(config)
        self.child: subprocess.Popen[bytes] | None = None
        self.told: list[str] = []  # what sd_notify was told, one datagram each
        self._notify: socket.socket | None = None

    def configure(self, config: str = "") -> None:
        """Write the service file anew."""
        lines = [
            f"instance: {self.instance}", f"engine: {self.engine}", f"state_dir: {self.state_dir}",
            f"runtime_dir: {self.folder / 'run'}",
        ]  # fmt: skip
        if self.docker_host:
            lines.append(f"docker_host: {self.docker_host}")
        if "source:" not in config:
            lines.append(f"source: {{url: '{self.source}', ref: main}}")
        self.file.write_text("\n".join((*lines, config, "")))

    # -- its life -------------------------------------------------------------------------------------------------
    def spawn(self, *options: str) -> None:
        """Start it and do not wait."""
        assert self.child is None or self.child.poll() is not None, "it is running already"
        (self.folder / "run").mkdir(exist_ok=True)
        self.told.clear()
        environment = {**os.environ, "NOTIFY_SOCKET": self._listen()}
        with self.log_path.open("ab") as log:
            self.child = subprocess.Popen(
                self.argv("serve", *options),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
            )

    def start(self, *options: str) -> "ServiceChild":
        """Start it and wait until it says that it is ready."""
        self.spawn(*options)
        self.await_ready()
        return self

    def await_ready(self) -> None:
        def ready() -> bool:
            assert self.child is not None
            assert self.child.poll() is None, f"it ended with {self.child.returncode}: {self.tail()}"
            return any(line.startswith("READY=1") for line in self.told)

        try:
            eventually(ready, "the service is ready")
        except AssertionError as error:
            raise AssertionError(f"{error}; it told {self.told} and logged {self.tail()}") from None

    def reachable(self) -> "ServiceChild":
        """Wait until its socket answers."""
        eventually(lambda: self.status() is not None, "the service's socket answers")
        return self

    def stop(self) -> int:
        """TERM, and its exit code."""
        return self.end(signal.SIGTERM)

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def end(self, number: signal.Signals) -> int:
        assert self.child is not None
        self.child.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Wait for its end; the exit code."""
        assert self.child is not None
        return self.child.wait(PATIENCE)

    def hang_up(self) -> None:
        assert self.child is not None
        self.child.send_signal(signal.SIGHUP)

    @property
    def alive(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def close(self) -> None:
        if self.alive:
            self.kill()
        if self._notify is not None:
            # Ended before it is closed: a thread that is about to read would read from whoever gets the number next.
            self._notify.shutdown(socket.SHUT_RD)
            self._collector.join(PATIENCE)
            self._notify.close()

    def _listen(self) -> str:
        """The socket that a service manager would read. A thread empties it: a full one would hold the service up."""
        path = self.folder / "notify.sock"
        if self._notify is None:
            self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._notify.bind(str(path))
            self._collector = threading.Thread(target=self._collect, args=(self._notify,), daemon=True)
            self._collector.start()
        return str(path)

    def _collect(self, listener: socket.socket) -> None:
        while said := listener.recv(4096):
            self.told.append(said.decode())

    # -- its commands ---------------------------------------------------------------------------------------------
    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "reconciler", words[0], "--config", str(self.file), *words[1:]]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command, whatever its exit code."""
        return subprocess.run(self.argv(*words), capture_output=True, text=True, timeout=2 * PATIENCE, cwd=ROOT)

    def cli(self, *words: str) -> str:
        """Standard output of a command that succeeds."""
        done = self.run(*words)
        assert done.returncode == 0, f"{words}: {done.returncode} {done.stdout} {done.stderr}"
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.cli(*words, "-o", "json"))

    def check(self) -> tuple[int, str]:
        """(exit code, line) of `reconciler check`."""
        done = self.run("check")
        return done.returncode, done.stdout.strip()

    def status(self) -> dict[str, Any] | None:
        """What the running service says of itself; None if it does not answer."""
        from reconciler.model.errors import ReconcilerError

        try:
            code, answer = call(self.folder / "run/reconciler.sock", "GET", "/v1/status", None, 10.0)
        except ReconcilerError:
            return None
        return answer if code == 200 else None

    def degraded(self, code: str) -> str:
        """What it says is wrong with this stable code, "" = nothing."""
        found = (self.status() or {"degraded": []})["degraded"]
        return next((line for line in found if f"[{code}]" in line), "")

    # -- its log --------------------------------------------------------------------------------------------------
    def entries(self, event: str = "", **fields: object) -> list[dict[str, Any]]:
        """Log entries of all its lives, oldest first."""
        found = []
        for line in self.log_path.read_text(errors="replace").splitlines() if self.log_path.exists() else ():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if (not event or entry.get("event") == event) and fields.items() <= entry.items():
                    found.append(entry)
        return found

    def await_entry(self, event: str, count: int = 1, **fields: object) -> dict[str, Any]:
        """The `count`th entry like this."""
        return eventually(lambda: self.entries(event, **fields)[count - 1 :], f"{event} {fields}")[0]

    def tail(self) -> str:
        return self.log_path.read_text(errors="replace")[-3000:] if self.log_path.exists() else ""

    # -- its ledger -----------------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def ledger(self) -> Iterator[SqliteHistory]:
        """Read-only, beside the running service."""
        history = open_history(self.state_dir / "reconciler.db", read_only=True)
        try:
            yield history
        finally:
            history.close()

    def standing(self) -> dict[str, StandingJob]:
        with self.ledger() as history:
            return dict(history.standing())

    def meta(self, key: str) -> str | None:
        with self.ledger() as history:
            return history.get_meta(key)

    def runs(self, job: str) -> list[RunRecord]:
        """Oldest first."""
        with self.ledger() as history:
            return list(reversed(history.runs(job, limit=5000)))

    def slots(self, job: str) -> list[SlotRecord]:
        """Oldest first."""
        with self.ledger() as history:
            return list(reversed(history.slots(job, limit=5000)))

    def open_runs(self) -> list[RunRecord]:
        """Active ones, and ended ones of which something is still to be kept or removed."""
        with self.ledger() as history:
            return list(history.active_runs())

    def log_of(self, run: RunRecord) -> str:
        return (self.state_dir / run.log).read_text(errors="replace")

    def await_run(self, job: str, phase: str = "running") -> RunRecord:
        """The first run of a job that is in this phase."""
        return eventually(
            lambda: next((run for run in self.runs(job) if run.phase.value == phase), None), f"{job} is {phase}"
        )


@contextlib.contextmanager
def service_child(folder: Path, source: Path | str, engine: str = "docker", **said: Any) -> Iterator[ServiceChild]:
    """A service that is ended, and whose processes are, when the block ends."""
    service = ServiceChild(folder, source, engine, **said)
    try:
        yield service
    finally:
        service.close()
        end_processes(service.state_dir)


def end_processes(state_dir: Path) -> None:
    """KILL what the process engine of this state directory still runs."""
    if not (state_dir / "process").is_dir():
        return
    engine = ProcessEngine(engine_context(str(state_dir)), adopts=True)
    try:
        for run in engine.observe().runs.values():
            engine.kill(run.run_id, run.ref)
    finally:
        engine.close()


# -- what must be true of a job's slots ---------------------------------------------------------------------------


def scheduled(slots: Sequence[SlotRecord]) -> list[SlotRecord]:
    """Without those of manual runs, which carry milliseconds."""
    return [slot for slot in slots if not slot.first.microsecond]


def assert_every_slot_accounted(
    job: StandingJob, slots: Sequence[SlotRecord], since: datetime, until: datetime
) -> None:
    """Rule T5: each instant of the schedule in (since, until] is in exactly one row."""
    due = fires(job.spec.schedule, since, until, job.anchor, 100_000)
    rows = scheduled(slots)
    for instant in due:
        holding = [row for row in rows if row.first <= instant <= row.last]
        assert len(holding) == 1, f"{job.name} at {instant:%H:%M:%S}: {holding or 'no row'}"
    for row in rows:
        inside = [instant for instant in due if row.first <= instant <= row.last]
        if since < row.first and row.last <= until:
            assert len(inside) == row.count, f"{row} holds {len(inside)} slots"


def assert_no_slot_started_twice(runs: Sequence[RunRecord]) -> None:
    """Without `retries` no slot has two attempts that ever started."""
    started: dict[datetime, str] = {}
    for run in runs:
        if run.started_at is not None and run.trigger is not Trigger.MANUAL:
            assert run.slot not in started, f"{run.run_id} and {started[run.slot]} both started"
            started[run.slot] = run.run_id


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)
