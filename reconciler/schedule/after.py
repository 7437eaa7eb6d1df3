"""In: a job with `after`, how a run of the other ended, what is active. Out: the run that it fires, or why it may not.

Also: what a slot of a job with `wait_for` still waits for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..model.ids import slot_stamp
from ..model.job import After, Concurrency, JobSpec
from ..model.live import StandingJob
from ..model.run import Phase, RunRecord, RunRequest, Trigger
from .cron import latest_fires
from .deadlines import LONGEST_DEADLINE
from .due import blocked
from .gates import Gates
from .holding import blockers_of, queued, replaced_ids

LOOK_BACK = timedelta(days=400)  # for the latest slot of a job that is waited for: a yearly one has one
_TICK = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Triggered:
    """`refused`: why its run ends before it begins, "" = it goes ahead; the first word names its slot's disposition."""

    request: RunRequest
    deadline: datetime
    refused: str = ""


def fires(link: After, ended: Phase) -> bool:
    """Does this outcome count? One that was cancelled never does."""
    if ended is Phase.SUCCEEDED:
        return link.on in ("success", "any")
    return ended.bad and link.on in ("failure", "any")


def follows(spec: JobSpec) -> str:
    """What fires it beside its schedule: `after data/etl or a failure of data/load`; "" = nothing."""
    before = {"failure": "a failure of ", "any": "any end of "}
    said = " or ".join(before.get(link.on, "") + link.job for link in spec.after)
    return said and f"after {said}"


def key_of(run: RunRecord) -> str:
    """One slot fires another job once, whatever is repeated after a crash."""
    return f"after:{run.job}.{slot_stamp(run.slot)}"


def own_instant(now: datetime, nth: int = 0) -> datetime:
    """A slot that no schedule gives: a millisecond that is never a whole second."""
    at = now.replace(microsecond=now.microsecond // 1000 * 1000) + nth * _TICK
    return at if at.microsecond else at + _TICK


def triggered(
    job: StandingJob, cause: RunRecord, active: Sequence[RunRecord], slot: datetime, now: datetime, gates: Gates
) -> Triggered:
    """What the end of `cause` asks of `job`, whose active runs are given."""
    policy, refused = job.spec.concurrency_policy, ""
    block = blocked(job, now, gates)
    holding = blockers_of(active, now, gates.begun)
    waiting = queued(holding, gates.begun)
    if block is not None:
        word, reason = block
        refused = reason if reason.startswith(word.value) else f"{word.value}: {reason}"
    elif holding and policy is Concurrency.FORBID:
        refused = f"skipped: {holding[0].run_id} was still {holding[0].phase} (concurrency_policy: Forbid)"
    elif policy is Concurrency.QUEUE and waiting >= job.spec.queue.limit:
        refused = f"skipped: {waiting} are waiting already (queue.limit: {job.spec.queue.limit})"
    replaces = replaced_ids(holding) if policy is Concurrency.REPLACE and not refused else ()
    request = RunRequest(
        job.name, slot, 1, Trigger.AFTER, replaces=replaces, key=key_of(cause), cause=cause.run_id
    )  # fmt: skip
    deadline = job.spec.start_deadline
    return Triggered(request, slot + (LONGEST_DEADLINE if deadline is None else timedelta(seconds=deadline)), refused)


def awaited(
    spec: JobSpec,
    slot: datetime,
    job_of: Callable[[str], StandingJob | None],
    last_success: Callable[[str], datetime | None],
) -> tuple[str, datetime | None]:
    """`(what the slot waits for, until when)`; ("", None) = nothing any more.

    `last_success`: the latest slot for which a job has succeeded. A job that has no times of its own must have
    succeeded since `within` before the slot.
    """  # fmt: skip
    words, until = [], None
    for wait in spec.wait_for:
        other, success = job_of(wait.job), last_success(wait.job)
        since = slot - timedelta(seconds=wait.within)
        if other is not None:
            due = latest_fires(other.spec.schedule, slot - LOOK_BACK, slot, other.anchor).last
            since = since if due is None else due
        if success is not None and success >= since:
            continue
        words.append(f"{wait.job} to succeed for {since:%Y-%m-%dT%H:%M:%SZ}")
        bound = slot + timedelta(seconds=wait.within)
        until = bound if until is None else min(until, bound)
    return " and ".join(words), until
