"""Runs the rows, tells each line as it is known, and prints the table; with --write it is put into a page."""

import argparse
import importlib
import sys
import tempfile
import traceback
from pathlib import Path

from .machine import facts
from .measure import Budget, Verdict, run
from .report import line, page, table

ROWS = {
    1: "row01_cold", 2: "row02_warm", 3: "row03_no_change", 4: "row04_read", 5: "row05_next", 6: "row06_late",
    7: "row07_start", 8: "row08_burst", 9: "row09_apply", 10: "row10_noop", 11: "row11_idle", 12: "row12_cli",
    13: "row13_year", 14: "row14_code",
}  # fmt: skip
MINUTES, QUICK_SECONDS = 10.0, 10.0  # per row


def title(row: int) -> str:
    return str(importlib.import_module(f"{__package__}.{ROWS[row]}").TITLE)


def measured(row: int, budget: Budget, say=print) -> list[Verdict]:
    """All lines of one row."""
    module = importlib.import_module(f"{__package__}.{ROWS[row]}")
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
    parser.add_argument("--quick", action="store_true", help="small sizes, seconds a row: do they run at all?")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="at most so long a row, set-up left out")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this page")
    args = parser.parse_args()
    rows = args.rows or list(ROWS)
    bound = "quick: small sizes, two rounds a line" if args.quick else f"at most {args.minutes:g} minutes a row"
    known = {**facts(), "run": bound}
    found: list[Verdict] = []
    broken = []
    for row in rows:
        budget = Budget(QUICK_SECONDS if args.quick else 60 * args.minutes, args.quick)
        try:
            found += measured(row, budget, say=lambda text: print(text, flush=True))
        except Exception:  # noqa: BLE001  the other rows are worth having
            traceback.print_exc()
            broken.append(row)
    print("\n" + table(found))
    if args.write is not None:
        args.write.write_text(page(found, known, {row: title(row) for row in rows}))
    if broken:
        print(f"\nrows that broke: {broken}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
