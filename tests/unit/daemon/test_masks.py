"""Rule S3: what a run was given shows in no log, event, reason or error, wherever the output is cut."""

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.daemon.journal import configure
from reconciler.daemon.lean import structlog
from reconciler.daemon.log_pump import MOST_READY, LogPump
from reconciler.daemon.masks import Masks
from reconciler.daemon.rotation import VERSIONS, Versions
from reconciler.engine.base import LogChunk
from reconciler.model.errors import EngineRejected
from reconciler.model.event import EventName
from reconciler.model.job import SecretRef
from reconciler.model.secret import Secret, StoreConfig
from reconciler.model.service import ServiceConfig
from reconciler.runs.masking import MASK, Mask, StreamMask
from reconciler.workspace.base import Parts
from reconciler.workspace.secrets import Reader, Secrets
from tests.kit.world import World, cron

CANARY = "c4n4ry-s3cr3t"


def masks(**values: bytes) -> Masks:
    made = Masks()
    made.look_in(lambda run_id: [Secret(values[run_id])] if run_id in values else [])
    for run_id in values:
        made.learn(run_id)
    return made


def test_what_any_open_run_was_given_is_masked_until_it_is_forgotten() -> None:
    found = masks(a=b"hunter2-correct", b=CANARY.encode())
    assert found.text(f"hunter2-correct {CANARY}") == "*** ***"
    assert found.anything({"x": [f"a {CANARY}", 1], "e": ValueError(CANARY)}) == {"x": ["a ***", 1],
                                                                                 "e": "ValueError('***')"}  # fmt: skip
    found.forget("b")
    assert found.text(f"hunter2-correct {CANARY}") == f"*** {CANARY}"
    assert masks().text("x") == "x" and masks().stream("a") is None


def test_a_value_that_was_rotated_before_the_start_stays_masked() -> None:
    values, found = [Secret(b"the first one")], Masks()
    found.look_in(lambda _run_id: values)
    found.learn("a")
    values[:] = [Secret(b"the second one")]
    found.learn("a")
    assert found.text("the first one, the second one") == "***, ***"


def test_no_line_of_the_service_shows_a_value() -> None:
    out, found = io.StringIO(), masks(a=CANARY.encode())
    configure(out, colour=False, mask=found.anything)
    try:
        structlog.get_logger().error("service.broken", error=f"x {CANARY}", exc_info=ValueError(CANARY))
    finally:
        structlog.reset_defaults()
    assert CANARY not in out.getvalue() and json.loads(out.getvalue())["error"] == "x ***"


# -- the log of a run ------------------------------------------------------------------------------------------------


