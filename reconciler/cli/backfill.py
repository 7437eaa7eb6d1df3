"""Do slots of the past again, each as a cell of one run: RECONCILER_SLOT is the slot that it stands for.

The span holds both ends, in the job's zone. What became of a slot at its time stays as it was told. Stop all of it
with `reconciler stop JOB`. With --wait the exit code is 0 if every slot has succeeded.
"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from .context import key, positive

    parser.add_argument("job", help="a job that is applied")
    parser.add_argument("--from", dest="start", metavar="A", required=True, help="the first slot, ISO 8601")
    parser.add_argument("--to", dest="end", metavar="B", required=True, help="the last slot, ISO 8601")
    parser.add_argument("--max-parallel", metavar="N", type=positive, default=1, help="slots at a time (default 1)")
    parser.add_argument("--param", metavar="NAME=VALUE", action="append", default=[], help="a parameter; repeat it")
    parser.add_argument("--key", type=key, help="idempotency key of this request")
    parser.add_argument("--include-excluded", action="store_true", help="the slots of excluded days, too")
    parser.add_argument("--dry-run", action="store_true", help="only list the slots")
    parser.add_argument("--wait", action="store_true", help="wait for the last one")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="(default text)")


def run(args: argparse.Namespace) -> int:
    from .context import ask, instant, ledger, settings
    from .find import known_job, zone_of
    from .output import print_json
    from .run import pairs, wait_for_cells

    config = settings(args, asking=True)
    with ledger(config) as history:
        job = known_job(history, args.job)
        zone = zone_of(history, job, config)
    body = {
        "job": job, "begin": instant(args.start, zone).isoformat(), "end": instant(args.end, zone).isoformat(),
        "max_parallel": args.max_parallel, "excluded": args.include_excluded, "parameters": pairs(args.param),
        "key": args.key or "", "dry_run": args.dry_run,
    }  # fmt: skip
    answer = ask(config, "POST", "/v1/jobs/backfill", body)
    if args.wait and not args.dry_run:
        return wait_for_cells(config, answer, follow=False, as_json=args.output == "json")
    if args.output == "json":
        print_json(answer)
    elif args.dry_run:
        print("\n".join(answer["slots"]))
    else:
        before = "   was started before with this key" if answer["repeated"] else ""
        print(f"{answer['run_id']}   {answer['cells']} slots, {args.max_parallel} at a time{before}\n"
              f"  reconciler show {answer['run_id']}      end it: reconciler stop {job}")  # fmt: skip
    return 0
