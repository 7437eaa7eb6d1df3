"""End a run: TERM, its grace period, KILL. RUN is a run id, JOB (its active run) or JOB@02:30. Needs the service.

Of a slot with cells, JOB and JOB@02:30 end all cells, a run id only that one.
"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="a run id, JOB or JOB@02:30")
    parser.add_argument("--reason", default="", help="why, for the record")


def run(args: argparse.Namespace) -> int:
    from .context import ask, ledger, now, settings
    from .find import find_run

    config = settings(args, asking=True)
    ask(config, "GET", "/v1/status", timeout=5.0)  # without a service nothing can be stopped: say that first
    with ledger(config) as history:
        record = find_run(history, config, args.run, now(), active=True)
    whole = record.cell is not None and record.run_id != args.run
    body = {"run_id": record.run_id, "reason": args.reason, "whole_slot": whole}
    print(ask(config, "POST", "/v1/runs/stop", body)["message"])
    return 0
