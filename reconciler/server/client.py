"""Asks the running service over its unix socket. In: a route and JSON data; out: status and JSON data, or bytes."""

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

from ..model.errors import Permanent, Transient

ANSWER_LIMIT = 64 << 20  # bytes
HEAD_LIMIT = 8192
_START = "start it: systemctl start reconciler, or reconciler serve"


class ServiceNotRunning(Transient):
    """Nobody listens on the socket."""

    code = "service-not-running"
    hint = _START


class ServiceUnreachable(Transient):
    """Somebody listens, and the answer did not come, or not whole. What was asked may have been done."""

    code = "service-unreachable"
    hint = "what was asked may still be done; look at its log: journalctl -u reconciler"


class NotPermitted(Permanent):
    """The socket is there and this user may not open it."""

    code = "not-permitted"
    hint = "join the group 'reconciler', or ask root"


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def call(path: str | Path, method: str, route: str, body: Any = None, timeout: float = 30.0) -> tuple[int, Any]:
    """(status, decoded JSON). Raises ServiceNotRunning, ServiceUnreachable, NotPermitted. `timeout` bounds it all."""
    until = time.monotonic() + timeout
    with _asked(Path(path), method, route, body, timeout) as answer:
        parts: list[bytes] = []
        size = 0
        while data := answer.read1(1 << 16):
            parts.append(data)
            size += len(data)
            if size > ANSWER_LIMIT or time.monotonic() > until:
                raise ServiceUnreachable("cannot read the service's answer: it is too long or takes too long")
        try:
            return answer.status, json.loads(b"".join(parts))
        except ValueError as error:
            raise ServiceUnreachable("cannot read the service's answer: it is not JSON") from error


def stream(path: str | Path, route: str, timeout: float = 30.0) -> Iterator[bytes]:
    """The bytes of a streaming GET as they come; `timeout` is for the first answer. Raises as `call`, and Permanent
    with the service's own code if it refuses."""
    with _asked(Path(path), "GET", route, None, timeout) as answer:
        if answer.status >= 400:
            raise refusal(answer.status, _json_or_none(answer.read(1 << 20)))
        while data := answer.read1(1 << 16):
            yield data


def upgrade(path: str | Path, route: str, body: Any, timeout: float = 30.0) -> socket.socket:
    """The connection itself, once the service has said that it is a terminal's. Raises as `stream`."""
    raw = json.dumps(body).encode()
    head = f"POST {route} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: terminal\r\n"
    with _translated(Path(path), timeout):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout)
            connection.connect(str(path))
            connection.sendall(f"{head}Content-Length: {len(raw)}\r\n\r\n".encode() + raw)
            status = _status(connection)
            if status == HTTPStatus.SWITCHING_PROTOCOLS:
                return connection
            said = b""
            while (data := connection.recv(1 << 16)) and len(said) < 1 << 20:
                said += data
        except BaseException:
            connection.close()
            raise
        connection.close()
    raise refusal(status, _json_or_none(said))


def _status(connection: socket.socket) -> int:
    """Byte by byte: what follows the head is for somebody else to read."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = connection.recv(1)
        head += data
        if not data or len(head) > HEAD_LIMIT:
            raise http.client.HTTPException("no whole answer")
    try:
        return int(head.split(b" ", 2)[1])
    except (IndexError, ValueError):
        raise http.client.HTTPException("no status") from None


def refusal(status: int, data: Any) -> Permanent:
    """The error that an answer with a status of 400 and above stands for."""
    told = data if isinstance(data, dict) else {}
    return Permanent(
        str(told.get("error", f"the service answered {status}")), code=str(told.get("code", "refused")),
        hint=str(told.get("hint", "")),
    )  # fmt: skip


def _json_or_none(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


@contextlib.contextmanager
def _asked(path: Path, method: str, route: str, body: Any, timeout: float) -> Iterator[http.client.HTTPResponse]:
    with _translated(path, timeout), contextlib.closing(_Connection(path, timeout)) as connection:
        raw = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, route, raw, {"Content-Type": "application/json"} if raw else {})
        except BrokenPipeError:
            pass  # it has answered before it read all, and closed: the answer is there
        yield connection.getresponse()


@contextlib.contextmanager
def _translated(path: Path, timeout: float) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
        raise ServiceNotRunning(f"cannot reach the service: nothing listens on {path}") from error
    except PermissionError as error:
        raise NotPermitted(f"cannot reach the service: {path} may not be opened") from error
    except TimeoutError as error:
        raise ServiceUnreachable(f"cannot reach the service: no answer within {timeout:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise ServiceUnreachable(f"cannot reach the service: it broke off ({type(error).__name__})") from error
