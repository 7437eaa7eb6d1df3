"""Before a reboot: start nothing any more, and wait until nothing runs. The reboot ends it, or `--end`.

What is due meanwhile is accounted for afterwards, as after a downtime: `catch_up` decides what still runs.
"""

import argparse
import time

PAUSE = 1.0  # seconds between two looks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", default="", help="why, for whoever wonders")
    parser.add_argument("--end", action="store_true", help="start runs again")
    parser.add_argument("--no-wait", action="store_true", help="do not wait for what runs")
    parser.add_argument("--timeout", metavar="D", default="24h", help="wait at most so long (default 24h); exit code 1")


def run(args: argparse.Namespace) -> int:
    from .context import ask, settings

    config = settings(args)
    deadline = time.monotonic() + _seconds(args.timeout)
    print(ask(config, "POST", "/v1/drain", {"end": args.end, "reason": args.reason})["message"])
    if args.end or args.no_wait:
        return 0
    before = -1
    while (running := int(ask(config, "GET", "/v1/status")["running"])) > 0:
        if running != before:
            print(f"waiting for {running} to end (Ctrl-C: the drain goes on)", flush=True)
            before = running
        if time.monotonic() > deadline:
            print(f"{running} still running after {args.timeout}")
            return 1
        time.sleep(PAUSE)
    print("Nothing runs.")
    return 0


def _seconds(text: str) -> float:
    from ..model.errors import UsageError
    from ..spec.durations import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"cannot wait {text!r}: the duration is {error}", hint="for example 90s, 30m or 2h") from None
