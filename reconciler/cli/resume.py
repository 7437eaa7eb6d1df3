"""Fire a paused job, or all of them, again. Nothing that fell due during the pause is owed."""

import argparse

from .pause import target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", nargs="?", help="which job")
    parser.add_argument("--all", action="store_true", help="lift the pause of all jobs")


def run(args: argparse.Namespace) -> int:
    from .context import ask, settings

    job = target(args)
    print(ask(settings(args), "POST", "/v1/resume", {"job": job})["message"])
    return 0
