"""Promise: the socket serves the right people only, answers bad input with a clear error, and stops when told to."""

import json
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.model.errors import EngineUnavailable, Permanent, StateError, UsageError
from reconciler.server import exchange
from reconciler.server import socket as server_socket
from reconciler.server.client import ServiceNotRunning, ServiceUnreachable, call, stream
from reconciler.server.exchange import Request, Response
from reconciler.server.peer import Peer, peer_of, user_name
from reconciler.server.shapes import ApiError
from reconciler.server.socket import MAX_CONNECTIONS, OF_ONE, Server, ServerError
from tests.kit.nobody import needs_root, open_to_all, run_as_nobody


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.sock"


@contextmanager
def serving(
    path: Path, *, group: str | int = "reconciler", **handlers: Callable[[Request], Response]
) -> Iterator[Server]:
    """GET and POST /v1/<name> for each handler; `echo` is always there."""
    handlers.setdefault("echo", lambda request: Response({"body": request.body, "query": dict(request.query)}))
    routes = {(m, f"/v1/{name}"): handler for name, handler in handlers.items() for m in ("GET", "POST")}
    server = Server(path, routes, group=group)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def raw(path: Path, data: bytes) -> bytes:
    """Send bytes as they are; everything that comes back."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(path))
        try:
            client.sendall(data)
        except BrokenPipeError:
            pass
        answer = b""
        while True:
            try:
                got = client.recv(65536)
            except ConnectionResetError:
                return answer
            if not got:
                return answer
            answer += got


def test_a_call_carries_json_there_and_back(path: Path) -> None:
    with serving(path):
        assert call(path, "POST", "/v1/echo?a=1&b=%2F", {"x": [1, "ü"]}) == (
            200, {"body": {"x": [1, "ü"]}, "query": {"a": "1", "b": "/"}},
        )  # fmt: skip
        assert call(path, "GET", "/v1/echo") == (200, {"body": None, "query": {}})


def test_S6_the_handler_learns_from_the_kernel_who_asks(path: Path) -> None:
    with serving(path, who=lambda r: Response({"actor": r.peer.actor, "uid": r.peer.uid, "pid": r.peer.pid})):
        assert call(path, "GET", "/v1/who") == (
            200, {"actor": user_name(os.geteuid()), "uid": os.geteuid(), "pid": os.getpid()},
        )  # fmt: skip


def test_S6_the_socket_is_for_owner_and_group_only(path: Path) -> None:
    with serving(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


ASK = """
try:
    status, answer = call({path!r}, "GET", "/v1/echo")
    print(status, answer.get("code", ""))
except ReconcilerError as error:
    print(error.code, bool(error.hint))
"""
IMPORTS = "from reconciler.server.client import call; from reconciler.model.errors import ReconcilerError"


@needs_root
@pytest.mark.parametrize(
    ("groups", "answer"),
    [pytest.param([4242], "200", id="a member of the group"), pytest.param([], "403 not-permitted", id="a stranger")],
)
def test_S6_who_may_give_orders(path: Path, groups: list[int], answer: str) -> None:
    """The file mode is opened on purpose: the peer's credentials alone must keep strangers out."""
    with serving(path, group=4242):
        open_to_all(path.parent)
        path.chmod(0o666)
        assert run_as_nobody(IMPORTS, ASK.format(path=str(path)), groups) == answer


@needs_root
def test_S6_others_are_let_in_while_the_service_knows_some_of_them(path: Path) -> None:
    open_to_all(path.parent)
    known: list[str] = []
    routes = {("GET", "/v1/echo"): lambda request: Response({"code": f"{request.peer.admin}"})}
    server = Server(path, routes, others=lambda peer: peer.actor in known, open_to_all=True)
    server.start()
    try:
        assert run_as_nobody(IMPORTS, ASK.format(path=str(path))) == "403 not-permitted"
        known.append("nobody")
        assert run_as_nobody(IMPORTS, ASK.format(path=str(path))) == "200 False"
        assert call(path, "GET", "/v1/echo") == (200, {"code": "True"})
        server.let_in(everybody=False)
        assert run_as_nobody(IMPORTS, ASK.format(path=str(path))) == "not-permitted True"
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
    finally:
        server.stop()


