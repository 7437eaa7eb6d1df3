"""Devices are leased by id: nobody gets one that another run could still use, and nobody is passed by for ever."""

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.model.job import JobSpec, Resources
from reconciler.model.live import LivePhase
from reconciler.model.run import Phase, RunRecord
from reconciler.runs.devices import Devices, held
from reconciler.runs.machine import Context, GiveUp, Prepare, Wait, next_step
from reconciler.runs.transitions import failed_before_start, preparing

from .kit import HOUR, SECOND, SLOT, live, run, running, spec

GPUS = ("GPU-a", "GPU-b", "GPU-c")


def asking(count: int) -> JobSpec:
    return spec(resources=Resources(gpus=count))


def pool(*leased: RunRecord, inventory: tuple[str, ...] = GPUS, known: bool = True) -> Devices:
    return Devices(inventory, [(record, None) for record in leased], known=known)


HOLDERS = {
    "one that is being prepared": (run(Phase.PREPARING, devices=("GPU-a",)), True),
    "one that may have been started": (running(Phase.STARTING, devices=("GPU-a",)), True),
    "one that runs": (running(devices=("GPU-a",)), True),
    "one that has ended and is still there": (running(Phase.FAILED, devices=("GPU-a",), collected=True), True),
    "one that is lost and may still be there": (running(Phase.LOST, devices=("GPU-a",)), True),
    "one that has gone": (running(Phase.FAILED, devices=("GPU-a",), collected=True, discarded=True), False),
    "one that is kept for debugging": (
        running(Phase.FAILED, devices=("GPU-a",), collected=True, hold_until=SLOT + HOUR), False,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("record", "holds"), HOLDERS.values(), ids=HOLDERS)
def test_R2_a_lease_lasts_until_the_container_has_gone(record: RunRecord, holds: bool) -> None:
    assert held(record) == (("GPU-a",) if holds else ())


def test_R2_what_runs_has_what_it_was_made_with_whatever_its_record_says() -> None:
    """The ledger came from a back-up, or the run is shown again after it was done with."""
    seen = live(LivePhase.RUNNING, devices=("GPU-b",))
    assert held(running(), seen) == ("GPU-b",)
    assert held(running(Phase.FAILED, collected=True, discarded=True), seen) == ("GPU-b",)


def test_R2_the_first_free_ones_are_offered_by_id() -> None:
    devices = pool(running(devices=("GPU-a",)))
    assert devices.offer(run(), asking(2)) == ("GPU-b", "GPU-c")
    assert devices.lacking(run(), asking(3)) == "3 GPUs"
    assert devices.offer(run(), asking(3)) == ()
    assert devices.lacking(run(), spec()) == ""


def test_R2_what_was_taken_in_this_round_is_not_offered_again() -> None:
    devices, first = pool(), run()
    devices.taken(preparing(first, SLOT, None, devices.offer(first, asking(2))))
    assert devices.offer(run(attempt=2), asking(1)) == ("GPU-c",)


def test_R2_it_keeps_what_it_has() -> None:
    mine = run(Phase.PREPARING, devices=("GPU-b",))
    assert pool(mine).offer(mine, asking(1)) == ("GPU-b",)
    assert pool(mine).lacking(mine, asking(1)) == ""


def test_R2_nobody_takes_a_device_past_a_bigger_run_that_is_first_in_line() -> None:
    devices = pool(running(devices=("GPU-a", "GPU-b")))
    devices.waits(run(), asking(2))
    assert devices.lacking(run(attempt=2), asking(1)) == "1 GPU"


def test_R2_a_run_that_can_never_be_served_keeps_nobody_waiting_and_says_so() -> None:
    devices = pool()
    assert devices.lacking(run(), asking(4)) == "4 GPUs (this host has 3)"
    devices.waits(run(), asking(4))
    assert devices.offer(run(attempt=2), asking(1)) == ("GPU-a",)


def test_R2_nothing_is_leased_before_the_engine_was_listed() -> None:
    assert pool(known=False).lacking(run(), asking(1)) == "1 GPU (which are leased is not known yet)"


def test_R2_a_lease_by_index_may_be_of_any_device_that_is_now_named_by_uuid() -> None:
    devices = pool(running(devices=("0",)))
    assert devices.lacking(run(), asking(1)) == "1 GPU"
    assert pool(running(devices=("7",)), inventory=("0", "1")).offer(run(), asking(1)) == ("0",)


# -- in the machine ---------------------------------------------------------------------------------------------


def test_R2_without_a_free_device_a_run_waits_with_a_bound() -> None:
    step = next_step(run(), None, asking(1), SLOT, Context(no_device="1 GPU"))
    assert step == Wait(SLOT + HOUR, "waits for 1 GPU", device=True)
    late = replace(run(), deadline=SLOT + 5 * HOUR)
    given_up = next_step(late, None, asking(1), SLOT + timedelta(hours=1), Context(no_device="1 GPU"))
    assert isinstance(given_up, GiveUp)
    assert given_up.outcome.reason == "waited longer than 3600 s (limits.queue_timeout) for 1 GPU"


def test_R2_a_device_is_leased_once_nothing_else_is_lacking() -> None:
    ahead = Context(prepare_lead=8.0)
    assert next_step(run(), None, spec(), SLOT - 5 * SECOND, ahead) == Prepare()
    assert next_step(run(), None, asking(1), SLOT - 5 * SECOND, ahead) == Wait(SLOT, "is not due yet")
    assert next_step(run(), None, asking(1), SLOT, ahead) == Prepare()
    full = next_step(run(), None, asking(1), SLOT, Context(no_place="a place (limits.max_running)"))
    assert isinstance(full, Wait) and not full.device


def test_R2_a_try_that_failed_before_the_start_gives_its_devices_back() -> None:
    ready = preparing(run(), SLOT, None, ("GPU-a",))
    assert failed_before_start(ready, ready.failure, "no image", SLOT).devices == ()
