"""git over ssh on loopback for tests: a directory in, an sshd of our own with its keys out. Ended by pid.

Debian's openssh-server is installed by apt where sshd is missing and the tests run as root; its system service is not
touched: this sshd has its own configuration, host key, port and one authorised key.
"""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pytest

SSHD = "/usr/sbin/sshd"
READY_WITHIN = 20.0  # seconds


class NoSshd(Exception):
    """sshd is missing and cannot be installed; str() says why."""


class SshGit:
    """`key` may log in, `other_key` may not; `known_hosts` has the right host key, `wrong_known_hosts` another one."""

    def __init__(self, directory: Path) -> None:
        _ensure_sshd()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory, self.port = directory, _free_port()
        self.user = pwd.getpwuid(os.getuid()).pw_name
        for name in ("host", "id", "other"):
            _keygen(directory / name)
        self.key, self.other_key = directory / "id", directory / "other"
        shutil.copy(directory / "id.pub", directory / "authorized_keys")
        self.known_hosts = self._write_known_hosts("known_hosts", "host")
        self.wrong_known_hosts = self._write_known_hosts("wrong_known_hosts", "other")
        self._process = self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def url(self, path: Path) -> str:
        return f"ssh://{self.user}@127.0.0.1:{self.port}{path}"

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    def __enter__(self) -> "SshGit":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write_known_hosts(self, name: str, key: str) -> Path:
        kind, public = (self.directory / f"{key}.pub").read_text().split()[:2]
        path = self.directory / name
        path.write_text(f"[127.0.0.1]:{self.port} {kind} {public}\n")
        return path

    def _start(self) -> "subprocess.Popen[bytes]":
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # its privilege separation directory
        config = self.directory / "sshd_config"
        config.write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {self.directory}/host\nPidFile none\n"
            f"AuthorizedKeysFile {self.directory}/authorized_keys\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nStrictModes no\nUsePAM no\n"
        )
        log = str(self.directory / "log")
        process = subprocess.Popen(
            [SSHD, "-D", "-f", str(config), "-E", log], stdin=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + READY_WITHIN
        while not _answers(self.port):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise NoSshd(f"sshd does not answer: {Path(log).read_text()[-500:]}")
            time.sleep(0.02)
        return process


@contextlib.contextmanager
def ssh_server(directory: Path) -> Iterator[SshGit]:
    """For a fixture: where there is no sshd its tests are skipped, and fail in CI."""
    try:
        lab = SshGit(directory)
    except NoSshd as error:
        if os.environ.get("CI", "") not in ("", "0", "false"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    with lab:
        yield lab


def _ensure_sshd() -> None:
    if Path(SSHD).exists():
        return
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        raise NoSshd("sshd is not installed: apt-get install openssh-server")
    options = ["-o", "DPkg::Lock::Timeout=300", "-y", "-qq", "--no-install-recommends"]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", *options, "openssh-server"]
    if subprocess.run(install, env=env, capture_output=True, timeout=300).returncode != 0:
        subprocess.run(["apt-get", "update", "-qq"], env=env, capture_output=True, timeout=300)
        subprocess.run(install, env=env, capture_output=True, timeout=300)
    if not Path(SSHD).exists():
        raise NoSshd("apt-get install openssh-server failed")


def _keygen(path: Path) -> None:
    if not path.exists():
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path), "-C", f"{path.name}@test"],
            check=True, timeout=60,
        )  # fmt: skip


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as client:
            return client.recv(4) == b"SSH-"
    except OSError:
        return False
