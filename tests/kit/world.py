"""A run loop without threads: a clock that is turned by hand, the memory engine, a real ledger, workers on the spot."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from typing import ClassVar

from reconciler.daemon.events import EventStream
from reconciler.daemon.fleet import Fleet
from reconciler.daemon.log_pump import Pumps
from reconciler.daemon.masks import Masks
from reconciler.daemon.operators import Operators
from reconciler.daemon.run_book import Book
from reconciler.daemon.run_loop import RunLoop
from reconciler.daemon.run_ops import Result, RunOps
from reconciler.engine.base import EngineContext, RunOrder
from reconciler.engine.memory import Behaviour, MemoryEngine, MemoryWorld
from reconciler.history.sqlite import SqliteHistory, open_history
from reconciler.model.job import JobSpec, Schedule, ScheduleKind
from reconciler.model.live import StandingJob
from reconciler.model.run import RunRecord
from reconciler.model.service import ServiceConfig
from reconciler.model.workspace import NOTHING, Workspace
from reconciler.schedule.due import carry_cursor
from reconciler.spec.canonical import digest_of
from reconciler.workspace.base import Part, Parts

NIGHT = datetime.fromisoformat("2026-11-24T02:00:00+00:00")


class InlinePools:
    """Pools whose work is done when it is submitted; the answer is booked in the next round, as with threads.

    `hold` keeps work of one kind undone until `release`: a call that takes long.
    """

    def __init__(self) -> None:
        self.results: SimpleQueue[Result] = SimpleQueue()
        self.held: list[Callable[[], Result]] = []
        self.hold = ""

    def submit(self, kind: str, call: Callable[[], Result]) -> None:
        if kind == self.hold:
            self.held.append(call)
        else:
            self.results.put(call())

    def release(self) -> None:
        self.hold = ""
        for call in self.held:
            self.results.put(call())
        self.held.clear()

    def drain(self) -> list[Result]:
        found = []
        while not self.results.empty():
            found.append(self.results.get())
        return found

    def close(self) -> None: ...


class KeptOps(RunOps):
    """Remembers what the engine was told of each run."""

    orders: ClassVar[dict[str, RunOrder]] = {}

    def order(self, run: RunRecord, spec: JobSpec, config: ServiceConfig, made: Workspace = NOTHING) -> RunOrder:
        order = self.orders[run.run_id] = super().order(run, spec, config, made)
        return order


class World:
    """`tick(seconds)` moves time in steps and lets the loop work; `restart()` is a kill -9 and a new process."""

    def __init__(self, tmp_path: Path, config: ServiceConfig | None = None, start: datetime = NIGHT,
                 workspace: Part | None = None) -> None:  # fmt: skip
        self.path, self.time, self.boot_time = tmp_path, start, 1000.0
        self.workspace, self.masks = workspace or Parts(), Masks()
        self.config = config or ServiceConfig(state_dir=str(tmp_path))
        self.machine = MemoryWorld(clock=lambda: self.time)
        KeptOps.orders.clear()
        self.relists = 0  # how often the loop asked for a listing
        self.last_alive: datetime | None = None
        self.boot_id = "this one"
        self._open()

    def _open(self) -> None:
        self.history: SqliteHistory = open_history(self.path / "reconciler.db")
        context = EngineContext("local", "0" * 32, b"k" * 32, str(self.path))
        self.engine = MemoryEngine(context, self.machine)
        self.fleet, self.pools, self.book = Fleet(self.config), InlinePools(), Book()
        self.emit = EventStream(self.history, lambda: self.time, self.masks)
        pumps = Pumps(lambda: self.engine, lambda: 1 << 20, self.masks.stream)
        ops = KeptOps(lambda: self.engine, self.history, lambda _spec, _digest: (), pumps, self.path, self.workspace,
                      self.masks)  # fmt: skip
        self.loop = RunLoop(
            history=self.history, fleet=self.fleet, emit=self.emit, pools=self.pools, book=self.book, ops=ops,
            boot=lambda: self.boot_time, last_alive=self.last_alive, alive=self._alive, drop_logs=lambda _runs: None,
            relist=self._relist, boot_id=self.boot_id,
        )  # type: ignore[arg-type]  # fmt: skip
        self.operators = Operators(
            runs=self.loop, sync=None, history=self.history, fleet=self.fleet, emit=self.emit,
            kick_runs=lambda: self.rounds(1), kick_sync=lambda: None,
            drop_files=lambda _runs: None,
        )  # type: ignore[arg-type]  # fmt: skip
        self.fleet.publish_standing(self.history.standing())

    def _relist(self) -> None:
        self.relists += 1

    def _alive(self, now: datetime) -> None:
        self.last_alive = now

    # -- what the sync loop would do --------------------------------------------------------------------------
    def apply(self, *specs: JobSpec) -> None:
        """These jobs are applied now; those with a row keep what the rules let them keep."""
        standing = self.history.standing()
        for spec in specs:
            cursor, anchor = carry_cursor(standing.get(spec.name), spec, self.time)
            self.history.put_standing(StandingJob(
                spec.name, spec, digest_of(spec), "r" * 40, f"jobs.d/{spec.name}.yaml", self.time, cursor, anchor,
                ref="standing", image_id="image:1",
            ))  # fmt: skip
        self.fleet.publish_standing(self.history.standing())

    def retire(self, name: str) -> None:
        self.history.drop_standing(name)
        self.fleet.publish_standing(self.history.standing())

    def list_anew(self) -> None:
        """The sync loop has listed the engine."""
        live = self.engine.observe()
        self.fleet.change(lambda view: replace(view, live=live))

    def ask(self, job: str, key: str = "", **parameters: str) -> RunRecord:
        """A person asks for a run; raises what the person would be told."""
        return self.operators.run_job(job, "anna", {k.replace("_", "-"): v for k, v in parameters.items()}, key)[0]

    def behave(self, job: str, **said: object) -> None:
        self.machine.behave(job, Behaviour(**said))  # type: ignore[arg-type]

    # -- time -------------------------------------------------------------------------------------------------
    def rounds(self, count: int = 8) -> None:
        """Let the loop work without time passing, and hear the engine's events."""
        for _ in range(count):
            for run_id in list(self.machine.runs):
                self.loop.poke(run_id)
            self.loop.step(self.time)

    def tick(self, seconds: float, step: float = 1.0) -> None:
        end = self.time + timedelta(seconds=seconds)
        while self.time < end:
            piece = min(step, (end - self.time).total_seconds())
            self.time += timedelta(seconds=piece)
            self.boot_time += piece
            self.rounds(4)

    def restart(self, down: float = 0.0) -> None:
        """The process is killed and comes back `down` seconds later; the engine goes on meanwhile."""
        self.history.close()
        self.time += timedelta(seconds=down)
        self.boot_time += down
        self._open()
        self.rounds()

    # -- what can be seen -------------------------------------------------------------------------------------
    def environment(self, run_id: str) -> dict[str, str]:
        """What the run was given."""
        return dict(KeptOps.orders[run_id].environment)

    def runs(self, job: str) -> list[RunRecord]:
        """Oldest first."""
        return list(reversed(self.history.runs(job, limit=1000)))

    def verdicts(self, job: str) -> list[str]:
        return [run.phase.value for run in self.runs(job)]

    def slots(self, job: str) -> list[tuple[str, str, int]]:
        """(first slot, disposition, count), oldest first."""
        return [(f"{s.first:%H:%M:%S}", s.disposition.value, s.count) for s in reversed(self.history.slots(job))]

    def starts(self) -> int:
        """How often any command was really started, runs that were discarded included."""
        return sum(1 for verb, _ in self.machine.calls if verb == "launch")


def every(seconds: float, name: str = "beat", **fields: object) -> JobSpec:
    schedule = Schedule(ScheduleKind.EVERY, f"@every {seconds:g}s", every=seconds)
    return replace(JobSpec(name, "default", schedule, "busybox:local", script="true"), **fields)  # type: ignore[arg-type]


def cron(expression: str, name: str = "nightly", **fields: object) -> JobSpec:
    schedule = Schedule(ScheduleKind.CRON, expression)
    return replace(JobSpec(name, "default", schedule, "busybox:local", script="true"), **fields)  # type: ignore[arg-type]
