"""Of many runs due at once, none is started before its record is on disk, all are, in turn, and each is seen to end."""

from datetime import timedelta
from pathlib import Path

from reconciler.engine.base import EngineContext
from reconciler.engine.memory import MemoryEngine
from reconciler.history.sqlite import open_history
from reconciler.model.live import LiveRun
from reconciler.model.run import Phase
from tests.kit.world import World, cron

JOBS = [f"job-{number:02}" for number in range(40)]


class Witness(MemoryEngine):
    """Notes what is on disk at the moment at which a start is asked for."""

    def watch(self, ledger: Path) -> None:
        self.ledger = open_history(ledger, read_only=True)
        self.seen: list[tuple[str, Phase]] = []

    def launch(self, run_id: str, ref: str) -> LiveRun:
        record = self.ledger.run(run_id)
        assert record is not None
        self.seen.append((record.job, record.phase))
        return super().launch(run_id, ref)


def burst(tmp_path: Path) -> World:
    world = World(tmp_path)
    witness = Witness(EngineContext("local", "0" * 32, b"k" * 32, str(tmp_path)), world.machine)
    witness.watch(tmp_path / "reconciler.db")
    world.engine = witness
    world.behave("*", duration=30.0)
    world.apply(*[cron("5 2 * * *", name) for name in JOBS])
    world.tick(302)
    return world


def test_R1_no_start_of_a_burst_is_asked_for_before_its_record_is_on_disk(tmp_path: Path) -> None:
    world = burst(tmp_path)
    assert isinstance(world.engine, Witness)
    assert world.engine.seen == [(name, Phase.STARTING) for name in JOBS]


def test_R5_each_run_of_a_burst_is_seen_to_end_without_an_event(tmp_path: Path) -> None:
    world = burst(tmp_path)
    assert [world.verdicts(name) for name in JOBS] == [["running"]] * len(JOBS)
    for _ in range(60):  # nobody speaks of them
        world.time += timedelta(seconds=1)
        world.boot_time += 1
        for _ in range(4):
            world.loop.step(world.time)
    assert [world.verdicts(name) for name in JOBS] == [["succeeded"]] * len(JOBS)


def test_events_of_a_round_are_there_when_it_has_ended(tmp_path: Path) -> None:
    world = burst(tmp_path)
    for name in JOBS:
        assert [event.name.value for event in world.history.events(job=name)] == ["run.started"]
