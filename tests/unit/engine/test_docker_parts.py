"""The pure parts of the docker engine: error translation, listing, drift and the log cursor keep their promises."""

import socket
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine import docker_errors, labels
from reconciler.engine.docker_client import translated
from reconciler.engine.docker_core import Found, KeyedLock, Remembered
from reconciler.engine.docker_drift import drift_of
from reconciler.engine.docker_errors import Absent, Conflict
from reconciler.engine.docker_listing import Known, Sources, read_listing
from reconciler.engine.docker_logs import Position
from reconciler.engine.docker_recent import Recent
from reconciler.engine.docker_stream import BrokenStream, frames, json_lines
from reconciler.engine.docker_terminal import DockerLine
from reconciler.engine.labels import Kind, Mark
from reconciler.model.errors import EngineRejected, EngineUnavailable, ReconcilerError
from reconciler.model.live import LivePhase, LiveRun
from tests.kit.orders import engine_context

OURS = engine_context("/state", "db1", "a")
THEIRS = engine_context("/state", "db1", "b")


@pytest.mark.parametrize(
    ("verb", "status", "words", "kind", "code"),
    [
        ("create", 404, "No such image: x:1", EngineRejected, "image-missing"),
        ("create", 409, 'Conflict. The container name "/x" is already in use', Conflict, "engine-conflict"),
        ("create", 500, "write /var/lib/x: no space left on device", EngineRejected, "disk-full"),
        ("create", 400, "invalid mount config: bind source path does not exist: /x", EngineRejected, "bind-missing"),
        ("create", 400, "Minimum memory limit allowed is 6MB", EngineRejected, "resources-invalid"),
        ("create", 500, "something of the Engine's own", EngineUnavailable, "engine-unavailable"),
        ("create", 503, "", EngineUnavailable, "engine-unavailable"),
        ("create", 400, "client version 1.41 is too old. Minimum supported API version is 1.44", EngineUnavailable,
         "engine-version"),
        ("create", 400, "something that it refuses", EngineRejected, "engine-rejected"),
        ("start", 400, "OCI runtime create failed: unable to find user x: no matching entries", EngineRejected,
         "user-missing"),
        ("start", 409, "container is marked for removal and cannot be started", Absent, "engine-absent"),
        ("join", 403, "container is marked for removal and cannot be connected or disconnected to the network", Absent,
         "engine-absent"),
        ("start", 404, "network 0123 not found", Absent, "network-missing"),
        ("start", 500, "OCI runtime create failed: something", EngineRejected, "engine-rejected"),
        ("remove", 500, "unlinkat /x: no such file or directory", EngineUnavailable, "engine-unavailable"),
        ("remove", 404, "No such container: x", Absent, "engine-absent"),
        ("inspect", 500, "Multiple IDs found with provided prefix: 2d", Absent, "engine-absent"),
        ("pull", 500, "unauthorized: authentication required", EngineRejected, "registry-auth"),
    ],
)  # fmt: skip
def test_an_answer_of_the_engine_becomes_one_of_ours(
    verb: str, status: int, words: str, kind: type[ReconcilerError], code: str
) -> None:
    error = docker_errors.from_answer(verb, "demo/hello", status, words)
    assert (type(error), error.code) == (kind, code)
    assert str(error).startswith(f"cannot {verb} demo/hello")


def test_a_name_that_cannot_be_written_tells_nothing_of_the_engine() -> None:
    with pytest.raises(EngineRejected, match="not UTF-8"), translated("look at", "demo/hello"):
        "zz\udcff".encode()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("dial tcp 127.0.0.1:1: connect: connection refused", "registry-unavailable"),
        ("net/http: TLS handshake timeout", "registry-unavailable"),
        ("toomanyrequests: rate limit", "registry-unavailable"),
        ("manifest unknown: manifest unknown", "image-missing"),
        ("pull access denied for x, repository does not exist or may require 'docker login'", "image-missing"),
        ("no basic auth credentials", "registry-auth"),
        ("failed to register layer: no space left on device", "disk-full"),
        ("something new", "image-pull"),
    ],
)
def test_a_failed_pull_is_never_a_fault_of_the_engine(words: str, code: str) -> None:
    error = docker_errors.from_pull("x:1", words)
    assert isinstance(error, EngineRejected) and error.code == code and error.hint


