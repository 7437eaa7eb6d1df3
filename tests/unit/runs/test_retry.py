"""Retries use what the job allows, and only after the command had started; back-off is bounded (rule R4)."""

from datetime import timedelta

import pytest

from reconciler.model.job import Retries
from reconciler.model.run import FailureClass, Outcome, Phase, RunRecord, Trigger
from reconciler.runs.retry import backoff, next_attempt

from .kit import HOUR, MINUTE, SECOND, SLOT, run, running, spec

NOW = SLOT + 10 * MINUTE


def outcome(phase: Phase, code: int | None = 1) -> Outcome:
    return Outcome(phase, code, FailureClass.EXIT, "exit 1", SLOT + SECOND, NOW)


def retried(record: RunRecord, ended: Outcome, **policy: object) -> RunRecord | None:
    return next_attempt(record, ended, spec(retries=Retries(**policy)), NOW)


def test_R4_without_retries_there_are_none() -> None:
    assert retried(running(), outcome(Phase.FAILED)) is None


def test_R4_the_next_attempt_waits_under_its_own_name() -> None:
    following = retried(running(image_id="i1"), outcome(Phase.FAILED), limit=1)
    assert following is not None
    assert following.run_id == "a.job.20261124T020000Z.2"
    assert (following.attempt, following.trigger, following.phase) == (2, Trigger.RETRY, Phase.PENDING)
    assert (following.slot, following.digest, following.image_id) == (SLOT, "d1", "i1")
    assert following.retry_at == NOW + timedelta(seconds=30)
    assert following.deadline == following.retry_at + HOUR, "it has as long to start as the first had"
    assert (following.started_at, following.ref, following.exit_code, following.tries) == (None, "", None, 0)
    assert following.log == "logs/a.job.20261124T020000Z.2.log"


@pytest.mark.parametrize("phase", [Phase.FAILED, Phase.TIMED_OUT, Phase.OOM, Phase.LOST])
def test_R4_retried_after(phase: Phase) -> None:
    assert retried(running(), outcome(phase), limit=1) is not None


@pytest.mark.parametrize("phase", [Phase.SUCCEEDED, Phase.CANCELLED])
def test_R4_not_retried_after(phase: Phase) -> None:
    assert retried(running(), outcome(phase, 0), limit=1) is None


def test_R4_not_retried_once_it_was_asked_to_end() -> None:
    """Its host went down while it was being replaced: a retry would start beside the run that has its place."""
    asked = running(stop_requested_at=NOW, stop_reason="replaced by a.job.20261124T030000Z.1")
    assert retried(asked, outcome(Phase.LOST), limit=1) is None
    assert (
        retried(running(stop_requested_at=NOW, stop_reason="timeout of 5 s"), outcome(Phase.LOST), limit=1) is not None
    )


def test_R4_the_limit_counts_attempts_that_started() -> None:
    assert retried(running(attempt=3), outcome(Phase.FAILED), limit=2) is None
    assert retried(running(attempt=3), outcome(Phase.FAILED), limit=3) is not None
    after_a_lost_start = retried(running(attempt=3, unstarted=1), outcome(Phase.FAILED), limit=2)
    assert after_a_lost_start is not None
    assert after_a_lost_start.unstarted == 1


def test_R4_what_never_started_is_not_retried_here() -> None:
    never = Outcome(Phase.FAILED, None, FailureClass.IMAGE, "no such image", None, None)
    assert retried(run(tries=5), never, limit=3) is None


def test_R4_on_exit_codes_narrows_it() -> None:
    only = {"limit": 1, "on_exit_codes": (75,)}
    assert retried(running(), outcome(Phase.FAILED, 75), **only) is not None
    assert retried(running(), outcome(Phase.FAILED, 1), **only) is None
    assert retried(running(), outcome(Phase.OOM, 137), **only) is None
    assert retried(running(), outcome(Phase.LOST, None), **only) is None


def test_R4_the_delay_doubles_up_to_its_cap() -> None:
    waits = []
    for attempt in range(1, 9):
        following = retried(running(attempt=attempt), outcome(Phase.FAILED), limit=99)
        assert following is not None
        assert following.retry_at is not None
        waits.append((following.retry_at - NOW).total_seconds())
    assert waits == [30, 60, 120, 240, 480, 600, 600, 600]


def test_R4_backoff_before_the_start_is_bounded() -> None:
    assert [backoff(tries) for tries in (0, 1, 2, 3, 7, 10**6)] == [1, 1, 2, 4, 60, 60]
