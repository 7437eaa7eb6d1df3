"""`reconciler serve`: builds the loops and what runs beside them, and hands them to the service."""

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from .. import __version__
from ..daemon.builds import Builds
from ..daemon.clock import SystemClock
from ..daemon.code_watch import CodeWatch
from ..daemon.draining import boot_id
from ..daemon.events import EventStream
from ..daemon.fetch import Fetcher
from ..daemon.fleet import Fleet
from ..daemon.journal import configure
from ..daemon.kick import Kick
from ..daemon.lean import structlog
from ..daemon.log_pump import Pumps
from ..daemon.loop import Loop
from ..daemon.masks import Masks
from ..daemon.operators import Operators
from ..daemon.pools import Pools
from ..daemon.rotation import Versions
from ..daemon.run_book import Book
from ..daemon.run_loop import RunLoop
from ..daemon.run_ops import RunOps
from ..daemon.service import Background, Part, Service
from ..daemon.settings import socket_path
from ..daemon.sync_loop import APPLIED, SyncLoop
from ..daemon.terminals import Terminals
from ..engine.base import Engine
from ..history.logs import remove_logs
from ..model.errors import ReconcilerError
from ..model.event import EventName
from ..model.ids import parse_run_id
from ..model.plan import Plan
from ..model.run import RunRecord
from ..model.service import ServiceConfig
from ..runs.conditions import but_for
from ..server.api import Status
from ..server.socket import Server
from ..workspace.base import Parts
from ..workspace.outputs import remove as remove_outputs
from .alive import Alive
from .authority import Authority
from .building import building_routes
from .code import code_part
from .dev_routes import dev_routes, end_alone
from .devices import with_devices
from .parts import State, choose_engine, open_state, stager, tidier
from .reading import open_repository
from .reading_routes import reading_routes
from .routes import routes
from .secrets import secrets_part, with_secrets

log = structlog.get_logger()
EVENTS_AGAIN = 2.0  # seconds before a broken event stream is opened again
# For a process's whole life.
FIXED = ("instance", "engine", "state_dir", "docker_host", "engine_paths", "process_user", "runtime_dir")
STACK = 1 << 20  # bytes per thread: a thread per running job must be cheap


def serve(
    config: ServiceConfig, *, reload: Callable[[], ServiceConfig], say: Callable[[str], None],
    show_plan: Callable[[Plan], None] | None = None, verbose: bool = False,
) -> int:  # fmt: skip
    """Run until told to stop; the exit code. Raises AlreadyRunning, StateError before anything is started."""
    masks = Masks()
    configure(verbose=verbose, mask=masks.anything)
    threading.stack_size(STACK)
    config = with_secrets(with_devices(config))
    with open_state(config) as state:
        fleet = Fleet(config)
        engine = choose_engine(config, state, say, lambda: fleet.view.config)
        try:
            return Whole(fleet, state, engine, reload, show_plan, masks).run()
        finally:
            engine.close()


class _Until(threading.Event):
    """Set when `stop` is, or when `current()` is another than `this`: a watcher ends with its source."""

    def __init__(self, stop: threading.Event, current: Callable[[], object], this: object) -> None:
        super().__init__()
        self._stop, self._current, self._this = stop, current, this

    def is_set(self) -> bool:
        return self._stop.is_set() or self._current() is not self._this

    def wait(self, timeout: float | None = None) -> bool:
        self._stop.wait(timeout)
        return self.is_set()


