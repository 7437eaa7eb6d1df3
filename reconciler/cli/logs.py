"""Print a run's output. RUN is a run id, JOB (its latest run) or JOB@02:30. With -f, until the run has ended."""

import argparse
import sys
import time
from pathlib import Path

from ..model.errors import UsageError
from ..model.run import RunRecord
from ..model.service import ServiceConfig

PAUSE = 0.2  # seconds between two looks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from .context import positive

    parser.add_argument("run", help="a run id, JOB or JOB@02:30")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the run has ended")
    parser.add_argument("-n", "--tail", type=positive, metavar="N", help="only the last N lines")


def run(args: argparse.Namespace) -> int:
    from .context import ledger, now, settings
    from .find import find_run

    config = settings(args)
    with ledger(config) as history:
        record = find_run(history, config, args.run, now())
    if args.follow:
        follow_run(config, record.run_id, tail=args.tail)
        return 0
    if not record.log or not (path := Path(config.state_dir) / record.log).exists():
        raise UsageError(f"cannot print the log of {record.run_id}: {_no_log(record)}", code="log-absent",
                         hint=f"see: reconciler show {record.run_id}")  # fmt: skip
    from ..history.logread import read_log

    for data in read_log(path, tail=args.tail):
        sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    return 0


def _no_log(record: RunRecord) -> str:
    if record.started_at is None:
        return f"it has not started ({record.phase.value}{f': {record.reason}' if record.reason else ''})"
    return "it printed nothing, or its log has aged out"


def follow_run(config: ServiceConfig, run_id: str, *, tail: int | None = None) -> RunRecord | None:
    """Print what is there and what comes, until the run has ended and its log is complete; its last state.

    None = history has dropped it meanwhile. Raises Transient if the service goes away for long.
    """
    from ..history.logread import LogFollower
    from .context import Presence, ledger

    follower: LogFollower | None = None
    presence = Presence(config)
    with ledger(config) as history:
        while True:
            record = history.run(run_id)
            if record is None:
                return None
            done = not record.active and (record.collected or record.started_at is None)
            if follower is None and record.log and (path := Path(config.state_dir) / record.log).exists():
                follower = LogFollower(path, tail=tail)
            for data in follower.read() if follower is not None else ():
                sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            if done:
                return record
            presence.check()
            time.sleep(PAUSE)
