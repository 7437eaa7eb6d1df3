"""Row 13: a year of a thousand jobs, simulated by the code that decides: a fleet that rarely fires, a lively one."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from reconciler.forecast.world import Span, simulate
from reconciler.model.live import StandingJob
from reconciler.model.service import Limits, ServiceConfig
from reconciler.spec.desire import desire

from .fleet import job_path, job_text, snapshot_of, texts
from .measure import Budget, Case, cold

TITLE = "a year simulated, processor time"
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
DURATION = 60.0  # seconds of every run


def lively(number: int) -> str:
    """Half of them daily, one of twenty hourly, the others weekly."""
    if number % 20 == 0:
        return f"{number % 60} * * * *"
    return f"{number % 60} {number % 24} * * {'*' if number % 2 else number % 7}"


def standing(files: dict[str, bytes]) -> dict[str, StandingJob]:
    snapshot, blobs = snapshot_of(files)
    desired, _ = desire(snapshot, lambda ids: {blob: blobs[blob] for blob in ids}, ServiceConfig(), {})
    assert len(desired.jobs) == len(files), desired.problems[:3]
    return {
        name: StandingJob(name, job.spec, job.digest, "c" * 40, job.path, BEGIN, BEGIN, BEGIN)
        for name, job in desired.jobs.items()
    }


def cases(budget: Budget, folder: Path) -> Iterator[Case]:
    count, days = (50, 30) if budget.quick else (1000, 365)
    busy = {job_path(n): job_text(n, schedule=lively(n)).encode() for n in range(count)}
    for kind, files in (("as elsewhere: three runs an hour", texts(count)), ("lively: a run every minute", busy)):
        jobs, span = standing(files), Span(BEGIN, BEGIN + timedelta(days=days))

        def work(jobs=jobs, span=span) -> None:
            figures = simulate(jobs, span, lambda job, nth: DURATION, Limits(), ZoneInfo("UTC"))
            assert not figures.capped and sum(job.ran for job in figures.jobs.values()) > count

        yield Case(13, f"{days} days of {count:,} jobs, {kind}", cold(work), ceiling=60.0, least=1, most=3, warm=0)
