"""The ledger -> one row per job: what `jobs` and `check` stand on."""

import json
from dataclasses import dataclass
from datetime import datetime

from ..history.base import Reader
from ..model.desired import HeldJob
from ..model.live import StandingJob
from ..model.problem import SpecProblem
from ..model.run import Pause, Phase, RunRecord
from ..runs.conditions import JobStatus, summarise, worst_first

RECENT = 40  # runs and slots of a job that its status is made of
RUNNING = (Phase.STARTING, Phase.RUNNING, Phase.STOPPING)


@dataclass(frozen=True, slots=True)
class Row:
    """One job: its status, its definition if one is applied, when it fires next (None = by hand or not at all), the
    pause it is under, the newest run that is under way, and what to do about what is held."""

    status: JobStatus
    standing: StandingJob | None
    next_at: datetime | None = None
    pause: Pause | None = None
    running: RunRecord | None = None
    hint: str = ""

    @property
    def state(self) -> str:
        return self.status.state.value


def rows(history: Reader, now: datetime) -> list[Row]:
    """All jobs, worst first."""
    from ..schedule.cursor import silent_until

    standing, held, pauses = history.standing(), held_jobs(history), list(history.pauses())
    found: dict[str, Row] = {}
    for name in sorted({*standing, *held}):
        job, runs = standing.get(name), history.runs(name, limit=RECENT, fold=_has_cells(standing.get(name)))
        silent = silent_until(job, now) if job is not None and job.cursor > now else None
        status = summarise(job, runs, history.slots(name, limit=RECENT), pauses, held.get(name), now, silent)
        pause = next((p for p in pauses if p.covers(name, now)), None)
        running = next((run for run in runs if run.phase in RUNNING), None)
        hint = held[name].problems[0].hint if name in held else ""
        found[name] = Row(status, job, None if pause else _next_fire(job, now), pause, running, hint)
    return [found[status.name] for status in worst_first(row.status for row in found.values())]


def _has_cells(job: StandingJob | None) -> bool:
    return job is not None and job.spec.strategy.cells > 0


def _next_fire(job: StandingJob | None, now: datetime) -> datetime | None:
    from ..schedule.cron import next_fire

    if job is None or job.spec.suspend or job.forbidden:
        return None
    return next_fire(job.spec.schedule, max(now, job.cursor), job.anchor)


def held_jobs(history: Reader) -> dict[str, HeldJob]:
    """The broken files of the newest revision, as the service last saw them."""
    said = json.loads(history.get_meta("held") or "{}")
    return {
        name: HeldJob(name, row["path"], row["owner"], (
            SpecProblem(row["path"], row["line"], row["column"], row["code"], row["message"], row["hint"]),
        ), apply_failed=row.get("apply_failed", False))
        for name, row in said.items()
    }  # fmt: skip
