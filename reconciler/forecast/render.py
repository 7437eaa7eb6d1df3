"""In: figures of a simulation. Out: a table for people, plain data for programs."""

from collections import Counter
from datetime import datetime
from typing import Any

from ..model.run import SlotRecord
from ..spec.durations import format_duration, format_size
from .figures import Figures, JobFigures, Peak
from .span import Span

WORST = 15  # jobs listed one by one, unless all are asked for


def data(figures: Figures, span: Span) -> dict[str, Any]:
    """Stable keys; instants in ISO 8601 and UTC, times in seconds, memory in bytes."""
    return {
        "from": _iso(span.begin), "to": _iso(span.end), "capped": figures.capped,
        "downtime": [[_iso(begin), _iso(end)] for begin, end in span.downtime],
        "peaks": {name: {"value": peak.value, "at": _iso(peak.at) if peak.at else None}
                  for name, peak in _peaks(figures).items()},
        "jobs": {name: _job(job) for name, job in sorted(figures.jobs.items())},
        "left_out": [
            {"job": slot.job, "first": _iso(slot.first), "last": _iso(slot.last), "count": slot.count,
             "disposition": slot.disposition.value, "reason": slot.reason} for slot in figures.left_out
        ],
        "hours": {"zone": str(figures.zone), "starts": figures.starts, "at_once": figures.most},
    }  # fmt: skip


def _peaks(figures: Figures) -> dict[str, Peak]:
    return {"running": figures.running, "waiting": figures.waiting, "cpus": figures.cpus, "memory": figures.memory}


def _job(job: JobFigures) -> dict[str, Any]:
    return {
        "slots": job.fires, "ran": job.ran, "caught_up": job.caught_up, "timed_out": job.timed_out,
        "overlaps": job.overlaps, "waited": job.waited, "longest_wait": round(job.longest_wait, 3),
        "busy": round(job.busy, 3), "left_out": dict(sorted(job.left_out.items())),
    }  # fmt: skip


def table(figures: Figures, span: Span, *, everything: bool = False) -> str:
    """What matters first: totals, peaks, the jobs that lose slots or wait, and why."""
    jobs = figures.jobs
    total = sum(job.fires for job in jobs.values())
    ran = sum(job.ran for job in jobs.values())
    lost: Counter[str] = Counter()
    for job in jobs.values():
        lost.update(job.left_out)
    said = "".join(f" + {count:,} {word}" for word, count in sorted(lost.items()))
    lines = [
        f"{_stamp(span.begin, figures)} to {_stamp(span.end, figures)}   {len(jobs):,} jobs that fire",
        f"{total:,} slots = {ran:,} ran{said}" + ("   CAPPED: the span holds more than is simulated" * figures.capped),
        *(f"service down {_stamp(begin, figures)} to {_stamp(end, figures)}" for begin, end in span.downtime),
        "at most   " + " · ".join(_peak_words(figures)),
    ]
    shown = sorted(jobs.items(), key=lambda pair: (-pair[1].trouble, -pair[1].longest_wait, -pair[1].busy, pair[0]))
    if not everything:
        shown = shown[:WORST]
    width = max((len(name) for name, _ in shown), default=3)
    lines += ["", f"{'JOB':<{width}}  {'SLOTS':>9} {'RAN':>9} {'LEFT OUT':>9} {'OVERLAP':>8} {'WAITED':>8} {'BUSY':>8}"]
    for name, job in shown:
        waited = format_duration(round(job.longest_wait)) if job.longest_wait else "-"
        lines.append(
            f"{name:<{width}}  {job.fires:>9,} {job.ran:>9,} {job.left_out.total() or '-':>9} "
            f"{job.overlaps or '-':>8} {waited:>8} {_share(job, span):>8}"
        )
    if len(jobs) > len(shown):
        lines.append(f"{len(jobs) - len(shown):,} more      --all shows them")
    lines += _reasons(figures)
    return "\n".join(lines) + "\n"


def _peak_words(figures: Figures) -> list[str]:
    running, waiting, cpus, memory = figures.running, figures.waiting, figures.cpus, figures.memory
    words = [f"{running.value:g} running at once" + (f" ({_stamp(running.at, figures)})" if running.at else "")]
    if waiting.value:
        words.append(f"{waiting.value:g} waiting")
    if cpus.value:
        words.append(f"{cpus.value:g} cpus")
    if memory.value:
        words.append(f"{format_size(int(memory.value))} memory")
    return words


def _share(job: JobFigures, span: Span) -> str:
    seconds = (span.end - span.begin).total_seconds()
    return f"{100 * job.busy / seconds:.1f}%" if seconds else "-"


def _reasons(figures: Figures) -> list[str]:
    if not figures.left_out:
        return []
    first: dict[tuple[str, str], SlotRecord] = {}
    for slot in figures.left_out:
        first.setdefault((slot.job, slot.disposition.value), slot)
    return ["", "first of each kind:"] + [
        f"  {slot.job} {_stamp(slot.first, figures)}  {slot.disposition.value}: {slot.reason}"
        for slot in list(first.values())[:WORST]
    ]


def _stamp(at: datetime | None, figures: Figures) -> str:
    return "" if at is None else f"{at.astimezone(figures.zone):%a %Y-%m-%d %H:%M}"


def _iso(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