def row(context: Any = OURS, job: str = "ml/train", **changes: Any) -> dict[str, Any]:
    mark = Mark(Kind.STANDING, "default", job, "", "d" * 64, "r")
    made = {
        "Id": "1" * 64, "Names": [f"/db1.{job.replace('/', '.')}"], "ImageID": "sha256:x", "State": "created",
        "Status": "Created", "Labels": labels.write(context, mark),
    }  # fmt: skip
    return {**made, **changes}


def run_row(state: str, status: str = "", **changes: Any) -> dict[str, Any]:
    run_id = "ml.train.20261124T020000Z.1"
    mark = Mark(Kind.RUN, "default", "ml/train", run_id, "d" * 64, "r")
    return row(Names=[f"/db1.{run_id}"], State=state, Status=status, Labels=labels.write(OURS, mark), **changes)


def listing(*rows: dict[str, Any], ended: LiveRun | None = None, busy: bool = False) -> Any:
    def recognise(marked: Any, name: str, _ref: str) -> Mark | None:
        return labels.owned_by_mark(OURS, marked, name)

    sources = Sources(OURS, recognise, lambda _run, _ref: ended, lambda _ref: None, lambda _job: busy, Known())
    return read_listing(list(rows), sources)[0]


class Twice:
    """Two listings of one engine. Counts what the ledger is asked for after the first."""

    def __init__(self, first: dict[str, Any]) -> None:
        self.known = Known()
        self.before = self.list(first)

    def list(self, row: dict[str, Any], ledger: Mark | None = None) -> Any:
        sources = Sources(OURS, lambda _marked, _name, _ref: ledger, lambda _run, _ref: None, lambda _ref: None,
                          lambda _job: False, self.known)  # fmt: skip
        return read_listing([row], sources)[0]


def test_an_unchanged_row_gives_the_same_job() -> None:
    twice = Twice(row())
    assert twice.list(row()).jobs["ml/train"] is twice.before.jobs["ml/train"]


@pytest.mark.parametrize("label", [labels.MAC, labels.JOB, labels.DIGEST, labels.OWNER, labels.KIND, labels.RUN,
                                   labels.INSTANCE_ID])  # fmt: skip
def test_P2_a_known_id_proves_nothing_for_other_labels(label: str) -> None:
    changed = row()
    changed["Labels"] = {**changed["Labels"], label: "run" if label == labels.KIND else "other"}
    assert dict(Twice(row()).list(changed).jobs) == {}


@pytest.mark.parametrize("key", ["Id", "Names", "ImageID", "State", "revision"])
def test_P1_what_has_changed_of_a_known_row_is_seen(key: str) -> None:
    changed = row(Id="2" * 64) if key == "Id" else row()
    if key == "Names":
        changed["Names"] = ["/db1.ml.train.NEW"]
    elif key == "ImageID":
        changed["ImageID"] = "sha256:y"
    elif key == "State":
        changed["State"] = "exited"
    elif key == "revision":
        changed["Labels"] = {**changed["Labels"], labels.REVISION: "r2"}
    twice = Twice(row())
    assert twice.list(changed) != twice.before


def test_P2_what_the_ledger_alone_vouched_for_is_asked_for_again() -> None:
    unsigned = row()
    unsigned["Labels"] = {**unsigned["Labels"], labels.MAC: "0"}
    twice = Twice(unsigned)
    mark = Mark(Kind.STANDING, "default", "ml/train", "", "d" * 64, "r")
    assert set(twice.list(unsigned, mark).jobs) == {"ml/train"}
    assert dict(twice.list(unsigned).jobs) == {}


def test_P2_a_foreign_holder_of_a_jobs_name_is_taken() -> None:
    live = listing(row(THEIRS))
    assert (dict(live.jobs), dict(live.taken), live.complete) == ({}, {"ml/train": "1" * 64}, True)


@pytest.mark.parametrize(
    "broken",
    [{}, {"Id": None}, {"Names": None}, {"Names": []}, {"Labels": None}, {"State": 7}, {"State": "a-new-state"}],
    ids=["empty", "id", "no names", "names", "labels", "state", "unknown state"],
)
def test_D2_a_row_in_doubt_makes_the_listing_incomplete(broken: dict[str, Any]) -> None:
    rows = {} if not broken else {**run_row("running"), **broken}
    live = listing(row(), rows)
    assert set(live.jobs) == {"ml/train"}
    assert live.complete is False


