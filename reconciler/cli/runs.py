"""List runs and slots: every slot of a job with how it ended and why, or the latest runs of all jobs.

Times are in each job's own zone. LATE is from the slot to the start of the first attempt.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from ..history.base import Reader
from ..model.live import StandingJob
from ..model.run import Disposition, RunRecord, SlotRecord
from ..runs.parameters import said
from .output import Cell, count, local, plain, print_json, print_table, size, took
from .records import asker, cell_words, duration, lateness, record_data, result, slot_data, values

DAY = timedelta(days=1)
SAMPLE = 200  # ended runs that the figures in the header are made of
MOST = 5000  # slots of a day that are counted
_RAN = (Disposition.RAN, Disposition.LOST)
_BAD = (Disposition.MISSED, Disposition.UNAVAILABLE, Disposition.FORBIDDEN, Disposition.LOST)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from .context import positive

    parser.add_argument("job", nargs="?", help="a job (default: all)")
    parser.add_argument("--limit", type=positive, default=20, metavar="N", help="how many (default 20)")
    parser.add_argument("--failed", action="store_true", help="only what went wrong")
    parser.add_argument(
        "--before", metavar="T", help="older than this: 02:30 or ISO 8601, in the job's zone unless it says its own"
    )
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="(default text)")


def run(args: argparse.Namespace) -> int:
    from .context import instant, ledger, now, settings
    from .find import known_job, zone_of

    config, at = settings(args, asking=True), now()
    with ledger(config) as history:
        job = known_job(history, args.job) if args.job is not None else None
        zone = zone_of(history, job, config) if job is not None else config.timezone
        before = instant(args.before, zone) if args.before else None
        records = history.runs(job, limit=args.limit, before=before, failed=args.failed, fold=args.output == "text")
        slots = others(history, job, records, args.limit, before, failed=args.failed) if job is not None else []
        if args.output == "json":
            print_json({"runs": [record_data(r) for r in records], "slots": [slot_data(s) for s in slots]})
            return 0
        if job is not None:
            for line in header(history, job, at, zone):
                print(plain(line))
        told = differing(history, records)
        zones = {name: found.spec.schedule.timezone for name, found in history.standing().items()}
        cells = {(r.job, r.slot): cell_words(history.cells(r.job, r.slot)) for r in records if r.cell is not None}
    _table(records, slots, lambda name: zones.get(name, zone), at, told, cells,
           named=job is not None, limit=args.limit)  # fmt: skip
    if job is not None and len(records) + len(slots) >= args.limit and records:
        print(f"\nolder: --before {records[-1].slot:%Y-%m-%dT%H:%M:%SZ}      only bad: --failed      "
              f"one run in full: reconciler show {records[0].run_id}")  # fmt: skip
    return 0


def others(
    history: Reader, job: str, records: Sequence[RunRecord], limit: int, before: datetime | None, *, failed: bool
) -> list[SlotRecord]:
    """The slots that no run of the listing speaks for."""
    runs = {run.slot for run in records}
    oldest = records[-1].slot if len(records) >= limit else None
    return [
        slot for slot in history.slots(job, limit=limit, before=before)
        if slot.disposition not in _RAN and not (slot.count == 1 and slot.first in runs)
        and not (failed and slot.disposition not in _BAD) and (oldest is None or slot.last >= oldest)
    ]  # fmt: skip


def header(history: Reader, job: str, now: datetime, zone: str) -> list[str]:
    """The last day in numbers, then how long and how late the runs that history keeps were."""
    from ..plan import words

    standing = history.standing().get(job)
    schedule = words.schedule(standing.spec.schedule) if standing else "retired"
    lines = [f"{job}   {schedule}   {zone}   last 24 h: {_day(history, job, standing, now)}"]
    ended = [
        run for run in history.runs(job, limit=SAMPLE) if run.started_at is not None and run.finished_at is not None
    ]
    if len(ended) > 1:
        spans, late = (sorted(v for v in map(f, ended) if v is not None) for f in (duration, lateness))
        peaks = [run.peak_memory for run in ended if run.peak_memory is not None]
        said = [f"last {len(ended)} runs: took p50 {took(centile(spans, 50))}, p95 {took(centile(spans, 95))}"]
        said += [f"started late p95 {took(centile(late, 95))}"] if late else []
        limit = standing.spec.resources.memory if standing else None
        said += [f"peak memory {size(max(peaks))}{f' of {size(limit)}' if limit else ''}"] if peaks else []
        lines.append("   ".join(said))
    return [*lines, ""]


def _day(history: Reader, job: str, standing: StandingJob | None, now: datetime) -> str:
    """`96 slots = 91 ran (2 failed) + 1 skipped + 4 missed`; runs by hand have slots of their own."""
    since = now - DAY
    counts: Counter[str] = Counter()
    for slot in history.slots(job, limit=MOST):
        if slot.last > since:
            counts[slot.disposition.value] += slot.count if slot.first > since else _inside(slot, standing, since)
    bad = {run.slot for run in history.runs(job, limit=MOST, failed=True)
           if run.slot > since and not run.superseded_by}  # fmt: skip
    if not counts:
        return "no slots"
    parts = [
        f"{number} {word}{f' ({len(bad)} bad)' if word == 'ran' and bad else ''}" for word, number in counts.items()
    ]
    return f"{count(counts.total(), 'slot')} = {' + '.join(parts)}"


def _inside(slot: SlotRecord, standing: StandingJob | None, since: datetime) -> int:
    """How many slots of a range that began earlier are later than `since`."""
    from ..schedule.cron import fires

    if standing is None:
        return 1
    return min(slot.count, len(fires(standing.spec.schedule, since, slot.last, standing.anchor, MOST)))


def centile(ordered: Sequence[float], percent: int) -> float | None:
    """Nearest rank of ascending values; None of none."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else None