@needs_root
def test_S6_one_who_is_no_administrator_leaves_places_to_the_others(path: Path) -> None:
    open_to_all(path.parent)
    release, inside = threading.Event(), threading.Semaphore(0)

    def wait(_: Request) -> Response:
        inside.release()
        release.wait(50)
        return Response({})

    hold = f"""
held = [socket.socket(socket.AF_UNIX) for _ in range({OF_ONE})]
for one in held:
    one.connect({str(path)!r})
    one.sendall(b"GET /v1/echo HTTP/1.1" + bytes([13, 10, 13, 10]))
print(b"".join(one.recv(15) for one in held))
"""
    server = Server(path, {("GET", "/v1/echo"): wait}, others=lambda peer: True, open_to_all=True)
    server.start()
    holder = threading.Thread(target=run_as_nobody, args=("import socket", hold))
    try:
        holder.start()
        for _ in range(OF_ONE):
            assert inside.acquire(timeout=50)
        assert run_as_nobody(IMPORTS, ASK.format(path=str(path))) == "503 service-busy"
        release.set()
        assert call(path, "GET", "/v1/echo")[0] == 200
        holder.join(50)
        assert poll(lambda: run_as_nobody(IMPORTS, ASK.format(path=str(path))) == "200")
    finally:
        release.set()
        server.stop()


@needs_root
def test_S6_a_user_who_may_not_open_the_socket_is_told_so(path: Path) -> None:
    with serving(path):
        open_to_all(path.parent)
        assert run_as_nobody(IMPORTS, ASK.format(path=str(path))) == "not-permitted True"


