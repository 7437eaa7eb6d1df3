"""Check job files: every problem of every file at once. Works on a plain directory and on a git repository.

Exit code 0: no errors (warnings are shown); 1: errors.
"""

import argparse
import sys

from ..model.service import ServiceConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target", nargs="?", help="a jobs directory, a job file, or a repository (default: --source, else ./jobs.d)"
    )
    parser.add_argument("-o", "--output", choices=("text", "json", "github"), default="text")
    parser.add_argument("--strict", action="store_true", help="warnings count as errors")


def run(args: argparse.Namespace) -> int:
    from ..app.oneshot import desired_once
    from ..spec.render import render_problems
    from .context import settings

    config = _target(settings(args), args)
    desired, sources = desired_once(config)
    problems = tuple(sorted(desired.problems))
    bad = [p for p in problems if p.is_error or args.strict]
    text = render_problems(problems, args.output, sources)
    if text:
        print(text)
    if args.output == "text":
        _summary(len(desired.jobs), len(desired.held), len(bad), len(problems) - len(bad), desired.missing_paths)
    return 1 if bad or desired.missing_paths else 0


def _target(config: ServiceConfig, args: argparse.Namespace) -> ServiceConfig:
    """What is meant: an explicit source as configured, else the directory named or ./jobs.d as plain files."""
    from dataclasses import replace
    from pathlib import Path

    if args.target is None and (args.source is not None or not Path("jobs.d").is_dir()):
        return config
    target = Path(args.target or "jobs.d")
    if (target / ".git").exists() or (target / "HEAD").is_file():
        return replace(config, source=replace(config.source, url=str(target.absolute())))
    return replace(config, source=replace(config.source, url=f"dir:{target.absolute()}", paths=("",)))


def _summary(good: int, held: int, errors: int, warnings: int, missing: tuple[str, ...]) -> None:
    for path in missing:
        print(f"{path or '.'}: there is no such jobs directory", file=sys.stderr)
    said = f"{good + held} job files: {good} fine"
    said += f", {held} broken ({errors} problems)" if held or errors else ""
    said += f", {warnings} warnings" if warnings else ""
    print(said, file=sys.stderr)
