"""End a run: TERM, its grace period, KILL. RUN is a run id, JOB (its latest run) or JOB@02:30. Needs the service."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run")
    parser.add_argument("--reason", default="", help="why, for the record")


def run(args: argparse.Namespace) -> int:
    from .context import ask, find_run, ledger, settings

    config = settings(args)
    with ledger(config) as history:
        record = find_run(history, config, args.run)
    answer = ask(config, "POST", "/v1/runs/stop", {"run_id": record.run_id, "reason": args.reason})
    print(answer["message"])
    return 0