def differing(history: Reader, records: Sequence[RunRecord]) -> dict[str, str]:
    """By run id: the values that are no defaults, `since=2026-11-20`."""
    specs = {run.digest: history.spec(run.digest) for run in records if run.parameters}
    found = {run.run_id: values(said(run, specs[run.digest])) for run in records if run.parameters}
    return {run_id: text for run_id, text in found.items() if text}


def _table(
    records: Sequence[RunRecord], slots: Sequence[SlotRecord], zone: Callable[[str], str], now: datetime,
    told: Mapping[str, str],
    cells_of: Mapping[tuple[str, datetime], tuple[str, str]], *, named: bool, limit: int,
) -> None:  # fmt: skip
    rows: list[tuple[datetime, list[Cell]]] = []
    shown: set[tuple[str, datetime]] = set()
    for run in records:
        span = duration(run) if not run.active else (now - run.started_at).total_seconds() if run.started_at else None
        first = (run.job, run.slot) not in shown
        shown.add((run.job, run.slot))
        due = local(run.slot, zone(run.job), now) if first or not named else ""
        cells: list[Cell] = [
            due, asker(run), str(run.attempt), _with(result(run), told.get(run.run_id, "")),
            took(lateness(run)), took(span), size(run.peak_memory), image(run),
        ]  # fmt: skip
        if run.cell is not None:
            cells[2:7] = ["-", cells_of[run.job, run.slot], "-", "-", "-"]
        rows.append((run.slot, cells if named else [run.job, *cells]))
    for slot in slots:
        many = f", with {slot.count - 1} more since {local(slot.first, zone(slot.job), now)}" if slot.count > 1 else ""
        said = (f"{slot.disposition.value}{many}: {slot.reason}", "yellow")
        rows.append((slot.last, [local(slot.last, zone(slot.job), now), "-", "-", said, "-", "-", "-", "-"]))
    rows.sort(key=lambda row: row[0], reverse=True)
    if not rows:
        print("nothing to show")
        return
    head = ["SLOT", "TRIGGER", "ATT", "RESULT", "LATE", "RAN", "PEAK", "IMAGE"]
    print_table(head if named else ["JOB", *head], [cells for _, cells in rows[:limit]])


def _with(words: tuple[str, str], told: str) -> tuple[str, str]:
    return (f"{words[0]}   {told}" if told else words[0], words[1])


def image(run: RunRecord) -> str:
    """`8a1f03c2`: enough of the image's id to see that it has changed."""
    return run.image_id.removeprefix("sha256:")[:8] or "-"
