"""A command on a terminal of its own: what is typed goes in, what it shows comes out, in one kept text."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 100.0  # seconds that anything may take on a busy machine


class PtySession:
    """`shown` is all that it has printed."""

    def __init__(self, argv: Sequence[str], cwd: Path, rows: int, columns: int) -> None:
        self._master, inner = pty.openpty()
        self.resize(rows, columns)
        own = ["setsid", "--ctty", *argv]  # the terminal that it belongs to: only then does it hear of a new size
        self.child = subprocess.Popen(own, stdin=inner, stdout=inner, stderr=inner, cwd=cwd)
        self._inner = inner  # kept, so that its settings can be looked at
        self.shown = ""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, text: str, after: int = 0) -> int:
        """Until it has shown this, beyond `after` characters; where that ends."""
        deadline = time.monotonic() + PATIENCE
        while (at := self.shown.find(text, after)) < 0:
            assert time.monotonic() < deadline, f"never shown: {text!r} in {self.shown!r}"
            self._read(0.2)
        return at + len(text)

    def _read(self, seconds: float) -> None:
        if select.select([self._master], [], [], seconds)[0]:
            self.shown += os.read(self._master, 65536).decode("utf-8", "replace")

    def wait(self) -> int:
        """Its exit code; what it still shows is read meanwhile."""
        deadline = time.monotonic() + PATIENCE
        while self.child.poll() is None:
            assert time.monotonic() < deadline, f"it does not end: {self.shown!r}"
            self._read(0.1)
        while select.select([self._master], [], [], 0)[0]:
            self._read(0)
        return self.child.returncode

    @property
    def canonical(self) -> bool:
        """Is the terminal as a person's is who types lines: with echo?"""
        flags = termios.tcgetattr(self._inner)[3]
        return bool(flags & termios.ICANON) and bool(flags & termios.ECHO)

    def close(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait(PATIENCE)
        os.close(self._master)
        os.close(self._inner)


@contextmanager
def pty_session(argv: Sequence[str], cwd: Path, rows: int = 30, columns: int = 100) -> Iterator[PtySession]:
    session = PtySession(argv, cwd, rows, columns)
    try:
        yield session
    finally:
        session.close()
