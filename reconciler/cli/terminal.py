"""This terminal, or these pipes, at one end of a connection to the service; a shell in a container at the other."""

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
Size = tuple[int, int]  # rows, columns


def is_here() -> bool:
    """Does a person sit at both ends of this command?"""
    return sys.stdin.isatty() and sys.stdout.isatty()


@contextmanager
def raw(on: bool) -> Iterator[None]:
    """Every key goes to the shell. The terminal is as it was before, however this ends; signals that would end this
    command raise SystemExit in it."""
    before = {number: signal.signal(number, _end) for number in ENDS}
    mode = termios.tcgetattr(sys.stdin) if on else None
    try:
        if on:
            tty.setraw(sys.stdin, termios.TCSANOW)
        yield
    finally:
        if mode is not None:
            termios.tcsetattr(sys.stdin, termios.TCSANOW, mode)
        for number, handler in before.items():
            signal.signal(number, handler)


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


def talk(connection: socket.socket, *, is_tty: bool, news: int, resize: Callable[[], None]) -> bool:
    """Pass on bytes both ways. True = the shell's streams have ended; False = the connection broke. `resize` is called
    when `news` can be read from. Raises SystemExit if the terminal hangs up, OSError if nobody reads what comes."""
    connection.setblocking(False)
    sys.stdout.flush()
    ours = sys.stdin.fileno()
    up, incoming, reading = b"", bytearray(), True
    while True:
        poll = select.poll()
        poll.register(connection, select.POLLIN | (select.POLLOUT if up else 0))
        poll.register(news, select.POLLIN)
        if reading and not up:
            poll.register(ours, select.POLLIN)
        ready = dict(poll.poll())
        if news in ready:
            os.read(news, PIECE)
            resize()
        if ours in ready:
            up = _typed(ours, is_tty=is_tty)
            if not up:
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
