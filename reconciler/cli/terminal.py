"""This terminal, or these pipes, at one end of a connection to the service; a shell in a container at the other.

Every key goes to the shell, so it takes keys that nobody types there to leave a service that hangs: Enter ~ . as ssh
has it. ~~ is one ~.
"""

import fcntl
import os
import select
import signal
import socket
import struct
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from ..server.relay import END, FRAME, PIECE, STDERR

ENDS = (signal.SIGTERM, signal.SIGHUP)
MOST_TYPED = 1 << 20  # bytes that the shell has not taken, from which on no more is read of a person
Size = tuple[int, int]  # rows, columns


def is_here() -> bool:
    """Does a person sit at both ends of this command?"""
    return sys.stdin.isatty() and sys.stdout.isatty()


@contextmanager
def ending() -> Iterator[None]:
    """Signals that would end this command raise SystemExit in it."""
    before = {number: signal.signal(number, _end) for number in ENDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def raw(on: bool) -> Iterator[None]:
    """Every key goes to the shell. The terminal is as it was before, however this ends."""
    mode = termios.tcgetattr(sys.stdin) if on else None
    try:
        if on:
            tty.setraw(sys.stdin, termios.TCSANOW)
        yield
    finally:
        if mode is not None:
            termios.tcsetattr(sys.stdin, termios.TCSANOW, mode)


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextmanager
def resized() -> Iterator[int]:
    """A file descriptor that can be read from whenever the size of this terminal has changed."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def note(_number: int, _frame: FrameType | None) -> None:
        try:
            os.write(writer, b"!")
        except BlockingIOError:
            pass  # it is known already

    before = signal.signal(signal.SIGWINCH, note)
    try:
        yield reader
    finally:
        signal.signal(signal.SIGWINCH, before)
        os.close(reader)
        os.close(writer)


def size_here() -> Size | None:
    """None = it has none."""
    rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, bytes(8)))
    return (rows, columns) if rows and columns else None


class Keys:
    """What a person types. In: as it comes; out: what of it is the shell's."""

    def __init__(self) -> None:
        self._begins, self._waits = True, False  # at the beginning of a line; behind a ~ there

    def passed(self, typed: bytes) -> bytes:
        """Raises KeyboardInterrupt at Enter ~ . wherever they come in pieces."""
        out = bytearray()
        for key in typed:
            if self._waits and key == ord("."):
                raise KeyboardInterrupt
            if self._waits and key != ord("~"):
                out += b"~"
            if self._begins and not self._waits and key == ord("~"):
                self._waits = True
                continue
            out.append(key)
            self._begins, self._waits = key in b"\r\n", False
        return bytes(out)


def talk(connection: socket.socket, *, is_tty: bool, news: int, resize: Callable[[], None]) -> bool:
    """Pass on bytes both ways. True = the shell's streams have ended; False = the connection broke. `resize` is called
    when `news` can be read from. Raises SystemExit if the terminal hangs up, KeyboardInterrupt if a person leaves,
    OSError if nobody reads what comes."""
    connection.setblocking(False)
    sys.stdout.flush()
    ours = sys.stdin.fileno()
    up, incoming, reading, keys = b"", bytearray(), True, Keys()
    while True:
        poll = select.poll()
        poll.register(connection, select.POLLIN | (select.POLLOUT if up else 0))
        poll.register(news, select.POLLIN)
        if reading and len(up) < (MOST_TYPED if is_tty else 1):
            poll.register(ours, select.POLLIN)
        ready = dict(poll.poll())
        if news in ready:
            os.read(news, PIECE)
            resize()
        if ours in ready:
            typed = _typed(ours, is_tty=is_tty)
            up += keys.passed(typed) if is_tty else typed
            if not typed:
                reading = False
                with suppress(OSError):  # it has just broken: the next look tells
                    connection.shutdown(socket.SHUT_WR)
        events = ready.get(connection.fileno(), 0)
        try:
            if up and events & select.POLLOUT:
                up = up[connection.send(up) :]
            if events & ~select.POLLOUT:
                data = connection.recv(PIECE)
                if not data:
                    return False
                incoming += data
        except BlockingIOError:
            continue
        except OSError:
            return False
        if _show(incoming):
            return True


def _typed(fd: int, *, is_tty: bool) -> bytes:
    try:
        data = os.read(fd, PIECE)
    except OSError:  # a terminal that was closed
        data = b""
    if not data and is_tty:
        raise SystemExit(128 + signal.SIGHUP)
    return data


def _show(incoming: bytearray) -> bool:
    """Print every whole frame; True = that was the end."""
    while len(incoming) >= FRAME.size:
        stream, length = FRAME.unpack_from(incoming)
        if stream == END:
            return True
        if len(incoming) < FRAME.size + length:
            return False
        data = bytes(incoming[FRAME.size : FRAME.size + length])
        del incoming[: FRAME.size + length]
        _write(2 if stream == STDERR else 1, data)
    return False


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
