"""In: a unix socket's path. Out: a docker client's transport, which closes its socket when connecting fails and
uses its connections again.

docker's own leaves the first to the garbage collector; a service that asks an absent Engine for days must not. And it
keeps a pool for every URL, which is a new connection for nearly every request, and up to 25 idle ones a client.
"""

import socket

from docker.transport import unixconn


class _Connection(unixconn.UnixHTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(self.unix_socket)
        except OSError:
            self.close()
            raise


class _Pool(unixconn.UnixHTTPConnectionPool):
    def _new_conn(self) -> _Connection:  # type: ignore[override]
        return _Connection(self.base_url, self.socket_path, self.timeout)  # type: ignore[arg-type]


class UnixAdapter(unixconn.UnixHTTPAdapter):
    """At most two idle connections: each client belongs to one thread."""

    def __init__(self, path: str) -> None:
        super().__init__(f"http+unix://{path}", max_pool_size=2)

    def get_connection(self, url: str | bytes, proxies: object = None) -> _Pool:  # noqa: ARG002
        with self.pools.lock:
            pool: _Pool | None = self.pools.get(self.socket_path)
            if pool is None:
                pool = _Pool(str(url), self.socket_path, self.timeout, maxsize=self.max_pool_size)
                self.pools[self.socket_path] = pool
            return pool
