"""When a job, or a cron line, fires next: in its own zone and in UTC, by the rules the service itself uses."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ..model.errors import UsageError
from .output import iso, plain, print_json

if TYPE_CHECKING:
    from ..model.job import Schedule


MOST_EXCLUDED = 100  # lines, beside those asked for


@dataclass(frozen=True, slots=True)
class Asked:
    """What to look up. `anchor` (None = the start): where `@every` counts from. `but`: why it does not fire now.
    `follows`: what fires it beside its schedule."""

    schedule: "Schedule"
    anchor: datetime | None = None
    but: str = ""
    follows: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from .context import positive

    parser.add_argument("job", nargs="?", help="a job that is applied")
    parser.add_argument("--cron", metavar="EXPR", help="a cron line instead of a job")
    parser.add_argument("--name", metavar="JOB", help="the job that spreads an H in the line")
    parser.add_argument("--timezone", metavar="Z", help="its IANA zone (default: the service's, else UTC)")
    parser.add_argument("--from", dest="start", metavar="T", help="02:30 or ISO 8601, in that zone (default: now)")
    parser.add_argument("--count", type=positive, default=5, metavar="N", help="how many (default 5)")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="(default text)")


def run(args: argparse.Namespace) -> int:
    from .context import instant, now

    if (args.job is None) == (args.cron is None):
        raise UsageError("cannot tell what to look up: name a job, or a line with --cron")
    if args.job is not None and args.timezone is not None:
        raise UsageError("cannot look up a job in another zone: its own file says its zone", hint="drop --timezone")
    if args.job is not None and args.name is not None:
        raise UsageError("cannot look up a job under another name", hint="drop --name")
    asked = _line(args) if args.cron is not None else _job(args)
    start = instant(args.start, asked.schedule.timezone) if args.start else now()
    found = fires(asked, start, args.count)
    if asked.but:
        print(f"! {plain(asked.but)}", file=sys.stderr)
    rows = sorted([(at, False) for at in found] + [(at, True) for at in excluded(asked, start, found)])
    if args.output == "json":
        print_json([_data(asked, at, out=out) for at, out in rows])
    else:
        print("\n".join(lines(asked, rows)))
    return 0


def lines(asked: Asked, rows: list[tuple[datetime, bool]]) -> list[str]:
    """One for each instant, in the zone and in UTC; `rows` says which of them are excluded."""
    if not rows:
        if asked.schedule.kind.value != "manual":
            return [f"never{f', but {asked.follows}' if asked.follows else ''}"]
        return [f"by hand, and {asked.follows}" if asked.follows else "by hand only"]
    found = []
    for at, out in rows:
        here = f"{_in_zone(asked)(at):%a %Y-%m-%d %H:%M:%S %Z}"
        line = here if asked.schedule.timezone == "UTC" else f"{here:<29} {asked.schedule.timezone}   {iso(at)}"
        found.append(line + "   excluded, does not fire" * out)
    return found if not all(out for _, out in rows) else [*found, "nothing fires within a year"]


def _data(asked: Asked, at: datetime, *, out: bool) -> dict[str, object]:
    data: dict[str, object] = {"utc": iso(at), "local": _in_zone(asked)(at).isoformat(timespec="seconds")}
    return {**data, "excluded": True} if out else data


def excluded(asked: Asked, start: datetime, found: list[datetime]) -> list[datetime]:
    """What the excluded days leave out before the last of `found`, or within a year: the first hundred."""
    from ..schedule.cron import excluded_fires

    until = found[-1] if found else start + timedelta(days=366)
    return excluded_fires(asked.schedule, start, until, asked.anchor or start, MOST_EXCLUDED)


def fires(asked: Asked, start: datetime, most: int) -> list[datetime]:
    """The next `most` instants after `start`."""
    from ..schedule.cron import next_fire

    found: list[datetime] = []
    while len(found) < most:
        at = next_fire(asked.schedule, found[-1] if found else start, asked.anchor or start)
        if at is None:
            break
        found.append(at)
    return found


def _in_zone(asked: Asked) -> Callable[[datetime], datetime]:
    from zoneinfo import ZoneInfo

    zone = ZoneInfo(asked.schedule.timezone)
    return lambda at: at.astimezone(zone)


def _line(args: argparse.Namespace) -> Asked:
    from ..model.job import Schedule
    from ..schedule.cron import normalise, validate

    zone = args.timezone
    if zone is None:
        from .context import settings

        zone = settings(args).timezone
    kind, text, every = normalise(args.cron)
    schedule = Schedule(kind, text, zone, every=every, seed=args.name or "")
    errors, warnings = validate(schedule)
    if errors:
        code, message, hint = errors[0]
        raise UsageError(f"cannot use {args.cron!r}: {message}", code=code, hint=hint)
    return Asked(schedule, but="; ".join(f"{message}. {hint}".strip() for _, message, hint in warnings))


def _job(args: argparse.Namespace) -> Asked:
    from ..schedule.after import follows
    from .context import ledger, now, settings
    from .find import known_job

    with ledger(settings(args, asking=True)) as history:
        name = known_job(history, args.job)
        standing, pauses = history.standing().get(name), history.pauses()
    if standing is None:
        raise UsageError(f"cannot tell when {name} fires: it is not applied", code="job-retired",
                         hint="it was retired, or its file is broken: reconciler jobs --all")  # fmt: skip
    pause = next((p for p in pauses if p.covers(name, now())), None)
    but = f"it is forbidden: {standing.forbidden}" if standing.forbidden else ""
    but = but or ("it is suspended in its file: these are not fired" if standing.spec.suspend else "")
    if pause is not None and not but:
        but = f"it is paused by {pause.actor} until {iso(pause.until) or 'resumed'}: nothing is fired before that"
    return Asked(standing.spec.schedule, standing.anchor, but, follows(standing.spec))
