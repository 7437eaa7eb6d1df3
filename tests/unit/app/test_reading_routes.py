"""Promise (S1, S6): over the socket people read the rows that are theirs, as they are on disk, and no request of theirs
harms the service."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.app.authority import Authority
from reconciler.app.reading_routes import reading_routes
from reconciler.engine.base import Preview
from reconciler.history.logs import LogWriter
from reconciler.history.sqlite import SqliteHistory, open_history
from reconciler.model.desired import Commit
from reconciler.model.errors import NotAllowed
from reconciler.model.event import Event, EventName
from reconciler.model.job import JobSpec, Location
from reconciler.model.origin import Origin
from reconciler.model.run import Disposition, Pause, SlotRecord
from reconciler.model.service import Owner, Person, ServiceConfig
from reconciler.server.exchange import Request, answer
from reconciler.server.peer import Peer
from reconciler.server.remote import RemoteReader
from reconciler.server.socket import Server
from tests.kit.ledger import MINUTE, T0, a_job, a_run, a_spec, ended

CONFIG = ServiceConfig(
    people=(Person("anna", "anna"), Person("root's", "root"), Person("lone", "lone")),
    owners=(Owner("ml", ("ml/**",), members=("anna", "root's")), Owner("web", ("web/**", "old/**"), members=())),
)
ANNA = Peer(1, 1001, frozenset(), "anna")
ADMIN = Peer(1, 0, frozenset(), "ops", admin=True)
JOBS = ("ml/a", "web/b")


def nothing_wrong(_spec: JobSpec) -> Preview:
    return Preview(None)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[SqliteHistory]:
    made = open_history(tmp_path / "reconciler.db")
    for number, name in enumerate(JOBS):
        spec = replace(a_spec(name), owner=name.partition("/")[0], environment=(("TOKEN", f"of {name}"),))
        made.put_standing(a_job(name, spec=spec, digest=f"d{number}"))
        made.put_origin(Origin(f"d{number}", Commit("c" * 40), f"{name}.yaml", {"image": Location("x", 2)}))
        for nth in range(4):
            run = a_run(T0 + nth * MINUTE, name, digest=f"d{number}", log=f"logs/{number}.{nth}.log")
            made.claim(run)
            if nth < 3:
                slot = SlotRecord(name, run.slot, run.slot, 1, Disposition.RAN, "", run.run_id)
                made.update_run(ended(run), slot)
        made.put_pause(Pause(name, T0, None, "why", "x"))
        made.add_events([Event(EventName.JOB_PAUSED, T0, name, fields={"reason": name})])
    made.put_pause(Pause("*", T0, None, "all", "x"))
    made.set_meta("held", json.dumps({name: {"owner": "ml"} for name in JOBS}))
    made.set_meta("engine", "process")
    made.add_events([
        Event(EventName.SERVICE_STARTED, T0, fields={"source": "ssh://secret"}),
        Event(EventName.ENGINE_LOST, T0, fields={"code": "engine-unavailable", "error": "gone"}),
        Event(EventName.PLAN_APPROVED, T0, fields={"reason": "web/b"}),
    ])  # fmt: skip
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def reader(history: SqliteHistory, tmp_path: Path) -> Iterator[RemoteReader]:
    """Everything crosses a real socket; the member is whoever runs the tests, and no administrator."""
    seen = Authority(lambda: CONFIG)
    routes = reading_routes(history, seen, tmp_path, nothing_wrong)
    as_anna = {key: (lambda request, of=handler: of(replace(request, peer=ANNA))) for key, handler in routes.items()}
    server = Server(tmp_path / "s.sock", as_anna)
    server.start()
    try:
        yield RemoteReader(tmp_path / "s.sock")
    finally:
        server.stop()


def test_S1_what_is_theirs_comes_over_the_socket_as_it_is_on_disk(reader: RemoteReader, history: SqliteHistory) -> None:
    (job,) = reader.standing().values()
    assert job == history.standing()["ml/a"]
    assert reader.runs("ml/a") == history.runs("ml/a")
    assert reader.runs(limit=2) == history.runs("ml/a", limit=2)
    assert reader.runs("ml/a", limit=1, before=T0 + 2 * MINUTE, failed=False, fold=True)[0].slot == T0 + MINUTE
    assert reader.slots("ml/a") == history.slots("ml/a") != []
    assert reader.of_slot("ml/a", T0) == history.of_slot("ml/a", T0)
    assert reader.active_runs() == [run for run in history.active_runs() if run.job == "ml/a"] != []
    assert reader.last_success("ml/a") == T0 + 2 * MINUTE
    assert (reader.spec("d0"), reader.origin("d0")) == (history.spec("d0"), history.origin("d0"))
    assert reader.events(job="ml/a") == history.events(job="ml/a") != []
    assert reader.get_meta("engine") == "process"


def test_S1_nothing_of_others_is_told(reader: RemoteReader, history: SqliteHistory) -> None:
    (other, *_) = history.runs("web/b")
    assert reader.run(other.run_id) is None
    assert reader.runs("web/b") == reader.slots("web/b") == reader.of_slot("web/b", T0) == []
    assert reader.cells("web/b", T0) == reader.events(job="web/b") == reader.events(run=other.run_id) == []
    assert (reader.spec("d1"), reader.origin("d1"), reader.last_success("web/b")) == (None, None, None)
    assert [pause.job for pause in reader.pauses()] == ["*", "ml/a"]
    assert json.loads(reader.get_meta("held") or "").keys() == {"ml/a"}
    assert {event.job for event in reader.events()} == {"ml/a", ""}
    told = {event.name: event.fields for event in reader.events(job="")}
    assert told == {
        EventName.SERVICE_STARTED: {}, EventName.ENGINE_LOST: {"code": "engine-unavailable", "error": "gone"},
    }  # fmt: skip


def test_S1_a_definition_of_a_job_that_has_moved_is_theirs_by_its_runs(
    reader: RemoteReader, history: SqliteHistory
) -> None:
    history.put_standing(a_job("old/c", spec=a_spec("old/c"), digest="d7"))
    moved = a_run(T0 + 9 * MINUTE, "ml/a", digest="d7")
    history.claim(moved)
    assert reader.spec("d7") is None
    assert reader.run(moved.run_id) == moved
    assert reader.spec("d7") == history.spec("d7") is not None


def test_S1_a_log_is_read_to_its_end_in_pieces_while_it_grows(
    reader: RemoteReader, history: SqliteHistory, tmp_path: Path
) -> None:
    run = history.runs("ml/a")[0]
    writer, log = LogWriter(tmp_path / run.log, 8 << 20), reader.log(run.run_id)
    assert log.read() == (b"", run)
    assert not log.there
    writer.write(b"one\n" * 500_000, "")
    got = b""
    while data := log.read()[0]:
        assert len(data) <= 2 << 20
        got += data
    writer.write(b"two\n", "")
    writer.close()
    assert (got + log.read()[0]) == b"one\n" * 500_000 + b"two\n"
    assert reader.log(run.run_id, tail=1).read()[0] == b"two\n"


HOSTILE: list[tuple[str, dict[str, Any]]] = [
    ("/v1/ledger", {"read": "runs", "job": "ml/a", "limit": -1}),
    ("/v1/ledger", {"read": "runs", "limit": 1 << 80}),
    ("/v1/ledger", {"read": "runs", "limit": 1 << 61}),
    ("/v1/ledger", {"read": "close"}),
    ("/v1/ledger", {"read": "__class__"}),
    ("/v1/ledger", {"read": "meta", "key": "instance_id"}),
    ("/v1/ledger", {"read": "runs", "job": "ml/\ud800"}),
    ("/v1/ledger", {"read": "runs", "job": "ml/\0"}),
    ("/v1/ledger", {"read": "cells", "job": "ml/a", "slot": "9999-12-31T23:59:59-05:00"}),
    ("/v1/ledger", {"read": "cells", "job": "ml/a"}),
    ("/v1/log", {"run_id": "RUN", "at": -5}),
    ("/v1/log", {"run_id": "RUN", "at": 1 << 61, "live": False}),
    ("/v1/log", {"run_id": "RUN", "tail": -7}),
    ("/v1/log", {"run_id": "../../etc/passwd"}),
    ("/v1/outputs", {"run_id": ""}),
    ("/v1/output", {"run_id": "RUN", "path": "../../reconciler.db"}),
    ("/v1/output", {"run_id": "RUN", "path": "x", "at": 1 << 63}),
]


@pytest.mark.parametrize(("route", "body"), HOSTILE, ids=[str(body)[:60] for _, body in HOSTILE])
def test_S6_no_request_of_a_member_is_more_than_a_refusal(
    history: SqliteHistory, tmp_path: Path, route: str, body: dict[str, Any]
) -> None:
    """A fault in a handler would end the service."""
    run = history.runs("ml/a")[0]
    (tmp_path / "logs").mkdir()
    (tmp_path / run.log).write_bytes(b"one\n")
    routes = reading_routes(history, Authority(lambda: CONFIG), tmp_path, nothing_wrong)
    asked = {key: run.run_id if value == "RUN" else value for key, value in body.items()}
    given = answer(routes, Request("POST", route, {}, asked, ANNA))
    assert given.status in (200, 400, 403)
    assert given.status != 200 or given.body.keys() <= {"rows", "run", "data", "at", "live", "kept"}


WHO = [
    pytest.param(ANNA, "anna", {"ml/a"}, id="a member"),
    pytest.param(ADMIN, "ops", {"ml/a", "web/b", "elsewhere"}, id="an administrator"),
    pytest.param(Peer(1, 0, frozenset(), "root", admin=True), "root's", {"ml/a", "web/b", "elsewhere"},
                 id="an administrator who is a person"),
    pytest.param(Peer(1, 7, frozenset(), "lone"), "lone", set[str](), id="a person without an owner"),
    pytest.param(Peer(1, 7, frozenset(), "eve"), "eve", set[str](), id="nobody"),
    pytest.param(Peer(1, 7, frozenset(), "uid 7"), "uid 7", set[str](), id="nobody with a name"),
    pytest.param(Peer(1, 7, frozenset(), ""), "", set[str](), id="nobody at all"),
]  # fmt: skip


@pytest.mark.parametrize(("peer", "name", "has"), WHO)
def test_S1_who_asks_is_a_person_by_the_account(peer: Peer, name: str, has: set[str]) -> None:
    authority = Authority(lambda: CONFIG)
    caller = authority.caller(peer)
    assert caller.name == name
    assert {job for job in (*JOBS, "elsewhere") if caller.has(job)} == has
    assert authority.knows(peer) == (bool(has) and not peer.admin)


def test_S1_a_trial_is_the_owners_whose_path_it_tries() -> None:
    caller = Authority(lambda: CONFIG).caller(ANNA)
    assert caller.has("Try/ml/a") and not caller.has("Try/web/b")
    with pytest.raises(NotAllowed, match="it belongs to web"):
        Authority(lambda: CONFIG).for_job(ANNA, "Try/web/b", "stop a run of")


def test_S1_a_member_who_is_struck_out_may_nothing_from_then_on() -> None:
    now = [CONFIG]
    authority = Authority(lambda: now[0])
    assert authority.knows(ANNA)
    now[0] = replace(CONFIG, owners=(Owner("ml", ("ml/**",)),))
    assert not authority.knows(ANNA)
