"""In: the stream of a command that was started in another container. Out: its output, from any position on.

The Engine keeps none of it, and a command whose output nobody reads stands still: a thread of its own reads always. The
last piece of it is held here for whoever writes it down.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime

from .docker_exec_body import GO, READY
from .docker_hijack import PIECE, Hijacked
from .docker_stream import BrokenStream, frames_of

MOST_HELD = 1 << 20  # bytes
STALLED = 10.0  # seconds that a command waits for whoever reads its output; then the beginning is dropped
MOST_SAID = 4096  # bytes of why it could not be started
DROPPED = "... {} bytes of output came faster than they could be written down, and are missing here ...\n"
BROKEN = b"... the connection to the Engine broke here: what the command wrote after that is missing ...\n"


class Attached:
    """`ended` is called by the reading thread after the last byte: True = that was the command's end. `over` comes
    after that, once. Any thread may read."""

    def __init__(
        self, stream: Hijacked, ended: Callable[[], bool], over: Callable[[], None], clock: Callable[[], datetime]
    ) -> None:
        self._stream, self._ended, self._over, self._clock = stream, ended, over, clock
        self._frames = frames_of(stream)
        self._pieces: deque[bytes] = deque()
        self._first = self._end = 0  # positions of what is held
        self._read_to = 0  # the furthest position that anybody has taken
        self._patient = True
        self._full = False  # it waits for whoever reads
        self._news = threading.Condition()
        self.finished = self.broken = self._left = False
        self.started_at: datetime | None = None
        self.finished_at: datetime | None = None

    def await_gate(self) -> None:
        """Until the shell in the container is there. Raises Unstarted, OSError, BrokenStream."""
        said = b""
        for piece in self._frames:
            said += piece
            if said == READY:
                return
            if b"\n" in said or len(said) > MOST_SAID:
                raise Unstarted(said[:MOST_SAID].decode("utf-8", "replace").strip())
        raise ConnectionError("connection lost")

    def let_go(self) -> None:
        """Let the command begin, and read on. Raises OSError."""
        self.started_at = self._clock()
        self._stream.send(GO)
        self._stream.wait()
        threading.Thread(target=self._drain, name="docker exec", daemon=True).start()

    def close(self) -> None:
        """Nobody reads on; what the command does is its own affair."""
        self._left = True
        self._stream.close()

    def read(self, position: int, patience: float | None) -> Iterator[tuple[bytes, int]]:
        """(output, the position behind it), until the end of it all or a silence of `patience` seconds; None = for as
        long as it takes."""
        while True:
            with self._news:
                if not self._news.wait_for(lambda at=position: self.finished or at < self._end, patience):  # type: ignore[misc]
                    return
                if position >= self._end:
                    return
                data, position = self._from(position)
                self._read_to = max(self._read_to, position)
                self._patient = True
                self._news.notify_all()
            yield data, position

    def await_end(self, seconds: float) -> None:
        """Its command has ended. Once nothing has come for that long, the rest is of what it has left running."""
        with self._news:
            if self._news.wait_for(lambda: self.finished or self._full, seconds):
                return
        self.close()

    def _from(self, position: int) -> tuple[bytes, int]:
        if position < self._first:
            return DROPPED.format(self._first - position).encode(), self._first
        at = self._first
        for piece in self._pieces:
            if at + len(piece) > position:
                return piece[position - at :], at + len(piece)
            at += len(piece)
        return b"", self._end

    def _drain(self) -> None:
        broken = False
        try:
            for piece in self._frames:
                self._hold(piece)
        except (OSError, ValueError, BrokenStream):  # ValueError: it was closed under us
            broken = True
        finished_at = self._clock()
        if not self._left and (broken or not self._ended()):
            self._hold(BROKEN)
            self.broken = True
        self._stream.close()
        with self._news:
            self.finished, self.finished_at = True, finished_at
            self._news.notify_all()
        self._over()

    def _hold(self, data: bytes) -> None:
        with self._news:
            if self._pieces and len(self._pieces[-1]) + len(data) <= PIECE:
                self._pieces[-1] += data
            else:
                self._pieces.append(data)
            self._end += len(data)
            while self._end - self._first > MOST_HELD and len(self._pieces) > 1:
                oldest = self._first + len(self._pieces[0])
                if self._patient and self._read_to < oldest:
                    self._full = True
                    self._news.notify_all()
                    self._patient = self._news.wait_for(lambda until=oldest: self._read_to >= until, STALLED)  # type: ignore[misc]
                    self._full = False
                self._pieces.popleft()
                self._first = oldest
            self._news.notify_all()


class Unstarted(ValueError):
    """The Engine's words on why a command was not started."""
