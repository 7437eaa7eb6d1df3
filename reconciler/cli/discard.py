"""Remove the container of a failed run that `hold_on_failure` keeps for debugging. RUN is a run id, JOB (its latest
run) or JOB@02:30. Its record and its log stay. Needs the service."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="a run id, JOB or JOB@02:30")


def run(args: argparse.Namespace) -> int:
    from .context import ask, ledger, now, settings
    from .find import find_run

    config = settings(args, asking=True)
    ask(config, "GET", "/v1/status", timeout=5.0)  # without a service nothing is removed: say that first
    with ledger(config) as history:
        record = find_run(history, config, args.run, now())
    print(ask(config, "POST", "/v1/runs/discard", {"run_id": record.run_id})["message"])
    return 0
