"""A sync loop without threads: a plain directory of job files, a simulated engine, a real ledger, a clock to turn."""

import json
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from reconciler.daemon.events import EventStream
from reconciler.daemon.fetch import Fetcher
from reconciler.daemon.fleet import Fleet
from reconciler.daemon.holds import HELD
from reconciler.daemon.sync_loop import SyncLoop
from reconciler.engine.base import Engine, EngineContext
from reconciler.engine.memory import MemoryEngine, MemoryWorld
from reconciler.history.base import History
from reconciler.history.sqlite import SqliteHistory, open_history
from reconciler.model.service import ServiceConfig, SourceConfig
from reconciler.source.directory import Directory
from tests.kit.orders import engine_context
from tests.simulation.faults import Fates
from tests.simulation.ledger import Ledger

NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)


class Synced:
    """`write` a job file, then let the loop work: `rounds` moves time, `restart` is a new process."""

    def __init__(
        self, folder: Path, fates: Fates | None = None,
        engine: Callable[[EngineContext, MemoryWorld], Engine] = MemoryEngine,
    ) -> None:  # fmt: skip
        """`fates` decides what the disk takes. `on_stage` is called when an action begins. `engine` makes the engine of
        each process."""
        self._kind = engine
        self.fates, self.on_stage = fates or Fates(random.Random(0)), lambda: None
        self.jobs = folder / "repo" / "jobs.d"
        self.jobs.mkdir(parents=True)
        self.world, self.time = MemoryWorld(clock=lambda: self.time), NOW
        self.folder = folder
        self._open()

    def _open(self) -> None:
        folder = self.folder
        self.history: SqliteHistory = open_history(folder / "reconciler.db")
        engine = self._kind(engine_context(str(folder)), self.world)
        config = ServiceConfig(source=SourceConfig(url=f"dir:{folder / 'repo'}"), state_dir=str(folder))
        self.fetcher = Fetcher(lambda _config: Directory(str(folder / "repo"), ("jobs.d",)), "seed")
        self.fleet = Fleet(config)
        self.fleet.publish_standing(self.history.standing())
        ledger = cast(History, Ledger(self.history, self.fates, lambda _name, _said: None))
        self.loop = SyncLoop(
            fetcher=self.fetcher, engine=lambda: engine, history=ledger, fleet=self.fleet,
            emit=EventStream(self.history, lambda: self.time), clock_now=lambda: self.time,
            stage=lambda _spec, _digest: self.on_stage() or (), kick_runs=lambda: None, kick_self=lambda: None,
            tidy=lambda _used: None,
        )  # fmt: skip

    def rounds(self, minutes: float = 1.0) -> dict[str, str]:
        """Let it look again for a while; what is held then."""
        self.time += timedelta(minutes=minutes)
        for _ in range(4):
            self.loop.step(self.time)
        return {name: row["message"] for name, row in json.loads(self.history.get_meta(HELD) or "{}").items()}

    def write(self, name: str, image: str, schedule: str = "manual") -> None:
        (self.jobs / f"{name}.yaml").write_text(f"schedule: '{schedule}'\nimage: {image}\n")

    def restart(self) -> None:
        self.close()
        self._open()

    def close(self) -> None:
        self.fetcher.close()
        self.history.close()

    def stepping(self) -> Callable[[], None]:
        """Let one pass begin in a thread of its own; what is returned waits for its end."""
        thread = threading.Thread(target=self.loop.step, args=(self.time,))
        thread.start()
        return lambda: thread.join(30.0)
