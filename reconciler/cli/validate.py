"""Check job files: every problem of every file at once.

A directory is checked as its files are now; a git repository as its commit is (--ref, default HEAD). Without TARGET:
the source that was named, else the configured paths below this directory, else the repository it is.
Exit code 0: no errors (warnings are shown); 1: errors.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..model.errors import UsageError
from ..model.problem import SpecProblem
from .output import count

if TYPE_CHECKING:
    from ..app.reading import Reading
    from ..model.job import Schedule
    from ..model.service import ServiceConfig

FIRES = 4  # of a suspicious cron line that are shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", nargs="?", help="a jobs directory, a job file, or a git repository")
    parser.add_argument("-o", "--output", choices=("text", "json", "github"), default="text", help="(default text)")
    parser.add_argument("--strict", action="store_true", help="warnings count as errors")


def run(args: argparse.Namespace) -> int:
    from ..app.secrets import unlooked
    from ..spec.render import render_problems
    from .context import now, settings, stated
    from .output import working

    config = unlooked(settings(args))
    with working("reading job files"):
        reading, prefix = read(config, args.target, named=stated(args).source is not None)
    problems = sorted((*_with_fires(reading, now()), *_missing(reading)))
    text = render_problems(problems, args.output, reading.sources, prefix=prefix)
    if text:
        print(text)
    bad = [problem for problem in problems if problem.is_error or args.strict]
    if args.output == "text":
        print(summary(reading, len(bad), len(problems) - len(bad)), file=sys.stderr)
    return 1 if bad else 0


def read(config: "ServiceConfig", target: str | None, *, named: bool) -> "tuple[Reading, str]":
    """What is meant, read; and what leads from here to the paths of its problems ("" for those of a commit)."""
    from ..app.reading import files_of, read_file, read_once

    if target is None and named:
        return read_once(config), ""
    path = Path(target or ".")
    if path.is_file():
        return read_file(config, path), file_prefix(config, path)
    if not path.is_dir():
        raise UsageError(f"cannot validate {target}: no such file or directory", code="source-not-found",
                         hint="TARGET is a jobs directory, a job file or a git repository; a remote one: --source URL"
                         )  # fmt: skip
    below = tuple(one for one in config.source.paths if (path / one).is_dir())
    repository = (path / ".git").exists() or (path / "HEAD").is_file()
    if repository and (target is not None or not below):
        return read_once(replace(config, source=replace(config.source, url=str(path.absolute())))), ""
    return read_once(files_of(config, path.absolute(), below or ("",))), _prefix(path.absolute())


def file_prefix(config: "ServiceConfig", path: Path) -> str:
    """What leads from here to the paths of the problems of one file."""
    from ..app.reading import jobs_directory

    return _prefix(jobs_directory(config, path.absolute()))


def _prefix(directory: Path) -> str:
    """From here, or absolute if it lies outside: so that an editor or GitHub finds the file."""
    here = os.path.relpath(directory)
    return "" if here == "." else f"{directory}/" if here.startswith("..") else f"{here}/"


def _with_fires(reading: "Reading", at: datetime) -> Iterator[SpecProblem]:
    """The problems; a suspicious cron line is shown with when it would fire, which tells more than any rule."""
    jobs = reading.desired.jobs
    for problem in reading.problems:
        parts = problem.path.rpartition(".")[0].split("/")  # those of the jobs directory come first
        names = ("/".join(parts[start:]) for start in range(len(parts)))
        job = next((jobs[name] for name in names if name in jobs), None)
        if job is not None and not problem.is_error and problem.pointer.startswith("/schedule"):
            yield replace(problem, hint=f"{problem.hint} {next_fires(job.spec.schedule, at)}".strip())
        else:
            yield problem


def next_fires(schedule: "Schedule", at: datetime) -> str:
    """`It fires next on Sat 28 Nov 01:00, Sat 28 Nov 01:07, ... (Europe/Berlin).`; "" if never."""
    from zoneinfo import ZoneInfo

    from .next import Asked, fires

    zone = ZoneInfo(schedule.timezone)
    said = ", ".join(f"{one.astimezone(zone):%a %d %b %H:%M}" for one in fires(Asked(schedule), at, FIRES))
    return f"It fires next on {said} ({schedule.timezone})." if said else ""


def _missing(reading: "Reading") -> list[SpecProblem]:
    said = "there is no job file below this jobs directory"
    hint = "name another with --path or as TARGET; 'reconciler init' makes a first one"
    return [
        SpecProblem(path or ".", 1, 1, "jobs-directory-missing", said, hint) for path in reading.desired.missing_paths
    ]


def summary(reading: "Reading", errors: int, warnings: int) -> str:
    """`3 job files at 41d7a90: 2 fine, 1 broken (2 problems), 1 warning`."""
    good, held, commit = len(reading.desired.jobs), len(reading.desired.held), reading.desired.commit
    where = "" if commit.id.startswith("dir:") else f" at {commit.short}"
    parts = [f"{good} fine"]
    parts += [f"{held} broken ({count(errors, 'problem')})"] if held or errors else []
    parts += [count(warnings, "warning")] if warnings else []
    parts += [f"{count(len(reading.desired.ignored), 'other file')} ignored"] if reading.desired.ignored else []
    return f"{count(good + held, 'job file')}{where}: {', '.join(parts)}"
