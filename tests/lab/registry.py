"""A local image registry for tests: a folder and perhaps a login in, `127.0.0.1:port` out.

Engines allow plain HTTP to 127.0.0.0/8 by themselves, so it needs no certificates.
"""

import contextlib
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker

from .dockerd import apt_install

CONFIG = """version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {folder}/data}}
  delete: {{enabled: true}}
  maintenance: {{readonly: {{enabled: {read_only}}}}}
http: {{addr: "{address}", secret: {secret}}}
{auth}
"""


@dataclass(frozen=True)
class RegistryServer:
    address: str
    username: str = ""
    password: str = ""

    def push(self, docker_host: str, source: str, name: str) -> str:
        """Push the Engine's image `source` as `name` (`team/tool:1`); its reference there."""
        reference = f"{self.address}/{name}"
        repository, _, tag = reference.rpartition(":")
        client = docker.APIClient(base_url=docker_host, version="1.41", timeout=60)
        try:
            client.tag(source, repository, tag)
            login = {"username": self.username, "password": self.password} if self.username else {}
            for line in client.push(repository, tag, stream=True, decode=True, auth_config=login or {"username": ""}):
                assert "error" not in line, line
            client.remove_image(reference)
        finally:
            client.close()
        return reference

    def forget(self, docker_host: str) -> None:
        """Remove from the Engine every name that an image has by this registry."""
        client = docker.APIClient(base_url=docker_host, version="1.41", timeout=60)
        try:
            for image in client.images():
                for name in (*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())):
                    if name.startswith(f"{self.address}/"):
                        with contextlib.suppress(docker.errors.ImageNotFound):  # gone with its last tag
                            client.remove_image(name, force=True)
        finally:
            client.close()


@contextlib.contextmanager
def registry(
    folder: Path, username: str = "", password: str = "", *, read_only: bool = False
) -> Iterator[RegistryServer]:
    """A running registry, ended by pid at the end; a `read_only` one refuses each push. Raises NoDocker if its package
    cannot be installed."""
    if shutil.which("docker-registry") is None:
        apt_install("docker-registry", *(["apache2-utils"] if username else []))
    if username and shutil.which("htpasswd") is None:
        apt_install("apache2-utils")
    address = f"127.0.0.1:{_free_port()}"
    auth = ""
    if username:
        line = subprocess.run(["htpasswd", "-Bbn", username, password], capture_output=True, text=True, check=True)
        (folder / "htpasswd").write_text(line.stdout)
        auth = f"auth: {{htpasswd: {{realm: local, path: {folder}/htpasswd}}}}"
    config = folder / "registry.yml"
    said = {"folder": folder, "address": address, "secret": secrets.token_hex(8), "auth": auth}
    config.write_text(CONFIG.format(**said, read_only=str(read_only).lower()))
    with open(folder / "registry.log", "wb") as log:
        child = subprocess.Popen(["docker-registry", "serve", config], stdout=log, stderr=log)
    try:
        _await_port(address)
        yield RegistryServer(address, username, password)
    finally:
        child.terminate()
        child.wait(10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_port(address: str) -> None:
    host, _, port = address.partition(":")
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection((host, int(port)), 1.0).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "the registry does not listen"
            time.sleep(0.05)
