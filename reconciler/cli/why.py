"""Why a slot did, did not or will not run: one chain from the commit to what you can do.

Without INSTANT: the latest slot that is overdue or did not end well, else the latest. INSTANT is 02:30, 11-24T02:30 or
2026-11-24T02:30 in the job's zone, with Z in UTC. JOB may also be JOB@INSTANT, or a run id.
"""

import argparse
from datetime import datetime

from ..model.errors import UsageError
from ..model.ids import parse_run_id
from .output import colour_wanted, print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", help="a job, JOB@02:30 or a run id")
    parser.add_argument("instant", nargs="?", help="a slot of it, past or to come")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="(default text)")


def run(args: argparse.Namespace) -> int:
    from ..answers.why import why
    from ..answers.why_json import data
    from ..answers.why_text import lines
    from ..app.asking import Asker
    from ..plan.render_text import shown
    from .context import ledger, now, service_status, settings
    from .find import known_job
    from .fleet import held_jobs

    config, at = settings(args, asking=True), now()
    job, said = _asked(args)
    _, degraded = service_status(config)
    with ledger(config) as history:
        name = known_job(history, job)
        asker = Asker(history, config, name, at, held=held_jobs(history).get(name), degraded=degraded)
        slot = said if isinstance(said, datetime) else asker.slot(said)
        chain = why(asker.facts(slot))
    if args.output == "json":
        print_json(data(chain))
        return 0
    colour = colour_wanted()
    for line in lines(chain):
        print(shown(line, colour))
    return 0


def _asked(args: argparse.Namespace) -> tuple[str, str | datetime | None]:
    """(job, the slot in words or as an instant; None = not said)."""
    try:
        key = parse_run_id(args.job)
    except ValueError:
        pass
    else:
        if args.instant is not None:
            raise UsageError("cannot take an instant beside a run id: it names its slot already")
        return key.job, key.slot
    job, at, instant = args.job.partition("@")
    if at and args.instant is not None:
        raise UsageError("cannot take two instants", hint=f"reconciler why {job} {args.instant}")
    return job, (instant or None) if at else args.instant
