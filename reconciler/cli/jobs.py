"""List jobs, worst first, with their last runs and their next one. Jobs that are fine are one line unless --all."""

import argparse
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .output import STATE_COLOURS, iso, local, plain, print_json, print_table, took

if TYPE_CHECKING:
    from .fleet import Row

FEW = 15  # with no more jobs than this, all of them are shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="show the jobs that are fine, too")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")


def run(args: argparse.Namespace) -> int:
    from .context import ledger, now, settings
    from .fleet import rows

    config, at = settings(args), now()
    with ledger(config) as history:
        found = rows(history, at)
        revision, engine = history.get_meta("applied_revision") or "", history.get_meta("engine") or "-"
    if args.output == "json":
        print_json({"instance": config.instance, "engine": engine, "revision": revision, "at": iso(at),
                    "jobs": [data(row) for row in found]})  # fmt: skip
        return 0
    _header(config.instance, revision, engine, found, _degraded(config))
    shown = found if args.all or len(found) <= FEW else [r for r in found if r.status.state.value != "OK"]
    if shown:
        print()
        print_table(
            ("JOB", "SCHEDULE", "LAST", "LAST 10", "TOOK", "NEXT", "STATE"), [_cells(row, config.timezone, at) for row in shown]
        )
    if len(shown) < len(found):
        print(f"{len(found) - len(shown)} fine; --all shows them")
    worst = next((row for row in shown if row.status.last is not None and row.status.state.value != "OK"), None)
    if worst is not None:
        print(f"\nWhy:  reconciler runs {worst.status.name}      Log:  reconciler logs {worst.status.name}")
    return 0


def _degraded(config: Any) -> tuple[str, ...]:
    """What the service says is wrong with its parts, or that it does not run."""
    from ..model.errors import ReconcilerError
    from .context import ask

    try:
        return tuple(ask(config, "GET", "/v1/status", timeout=5.0)["degraded"])
    except ReconcilerError as error:
        return (f"the service is not there to fire them: {error}",)


def _header(instance: str, revision: str, engine: str, found: "list[Row]", degraded: tuple[str, ...]) -> None:
    running = sum(row.status.running for row in found)
    counts = Counter(row.status.state.value for row in found)
    words = " · ".join(f"{count} {state.lower()}" for state, count in counts.items() if state != "OK")
    print(f"{instance}  in step with {revision[:7] or 'nothing yet'} · {engine}")
    for line in degraded:
        print(f"! {plain(line)}")
    fine = f"{counts['OK']} fine"
    print(f"{len(found)} jobs: {fine}{' · ' if words else ''}{words}      {running} running now")


def _cells(row: "Row", zone: str, now: datetime) -> list[Any]:
    status, job = row.status, row.standing
    zone = job.spec.schedule.timezone if job is not None else zone
    state = status.state.value + (f": {status.why}" if status.why and status.state.value != "OK" else "")
    if status.streak > 1 and status.since is not None:
        state += f" ({status.streak} in a row since {local(status.since, zone, now)})"
    if status.held and "HELD" not in state:
        state += f" · HELD: {status.held}"
    colour = STATE_COLOURS.get(status.state.value, "")
    return [status.name, _schedule(row), _last(row, zone, now), (status.marks, colour), _took(row), _next(row, zone, now),
            (state, colour)]  # fmt: skip


def _schedule(row: "Row") -> str:
    if row.standing is None:
        return "-"
    schedule = row.standing.spec.schedule
    return schedule.expression or schedule.kind.value


def _last(row: "Row", zone: str, now: datetime) -> str:
    last = row.status.last
    if row.status.running:
        return "running"
    if last is None:
        return "-"
    word = "ok" if last.phase.value == "succeeded" else last.phase.value.replace("_", " ")
    return f"{word} {local(last.slot, zone, now)}" + (f", exit {last.exit_code}" if last.exit_code else "")


def _took(row: "Row") -> str:
    last = row.status.last
    if last is None or last.started_at is None or last.finished_at is None:
        return "-"
    return took((last.finished_at - last.started_at).total_seconds())


def _next(row: "Row", zone: str, now: datetime) -> str:
    if row.pause is not None:
        return f"paused{f' till {local(row.pause.until, zone, now)}' if row.pause.until else ''}"
    if row.next_at is not None:
        return local(row.next_at, zone, now)
    return "by hand" if row.standing is not None and not row.standing.spec.suspend else "-"


def data(row: "Row") -> dict[str, Any]:
    """One job as JSON: stable keys."""
    from .runs import record_data

    status, job = row.status, row.standing
    return {
        "name": status.name, "owner": status.owner, "state": status.state.value, "why": status.why, "held": status.held,
        "schedule": job.spec.schedule.expression or job.spec.schedule.kind.value if job else None,
        "timezone": job.spec.schedule.timezone if job else None, "digest": job.digest if job else None,
        "revision": job.revision if job else None, "image": job.spec.image if job else None,
        "path": job.path if job else None, "marks": status.marks, "streak": status.streak,
        "since": iso(status.since), "running": status.running, "next": iso(row.next_at),
        "last": record_data(status.last) if status.last else None,
    }  # fmt: skip
