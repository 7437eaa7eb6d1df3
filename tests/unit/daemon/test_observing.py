"""An engine that stops answering is noticed within half a minute though nothing happens, and heard again."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from reconciler.daemon.events import EventStream
from reconciler.daemon.fleet import Fleet
from reconciler.daemon.observing import PINGS, RELIST, RENEW, Observer
from reconciler.engine.memory import MemoryEngine
from reconciler.model.errors import EngineUnavailable, Permanent
from reconciler.model.live import LivePhase, LiveRun, LiveState
from reconciler.model.service import ServiceConfig
from tests.kit.synced import Synced
from tests.kit.world import World

PING = timedelta(seconds=RELIST / PINGS)


def observer(world: World) -> tuple[Observer, Fleet]:
    fleet = Fleet(ServiceConfig())
    return Observer(lambda: world.engine, fleet, EventStream(world.history, lambda: world.time)), fleet


def listings(world: World) -> list[str]:
    return [verb for verb, _ in world.machine.calls if verb in ("observe", "ping")]


def test_between_two_listings_it_is_only_asked_whether_it_is_there(tmp_path: Path) -> None:
    world = World(tmp_path)
    seen, _ = observer(world)
    world.machine.calls.clear()
    first = seen.observe(world.time, kicked=False)
    for _ in range(PINGS - 1):
        world.time += PING
        assert seen.observe(world.time, kicked=False) is first
    world.time += PING
    assert seen.observe(world.time, kicked=False) is not None
    assert listings(world) == ["observe", *["ping"] * (PINGS - 1), "observe"]
    assert min(at for at in seen.next_at(world.time) if at is not None) == world.time + PING


class Coarse(MemoryEngine):
    """Its listing tells nothing of drift: only a look at the object does."""

    def observe(self) -> LiveState:
        live = super().observe()
        return replace(live, jobs={name: replace(job, drift=()) for name, job in live.jobs.items()})


def test_P1_a_drift_that_somebody_has_undone_is_no_longer_planned_against(tmp_path: Path) -> None:
    synced = Synced(tmp_path, engine=Coarse)
    synced.write("a", "busybox")
    synced.rounds()

    def planned(*drift: str) -> list[str]:
        synced.world.drift = {"a": drift} if drift else {}
        synced.loop.changed("a")
        synced.rounds()
        assert synced.fleet.view.plan is not None
        return [action.kind.value for action in synced.fleet.view.plan.actions]

    synced.world.fail("install", Permanent("cannot pull busybox: no such image"), name="a", times=99)
    assert planned("memory is 1g, not 512m") == ["heal"]
    assert planned() == []
    synced.close()


def test_nothing_follows_from_a_listing_that_says_the_same_but_once_an_hour(tmp_path: Path) -> None:
    world = World(tmp_path)
    seen, _ = observer(world)
    first = seen.observe(world.time, kicked=False)
    world.time += timedelta(seconds=RELIST)
    assert seen.observe(world.time, kicked=False) is first
    world.time += RENEW
    renewed = seen.observe(world.time, kicked=False)
    assert renewed is not first
    assert renewed == first


class Running:
    """An engine of which only `observe` matters."""

    def observe(self) -> LiveState:
        shown = LiveRun("etl.20261124T020000Z.1", "etl", "r1", LivePhase.RUNNING)
        return LiveState("memory", {}, {shown.run_id: shown})


def test_P6_a_listing_that_shows_runs_is_always_news(tmp_path: Path) -> None:
    """Whether a run in it is to be adopted or swept depends on the ledger, too."""
    world = World(tmp_path)
    seen = Observer(Running, Fleet(ServiceConfig()), EventStream(world.history, lambda: world.time))  # type: ignore[arg-type]
    first = seen.observe(world.time, kicked=True)
    assert seen.observe(world.time, kicked=True) is not first


def test_an_engine_that_hangs_is_a_condition_soon_and_ends_with_its_answer(tmp_path: Path) -> None:
    world = World(tmp_path)
    seen, fleet = observer(world)
    assert seen.observe(world.time, kicked=False) is not None
    world.machine.fail("ping", EngineUnavailable("it does not answer"))
    world.time += PING
    assert seen.observe(world.time, kicked=False) is None
    assert not fleet.conditions["engine"].ok
    world.time += timedelta(seconds=2)
    assert seen.observe(world.time, kicked=False) is not None, "listed anew, not pinged"
    assert fleet.conditions["engine"].ok
