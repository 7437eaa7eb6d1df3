"""Promise: a plan that is asked for is of what the repository holds at that moment, and asking changes nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model.errors import Permanent
from tests.kit.synced import Synced


@pytest.fixture
def synced(tmp_path: Path) -> Iterator[Synced]:
    made = Synced(tmp_path)
    made.write("first", "a:1")
    made.rounds()
    yield made
    made.close()


def asked(synced: Synced) -> bool:
    """Ask, and let the loop make its pass meanwhile."""
    return synced.loop.plan_anew(5.0, lambda: synced.loop.step(synced.time))


def test_D7_it_is_of_the_newest_revision(synced: Synced) -> None:
    synced.write("second", "a:1")
    assert asked(synced)
    plan = synced.fleet.view.plan
    assert plan is not None and [action.name for action in plan.changes] == ["second"]


def test_it_does_not_wait_for_what_is_being_applied(synced: Synced) -> None:
    synced.write("second", "a:1")
    gate, ends = synced.world.hang("install", name="second"), []
    try:
        assert synced.loop.plan_anew(5.0, lambda: ends.append(synced.stepping()))
        assert "second" not in synced.history.standing()
    finally:
        gate.set()
        ends[0]()


def test_it_has_nothing_tried_again(synced: Synced) -> None:
    synced.write("bad", "b:1")
    synced.world.fail("install", Permanent("cannot pull b:1: no such image"), name="bad", times=99)
    synced.rounds()
    tried = synced.world.calls.count(("install", "bad"))
    assert asked(synced)
    assert synced.world.calls.count(("install", "bad")) == tried


def test_a_service_that_does_not_come_to_it_is_not_waited_for_without_end(synced: Synced) -> None:
    assert not synced.loop.plan_anew(0.05, lambda: None)
