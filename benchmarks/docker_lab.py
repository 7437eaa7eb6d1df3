"""A private Docker Engine of the benchmarks' own, and the bare Engine API: HTTP over its socket, nothing between."""

import http.client
import json
import socket
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.lab.dockerd import ensure
from tests.lab.images import ensure_busybox

CONNECTIONS = 4
API = "/v1.41"


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Bare:
    """One kept connection to an Engine."""

    def __init__(self, docker_host: str) -> None:
        self._connection = _Connection(docker_host.removeprefix("unix://"))

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The decoded answer; raises AssertionError unless it is a success."""
        data = None if body is None else json.dumps(body).encode()
        self._connection.request(method, API + path, data, {"Content-Type": "application/json"} if data else {})
        answer = self._connection.getresponse()
        content = answer.read()
        assert answer.status < 400, (method, path, answer.status, content[:300])
        return json.loads(content) if content.startswith((b"{", b"[")) else None

    def listing(self, instance: str) -> list[Any]:
        """One filtered listing, decoded: what any client needs to see what stands."""
        filters = quote(json.dumps({"label": [f"io.reconciler.instance={instance}"]}))
        found: list[Any] = self.ask("GET", f"/containers/json?all=1&filters={filters}")
        return found

    def close(self) -> None:
        self._connection.close()


class Lab:
    """The private Engine, and four bare connections to it."""

    def __init__(self, docker_host: str, image_id: str) -> None:
        self.docker_host, self.image_id = docker_host, image_id
        self.bare = [Bare(docker_host) for _ in range(CONNECTIONS)]
        self._pool = ThreadPoolExecutor(CONNECTIONS)

    def spread(self, work: Callable[[Bare, Any], object], items: Sequence[Any]) -> None:
        """`work` on every item, over the four connections."""

        def share(number: int) -> None:
            for item in items[number::CONNECTIONS]:
                work(self.bare[number], item)

        list(self._pool.map(share, range(CONNECTIONS)))

    def create(self, bodies: Mapping[str, object]) -> None:
        """A container of each body, by name."""
        self.spread(lambda bare, item: bare.ask("POST", f"/containers/create?name={item[0]}", item[1]),
                    list(bodies.items()))  # fmt: skip

    def clear(self, instance: str, *, networks: bool = False) -> None:
        """Remove every container that carries the instance's label; with `networks`, its networks too."""
        refs = [row["Id"] for row in self.bare[0].listing(instance)]
        self.spread(lambda bare, ref: bare.ask("DELETE", f"/containers/{ref}?force=1&v=1"), refs)
        for row in self.bare[0].ask("GET", "/networks") if networks else ():
            if (row["Labels"] or {}).get("io.reconciler.instance") == instance:
                self.bare[0].ask("DELETE", f"/networks/{row['Id']}")

    def close(self) -> None:
        self._pool.shutdown()
        for bare in self.bare:
            bare.close()


@contextmanager
def lab() -> Iterator[Lab]:
    """The Engine is started for this and ended after it, by pid."""
    checkout = zlib.crc32(str(Path(__file__).resolve().parent).encode())
    handle = ensure(Path(tempfile.gettempdir()) / f"reconciler-bench-{checkout:08x}")
    try:
        made = Lab(handle.docker_host, ensure_busybox(handle.docker_host))
        try:
            yield made
        finally:
            made.close()
    finally:
        handle.stop()
