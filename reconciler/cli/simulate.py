"""The time machine: what the repository's jobs would do in a span of time, by the rules the service itself uses.

Nothing is run and nothing is changed. How long runs take is learned from history where there is some, given by
--duration, or else --default-duration (half of the interval at most). Nothing fails, but what takes longer than its
timeout.
"""

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ..model.errors import UsageError
from .output import count, plain, print_json

if TYPE_CHECKING:
    from ..forecast.durations import Durations
    from ..forecast.span import Span
    from ..model.live import StandingJob
    from ..model.service import ServiceConfig

LONGEST = timedelta(days=366 * 10)
NAMED = 3  # jobs named where many are meant


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="start", metavar="A", help="ISO 8601 in the service's zone (default: now)")
    parser.add_argument("--to", metavar="B", help="ISO 8601, or a duration such as 30d (default: 7d)")
    parser.add_argument(
        "--downtime", metavar="S..E", action="append", default=[], help="the service is down; repeat it"
    )
    parser.add_argument(
        "--duration", metavar="JOB=D", action="append", default=[], help="what its runs take; repeat it"
    )
    parser.add_argument("--default-duration", metavar="D", default="1m", help="where nothing is known (default 1m)")
    parser.add_argument("--job", metavar="GLOB", action="append", default=[], help="only these jobs; repeat it")
    parser.add_argument("--heat-map", metavar="FILE", help="write a picture of the week, as SVG")
    parser.add_argument("--all", action="store_true", help="list every job, not only the worst")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="(default text)")


def run(args: argparse.Namespace) -> int:
    from zoneinfo import ZoneInfo

    from ..forecast import render
    from ..forecast.heatmap import svg
    from ..forecast.world import simulate
    from .context import settings
    from .output import working

    config = settings(args)
    span = _span(args, config.timezone)
    jobs = _jobs(args, config, span.begin)
    durations = _durations(args, config, jobs)
    with working("simulating"):
        figures = simulate(
            jobs, span, durations, config.limits, ZoneInfo(config.timezone), config.devices.gpu_count, config.totals
        )
    if args.heat_map:
        title = f"{config.instance}: {span.begin:%Y-%m-%d} to {span.end:%Y-%m-%d}"
        Path(args.heat_map).write_text(svg(figures, title), encoding="utf-8")
    if args.output == "json":
        print_json(render.data(figures, span) | {"instance": config.instance, "guessed": durations.guessed(jobs)})
        return 0
    for line in render.table(figures, span, everything=args.all).splitlines():
        print(plain(line))
    if guessed := durations.guessed(jobs):
        names = ", ".join(guessed[:NAMED]) + (", ..." if len(guessed) > NAMED else "")
        most = f"{args.default_duration} each, at most half of its interval"
        print(f"\n{count(len(guessed), 'job')} taken to run {most}: {plain(names)}")
    return 0


def _span(args: argparse.Namespace, zone: str) -> "Span":
    from ..forecast.span import Span, spans
    from .context import instant, now

    begin = instant(args.start, zone) if args.start else now().replace(second=0, microsecond=0)
    end = _end(args.to, begin, zone)
    if end <= begin:
        raise UsageError("cannot simulate: --to is not after --from")
    if end - begin > LONGEST:
        raise UsageError("cannot simulate more than ten years")
    down = []
    for text in args.downtime:
        first, dots, last = text.partition("..")
        if not dots:
            raise UsageError(f"cannot read --downtime {text!r}", hint="for example 2026-12-24T18:00..2026-12-25T09:00")
        down.append((instant(first, zone), instant(last, zone)))
        if down[-1][1] <= down[-1][0]:
            raise UsageError(f"cannot read --downtime {text!r}: it ends before it begins")
    return Span(begin, end, spans(down))


def _end(text: str | None, begin: datetime, zone: str) -> datetime:
    from ..spec.durations import parse_duration
    from .context import instant

    try:
        return (begin + timedelta(seconds=parse_duration(text or "7d"))).astimezone(UTC)
    except ValueError:
        return instant(text or "", zone)
    except OverflowError:
        raise UsageError(f"cannot simulate to {text}: that is beyond the calendar") from None


def _jobs(args: argparse.Namespace, config: "ServiceConfig", begin: datetime) -> "dict[str, StandingJob]":
    """The repository's jobs, as if applied at `begin`."""
    from ..app.reading import read_once
    from ..model.live import StandingJob
    from ..spec.globs import matches_any

    desired = read_once(config).desired
    found = {
        name: StandingJob(name, job.spec, job.digest, desired.commit.id, job.path, begin, begin, begin)
        for name, job in desired.jobs.items()
        if not args.job or matches_any(tuple(args.job), name)
    }
    if not found:
        raise UsageError("cannot simulate: there is no such job" if args.job else "cannot simulate: there is no job",
                         hint="see them with: reconciler validate")  # fmt: skip
    return found


def _durations(args: argparse.Namespace, config: "ServiceConfig", jobs: "dict[str, StandingJob]") -> "Durations":
    from ..forecast.durations import MOST_SAMPLES, Durations, learned
    from ..model.errors import StateError
    from ..schedule.cron import smallest_interval
    from .context import ledger

    given = {}
    for text in args.duration:
        job, equals, said = text.rpartition("=")
        if not equals or job not in jobs:
            raise UsageError(f"cannot use --duration {text!r}: not JOB=DURATION of a job that is simulated")
        given[job] = _seconds(said)
    known = {}
    try:
        with ledger(config) as history:
            known = {name: learned(reversed(history.runs(name, limit=MOST_SAMPLES))) for name in jobs}
    except StateError as error:
        if error.code != "state-absent":
            raise
    intervals = {name: found for name, job in jobs.items() if (found := smallest_interval(job.spec.schedule))}
    return Durations(_seconds(args.default_duration), intervals, given, known)


def _seconds(text: str) -> float:
    from ..spec.durations import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(
            f"cannot read {text!r}: the duration is {error}", hint="for example 90s, 5m or 1h30m"
        ) from None
