"""Whatever goes wrong in a month, no slot runs twice, none is forgotten, nothing foreign is touched, and all ends well.

Each seed is a month of both loops, the real ledger and the memory engine in virtual time; docs/decisions/0806 says what
may go wrong and which rules are looked at. `make simulate SEEDS=1000` tries more; a seed that fails says how to see it
again: `make simulate SEED=43`.
"""

from pathlib import Path

import pytest

from .runner import quiet, run_many, simulate
from .world import World

SECONDS, AT_LEAST = 60.0, 20


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_rule_holds_in_every_simulated_month() -> None:
    """As many seeds as fit into a minute, and never fewer than a few."""
    done = run_many(range(AT_LEAST), 30.0)
    more = run_many(range(AT_LEAST, 10_000), 30.0, seconds=SECONDS - done.seconds)
    failed = [*done.failed, *more.failed]
    assert not failed, "\n".join(map(str, failed))
    assert done.seeds == AT_LEAST
    # A world in which nothing happens proves nothing.
    for what, at_least in {"starts": 500, "slots": 800, "deaths": 100, "faults": 300}.items():
        assert done.counts[what] >= at_least, f"{what}: {done.counts[what]}"


def test_a_seed_replays_to_the_last_line(tmp_path: Path) -> None:
    told = []
    for home in ("first-home", "second-home"):
        with quiet():
            world = World(3, tmp_path / home)
            world.trace = []
            simulate(world, 3.0)
            world.close()
        told.append([line.replace(str(tmp_path / home), "") for line in world.trace])
    assert told[0] == told[1]
    assert len(told[0]) > 100
