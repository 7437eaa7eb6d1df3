"""In: a request to the Engine at a unix socket. Out: its status and its whole answer, over a connection that is kept.

A fleet is listed, inspected and created request by request, and docker's own client takes several times the processor
time of the request itself. Its other work (streams, pulls, TLS) is not here.
"""

import http.client
import select
import socket
import threading

IDLE = 8  # connections kept between two requests


class Refused(Exception):
    """An answer of status 400 or more, with the Engine's own words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"status {status}: {words}")
        self.status, self.words = status, words


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(self._path)
        except OSError:
            self.close()
            raise

    def stale(self) -> bool:
        """Has the other side closed it, or sent what nobody asked for?"""
        if self.sock is None:
            return True
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))


class Wire:
    """Threads may share it: each request has a connection to itself. A request is never sent twice."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        self._closed = False

    def ask(self, method: str, target: str, body: bytes | None, timeout: float) -> tuple[int, bytes]:
        """(status, content). `timeout` is in seconds without a sign of life. Raises OSError: what was done is unknown,
        unless no connection could be made."""
        connection = self._borrow(timeout)
        try:
            connection.request(method, target, body, {"Content-Type": "application/json"} if body else {})
            answer = connection.getresponse()
            content = answer.read()
        except http.client.HTTPException as error:
            connection.close()
            if isinstance(error, OSError):
                raise
            raise ConnectionError("connection lost") from error
        except BaseException:
            connection.close()
            raise
        self._give_back(connection)
        return answer.status, content

    def close(self) -> None:
        """Close what is idle, and from now on whatever comes back."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for connection in idle:
            connection.close()

    def _borrow(self, timeout: float) -> _Connection:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return _Connection(self._path, timeout)
            if connection.sock is not None and not connection.stale():
                connection.sock.settimeout(timeout)
                return connection
            connection.close()

    def _give_back(self, connection: _Connection) -> None:
        if connection.sock is None:  # the Engine said that it closes it
            return
        with self._lock:
            if not self._closed and len(self._idle) < IDLE:
                self._idle.append(connection)
                return
        connection.close()