class Whole:
    """Every part of one service, wired."""

    def __init__(
        self, fleet: Fleet, state: State, engine: Engine, reload: Callable[[], ServiceConfig],
        show_plan: Callable[[Plan], None] | None, masks: Masks,
    ) -> None:  # fmt: skip
        config = fleet.view.config
        self.state, self.engine, self._load = state, engine, reload
        self.clock = SystemClock()
        self.started_at = self.clock.now()
        self.fleet = fleet
        self.fleet.publish_standing(state.history.standing())
        self.masks, self.emit = masks, EventStream(state.history, self.clock.now, masks)
        versions = Versions(state.history, self.emit, state.identity.key)
        self.secrets = secrets_part(config, engine.name, state.identity.instance_id, versions.given)
        masks.look_in(self.secrets.values)
        self.code = code_part(config, engine.name, state.identity.instance_id, self._left_behind)
        self.kick_runs, self.kick_sync = Kick(self.clock), Kick(self.clock)
        self.runs = self._run_loop(config)
        self.fetcher = Fetcher(open_repository, f"{config.instance} {config.source.url}")
        self.sync = SyncLoop(
            fetcher=self.fetcher, engine=lambda: engine, history=state.history, fleet=self.fleet, emit=self.emit,
            clock_now=self.clock.now, stage=stager(config), tidy=tidier(config), kick_runs=self.kick_runs,
            kick_self=self.kick_sync, show_plan=show_plan,
        )  # fmt: skip
        self.operators = Operators(
            runs=self.runs, sync=self.sync, history=state.history, fleet=self.fleet, emit=self.emit,
            kick_runs=self.kick_runs, kick_sync=self.kick_sync, drop_files=lambda runs: self._drop(tuple(runs)),
        )  # fmt: skip

    def _run_loop(self, config: ServiceConfig) -> RunLoop:
        history, state_dir = self.state.history, Path(config.state_dir)
        self._state_dir = state_dir
        self.pools, book = Pools(self.kick_runs), Book()
        self.terminals = Terminals(lambda: self.engine, key=self.state.identity.key)
        pumps = Pumps(lambda: self.engine, lambda: self.fleet.view.config.limits.run_log_bytes, self.masks.stream)
        ops = RunOps(lambda: self.engine, history, stager(config), pumps, state_dir,
                     Parts([self.code, self.secrets]), self.masks, self.terminals)  # fmt: skip
        alive = Alive(state_dir / "alive")
        return RunLoop(
            history=history, fleet=self.fleet, emit=self.emit, pools=self.pools, book=book, ops=ops,
            boot=self.clock.boot, last_alive=alive.last(), alive=alive,
            drop_logs=lambda runs: self._drop(tuple(runs)), relist=lambda: self._heard(""),
            boot_id=boot_id(),
        )  # fmt: skip

    def _left_behind(self, run: str, path: Path) -> None:
        self.emit.emit(EventName.CODE_LEFT, run=run, path=str(path), hint=f"as root: rm -rf {path}")

    def _drop(self, runs: tuple[RunRecord, ...]) -> None:
        """History has let go of these runs."""
        remove_logs(self._state_dir, runs)
        remove_outputs(runs, self._state_dir)

    def run(self) -> int:
        service: Service | None = None

        def fatal(error: BaseException) -> None:
            if service is not None:
                service.fatal(error)

        config = self.fleet.view.config
        runs = Loop("run", self.runs.step, self.clock, fatal=fatal, kick=self.kick_runs)
        sync = Loop("sync", self._sync_step, self.clock, fatal=fatal, kick=self.kick_sync)
        authority = Authority(lambda: self.fleet.view.config)
        handlers = routes(self.operators, authority, self._job_of, self.status, lambda: self.fleet.view, self.clock.now)
        reading = reading_routes(self.state.history, authority, self._state_dir, self.engine.preview)
        builds = Builds(engine=lambda: self.engine, fleet=self.fleet, code=self.code, emit=self.emit)
        building = building_routes(builds, authority, lambda: self.fleet.view.config)
        shells = dev_routes(self.operators, authority, self.state.history, self.engine, self.terminals)
        whole = {**handlers, **reading, **building, **shells}
        self.server = Server(socket_path(config), whole, others=authority.knows,
                             open_to_all=config.has_accounts)  # fmt: skip
        parts: list[Part] = [
            self.server,
            Background("engine-events", self._listen),
            Background("watch", self._watch),
            Background("code-watch", self._code_watch().run),
            Background("terminals", lambda stop: end_alone(stop, self.state.history, self.operators, self.terminals)),
        ]
        threading.excepthook = lambda met: fatal(met.exc_value or RuntimeError("a thread ended without saying why"))
        service = Service(
            runs=runs, sync=sync, parts=parts, clock=self.clock, status=self.status_line, reload=self.reload,
            unfit=self.state.unfit,
        )  # fmt: skip
        self.emit.emit(EventName.SERVICE_STARTED, version=__version__, engine=self.engine.name, pid=os.getpid(),
                       instance=config.instance, source=config.source.url, ref=config.source.ref)  # fmt: skip
        try:
            return service.run()
        finally:
            self.sync.stopping.set()
            self.pools.close()
            self.fetcher.close()
            self.emit.emit(EventName.SERVICE_STOPPED)

    def _job_of(self, run_id: str) -> str:
        """The job of a run: by its record, else as its id says; of what is no run id, itself."""
        found = self.state.history.run(run_id)
        try:
            return found.job if found is not None else parse_run_id(run_id).job
        except ValueError:
            return run_id

    # -- what runs beside the loops ---------------------------------------------------------------------------
    def _sync_step(self, now: datetime) -> datetime | None:
        self.sync.settle()
        config = self.fleet.view.config
        if (looked := with_secrets(config)) is not config:
            self.fleet.change(lambda view: replace(view, config=looked) if view.config is config else view)
        return self.sync.step(now)

    def _code_watch(self) -> CodeWatch:
        return CodeWatch(
            growth=self.code.growth, lacking=self.code.lacking,
            bound=lambda: self.fleet.view.config.limits.checkout_bytes,
            runs=self.runs, kick=self.kick_runs, history=self.state.history, emit=self.emit,
        )  # fmt: skip

    def _listen(self, stop: threading.Event) -> None:
        """The engine's kicks: about a run to the run loop, about a standing job to the sync loop."""
        while not stop.is_set():
            with contextlib.suppress(ReconcilerError):
                for name in self.engine.events(stop):
                    self._heard(name)
            stop.wait(EVENTS_AGAIN)
            self._heard("")  # events were missed: look

    def _heard(self, name: str) -> None:
        try:
            parse_run_id(name)
        except ValueError:
            self.sync.changed(name)
            self.kick_sync()
        else:
            self.runs.poke(name)
            self.kick_runs()

    def _watch(self, stop: threading.Event) -> None:
        """The repository's kicks. Sources belong to one thread, `watch` excepted."""
        while not stop.is_set():
            source = self.fetcher.source
            if source is not None:
                self.kick_sync()  # for what was pushed since the last look and before this watch
                with contextlib.suppress(ReconcilerError):
                    source.watch(_Until(stop, lambda: self.fetcher.source, source), self.kick_sync)
            if self.fetcher.source in (None, source):
                stop.wait(1.0)

    # -- status and reload ------------------------------------------------------------------------------------
    def reload(self) -> None:
        """SIGHUP: take the service file anew; what cannot be changed while running is said and left."""
        old = self.fleet.view.config
        try:
            new = with_secrets(with_devices(self._load()))
        except ReconcilerError as error:
            log.error("service.reload-failed", code=error.code, error=str(error), hint=error.hint)
            return
        fixed = [name for name in FIXED if getattr(new, name) != getattr(old, name)]
        if fixed:
            log.error("service.reload-failed", code="restart-needed", hint="systemctl restart reconciler",
                      error=f"cannot change {', '.join(fixed)} while running")  # fmt: skip
            return
        self.fleet.reconfigure(new)
        self.server.let_in(everybody=new.has_accounts)
        self.emit.emit(EventName.SERVICE_RELOADED)
        self.sync.look()
        self.kick_sync()
        self.kick_runs()

    def degraded(self) -> tuple[str, ...]:
        return tuple(f"{name}: {c.message} [{c.code}]" for name, c in sorted(self.fleet.conditions.items()) if not c.ok)

    def status(self) -> Status:
        view, conditions = self.fleet.view, self.fleet.conditions
        engine = conditions.get("engine")
        return Status(
            instance=view.config.instance, version=__version__, pid=os.getpid(), started_at=self.started_at,
            engine=self.engine.name, engine_ok=engine is None or engine.ok,
            revision=self.state.history.get_meta(APPLIED) or "", ref=view.config.source.ref, synced_at=view.synced_at,
            jobs=len(view.standing), running=self.runs.running, degraded=self.degraded(),
            failed=self.sync.held.behind[0], held=self.sync.held.behind[1], timezone=view.config.timezone,
        )  # fmt: skip

    def status_line(self) -> str:
        """One line for `systemctl status`."""
        view = self.fleet.view
        bad = self.degraded()
        where = view.desired.commit.short if view.desired is not None else "no revision yet"
        line = f"{len(view.standing)} jobs, {self.runs.running} running; in step with {where}"
        line += but_for(*self.sync.held.behind)
        return f"DEGRADED: {bad[0]}; {line}" if bad else line
