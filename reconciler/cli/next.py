"""When a job, or a cron line, fires next: in its own zone and in UTC, by the rules the service itself uses."""

import argparse
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from ..model.errors import UsageError
from ..model.job import Schedule, ScheduleKind
from ..schedule.cron import next_fire, normalise, validate
from .output import iso, print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", nargs="?", help="a job that is applied")
    parser.add_argument("--cron", metavar="EXPR", help="a cron line instead of a job")
    parser.add_argument("--timezone", metavar="Z", help="its IANA zone (default: the service's, else UTC)")
    parser.add_argument("--from", dest="start", metavar="T", help="ISO 8601 instant to search from (default: now)")
    parser.add_argument("--count", type=int, default=5, metavar="N", help="how many (default 5, at most 1000)")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")


def run(args: argparse.Namespace) -> int:
    if (args.job is None) == (args.cron is None):
        raise UsageError("cannot tell what to look up: name a job, or a line with --cron")
    start = _instant(args.start)
    schedule, anchor = _from_line(args) if args.cron is not None else _from_job(args)
    fires, after = [], start
    for _ in range(max(1, min(args.count, 1000))):
        found = next_fire(schedule, after, anchor or start)
        if found is None:
            break
        fires.append(found)
        after = found
    if args.output == "json":
        zone = ZoneInfo(schedule.timezone)
        print_json([{"utc": iso(at), "local": at.astimezone(zone).isoformat(timespec="seconds")} for at in fires])
    elif not fires:
        print("by hand only" if schedule.kind is ScheduleKind.MANUAL else "never")
    else:
        for at in fires:
            here = at.astimezone(ZoneInfo(schedule.timezone))
            print(f"{here:%a %Y-%m-%d %H:%M:%S %Z}  {schedule.timezone}   {iso(at)}")
    return 0


def _instant(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"cannot read --from {text!r}: not ISO 8601", hint="for example 2026-11-24T02:30:00Z") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _from_line(args: argparse.Namespace) -> tuple[Schedule, datetime | None]:
    zone = args.timezone
    if zone is None:
        from .context import settings

        zone = settings(args).timezone
    kind, text, every = normalise(args.cron)
    schedule = Schedule(kind, text, zone, every=every)
    errors, _ = validate(schedule)
    if errors:
        code, message, hint = errors[0]
        raise UsageError(f"cannot use {args.cron!r}: {message}", code=code, hint=hint)
    return schedule, None


def _from_job(args: argparse.Namespace) -> tuple[Schedule, datetime | None]:
    from .context import known_job, ledger, settings

    with ledger(settings(args)) as history:
        standing = history.standing().get(known_job(history, args.job))
    if standing is None:
        raise UsageError(f"cannot tell when {args.job} fires: it is not applied any more", code="job-retired")
    return standing.spec.schedule, standing.anchor
