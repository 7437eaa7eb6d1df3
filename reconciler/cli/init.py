"""Scaffold a job repository: a first job, defaults, a README, and the schema for editors. Never overwrites a file.

With --config it also writes CODEOWNERS, from the owners and people of that service file.
"""

import argparse
import shlex
from pathlib import Path

HELLO = """\
# yaml-language-server: $schema=../job.schema.json
description: Say hello every minute, to see that everything works
schedule: "* * * * *"
image: busybox:stable
networks: [none]
script: |
  echo "hello from $RECONCILER_JOB, slot $RECONCILER_SLOT"
timeout: 1m
"""

DEFAULTS = """\
# What every job in this folder and below starts from; a job file may say otherwise.
timezone: UTC
history: {keep_success: 20, keep_failed: 50, keep_for: 90d}
"""

README = """\
# Jobs

Each file below `jobs.d/` is one scheduled container; its path is its name. Commit a change, and the service applies it.

    reconciler validate                 every problem of every file
    reconciler plan --source .          what a commit would change
    reconciler next --cron "30 2 * * *" --timezone Europe/Berlin
"""

WORKFLOW = """\
name: jobs
on: [pull_request]
jobs:
  validate:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: pipx run reconciler validate -o github
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", nargs="?", default=".", help="where (default: here)")
    parser.add_argument("--github", action="store_true", help="also a workflow that validates pull requests")


def run(args: argparse.Namespace) -> int:
    from ..spec.schemas import schema_text

    root = Path(args.directory)
    files = {
        "jobs.d/hello.yaml": HELLO, "jobs.d/_defaults.yaml": DEFAULTS, "README.md": README,
        "job.schema.json": schema_text("job"), ".gitignore": "/.state/\n",
    }  # fmt: skip
    if args.config:
        from ..spec.codeowners import codeowners
        from .context import settings

        files["CODEOWNERS"] = codeowners(settings(args))
    if args.github:
        files[".github/workflows/jobs.yml"] = WORKFLOW
    for name, text in files.items():
        path = root / name
        if path.exists():
            print(f"kept     {path}")
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"created  {path}")
    print(f"\nNext:\n{following(root)}")
    return 0


def following(root: Path) -> str:
    """The commands that lead from these files to a first run."""
    steps = [] if root.resolve() == Path.cwd() else [f"cd {shlex.quote(str(root))}"]
    steps += [] if (root / ".git").exists() else ["git init"]
    steps += ["git add .", "git commit -m 'First job'", "reconciler serve --source . --engine auto --state-dir .state"]
    return "\n".join(f"  {step}" for step in steps)
