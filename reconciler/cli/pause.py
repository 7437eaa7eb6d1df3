"""Stop firing a job, or all of them, until resumed or until a time. Its slots are recorded as paused; runs go on."""

import argparse
from datetime import UTC, datetime, timedelta

from ..model.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", nargs="?", help="which job")
    parser.add_argument("--all", action="store_true", help="every job")
    parser.add_argument("--until", metavar="T", help="a duration such as 2h, HH:MM or ISO 8601 in the service's zone")
    parser.add_argument("--reason", default="", help="why, for whoever wonders")


def run(args: argparse.Namespace) -> int:
    from .context import ask, now, settings

    job, config = target(args), settings(args, asking=True)
    until = parse_until(args.until, now(), config.timezone) if args.until else None
    body = {"job": job, "until": until.isoformat() if until else "", "reason": args.reason}
    print(ask(config, "POST", "/v1/pause", body)["message"])
    return 0


def target(args: argparse.Namespace) -> str:
    """The job named, or `*` for --all; exactly one of them."""
    if args.all == (args.job is not None):
        raise UsageError("cannot tell which jobs are meant: name one, or say --all")
    return "*" if args.all else str(args.job)


def parse_until(text: str, now: datetime, zone: str) -> datetime:
    """An aware UTC instant after `now`: a duration from now, a time of day in `zone` (the next one), or ISO 8601.

    Raises UsageError.
    """
    from ..model.years import OUTSIDE, plausible
    from ..spec.durations import parse_duration

    try:
        at = now + timedelta(seconds=parse_duration(text))
    except ValueError:
        at = _instant(text, now, zone)
    except OverflowError:
        raise UsageError(f"cannot pause for {text}: that is beyond the calendar") from None
    if not plausible(at):
        raise UsageError(f"cannot pause until {text}: it {OUTSIDE}")
    if at <= now:
        raise UsageError(f"cannot pause until {text}: that is past")
    return at.astimezone(UTC)


def _instant(text: str, now: datetime, zone: str) -> datetime:
    from zoneinfo import ZoneInfo

    try:
        if len(text) == 5 and text[2] == ":":
            here = now.astimezone(ZoneInfo(zone))
            at = here.replace(hour=int(text[:2]), minute=int(text[3:]), second=0, microsecond=0)
            return at if at > here else at + timedelta(days=1)
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
    except (ValueError, OverflowError):
        hint = "for example 2h, 14:30 or 2026-11-26T12:00"
        raise UsageError(f"cannot read --until {text!r}", hint=hint) from None
