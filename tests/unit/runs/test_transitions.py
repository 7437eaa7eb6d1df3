"""What is written to the ledger at each step keeps what the rules need later (rules R1, R4, R7, T4)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.model.job import CodeRepository
from reconciler.model.live import LivePhase
from reconciler.model.run import CodeAt, Disposition, FailureClass, Outcome, Phase, RunRequest, Trigger
from reconciler.runs import transitions
from reconciler.runs.machine import GiveUp, next_step

from .kit import HOUR, MINUTE, SECOND, SLOT, exited, listed, live, run, running, spec, standing

NOW = SLOT + MINUTE


def test_R7_a_claim_records_who_asked_for_what() -> None:
    request = RunRequest("a/job", SLOT, 1, Trigger.MANUAL, "anna", replaces=("x",))
    record = transitions.claimed(request, standing(image_digest="sha256:1"), SLOT + HOUR, NOW, "logs/x")
    assert (record.run_id, record.actor, record.trigger, record.replaces) == (request.run_id, "anna", "manual", ("x",))
    assert (record.digest, record.revision, record.image_id, record.image_digest) == ("d1", "r1", "i1", "sha256:1")
    assert (record.phase, record.claimed_at, record.deadline) == (Phase.PENDING, NOW, SLOT + HOUR)


def test_R1_the_intent_precedes_the_start() -> None:
    record = transitions.starting(transitions.prepared(run(Phase.PREPARING), "c1", "i2", "", NOW), NOW)
    assert (record.phase, record.start_requested_at, record.ref, record.image_id) == (Phase.STARTING, NOW, "c1", "i2")


def test_R4_a_failure_before_the_start_backs_off_under_the_same_name() -> None:
    failed = transitions.failed_before_start(run(Phase.STARTING, tries=1), FailureClass.REJECTED, "bad mount", NOW)
    assert (failed.phase, failed.tries, failed.retry_at) == (Phase.PENDING, 2, NOW + 2 * SECOND)
    assert (failed.start_requested_at, failed.prepared_at, failed.attempt) == (None, None, 1)


def test_R1_found_running_it_is_adopted() -> None:
    adopted, fresh = transitions.after_find_start(run(Phase.STARTING, start_requested_at=SLOT), live(), NOW)
    assert fresh is None
    assert (adopted.phase, adopted.started_at) == (Phase.RUNNING, SLOT + SECOND)


def test_R1_never_started_it_goes_on_under_a_new_name_without_using_retries() -> None:
    intent = run(Phase.STARTING, start_requested_at=SLOT, ref="c1", image_id="i1", replaces=("x",))
    old, fresh = transitions.after_find_start(intent, None, NOW)
    assert fresh is not None
    assert (old.phase, old.superseded_by, old.collected) == (Phase.CANCELLED, fresh.run_id, True)
    assert (fresh.run_id, fresh.trigger, fresh.phase) == ("a.job.20261124T020000Z.2", Trigger.SCHEDULE, Phase.PENDING)
    assert (fresh.unstarted, fresh.deadline, fresh.ref, fresh.start_requested_at) == (1, SLOT + HOUR, "", None)
    assert fresh.replaces == ("x",)


def test_R3_asked_to_end_while_its_start_was_unknown_it_is_given_up() -> None:
    intent = run(Phase.STARTING, start_requested_at=SLOT, stop_requested_at=SLOT, stop_reason="stopped by anna")
    old, fresh = transitions.after_find_start(intent, None, NOW)
    assert fresh is not None
    assert not old.active
    given_up = next_step(fresh, None, spec(), NOW, listed(NOW))
    assert isinstance(given_up, GiveUp)
    assert given_up.outcome.phase is Phase.CANCELLED


def test_T4_an_owed_run_takes_the_new_definition_in_place() -> None:
    job = standing(digest="d2", revision="r2", image_id="i2")
    renewed, fresh = transitions.renewed(run(), spec(), job, (), NOW)
    assert fresh is None
    assert (renewed.run_id, renewed.digest, renewed.revision, renewed.image_id) == (run().run_id, "d2", "r2", "i2")


def test_T4_one_that_was_prepared_takes_it_under_a_new_name() -> None:
    job = standing(digest="d2", revision="r2", image_id="i2")
    old, fresh = transitions.renewed(run(Phase.PENDING, tries=3, retry_at=SLOT + HOUR), spec(), job, (), NOW)
    assert fresh is not None
    assert (old.digest, old.phase, old.discarded) == ("d1", Phase.CANCELLED, False)
    assert (fresh.digest, fresh.tries, fresh.retry_at, fresh.unstarted) == ("d2", 0, NOW, 1)


MAIN, PINNED, ASKED = (CodeAt(f"/{name}", f"git@h:{name}.git", ref, "c" * 40) for name, ref in (
    ("a", "main"), ("b", "v1"), ("c", "mine"),
))  # fmt: skip


@pytest.mark.parametrize("tries", [0, 3], ids=["in place", "under a new name"])
def test_T4_an_owed_run_has_the_code_of_its_new_definition_and_what_was_asked_for(tries: int) -> None:
    old = tuple(CodeRepository(at.url, at.target, ref) for at, ref in ((MAIN, "main"), (PINNED, "v1"), (ASKED, "main")))
    owed = run(Phase.PENDING, tries=tries, code=(MAIN, PINNED, ASKED))

    def code(*repositories: CodeRepository) -> tuple[CodeAt, ...]:
        job = standing(digest="d2", spec=spec(repositories=repositories))
        same, fresh = transitions.renewed(owed, spec(repositories=old), job, (), NOW)
        return (fresh or same).code

    assert code(*old) == (MAIN, PINNED, ASKED), "a branch is looked up once for a slot"
    a, b, c = old
    assert code(a, replace(b, ref="v2"), replace(c, ref="v2")) == (MAIN, ASKED)
    assert code(a, b, replace(c, url="git@h:other.git")) == (MAIN, PINNED)
    assert code(replace(a, target="/src"), b) == (PINNED,)


def test_R3_the_first_reason_to_stop_stays() -> None:
    asked = transitions.stop_requested(running(), "timeout of 60 s", NOW)
    again = transitions.stopping(transitions.stop_requested(asked, "by anna", NOW + MINUTE), "by cleo", NOW + MINUTE)
    assert (again.phase, again.stop_reason, again.stop_requested_at) == (Phase.STOPPING, "timeout of 60 s", NOW)


def test_R3_an_ended_run_is_not_stopped() -> None:
    ended = running(Phase.SUCCEEDED)
    assert transitions.stop_requested(ended, "by anna", NOW) == ended
    assert transitions.stopping(ended, "by anna", NOW) == ended


def test_R7_the_end_keeps_what_was_known_before() -> None:
    outcome = Outcome(Phase.LOST, None, FailureClass.UNKNOWN, "gone", None, None)
    record = transitions.finished(running(), outcome, NOW)
    assert (record.phase, record.started_at, record.finished_at, record.reason) == (
        Phase.LOST, SLOT + SECOND, NOW, "gone",
    )  # fmt: skip


def test_R5_a_given_up_run_has_nothing_to_collect_but_maybe_something_to_discard() -> None:
    outcome = Outcome(Phase.FAILED, None, FailureClass.IMAGE, "no such image", None, None)
    assert transitions.given_up(run(), outcome, NOW).discarded
    assert not transitions.given_up(run(Phase.PREPARING), outcome, NOW).discarded
    assert transitions.given_up(run(Phase.PREPARING), outcome, NOW).collected


def test_R4_a_superseded_retry_closes_its_slot() -> None:
    record, slot = transitions.superseded(run(trigger=Trigger.RETRY, attempt=2), "the next slot is due", NOW)
    assert record.phase is Phase.CANCELLED
    assert (slot.first, slot.count, slot.disposition, slot.run_id) == (SLOT, 1, Disposition.SUPERSEDED, record.run_id)


def test_R7_usage_that_is_not_known_does_not_erase_what_was() -> None:
    record = transitions.collected(running(peak_memory=5), 100, None, 1.5)
    assert (record.collected, record.log_bytes, record.peak_memory, record.cpu_seconds) == (True, 100, 5, 1.5)
    assert transitions.discarded(record).discarded


def test_R1_a_start_time_that_the_engine_does_not_tell_is_now() -> None:
    seen = replace(live(LivePhase.RUNNING), started_at=None, ref="")
    record = transitions.started(run(Phase.STARTING, ref="c1"), seen, NOW)
    assert (record.started_at, record.ref) == (NOW, "c1")
    assert transitions.started(run(Phase.STARTING), exited(0), NOW + timedelta(hours=1)).started_at == SLOT + SECOND
