"""A private Docker Engine that does not see this host's files, as one on another host would not.

It stands in a mount namespace of its own, in which the given folders are empty, and listens at a port of the loopback
network: as anybody, or with TLS.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .dockerd import NoDocker, command, end, have_dockerd, launch

HIDE = 'for folder in $HIDDEN; do mount -t tmpfs -o mode=711 hidden "$folder" || exit 1; done; exec "$@"'


@dataclass(frozen=True)
class Remote:
    """An Engine's address on the network, and a way in for what the tests themselves do there."""

    address: str
    socket: str


@contextlib.contextmanager
def remote_engine(hidden: Sequence[Path], *, install: bool, tls: Path | None = None) -> Iterator[Remote]:
    """`tls`: a folder with ca.pem, server.pem and server-key.pem. Raises NoDocker."""
    if os.geteuid() != 0:
        raise NoDocker("an Engine in a mount namespace needs root")
    have_dockerd(install)
    root = Path(tempfile.mkdtemp(prefix="rr-"))
    root.chmod(0o711)
    address = f"tcp://127.0.0.1:{_free_port()}"
    words = [*command(root), "-H", address]
    if tls is None:
        words.append("--tls=false")
    else:
        words += ["--tlsverify", "--tlscacert", f"{tls}/ca.pem", "--tlscert", f"{tls}/server.pem",
                  "--tlskey", f"{tls}/server-key.pem"]  # fmt: skip
    environment = {**os.environ, "HIDDEN": " ".join(map(str, hidden))}
    try:
        launch(root, ["unshare", "-m", "sh", "-c", HIDE, "sh", *words], environment)
        yield Remote(address, f"unix://{root}/docker.sock")
    finally:
        end(root)
        shutil.rmtree(root, ignore_errors=True)


def make_certificates(folder: Path) -> Path:
    """A folder of a client: ca.pem, cert.pem, key.pem; and of the Engine: server.pem, server-key.pem."""
    folder.mkdir()

    def openssl(*words: str) -> None:
        done = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    new = ["req", "-newkey", "rsa:2048", "-nodes", "-subj"]
    openssl(*new, "/CN=test authority", "-x509", "-days", "2", "-keyout", "ca-key.pem", "-out", "ca.pem")
    for name, key, usage in (("server", "server-key", "serverAuth"), ("cert", "key", "clientAuth")):
        (folder / "extensions").write_text(f"subjectAltName=IP:127.0.0.1\nextendedKeyUsage={usage}\n")
        openssl(*new, f"/CN={name}", "-keyout", f"{key}.pem", "-out", "request.pem")
        openssl("x509", "-req", "-days", "2", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca-key.pem",
                "-CAcreateserial", "-extfile", "extensions", "-out", f"{name}.pem")  # fmt: skip
    return folder


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