def test_a_peer_outside_the_user_database_has_a_number_for_a_name() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        peer = peer_of(ours)
    assert (peer.pid, peer.uid) == (os.getpid(), os.geteuid())
    assert os.getgid() in peer.groups
    assert Peer(1, 12345, frozenset({7}), "uid 12345").may(7)
    assert not Peer(1, 12345, frozenset({7}), "uid 12345").may(8)
    assert not Peer(1, 12345, frozenset({7}), "uid 12345").may(None)
    assert Peer(1, 0, frozenset(), "root").may(None)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(ApiError("bad"), 400, id="what was asked is malformed"),
        pytest.param(UsageError("bad"), 400, id="what was asked cannot be done"),
        pytest.param(StateError("bad"), 409, id="will not succeed by itself"),
        pytest.param(EngineUnavailable("bad"), 503, id="may succeed later"),
    ],
)
def test_an_expected_error_becomes_an_answer_with_code_and_hint(path: Path, error: Exception, status: int) -> None:
    def fail(_: Request) -> Response:
        error.hint = "do this"  # type: ignore[attr-defined]
        raise error

    with serving(path, fail=fail):
        code = error.code  # type: ignore[attr-defined]
        assert call(path, "POST", "/v1/fail") == (status, {"error": "bad", "code": code, "hint": "do this"})


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"garbage\r\n\r\n", 400, id="not HTTP"),
        pytest.param(b"\xff\xfe\x00\r\n\r\n", 400, id="binary"),
        pytest.param(b"GET /v1/echo HTTP/2\r\n\r\n", 400, id="another version"),
        pytest.param(b"DELETE /v1/echo HTTP/1.1\r\n\r\n", 501, id="unknown method"),
        pytest.param(b"GET /v1/nothing HTTP/1.1\r\n\r\n", 404, id="unknown route"),
        pytest.param(b"GET //[ HTTP/1.1\r\n\r\n", 400, id="a target that is no URL"),
        pytest.param(b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 400, id="a line without end"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 400, id="too many headers"),
        pytest.param(b"GET / HTTP/1.1\r\nA: " + b"x" * 70000 + b"\r\n\r\n", 400, id="a header without end"),
        pytest.param(b"POST /v1/echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, id="negative length"),
        pytest.param(b"POST /v1/echo HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400, id="length that is no number"),
        pytest.param(b"POST /v1/echo HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413, id="a huge body"),
        pytest.param(b"POST /v1/echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411, id="no length"),
        pytest.param(b"POST /v1/echo HTTP/1.1\r\nContent-Length: 3\r\n\r\n{x}", 400, id="a body that is not JSON"),
        pytest.param(b"GET /v1/echo?" + b"a=1&" * 50 + b" HTTP/1.1\r\n\r\n", 400, id="too many query fields"),
        pytest.param(b"POST /v1/echo HTTP/1.1\r\nContent-Length: 60000\r\n\r\n" + b"[" * 60000, 400, id="deep JSON"),
    ],
)
def test_bad_requests_get_a_json_error_and_the_server_lives_on(path: Path, sent: bytes, status: int) -> None:
    with serving(path):
        head, _, body = raw(path, sent).partition(b"\r\n\r\n")
        assert head.split()[1] == b"%d" % status
        assert {"error", "code", "hint"} == json.loads(body).keys()
        assert call(path, "GET", "/v1/echo")[0] == 200


def test_a_route_with_another_method_says_which(path: Path) -> None:
    server = Server(path, {("POST", "/v1/pause"): lambda _: Response({})})
    server.start()
    try:
        status, answer = call(path, "GET", "/v1/pause")
    finally:
        server.stop()
    assert (status, answer["error"]) == (405, "/v1/pause takes POST")


def test_a_client_that_sends_half_a_request_is_let_go_by_the_deadline() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        theirs.sendall(b"GET /v1/echo HTT")
        begin = time.monotonic()
        with pytest.raises(exchange.Refused) as caught:
            exchange.read_request(ours, peer_of(ours), seconds=0.2)
        assert caught.value.status == 408
        assert time.monotonic() - begin < 5


def test_a_client_that_drips_is_let_go_by_the_same_deadline() -> None:
    """The deadline is for the whole request, not for each byte."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    done = threading.Event()

    def drip() -> None:
        while not done.wait(0.02):
            try:
                theirs.sendall(b"a")
            except OSError:
                return

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        with ours, theirs, pytest.raises(exchange.Refused):
            exchange.read_request(ours, peer_of(ours), seconds=0.3)
    finally:
        done.set()
        thread.join(10)


def test_a_client_that_connects_and_goes_is_no_error(path: Path) -> None:
    with serving(path):
        assert raw_close(path) is None
        assert call(path, "GET", "/v1/echo")[0] == 200


def raw_close(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_requests_beyond_the_bound_are_turned_away_at_once(path: Path) -> None:
    release, inside = threading.Event(), threading.Semaphore(0)

    def wait(_: Request) -> Response:
        inside.release()
        release.wait(30)
        return Response({})

    with serving(path, wait=wait):
        results: list[int] = []
        threads = [
            threading.Thread(target=lambda: results.append(call(path, "GET", "/v1/wait")[0]))
            for _ in range(MAX_CONNECTIONS)
        ]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert inside.acquire(timeout=30)
        status, answer = call(path, "GET", "/v1/echo")
        assert (status, answer["code"]) == (503, "service-busy")
        release.set()
        for thread in threads:
            thread.join(30)
        assert results == [200] * MAX_CONNECTIONS
        assert poll(lambda: call(path, "GET", "/v1/echo")[0] == 200)


def poll(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


# -- streams ------------------------------------------------------------------------------------------------------
def test_a_stream_comes_as_it_is_made(path: Path) -> None:
    step = threading.Event()

    def lines(_: Request) -> Response:
        def produce() -> Iterator[bytes]:
            yield b"one\n"
            while not step.wait(0.01):
                yield b""
            yield b"two\n"

        return Response(stream=produce())

    with serving(path, lines=lines):
        got = stream(path, "/v1/lines")
        assert next(got) == b"one\n"
        step.set()
        assert list(got) == [b"two\n"]


def endless(ended: threading.Event) -> Callable[[Request], Response]:
    def handler(_: Request) -> Response:
        def produce() -> Iterator[bytes]:
            try:
                yield b"first\n"
                while True:
                    time.sleep(0.01)
                    yield b""
            finally:
                ended.set()

        return Response(stream=produce())

    return handler


def test_a_stream_ends_when_its_reader_goes(path: Path) -> None:
    ended = threading.Event()
    with serving(path, endless=endless(ended)):
        got = stream(path, "/v1/endless")
        assert next(got) == b"first\n"
        got.close()  # type: ignore[attr-defined]
        assert ended.wait(20)


def test_stopping_ends_streams_and_their_readers_can_tell(path: Path) -> None:
    ended = threading.Event()
    with serving(path, endless=endless(ended)) as server:
        got = stream(path, "/v1/endless")
        assert next(got) == b"first\n"
        server.stop()
        assert ended.is_set()
        with pytest.raises(ServiceUnreachable):
            list(got)


def test_a_refused_stream_raises_with_the_services_own_code(path: Path) -> None:
    def refuse(_: Request) -> Response:
        raise UsageError("cannot follow", code="run-unknown", hint="look")

    with serving(path, refuse=refuse), pytest.raises(Permanent) as caught:
        list(stream(path, "/v1/refuse"))
    assert (caught.value.code, caught.value.hint) == ("run-unknown", "look")


# -- the socket file ----------------------------------------------------------------------------------------------
def test_no_service_is_a_clear_error(path: Path) -> None:
    with pytest.raises(ServiceNotRunning) as caught:
        call(path, "GET", "/v1/status")
    assert caught.value.code == "service-not-running"
    assert "reconciler serve" in caught.value.hint


def stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))


def test_a_stale_socket_file_means_not_running_and_is_replaced(path: Path) -> None:
    stale(path)
    with pytest.raises(ServiceNotRunning):
        call(path, "GET", "/v1/echo")
    with serving(path):
        assert call(path, "GET", "/v1/echo")[0] == 200
    assert not path.exists()


def test_a_live_socket_is_never_replaced(path: Path) -> None:
    with serving(path):
        with pytest.raises(ServerError) as caught, serving(path):
            pass
        assert caught.value.code == "socket-in-use"
        assert call(path, "GET", "/v1/echo")[0] == 200


def test_a_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(ServerError) as caught, serving(path):
        pass
    assert caught.value.code == "socket-path"
    assert path.read_text() == "precious"


def test_a_path_that_is_too_long_is_said_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ServerError) as caught, serving(tmp_path / ("x" * 100) / "s.sock"):
        pass
    assert caught.value.code == "socket-path"
    assert "runtime_dir" in caught.value.hint


def test_of_two_services_that_start_at_once_one_gets_the_socket(path: Path) -> None:
    outcomes: list[str] = []
    servers = [Server(path, {("GET", "/v1/n"): lambda _: Response({})}) for _ in range(4)]

    def start(server: Server) -> None:
        try:
            server.start()
            outcomes.append("serves")
        except ServerError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=start, args=(server,)) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["serves", "socket-in-use", "socket-in-use", "socket-in-use"]
    assert call(path, "GET", "/v1/n")[0] == 200
    for server in servers:
        server.stop()


def test_stopping_leaves_a_successors_socket_alone(path: Path) -> None:
    first = Server(path, {})
    first.start()
    path.unlink()
    with serving(path):
        first.stop()
        assert call(path, "GET", "/v1/echo")[0] == 200


def test_a_service_that_breaks_off_is_told_apart_from_one_that_does_not_run(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def accept_and_drop() -> None:
            connection, _ = listener.accept()
            connection.recv(10)
            connection.close()

        thread = threading.Thread(target=accept_and_drop)
        thread.start()
        with pytest.raises(ServiceUnreachable):
            call(path, "GET", "/v1/status")
        thread.join(20)


def test_a_service_that_hangs_is_given_up_by_the_deadline(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with pytest.raises(ServiceUnreachable) as caught:
            call(path, "GET", "/v1/status", timeout=0.2)
    assert "0.2 s" in str(caught.value)


def test_nothing_but_the_public_names_is_needed_by_callers() -> None:
    assert {"Server", "Request", "Response"} <= set(server_socket.__all__)
