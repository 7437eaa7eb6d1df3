"""Runs that the engine shows and the loop does not know: ours by their mark, so the ledger must speak of them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from ..history.base import History
from ..history.logfiles import log_path
from ..model.ids import parse_run_id
from ..model.job import JobSpec, Schedule, ScheduleKind
from ..model.live import LivePhase, LiveRun, StandingJob
from ..model.run import Phase, RunRecord, Trigger
from ..model.service import DEFAULT_OWNER
from .lean import structlog
from .run_book import Book
from .run_work import RunWork

log = structlog.get_logger()

UNKNOWN = ""  # the digest of an adopted run whose definition the ledger does not have


def unknown_spec(job: str) -> JobSpec:
    """What is assumed of a run whose definition is lost: the defaults bound it."""
    return JobSpec(job, DEFAULT_OWNER, Schedule(ScheduleKind.MANUAL), "")


def take_up(
    seen: Mapping[str, LiveRun], book: Book, history: History, jobs: Mapping[str, StandingJob], work: RunWork,
    now: datetime,
) -> None:  # fmt: skip
    """Adopt or sweep every run of a listing that is not open. A listing may be old: nothing is done on its word alone,
    each run is looked at first."""
    for run_id, live in seen.items():
        if run_id in book.runs:
            continue
        record = history.run(run_id)
        if record is not None:
            # Ended and discarded before. Shown again, perhaps another object: a create may outlive its client.
            work.look(book.add(replace(record, ref=live.ref), adopted=True))
        elif book.echoes(run_id, now):
            continue  # a trial that was forgotten after this listing was made; if it is there, the next shows it again
        elif live.phase is LivePhase.CREATED:
            work.sweep(book.add(_record(live, jobs.get(live.job), now)))
        else:
            _adopt(live, book, history, jobs.get(live.job), work, now)


def _adopt(
    live: LiveRun, book: Book, history: History, job: StandingJob | None, work: RunWork, now: datetime
) -> None:  # fmt: skip
    record = replace(_record(live, job, now), phase=Phase.RUNNING, started_at=live.started_at or now)
    if not history.claim(record):
        log.error("run.unaccounted", run=live.run_id, error="it runs, and its slot belongs to another run")
        return
    work.look(book.add(record, adopted=True))


def _record(live: LiveRun, job: StandingJob | None, now: datetime) -> RunRecord:
    name, slot, attempt, cell = parse_run_id(live.run_id)
    return RunRecord(
        run_id=live.run_id, job=name, slot=slot, attempt=attempt,
        trigger=Trigger.MANUAL if slot.microsecond else Trigger.SCHEDULE, actor="scheduler",
        digest=job.digest if job else UNKNOWN, revision=job.revision if job else "", phase=Phase.PENDING,
        claimed_at=now, ref=live.ref, log=log_path(name, live.run_id), cell=cell,
        devices=live.devices,
    )  # fmt: skip
