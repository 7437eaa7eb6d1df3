"""The ledger -> one status per job: what `jobs` and `check` stand on."""

import json
from dataclasses import dataclass
from datetime import datetime

from ..history.base import History
from ..model.desired import HeldJob
from ..model.live import StandingJob
from ..model.problem import SpecProblem
from ..model.run import Pause
from ..runs.conditions import JobStatus, summarise, worst_first

RECENT = 40  # runs and slots of a job that its status is made of


@dataclass(frozen=True, slots=True)
class Row:
    """One job: its status, its definition if one is applied, and when it fires next (None = by hand or not at all)."""

    status: JobStatus
    standing: StandingJob | None
    next_at: datetime | None
    pause: Pause | None


def rows(history: History, now: datetime) -> list[Row]:
    """All jobs, worst first."""
    from ..schedule.cron import next_fire

    standing, held, pauses = history.standing(), held_jobs(history), list(history.pauses())
    found: dict[str, Row] = {}
    for name in sorted({*standing, *held}):
        job = standing.get(name)
        status = summarise(
            job, history.runs(name, limit=RECENT), history.slots(name, limit=RECENT), pauses, held.get(name), now
        )
        pause = next((p for p in pauses if p.covers(name, now)), None)
        stopped = job is None or pause is not None or job.spec.suspend or bool(job.forbidden)
        due = None if stopped or job is None else next_fire(job.spec.schedule, max(now, job.cursor), job.anchor)
        found[name] = Row(status, job, due, pause)
    return [found[status.name] for status in worst_first(row.status for row in found.values())]


def held_jobs(history: History) -> dict[str, HeldJob]:
    """The broken files of the newest revision, as the service last saw them."""
    said = json.loads(history.get_meta("held") or "{}")
    return {
        name: HeldJob(name, row["path"], row["owner"], (
            SpecProblem(row["path"], row["line"], row["column"], row["code"], row["message"], row["hint"]),
        ))
        for name, row in said.items()
    }  # fmt: skip
