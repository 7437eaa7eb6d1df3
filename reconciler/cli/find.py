"""What a person means by RUN and JOB -> the run's record, the job's name; or an error with the nearest one."""

from collections.abc import Sequence
from datetime import UTC, datetime

from ..history.base import Reader
from ..model.errors import UsageError
from ..model.ids import is_job_name, parse_run_id
from ..model.run import RunRecord
from ..model.service import ServiceConfig

MOST = 2000  # runs of a job that are searched for a time
_FORMS = ("%H:%M", "%H:%M:%S", "%m-%dT%H:%M", "%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S")


def find_run(history: Reader, config: ServiceConfig, text: str, now: datetime, *, active: bool = False) -> RunRecord:
    """RUN: a run id, JOB (its latest run) or JOB@TIME (a slot: `02:30`, `11-24T02:30`, `2026-11-24T02:30`, Z for UTC).

    `active`: of JOB's runs, rather the latest one that has not ended. Raises UsageError.
    """
    try:
        parse_run_id(text)
    except ValueError:
        pass
    else:
        if (run := history.run(text)) is not None:
            return run
        raise UsageError(f"cannot find run {text}: history has none of this id", code="run-unknown",
                         hint="'reconciler runs' lists the latest")  # fmt: skip
    job, _, when = text.partition("@")
    runs = history.runs(known_job(history, job), limit=MOST if when else 100, fold=True)
    if not runs:
        raise UsageError(f"cannot find a run of {job}: it has never run", code="run-unknown",
                         hint=f"start one by hand: reconciler run {job}")  # fmt: skip
    if not when:
        return latest(runs, now, active=active)
    zone = zone_of(history, job, config)
    for run in runs:
        if matches(run.slot, when, zone):
            return run
    raise UsageError(f"cannot find a run of {job} at {when}", code="run-unknown", hint=f"see: reconciler runs {job}")


def latest(runs: Sequence[RunRecord], now: datetime, *, active: bool = False) -> RunRecord:
    """Of runs, newest first: the newest that is due. What was made ready for a later slot comes last."""
    due = [run for run in runs if run.slot <= now] or list(runs)
    return next((run for run in due if run.active), due[0]) if active else due[0]


def matches(slot: datetime, text: str, zone: str) -> bool:
    """Is `text` a way to say this slot, in its zone or (with Z) in UTC?"""
    from zoneinfo import ZoneInfo

    at = slot.astimezone(UTC) if text.endswith("Z") else slot.astimezone(ZoneInfo(zone))
    said = text.removesuffix("Z").replace(" ", "T")
    return any(at.strftime(form) == said for form in _FORMS)


def zone_of(history: Reader, job: str, config: ServiceConfig) -> str:
    """The zone in which people speak of this job's slots."""
    standing = history.standing().get(job)
    return standing.spec.schedule.timezone if standing else config.timezone


def known_job(history: Reader, job: str) -> str:
    """The job's name: it stands, is held, or history speaks of it. Raises UsageError with the nearest name."""
    from .fleet import held_jobs

    names = {*history.standing(), *held_jobs(history)}
    if job in names or (is_job_name(job) and (history.runs(job, limit=1) or history.slots(job, limit=1))):
        return job
    raise UsageError(f"cannot find job {job!r}", code="job-unknown", hint=_near(names, job))


def _near(names: set[str], job: str) -> str:
    import difflib

    near = difflib.get_close_matches(job, names, 3) or [name for name in sorted(names) if name.split("/")[-1] == job]
    said = " or ".join(repr(name) for name in near[:3])
    return f"did you mean {said}?" if near else "'reconciler jobs --all' lists the jobs"
