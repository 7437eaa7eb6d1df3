"""Run an earlier run exactly again: its definition, image and parameters, whatever is applied today.

What can no longer be had is said, and nothing is put in its place. RUN is a run id, JOB (its latest run) or JOB@02:30.
"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="a run id, JOB or JOB@02:30")
    parser.add_argument("--wait", action="store_true", help="wait for its end")
    parser.add_argument("--follow", action="store_true", help="wait, and print its output")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="(default text)")


def run(args: argparse.Namespace) -> int:
    from .context import ask, ledger, now, settings
    from .find import find_run
    from .run import see_through

    config = settings(args, asking=True)
    with ledger(config) as history:
        record = find_run(history, config, args.run, now())
    answer = ask(config, "POST", "/v1/runs/replay", {"run_id": record.run_id})
    return see_through(config, answer, wait=args.wait, follow=args.follow, as_json=args.output == "json")
