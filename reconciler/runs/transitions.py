"""In: a run's record and what has happened. Out: the record to write. One function per step of the state machine."""

from dataclasses import replace
from datetime import datetime, timedelta

from ..model.job import JobSpec
from ..model.live import LiveRun, StandingJob
from ..model.run import CodeAt, Disposition, FailureClass, Outcome, Phase, RunRecord, RunRequest, SlotRecord
from .parameters import Values
from .retry import backoff, successor

KEPT = frozenset({Phase.FAILED, Phase.TIMED_OUT, Phase.OOM})  # whose container is worth a look


def claimed(request: RunRequest, job: StandingJob, deadline: datetime | None, now: datetime, log: str) -> RunRecord:
    """The claim of a slot. `log` is the path of its log below the state directory; it should hold the run id."""
    return RunRecord(
        run_id=request.run_id,
        job=request.job,
        slot=request.slot,
        attempt=request.attempt,
        trigger=request.trigger,
        actor=request.actor,
        digest=job.digest,
        revision=job.revision,
        phase=Phase.PENDING,
        claimed_at=now,
        deadline=deadline,
        replaces=request.replaces,
        image_id=job.image_id,
        image_digest=job.image_digest,
        log=log,
        cell=request.cell,
        cells=request.cells,
        parameters=request.parameters,
        key=request.key,
        replays=request.replays,
        cause=request.cause,
        max_parallel=request.max_parallel,
        code=request.code,
    )


def preparing(
    run: RunRecord, now: datetime, deadline: datetime | None = None, devices: tuple[str, ...] = ()
) -> RunRecord:
    """A try to prepare begins; `retry_at` is when, so that it can be given up in time. `deadline`: a newer one.
    `devices` are leased to it with this very row: a crash before it has given away nothing, and one after it forgets
    nothing."""
    deadline = deadline or run.deadline
    return replace(
        run, phase=Phase.PREPARING, retry_at=now, prepared_at=None, deadline=deadline, devices=devices
    )  # fmt: skip


def waiting(run: RunRecord, why: str) -> RunRecord:
    """What it waits for, for whoever asks."""
    return replace(run, reason=why)


def prepared(
    run: RunRecord, ref: str, image_id: str, image_digest: str, now: datetime, code: tuple[CodeAt, ...] = ()
) -> RunRecord:
    return replace(
        run,
        ref=ref,
        prepared_at=now,
        image_id=image_id or run.image_id,
        image_digest=image_digest or run.image_digest,
        code=code or run.code,
        failure=FailureClass.NONE,
        reason="",
    )


def starting(run: RunRecord, now: datetime) -> RunRecord:
    """The intent. It must be on disk before the engine is asked (rule R1)."""
    return replace(run, phase=Phase.STARTING, start_requested_at=now)


def failed_before_start(run: RunRecord, failure: FailureClass, reason: str, now: datetime) -> RunRecord:
    """A try to prepare or to start failed, and provably nothing has started: back off, without using `retries`. Its
    devices go back meanwhile."""
    tries = run.tries + 1
    return replace(
        run,
        phase=Phase.PENDING,
        tries=tries,
        retry_at=now + timedelta(seconds=backoff(tries)),
        prepared_at=None,
        start_requested_at=None,
        failure=failure,
        reason=reason,
        devices=(),
    )


def unmade(run: RunRecord, reason: str, now: datetime) -> RunRecord:
    """It was ready, and somebody has tidied it away: it is made anew at once. Its slot stays its own, for nothing has
    failed that could fail again."""
    return replace(
        run, phase=Phase.PREPARING, retry_at=now, prepared_at=None, start_requested_at=None, reason=reason
    )  # fmt: skip


def started(run: RunRecord, live: LiveRun, now: datetime) -> RunRecord:
    """It has started: seen in the answer, in a listing, or by recovery. A stop asked for meanwhile stays asked for."""
    return replace(
        run,
        phase=Phase.RUNNING,
        ref=live.ref or run.ref,
        started_at=live.started_at or now,
        failure=FailureClass.NONE,
        reason="",
    )


def stop_requested(run: RunRecord, reason: str, now: datetime) -> RunRecord:
    """Somebody asks it to end. The first reason stays."""
    if run.stop_requested_at is not None or not run.active:
        return run
    return replace(run, stop_requested_at=now, stop_reason=reason)


def stopping(run: RunRecord, reason: str, now: datetime) -> RunRecord:
    """For the step Stop. The grace period counts from the first time it was asked to end."""
    return replace(stop_requested(run, reason, now), phase=Phase.STOPPING) if run.active else run


def after_find_start(run: RunRecord, live: LiveRun | None, now: datetime) -> tuple[RunRecord, RunRecord | None]:
    """`(old, fresh)` after the engine told whether it ever started.

    Started: the old one is adopted. Never: a fresh attempt under a new name that uses no `retries`; claim it before
    writing the old one. If it was asked to end meanwhile, so is the fresh one, and is given up at its next step.
    """
    if live is not None:
        return started(run, live, now), None
    return fresh_attempt(run, "its start was interrupted, and it never started", now)


