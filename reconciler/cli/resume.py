"""Fire a paused job, or all of them, again. Nothing that fell due during the pause is owed.

It is also the way out for a job that is AHEAD: the clock was far ahead when it fired last, and was set back. Then it
fires from now on instead of waiting for the clock; slots that have run do not run again.
"""

import argparse

from .pause import target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", nargs="?", help="which job")
    parser.add_argument("--all", action="store_true", help="lift the pause of all jobs")


def run(args: argparse.Namespace) -> int:
    from .context import ask, settings

    job = target(args)
    print(ask(settings(args, asking=True), "POST", "/v1/resume", {"job": job})["message"])
    return 0
