"""Promise: while the packages of one job are installed, every other one is applied, and the newest file counts (P4)."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engine.base import Installed, StandingOrder
from reconciler.engine.memory import MemoryEngine
from reconciler.model.errors import Permanent
from tests.kit.service import eventually
from tests.kit.synced import Synced

PACKAGES = "schedule: manual\nimage: py:1\npackages: {{pip: [{}]}}\n"


class Indexes(MemoryEngine):
    """An engine whose package indexes answer when they are told to."""

    asked: list[str]
    open: threading.Event
    fault: Exception | None

    def resolve(self, order: StandingOrder) -> Installed:
        type(self).asked.append(order.spec.packages.pip[0])
        assert type(self).open.wait(20.0)
        if type(self).fault is not None:
            raise type(self).fault
        return super().resolve(order)


@pytest.fixture
def indexes() -> type[Indexes]:
    return type("OwnIndexes", (Indexes,), {"asked": [], "open": threading.Event(), "fault": None})


@pytest.fixture
def synced(tmp_path: Path, indexes: type[Indexes]) -> Iterator[Synced]:
    made = Synced(tmp_path, engine=indexes)
    yield made
    indexes.open.set()
    made.close()


def write(synced: Synced, name: str, package: str) -> None:
    (synced.jobs / f"{name}.yaml").write_text(PACKAGES.format(package))


def come_to(synced: Synced, names: set[str]) -> None:
    def there() -> bool:
        synced.rounds(minutes=0)
        return set(synced.history.standing()) == names

    eventually(there, f"{names} stand")


def test_P4_no_other_job_waits_for_an_index(synced: Synced, indexes: type[Indexes]) -> None:
    write(synced, "slow", "numpy")
    synced.write("quick", "a:1")
    synced.rounds()
    assert set(synced.history.standing()) == {"quick"} and indexes.asked == ["numpy"]
    synced.write("quick", "a:2")
    synced.write("later", "b:1")
    synced.rounds()
    standing = synced.history.standing()
    assert set(standing) == {"quick", "later"} and standing["quick"].spec.image == "a:2"
    indexes.open.set()
    come_to(synced, {"quick", "later", "slow"})
    assert indexes.asked == ["numpy"], "it was asked for once"


def test_P4_what_is_asked_for_no_longer_is_not_installed(synced: Synced, indexes: type[Indexes]) -> None:
    synced.write("quick", "a:1")
    write(synced, "gone", "numpy")
    write(synced, "edited", "scipy")
    synced.rounds()
    (synced.jobs / "gone.yaml").unlink()
    write(synced, "edited", "pandas")
    synced.rounds()
    indexes.open.set()
    come_to(synced, {"quick", "edited"})
    assert synced.history.standing()["edited"].spec.packages.pip == ("pandas",)
    assert sorted(indexes.asked) == ["numpy", "pandas", "scipy"]


def test_P7_what_cannot_be_installed_is_held_and_tried_again(synced: Synced, indexes: type[Indexes]) -> None:
    indexes.fault = Permanent("cannot install the packages of bad: no such package", code="packages-failed")
    indexes.open.set()
    write(synced, "bad", "nunpy")
    synced.write("good", "a:1")
    held = eventually(lambda: synced.rounds(minutes=0), "it is held")
    assert held == {"bad": "cannot create: cannot install the packages of bad: no such package"}
    asked = len(indexes.asked)
    synced.rounds(minutes=0)
    assert len(indexes.asked) == asked, "not at once"
    indexes.fault = None
    synced.rounds(minutes=30)
    come_to(synced, {"bad", "good"})
    assert synced.rounds(minutes=0) == {}


def test_few_at_once_and_in_the_end_all(synced: Synced, indexes: type[Indexes]) -> None:
    names = {f"job{number}" for number in range(9)}
    for name in names:
        write(synced, name, name)
    synced.rounds()
    eventually(lambda: len(indexes.asked) == 4, "as many as may be at once")
    synced.rounds()
    assert len(indexes.asked) == 4 and synced.history.standing() == {}
    indexes.open.set()
    come_to(synced, names)


def test_who_asks_for_a_pass_is_answered_when_it_is_done(synced: Synced, indexes: type[Indexes]) -> None:
    write(synced, "slow", "numpy")
    answered: list[int] = []
    asker = threading.Thread(target=lambda: answered.append(len(synced.loop.look_and_wait(20.0, lambda: None))))
    asker.start()
    eventually(lambda: synced.rounds(minutes=0) == {} and indexes.asked, "it is under way")
    synced.rounds(minutes=0)
    assert answered == []
    indexes.open.set()
    come_to(synced, {"slow"})
    eventually(lambda: synced.rounds(minutes=0) == {} and not asker.is_alive(), "the asker has its answer")
    assert answered == [1]
    asker.join(5.0)


class TwoIndexes(MemoryEngine):
    """Two indexes, each of which refuses one request whenever it is told to."""

    asked: list[str]
    gates: dict[str, threading.Semaphore]

    def resolve(self, order: StandingOrder) -> Installed:
        name = order.spec.packages.pip[0]
        type(self).asked.append(name)
        assert type(self).gates[name].acquire(timeout=20.0)
        raise Permanent(f"cannot install {name}", code="packages-failed")


def test_P7_an_asker_is_answered_although_two_jobs_never_get_their_packages(tmp_path: Path) -> None:
    gates = {name: threading.Semaphore(0) for name in ("one", "two")}
    engine = type("OwnTwoIndexes", (TwoIndexes,), {"asked": [], "gates": gates})
    synced = Synced(tmp_path, engine=engine)
    for name in gates:
        write(synced, name, name)
    answered: list[int] = []
    asker = threading.Thread(target=lambda: answered.append(len(synced.loop.look_and_wait(20.0, lambda: None))))
    asker.start()
    eventually(lambda: (synced.rounds(minutes=0), len(engine.asked) == 2)[1], "both are asked for")
    for turn in range(20):  # they are refused in turn, so that one of them is always under way if both are tried again
        gates[("one", "two")[turn % 2]].release()
        synced.rounds(minutes=1 / 60)
    eventually(lambda: (synced.rounds(minutes=0), answered)[1], "the asker is answered")
    assert len(engine.asked) <= 6, "each failure waits for its turn"
    for gate in gates.values():
        gate.release(10)
    asker.join(5.0)
    synced.close()


def test_P6_a_prune_of_all_images_keeps_no_newer_file_waiting(synced: Synced, indexes: type[Indexes]) -> None:
    indexes.open.set()
    write(synced, "slow", "numpy")
    come_to(synced, {"slow"})
    indexes.open.clear()
    synced.world.standing.clear()  # and with them the image that their packages are in
    synced.loop.changed("")
    synced.write("newer", "a:1")
    synced.rounds()
    assert set(synced.history.standing()) == {"slow", "newer"}
    assert not synced.world.standing.keys() & {"slow"}, "it is not made again before its packages are there"
    indexes.open.set()
    eventually(lambda: (synced.rounds(minutes=0), "slow" in synced.world.standing)[1], "it is healed")
