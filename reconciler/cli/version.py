"""Print the version of this program, and of Python and the libraries it stands on with -o json."""

import argparse
import platform

from .. import __version__


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="(default text)")


def run(args: argparse.Namespace) -> int:
    if args.output == "text":
        print(f"reconciler {__version__}")
        return 0
    from importlib.metadata import version

    from .output import print_json

    names = ("pyyaml", "jsonschema", "gitpython", "docker", "watchfiles", "croniter", "structlog", "rich")
    print_json({"reconciler": __version__, "python": platform.python_version()} | {n: version(n) for n in names})
    return 0
