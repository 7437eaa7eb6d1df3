"""In: an ended run and its outcome. Out: the next attempt, if there is one (rule R4), and how long to back off."""

from datetime import datetime, timedelta

from ..model.ids import run_id
from ..model.job import JobSpec, Retries
from ..model.run import Outcome, Phase, RunRecord, Trigger
from .verdict import TIMEOUT

RETRIED = frozenset({Phase.FAILED, Phase.TIMED_OUT, Phase.OOM, Phase.LOST})
START_WINDOW = timedelta(hours=12)  # for a retry of a run that was claimed without a deadline, and of a cell
FIRST_BACKOFF, LONGEST_BACKOFF = 1.0, 60.0


def next_attempt(run: RunRecord, outcome: Outcome, spec: JobSpec, now: datetime) -> RunRecord | None:
    """The record of the next attempt: pending until `retry_at`; None if this was the last.

    Only what had started is retried here. Claim the new record *before* writing the end of the old one: then a
    crash in between repeats the claim, which changes nothing, instead of losing the retry.
    """
    used = retries_used(run)
    if not _retryable(run, outcome, spec.retries) or used >= spec.retries.limit:
        return None
    retry_at = now + timedelta(seconds=delay(spec.retries, used))
    window = run.deadline - run.slot if run.deadline is not None and run.cell is None else START_WINDOW
    return successor(run, Trigger.RETRY, now, retry_at=retry_at, deadline=retry_at + window)


def retries_used(run: RunRecord) -> int:
    """How many retries it took to get to this attempt; attempts that never started took none."""
    return run.attempt - 1 - run.unstarted


def successor(
    run: RunRecord, trigger: Trigger, now: datetime, *, retry_at: datetime | None, deadline: datetime | None
) -> RunRecord:
    """A pending record of the attempt after `run`, at the same slot and of the same definition."""
    name = run_id(run.job, run.slot, run.attempt + 1, run.cell)
    return RunRecord(
        run_id=name,
        job=run.job,
        slot=run.slot,
        attempt=run.attempt + 1,
        trigger=trigger,
        actor=run.actor,
        digest=run.digest,
        revision=run.revision,
        phase=Phase.PENDING,
        claimed_at=now,
        deadline=deadline,
        retry_at=retry_at,
        image_id=run.image_id,
        image_digest=run.image_digest,
        log=run.log.replace(run.run_id, name),
        unstarted=run.unstarted,
        cell=run.cell,
        cells=run.cells,
        parameters=run.parameters,
        key=run.key,
        replays=run.replays,
        cause=run.cause,
        max_parallel=run.max_parallel,
        code=run.code,
    )


def delay(retries: Retries, used: int) -> float:
    """Seconds before retry number `used` + 1: the delay, growing by `backoff`, at most `max_delay`."""
    grown = retries.delay * max(retries.backoff, 1.0) ** min(used, 64)
    return min(grown, retries.max_delay)


def backoff(tries: int) -> float:
    """Seconds after `tries` failures before the start: 1, 2, 4, ... at most 60."""
    return min(FIRST_BACKOFF * 2.0 ** min(max(tries - 1, 0), 16), LONGEST_BACKOFF)


def _retryable(run: RunRecord, outcome: Outcome, retries: Retries) -> bool:
    if run.trigger is Trigger.REPLAY:
        return False  # one run exactly again is one run
    if outcome.phase not in RETRIED or (run.started_at is None and outcome.started_at is None):
        return False
    if run.stop_requested_at is not None and not run.stop_reason.startswith(TIMEOUT):
        return (
            False  # somebody wants it to end, or another has its place: that it ended badly by itself changes nothing
        )
    return not retries.on_exit_codes or outcome.exit_code in retries.on_exit_codes
