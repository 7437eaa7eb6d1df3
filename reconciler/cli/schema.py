"""Print a JSON Schema, for editors.

With it in a file, the first line of a job file can say `# yaml-language-server: $schema=../job.schema.json`.
"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", choices=("job", "service"), default="job", help="which one (default: job)")


def run(args: argparse.Namespace) -> int:
    from ..spec.schemas import schema_text

    print(schema_text(args.name), end="")
    return 0
