"""The bytes of a terminal between a client's connection and a run, until one of them ends. Every buffer is bounded, and
nothing is read that cannot be passed on.

From the client come plain bytes; what it gets is framed: stream (1 = stdout, 2 = stderr, 0 = the end) and length, then
the bytes. A connection that breaks without the frame of the end tells that the run may go on.
"""

import select
import socket
import struct
from collections.abc import Callable

from ..engine.base import Line

FRAME = struct.Struct(">BL")
END, STDOUT, STDERR = 0, 1, 2
MOST_WAITING = 1 << 18  # bytes that the client has not taken yet, from which on nothing is read of the run
PIECE = 1 << 16
LOOK = 0.5  # seconds after which a stopping service is noticed
LAST_WORDS = 40  # looks that a client has to take the rest


def relay(client: socket.socket, line: Line, stopping: Callable[[], bool]) -> bool:
    """True = the run's streams have ended, and the client was told; False = the client has gone, or the service stops.
    Raises OSError when the client goes in the middle."""
    client.setblocking(False)
    return _Relay(client, line).run(stopping)


class _Relay:
    def __init__(self, client: socket.socket, line: Line) -> None:
        self._client, self._line = client, line
        self._down, self._up = bytearray(), b""  # to the client, to the run
        self._reading = True  # the client may send more
        self._ended = False
        self._take()  # what came with the connection

    def run(self, stopping: Callable[[], bool]) -> bool:
        looks = 0
        while not (self._ended and not self._down):
            if stopping() or looks > LAST_WORDS:
                return False
            ready = self._wait()
            looks += self._ended
            if self._line.fileno() in ready:
                if self._up and ready[self._line.fileno()] & ~select.POLLIN:
                    self._give()
                if len(self._down) < MOST_WAITING:
                    self._take()
            events = ready.get(self._client.fileno(), 0)
            if events & (select.POLLHUP | select.POLLERR):
                return False
            if events & select.POLLOUT:
                del self._down[: self._client.send(self._down)]
            if events & select.POLLIN:
                self._hear()
        return True

    def _wait(self) -> dict[int, int]:
        poll = select.poll()
        listens = self._reading and not self._up and not self._ended
        poll.register(self._client, (select.POLLIN if listens else 0) | (select.POLLOUT if self._down else 0))
        wanted = (select.POLLIN if len(self._down) < MOST_WAITING else 0) | (select.POLLOUT if self._up else 0)
        if wanted and not self._ended:
            poll.register(self._line.fileno(), wanted)
        return dict(poll.poll(LOOK * 1000))

    def _take(self) -> None:
        """From the run."""
        found = self._line.receive()
        if found is None:
            self._ended = True
            self._down += FRAME.pack(END, 0)
            return
        for stream, data in found:
            if data:
                self._down += FRAME.pack(stream, len(data)) + data

    def _give(self) -> None:
        """To the run. What nobody reads any more is dropped: its end comes by its output."""
        sent = self._line.send(self._up)
        self._up = self._up[sent:] if sent >= 0 else b""

    def _hear(self) -> None:
        """From the client."""
        self._up = self._client.recv(PIECE)
        if not self._up:
            self._reading = False
            self._line.end_input()
