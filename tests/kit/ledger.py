"""Rows of a ledger, and a ledger that can be restarted: what its contract is told in."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reconciler.history.base import History
from reconciler.history.sqlite import open_history
from reconciler.model.ids import run_id
from reconciler.model.job import JobSpec, Schedule, ScheduleKind
from reconciler.model.live import StandingJob
from reconciler.model.run import Disposition, Phase, RunRecord, SlotRecord, Trigger

T0 = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def a_spec(name: str = "etl", **changes: object) -> JobSpec:
    spec = JobSpec(name, "default", Schedule(ScheduleKind.CRON, "*/15 * * * *"), "busybox:1")
    return replace(spec, **changes)  # type: ignore[arg-type]


def a_job(name: str = "etl", **changes: object) -> StandingJob:
    job = StandingJob(name, a_spec(name), "d1", "41d7a90", f"{name}.yaml", T0, T0, T0 - DAY)
    return replace(job, **changes)  # type: ignore[arg-type]


def a_run(slot: datetime = T0, job: str = "etl", attempt: int = 1, **changes: object) -> RunRecord:
    run = RunRecord(
        run_id(job, slot, attempt),
        job,
        slot,
        attempt,
        Trigger.SCHEDULE,
        "scheduler",
        "d1",
        "41d7a90",
        Phase.PENDING,
        slot,
    )
    return replace(run, **changes)  # type: ignore[arg-type]


def ended(run: RunRecord, phase: Phase = Phase.SUCCEEDED) -> RunRecord:
    return replace(run, phase=phase, started_at=run.slot, finished_at=run.slot, collected=True, discarded=True)


def a_slot(
    first: datetime,
    last: datetime | None = None,
    count: int = 1,
    *,
    job: str = "etl",
    disposition: Disposition = Disposition.PAUSED,
    reason: str = "by cleo",
    run: str = "",
) -> SlotRecord:
    return SlotRecord(job, first, last or first, count, disposition, reason, run)


class Ledger:
    """A ledger that can be closed and opened again, as a restart of the service does."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "history.db"
        self.history: History = open_history(self._path)

    def restart(self) -> History:
        self.history.close()
        self.history = open_history(self._path)
        return self.history


def prune_all(history: History, now: datetime) -> list[RunRecord]:
    dropped: list[RunRecord] = []
    while found := history.prune(now):
        dropped.extend(found)
    return dropped
