"""Every reason that the deciding code writes into the ledger is recognised, with the setting that decided."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.answers.rules import Gate, blockers_of, cause, rule_of, rule_of_end
from reconciler.model.job import CatchUp, Concurrency, Queue, Retries
from reconciler.model.run import Disposition, FailureClass, Pause, Phase, RunRecord, SlotRecord, Trigger
from reconciler.model.service import Limits
from reconciler.runs.machine import Context, next_step
from reconciler.runs.steps import GiveUp
from reconciler.schedule.cursor import not_installed
from reconciler.schedule.due import decide
from reconciler.schedule.gates import Gates
from tests.unit.answers.kit import DAY, HOUR, JOB, LONG_AGO, MINUTE, SLOT, run, spec, standing

BEFORE = SLOT - DAY
PAUSE = Pause("*", LONG_AGO, None, "supplier moves", "cleo")
DOWN = Gates(downtime=(SLOT - 3 * DAY, SLOT + 2 * HOUR))


def decided(now=SLOT, active=(), gates: Gates = Gates(), cursor=BEFORE, **fields) -> tuple[SlotRecord, ...]:  # noqa: B008
    job = standing(spec=spec(**fields.pop("spec", {})), cursor=cursor, **fields)
    return decide(job, active, now, gates).slots


DECIDED = [
    ("the run before it is active", decided(active=[run(Phase.RUNNING, slot=BEFORE)]),
     Disposition.SKIPPED, "concurrency_policy", Gate.OVERLAP),
    ("it is paused", decided(gates=Gates(paused=PAUSE)), Disposition.PAUSED, "pause", Gate.PAUSE),
    ("it is paused, for no reason", decided(gates=Gates(paused=replace(PAUSE, reason=""))), Disposition.PAUSED, "pause",
     Gate.PAUSE),
    ("it is suspended", decided(spec={"suspend": True}), Disposition.SUSPENDED, "suspend", Gate.SUSPEND),
    ("it is forbidden", decided(forbidden="no image of it"), Disposition.FORBIDDEN, "policy", Gate.POLICY),
    ("it is being retired", decided(retiring=True), Disposition.UNAVAILABLE, "on_retire", Gate.POLICY),
    ("it could not be installed", not_installed(JOB, spec(), BEFORE, BEFORE, SLOT, "no such image"),
     Disposition.UNAVAILABLE, "apply", Gate.POLICY),
    ("its day is excluded", decided(spec={"schedule": replace(spec().schedule, exclude="2026-11-25")}),
     Disposition.BLACKOUT, "schedule", Gate.DAY),
    ("it is late, and its deadline passed", decided(SLOT + HOUR, spec={"start_deadline": 600.0}),
     Disposition.MISSED, "start_deadline", Gate.LATENESS),
    ("it is late, and nothing is caught up", decided(SLOT + HOUR, gates=DOWN, spec={"catch_up": CatchUp.NONE}),
     Disposition.MISSED, "catch_up", Gate.CATCH_UP),
    ("there is a later one", decided(SLOT + HOUR, gates=DOWN, cursor=BEFORE - 2 * DAY),
     Disposition.MISSED, "catch_up", Gate.CATCH_UP),
    ("later ones fill the limit",
     decided(SLOT + HOUR, gates=DOWN, cursor=BEFORE - 2 * DAY,
             spec={"catch_up": CatchUp.ALL, "catch_up_limit": 1, "concurrency_policy": Concurrency.ALLOW}),
     Disposition.MISSED, "catch_up_limit", Gate.CATCH_UP),
    ("the queue is full",
     decided(active=[run(Phase.RUNNING, slot=BEFORE), run(Phase.PENDING, slot=BEFORE + MINUTE)],
             spec={"concurrency_policy": Concurrency.QUEUE, "queue": Queue(limit=1)}),
     Disposition.SKIPPED, "queue.limit", Gate.OVERLAP),
    ("nobody decided, then it was paused",
     decided(SLOT + HOUR, gates=Gates(paused=replace(PAUSE, since=SLOT + MINUTE), clock_stepped=True)),
     Disposition.MISSED, "pause", Gate.LATENESS),
]  # fmt: skip


@pytest.mark.parametrize(
    ("slots", "disposition", "setting", "gate"), [row[1:] for row in DECIDED], ids=[row[0] for row in DECIDED]
)
def test_T5_the_rule_is_known_when_no_run_was_made_because(
    slots: tuple[SlotRecord, ...], disposition: Disposition, setting: str, gate: Gate
) -> None:
    assert slots[0].disposition is disposition
    rule = rule_of(slots[0].disposition, slots[0].reason)
    assert rule is not None
    assert (rule.setting, rule.gate) == (setting, gate)
    assert rule.headline


def given_up() -> Iterator[tuple[str, GiveUp, str]]:
    """(case, what the machine says, setting)"""
    late = SLOT + HOUR
    waiting = run(Phase.PENDING, deadline=late)
    limits = Limits(queue_timeout=60.0, prepare_timeout=60.0)

    def step(case: str, record: RunRecord, setting: str, now=late, **ctx) -> tuple[str, GiveUp, str]:
        job = spec(queue=ctx.pop("queue", Queue()))
        found = next_step(record, None, job, now, Context(limits=limits, **ctx))
        assert isinstance(found, GiveUp), case
        return case, found, setting

    def stopped(why: str) -> RunRecord:
        return replace(waiting, stop_requested_at=SLOT, stop_reason=why)

    preparing = run(Phase.PREPARING, deadline=late, retry_at=SLOT)
    tried = replace(waiting, tries=3, failure=FailureClass.IMAGE, reason="no such image")
    yield step(
        "it waits for a place",
        waiting,
        "limits.queue_timeout",
        SLOT + 2 * MINUTE,
        no_place="a place (limits.max_running)",
    )
    yield step("it waits for what it replaces", replace(waiting, replaces=("web.x.20261124T013000Z.1",)),
               "limits.queue_timeout", SLOT + 2 * MINUTE, blocked_by=("web.x.20261124T013000Z.1",))  # fmt: skip
    yield step("preparing hangs", preparing, "limits.prepare_timeout", SLOT + 2 * MINUTE)
    yield step("it could not be prepared", tried, "start_deadline")
    yield step("the engine is away", waiting, "start_deadline", engine_ok=False)
    yield step("its deadline passed", waiting, "start_deadline")
    yield step("its deadline passed while nothing was started", waiting, "start_deadline", drained="drained by anna")
    yield step("what it waits for did not come", waiting, "wait_for", awaits="data/etl to succeed for 2026",
               awaits_until=late)  # fmt: skip
    yield step("it has waited for its turn", waiting, "queue.timeout", SLOT + 2 * MINUTE, no_place="a place in group x",
               queue=Queue(timeout=60.0))  # fmt: skip
    for why, setting in (("paused by cleo", "pause"), ("suspended in git (suspend: true)", "suspend"),
                         ("forbidden: no image", "policy"), ("unavailable: retired before its instant", "on_retire"),
                         ("replaced: its schedule was edited", "schedule"), ("stopped by anna", "stop"),
                         ("replaced by web.x.20261124T013000Z.1", "concurrency_policy")):  # fmt: skip
        yield step(f"it was stopped: {why}", stopped(why), setting)


GIVEN_UP = list(given_up())


@pytest.mark.parametrize(("step", "setting"), [row[1:] for row in GIVEN_UP], ids=[row[0] for row in GIVEN_UP])
def test_R3_the_rule_is_known_when_a_run_is_given_up_because(step: GiveUp, setting: str) -> None:
    rule = rule_of(step.disposition, step.outcome.reason)
    assert rule is not None
    assert rule.setting == setting


@pytest.mark.parametrize(
    ("phase", "setting"),
    [(Phase.FAILED, "retries.limit"), (Phase.TIMED_OUT, "timeout"), (Phase.OOM, "resources.memory"),
     (Phase.LOST, "retries.limit"), (Phase.CANCELLED, "stop")],
)  # fmt: skip
def test_R3_a_bad_end_names_the_setting_to_look_at(phase: Phase, setting: str) -> None:
    rule = rule_of_end(phase, "stopped by anna: enough" if phase is Phase.CANCELLED else "exit 1")
    assert rule is not None
    assert rule.setting == setting


def test_what_went_well_or_goes_on_has_no_rule() -> None:
    assert rule_of(Disposition.RAN, "") is None
    assert rule_of_end(Phase.SUCCEEDED, "") is None
    assert rule_of_end(Phase.RUNNING, "") is None


def test_a_reason_that_nobody_knows_still_has_a_headline() -> None:
    for disposition in (Disposition.SKIPPED, Disposition.MISSED, Disposition.UNAVAILABLE, Disposition.SUPERSEDED):
        rule = rule_of(disposition, "for a reason of tomorrow")
        assert rule is not None and rule.headline


def test_the_blocker_is_read_from_the_reason() -> None:
    (slot,) = decided(active=[run(Phase.RUNNING, slot=BEFORE)])
    assert blockers_of(slot.reason) == ("web.sync-catalog.20261124T013000Z.1",)
    assert blockers_of("waited longer than 60 s for a.20261124T013000Z.1, b.20261124T013000Z.c3.2 to end") == (
        "a.20261124T013000Z.1", "b.20261124T013000Z.c3.2",
    )  # fmt: skip
    assert blockers_of("exit 1") == ()


def test_a_downtime_is_told_with_its_ends() -> None:
    (slot,) = decided(SLOT + HOUR, gates=Gates(downtime=(SLOT - HOUR, SLOT + HOUR)), spec={"start_deadline": 60.0})
    assert cause(slot.reason, "{:%H:%M}".format) == "the service did not run from 00:30 to 02:30"
    (slot,) = decided(SLOT + HOUR, gates=Gates(clock_stepped=True), spec={"start_deadline": 60.0})
    assert cause(slot.reason, str) == "the clock was stepped"
    assert cause("exit 1", str) == ""


def test_R4_a_retry_that_gives_way_is_told_as_that() -> None:
    job = standing(spec=spec(retries=Retries(limit=2), concurrency_policy=Concurrency.FORBID), cursor=BEFORE)
    waiting = run(Phase.PENDING, 2, slot=BEFORE, trigger=Trigger.RETRY, retry_at=SLOT + timedelta(seconds=30))
    assert decide(job, [waiting], SLOT, Gates()).supersede == (waiting.run_id,)
    rule = rule_of(Disposition.SUPERSEDED, "the next slot is due")
    assert rule is not None
    assert rule.setting == "retries.limit"
