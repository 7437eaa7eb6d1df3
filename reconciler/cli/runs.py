"""List runs and slots: every slot of a job with how it ended and why, or the latest runs of all jobs."""

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from ..model.run import Disposition, Phase, RunRecord, SlotRecord
from .output import iso, local, print_json, print_table, size, took


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", nargs="?", help="a job (default: all)")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="how many (default 20)")
    parser.add_argument("--failed", action="store_true", help="only what went wrong")
    parser.add_argument("--before", metavar="T", help="older than this ISO 8601 instant")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")


def run(args: argparse.Namespace) -> int:
    from .context import known_job, ledger, now, settings

    config = settings(args)
    before = datetime.fromisoformat(args.before) if args.before else None
    before = before.replace(tzinfo=UTC) if before is not None and before.tzinfo is None else before
    limit = max(1, min(args.limit, 10_000))
    with ledger(config) as history:
        job = known_job(history, args.job) if args.job else None
        records = history.runs(job, limit=limit, before=before, failed=args.failed)
        slots = history.slots(job, limit=limit, before=before) if job else ()
        standing = history.standing().get(job) if job else None
    zone = standing.spec.schedule.timezone if standing else config.timezone
    others = [s for s in slots if s.disposition not in (Disposition.RAN, Disposition.LOST) and not _has_run(s, records)]
    if args.output == "json":
        print_json({"runs": [record_data(r) for r in records], "slots": [slot_data(s) for s in others]})
    else:
        _table(records, others, zone, now(), named=job is not None, limit=limit)
    return 0


def _has_run(slot: SlotRecord, records: Sequence[RunRecord]) -> bool:
    return slot.count == 1 and any(r.slot == slot.first and r.job == slot.job for r in records)


def record_data(run: RunRecord) -> dict[str, Any]:
    """A run as JSON: stable keys, instants in UTC, durations in seconds, sizes in bytes."""
    return {
        "run_id": run.run_id, "job": run.job, "slot": iso(run.slot), "attempt": run.attempt,
        "trigger": run.trigger.value, "actor": run.actor, "phase": run.phase.value, "exit_code": run.exit_code,
        "failure": run.failure.value, "reason": run.reason, "digest": run.digest, "revision": run.revision,
        "image_id": run.image_id, "image_digest": run.image_digest, "claimed_at": iso(run.claimed_at),
        "prepared_at": iso(run.prepared_at), "start_requested_at": iso(run.start_requested_at),
        "started_at": iso(run.started_at), "finished_at": iso(run.finished_at), "duration": duration(run),
        "late": lateness(run), "retry_at": iso(run.retry_at), "stop_reason": run.stop_reason,
        "peak_memory": run.peak_memory, "cpu_seconds": run.cpu_seconds, "log": run.log, "log_bytes": run.log_bytes,
        "next_attempt": run.superseded_by,
    }  # fmt: skip


def slot_data(slot: SlotRecord) -> dict[str, Any]:
    return {
        "job": slot.job, "first": iso(slot.first), "last": iso(slot.last), "count": slot.count,
        "disposition": slot.disposition.value, "reason": slot.reason, "run_id": slot.run_id,
    }  # fmt: skip


def duration(run: RunRecord) -> float | None:
    """Seconds from start to end, None if it never started or still runs."""
    if run.started_at is None or run.finished_at is None:
        return None
    return round((run.finished_at - run.started_at).total_seconds(), 3)


def lateness(run: RunRecord) -> float | None:
    """Seconds from the slot to the start; first attempts only."""
    if run.started_at is None or run.attempt != 1:
        return None
    return round((run.started_at - run.slot).total_seconds(), 3)


def result(run: RunRecord) -> tuple[str, str]:
    """How it ended in words, and the style to show it in."""
    if run.active:
        word = f"retry at {run.retry_at:%H:%M:%S} UTC" if run.retry_at and run.phase is Phase.PENDING else run.phase.value
        return (f"{word}{f': {run.reason}' if run.reason else ''}", "cyan")
    if run.phase is Phase.SUCCEEDED:
        return ("ok", "green")
    text = run.phase.value.replace("_", " ")
    text += f", exit {run.exit_code}" if run.exit_code is not None and run.phase is Phase.FAILED else ""
    text += f": {run.reason}" if run.reason else ""
    text += "; retried" if run.superseded_by else ""
    return (text, "yellow" if run.phase is Phase.CANCELLED else "red")


def _table(
    records: Sequence[RunRecord], slots: Sequence[SlotRecord], zone: str, now: datetime, *, named: bool, limit: int
) -> None:
    rows: list[tuple[datetime, list[Any]]] = []
    for run in records:
        span = duration(run) if not run.active else (now - run.started_at).total_seconds() if run.started_at else None
        cells = [local(run.slot, zone, now), run.trigger.value if run.trigger.value != "manual" else run.actor,
                 str(run.attempt), result(run), took(lateness(run)), took(span), size(run.peak_memory)]  # fmt: skip
        rows.append((run.slot, cells if named else [run.job, *cells]))
    for slot in slots:
        many = f", {slot.count} slots since {local(slot.first, zone, now)}" if slot.count > 1 else ""
        rows.append((slot.last, [local(slot.last, zone, now), "-", "-",
                                 (f"{slot.disposition.value}{many}: {slot.reason}", "yellow"), "-", "-", "-"]))  # fmt: skip
    rows.sort(key=lambda row: row[0], reverse=True)
    head = ["SLOT", "TRIGGER", "ATT", "RESULT", "LATE", "RAN", "PEAK"]
    print_table(head if named else ["JOB", *head], [cells for _, cells in rows[:limit]])
    if not rows:
        print("no runs yet")
