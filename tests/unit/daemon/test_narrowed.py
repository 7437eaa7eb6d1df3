"""The loop keeps excluded days and jitter: no run on a day that is left out, and a run knows the slot it stands for."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from reconciler.daemon.log_pump import Pumps
from reconciler.daemon.run_ops import RunOps
from tests.kit.world import NIGHT, World, cron


def test_T5_an_excluded_slot_is_told_and_makes_no_run(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = cron("*/10 * * * *")
    today = NIGHT.date().isoformat()
    world.apply(replace(job, schedule=replace(job.schedule, exclude=today)))
    world.tick(1500)
    assert world.runs("nightly") == []
    ((first, disposition, count),) = world.slots("nightly")
    assert (first, disposition, count) == ("02:10:00", "blackout", 2), "adjacent ones are one row"
    world.apply(job)
    world.tick(600)
    assert [run.slot for run in world.runs("nightly")] == [NIGHT + timedelta(minutes=30)]


def test_T9_a_run_finds_its_slot_without_jitter(tmp_path: Path) -> None:
    world = World(tmp_path)
    job = cron("*/10 * * * *")
    job = replace(job, schedule=replace(job.schedule, jitter=540.0, seed=job.name))
    world.behave("nightly", duration=1.0)
    world.apply(job)
    world.tick(1800)
    latest, earlier, *_ = sorted(world.runs("nightly"), key=lambda run: run.slot, reverse=True)
    assert latest.slot.minute % 10 or latest.slot.second, "it was late by its jitter"
    assert latest.slot - earlier.slot == timedelta(minutes=10)
    engine = world.engine
    ops = RunOps(lambda: engine, world.history, lambda *_: (), Pumps(lambda: engine, lambda: 1 << 20), tmp_path)
    found = dict(ops.order(latest, job, world.config).environment)
    assert found["RECONCILER_SLOT"].endswith("0:00Z")
    assert found["RECONCILER_PREVIOUS_SLOT"].endswith("0:00Z")
    assert found["RECONCILER_PREVIOUS_SUCCESS"] == found["RECONCILER_PREVIOUS_SLOT"]
    assert found["RECONCILER_RUN_ID"] == latest.run_id
