"""One run in full: what was asked, how far it got, how it ended. RUN is a run id, JOB (its latest run) or JOB@02:30."""

import argparse
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from ..model.ids import container_name
from ..model.job import JobSpec
from ..model.run import CellState, RunRecord
from ..model.service import ServiceConfig
from ..spec.packages import REPORT
from .output import iso, local, plain, print_json, print_table, size, took
from .records import asker, cell_words, duration, lateness, record_data, result, values


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="a run id, JOB or JOB@02:30")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="(default text)")


def run(args: argparse.Namespace) -> int:
    from .context import ledger, now, settings
    from .find import find_run, zone_of
    from .outputs import kept_of, summary

    config, at = settings(args, asking=True), now()
    with ledger(config) as history:
        record = find_run(history, config, args.run, at)
        engine = history.get_meta("engine") or ""
        spec, zone = history.spec(record.digest), zone_of(history, record.job, config)
        events = history.events(run=record.run_id, limit=50)
        slot = history.of_slot(record.job, record.slot)
        attempts = [r for r in slot if r.cell == record.cell]
        kept = kept_of(history, config, record)
    if args.output == "json":
        said = [{"at": iso(e.at), "event": e.name.value, **e.fields} for e in events]
        cells = [record_data(r) for r in final_cells(slot)]
        known: dict[str, object] = {"installed": installed(config, record.image_id)}
        known |= {"attempts": [r.run_id for r in attempts], "events": said, "slot_cells": cells}
        print_json(record_data(record) | known)
        return 0
    for key, value in lines(record, spec, attempts, zone, at):
        print(f"{key:<10} {plain(value)}")
    if kept is not None:
        print(f"outputs    {plain(summary(kept))}   reconciler outputs {record.run_id}")
    if there := installed(config, record.image_id):
        what = ", ".join(f"{len(names)} of {manager}" for manager, names in there.items())
        print(f"installed  {what}   reconciler show {record.run_id} -o json")
    for event in reversed(events):
        fields = " ".join(f"{k}={plain(v)}" for k, v in event.fields.items() if v not in (None, ""))
        print(f"  {_clock(event.at, zone)}  {event.name.value:<20} {fields}".rstrip())
    if record.cell is not None:
        _print_cells(final_cells(slot))
    if record.hold_until is not None and not record.discarded:
        print("\nIts container is kept. To look into it:")
        for line in ways_in(record, config, engine):
            print(f"  {line}")
    if record.log:
        print(f"\nLog:  reconciler logs {record.run_id}")
    return 0


def installed(config: ServiceConfig, image_id: str) -> dict[str, list[str]]:
    """What was really installed into the image, by manager; {} of an image that the service did not make."""
    try:
        place = Path(config.state_dir) / "environments" / f"{image_id.removeprefix('sha256:')}.json"
        lines = json.loads(place.read_text(encoding="utf-8"))["installed"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    found: dict[str, list[str]] = {}
    names: list[str] = []
    for line in lines:
        manager = line.removeprefix(REPORT + " ")
        if manager != line:
            names = found.setdefault(manager, [])
        else:
            names.append(line)
    return found


def _print_cells(cells: Sequence[RunRecord]) -> None:
    states = [CellState(run.cell or 0, run.phase, run.started_at is not None) for run in cells]
    print(f"\nThe slot has {cell_words(states)[0]}")
    print_table(("CELL", "VALUES", "ATT", "RESULT", "RAN", "RUN"), [
        [str(run.cell), values(run.parameters), str(run.attempt), result(run), took(duration(run)), run.run_id]
        for run in cells
    ])  # fmt: skip


def final_cells(slot: Sequence[RunRecord]) -> list[RunRecord]:
    """The last attempt of each cell; none of a slot without cells. `slot`: by cell, attempts oldest first."""
    return list({run.cell: run for run in slot if run.cell is not None}.values())


def ways_in(run: RunRecord, config: ServiceConfig, engine: str) -> list[str]:
    """Commands that look at what a failed run has left, and start nothing of the job again."""
    if engine == "process":
        return [f"ls -l {Path(config.state_dir) / 'process/runs' / run.run_id / 'work'}",
                f"reconciler discard {run.run_id}      # when you are done"]  # fmt: skip
    name = container_name(config.instance, run.run_id)
    image = f"held-{run.slot:%Y%m%d-%H%M%S}"
    return [
        f"docker diff {name}                     # what it has changed in its own files",
        f"docker cp {name}:/path/of/a/file .",
        f"docker commit {name} {image}           # a shell in a copy of it, with its volumes, network cut",
        f"docker run --rm -it --network none --volumes-from {name}:ro --entrypoint sh {image}",
        f"docker rmi {image}",
        f"reconciler discard {run.run_id}      # when you are done",
    ]


def lines(
    run: RunRecord, spec: JobSpec | None, attempts: list[RunRecord], zone: str, now: datetime
) -> list[tuple[str, str]]:
    """Label and text, in reading order; what was not reached is left out."""
    last = max((r.attempt for r in attempts), default=run.attempt)
    found = [
        ("run", run.run_id),
        ("slot", f"{local(run.slot, zone, now)} {zone}   {iso(run.slot)}"),
        ("result", result(run)[0] + (f"   attempt {run.attempt} of {last}" if last > 1 else "")),
        ("asked by", asker(run) + (f"   key {run.key}" if run.key else "")),
    ]
    found += [("cell", f"{run.cell} of {run.cells}, counted from 0")] if run.cell is not None else []
    found += [("parameters", values(run.parameters))] if run.parameters else []
    steps = (("claimed", run.claimed_at, ""), ("prepared", run.prepared_at, ""),
             ("started", run.started_at, f"late by {took(lateness(run))}" if lateness(run) is not None else ""),
             ("stopped", run.stop_requested_at, run.stop_reason),
             ("finished", run.finished_at, f"ran {took(duration(run))}" if run.started_at else "never started"),
             )  # fmt: skip
    found += [(word, f"{_clock(at, zone)}   {note}".rstrip()) for word, at, note in steps if at is not None]
    image = [part for part in (spec.image if spec else "", run.image_digest or run.image_id[:19]) if part]
    used = [f"{size(run.peak_memory)} of memory at most"] if run.peak_memory is not None else []
    used += [f"{took(run.cpu_seconds)} of processor time"] if run.cpu_seconds is not None else []
    found += [("used", ", ".join(used))] if used else []
    found += [("gpus", ", ".join(run.devices))] if run.devices else []
    if run.hold_until is not None and not run.discarded:
        found += [("kept", f"its container, until {_clock(run.hold_until, zone)}")]
    found += [("spec", f"{run.digest[:12]} of commit {run.revision[:12]}")]
    found += [("runs in", spec.exec_in)] if spec and spec.exec_in else []
    found += [("image", " ".join(image))] if image else []
    found += [("code", f"{c.target}   {c.commit or 'not known yet'}   {c.ref} of {c.url}") for c in run.code]
    others = [r.run_id for r in attempts if r.run_id != run.run_id]
    return found + ([("attempts", "also " + ", ".join(others))] if others else [])


def _clock(at: datetime, zone: str) -> str:
    return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S.%f}"[:-3]
