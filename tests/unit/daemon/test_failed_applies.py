"""Promise: a change that cannot be made is never called done: it shows as held until it is made or given up (P7)."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.model.errors import Permanent, StateError
from tests.kit.synced import Synced


@pytest.fixture
def synced(tmp_path: Path) -> Iterator[Synced]:
    made = Synced(tmp_path)
    yield made
    made.close()


def test_P7_a_job_that_cannot_be_installed_is_held_until_it_can(synced: Synced) -> None:
    synced.write("good", "a:1")
    synced.write("bad", "b:1")
    synced.world.fail("install", Permanent("cannot pull b:1: no such image", code="image-missing"), name="bad")
    assert synced.rounds() == {"bad": "cannot create: cannot pull b:1: no such image"}
    assert synced.rounds(minutes=10) == {}, "the next try made it"
    assert set(synced.history.standing()) == {"good", "bad"}


def test_P7_what_git_no_longer_asks_for_is_not_held(synced: Synced) -> None:
    synced.write("good", "a:1")
    synced.write("bad", "b:1")
    synced.world.fail("install", Permanent("cannot pull b:1: no such image"), name="bad", times=99)
    assert set(synced.rounds()) == {"bad"}
    (synced.jobs / "bad.yaml").unlink()
    assert synced.rounds(minutes=10) == {}


def test_P7_how_many_changes_could_not_be_made_is_counted_until_they_are(synced: Synced) -> None:
    synced.write("good", "a:1")
    synced.write("bad", "b:1")
    (synced.jobs / "odd.yaml").write_text("schedule: never\n")
    synced.world.fail("install", Permanent("cannot pull b:1: no such image", code="image-missing"), name="bad")
    synced.rounds()
    assert synced.loop.held.behind == (1, 1)
    (synced.jobs / "odd.yaml").unlink()
    synced.rounds(minutes=10)
    assert synced.loop.held.behind == (0, 0)


def test_P6_what_a_full_disk_cut_short_is_settled_when_there_is_room(synced: Synced) -> None:
    """Not only at the next start, which may be months away."""
    synced.write("a", "busybox")
    synced.loop.recovered = True  # as `serve` has set it after its first look at the intents
    synced.on_stage = lambda: setattr(synced.fates, "disk_share", 1.0)  # the intent is written, its end is not
    with pytest.raises(StateError):
        synced.loop.step(synced.time)
    assert len(synced.history.open_intents()) == 1
    assert not synced.loop.recovered, "whoever steps the loop settles what was begun before the next pass"


def test_P6_what_is_settled_is_seen_by_the_next_pass(synced: Synced) -> None:
    synced.write("a", "busybox")
    synced.rounds()
    synced.history.put_standing(replace(synced.history.standing()["a"], retiring=True))
    synced.history.begin_intent("retire", "a", synced.time, "{}")
    synced.world.standing.clear()  # the engine has carried it out, and the disk has taken no word of that
    assert "a" in synced.fleet.view.standing
    synced.loop.recovered = False
    synced.loop.settle()
    assert synced.loop.recovered and not synced.fleet.view.standing
