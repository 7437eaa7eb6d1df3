"""Promise: builds are few at once, bounded and accounted for, and one that nobody waits for goes no further."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.daemon import builds
from reconciler.daemon.builds import Build, BuildAsked, Builds, pinned
from reconciler.engine.base import BuildOrder, Built
from reconciler.model.errors import EngineRejected, Permanent, Transient, UsageError
from reconciler.model.job import Packages
from reconciler.model.service import Policy, ServiceConfig
from reconciler.workspace.base import Parts
from tests.kit.service import eventually
from tests.kit.world import World, every

PIP = Packages(pip=("pandas==2.2.3",))
DIGEST = "sha256:" + "d" * 64


class Kiln:
    """An engine that builds when it is let, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.orders: list[BuildOrder] = []
        self.go, self.fails = threading.Event(), False

    def build(self, order: BuildOrder, say: Callable[[str], None]) -> Built:
        self.orders.append(order)
        say("base")
        assert self.go.wait(30)
        say("packages")
        if self.fails:
            raise EngineRejected("cannot push it: denied", code="push-refused", hint="ask")
        return Built(order.name or "reconciler-build/x:1", "sha256:1", DIGEST if order.push else "")


class Broken:
    """An engine that builds nothing."""

    def build(self, _order: BuildOrder, _say: Callable[[str], None]) -> Built:
        raise EngineRejected("cannot build it", code="packages-failed")


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.apply(every(60, "a", packages=PIP), every(60, "b", packages=PIP), every(60, "c", owner="other", packages=PIP),
               every(60, "plain"), every(60, "d", owner="third", packages=PIP))  # fmt: skip
    return made


@pytest.fixture
def kiln() -> Iterator[Kiln]:
    made = Kiln()
    yield made
    made.go.set()


@pytest.fixture
def asked(world: World, kiln: Kiln) -> Builds:
    return Builds(engine=lambda: kiln, fleet=world.fleet, code=Parts(), emit=world.emit)  # type: ignore[arg-type, return-value]


def ended(asked: Builds, build: str) -> Build:
    eventually(lambda: asked.look(build).done, "the build ends")
    return asked.look(build)


def test_a_build_tells_its_steps_and_is_in_the_journal(world: World, kiln: Kiln, asked: Builds) -> None:
    build = asked.start(BuildAsked("a", "registry.example/x:1", push=True), "anna")
    eventually(lambda: asked.look(build).said == ["base"], "its first step")
    assert not asked.look(build).done
    kiln.go.set()
    made = ended(asked, build)
    assert made.said == ["base", "packages"] and made.built is not None and made.error is None
    assert kiln.orders[0].image_id == world.fleet.view.standing["a"].image_id
    (event,) = [e for e in world.history.events(job="a") if e.name.value == "image.built"]
    assert (event.fields["actor"], event.fields["digest"]) == ("anna", DIGEST)


def test_the_engine_is_told_what_was_applied_and_what_was_asked(world: World, kiln: Kiln, asked: Builds) -> None:
    spec = every(60, "a", start_script="make", packages=PIP, environment=(("A", "1"),))
    world.apply(spec)
    kiln.go.set()
    ended(asked, asked.start(BuildAsked("a", "registry.example/x:1", push=True, start_script=True), "anna"))
    ended(asked, asked.start(BuildAsked("a"), "anna"))
    job = world.fleet.view.standing["a"]
    first, second = kiln.orders
    assert (first.spec, first.revision, first.image_id) == (job.spec, job.revision, job.image_id)
    assert (first.name, first.push, first.start_script) == ("registry.example/x:1", True, True)
    assert (second.name, second.push, second.start_script) == ("", False, False)
    assert first.environment == (("A", "1"), ("RECONCILER_JOB", "a"))


def test_one_that_fails_says_why_and_so_does_the_journal(world: World, kiln: Kiln, asked: Builds) -> None:
    kiln.fails = True
    kiln.go.set()
    made = ended(asked, asked.start(BuildAsked("a"), "anna"))
    assert made.error is not None and (made.error.code, made.error.hint) == ("push-refused", "ask")
    (event,) = [e for e in world.history.events(job="a") if e.name.value == "image.build-failed"]
    assert (event.fields["actor"], event.fields["code"]) == ("anna", "push-refused")


