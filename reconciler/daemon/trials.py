"""Runs of definitions that do not stand: a file that somebody tries, a shell in the environment of a job, an earlier
run that somebody wants exactly again.

They go down the path of every other run (rule R8). In the loop's thread, `leave_nothing` apart.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from ..history.base import History
from ..history.logfiles import log_path
from ..model.errors import Permanent, Transient
from ..model.event import EventName
from ..model.job import Concurrency, JobSpec
from ..model.live import StandingJob
from ..model.run import RunRecord, RunRequest, Trigger
from ..model.terminal import Terminal
from ..runs.dev import dev_of
from ..runs.environment import iso
from ..runs.parameters import resolve
from ..runs.transitions import claimed
from ..runs.trial import trial_of, tried
from ..schedule.after import own_instant
from ..spec.admission import admit, owner_of
from ..spec.canonical import digest_of
from .asked_code import asked_code
from .deciding import MANUAL_DEADLINE
from .events import EventStream
from .manual import applied

if TYPE_CHECKING:
    from .run_loop import RunLoop

FORGOTTEN = timedelta(hours=1)  # after its end; whoever tried something has long read its log
DEV_FORGOTTEN = timedelta(minutes=1)  # of a shell, whose client asks at once what was installed


def start_trial(
    loop: "RunLoop", spec: JobSpec, revision: str, actor: str, given: Mapping[str, str], now: datetime
) -> RunRecord:
    """Claim one run of `spec`, as its file says it, which policy has admitted. Raises Permanent, Transient."""
    made = trial_of(spec)
    job = StandingJob(made.name, made, digest_of(made), revision, "", now, now, now)
    request = RunRequest(made.name, own_instant(now), 1, Trigger.TRY, actor, parameters=resolve(made, given),
                         cell=0 if spec.strategy.cells else None, cells=1 if spec.strategy.cells else 0)  # fmt: skip
    return _claim(loop, request, job, now)


@dataclass(frozen=True, slots=True)
class DevAsked:
    """A shell for how many seconds (None = as long as may be), with or without the job's secrets."""

    terminal: Terminal
    seconds: float | None = None
    secrets: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict)
    refs: Sequence[str] = ()


class DevClaimed(NamedTuple):
    """How many seconds it may go on, and the names of the job's secrets that it does not have."""

    run: RunRecord
    seconds: float
    without: tuple[str, ...]


def start_dev(loop: "RunLoop", job: str, actor: str, asked: DevAsked, now: datetime) -> DevClaimed:
    """Claim a shell in the environment of a job that is applied. Raises Permanent, Transient."""
    standing = applied(loop, job)
    spec, most = standing.spec, loop.config.limits.dev_timeout
    refused = next(iter(admit(spec, loop.config)), None)
    if refused is not None:
        raise Permanent(f"cannot open a shell in {job}: {refused.message}", code=refused.code, hint=refused.hint)
    if spec.exec_in:
        raise Permanent(f"cannot open a shell in {job}: it runs in {spec.exec_in}, which is not its own (exec_in)",
                        code="dev-unsupported", hint="ask whoever the container belongs to")  # fmt: skip
    if asked.terminal.port and spec.networks in ((), ("none",)):
        raise Permanent(f"cannot open a notebook in {job}: it has no network", code="dev-no-network",
                        hint="without --jupyter it is a shell; `networks` of the job file: docs/reference/job.md"
                        )  # fmt: skip
    seconds = most if asked.seconds is None else asked.seconds
    if not 0 < seconds <= most:
        raise Permanent(f"cannot open a shell in {job} for {seconds:.0f} s: at most {most:.0f} s",
                        code="dev-too-long", hint="limits.dev_timeout of the service file says how long")  # fmt: skip
    made = dev_of(spec, seconds, secrets=asked.secrets)
    row = StandingJob(made.name, made, digest_of(made), standing.revision, "", now, now, now,
                      image_id=standing.image_id, image_digest=standing.image_digest)  # fmt: skip
    request = RunRequest(
        made.name, own_instant(now), 1, Trigger.DEV, actor, parameters=resolve(made, asked.parameters),
        cell=0 if spec.strategy.cells else None, cells=1 if spec.strategy.cells else 0, cause=str(asked.terminal),
        code=asked_code(spec, asked.refs),
    )  # fmt: skip
    without = () if asked.secrets else tuple(dict.fromkeys(ref.name for ref in spec.secrets))
    return DevClaimed(_claim(loop, request, row, now), seconds, without)


