"""Advice on job files that are valid: what may be another thing tomorrow, and what has more power than it needs.

Each rule has a code; a file or a `_defaults.yaml` accepts it: `accept: [moving-tag]`. docs/lint.md tells of each.
TARGET as in `reconciler validate`, whose problems are shown too. Exit code 0: nothing was found; 1: something was.
"""

import argparse
import sys

from .output import count
from .validate import read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", nargs="?", help="a jobs directory, a job file, or a git repository")
    parser.add_argument("-o", "--output", choices=("text", "json", "github"), default="text", help="(default text)")


def run(args: argparse.Namespace) -> int:
    from ..app.secrets import unlooked
    from ..spec.lint import lint
    from ..spec.render import render_problems
    from .context import settings, stated
    from .output import working

    config = unlooked(settings(args))
    with working("reading job files"):
        reading, prefix = read(config, args.target, named=stated(args).source is not None)
        jobs = reading.desired.jobs.values()
        places = {job.path: job.full_path for job in jobs}
        advice = {problem.at(places.get(problem.path, problem.path)) for job in jobs for problem in lint(job)}
    problems = sorted({*reading.problems, *advice})
    if text := render_problems(problems, args.output, reading.sources, prefix=prefix):
        print(text)
    if args.output == "text":
        print(f"{count(len(reading.desired.jobs), 'valid job')}: {count(len(problems), 'finding')}", file=sys.stderr)
    return 1 if problems else 0