def test_an_owner_has_one_at_once_and_all_together_two(kiln: Kiln, asked: Builds) -> None:
    first = asked.start(BuildAsked("a"), "anna")
    with pytest.raises(Transient, match="a is being built"):
        asked.start(BuildAsked("b"), "anna")
    asked.start(BuildAsked("c"), "tom")
    with pytest.raises(Transient, match="2 of other owners are being built"):
        asked.start(BuildAsked("d"), "eve")
    kiln.go.set()
    ended(asked, first)
    asked.start(BuildAsked("b"), "anna")


def test_one_that_goes_on_is_known_however_many_come_after_it(kiln: Kiln, asked: Builds) -> None:
    going = asked.start(BuildAsked("a"), "anna")
    eventually(lambda: kiln.orders, "it is under way")
    asked._engine = Broken
    others = [asked.start(BuildAsked("c"), "tom") for _ in range(builds.REMEMBERED + 2) if ended_all(asked, going)]
    assert not asked.look(going).done
    with pytest.raises(Permanent, match="cannot look"):
        asked.look(others[0])


def ended_all(asked: Builds, but: str) -> bool:
    eventually(lambda: all(asked.look(one).done for one in list(asked._builds) if one != but), "the others end")
    return True


def test_one_that_nobody_looks_at_ends_before_its_next_step(kiln: Kiln, asked: Builds) -> None:
    build = asked.start(BuildAsked("a"), "anna")
    eventually(lambda: kiln.orders, "it is under way")
    asked.look(build).seen -= 2 * builds.WATCHED
    kiln.go.set()
    # Not by `look`, which would be somebody who waits.
    eventually(lambda: not [t for t in threading.enumerate() if t.name == "build"], "it ends")
    made = asked.look(build)
    assert made.error is not None and made.error.code == "build-abandoned"


def test_what_cannot_be_built_is_refused_before_anything_is_made(kiln: Kiln, asked: Builds) -> None:
    with pytest.raises(Permanent, match="no such job") as unknown:
        asked.start(BuildAsked("z"), "anna")
    with pytest.raises(Permanent, match="installs no packages") as nothing:
        asked.start(BuildAsked("plain"), "anna")
    assert (unknown.value.code, nothing.value.code) == ("job-unknown", "build-nothing")
    with pytest.raises(UsageError, match="no name to be pushed to"):
        asked.start(BuildAsked("a", push=True), "anna")
    with pytest.raises(UsageError, match="capital letters"):
        asked.start(BuildAsked("a", "X"), "anna")
    with pytest.raises(Permanent) as forgotten:
        asked.look("0" * 16)
    assert forgotten.value.code == "build-unknown" and not kiln.orders


def test_S1_a_name_that_policy_would_not_let_the_job_use_is_refused(world: World, asked: Builds) -> None:
    policy = Policy(images=("none", "registry.example/*:*"))
    world.fleet.change(lambda view: replace(view, config=replace(view.config, policy=policy)))
    for name in ("", "other.example/x:1"):
        with pytest.raises(Permanent) as refused:
            asked.start(BuildAsked("a", name), "anna")
        assert refused.value.code == "image-not-allowed"


def test_what_pins_has_its_tag_only_where_policy_asks_for_one() -> None:
    built, spec = Built("registry.example/x:1", "sha256:1", DIGEST), every(60, "a")
    assert pinned(built, spec, ServiceConfig()) == f"registry.example/x@{DIGEST}"
    tagged = ServiceConfig(policy=Policy(images=("registry.example/x:*",)))
    assert pinned(built, spec, tagged) == f"registry.example/x:1@{DIGEST}"
    assert pinned(replace(built, digest=""), spec, tagged) == "registry.example/x:1"


def test_there_is_no_image_of_a_job_that_runs_in_another_container(world: World, asked: Builds) -> None:
    world.apply(every(60, "inside", image="", exec_in="shop-db-1", start_script="echo"))
    with pytest.raises(Permanent) as caught:
        asked.start(BuildAsked("inside", start_script=True), "anna")
    assert caught.value.code == "build-nothing" and "shop-db-1" in str(caught.value)
