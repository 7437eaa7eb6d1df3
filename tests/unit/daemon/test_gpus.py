"""Rule R2 for devices: a GPU is never handed to two runs, whatever dies in between, and whoever waits is served."""

from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.model.errors import EngineRejected, EngineUnavailable
from reconciler.model.job import JobSpec, Resources, Retries, Strategy
from reconciler.model.run import Phase
from reconciler.model.service import DeviceConfig, Limits, Policy, ServiceConfig
from tests.kit.world import World, cron, every

TWO = ("GPU-a", "GPU-b")


def world_of(tmp_path: Path, gpus: tuple[str, ...] = TWO, **limits: object) -> World:
    config = ServiceConfig(
        state_dir=str(tmp_path), devices=DeviceConfig(gpus), policy=Policy(gpus=True), limits=Limits(**limits)
    )  # type: ignore[arg-type]
    world = World(tmp_path, config)
    world.list_anew()
    return world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return world_of(tmp_path)


def gpu_job(name: str, gpus: int = 1, **fields: object) -> JobSpec:
    return cron("1 2 * * *", name, resources=Resources(gpus=gpus), **fields)


def in_use(world: World) -> list[str]:
    """The devices of every command that runs on the machine now."""
    runs = [run for run in world.machine.runs.values() if run.started_at is not None and run.finished_at is None]
    return sorted(device for run in runs for device in run.order.devices)


def test_R2_each_run_has_devices_of_its_own_and_the_third_waits(world: World) -> None:
    for name in ("a", "b", "c"):
        world.behave(name, duration=30.0)
    world.apply(*(gpu_job(name) for name in ("a", "b", "c")))
    world.tick(65)
    assert in_use(world) == ["GPU-a", "GPU-b"]
    (waits,) = world.runs("c")
    assert (waits.phase, waits.devices, waits.reason) == (Phase.PENDING, (), "waits for 1 GPU")
    world.tick(30)
    (served,) = world.runs("c")
    assert served.phase is Phase.RUNNING and served.devices == ("GPU-a",)
    world.tick(60)
    assert [world.verdicts(name) for name in ("a", "b", "c")] == [["succeeded"]] * 3


def test_R2_waiting_for_a_device_has_a_bound_and_a_reason(tmp_path: Path) -> None:
    world = world_of(tmp_path, queue_timeout=60.0)
    world.behave("a", duration=None)
    world.apply(gpu_job("a", 2), gpu_job("b"))
    world.tick(130)
    assert world.slots("b") == [("02:01:00", "missed", 1)]
    assert world.history.slots("b")[0].reason == "waited longer than 60 s (limits.queue_timeout) for 1 GPU"


def test_R2_a_job_without_gpus_starts_beside_those_that_wait(world: World) -> None:
    world.behave("a", duration=None)
    world.behave("b", duration=None)
    world.behave("plain", duration=None)
    world.apply(gpu_job("a", 2), gpu_job("b"), cron("1 2 * * *", "plain"))
    world.tick(65)
    assert world.verdicts("plain") == ["running"]
    assert world.machine.runs[world.runs("plain")[0].run_id].order.devices == ()


def test_R2_a_lease_survives_a_kill_of_the_service(world: World) -> None:
    world.behave("a", duration=200.0)
    world.behave("b", duration=10.0)
    world.apply(gpu_job("a", 2), gpu_job("b"))
    world.tick(65)
    world.restart(down=3.0)
    world.list_anew()
    world.tick(60)
    assert in_use(world) == ["GPU-a", "GPU-b"]
    assert world.verdicts("b") == ["pending"]
    world.tick(200)
    assert [world.verdicts(name) for name in "ab"] == [["succeeded"], ["succeeded"]]


def test_R2_nothing_is_leased_before_the_first_listing_after_a_start(world: World) -> None:
    world.apply(gpu_job("a"))
    world.restart()
    world.tick(70)
    assert world.runs("a")[0].reason == "waits for 1 GPU (which are leased is not known yet)"
    world.list_anew()
    world.tick(5)
    assert world.verdicts("a") == ["succeeded"]


