"""One life of the service: the real loops on the real ledger, wired as `reconciler serve` wires them."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

from reconciler.daemon.events import EventStream
from reconciler.daemon.fetch import Fetcher
from reconciler.daemon.fleet import Fleet
from reconciler.daemon.log_pump import Pumps
from reconciler.daemon.operators import Operators
from reconciler.daemon.run_book import Book
from reconciler.daemon.run_loop import RunLoop
from reconciler.daemon.run_ops import RunOps
from reconciler.daemon.sync_loop import SyncLoop
from reconciler.engine.base import EngineContext
from reconciler.engine.memory import MemoryEngine
from reconciler.history.base import History
from reconciler.history.logs import remove_logs
from reconciler.history.sqlite import open_history
from reconciler.model.errors import EngineUnavailable, ReconcilerError
from reconciler.model.ids import parse_run_id
from reconciler.model.run import RunRecord

from .ledger import Ledger
from .machine import OneAfterAnother, Pools, Wire
from .repository import RepositorySource

if TYPE_CHECKING:
    from .world import World

# How often the service looks although nothing speaks to it. With its own pace a month is mostly looking at nothing.
RELAXED = {"look": 2 * 3600.0, "prune": 36 * 3600.0, "relist": 48 * 3600.0, "drift": 36 * 3600.0}
OWN_PACE = {"look": 5.0, "prune": 60.0, "relist": 300.0, "drift": 3600.0}
DATABASE = "reconciler.db"
NEVER = float("inf")


class DrainOnly(Pumps):
    """Logs are fetched when a run has ended; no thread follows it."""

    def ensure(self, run_id: str, ref: str, path: Path) -> None: ...


class Tempo:
    """When a loop is to be stepped next, in true seconds; what `Loop` and `Kick` do with threads."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.at = now()
        self.waits = False  # its thread has not started: a kick is not heard
        self.failures = 0
        self.steps = 0  # since time has passed last
        self._stepped_at = -1.0

    def kick(self) -> None:
        if not self.waits:
            self.at = min(self.at, self._now())

    def stepped(self, wake: float | None) -> None:
        now = self._now()
        self.steps = self.steps + 1 if now == self._stepped_at else 1
        self._stepped_at = now
        self.at = NEVER if wake is None else max(wake, now)


class Service:
    """Made anew after each death. `step_runs` and `step_sync` are one round of a loop."""

    def __init__(self, world: "World") -> None:
        self.world, time = world, world.time
        state = world.path
        self.history = open_history(state / DATABASE)
        self.ledger = Ledger(self.history, world.fates, world.wrote)
        ledger = cast(History, self.ledger)
        context = EngineContext("local", "0" * 32, b"k" * 32, str(state))
        self.wire = Wire(MemoryEngine(context, world.machine.world), world.machine, world.pass_inside)
        self.fleet = Fleet(world.config)
        self.runs_at, self.sync_at = Tempo(lambda: time.true), Tempo(lambda: time.true)
        self.pools = Pools(time, world.fates, self.runs_at.kick)
        self.emit = EventStream(ledger, time.wall)
        pumps = DrainOnly(lambda: self.wire, lambda: 1 << 16)
        ops = RunOps(lambda: self.wire, ledger, lambda _spec, _digest: (), pumps, state)
        pace = world.pace
        self.fleet.publish_standing(self.history.standing())
        self.runs = RunLoop(
            history=ledger, fleet=self.fleet, emit=self.emit, pools=self.pools,  # type: ignore[arg-type]
            book=Book(look_every=pace["look"]), ops=ops, boot=time.boot, last_alive=world.last_alive,
            alive=self._alive, drop_logs=self._dropped, relist=lambda: self.heard(""),
            prune_every=timedelta(seconds=pace["prune"]), boot_id=str(world.boots),
        )  # fmt: skip
        fetcher = Fetcher(lambda _config: RepositorySource(world.repository, self._weather, local=world.local), "s")
        self.sync = SyncLoop(
            fetcher=fetcher, engine=lambda: self.wire, history=ledger, fleet=self.fleet, emit=self.emit,
            clock_now=time.wall, stage=lambda _spec, _digest: (), kick_runs=self.runs_at.kick,
            kick_self=self.sync_at.kick, tidy=lambda _keep: None, pool=OneAfterAnother, relist=pace["relist"],
            drift_turn=timedelta(seconds=pace["drift"]),
        )  # fmt: skip
        self.operators = Operators(
            runs=self.runs, sync=self.sync, history=ledger, fleet=self.fleet, emit=self.emit,
            kick_runs=self._serve_now, kick_sync=self.sync_at.kick,
            drop_files=lambda _runs: None,
        )  # fmt: skip
        self.sync_at.at, self.sync_at.waits = NEVER, True  # its thread starts after the run loop's first round

    # -- rounds -----------------------------------------------------------------------------------------------
    def step_runs(self) -> None:
        wake = self._step(self.runs.step, self.runs_at)
        self.runs_at.stepped(None if wake is None else self.world.time.true_of(wake))
        if self.sync_at.waits:
            self.sync_at.waits = False
            self.sync_at.kick()

    def step_sync(self) -> None:
        wake = self._step(self._sync_step, self.sync_at)
        self.sync_at.stepped(None if wake is None else self.world.time.true_of(wake))

    def _step(self, step: Callable[[datetime], datetime | None], tempo: Tempo) -> datetime | None:
        now = self.world.time.wall()
        tempo.at = NEVER
        try:
            wake = step(now)
            tempo.failures = 0
        except ReconcilerError as error:
            tempo.failures += 1
            self.world.note(f"step failed: {error}")
            return self.world.time.wall() + timedelta(seconds=min(60.0, 0.5 * 2**tempo.failures))
        if tempo.at < NEVER:  # kicked meanwhile
            return self.world.time.wall()
        return wake

    def _sync_step(self, now: datetime) -> datetime | None:
        self.sync.settle()
        return self.sync.step(now)

    # -- what the loops are told ------------------------------------------------------------------------------
    def heard(self, name: str) -> None:
        try:
            parse_run_id(name)
        except ValueError:
            self.sync.changed(name)
            self.sync_at.kick()
        else:
            self.runs.poke(name)
            self.runs_at.kick()

    def _serve_now(self) -> None:
        """An operator waits for the answer: let the run loop give it."""
        for _ in range(4):
            if self.runs.requests.empty():
                return
            self.step_runs()
        raise EngineUnavailable("cannot reach the loop that fires: it is busy", code="service-busy")

    def _weather(self) -> bool:
        fates = self.world.fates
        fates.begin()
        if fates.git_slow:
            self.world.pass_inside(fates.dice.uniform(1.0, 60.0))
        return not fates.git_away

    def _alive(self, now: datetime) -> None:
        self.world.last_alive = now

    def _dropped(self, runs: Iterable[RunRecord]) -> None:
        runs = list(runs)
        self.world.rules.dropped(run.run_id for run in runs)
        remove_logs(self.world.path, runs)

    def die(self) -> None:
        """kill -9: what was in memory is gone; what was committed is on disk."""
        self.pools.close()
        self.history.close()