@pytest.mark.parametrize(
    ("state", "status", "phase", "code"),
    [
        ("created", "Created", LivePhase.CREATED, None),
        ("running", "Up 3 seconds", LivePhase.RUNNING, None),
        ("paused", "Up 3 seconds (Paused)", LivePhase.RUNNING, None),
        ("exited", "Exited (3) 5 minutes ago", LivePhase.EXITED, 3),
        ("exited", "Exited (137) 5 minutes ago", LivePhase.EXITED, 137),
        ("dead", "Dead", LivePhase.EXITED, None),
    ],
)
def test_a_run_is_read_from_its_row(state: str, status: str, phase: LivePhase, code: int | None) -> None:
    (run,) = listing(run_row(state, status)).runs.values()
    assert (run.phase, run.exit_code, run.job) == (phase, code, "ml/train")


def test_a_container_that_is_being_removed_is_gone() -> None:
    assert listing(row(State="removing")).jobs == {}


def test_P6_a_half_made_replacement_is_drift_unless_this_process_is_at_it() -> None:
    new = row(Id="2" * 64, Names=["/db1.ml.train.NEW"])
    assert listing(row(), new).jobs["ml/train"].ref == "1" * 64
    assert listing(row(), new).jobs["ml/train"].drift
    assert listing(new).jobs["ml/train"].drift  # so that it is healed or retired, and never forgotten
    assert listing(row(), new, busy=True).jobs["ml/train"].drift == ()


def found(config: dict[str, Any], host: dict[str, Any]) -> Found:
    state = {"Running": False, "StartedAt": "0001-01-01T00:00:00Z"}
    return Found("1" * 64, "x", None, {"Config": config, "HostConfig": host, "State": state})


def test_P1_an_engines_read_back_of_its_defaults_is_no_drift() -> None:
    body = {"Env": ["A=b"], "Labels": {"x": "y"}, "HostConfig": {
        "RestartPolicy": {"Name": "no"}, "CapAdd": ["CHOWN"], "ReadonlyRootfs": False,
        "Mounts": [{"Type": "tmpfs"}]}}  # fmt: skip
    config = {"Env": ["PATH=/bin", "A=b"], "Labels": {"x": "y", "image": "z"}, "User": ""}
    host = {"RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "CapAdd": ["CAP_CHOWN"], "Memory": 0,
            "Mounts": [{"Type": "tmpfs", "ReadOnly": False}], "ReadonlyRootfs": False, "Dns": []}  # fmt: skip
    assert drift_of(found(config, host), body) == ()
    assert drift_of(found({**config, "Env": ["A=c"]}, host), body) == ("Env is no longer as applied",)
    assert drift_of(found(config, {**host, "CapAdd": None}), body) == ("CapAdd is no longer as applied",)


START = datetime(2026, 11, 24, 2, tzinfo=UTC)


def stamp(milliseconds: int) -> str:
    return (START + timedelta(milliseconds=milliseconds)).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


@given(
    st.lists(st.tuples(st.integers(0, 900), st.integers(-300, 300)), max_size=60),
    st.lists(st.integers(0, 15), max_size=8),
)
def test_R5_a_cursor_resumes_exactly_although_times_are_out_of_order(
    steps: list[tuple[int, int]], breaks: list[int]
) -> None:
    """Times go on by up to 0.9 s a frame and are off by up to 0.3 s; the stream breaks after `breaks` frames each."""
    now, log = 5_000, []
    for step, off in steps:
        now += step
        log.append((stamp(now + off), len(log)))
    cursor, got = "", []
    for length in [*breaks, len(log)]:
        position = Position.parse(cursor)
        sent = [frame for frame in log if frame[0] >= position.anchor]  # what the Engine's `since` does
        skip, newest, passed = position.count, position.newest, 0
        for at, number in sent:
            if skip and at <= newest:
                skip -= 1
                continue
            skip = 0
            if passed == length:
                break
            position.pass_frame(at)
            passed, cursor = passed + 1, str(position)
            got.append(number)
    assert got == list(range(len(log)))


@pytest.mark.parametrize("junk", ["", "x", "a/b", "a/b/c", "//", "1/2"])
def test_R5_an_unreadable_cursor_starts_at_the_beginning(junk: str) -> None:
    assert str(Position.parse(junk)) in ("/0/", "1/2/")


