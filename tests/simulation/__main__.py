"""`python -m tests.simulation SEEDS [--from N] [--days D] [--seconds S] [--jobs J]`: many seeds, each a month.
`python -m tests.simulation --seed N [--trace K] [--shrink]`: one seed again, with the last K lines of what happened;
`--shrink` leaves out what happened later than it must."""

import argparse
import sys

from .runner import replay, run_many, shrink


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("seeds", nargs="?", type=int, default=100)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--seconds", type=float, default=None, help="stop after so many")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--trace", type=int, default=60)
    parser.add_argument("--shrink", action="store_true", help="with as few happenings as still fail")
    said = parser.parse_args()
    if said.seed is not None:
        most = shrink(said.seed, said.days) if said.shrink else None
        return 1 if replay(said.seed, said.days, said.trace, most) else 0
    done = run_many(range(said.first, said.first + said.seeds), said.days, seconds=said.seconds, jobs=said.jobs)
    print(done.summary())
    return 1 if done.failed else 0


if __name__ == "__main__":
    sys.exit(main())
