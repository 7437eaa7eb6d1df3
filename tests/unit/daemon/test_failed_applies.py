"""Promise: a change that cannot be made is never called done: it shows as held until it is made or given up (P7)."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.daemon.events import EventStream
from reconciler.daemon.fetch import Fetcher
from reconciler.daemon.fleet import Fleet
from reconciler.daemon.holds import HELD
from reconciler.daemon.sync_loop import SyncLoop
from reconciler.engine.memory import MemoryEngine, MemoryWorld
from reconciler.history.sqlite import SqliteHistory, open_history
from reconciler.model.errors import Permanent
from reconciler.model.service import ServiceConfig, SourceConfig
from reconciler.source.directory import Directory
from tests.kit.orders import engine_context

NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)


class Synced:
    """A sync loop on a plain directory and a simulated engine."""

    def __init__(self, folder: Path) -> None:
        self.jobs = folder / "repo" / "jobs.d"
        self.jobs.mkdir(parents=True)
        self.world, self.time = MemoryWorld(clock=lambda: self.time), NOW
        self.history: SqliteHistory = open_history(folder / "reconciler.db")
        engine = MemoryEngine(engine_context(str(folder)), self.world)
        config = ServiceConfig(source=SourceConfig(url=f"dir:{folder / 'repo'}"), state_dir=str(folder))
        self.fetcher = Fetcher(lambda _config: Directory(str(folder / "repo"), ("jobs.d",)), "seed")
        self.loop = SyncLoop(
            fetcher=self.fetcher, engine=lambda: engine, history=self.history, fleet=Fleet(config),
            emit=EventStream(self.history, lambda: self.time), clock_now=lambda: self.time,
            stage=lambda _spec, _digest: (), kick_runs=lambda: None, kick_self=lambda: None, tidy=lambda _used: None,
        )  # fmt: skip

    def rounds(self, minutes: float = 1.0) -> dict[str, str]:
        """Let it look again for a while; what is held then."""
        self.time += timedelta(minutes=minutes)
        for _ in range(4):
            self.loop.step(self.time)
        return {name: row["message"] for name, row in json.loads(self.history.get_meta(HELD) or "{}").items()}

    def write(self, name: str, image: str) -> None:
        (self.jobs / f"{name}.yaml").write_text(f"schedule: manual\nimage: {image}\n")


@pytest.fixture
def synced(tmp_path: Path) -> Iterator[Synced]:
    made = Synced(tmp_path)
    yield made
    made.fetcher.close()
    made.history.close()


def test_P7_a_job_that_cannot_be_installed_is_held_until_it_can(synced: Synced) -> None:
    synced.write("good", "a:1")
    synced.write("bad", "b:1")
    synced.world.fail("install", Permanent("cannot pull b:1: no such image", code="image-missing"), name="bad")
    assert synced.rounds() == {"bad": "cannot create: cannot pull b:1: no such image"}
    assert synced.rounds(minutes=10) == {}, "the next try made it"
    assert set(synced.history.standing()) == {"good", "bad"}


def test_P7_what_git_no_longer_asks_for_is_not_held(synced: Synced) -> None:
    synced.write("good", "a:1")
    synced.write("bad", "b:1")
    synced.world.fail("install", Permanent("cannot pull b:1: no such image"), name="bad", times=99)
    assert set(synced.rounds()) == {"bad"}
    (synced.jobs / "bad.yaml").unlink()
    assert synced.rounds(minutes=10) == {}