class Stream:
    """A response that arrives in pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces

    def iter_content(self, _size: int) -> Any:
        return iter(self.pieces)


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(1, 30))
def test_R5_frames_are_read_however_the_stream_is_cut_into_pieces(payloads: list[bytes], size: int) -> None:
    whole = b"".join(struct.pack(">BxxxL", 1 + n % 2, len(p)) + p for n, p in enumerate(payloads))
    pieces = [whole[i : i + size] for i in range(0, len(whole), size)]
    assert list(frames(Stream(*pieces))) == payloads  # type: ignore[arg-type]
    if payloads:
        with pytest.raises(BrokenStream):
            list(frames(Stream(*pieces, b"\x01\0\0")))  # type: ignore[arg-type]


def test_garbage_in_a_stream_is_bounded() -> None:
    with pytest.raises(BrokenStream):
        list(frames(Stream(b"<html>\xff\xfe\0\0\0")))  # type: ignore[arg-type]
    flood = [b"x" * 65536] * 64
    assert list(json_lines(Stream(*flood, b'\n{"a": 1}\n[]\nnull\n'))) == [{"a": 1}]  # type: ignore[arg-type]


def test_what_is_remembered_is_bounded() -> None:
    kept: Remembered[int, int] = Remembered(limit=3)
    for number in range(10):
        kept.put(number, number)
    assert [kept.get(number) for number in range(10)] == [None] * 7 + [7, 8, 9]
    assert (kept.pop(9), kept.pop(9)) == (9, None)


def test_a_lock_of_one_key_is_held_by_one_and_who_does_not_wait_is_told() -> None:
    lock = KeyedLock()
    with lock("a"):
        assert lock.held("a") and not lock.held("b")
        with lock.at_once("a") as free, lock.at_once("b") as other:
            assert (free, other) == (False, True)
        with lock.at_once("a") as still:
            assert not still
    with lock.at_once("a") as free:
        assert free
        with lock.at_once("a") as twice:
            assert not twice
    assert not lock.held("a")


def test_P4_a_look_up_is_kept_for_a_moment_and_a_miss_never() -> None:
    now, asked = [0.0], []
    recent = Recent(lambda: now[0])

    def ask(answer: str | None) -> str | None:
        return recent.get("x", lambda: asked.append(answer) or answer)

    assert (ask(None), ask("one"), ask("two")) == (None, "one", "one")
    now[0] = 2.0
    assert ask("three") == "three"
    recent.clear()
    assert ask("four") == "four" and asked == [None, "one", "three", "four"]


# -- the streams of a terminal -----------------------------------------------------------------------------------


def line_of(data: bytes, pieces: int, *, tty: bool) -> list[tuple[int, bytes]] | None:
    """What a line receives of what the Engine sends in so many pieces, and then closes; None = it ended early."""
    ours, engines = socket.socketpair()
    line, found = DockerLine(ours, tty=tty), []
    with engines:
        for at in range(0, len(data), max(1, len(data) // pieces)):
            engines.sendall(data[at : at + max(1, len(data) // pieces)])
            got = line.receive()
            if got is None:
                line.close()
                return None
            found += got
    assert line.receive() is None
    line.close()
    return found


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(min_size=1, max_size=50)), max_size=8), st.integers(1, 20))
def test_output_without_a_terminal_is_told_apart_however_it_is_cut(sent: list[tuple[int, bytes]], pieces: int) -> None:
    data = b"".join(struct.pack(">BxxxL", stream, len(said)) + said for stream, said in sent)
    assert line_of(data, pieces, tty=False) == sent


def test_output_of_a_terminal_is_as_it_is_and_garbage_ends_a_line() -> None:
    assert line_of(b"\x01\x00abc", 1, tty=True) == [(1, b"\x01\x00abc")]
    assert line_of(b"HTTP/1.1 garbage", 1, tty=False) is None


def test_what_came_with_the_answer_comes_first() -> None:
    ours, engines = socket.socketpair()
    with engines:
        line = DockerLine(ours, tty=True, begun=b"early ")
        assert line.receive() == ((1, b"early "),)
        assert line.receive() == ()
        engines.sendall(b"later")
        assert line.receive() == ((1, b"later"),)
        assert line.send(b"typed") == 5 and engines.recv(9) == b"typed"
    assert line.receive() is None
    line.close()
