"""A Docker Engine in; a container of somebody else, which runs and is there to be entered, out."""

import contextlib
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import docker

from tests.lab.images import BUSYBOX, ensure_busybox


@dataclass(frozen=True)
class Shop:
    """One container that does nothing by itself. `witness` is a file in it that commands append to."""

    client: Any
    name: str
    ref: str
    witness: str = "/tmp/starts"

    def said(self) -> list[str]:
        """The lines of the witness."""
        return self.run(f"cat {self.witness} 2>/dev/null || :").splitlines()

    def run(self, script: str) -> str:
        made = self.client.exec_create(self.ref, ["sh", "-c", script], user="0")
        return str(self.client.exec_start(made["Id"]).decode())

    def processes(self, word: str) -> int:
        """How many commands with this word in them run in it."""
        rows = self.client.top(self.ref, "-eo pid,args")["Processes"] or []
        return sum(word in " ".join(row) for row in rows)

    def runs(self) -> bool:
        return bool(self.client.inspect_container(self.ref)["State"]["Running"])

    def restart(self) -> None:
        self.client.restart(self.ref, timeout=0)

    def remove(self) -> None:
        with contextlib.suppress(docker.errors.NotFound):
            self.client.remove_container(self.ref, force=True, v=True)


@contextlib.contextmanager
def shop(docker_host: str, name: str = "", *, start: bool = True, **fields: Any) -> Iterator[Shop]:
    """`fields`: of the create request. It is gone when the block ends."""
    ensure_busybox(docker_host)
    client = docker.APIClient(base_url=docker_host, version="1.41", timeout=30)
    name = name or f"shop-{secrets.token_hex(4)}"
    host = {"NetworkMode": "none", "Init": True, **fields.pop("HostConfig", {})}
    body = {"Image": BUSYBOX, "Cmd": ["sleep", "100000"], "HostConfig": host, **fields}
    made = client._post_json(client._url("/containers/create"), data=body, params={"name": name})
    client._raise_for_status(made)
    found = Shop(client, name, made.json()["Id"])
    try:
        if start:
            client.start(found.ref)
        yield found
    finally:
        found.remove()
        client.close()


@contextlib.contextmanager
def behind_tcp(docker_host: str) -> Iterator[str]:
    """The address of a relay on loopback to an Engine at a unix socket."""
    upstream = docker_host.removeprefix("unix://")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, upstream), daemon=True).start()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, upstream: str) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(upstream)
            for one, other in ((client, engine), (engine, client)):
                threading.Thread(target=_relay, args=(one, other), daemon=True).start()


def _relay(one: socket.socket, other: socket.socket) -> None:
    """One direction of a connection, to its end."""
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_RDWR)
    one.close()
