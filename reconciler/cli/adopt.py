"""Write a job file from a container that is there, running or not. The container is not touched.

What of it has no counterpart is said line by line; a value that looks like a secret is not written. The job runs by
hand until it is given a schedule. It needs access to the Docker Engine's socket. Exit code 1: no file was written.
"""

import argparse
import os
import sys
from pathlib import Path

from ..model.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("container", help="name or id of a container")
    parser.add_argument("name", help="the job's name")
    parser.add_argument("--into", metavar="DIR", default=".", help="the jobs directory (default: here)")
    parser.add_argument("--dry-run", action="store_true", help="print the file instead of writing it")


def run(args: argparse.Namespace) -> int:
    from ..engine.docker_look import look_at
    from ..importers.container import adopt
    from ..model.ids import is_job_name
    from .context import settings
    from .import_files import options_for, print_notes

    if not is_job_name(args.name):
        raise UsageError(f"cannot adopt it as {args.name!r}: that cannot be the name of a job",
                         hint="Parts are lower-case letters, digits, - and _, at most 63.")  # fmt: skip
    config = settings(args)
    folder, _, last = args.name.rpartition("/")
    root = Path(os.path.abspath(args.into))  # noqa: PTH100  # links stay what they are called
    into = root / folder
    target = into / f"{last}.yaml"
    if any(os.path.lexists(into / f"{last}{suffix}") for suffix in (".yaml", ".yml")) and not args.dry_run:
        raise UsageError(f"cannot adopt it as {args.name}: {os.path.relpath(target)} is there already",
                         code="file-exists", hint="choose another name")  # fmt: skip
    made = adopt(*look_at(config.docker_host, args.container), last, options_for(config, into, root=root))
    for file in made.files:
        if args.dry_run:
            print(file.text, end="")
        else:
            into.mkdir(parents=True, exist_ok=True)
            target.write_text(file.text, encoding="utf-8")
            print(f"created  {os.path.relpath(target)}")
    print_notes(made.notes, sys.stderr if args.dry_run else sys.stdout)
    return 0 if made.files else 1
