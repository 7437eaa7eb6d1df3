"""Start a job by hand: the same path as a scheduled run. Needs the running service.

--param gives a value to one of the job's `parameters`; the others have their defaults. With --key, asking again never
starts a second run: the answer is the run that the key started first.

With --wait or --follow the exit code is the run's own, of its last attempt if it is retried (1 if it has none).
Ctrl-C ends the waiting, not the run.
"""

import argparse
import sys
import time
from collections.abc import Sequence

from ..model.errors import StateError, UsageError
from ..model.run import Phase, RunRecord
from ..model.service import ServiceConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", help="a job that is applied")
    parser.add_argument("--param", metavar="NAME=VALUE", action="append", default=[], help="a parameter; repeat it")
    parser.add_argument("--key", default="", help="idempotency key of this request")
    parser.add_argument("--wait", action="store_true", help="wait for its end")
    parser.add_argument("--follow", action="store_true", help="wait, and print its output")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="(default text)")


def run(args: argparse.Namespace) -> int:
    from .context import ask, settings
    from .output import print_json
    from .records import record_data

    config = settings(args)
    body = {"job": args.job, "parameters": pairs(args.param), "key": args.key}
    answer = ask(config, "POST", "/v1/jobs/run", body)
    run_id = answer["run_id"]
    if not (args.wait or args.follow):
        if args.output == "json":
            print_json(answer)
        else:
            before = "   was started before with this key" if answer["repeated"] else ""
            print(f"{run_id}{before}\n  reconciler logs {run_id} -f")
        return 0
    try:
        final = _last_attempt(config, run_id, follow=args.follow)
    except KeyboardInterrupt:
        print(f"\n{run_id} goes on: reconciler logs {run_id} -f", file=sys.stderr)
        raise
    if args.output == "json":
        print_json(record_data(final))
    return exit_code(final)


def pairs(said: Sequence[str]) -> dict[str, str]:
    """`["a=1", "b=x=y"]` -> `{"a": "1", "b": "x=y"}`. Raises UsageError."""
    found: dict[str, str] = {}
    for text in said:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise UsageError(f"cannot read the parameter {text!r}: it has no '='", hint="write it as --param epochs=20")
        if name in found:
            raise UsageError(f"cannot run it: parameter {name!r} is given twice", hint="keep one of them")
        found[name] = value
    return found


def exit_code(record: RunRecord) -> int:
    """The run's own code; 1 where it has none and did not succeed."""
    return 0 if record.phase is Phase.SUCCEEDED else record.exit_code or 1


def _last_attempt(config: ServiceConfig, run_id: str, *, follow: bool) -> RunRecord:
    """Wait for this run and its retries, telling on standard error how each ended; the last one."""
    from .logs import follow_run
    from .output import plain, working
    from .records import result

    while True:
        if follow:
            record = follow_run(config, run_id)
        else:
            with working(f"{run_id} runs"):
                record = _ended(config, run_id)
        if record is None:
            raise StateError(f"cannot tell how {run_id} ended: history has dropped it", code="run-unknown")
        print(f"{run_id}: {plain(result(record)[0])}", file=sys.stderr)
        if not record.superseded_by:
            return record
        run_id = record.superseded_by


def _ended(config: ServiceConfig, run_id: str) -> RunRecord | None:
    from .context import Presence, ledger
    from .logs import PAUSE

    presence = Presence(config)
    with ledger(config) as history:
        while (record := history.run(run_id)) is not None and record.active:
            presence.check()
            time.sleep(PAUSE)
    return record