def test_R2_a_run_that_the_ledger_does_not_know_keeps_its_devices(world: World, tmp_path: Path) -> None:
    """The ledger is new: the run of `a` is found in the listing and adopted."""
    world.behave("a", duration=300.0)
    world.apply(gpu_job("a", 2))
    world.tick(61)
    for file in tmp_path.glob("reconciler.db*"):
        file.unlink()
    world.restart()
    world.list_anew()
    world.apply(every(20, "b", resources=Resources(gpus=1)))
    world.tick(30)
    assert world.runs("a")[0].devices == TWO
    assert world.verdicts("b") == ["pending"]


@pytest.mark.parametrize("verb", ["prepare", "launch", "inspect", "discard"])
@pytest.mark.parametrize("late", [False, True])
def test_R2_never_two_runs_on_one_device_whatever_answer_is_lost(world: World, verb: str, late: bool) -> None:
    names = [f"job-{number}" for number in range(5)]
    for name in names:
        world.behave(name, duration=4.0)
    world.machine.fail(verb, EngineUnavailable("no answer"), times=3, late=late)
    world.apply(*(gpu_job(name) for name in names))
    for tick in range(200):
        world.tick(1)
        assert len(set(in_use(world))) == len(in_use(world))
        if tick % 7 == 0:
            world.restart()
            world.list_anew()
    assert all(world.runs(name)[-1].phase in (Phase.SUCCEEDED, Phase.LOST) for name in names)
    assert all(run.discarded for name in names for run in world.runs(name))


def test_R2_a_run_that_cannot_be_prepared_does_not_keep_its_devices(tmp_path: Path) -> None:
    world = world_of(tmp_path, ("GPU-a",))
    world.behave("b", duration=5.0)
    world.machine.fail("prepare", EngineRejected("no image", code="image-missing"), name="a", times=10_000)
    world.machine.fail("prepare", EngineRejected("no image", code="image-missing"), times=1)
    world.apply(gpu_job("a"), gpu_job("b"))
    world.tick(75)
    assert world.verdicts("b") == ["succeeded"]


def test_R2_what_an_earlier_try_made_is_made_anew_for_another_device(world: World) -> None:
    """The answer to its creation was lost, and meanwhile another run took the device."""
    world.behave("a", duration=20.0)
    world.behave("b", duration=20.0)
    world.machine.fail("prepare", EngineUnavailable("no answer"), times=1, late=True)
    world.apply(gpu_job("a"), gpu_job("b"))
    world.tick(75)
    assert in_use(world) == ["GPU-a", "GPU-b"]
    for name in "ab":
        (run,) = world.runs(name)
        assert world.machine.runs[run.run_id].order.devices == run.devices


def test_R2_a_retry_leases_anew(world: World) -> None:
    world.behave("a", duration=2.0, exit_code=1)
    world.apply(gpu_job("a", retries=Retries(limit=1, delay=5.0)))
    world.tick(80)
    assert [(run.phase, run.devices) for run in world.runs("a")] == [(Phase.FAILED, ("GPU-a",))] * 2


def test_a_run_that_asks_for_more_than_the_host_has_keeps_nobody_waiting(world: World) -> None:
    world.behave("b", duration=5.0)
    world.apply(gpu_job("a", 3), gpu_job("b"))
    world.tick(75)
    assert world.verdicts("b") == ["succeeded"]
    assert world.runs("a")[0].reason == "waits for 3 GPUs (this host has 2)"
    assert world.time < world.runs("a")[0].slot + timedelta(hours=1)


def test_R2_each_cell_leases_its_own_and_the_others_wait_in_line(world: World) -> None:
    world.behave("a", duration=20.0)
    world.apply(gpu_job("a", strategy=Strategy(parallelism=5)))
    for _ in range(150):
        world.tick(1)
        assert len(set(in_use(world))) == len(in_use(world))
    assert world.verdicts("a") == ["succeeded"] * 5
    assert [run.devices for run in world.runs("a")].count(("GPU-a",)) == 3
