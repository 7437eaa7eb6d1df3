"""A job of Berlin, its slot of 02:30 on Wednesday 25 November, and the facts of it in short."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from reconciler.answers.facts import Durations, Facts, RunFact
from reconciler.model.desired import Commit
from reconciler.model.ids import run_id
from reconciler.model.job import JobSpec, Location, Schedule, ScheduleKind
from reconciler.model.live import StandingJob
from reconciler.model.origin import Origin
from reconciler.model.run import Disposition, Phase, RunRecord, SlotRecord, Trigger

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
SLOT = datetime(2026, 11, 25, 1, 30, tzinfo=UTC)
NOW = SLOT + timedelta(minutes=17)
LONG_AGO = SLOT - 60 * DAY
JOB = "web/sync-catalog"
ZONE = "Europe/Berlin"
DEFAULTS = "_defaults.yaml"
ORIGIN = Origin(
    "d1", Commit("41d7a90" + "0" * 33, "Cleo Baum", datetime(2026, 11, 23, 15, 2, tzinfo=UTC).timestamp(), "Hurry up"),
    f"{JOB}.yaml",
    {"schedule": Location(f"{JOB}.yaml", 4), "timezone": Location(DEFAULTS, 1, inherited=True),
     "image": Location(f"{JOB}.yaml", 5)},
)  # fmt: skip


def spec(**fields: object) -> JobSpec:
    made = JobSpec(JOB, "web", Schedule(ScheduleKind.CRON, "30 2 * * *", ZONE), "sync:1")
    return replace(made, **fields)  # type: ignore[arg-type]


def standing(**fields: object) -> StandingJob:
    made = StandingJob(JOB, spec(), "d1", ORIGIN.commit.id, f"{JOB}.yaml", LONG_AGO, SLOT, LONG_AGO)
    return replace(made, **fields)  # type: ignore[arg-type]


def run(phase: Phase = Phase.SUCCEEDED, attempt: int = 1, slot: datetime = SLOT, **fields: object) -> RunRecord:
    cell = fields.get("cell")
    made = RunRecord(
        run_id(JOB, slot, attempt, cell if isinstance(cell, int) else None), JOB, slot, attempt, Trigger.SCHEDULE,
        "scheduler", "d1", ORIGIN.commit.id, phase, slot, log="logs/x.log",
    )  # fmt: skip
    if phase not in (Phase.PENDING, Phase.PREPARING):
        made = replace(made, started_at=slot + timedelta(seconds=1))
    if not made.active:
        made = replace(made, finished_at=slot + timedelta(minutes=4))
    return replace(made, **fields)  # type: ignore[arg-type]


def fact(record: RunRecord, **fields: object) -> RunFact:
    return replace(RunFact(record, spec(), ORIGIN), **fields)  # type: ignore[arg-type]


def row(disposition: Disposition, reason: str, **fields: object) -> SlotRecord:
    made = SlotRecord(JOB, SLOT, SLOT, 1, disposition, reason, decided_at=SLOT + timedelta(milliseconds=12))
    return replace(made, **fields)  # type: ignore[arg-type]


def facts(**fields: object) -> Facts:
    """Of the slot; in step, with a service that has told of no trouble, and runs that take 10 to 14 minutes."""
    job = fields.get("standing", standing())
    made = Facts(
        JOB, SLOT, NOW, ZONE, standing(), job.spec if isinstance(job, StandingJob) else spec(), ORIGIN,
        durations=Durations(600.0, 840.0, 40), known_since=LONG_AGO,
    )  # fmt: skip
    return replace(made, **fields)  # type: ignore[arg-type]
