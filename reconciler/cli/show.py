"""One run in full: what was asked, how far it got, how it ended. RUN is a run id, JOB or JOB@02:30."""

import argparse

from ..model.run import RunRecord
from .output import iso, plain, print_json, size, took


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")


def run(args: argparse.Namespace) -> int:
    from .context import find_run, ledger, settings
    from .runs import record_data

    config = settings(args)
    with ledger(config) as history:
        record = find_run(history, config, args.run)
        spec = history.spec(record.digest)
        events = history.events(run=record.run_id, limit=50)
        siblings = [r for r in history.runs(record.job, limit=200) if r.slot == record.slot]
    if args.output == "json":
        attempts = [r.run_id for r in sorted(siblings, key=lambda r: r.attempt)]
        said = [{"at": iso(e.at), "event": e.name.value, **e.fields} for e in events]
        print_json(record_data(record) | {"attempts": attempts, "events": said})
        return 0
    for key, value in _lines(record, spec.image if spec else ""):
        print(f"{key:<12} {plain(value)}")
    for event in reversed(events):
        fields = " ".join(f"{k}={plain(v)}" for k, v in event.fields.items() if v not in (None, ""))
        print(f"  {iso(event.at)}  {event.name.value:<20} {fields}")
    return 0


def _lines(run: RunRecord, image: str) -> list[tuple[str, str]]:
    from .runs import duration, lateness, result

    lines = [
        ("run", run.run_id), ("job", run.job), ("slot", f"{iso(run.slot)}   attempt {run.attempt}"),
        ("result", result(run)[0]),
        ("asked by", f"{run.trigger.value}, {run.actor}"),
        ("claimed", iso(run.claimed_at) or "-"), ("prepared", iso(run.prepared_at) or "-"),
        ("started", f"{iso(run.started_at) or '-'}   late by {took(lateness(run))}"),
        ("finished", f"{iso(run.finished_at) or '-'}   ran {took(duration(run))}"),
        ("used", f"{size(run.peak_memory)} memory at most, {took(run.cpu_seconds)} of processor time"),
        ("spec", f"{run.digest[:12]} of {run.revision[:12]}"),
        ("image", " ".join(part for part in (image, run.image_digest or run.image_id[:19]) if part) or "-"),
        ("log", f"{run.log or '-'}   {size(run.log_bytes)}"),
    ]  # fmt: skip
    if run.stop_reason:
        lines.insert(4, ("stopped", run.stop_reason))
    return lines