def fresh_attempt(run: RunRecord, why: str, now: datetime) -> tuple[RunRecord, RunRecord]:
    """`(old, fresh)`: end an attempt that provably never started, and go on under a new name."""
    fresh = successor(run, run.trigger, now, retry_at=run.retry_at, deadline=run.deadline)
    fresh = replace(
        fresh,
        tries=run.tries + 1,
        unstarted=run.unstarted + 1,
        replaces=run.replaces,
        stop_requested_at=run.stop_requested_at,
        stop_reason=run.stop_reason,
    )
    old = replace(
        run,
        phase=Phase.CANCELLED,
        reason=f"{why}; goes on as {fresh.run_id}",
        finished_at=now,
        collected=True,
        superseded_by=fresh.run_id,
    )
    return old, fresh


def renewed(
    run: RunRecord, spec: JobSpec, job: StandingJob, parameters: Values, now: datetime
) -> tuple[RunRecord, RunRecord | None]:  # fmt: skip
    """`(run, None)` or `(old, fresh)`: an owed slot runs with the job's new definition (rule T4), and `parameters`.
    `spec` is the definition that it has.

    If nothing was ever prepared under its name, it keeps it.
    """
    if run.phase is Phase.PENDING and run.tries == 0:
        return _redefined(run, spec, job, parameters), None
    old, fresh = fresh_attempt(run, "the job has a newer definition", now)
    return old, replace(_redefined(fresh, spec, job, parameters), tries=0, retry_at=now)


def _redefined(run: RunRecord, spec: JobSpec, job: StandingJob, parameters: Values) -> RunRecord:
    return replace(run, digest=job.digest, revision=job.revision, image_id=job.image_id,
                   image_digest=job.image_digest, parameters=parameters, code=_code(run, spec, job.spec))  # fmt: skip


def _code(run: RunRecord, old: JobSpec, new: JobSpec) -> tuple[CodeAt, ...]:
    """What of its code is as the new definition says, or was asked for in place of what the old one said. The rest is
    looked up anew."""
    before = {(item.target, item.url): item.ref for item in old.repositories}
    wanted = {(item.target, item.url): item.ref for item in new.repositories}
    return tuple(
        at for at in run.code
        if (key := (at.target, at.url)) in wanted and (at.ref == wanted[key] or at.ref != before.get(key))
    )  # fmt: skip


def finished(run: RunRecord, outcome: Outcome, now: datetime) -> RunRecord:
    """An engine may note the end of a very short run before it has noted its start: it then took no time."""
    started_at, finished_at = outcome.started_at or run.started_at, outcome.finished_at or now
    return replace(
        run,
        phase=outcome.phase,
        exit_code=outcome.exit_code,
        failure=outcome.failure,
        reason=outcome.reason,
        started_at=started_at,
        finished_at=finished_at if started_at is None else max(started_at, finished_at),
    )


def kept(run: RunRecord, seconds: float, now: datetime) -> RunRecord:
    """Its command has failed by itself or by its timeout, and its container is there: it is kept that long."""
    if not seconds or run.phase not in KEPT:
        return run
    return replace(run, hold_until=now + timedelta(seconds=seconds))


def let_go(run: RunRecord, now: datetime) -> RunRecord:
    """Its container is kept no longer. When it was to be stays known."""
    return run if run.hold_until is None else replace(run, hold_until=min(run.hold_until, now))


def given_up(run: RunRecord, outcome: Outcome, now: datetime) -> RunRecord:
    """Nothing of it ever ran, so there is nothing to collect; what was created for it is still to be discarded."""
    untouched = run.phase is Phase.PENDING and run.tries == 0 and not run.ref
    return replace(finished(run, outcome, now), collected=True, discarded=untouched)


def superseded(run: RunRecord, why: str, now: datetime) -> tuple[RunRecord, SlotRecord]:
    """A waiting attempt ends because the next slot is due (rule R4)."""
    outcome = Outcome(Phase.CANCELLED, None, FailureClass.NONE, why, None, None)
    return given_up(run, outcome, now), slot_record(run, Disposition.SUPERSEDED, why)


def collected(
    run: RunRecord, log_bytes: int, peak_memory: int | None, cpu_seconds: float | None,
    failure: FailureClass = FailureClass.NONE,
) -> RunRecord:  # fmt: skip
    """`failure`: by its log it failed before its command."""
    return replace(
        run,
        failure=failure,
        collected=True,
        log_bytes=log_bytes,
        peak_memory=run.peak_memory if peak_memory is None else peak_memory,
        cpu_seconds=run.cpu_seconds if cpu_seconds is None else cpu_seconds,
    )


def discarded(run: RunRecord) -> RunRecord:
    return replace(run, discarded=True)


def slot_record(run: RunRecord, disposition: Disposition, reason: str) -> SlotRecord:
    """The one entry of the run's slot (rule T5)."""
    return SlotRecord(run.job, run.slot, run.slot, 1, disposition, reason, run.run_id)
