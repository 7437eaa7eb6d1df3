"""The bytes of a terminal between a client's connection and a run, until one of them ends. Every buffer is bounded, and
nothing is read that cannot be passed on.

From the client come plain bytes; what it gets is framed: stream (1 = stdout, 2 = stderr, 0 = the end) and length, then
the bytes. A connection that breaks without the frame of the end tells that the run may go on.
"""

import select
import socket
import struct
import time
from collections.abc import Callable

from ..engine.base import Line

FRAME = struct.Struct(">BL")
END, STDOUT, STDERR = 0, 1, 2
MOST_WAITING = 1 << 18  # bytes that the client has not taken yet, from which on nothing is read of the run
PIECE = 1 << 16
LOOK = 0.5  # seconds after which a stopping service is noticed, and a run that is over
LAST_WORDS = 20.0  # seconds from the end of the run that a client has to take the rest
_HANGS = select.POLLHUP | select.POLLRDHUP | select.POLLERR


def relay(
    client: socket.socket,
    line: Line,
    stopping: Callable[[], bool],
    over: Callable[[], bool],
    last_words: float = LAST_WORDS,
) -> bool:
    """True = the run's streams have ended, and the client was told; False = the client has gone or does not take what
    is left of a run that has ended, or the service stops. `over`: is the run known to have ended? Of a client that
    takes nothing the streams are not read, and tell no end. Raises OSError when the client goes in the middle."""
    client.setblocking(False)
    return _Relay(client, line, over, last_words).run(stopping)


class _Relay:
    def __init__(self, client: socket.socket, line: Line, over: Callable[[], bool], last_words: float) -> None:
        self._client, self._line, self._over, self._last_words = client, line, over, last_words
        self._down, self._up = bytearray(), b""  # to the client, to the run
        self._reading = True  # the client may send more
        self._ended = self._hangs = False  # all was read of the run; nobody writes it any more
        self._asked_at, self._over_at = 0.0, 0.0  # monotonic; 0 = not yet
        self._take()  # what came with the connection

    def run(self, stopping: Callable[[], bool]) -> bool:
        while not (self._ended and not self._down):
            if stopping() or self._is_late():
                return False
            ready = self._wait()
            told = ready.get(self._line.fileno(), 0)
            self._hangs = self._hangs or bool(told & _HANGS)
            if told:
                if self._up and told & ~select.POLLIN:
                    self._give()
                if not self._full:
                    self._take()
            events = ready.get(self._client.fileno(), 0)
            if events & (select.POLLHUP | select.POLLERR):
                return False
            if events & select.POLLOUT:
                del self._down[: self._client.send(self._down)]
            if events & select.POLLIN:
                self._hear()
        return True

    @property
    def _full(self) -> bool:
        return len(self._down) >= MOST_WAITING

    def _is_late(self) -> bool:
        """Has the client left the rest of a run that is over for too long?"""
        now = time.monotonic()
        if not self._over_at and (self._ended or (self._full and (self._hangs or self._is_over(now)))):
            self._over_at = now
        return bool(self._over_at) and now - self._over_at > self._last_words

    def _is_over(self, now: float) -> bool:
        if now - self._asked_at < LOOK:
            return False
        self._asked_at = now
        return self._over()

    def _wait(self) -> dict[int, int]:
        poll = select.poll()
        listens = self._reading and not self._up and not self._ended
        poll.register(self._client, (select.POLLIN if listens else 0) | (select.POLLOUT if self._down else 0))
        wanted = (0 if self._full else select.POLLIN) | (select.POLLOUT if self._up else 0)
        if not (self._ended or (self._full and self._hangs)):
            poll.register(self._line.fileno(), wanted | select.POLLRDHUP)
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
