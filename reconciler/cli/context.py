"""What a command stands on: the configuration in force, the ledger read-only, the service if it runs."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..daemon.settings import Overrides, load, socket_path
from ..history.base import History
from ..model.errors import ReconcilerError, StateError, UsageError
from ..model.ids import parse_run_id
from ..model.run import RunRecord
from ..model.service import ServiceConfig
from ..server.client import call, refusal


def overrides(args: argparse.Namespace) -> Overrides:
    """What this command line says."""
    return Overrides(
        args.config, args.source, args.ref, tuple(args.path) if args.path else None, args.engine, args.state_dir
    )


def settings(args: argparse.Namespace) -> ServiceConfig:
    """The configuration in force. Problems of the service file go to standard error; errors end the command."""
    config, problems = load(overrides(args))
    for problem in problems:
        print(f"{problem}{f' ({problem.hint})' if problem.hint else ''}", file=sys.stderr)
    if any(problem.is_error for problem in problems):
        raise UsageError("cannot use the service file: see the lines above", code="config-invalid")
    return config


@contextmanager
def ledger(config: ServiceConfig) -> Iterator[History]:
    """The ledger, read-only: works beside a running service and without one."""
    from ..history.sqlite import open_history

    path = Path(config.state_dir) / "reconciler.db"
    if not path.exists():
        raise StateError(
            f"cannot read {path}: there is no state yet", code="state-absent",
            hint="start the service with 'reconciler serve', or name its directory with --state-dir",
        )  # fmt: skip
    history = open_history(path, read_only=True)
    try:
        yield history
    finally:
        history.close()


def ask(config: ServiceConfig, method: str, route: str, body: Any = None, timeout: float = 30.0) -> Any:
    """Ask the running service; its refusal becomes an error here, with the same code and hint."""
    status, answer = call(socket_path(config), method, route, body, timeout)
    if status >= 400:
        raise refusal(status, answer)
    return answer


def service_runs(config: ServiceConfig) -> bool:
    """Is there a service to ask? A refusal is an answer, too."""
    try:
        ask(config, "GET", "/v1/status", timeout=5.0)
    except ReconcilerError as error:
        return error.code not in ("service-not-running", "service-unreachable")
    return True


def now() -> datetime:
    return datetime.now(UTC)


def find_run(history: History, config: ServiceConfig, text: str) -> RunRecord:
    """RUN: a run id, JOB (its latest run) or JOB@TIME (a slot: `02:30`, `11-24T02:30`, `2026-11-24T02:30`)."""
    try:
        parse_run_id(text)
    except ValueError:
        pass
    else:
        if (run := history.run(text)) is not None:
            return run
        raise UsageError(f"cannot find run {text}: history has none of this id", code="run-unknown")
    job, _, when = text.partition("@")
    runs = history.runs(job, limit=500 if when else 1)
    if not runs:
        raise UsageError(f"cannot find a run of {job!r}: it has none", code="run-unknown", hint=_near(history, job))
    if not when:
        return runs[0]
    zone = _zone(history, job, config)
    for run in runs:
        if matches(run.slot, when, zone):
            return run
    raise UsageError(f"cannot find a run of {job} at {when}", code="run-unknown", hint=f"see: reconciler runs {job}")


def matches(slot: datetime, text: str, zone: str) -> bool:
    """Is `text` a way to say this slot, in its zone or (with Z) in UTC? The newest match wins."""
    from zoneinfo import ZoneInfo

    at = slot.astimezone(UTC) if text.endswith("Z") else slot.astimezone(ZoneInfo(zone))
    text = text.removesuffix("Z").replace(" ", "T")
    return any(at.strftime(form) == text for form in (
        "%H:%M", "%H:%M:%S", "%m-%dT%H:%M", "%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S",
    ))  # fmt: skip


def _zone(history: History, job: str, config: ServiceConfig) -> str:
    standing = history.standing().get(job)
    return standing.spec.schedule.timezone if standing else config.timezone


def _near(history: History, job: str) -> str:
    import difflib

    near = difflib.get_close_matches(job, list(history.standing()), 1)
    return f"did you mean {near[0]!r}?" if near else "'reconciler jobs --all' lists the jobs"


def known_job(history: History, job: str) -> str:
    """The job's name, or a UsageError with the nearest one."""
    if job in history.standing() or history.runs(job, limit=1) or history.slots(job, limit=1):
        return job
    raise UsageError(f"cannot find job {job!r}", code="job-unknown", hint=_near(history, job))
