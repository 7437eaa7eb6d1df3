"""A port in front of a Docker Engine's that loses the end of what is sent on an attached connection."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

PATIENCE = 30.0  # seconds
ATTACH = b"/attach?"


@dataclass
class Relay:
    """Passes everything on, but of the standard input of a container the first `most` bytes only (None = all). Then the
    Engine sees the end, and the client an end (`resets`) or nothing: what it sends is taken and lost."""

    upstream: tuple[str, int]
    most: int | None = None
    resets: bool = False
    address: str = ""
    _closing: threading.Event = field(default_factory=threading.Event)

    def _accept(self, listener: socket.socket) -> None:
        with listener:
            while not self._closing.is_set():
                with contextlib.suppress(TimeoutError):
                    client, _ = listener.accept()
                    threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(self.upstream, PATIENCE) as engine:
            client.settimeout(PATIENCE)
            back = threading.Thread(target=self._pass_on, args=(engine, client), daemon=True)
            back.start()
            head = b""
            while b"\r\n\r\n" not in head and (piece := client.recv(65536)):
                head += piece
            head, end, body = head.partition(b"\r\n\r\n")
            engine.sendall(head + end)
            if ATTACH in head and self.most is not None:
                self._lose(client, engine, body, self.most)
            else:
                engine.sendall(body)
                self._pass_on(client, engine)
            back.join(PATIENCE)

    def _lose(self, client: socket.socket, engine: socket.socket, body: bytes, most: int) -> None:
        while len(body) < most and (piece := client.recv(65536)):
            body += piece
        engine.sendall(body[:most])
        engine.shutdown(socket.SHUT_WR)
        while not self.resets and client.recv(65536):
            continue

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def relay(docker_host: str) -> Iterator[Relay]:
    """`docker_host`: tcp://host:port. The relay's own address is in its `address`."""
    host, _, port = docker_host.removeprefix("tcp://").partition(":")
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    made = Relay((host, int(port)), address=f"tcp://127.0.0.1:{listener.getsockname()[1]}")
    accepting = threading.Thread(target=made._accept, args=(listener,), daemon=True)
    accepting.start()
    try:
        yield made
    finally:
        made._closing.set()
        accepting.join(PATIENCE)
