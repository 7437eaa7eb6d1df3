"""One line and an exit code, as monitoring plugins do: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.

CRITICAL: the service is not there or a part of it is degraded, or a job fails, was missed or is forbidden. WARNING: a
file is held, a run is being retried. Paused and suspended jobs are as they should be.
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .fleet import Row

CRITICAL, WARNING = {"FORBIDDEN", "FAILING", "MISSED"}, {"HELD", "RETRYING"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", nargs="*", help="only these jobs")


def run(args: argparse.Namespace) -> int:
    from ..model.errors import ReconcilerError
    from .context import ledger, now, settings
    from .fleet import rows
    from .jobs import _degraded

    try:
        config = settings(args)
        with ledger(config) as history:
            found = [row for row in rows(history, now()) if not args.job or row.status.name in args.job]
    except ReconcilerError as error:
        print(f"RECONCILER UNKNOWN - {error} [{error.code}]")
        return 3
    missing = sorted(set(args.job) - {row.status.name for row in found})
    code, text = verdict(found, _degraded(config), missing)
    print(text)
    return code


def verdict(found: "Sequence[Row]", degraded: Sequence[str], missing: Sequence[str]) -> tuple[int, str]:
    """(exit code, line with performance data)."""
    from .output import plain

    bad = [f"{row.status.name} {row.status.state.value}" for row in found if row.status.state.value in CRITICAL]
    soft = [f"{row.status.name} {row.status.state.value}" for row in found if row.status.state.value in WARNING]
    critical = [*degraded, *(f"{name} is not there" for name in missing), *bad]
    running = sum(row.status.running for row in found)
    data = f"jobs={len(found)} critical={len(bad)} warning={len(soft)} running={running}"
    code, word = (2, "CRITICAL") if critical else (1, "WARNING") if soft else (0, "OK")
    said = "; ".join((critical + soft)[:5]) or f"{len(found)} jobs are as they should be"
    return code, f"RECONCILER {word} - {plain(said)} | {data}"
