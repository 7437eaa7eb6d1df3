"""One line and an exit code, as monitoring plugins do: 0 OK, 1 WARNING, 2 CRITICAL (3: this command line is wrong).

CRITICAL: the service is not there or a part of it is degraded, the state cannot be read, or a job fails, was missed,
is forbidden or waits for a clock that was set back. WARNING: a file is held, a run is being retried. Paused and
suspended jobs are as they should be.
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..model.errors import StateError, UsageError
from .output import count, plain

if TYPE_CHECKING:
    from .fleet import Row

OK, WARNING, CRITICAL = 0, 1, 2
WORDS = {OK: "OK", WARNING: "WARNING", CRITICAL: "CRITICAL"}
BAD, SOFT = frozenset({"FORBIDDEN", "FAILING", "MISSED", "AHEAD"}), frozenset({"HELD", "RETRYING"})
FEW = 5  # of what is wrong is said; the rest is a number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", nargs="*", help="only these jobs")


def run(args: argparse.Namespace) -> int:
    from ..model.ids import is_job_name
    from .context import ledger, now, service_status, settings
    from .fleet import rows

    config = settings(args, asking=True)
    odd = [name for name in args.job if not is_job_name(name)]
    if odd:
        raise UsageError(f"cannot check {odd[0]!r}: not a job's name", hint="'reconciler jobs --all' lists the jobs")
    try:
        with ledger(config) as history:
            found = [row for row in rows(history, now()) if not args.job or row.status.name in args.job]
    except StateError as error:
        print(f"RECONCILER CRITICAL - {plain(error)} [{error.code}]")
        return CRITICAL
    missing = sorted(set(args.job) - {row.status.name for row in found})
    code, text = verdict(found, service_status(config)[1], missing)
    print(text)
    return code


def verdict(found: "Sequence[Row]", degraded: Sequence[str], missing: Sequence[str]) -> tuple[int, str]:
    """(exit code, line with performance data). `missing`: jobs that were asked for and are not there."""
    bad = [row for row in found if row.state in BAD]
    soft = [row for row in found if row.state in SOFT or (row.status.held and row.state not in BAD)]
    critical = [*degraded, *(f"{name} is not there" for name in missing), *map(_said, bad)]
    code = CRITICAL if critical else WARNING if soft else OK
    wrong = [*critical, *map(_said, soft)]
    said = "; ".join(wrong[:FEW]) + (f"; {len(wrong) - FEW} more" if len(wrong) > FEW else "")
    if not wrong:
        said = f"{count(len(found), 'job')}, all as they should be" if len(found) != 1 else "1 job, as it should be"
    running = sum(row.status.running for row in found)
    data = f"jobs={len(found)} critical={len(bad)} warning={len(soft)} running={running}"
    return code, f"RECONCILER {WORDS[code]} - {plain(said).replace('|', '/')} | {data}"


def _said(row: "Row") -> str:
    """`web/backup FAILING, 3 in a row: exit 1`; a file that is held beside another state is said, too."""
    status = row.status
    streak = f", {status.streak} in a row" if row.state == "FAILING" and status.streak > 1 else ""
    word = row.state if row.state in BAD | SOFT else "HELD"
    why = status.why if word == row.state else status.held
    return f"{status.name} {word}{streak}{f': {why}' if why else ''}"
