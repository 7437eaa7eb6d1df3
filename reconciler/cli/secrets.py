"""List which secrets jobs name: whether they are there, in which store, how runs get them. Never a value.

The running service looks, since the stores are its own. Members see the jobs of their owners.
"""

import argparse
from typing import Any

from .output import Cell, local, plain, print_json, print_table

COLUMNS = ("JOB", "SECRET", "STATE", "FROM", "AS", "CHANGED")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", nargs="?", default="", help="(default all)")
    parser.add_argument("--owner", metavar="OWNER", default="", help="only the jobs of this owner")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="(default text)")


def run(args: argparse.Namespace) -> int:
    from .context import ask, settings

    config = settings(args, asking=True)
    found = ask(config, "POST", "/v1/secrets", {"job": args.job, "owner": args.owner})["secrets"]
    if args.output == "json":
        print_json(found)
        return 0
    if not found:
        print("no job names a secret")
        return 0
    print_table(COLUMNS, [cells(row, config.timezone) for row in found])
    for row in found:
        if row["why"]:
            print(f"! {plain(row['job'])} {plain(row['secret'])}: {plain(row['why'])}")
    return 0


def cells(row: dict[str, Any], zone: str) -> list[Cell]:
    from datetime import datetime

    from .context import now

    way = f"${row['env']}" if row["env"] else f"{row['file']} {row['mode']}"
    state: Cell = row["state"] if row["state"] == "there" else (row["state"], "red")
    changed = datetime.fromisoformat(row["changed"]) if row["changed"] else None
    return [row["job"], row["secret"], state, row["store"] or "-", way, local(changed, zone, now())]
