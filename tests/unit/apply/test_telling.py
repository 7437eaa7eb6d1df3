"""Promise: what apply tells of is committed, whatever else is under way; the rest is told to nobody (P6, D2)."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.apply.execute import apply_plan
from reconciler.model.errors import StateError
from reconciler.model.event import Event
from reconciler.model.service import Policy
from tests.kit.fleet import spec

from .test_execute import CONFIG, FullDisk, Host, Recording


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.history.close()


def test_what_is_told_is_in_the_ledger_already_for_whoever_reads_it_then(host: Host):
    def report(events: Sequence[Event]) -> None:
        told.extend((event.job, event.job in host.rows) for event in events)

    told: list[tuple[str, bool]] = []
    apply_plan(host.plan("a", "b"), host.engine, host.history, lambda: host.now, CONFIG, host.stage,
               cancelled=lambda: False, report=report)  # fmt: skip
    assert sorted(told) == [("a", True), ("b", True)]


def test_P6_what_the_disk_has_refused_to_commit_is_told_to_nobody(host: Host):
    class Refusing(FullDisk):
        @contextmanager
        def together(self):
            with self.history.together():
                yield
                if "a" in host.world.standing:
                    raise StateError("cannot write the ledger: no space left", code="disk-full")

        def put_standing(self, row):
            self.history.put_standing(row)

    with pytest.raises(StateError):
        apply_plan(host.plan("a"), host.engine, Refusing(host.history), lambda: host.now, CONFIG, host.stage,  # type: ignore[arg-type]
                   cancelled=lambda: False, report=host.events.extend)  # fmt: skip
    assert (host.events, dict(host.rows)) == ([], {})


def test_D2_that_a_version_is_forbidden_is_told_before_its_replacement_is_pulled(host: Host):
    class Slow(Recording):
        def install(self, order):
            assert heard.wait(20)
            return self.engine.install(order)

    def report(events: Sequence[Event]) -> None:
        told.append((bool(host.rows["a"].forbidden), len(events)))
        heard.set()

    heard, told = threading.Event(), []
    host.bring("a")
    strict = replace(CONFIG, policy=Policy(images=("alpine:*",)))
    plan = host.plan(spec("a", image="alpine:3.22"), config=strict)
    apply_plan(plan, Slow(host.engine), host.history, lambda: host.now, strict, host.stage,  # type: ignore[arg-type]
               cancelled=lambda: False, report=report)  # fmt: skip
    assert told == [(True, 0), (False, 1)]
