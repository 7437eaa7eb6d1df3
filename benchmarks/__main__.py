"""`python -m benchmarks [ROW ...] [--quick]`: runs the rows, tells each line as it is known, prints the table."""

import argparse
import importlib
import sys
import tempfile
import traceback
from pathlib import Path

from .measure import Budget, Verdict, run
from .report import line, table

ROWS = {
    1: "row01_cold", 2: "row02_warm", 3: "row03_no_change", 4: "row04_read", 7: "row07_start", 9: "row09_apply",
    10: "row10_noop", 11: "row11_idle", 12: "row12_cli",
}  # fmt: skip
SECONDS, QUICK_SECONDS = 600.0, 10.0  # per row


def measured(row: int, *, quick: bool, say=print) -> list[Verdict]:
    """All lines of one row."""
    module = importlib.import_module(f"{__package__}.{ROWS[row]}")
    budget = Budget(QUICK_SECONDS if quick else SECONDS, quick)
    found: list[Verdict] = []
    say(f"row {row}: {module.TITLE}")
    with tempfile.TemporaryDirectory(prefix="reconciler-bench-") as folder:
        for case in module.cases(budget, Path(folder)):
            for verdict in run(case, budget):
                found.append(verdict)
                say(f"  {line(verdict)}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", type=int, choices=[*ROWS, []], metavar="ROW", help=f"of {list(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="seconds a row: do they run at all?")
    args = parser.parse_args()
    found: list[Verdict] = []
    broken = []
    for row in args.rows or ROWS:
        try:
            found += measured(row, quick=args.quick, say=lambda text: print(text, flush=True))
        except Exception:  # noqa: BLE001  the other rows are worth having
            traceback.print_exc()
            broken.append(row)
    print("\n" + table(found))
    if broken:
        print(f"\nrows that broke: {broken}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
