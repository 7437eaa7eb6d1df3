"""Run a job file once that is not committed, under the policy of its path; its output is printed, nothing is kept.

FILE is read with the `_defaults.yaml` above it and the files it takes in. The run has no schedule and no retries; in
all else it is its job's: image, limits, networks, volumes. Exit code: the command's own.
"""

import argparse
import sys
import time
from pathlib import Path

from ..model.errors import ReconcilerError, UsageError
from ..model.service import ServiceConfig

PATIENCE = 20.0  # seconds for the container to go


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="a job file")
    parser.add_argument("--param", metavar="NAME=VALUE", action="append", default=[], help="a parameter; repeat it")


def run(args: argparse.Namespace) -> int:
    from ..app.reading import read_file
    from ..app.trying import bundle, checkable
    from ..spec.render import render_problems
    from .context import ask, settings
    from .logs import follow_run
    from .output import plain
    from .records import result
    from .run import exit_code, pairs

    config, path = settings(args, asking=True), Path(args.file)
    if not path.is_file():
        raise UsageError(f"cannot try {args.file}: no such file", code="source-not-found", hint="FILE is a job file")
    reading = read_file(checkable(config), path)
    errors = [problem for problem in reading.problems if problem.is_error]
    if errors:
        print(render_problems(errors, "text", reading.sources), file=sys.stderr)
        return 1
    name, files = bundle(config, path)
    answer = ask(config, "POST", "/v1/try", {"path": name, "files": files, "parameters": pairs(args.param)})
    run_id = answer["run_id"]
    try:
        final = follow_run(config, run_id)
    except KeyboardInterrupt:
        ask(config, "POST", "/v1/runs/stop", {"run_id": run_id, "reason": "interrupted"})
        follow_run(config, run_id)
        forget(config, run_id)
        raise
    if final is None:
        return 1
    print(f"{plain(result(final)[0])}", file=sys.stderr)
    forget(config, run_id)
    return exit_code(final)


def forget(config: ServiceConfig, run_id: str) -> None:
    """Once its container has gone. If that takes long, the service does it by itself."""
    from .context import ask

    until = time.monotonic() + PATIENCE
    while True:
        try:
            ask(config, "POST", "/v1/try/forget", {"run_id": run_id})
        except ReconcilerError as error:
            if error.code != "service-busy" or time.monotonic() > until:
                return
            time.sleep(0.1)
        else:
            return
