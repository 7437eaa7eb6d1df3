"""Promise: a terminal is one client's at a time, waits for it a while, and is told to be alone after that."""

import pytest

from reconciler.daemon.terminals import MOST, OF_ONE, OF_OTHERS, PATIENCE, Terminals
from reconciler.engine.base import Line
from reconciler.model.errors import EngineRejected, Permanent, Transient


class FakeLine:
    """A `Line` that only knows whether it was closed."""

    closed = False

    def fileno(self) -> int:
        return -1

    def receive(self) -> tuple[tuple[int, bytes], ...] | None:
        return ()

    def send(self, data: bytes) -> int:
        return len(data)

    def end_input(self) -> None: ...

    def close(self) -> None:
        self.closed = True


class Attaching:
    """An engine as far as terminals need one. `gone`: it has no such run."""

    def __init__(self) -> None:
        self.lines: list[FakeLine] = []
        self.gone = False

    def attach(self, run_id: str, ref: str) -> Line:
        if self.gone:
            raise EngineRejected("cannot attach", code="run-gone")
        self.lines.append(FakeLine())
        return self.lines[-1]


class Rig:
    def __init__(self) -> None:
        self.engine, self.time = Attaching(), 100.0
        self.terminals = Terminals(lambda: self.engine, lambda: self.time)  # type: ignore[arg-type, return-value]


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_what_was_opened_before_the_start_is_what_the_client_gets(rig: Rig) -> None:
    rig.terminals.open("a", "ref")
    assert rig.terminals.take("a", "ref", None) is rig.engine.lines[0]
    assert len(rig.engine.lines) == 1


def test_one_at_a_time_and_so_many_in_all(rig: Rig) -> None:
    for number in range(MOST):
        rig.terminals.take(f"r{number}", "ref", None)
    with pytest.raises(Permanent) as caught:
        rig.terminals.take("r0", "ref", None)
    assert caught.value.code == "dev-taken"
    with pytest.raises(Transient) as busy:
        rig.terminals.take("another", "ref", None)
    assert busy.value.code == "service-busy"
    rig.terminals.leave("r0")
    rig.terminals.take("another", "ref", None)


def test_S6_no_person_has_all_of_them_and_members_leave_some_to_administrators(rig: Rig) -> None:
    for number in range(OF_ONE):
        rig.terminals.take(f"anna{number}", "ref", "anna")
    with pytest.raises(Transient) as hers:
        rig.terminals.take("another", "ref", "anna")
    assert hers.value.code == "service-busy" and hers.value.hint == "leave one of them"
    for number in range(OF_OTHERS - OF_ONE):
        rig.terminals.take(f"other{number}", "ref", f"person{number}")
    with pytest.raises(Transient) as busy:
        rig.terminals.check_room("tom")
    assert busy.value.code == "service-busy"
    for number in range(MOST - OF_OTHERS):
        rig.terminals.take(f"ops{number}", "ref", None)
    with pytest.raises(Transient):
        rig.terminals.check_room(None)
    rig.terminals.leave("anna0")
    rig.terminals.take("another", "ref", "anna")


def test_a_client_that_comes_back_in_time_finds_the_same_line(rig: Rig) -> None:
    rig.terminals.open("a", "ref")
    line = rig.terminals.take("a", "ref", None)
    rig.time += 10 * PATIENCE
    assert rig.terminals.alone() == []
    rig.terminals.leave("a")
    rig.time += PATIENCE - 1
    assert rig.terminals.alone() == []
    assert rig.terminals.take("a", "ref", None) is line
    rig.terminals.leave("a")
    rig.time += PATIENCE + 1
    assert rig.terminals.alone() == ["a"]


def test_one_that_nobody_ever_came_to_is_alone_and_so_is_one_of_an_earlier_process(rig: Rig) -> None:
    rig.terminals.open("a", "ref")
    rig.terminals.expect("b")
    rig.terminals.expect("a")
    rig.time += PATIENCE + 1
    assert rig.terminals.alone() == ["a", "b"]
    rig.terminals.close("a")
    assert rig.terminals.alone() == ["b"]
    assert rig.engine.lines[0].closed


def test_a_line_that_has_ended_is_closed_and_made_anew_if_the_run_goes_on(rig: Rig) -> None:
    rig.terminals.open("a", "ref")
    rig.terminals.take("a", "ref", None)
    rig.terminals.leave("a", ended=True)
    assert rig.engine.lines[0].closed and not rig.terminals.knows("a")
    assert rig.terminals.take("a", "ref", None) is rig.engine.lines[1]


def test_an_attach_that_fails_takes_nothing(rig: Rig) -> None:
    rig.engine.gone = True
    for _ in range(2):
        with pytest.raises(EngineRejected) as caught:
            rig.terminals.take("a", "ref", None)
        assert caught.value.code == "run-gone"


def test_a_run_that_is_made_anew_has_a_new_line(rig: Rig) -> None:
    rig.terminals.open("a", "one")
    rig.terminals.open("a", "two")
    assert rig.engine.lines[0].closed
    assert rig.terminals.take("a", "two", None) is rig.engine.lines[1]
