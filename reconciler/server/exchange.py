"""One HTTP exchange on one connection: reads a bounded request by a deadline, calls its handler, writes the answer.

In: a connected socket, its peer, the handlers; out: bytes on the socket. Every connection serves one request.
"""

import contextlib
import io
import json
import select
import socket
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from http.client import HTTPException, parse_headers
from typing import IO, Any
from urllib.parse import parse_qsl, urlsplit

from ..model.errors import NotAllowed, ReconcilerError, Transient, UsageError
from .api import Failure
from .peer import Peer
from .shapes import ApiError

BODY_LIMIT = 1 << 20  # bytes
LINE_LIMIT = 8192
READ_SECONDS = 10.0  # for the whole request
WRITE_SECONDS = 30.0  # for one write of the answer: a reader that stands still is let go
_METHODS = frozenset({"GET", "POST"})


@dataclass(frozen=True, slots=True)
class Request:
    """`body` is decoded JSON, None = there was none."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    peer: Peer


@dataclass(frozen=True, slots=True)
class Response:
    """`body` is sent as JSON; `stream`, if given, as plain bytes in chunks. A stream yields b"" while it has nothing,
    at least once a second: that is when a client that has gone and a stopping service are noticed. `talk`, if given,
    takes the connection over, begins with `switch`, and returns when the service stops, too."""

    body: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    stream: Iterator[bytes] | None = None
    talk: Callable[[socket.socket, Callable[[], bool]], None] | None = None


Handler = Callable[[Request], Response]
Handlers = Mapping[tuple[str, str], Handler]


class Refused(Exception):
    """This request is answered with `status` before any handler sees it."""

    def __init__(self, status: HTTPStatus, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.hint = status, code, hint


def failure(status: int, code: str, message: str, hint: str = "") -> Response:
    return Response(Failure(message, code, hint).to_data(), status)


class _Incoming(io.RawIOBase):
    """The socket as a readable file whose reads all end by one deadline."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection, self._until = connection, time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


def read_request(connection: socket.socket, peer: Peer, seconds: float = READ_SECONDS) -> Request | None:
    """None = the client went without asking. Raises Refused, OSError."""
    with io.BufferedReader(_Incoming(connection, seconds), LINE_LIMIT) as file:
        try:
            line = file.readline(LINE_LIMIT)
            return _read_rest(line, file, peer) if line else None
        except TimeoutError:
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, "request-timeout", f"no whole request in {seconds:g} s") from None
        except (ValueError, HTTPException, RecursionError) as error:  # the last: JSON nested without end
            raise Refused(HTTPStatus.BAD_REQUEST, "bad-request", f"cannot read the request: {error}") from error


def _read_rest(line: bytes, file: IO[bytes], peer: Peer) -> Request:
    words = line.decode("ascii").split()
    if len(words) != 3 or not line.endswith(b"\n") or not words[2].startswith("HTTP/1."):
        raise ValueError("it is not HTTP/1.1")
    method, target, _ = words
    if method not in _METHODS:
        raise Refused(HTTPStatus.NOT_IMPLEMENTED, "bad-request", f"there is no method {method[:20]!r} here")
    url = urlsplit(target)
    raw = _read_body(file, parse_headers(file))
    query = dict(parse_qsl(url.query, max_num_fields=20))
    return Request(method, url.path, query, json.loads(raw) if raw else None, peer)


def _read_body(file: IO[bytes], headers: Message) -> bytes:
    if "transfer-encoding" in headers:
        raise Refused(HTTPStatus.LENGTH_REQUIRED, "bad-request", "cannot read the request: it must tell its length")
    told = headers.get("content-length", "0")
    if not told.isascii() or not told.isdigit():
        raise ValueError("its length is not a number")
    length = int(told[:20])
    if length > BODY_LIMIT:
        raise Refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "request-too-large", f"the body is larger than {BODY_LIMIT} bytes"
        )
    raw = file.read(length)
    if len(raw) < length:
        raise ValueError("it ends before its length")
    return raw


def answer(handlers: Handlers, request: Request) -> Response:
    """Call the handler; its expected errors become answers, anything else is the caller's to see."""
    handler = handlers.get((request.method, request.path))
    if handler is None:
        others = sorted(method for method, path in handlers if path == request.path)
        if others:
            return failure(HTTPStatus.METHOD_NOT_ALLOWED, "bad-request", f"{request.path[:80]} takes {others[0]}")
        return failure(
            HTTPStatus.NOT_FOUND, "no-such-route", f"there is no {request.path[:80]} here",
            "client and service may be of different releases: reconciler version",
        )  # fmt: skip
    try:
        return handler(request)
    except ReconcilerError as error:
        return failure(_status_of(error), error.code, str(error), error.hint)


def _status_of(error: ReconcilerError) -> int:
    if isinstance(error, ApiError | UsageError):
        return HTTPStatus.BAD_REQUEST
    if isinstance(error, NotAllowed):
        return HTTPStatus.FORBIDDEN
    return HTTPStatus.SERVICE_UNAVAILABLE if isinstance(error, Transient) else HTTPStatus.CONFLICT


def write_response(connection: socket.socket, response: Response, stopping: Callable[[], bool]) -> None:
    """Raises OSError. A stream that is cut short lacks its last chunk, so that the client can tell."""
    connection.settimeout(WRITE_SECONDS)
    try:
        phrase = HTTPStatus(response.status).phrase
    except ValueError:
        phrase = ""
    if response.talk is not None:
        response.talk(connection, stopping)
        return
    head = f"HTTP/1.1 {response.status} {phrase}\r\nConnection: close\r\nCache-Control: no-store\r\n"
    if response.stream is None:
        body = json.dumps(response.body, separators=(",", ":")).encode()
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        return
    connection.sendall(f"{head}Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
    with contextlib.closing(response.stream) if isinstance(response.stream, Generator) else contextlib.nullcontext():
        for data in response.stream:
            if stopping() or _gone(connection):
                return
            if data:
                connection.sendall(b"%x\r\n%b\r\n" % (len(data), data))
    connection.sendall(b"0\r\n\r\n")


def switch(connection: socket.socket) -> None:
    """Tell the client that the connection is no longer one of requests. Raises OSError."""
    connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: terminal\r\n\r\n")


def _gone(connection: socket.socket) -> bool:
    """Has the client closed its end?"""
    poller = select.poll()
    poller.register(connection, select.POLLIN | select.POLLRDHUP)
    return any(event & (select.POLLRDHUP | select.POLLHUP | select.POLLERR) for _, event in poller.poll(0))
