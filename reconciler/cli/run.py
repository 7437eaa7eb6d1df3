"""Start a job by hand: the same path as a scheduled run. Needs the running service.

A job with a strategy runs all its cells. --from takes the cells from a file instead: CSV with the names of parameters
in its first line, or a JSON list of objects. --resume takes only those cells again that have not succeeded, with the
same numbers and values: of the latest slot, or of the one that RUN belongs to. --wait ends with the last cell; --follow
tells of each cell how it ended, and `reconciler logs RUN` what it printed.

--param gives a value to one of the job's `parameters`; the others have their defaults. With --key, asking again never
starts a second run: the answer is the run that the key started first. --ref tries other code of the job's
`repositories`, before it is merged.

With --wait or --follow the exit code is the run's own, of its last attempt if it is retried (1 if it has none).
Ctrl-C ends the waiting, not the run.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ..model.errors import StateError, UsageError
from ..model.run import Phase, RunRecord
from ..model.service import ServiceConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from .context import key, positive

    parser.add_argument("job", help="a job that is applied")
    parser.add_argument("--param", metavar="NAME=VALUE", action="append", default=[], help="a parameter; repeat it")
    parser.add_argument(
        "--ref", metavar="BRANCH", action="append", default=[], dest="refs",
        help="code of this branch, tag or commit for this run; TARGET=BRANCH where the job has several repositories",
    )  # fmt: skip
    parser.set_defaults(ref=None)  # where the jobs come from is the service's business
    parser.add_argument("--key", type=key, help="idempotency key of this request")
    cells = parser.add_mutually_exclusive_group()
    cells.add_argument("--from", metavar="FILE", dest="rows", help="a cell for each row of runs.csv or runs.json")
    cells.add_argument("--resume", metavar="RUN", nargs="?", const="latest", default="", help="only cells that failed")
    parser.add_argument(
        "--max-parallel", metavar="N", type=positive, default=0, help="with --from, --resume: at a time"
    )
    parser.add_argument("--wait", action="store_true", help="wait for its end")
    parser.add_argument("--follow", action="store_true", help="wait, and print its output")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="(default text)")


def run(args: argparse.Namespace) -> int:
    from .context import ask, settings

    config = settings(args, asking=True)
    if args.max_parallel and not (args.rows or args.resume):
        raise UsageError("cannot run it: --max-parallel goes with --from or --resume",
                         hint="a strategy has its own, `max_parallel` in the job file")  # fmt: skip
    body: dict[str, Any] = {"job": args.job, "parameters": pairs(args.param), "key": args.key or "",
                            "resume": args.resume, "refs": args.refs, "max_parallel": args.max_parallel}  # fmt: skip
    if args.rows:
        from .rows import read_rows

        body["rows"] = [{"values": row.values, "where": row.where} for row in read_rows(args.rows)]
    answer = ask(config, "POST", "/v1/jobs/run", body)
    return see_through(config, answer, wait=args.wait, follow=args.follow, as_json=args.output == "json")


def see_through(config: ServiceConfig, answer: dict[str, Any], *, wait: bool, follow: bool, as_json: bool) -> int:
    """Tell what was started and, if asked for, wait for its end; the exit code."""
    from .output import print_json
    from .records import record_data

    run_id = answer["run_id"]
    if not (wait or follow):
        if as_json:
            print_json(answer)
        else:
            before = "   was started before with this key" if answer["repeated"] else ""
            many = f"   and {answer['cells'] - 1} more cells" if answer["cells"] > 1 else ""
            print(f"{run_id}{many}{before}\n  reconciler logs {run_id} -f")
        return 0
    if answer["cells"]:
        return wait_for_cells(config, answer, follow=follow, as_json=as_json)
    try:
        final = _last_attempt(config, run_id, follow=follow)
    except KeyboardInterrupt:
        print(f"\n{run_id} goes on: reconciler logs {run_id} -f", file=sys.stderr)
        raise
    if as_json:
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


def wait_for_cells(config: ServiceConfig, answer: dict[str, Any], *, follow: bool, as_json: bool) -> int:
    """Wait for every cell of the slot; 0 if all have succeeded. With `follow` each tells on standard error how it
    ended, as it ends; what it printed is told by `reconciler logs`."""
    from .context import Presence, ledger
    from .logs import PAUSE
    from .output import plain, print_json, working
    from .records import cell_words, record_data, result, values
    from .show import final_cells

    presence, told = Presence(config), set[str]()
    slot = datetime.fromisoformat(answer["slot"])
    with ledger(config) as history, working(f"{answer['cells']} cells run"):
        while True:
            cells = final_cells(history.of_slot(answer["job"], slot))
            for run in cells if follow else ():
                if not run.active and run.run_id not in told:
                    told.add(run.run_id)
                    print(f"{run.run_id}: {plain(result(run)[0])}   {plain(values(run.parameters))}", file=sys.stderr)
            if not any(run.active for run in cells):
                break
            presence.check()
            time.sleep(PAUSE)
        states = history.cells(answer["job"], slot)
    if as_json:
        print_json([record_data(run) for run in cells])
    else:
        print(cell_words(states)[0])
    return 0 if cells and all(run.phase is Phase.SUCCEEDED for run in cells) else 1


def _ended(config: ServiceConfig, run_id: str) -> RunRecord | None:
    from .context import Presence, ledger
    from .logs import PAUSE

    presence = Presence(config)
    with ledger(config) as history:
        while (record := history.run(run_id)) is not None and record.active:
            presence.check()
            time.sleep(PAUSE)
    return record
