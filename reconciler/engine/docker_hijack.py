"""In: an answer of the Engine after which the connection is a plain stream. Out: its bytes, and a way to send some."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import docker
from requests import Response

PIECE = 64 * 1024  # bytes of one read at most


class Hijacked:
    """Both directions of one connection. One thread reads; any may send and close."""

    def __init__(self, client: docker.APIClient, response: Response) -> None:
        self._client, self._response = client, response
        raw: Any = response.raw
        # What came with the head of the answer is in its buffer already, so nobody may read past it.
        self._file = raw._fp.fp
        self._socket: socket.socket = self._file.raw._sock

    def __iter__(self) -> Iterator[bytes]:
        """Until the other side ends it, or `close`. Raises OSError, TimeoutError among them."""
        while piece := self._file.read1(PIECE):
            yield piece

    def send(self, data: bytes) -> None:
        """Raises OSError."""
        self._socket.sendall(data)

    def wait(self) -> None:
        """From now on silence is no error, however long it lasts."""
        self._socket.settimeout(None)

    def close(self) -> None:
        """Whoever reads sees an end."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._response.close()
        self._client.close()
