"""`python -m tests.storms SEEDS [--from N] [--seconds S] [--lanes L]`: many seeds against a real Docker Engine.
`python -m tests.storms --seed N [--most K]`: one again; with `--most`, only its first K happenings. A seed fixes what
goes wrong and when, not how threads and processes of a real machine meet: a failure may need a few tries."""

import argparse
import sys

from .runner import one, own_engine, run_many
from .script import draw


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.storms")
    parser.add_argument("seeds", nargs="?", type=int, default=10)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=3600.0, help="begin no seed after so many")
    parser.add_argument("--lanes", type=int, default=2, help="processes, each with an Engine of its own")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--most", type=int, default=None)
    said = parser.parse_args()
    if said.seed is None:
        done = run_many(range(said.first, said.first + said.seeds), said.seconds, said.lanes)
        print(done.summary())
    else:
        print(draw(said.seed, said.most))
        with own_engine() as engine:
            done = one(said.seed, engine, said.most, print)
        print("\n".join(done.failed))
    return 1 if done.failed else 0


if __name__ == "__main__":
    sys.exit(main())