class Script:
    """An engine whose stream breaks after `until` of its pieces, each time."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces, self.until, self.asked = pieces, len(pieces), []

    def logs(self, run_id: str, ref: str, cursor: str = "", follow: bool = True) -> Iterator[LogChunk]:
        self.asked.append(cursor)
        for number, piece in enumerate(self.pieces[: self.until], 1):
            if number > int(cursor or "0"):
                yield LogChunk(piece, str(number))


def pump(engine: Script, path: Path) -> LogPump:
    return LogPump(engine, "r", "ref", path, 1 << 22, StreamMask(Mask([CANARY.encode()])))  # type: ignore[arg-type]


CUTS = {
    "in one piece": [f"a {CANARY} b\n".encode()],
    "across two": [b"a c4n4ry", b"-s3cr3t b\n"],
    "byte by byte": [bytes([byte]) for byte in f"a {CANARY} b\n".encode()],
}


@pytest.mark.parametrize("pieces", CUTS.values(), ids=CUTS)
def test_S3_a_value_across_pieces_is_masked(tmp_path: Path, pieces: list[bytes]) -> None:
    made = pump(Script(pieces), tmp_path / "log")
    made.drain()
    made.close(gap=False)
    assert (tmp_path / "log").read_bytes() == b"a *** b\n"


@pytest.mark.parametrize("pieces", CUTS.values(), ids=CUTS)
def test_R5_a_stream_that_breaks_anywhere_neither_loses_nor_repeats_anything(
    tmp_path: Path, pieces: list[bytes]
) -> None:
    """In this process, and after a crash, when the next one goes on from what is on disk."""
    for until in range(len(pieces) + 1):
        engine, path = Script(pieces), tmp_path / f"log{until}"
        engine.until = until
        made = pump(engine, path)
        made._copy(follow=False)
        engine.until = len(pieces)
        made.drain()
        made.close(gap=False)
        assert path.read_bytes() == b"a *** b\n"

        engine, path = Script(pieces), tmp_path / f"crashed{until}"
        engine.until = until
        pump(engine, path)._copy(follow=False)
        engine.until = len(pieces)
        made = pump(engine, path)
        made.drain()
        made.close(gap=False)
        assert path.read_bytes() == b"a *** b\n"


def test_what_waits_for_the_end_of_a_possible_value_is_bounded(tmp_path: Path) -> None:
    pieces = [b"x" * 65535 + b"c"] * 12
    made = pump(Script(pieces), tmp_path / "log")
    made._copy(follow=False)
    assert len(made._ready) <= MOST_READY + 65536
    made.close(gap=False)
    assert (tmp_path / "log").read_bytes() == b"".join(pieces)


# -- in the loop -----------------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    store = tmp_path / "store"
    store.mkdir(mode=0o700)
    (store / "dsn").write_text(CANARY)
    place = Path(f"/dev/shm/reconciler-test-{os.getpid()}-{os.urandom(4).hex()}")
    versions: list[Versions] = []
    part = Secrets([place], lambda _spec: Reader(), {}, lambda *said: versions[0].given(*said))
    config = ServiceConfig(state_dir=str(tmp_path), secret_stores=(StoreConfig("directory", str(store)),))
    made = World(tmp_path, config, workspace=Parts([part]))
    made.masks.look_in(part.values)
    versions.append(Versions(made.history, made.emit, b"k" * 32))
    yield made
    if place.exists():
        place.rmdir()  # no run has left anything in it


SECRETS = (SecretRef("dsn", "/run/secrets/dsn"),)


def told(world: World) -> str:
    said = [str(event) for event in world.history.events(job="nightly")]
    return "\n".join([*said, *(str(run) for run in world.runs("nightly"))])


def test_S3_what_an_engine_says_of_a_run_is_masked(world: World) -> None:
    world.machine.fail("prepare", EngineRejected(f"cannot: {CANARY}", hint=f"see {CANARY}"), times=2)
    world.apply(cron("1 2 * * *", secrets=SECRETS))
    world.tick(80)
    assert CANARY not in told(world) and "cannot: ***" in told(world)
    (delayed,) = [e for e in world.history.events(job="nightly") if e.name is EventName.RUN_DELAYED]
    assert delayed.fields["hint"] == "see ***"


def test_S3_the_log_of_a_run_is_masked_and_after_a_restart_as_well(world: World) -> None:
    world.behave("nightly", output=f"dsn is {CANARY}\n".encode(), duration=50.0)
    world.apply(cron("1 2 * * *", secrets=SECRETS))
    world.tick(65)
    world.masks.forget(world.runs("nightly")[0].run_id)  # the next process knows only what lies there
    world.restart()
    world.tick(80)
    (run,) = world.runs("nightly")
    assert (world.path / run.log).read_bytes() == b"dsn is " + MASK + b"\n"
    assert world.masks.text(CANARY) == CANARY, "it is forgotten with its run"


def test_S3_each_run_tells_its_versions_and_a_rotation_is_an_event(world: World) -> None:
    world.apply(cron("1-4 2 * * *", secrets=(*SECRETS, SecretRef("dsn", "/x"))))
    world.tick(130)
    (world.path / "store/dsn").write_text(f"{CANARY}, the next one")
    world.tick(120)
    given = [e for e in reversed(world.history.events(job="nightly")) if e.name is EventName.RUN_SECRETS]
    versions = [str(event.fields["secrets"]) for event in given]
    assert [event.run for event in given] == [run.run_id for run in world.runs("nightly")]
    first, last = versions[0], versions[-1]
    assert versions == [first, first, first, last] or versions == [first, first, last, last]
    assert first != last and first.startswith("dsn@") and len(first) == len("dsn@12345678")
    (rotated,) = [e for e in world.history.events(job="") if e.name is EventName.SECRET_ROTATED]
    assert (rotated.fields["secret"], f"dsn@{rotated.fields['old']}", f"dsn@{rotated.fields['new']}") == (
        "dsn", first, last,
    )  # fmt: skip
    assert world.history.get_meta(VERSIONS) == json.dumps({"dsn": last.removeprefix("dsn@")})


def test_a_version_is_of_key_name_and_value(world: World) -> None:
    def version(key: bytes, name: str, value: bytes) -> str:
        Versions(world.history, world.emit, key).given("a", f"a.{key!r}{name}", {name: Secret(value)})
        return json.loads(world.history.get_meta(VERSIONS) or "")[name]

    found = [version(b"k", "x", b"1"), version(b"k", "y", b"1"), version(b"k", "x", b"2"), version(b"l", "x", b"1")]
    assert len(set(found)) == 4 and version(b"k", "x", b"1") == found[0]


def test_a_secret_that_has_gone_delays_the_run_and_is_a_class_of_its_own(world: World) -> None:
    world.apply(cron("1 2 * * *", secrets=(SecretRef("gone", "/run/secrets/gone"),), start_deadline=30.0))
    world.tick(100)
    (run,) = world.runs("nightly")
    assert run.failure.value == "secret" and "the secret gone" in run.reason
    assert world.slots("nightly")[0][1] == "unavailable"
