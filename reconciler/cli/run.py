"""Start a job by hand: the same path as a scheduled run. Needs the running service.

With --wait or --follow the exit code is the run's own (1 if it has none).
"""

import argparse
import sys
import time
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job")
    parser.add_argument("--wait", action="store_true", help="wait for its end")
    parser.add_argument("--follow", action="store_true", help="wait, and print its output")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")


def run(args: argparse.Namespace) -> int:
    from .context import ask, settings
    from .output import print_json

    config = settings(args)
    answer = ask(config, "POST", "/v1/jobs/run", {"job": args.job})
    run_id = answer["run_id"]
    if not (args.wait or args.follow):
        print_json(answer) if args.output == "json" else print(f"{run_id}\n  reconciler logs {run_id} -f")
        return 0
    if args.follow:
        from .logs import follow_run

        follow_run(config, run_id)
    final = _wait(config, run_id)
    if args.output == "json":
        print_json(final)
    else:
        print(f"{run_id}: {final['phase']}{_why(final)}", file=sys.stderr)
    return exit_code(final)


def exit_code(record: dict[str, Any]) -> int:
    """The run's own code; 1 where it has none and did not succeed."""
    if record["phase"] == "succeeded":
        return 0
    return int(record["exit_code"]) if record.get("exit_code") else 1


def _why(record: dict[str, Any]) -> str:
    from .output import plain

    code = f", exit {record['exit_code']}" if record.get("exit_code") is not None else ""
    reason = f": {plain(record['reason'])}" if record.get("reason") else ""
    return code + reason


def _wait(config: Any, run_id: str) -> dict[str, Any]:
    """Poll the ledger until this run, or the last of its retries, has ended."""
    from .context import ledger
    from .runs import record_data

    while True:
        with ledger(config) as history:
            record = history.run(run_id)
            while record is not None and record.superseded_by:
                record = history.run(record.superseded_by)
            if record is not None and not record.active:
                return record_data(record)
        time.sleep(0.2)
