"""List jobs, worst first, with their last runs and their next one. With many jobs, those that are fine are one line.

LAST 10, oldest first: `.` ok, `x` bad, `-` missed or skipped. Times are in each job's own zone.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..model.errors import UsageError
from .output import STATE_COLOURS, Cell, count, iso, local, plain, print_json, print_table, took

if TYPE_CHECKING:
    from ..model.service import ServiceConfig
    from .fleet import Row

FEW = 15  # with no more jobs than this, all of them are shown
_TROUBLE = frozenset({"FORBIDDEN", "FAILING", "MISSED", "AHEAD", "RETRYING"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="show the jobs that are fine, too")
    parser.add_argument("--owner", metavar="NAME", help="only those of this owner")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="(default text)")


def run(args: argparse.Namespace) -> int:
    from .context import ledger, now, service_status, settings
    from .fleet import rows

    config, at = settings(args, asking=True), now()
    with ledger(config) as history:
        found = of_owner(rows(history, at), config, args.owner)
        revision, engine = history.get_meta("applied_revision") or "", history.get_meta("engine") or ""
    service, degraded = service_status(config)
    if args.output == "json":
        failed, held = behind(found)
        print_json({"instance": config.instance, "engine": engine, "revision": revision, "at": iso(at),
                    "in_step": bool(revision) and not (degraded or failed or held),
                    "behind": {"failed": failed, "held": held}, "degraded": degraded,
                    "jobs": [data(row) for row in found]})  # fmt: skip
        return 0
    for line in header(config, revision, engine, found, service, degraded, at):
        print(plain(line))
    _body(found, args.all or len(found) <= FEW, config.timezone, at)
    return 0


def of_owner(found: "list[Row]", config: "ServiceConfig", owner: str | None) -> "list[Row]":
    """Those of one owner; all without. Raises UsageError for one that nobody has heard of."""
    if owner is None:
        return found
    known = {row.status.owner for row in found} | {one.name for one in config.owners}
    if owner not in known:
        from difflib import get_close_matches

        near = get_close_matches(owner, sorted(known), 1)
        raise UsageError(f"cannot find owner {owner!r}", code="owner-unknown",
                         hint=f"did you mean {near[0]!r}?" if near else "see: reconciler owners")  # fmt: skip
    return [row for row in found if row.status.owner == owner]


def header(
    config: "ServiceConfig", revision: str, engine: str, found: "Sequence[Row]", service: dict[str, Any],
    degraded: Sequence[str], at: datetime,
) -> list[str]:  # fmt: skip
    """Where this instance stands, what is wrong with its parts, and the jobs in numbers."""
    from zoneinfo import ZoneInfo

    from ..runs.conditions import but_for

    stands = f"in step with {revision[:7]}" if revision and not degraded else f"applied {revision[:7] or 'nothing yet'}"
    words = [stands + (but_for(*behind(found)) if revision else "")]
    if service.get("synced_at"):
        seen = datetime.fromisoformat(service["synced_at"])
        words[0] += f" ({service['ref']}, read {took(max(0.0, (at - seen).total_seconds()))} ago)"
    if engine:
        words.append(engine + ({True: " ok", False: " DOWN"}.get(service.get("engine_ok", ""), "")))
    words.append(f"{at.astimezone(ZoneInfo(config.timezone)):%a %d %b %H:%M}, {config.timezone}")
    counts = Counter(row.state for row in found)
    states = [f"{number} {state.lower()}" for state, number in counts.items() if state != "OK"]
    running = sum(row.status.running for row in found)
    numbers = " · ".join([f"{counts['OK']} fine", *states])
    return [
        f"{config.instance}  {' · '.join(words)}", *(f"! {line}" for line in degraded),
        f"{count(len(found), 'job')}: {numbers}      {running} running now",
    ]  # fmt: skip


def behind(found: "Sequence[Row]") -> tuple[int, int]:
    """(jobs whose change fails to apply, jobs that are held): what keeps the instance from being in step."""
    failed = sum(row.status.apply_failed for row in found)
    return failed, sum(bool(row.status.held) for row in found) - failed


def _body(found: "Sequence[Row]", everything: bool, zone: str, at: datetime) -> None:
    shown = [row for row in found if everything or row.state != "OK" or row.status.held]
    fine = [row for row in found if row not in shown]
    if shown:
        print()
        columns = ("JOB", "SCHEDULE", "LAST", "LAST 10", "TOOK", "NEXT", "STATE")
        print_table(columns, [_cells(row, zone, at) for row in shown])
    soonest = min((row for row in fine if row.next_at), key=lambda row: (row.next_at, row.status.name), default=None)
    if fine:
        first = f", next of them: {soonest.status.name} {_next(soonest, _zone(soonest, zone), at)}" if soonest else ""
        print(f"{len(fine)} fine{first}      --all shows them")
    worst = next((row.status.name for row in shown if row.state in _TROUBLE), None)
    waits = next((row for row in shown if row.hint), None)
    if waits is not None:
        print(f"\nHeld: {waits.status.name}: {plain(waits.hint)}")
    if worst is not None:
        print(f"\nWorst first. Why:  reconciler why {worst}      Log:  reconciler logs {worst}")


def _zone(row: "Row", zone: str) -> str:
    return row.standing.spec.schedule.timezone if row.standing is not None else zone


def _cells(row: "Row", zone: str, now: datetime) -> list[Cell]:
    zone, colour = _zone(row, zone), STATE_COLOURS.get(row.state, "")
    return [row.status.name, schedule(row), _last(row, zone, now), (row.status.marks, colour), _took(row),
            _next(row, zone, now), (state(row, zone, now), colour)]  # fmt: skip


def schedule(row: "Row") -> str:
    if row.standing is None:
        return "-"
    from ..plan import words

    return words.schedule(row.standing.spec.schedule)


def _last(row: "Row", zone: str, now: datetime) -> str:
    last = row.status.last
    if row.running is not None:
        since = row.running.started_at or row.running.slot
        return f"running {took(max(0.0, (now - since).total_seconds()))}"
    if row.state == "MISSED" and row.status.last_slot is not None:
        return f"{row.status.last_slot.disposition.value} {local(row.status.last_slot.last, zone, now)}"
    if last is None:
        return "-"
    word = "ok" if last.phase.value == "succeeded" else last.phase.value.replace("_", " ")
    code = f", exit {last.exit_code}" if last.exit_code and last.phase.value == "failed" else ""
    return f"{word} {local(last.slot, zone, now)}{code}"


def _took(row: "Row") -> str:
    from .records import duration

    return took(duration(row.status.last)) if row.status.last is not None else "-"


def _next(row: "Row", zone: str, now: datetime) -> str:
    if row.pause is not None:
        return "paused"
    if row.next_at is not None:
        return local(row.next_at, zone, now)
    if row.standing is None or row.state in ("SUSPENDED", "FORBIDDEN"):
        return "-"
    spec = row.standing.spec
    if spec.after:
        return f"after {spec.after[0].job}{', ...' if len(spec.after) > 1 else ''}"
    return "by hand" if spec.schedule.kind.value == "manual" else "-"


def state(row: "Row", zone: str, now: datetime) -> str:
    """`FAILING since Mon 02:30, 3 in a row`, `PAUSED by cleo till 12:00: supplier moves`, `HELD: x.yaml:9:1: ...`."""
    status, pause = row.status, row.pause
    said, why = row.state, status.why
    if pause is not None and row.state == "PAUSED":
        said += f" by {pause.actor}{f' till {local(pause.until, zone, now)}' if pause.until else ''}"
        why = pause.reason
    elif row.state == "FAILING" and status.streak > 1 and status.since is not None:
        said += f" since {local(status.since, zone, now)}, {status.streak} in a row"
    elif row.state == "NEVER RUN":
        said = "never run"
    if status.last is not None and why == f"exit {status.last.exit_code}":
        why = ""  # the column LAST says it
    said = "" if said == "OK" else f"{said}: {why}" if why else said
    told = row.state == "HELD" or (row.standing is None and row.state == "MISSED")  # it was missed for that reason
    held = f"HELD: {status.held}" if status.held and not told else ""
    return " · ".join(part for part in (said, held) if part)


def data(row: "Row") -> dict[str, Any]:
    """One job as JSON: stable keys."""
    from .records import record_data

    status, job, pause = row.status, row.standing, row.pause
    return {
        "name": status.name, "owner": status.owner, "state": row.state, "why": status.why, "held": status.held,
        "apply_failed": status.apply_failed,
        "schedule": schedule(row) if job else None, "timezone": job.spec.schedule.timezone if job else None,
        "digest": job.digest if job else None, "revision": job.revision if job else None,
        "image": job.spec.image if job else None, "path": job.path if job else None, "marks": status.marks,
        "streak": status.streak, "since": iso(status.since), "running": status.running, "next": iso(row.next_at),
        "paused": {"until": iso(pause.until), "reason": pause.reason, "actor": pause.actor} if pause else None,
        "last": record_data(status.last) if status.last else None,
    }  # fmt: skip
