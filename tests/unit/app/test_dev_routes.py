"""Promise (S1): a shell is opened by members of its job's owner, and is at its terminal who opened it; an administrator
may, and is recorded."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.app.authority import Authority
from reconciler.app.dev_routes import EVERY, dev_routes, end_alone
from reconciler.daemon.terminals import OF_ONE, PATIENCE, Terminals
from reconciler.model.errors import StateError
from reconciler.model.run import Phase, RunRecord, Trigger
from reconciler.model.service import Owner, Person, ServiceConfig
from reconciler.server.exchange import Handlers, Request, answer
from reconciler.server.peer import Peer
from tests.kit.world import World, cron
from tests.unit.daemon.test_terminals import Attaching

ANNA, BEN, TOM = (Peer(1, 1000 + n, frozenset(), name) for n, name in enumerate(("anna", "ben", "tom")))
ADMIN = Peer(1, 0, frozenset(), "ops", admin=True)


class AnEngine(Attaching):
    """One that has terminals, as far as the routes need one."""

    name, terminals, shares_host = "test", True, True

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, int]] = []

    def resize(self, run_id: str, ref: str, rows: int, columns: int) -> None:
        self.sizes.append((rows, columns))


class Forgetful:
    """What is given to it, but it can note nothing for `times`. A ledger on a full disk is like that."""

    def __init__(self, inner: object, deed: str, times: int) -> None:
        self._inner, self._deed, self._times = inner, deed, times

    def __getattr__(self, name: str) -> Any:
        if name == self._deed and self._times:
            self._times -= 1
            raise StateError("cannot use the ledger: the disk is full", code="state-corrupt")
        return getattr(self._inner, name)


class Rig:
    def __init__(self, tmp_path: Path) -> None:
        owners = (Owner("ml", ("ml/**",), members=("anna", "ben")), Owner("web", ("**",), members=("tom",)))
        config = ServiceConfig(state_dir=str(tmp_path), owners=owners,
                               people=tuple(Person(name, name) for name in ("anna", "ben", "tom")))  # fmt: skip
        self.world, self.engine = World(tmp_path, config), AnEngine()
        self.world.apply(replace(cron("0 2 * * *", "ml/train"), owner="ml"))
        engine: Any = self.engine
        self.authority, self.time = Authority(lambda: config), 100.0
        self.terminals = Terminals(lambda: engine, lambda: self.time)
        self.handlers = self.routes(self.world.operators)

    def routes(self, operators: Any) -> Handlers:
        engine: Any = self.engine
        return dev_routes(operators, self.authority, self.world.history, engine, self.terminals)

    def ask(self, peer: Peer, route: str, **body: object) -> tuple[int, dict[str, Any]]:
        said = answer(self.handlers, Request("POST", f"/v1/dev{route}", {}, body, peer))
        return (101 if said.talk is not None else said.status), dict(said.body)

    def opened(self, peer: Peer) -> RunRecord:
        self.world.tick(1)  # no two of one job begin in one millisecond
        status, said = self.ask(peer, "", job="ml/train", tty=True)
        assert status == 200, said
        run = self.world.history.run(said["run_id"])
        assert run is not None
        return run


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    yield Rig(tmp_path)


def test_S1_only_members_open_one(rig: Rig) -> None:
    status, said = rig.ask(TOM, "", job="ml/train", tty=True)
    assert (status, said["code"]) == (403, "not-allowed") and "anna" in said["hint"]
    assert (rig.opened(ANNA).actor, rig.opened(ADMIN).actor) == ("anna", "ops")


def test_S1_its_terminal_is_of_who_opened_it_and_of_administrators(rig: Rig) -> None:
    run = rig.opened(ANNA).run_id
    for peer in (BEN, TOM):
        for route, more in (("/attach", {}), ("/resize", {"rows": 1, "columns": 1})):
            status, said = rig.ask(peer, route, run_id=run, **more)
            assert (status, said["code"]) == (403, "not-allowed")
    assert rig.engine.lines == [] and rig.engine.sizes == []
    assert rig.ask(ANNA, "/attach", run_id=run)[0] == 101
    status, said = rig.ask(ADMIN, "/attach", run_id=run)
    assert (status, said["code"]) == (409, "dev-taken")
    other = rig.opened(ANNA).run_id
    assert rig.ask(ADMIN, "/attach", run_id=other)[0] == 101
    said_of = [event.fields["actor"] for event in rig.world.history.events() if event.name.value == "dev.opened"]
    assert said_of == ["ops", "anna"]


@pytest.mark.parametrize(("rows", "columns"), [(0, 80), (24, 0), (-1, 80), (24, 1 << 40)])
def test_a_size_that_no_terminal_has_is_refused(rig: Rig, rows: int, columns: int) -> None:
    run = rig.opened(ANNA).run_id
    status, said = rig.ask(ANNA, "/resize", run_id=run, rows=rows, columns=columns)
    assert (status, said["code"], rig.engine.sizes) == (400, "bad-request", [])


def test_what_is_no_shell_has_no_terminal(rig: Rig) -> None:
    plain = rig.world.ask("ml/train")
    assert plain.trigger is Trigger.MANUAL
    for run_id in (plain.run_id, "Dev.ml.train.20200101T000000Z.1", ""):
        status, said = rig.ask(ANNA, "/attach", run_id=run_id)
        assert (status, said["code"]) == (409, "run-unknown")


def test_one_that_has_ended_has_none_either(rig: Rig) -> None:
    run = rig.opened(ANNA)
    rig.world.operators.stop_run(run.run_id, "anna", "")
    rig.world.tick(3)
    status, said = rig.ask(ANNA, "/attach", run_id=run.run_id)
    assert (status, said["code"]) == (409, "run-ended")


def test_what_the_engine_cannot_give_is_refused_before_anything_is_claimed(rig: Rig) -> None:
    rig.engine.shares_host = False
    assert rig.ask(ANNA, "", job="ml/train", tty=True, jupyter=True)[1]["code"] == "dev-unsupported"
    rig.engine.terminals = False
    assert rig.ask(ANNA, "", job="ml/train", tty=True)[1]["code"] == "dev-unsupported"
    assert rig.world.history.trials() == []


def test_S6_who_has_no_terminal_left_is_told_before_anything_is_claimed(rig: Rig) -> None:
    for _ in range(OF_ONE):
        assert rig.ask(ANNA, "/attach", run_id=rig.opened(ANNA).run_id)[0] == 101
    before = rig.world.history.trials()
    status, said = rig.ask(ANNA, "", job="ml/train", tty=True)
    assert (status, said["code"]) == (503, "service-busy") and "anna" in said["error"]
    assert rig.world.history.trials() == before
    assert rig.ask(ADMIN, "/attach", run_id=rig.opened(BEN).run_id)[0] == 101


def test_a_terminal_that_nobody_sits_down_at_is_not_kept(rig: Rig) -> None:
    run = rig.opened(ANNA).run_id
    rig.handlers = rig.routes(Forgetful(rig.world.operators, "sits_down", 1))
    assert rig.ask(ANNA, "/attach", run_id=run)[1]["code"] == "state-corrupt"
    assert rig.ask(ANNA, "/attach", run_id=run)[0] == 101


class Rounds:
    """A service that stops after so many rounds, with time between them. `between`: what happens in the first."""

    def __init__(self, rig: Rig, left: int, between: Callable[[], None]) -> None:
        self._rig, self._left, self._between = rig, left, between

    def wait(self, seconds: float) -> bool:
        self._between()
        self._between = lambda: None
        self._rig.time += seconds
        self._left -= 1
        return self._left < 0


def test_R6_a_shell_of_an_earlier_process_that_is_found_late_is_ended_if_nobody_comes(rig: Rig) -> None:
    run, asked = rig.opened(ANNA), []

    def found() -> None:
        rig.world.history.update_run(replace(run, phase=Phase.RUNNING, started_at=rig.world.time))

    operators = SimpleNamespace(stop_run=lambda *said: asked.append(said))
    history = Forgetful(rig.world.history, "active_runs", 1)
    rounds = round(PATIENCE / EVERY)
    end_alone(Rounds(rig, rounds, found), history, operators, rig.terminals)  # type: ignore[arg-type]
    assert asked == [], "its client has its time to come back"
    end_alone(Rounds(rig, 2, lambda: None), history, operators, rig.terminals)  # type: ignore[arg-type]
    assert set(asked) == {(run.run_id, "the service", "its client has gone")}


def test_the_streams_of_a_shell_that_nobody_comes_back_to_are_let_go(rig: Rig) -> None:
    run = rig.opened(ANNA)
    rig.terminals.open(run.run_id, run.ref)
    operators = SimpleNamespace(stop_run=lambda *_said: None)
    rounds = Rounds(rig, 2 + round(PATIENCE / EVERY), lambda: None)
    end_alone(rounds, rig.world.history, operators, rig.terminals)  # type: ignore[arg-type]
    assert rig.engine.lines[0].closed
