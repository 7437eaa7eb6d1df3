"""A package index for containers: real wheels, fetched once from the configured index, over http on the bridge."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import docker

WHEEL = "croniter"  # a real one, which this project itself needs


@dataclass(frozen=True)
class Index:
    """`variables` make pip in a container use it and nothing else."""

    address: str
    whole: bool = False  # it has what its packages need, too

    @property
    def variables(self) -> dict[str, str]:
        host = self.address.split("/")[2].partition(":")[0]
        found = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": self.address, "PIP_TRUSTED_HOST": host}
        return found if self.whole else {**found, "PIP_NO_DEPS": "1"}


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None: ...


@contextlib.contextmanager
def index(folder: Path, docker_host: str, *names: str) -> Iterator[Index]:
    """Reachable from any bridge of the Engine; it serves the one folder. `names`: other packages than WHEEL, with all
    that they need."""
    wanted = ["--only-binary=:all:", *names] if names else ["--no-deps", WHEEL]
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "-d", str(folder), *wanted], check=True,
                   timeout=240)  # fmt: skip
    with served(folder, docker_host) as address:
        yield Index(address, bool(names))


@contextlib.contextmanager
def served(folder: Path, docker_host: str) -> Iterator[str]:
    """This folder over http, at the address of the Engine's own bridge; its URL."""
    client = docker.APIClient(base_url=docker_host, version="1.41", timeout=30)
    host = client.inspect_network("bridge")["IPAM"]["Config"][0]["Gateway"]
    client.close()
    server = ThreadingHTTPServer((host, 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
