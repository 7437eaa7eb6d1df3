"""Short ways to say a run, what the engine shows of it, and a job."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from reconciler.model.ids import run_id
from reconciler.model.job import JobSpec, Schedule, ScheduleKind
from reconciler.model.live import LivePhase, LiveRun, StandingJob
from reconciler.model.run import Phase, RunRecord, Trigger
from reconciler.runs.machine import Context

SLOT = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def spec(**fields: object) -> JobSpec:
    return replace(JobSpec("a/job", "a", Schedule(ScheduleKind.CRON, "0 2 * * *"), "busybox"), **fields)


def run(
    phase: Phase = Phase.PENDING, attempt: int = 1, trigger: Trigger = Trigger.SCHEDULE, **fields: object
) -> RunRecord:
    name = run_id("a/job", SLOT, attempt)
    record = RunRecord(name, "a/job", SLOT, attempt, trigger, "scheduler", "d1", "r1", phase, claimed_at=SLOT,
                       deadline=SLOT + HOUR, log=f"logs/{name}.log")  # fmt: skip
    return replace(record, **fields)


def running(phase: Phase = Phase.RUNNING, **fields: object) -> RunRecord:
    reached = {"prepared_at": SLOT, "start_requested_at": SLOT, "started_at": SLOT + SECOND, "ref": "c1"}
    return run(phase, **{**reached, **fields})


def live(phase: LivePhase = LivePhase.RUNNING, code: int | None = None, **fields: object) -> LiveRun:
    times: dict[str, object] = {}
    if phase is not LivePhase.CREATED:
        times["started_at"] = SLOT + SECOND
    if phase is LivePhase.EXITED:
        times["finished_at"] = SLOT + 10 * MINUTE
    return replace(LiveRun(run_id("a/job", SLOT, 1), "a/job", "c1", phase, code), **{**times, **fields})


def exited(code: int | None = 0, **fields: object) -> LiveRun:
    return live(LivePhase.EXITED, code, **fields)


def listed(at: datetime, **fields: object) -> Context:
    """A complete listing that was asked for at `at`."""
    return replace(Context(complete=True, listed_at=at), **fields)


def standing(**fields: object) -> StandingJob:
    return replace(StandingJob("a/job", spec(), "d1", "r1", "a/job.yaml", SLOT, SLOT, SLOT, image_id="i1"), **fields)
