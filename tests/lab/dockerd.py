"""A private Docker Engine for tests: a directory in, DOCKER_HOST out. Nothing of another Engine is touched.

It has its own data, socket, bridge and address pool, writes no packet filter rules, and is ended by pid. Several
processes may share one directory: each `ensure` takes a lease, and the last `stop` ends the Engine.
"""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .http import unix_status

V1_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids")
READY_WITHIN = 60.0  # seconds
ENDED_WITHIN = 30.0


class NoDocker(Exception):
    """No private Engine can be had here; str() says why and how to get one."""


@dataclass(frozen=True)
class Handle:
    """A lease on a running private Engine."""

    directory: Path
    docker_host: str
    lease: Path

    def stop(self) -> None:
        """Give the lease back; the last one ends the Engine and removes everything it made."""
        with _locked(self.directory):
            self.lease.unlink(missing_ok=True)
            if not _leases(self.directory):
                end(self.directory)

    def kill(self) -> None:
        """KILL the Engine at once, as a crash would; its containers' shims live on. `start` brings it back."""
        with _locked(self.directory):
            pid = _pid(self.directory)
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                _await_exit(pid)
            _forget_containerd(self.directory)

    def freeze(self) -> None:
        """Stop the Engine's process without ending it: it accepts connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def start(self) -> None:
        """Start it again after `kill`."""
        with _locked(self.directory):
            if _pid(self.directory) is None:
                _start(self.directory)

    def _signal(self, number: signal.Signals) -> None:
        pid = _pid(self.directory)
        assert pid is not None, "the private Engine is not running"
        os.kill(pid, number)


def ensure(directory: Path | str, *, install: bool = True) -> Handle:
    """A running private Engine whose state is below `directory`. Raises NoDocker."""
    root = Path(directory)
    if os.geteuid() != 0:
        raise NoDocker("a private Docker Engine needs root: run the tests as root, or with `sudo make test`")
    root.parent.mkdir(parents=True, exist_ok=True)
    with _locked(root):
        root.mkdir(exist_ok=True)  # not earlier: the last lease of another process may just have removed it
        if _pid(root) is None or unix_status(str(root / "docker.sock"), "/_ping") != 200:
            have_dockerd(install)
            _start(root)
        lease = root / "leases" / str(os.getpid())
        lease.parent.mkdir(exist_ok=True)
        lease.touch()
    return Handle(root, f"unix://{root}/docker.sock", lease)


def default_directory() -> Path:
    """Where the Engine of this checkout's tests lives: short, because a socket's path is bounded."""
    checkout = zlib.crc32(str(Path(__file__).resolve().parents[2]).encode())
    return Path(tempfile.gettempdir()) / f"reconciler-dockerd-{checkout:08x}"


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    with open(f"{root}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _leases(root: Path) -> list[Path]:
    """Leases of processes that still live; those of dead ones are dropped."""
    alive = []
    for lease in (root / "leases").glob("*") if (root / "leases").is_dir() else ():
        if Path("/proc", lease.name).exists():
            alive.append(lease)
        else:
            lease.unlink(missing_ok=True)
    return alive


def have_dockerd(install: bool) -> None:
    """Raises NoDocker."""
    if shutil.which("dockerd") and shutil.which("iptables"):
        return
    if not install or not shutil.which("apt-get"):
        raise NoDocker("dockerd is not installed: `apt-get install docker.io iptables`")
    apt_install("docker.io", "iptables")


def apt_install(*packages: str) -> None:
    """Install Debian packages, refreshing the lists only if that is needed. Raises NoDocker."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    get = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    install = [*get, "install", "-y", "--no-install-recommends", *packages]
    for command in (install, [*get, "update"], install):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
        if command is install and done.returncode == 0:
            return
    raise NoDocker(f"cannot install {' '.join(packages)}: {done.stderr.strip()[-300:]}")


def _mount_v1_controllers() -> None:
    """Where the host uses cgroup v1, mount those controllers that dockerd needs and that are missing."""
    mounts = Path("/proc/mounts").read_text()
    if " /sys/fs/cgroup cgroup2 " in mounts:
        return
    if " /sys/fs/cgroup " not in mounts:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "cgroup", "/sys/fs/cgroup"], check=True)
    for name in V1_CONTROLLERS:
        if re.search(rf" cgroup \S*\b{name}\b", mounts):
            continue
        folder = Path("/sys/fs/cgroup", name)
        folder.mkdir(exist_ok=True)
        if subprocess.run(["mount", "-t", "cgroup", "-o", name, "cgroup", folder], capture_output=True).returncode:
            folder.rmdir()


def _bridge(root: Path) -> str:
    return f"rt{zlib.crc32(str(root).encode()):08x}"


