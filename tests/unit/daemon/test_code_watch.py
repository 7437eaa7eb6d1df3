"""Promise: a run that fills the disk through its checkouts is stopped, says why, and nobody else is."""

from pathlib import Path

import pytest

from reconciler.daemon.code_watch import LONGEST_END, WORTH, CodeWatch
from reconciler.model.event import Event, EventName
from reconciler.model.job import Retries
from reconciler.model.run import FailureClass
from reconciler.workspace.growth import Grown
from tests.kit.world import World, cron

BOUND = 1 << 30


class Sizes:
    """What is counted, by run."""

    def __init__(self) -> None:
        self.found: list[Grown] = []

    def look(self) -> list[Grown]:
        return self.found

    def close(self) -> None: ...


class Watched:
    """Jobs whose runs are under way, and a watch that is told how large they are."""

    def __init__(self, path: Path, *jobs: str) -> None:
        self.world = World(path)
        for job in jobs:
            self.world.behave(job, duration=3600.0)
        self.world.apply(*(cron("1 2 * * *", job, retries=Retries(limit=3), outputs="/outputs") for job in jobs))
        self.world.tick(65)
        self.sizes: dict[str, tuple[int, ...]] = {}
        self.lacking, self.counted = 0, Sizes()
        self.watch = CodeWatch(
            growth=self.counted, lacking=lambda: self.lacking, bound=lambda: self.bound, runs=self.world.loop,
            kick=lambda: self.world.rounds(1), history=self.world.history, emit=self.world.emit,
            clock=lambda: self.world.boot_time,
        )  # fmt: skip
        self.bound = BOUND

    def run(self, job: str) -> str:
        return self.world.runs(job)[0].run_id

    def look(self) -> list[Event]:
        """What is told when the watch has looked twice."""
        self.counted.found = [Grown(self.run(job), *said) for job, said in self.sizes.items()]
        self.watch.step()
        self.watch.step()
        self.world.tick(30)
        return [event for event in self.world.history.events() if event.name is EventName.CODE_OUTGROWN]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path, "greedy", "modest")


def test_one_beyond_the_bound_is_stopped_once_and_is_not_tried_again(watched: Watched) -> None:
    watched.sizes = {"greedy": (BOUND + 1, 5), "modest": (BOUND, 5)}
    (told,) = watched.look()
    assert (told.job, told.fields["code"], told.fields["bytes"]) == ("greedy", "checkout-too-big", BOUND + 1)
    (run,) = watched.world.runs("greedy")
    assert (run.phase.value, run.failure) == ("failed", FailureClass.DISK)
    assert run.reason == "checkout-too-big: its checkouts take 1024 MiB, more than limits.checkout_bytes (1024 MiB)"
    assert watched.world.runs("modest")[0].active


def test_without_a_bound_nobody_is(watched: Watched) -> None:
    watched.bound, watched.sizes = 0, {"greedy": (1 << 50, 1 << 50)}
    assert watched.look() == [] and watched.world.runs("greedy")[0].active


def test_where_the_disk_is_nearly_full_the_one_that_grew_most_is_stopped(watched: Watched) -> None:
    watched.bound, watched.lacking = 0, 1
    watched.sizes = {"greedy": (WORTH + 1, WORTH + 1), "modest": (BOUND, WORTH)}
    (told,) = watched.look()
    assert told.job == "greedy" and told.fields["code"] == "disk-full"
    assert watched.world.runs("greedy")[0].reason.startswith("disk-full: the disk is nearly full")
    assert watched.world.runs("modest")[0].active


def test_nobody_else_is_stopped_before_the_one_that_was_has_given_its_disk_back(watched: Watched) -> None:
    world = watched.world
    watched.bound, watched.lacking = 0, 1
    watched.sizes = {"greedy": (WORTH + 1, WORTH + 1), "modest": (BOUND, WORTH)}
    world.pools.hold = "outputs"  # it ends, and its checkout is not removed
    assert [event.job for event in watched.look()] == ["greedy"] and not world.runs("greedy")[0].active
    del watched.sizes["greedy"]  # it is being removed
    assert len(watched.look()) == 1
    world.pools.release()
    world.tick(5)
    assert world.runs("greedy")[0].collected
    assert [event.job for event in watched.look()] == ["modest", "greedy"]  # that was not enough


def test_nobody_is_stopped_while_one_ends_that_a_person_has_stopped(watched: Watched) -> None:
    watched.bound, watched.lacking = 0, 1
    watched.sizes = {"greedy": (BOUND, 0), "modest": (BOUND, WORTH)}
    watched.world.pools.hold = "outputs"
    watched.world.operators.stop_run(watched.run("greedy"), "anna", "")
    assert watched.look() == []


def test_one_that_never_comes_to_its_end_is_not_waited_for(watched: Watched) -> None:
    watched.bound, watched.lacking = 0, 1
    watched.sizes = {"greedy": (WORTH + 1, WORTH + 1), "modest": (BOUND, WORTH)}
    watched.world.pools.hold = "outputs"
    assert len(watched.look()) == 1
    watched.world.tick(LONGEST_END, step=60.0)
    assert [event.job for event in watched.look()] == ["modest", "greedy"]


@pytest.mark.parametrize(("bound", "lacking", "code"), [(BOUND, 0, "checkout-too-big"), (0, 1, "disk-full")])
def test_one_that_cannot_be_counted_is_stopped_before_all(
    watched: Watched, bound: int, lacking: int, code: str
) -> None:  # fmt: skip
    watched.bound, watched.lacking = bound, lacking
    watched.sizes = {"greedy": (5, 0, True), "modest": (BOUND, WORTH)}
    (told,) = watched.look()
    assert (told.job, told.fields["code"]) == ("greedy", code) and "than can be counted" in told.fields["error"]


def test_one_that_cannot_be_counted_goes_on_where_nothing_lacks_and_nothing_is_bounded(watched: Watched) -> None:
    watched.bound, watched.sizes = 0, {"greedy": (5, 0, True)}
    assert watched.look() == []


def test_who_wrote_little_is_not_stopped_for_a_disk_that_others_fill(watched: Watched) -> None:
    watched.bound, watched.lacking = 0, 1
    watched.sizes = {"greedy": (BOUND, WORTH - 1), "modest": (BOUND, 0)}
    assert watched.look() == []


def test_a_run_that_has_not_started_or_is_not_known_is_left_alone(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "greedy")
    watched.sizes = {"greedy": (BOUND + 1, 5)}
    watched.run = lambda _job: "nobody.20261124T020000Z.1"  # type: ignore[method-assign]
    assert watched.look() == []


def test_one_that_has_ended_is_not_spoken_of(watched: Watched) -> None:
    watched.sizes = {"greedy": (BOUND + 1, 5)}
    assert len(watched.look()) == 1
    assert len(watched.look()) == 1
