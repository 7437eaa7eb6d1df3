"""Promise (S1, R2): what an owner may have at once is shared by its runs in their turn, and nobody starves."""

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.answers.why import why
from reconciler.app.asking import Asker
from reconciler.model.job import JobSpec, Resources
from reconciler.model.run import Phase
from reconciler.model.service import Owner, Policy, ServiceConfig, Total
from tests.kit.world import World, cron

GB = 1 << 30


def world_of(tmp_path: Path, total: Total) -> World:
    owners = (Owner("ml", ("ml/**",), total=total), Owner("rest", ("**",)))
    return World(tmp_path, ServiceConfig(state_dir=str(tmp_path), owners=owners, policy=Policy(gpus=True)))


def job(name: str, **fields: object) -> JobSpec:
    return cron("1 2 * * *", name, owner="ml" if name.startswith("ml/") else "rest", **fields)


def running(world: World) -> list[str]:
    return sorted(run.job for run in world.history.active_runs() if run.phase is Phase.RUNNING)


TOTALS = {
    "places": (Total(running=1), Resources(), "waits for one of the 1 places of ml (total.running)"),
    "cores": (Total(cpus=0.3), Resources(cpus=0.2), "waits for 0.2 of the 0.3 cpus of ml (total.cpus)"),
    "memory": (Total(memory=3 * GB), Resources(memory=2 * GB), "waits for 2g of the 3g of memory of ml (total.memory)"),
}


@pytest.mark.parametrize(("total", "each", "reason"), TOTALS.values(), ids=TOTALS)
def test_S1_what_does_not_fit_waits_in_line_and_says_for_what(
    tmp_path: Path, total: Total, each: Resources, reason: str
) -> None:
    world = world_of(tmp_path, total)
    for name in ("ml/a", "ml/b", "web/a", "web/b"):
        world.behave(name, duration=30.0)
    world.apply(*(job(name, resources=each) for name in ("ml/a", "ml/b", "web/a", "web/b")))
    world.tick(70)
    assert running(world) == ["ml/a", "web/a", "web/b"]
    asker = Asker(world.history, world.config, "ml/b", world.time)
    chain = why(asker.facts(asker.slot("02:01")))
    assert any(reason in text and "ml.a." in text for text in chain.notes), chain.notes
    world.tick(40)
    assert running(world) == ["ml/b"]
    assert world.verdicts("ml/b") != ["failed"]


def test_S1_exactly_as_much_as_there_is_fits(tmp_path: Path) -> None:
    """0.1 + 0.2 is no more than 0.3 here."""
    world = world_of(tmp_path, Total(cpus=0.3))
    for name in ("ml/a", "ml/b"):
        world.behave(name, duration=30.0)
    world.apply(job("ml/a", resources=Resources(cpus=0.1)), job("ml/b", resources=Resources(cpus=0.2)))
    world.tick(70)
    assert running(world) == ["ml/a", "ml/b"]


def test_S1_who_is_first_in_line_and_needs_much_is_not_passed_by_who_needs_little(tmp_path: Path) -> None:
    world = world_of(tmp_path, Total(cpus=4))
    small = [f"ml/s{n}" for n in range(3)]
    world.behave("ml/first", duration=60.0)
    world.behave("ml/big", duration=20.0)
    for name in small:
        world.behave(name, duration=100.0)
    world.apply(
        job("ml/first", resources=Resources(cpus=3), priority=3),
        job("ml/big", resources=Resources(cpus=4), priority=2),
        *(job(name, resources=Resources(cpus=1)) for name in small),
    )  # fmt: skip
    world.tick(80)
    assert running(world) == ["ml/first"]
    asker = Asker(world.history, world.config, small[0], world.time)
    said = " ".join(why(asker.facts(asker.slot("02:01"))).notes)
    assert "1 of the 4 cpus of ml (total.cpus)" in said
    assert "ml.big." in said
    world.tick(50)
    assert running(world) == ["ml/big"]
    world.tick(30)
    assert running(world) == small


def test_S1_a_place_that_others_need_as_well_is_not_kept_free_for_one(tmp_path: Path) -> None:
    """Who lacks a place of all owners too would keep its own owner's cores idle for nothing."""
    world = world_of(tmp_path, Total(cpus=4))
    for name in ("ml/a", "ml/grouped", "ml/small"):
        world.behave(name, duration=40.0)
    world.apply(
        job("ml/a", resources=Resources(cpus=3), priority=3, concurrency_group="one"),
        job("ml/grouped", resources=Resources(cpus=4), priority=2, concurrency_group="one"),
        job("ml/small", resources=Resources(cpus=1)),
    )
    world.tick(70)
    assert running(world) == ["ml/a", "ml/small"]


def test_S1_who_needs_more_than_a_total_that_was_lowered_keeps_nothing_free(tmp_path: Path) -> None:
    world = world_of(tmp_path, Total(cpus=4))
    world.apply(
        job("ml/big", resources=Resources(cpus=4), priority=2),
        job("ml/small", resources=Resources(cpus=1)),
    )  # fmt: skip
    world.tick(30)
    owners = tuple(replace(one, total=Total(cpus=2)) if one.name == "ml" else one for one in world.config.owners)
    world.fleet.reconfigure(replace(world.config, owners=owners))
    world.behave("ml/small", duration=40.0)
    world.tick(40)
    assert running(world) == ["ml/small"]


def test_S1_what_waits_too_long_for_its_owners_total_is_missed_with_that_reason(tmp_path: Path) -> None:
    world = world_of(tmp_path, Total(running=1))
    world.config = replace(world.config, limits=replace(world.config.limits, queue_timeout=30.0))
    world.fleet.reconfigure(world.config)
    world.behave("ml/a", duration=None)
    world.apply(job("ml/a"), job("ml/b"))
    world.tick(120)
    assert world.slots("ml/b") == [("02:01:00", "missed", 1)]
    (missed,) = world.history.slots("ml/b")
    assert "one of the 1 places of ml (total.running)" in missed.reason
    assert "limits.queue_timeout" in missed.reason