def _make_bridge(root: Path) -> str:
    """A bridge and a /24 of our own: two Engines on docker0 would hand out the same addresses."""
    name, number = _bridge(root), zlib.crc32(str(root).encode())
    if not Path("/sys/class/net", name).exists():
        _ip("link", "add", name, "type", "bridge")
        _ip("addr", "add", f"10.{190 + number % 10}.{number // 10 % 250}.1/24", "dev", name)
        _ip("link", "set", name, "up")
    return name


def _ip(*args: str) -> None:
    subprocess.run(["ip", *args], check=True, capture_output=True, timeout=30)


def _start(root: Path) -> None:
    launch(root, command(root))


def command(root: Path) -> list[str]:
    """How its dockerd is called; other places to listen at may be added."""
    _mount_v1_controllers()
    pool = 140 + zlib.crc32(str(root).encode()) % 50
    driver = "systemd" if Path("/run/systemd/system").is_dir() else "cgroupfs"
    return [
        "dockerd", "--data-root", f"{root}/data", "--exec-root", f"{root}/exec", "-p", f"{root}/dockerd.pid",
        "-H", f"unix://{root}/docker.sock", "--bridge", _make_bridge(root), "--iptables=false", "--ip6tables=false",
        "--ip-masq=false", "--exec-opt", f"native.cgroupdriver={driver}", "--shutdown-timeout", "5",
        "--default-address-pool", f"base=10.{pool}.0.0/16,size=28",
    ]  # fmt: skip


def launch(root: Path, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    """Start it and wait until it answers at its socket. Raises NoDocker."""
    Path(root, "dockerd.pid").unlink(missing_ok=True)
    with open(root / "dockerd.log", "ab") as log:
        child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 start_new_session=True)  # fmt: skip
    _CHILDREN[child.pid] = child
    deadline = time.monotonic() + READY_WITHIN
    while unix_status(f"{root}/docker.sock", "/_ping") != 200:
        if child.poll() is not None or time.monotonic() > deadline:
            tail = Path(root, "dockerd.log").read_text(errors="replace")[-800:]
            raise NoDocker(f"the private dockerd did not come up: {tail}")
        time.sleep(0.05)


_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}  # started by this process: to be reaped by it


def _pid(root: Path) -> int | None:
    """The pid of our running dockerd, checked by its command line."""
    try:
        pid = int((root / "dockerd.pid").read_text())
        ours = f"{root}/data".encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if ours else None


def _await_exit(pid: int, timeout: float = ENDED_WITHIN) -> bool:
    if pid in _CHILDREN:
        try:
            _CHILDREN[pid].wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        del _CHILDREN[pid]
        return True
    deadline = time.monotonic() + timeout
    while not _ended(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _ended(pid: int) -> bool:
    """Gone, or a zombie: who started it may be another process of the tests, or nobody may reap orphans here."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("Z", "X")
    except OSError:
        return True


def _forget_containerd(root: Path) -> None:
    """The Engine's containerd dies with it. Where nobody reaps orphans it stays as a zombie, whose pid file would make
    the next Engine wait for it."""
    pid_file = root / "exec/containerd/containerd.pid"
    deadline = time.monotonic() + ENDED_WITHIN
    while time.monotonic() < deadline:
        try:
            ended = _ended(int(pid_file.read_text()))
        except (OSError, ValueError):
            ended = True
        if ended:
            pid_file.unlink(missing_ok=True)
            return
        time.sleep(0.05)


def end(root: Path) -> None:
    """End the Engine and remove all that it made."""
    pid = _pid(root)
    if pid is not None:
        os.kill(pid, signal.SIGCONT)
        os.kill(pid, signal.SIGTERM)
        if not _await_exit(pid):
            os.kill(pid, signal.SIGKILL)
            _await_exit(pid)
    _end_leftovers(root)
    for name in {_bridge(root), *_network_bridges(root)}:
        subprocess.run(["ip", "link", "del", name], capture_output=True, timeout=30)
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for point in sorted((p for p in mounted if p.startswith(f"{root}/")), reverse=True):
        subprocess.run(["umount", "-l", point], capture_output=True, timeout=30)
    shutil.rmtree(root, ignore_errors=True)


def _end_leftovers(root: Path) -> None:
    """KILL containerd and shims of ours: their command line holds our exec-root."""
    mark = f"{root}/exec".encode()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                if mark in (folder / "cmdline").read_bytes():
                    os.kill(int(folder.name), signal.SIGKILL)
            except (OSError, ProcessLookupError):
                continue  # it has ended meanwhile


def _network_bridges(root: Path) -> set[str]:
    """Bridges of user-defined networks, which dockerd leaves behind: named in its network database."""
    try:
        store = (root / "data/network/files/local-kv.db").read_bytes()
    except OSError:
        return set()
    return {f"br-{match.decode()}" for match in re.findall(rb'"BridgeName":"br-([0-9a-f]{12})"', store)}


if __name__ == "__main__":  # `python -m tests.lab.dockerd DIR`: leave one running, for work by hand
    print(ensure(sys.argv[1]).docker_host)