def secret_names(spec: JobSpec | None) -> str:
    """`orders-dsn, s3-models`; never a value."""
    return ", ".join(dict.fromkeys(ref.name for ref in spec.secrets)) if spec is not None else ""


def replay(loop: "RunLoop", history: History, run_id: str, actor: str, now: datetime) -> RunRecord:
    """Claim a run with the definition, image and parameters of an earlier one. Raises Permanent, Transient."""
    old = history.run(run_id)
    if old is None or old.trigger is Trigger.DEV:
        raise Permanent(f"cannot replay {run_id}: there is no such run", code="run-unknown",
                        hint="'reconciler runs' lists the latest")  # fmt: skip
    spec = history.spec(old.digest)
    if spec is None or (old.prepared_at is None and old.started_at is None):
        what = "its definition is no longer kept" if spec is None else "it was never made ready, so no image is known"
        raise Permanent(f"cannot replay {run_id}: {what}", code="replay-gone", hint=f"reconciler run {old.job}")
    owner = owner_of(loop.config, tried(old.job))
    if owner != spec.owner:  # its job has moved: what it could reach then is not its new owner's to use
        raise Permanent(f"cannot replay {run_id}: it was {spec.owner}'s, and its job is {owner or 'nobody'}'s now",
                        code="replay-gone", hint=f"reconciler run {old.job}")  # fmt: skip
    if loop.drained:
        raise Permanent(f"cannot replay {run_id}: {loop.drained}", code="draining", hint="reconciler drain --end")
    refused = next(iter(admit(spec, loop.config)), None)
    if refused is not None:
        raise Permanent(f"cannot replay {run_id}: {refused.message}", code=refused.code, hint=refused.hint)
    active = loop.active(old.job)
    if active and spec.concurrency_policy is not Concurrency.ALLOW:
        raise Permanent(
            f"cannot replay {run_id}: {active[0].run_id} is {active[0].phase.value} "
            f"(concurrency_policy: {spec.concurrency_policy.value})",
            code="job-active", hint=f"wait for it, or end it: reconciler stop {old.job}",
        )  # fmt: skip
    job = StandingJob(old.job, spec, old.digest, old.revision, "", now, now, now, image_id=old.image_id,
                      image_digest=old.image_digest)  # fmt: skip
    request = RunRequest(old.job, own_instant(now), 1, Trigger.REPLAY, actor, parameters=old.parameters, cause=run_id,
                         cell=old.cell, cells=old.cells, replays=old.replays or old.slot, code=old.code)  # fmt: skip
    return _claim(loop, request, job, now)


def _claim(loop: "RunLoop", request: RunRequest, job: StandingJob, now: datetime) -> RunRecord:
    record = claimed(request, job, now + MANUAL_DEADLINE, now, log_path(request.job, request.run_id))
    if not loop.claim_alone(record, job.spec):
        raise Transient("cannot start it: another one was started in this very millisecond", code="service-busy",
                        hint="try again")  # fmt: skip
    return record


def leave_nothing(
    history: History, emit: EventStream, drop_files: Callable[[Iterable[RunRecord]], None], run: RunRecord
) -> None:
    """Delete what is known of a trial that is over: log, outputs and record. Who tried what stays in the journal."""
    spec = history.spec(run.digest)
    drop_files((run,))
    history.forget(run)
    if run.trigger is Trigger.DEV:
        emit.emit(EventName.DEV_CLOSED, job=run.job, run=run.run_id, actor=run.actor, verdict=run.phase.value,
                  secrets=secret_names(spec), since=iso(run.started_at), until=iso(run.finished_at))  # fmt: skip
        return
    emit.emit(EventName.TRIAL_FORGOTTEN, job=run.job, run=run.run_id, actor=run.actor, verdict=run.phase.value)


def forget_old(
    history: History, emit: EventStream, drop_files: Callable[[Iterable[RunRecord]], None], now: datetime
) -> None:
    """Those that nobody has called for."""
    for run in history.trials():
        patience = DEV_FORGOTTEN if run.trigger is Trigger.DEV else FORGOTTEN
        if run.discarded and not run.active and run.finished_at is not None and run.finished_at + patience < now:
            leave_nothing(history, emit, drop_files, run)
