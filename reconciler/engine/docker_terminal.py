"""In: a run's container that was made with a terminal. Out: a connection to its streams, both ways.

The Engine turns the connection of the request into the streams. docker's own client hands out a socket of which it may
have read the beginning, so the request is written here; only an Engine at a unix socket is spoken to.
"""

import socket
import struct
import time
from contextlib import suppress
from http import HTTPStatus
from urllib.parse import urlencode

from . import docker_errors
from .base import no_terminals
from .docker_client import translated
from .docker_core import Core, Found
from .docker_stream import MAX_FRAME

PIECE = 1 << 16  # bytes
LONGEST_HEAD = 1 << 14  # bytes of an answer before its streams begin
# The Engine would end the connection at Ctrl-P Ctrl-Q, and keep every Ctrl-P back to see what follows. It must look for
# something: for what nobody types.
NO_KEYS = ",".join(["ctrl-^"] * 8)
_HEADER = struct.Struct(">BxxxL")  # of output without a terminal: stream, length


class DockerLine:
    """A `Line`. With a terminal all output is one stream, as it is; without one it comes in frames."""

    def __init__(self, connection: socket.socket, *, tty: bool, begun: bytes = b"") -> None:
        connection.setblocking(False)
        self._connection, self._tty, self._buffer = connection, tty, b""
        self._begun = begun  # came with the answer

    def fileno(self) -> int:
        return self._connection.fileno()

    def receive(self) -> tuple[tuple[int, bytes], ...] | None:
        data, self._begun = self._begun, b""
        try:
            data += self._connection.recv(PIECE)
        except BlockingIOError:
            if not data:
                return ()
        except OSError:
            return None
        if not data:
            return None
        return ((1, data),) if self._tty else self._frames(data)

    def _frames(self, data: bytes) -> tuple[tuple[int, bytes], ...] | None:
        buffer, found, at = self._buffer + data, [], 0
        while len(buffer) - at >= _HEADER.size:
            stream, length = _HEADER.unpack_from(buffer, at)
            if stream > 2 or length > MAX_FRAME:
                return None
            end = at + _HEADER.size + length
            if end > len(buffer):
                break
            found.append((2 if stream == 2 else 1, buffer[at + _HEADER.size : end]))
            at = end
        self._buffer = buffer[at:]
        return tuple(found)

    def send(self, data: bytes) -> int:
        try:
            return self._connection.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            return -1

    def end_input(self) -> None:
        if not self._tty:
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._connection.close()


def attach(core: Core, found: Found, thing: str) -> DockerLine:
    """Raises EngineRejected, EngineUnavailable."""
    if not core.clients.local:
        raise no_terminals("docker")
    asked = urlencode({"stream": "1", "stdin": "1", "stdout": "1", "stderr": "1", "detachKeys": NO_KEYS})
    timeout = core.clients.timeouts.call
    with translated("attach to", thing):
        path = f"/v{core.clients.version().api}/containers/{found.ref}/attach?{asked}"
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout)
            connection.connect(core.clients.socket_path)
            connection.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
                               "Content-Length: 0\r\n\r\n".encode("ascii"))  # fmt: skip
            status, begun = _answer(connection, time.monotonic() + timeout)
        except BaseException:
            connection.close()
            raise
    if status not in (HTTPStatus.SWITCHING_PROTOCOLS, HTTPStatus.OK):
        connection.close()
        raise docker_errors.from_answer("attach to", thing, status, begun.decode("utf-8", "replace"))
    return DockerLine(connection, tty=bool(found.data["Config"].get("Tty")), begun=begun)


def resize(core: Core, ref: str, thing: str, rows: int, columns: int) -> None:
    """Raises EngineRejected, EngineUnavailable."""
    with translated("resize the terminal of", thing):
        size = {"h": str(rows), "w": str(columns)}
        core.clients.command("POST", f"/containers/{ref}/resize", size, done=(200,))


def published(found: Found, port: int) -> int | None:
    """The host's port, on its loopback, of this one of the container's; None = there is none."""
    for place in (found.data.get("NetworkSettings", {}).get("Ports") or {}).get(f"{port}/tcp") or ():
        if place.get("HostIp") == "127.0.0.1" and str(place.get("HostPort")).isdecimal():
            return int(place["HostPort"])
    return None


def _answer(connection: socket.socket, deadline: float) -> tuple[int, bytes]:
    """(status, what came behind the head)"""
    head = b""
    while b"\r\n\r\n" not in head:
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        data = connection.recv(4096)
        if not data:
            raise ConnectionError("connection lost")
        head += data
        if len(head) > LONGEST_HEAD or time.monotonic() > deadline:
            raise ValueError("no end of the head")
    head, _, begun = head.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), begun
