"""A machine with a real systemd as PID 1: a private Engine in, a box that boots, runs commands and reboots out.

The box is a container whose /usr is this host's own, read-only, and whose /etc and /var are its own: it needs no image
from anywhere, has exactly this host's systemd and Python, and boots in about a second.
"""

import io
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.types import Mount

from .dockerd import Handle, apt_install

IMAGE = "systemd-box:local"
BOOTED_WITHIN = 60.0  # seconds
COMMAND_WITHIN = 60
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")  # links into /usr on every current Debian and Ubuntu
FOLDERS = (
    "usr", "etc/systemd/system", "proc", "sys", "dev", "run", "tmp", "var/log", "var/tmp", "var/lib", "opt", "root",
    "home", "srv",
)  # fmt: skip
# Host configuration without which programs below /usr do not start.
FROM_ETC = (
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "alternatives",
    "nsswitch.conf",
    "localtime",
    "ssl/openssl.cnf",
)
# What would act on the host's kernel or wait for devices that a container has not.
MASKED = (
    "systemd-udevd.service", "systemd-udev-trigger.service", "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket", "systemd-sysctl.service", "systemd-modules-load.service",
    "systemd-remount-fs.service", "systemd-timesyncd.service", "systemd-logind.service",
    "systemd-random-seed.service", "systemd-binfmt.service", "systemd-hwdb-update.service",
    "systemd-firstboot.service", "systemd-networkd.service", "systemd-resolved.service", "getty.target",
    "console-getty.service", "dbus.service", "dbus.socket", "dev-hugepages.mount", "dev-mqueue.mount",
    "sys-kernel-config.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-fs-fuse-connections.mount",
    "proc-sys-fs-binfmt_misc.automount", "systemd-pcrphase-sysinit.service", "systemd-pcrphase.service",
)  # fmt: skip
# Mounts are shared, as on a real machine, or credentials and namespaces of units do not work; and the control groups
# writable (version 1 mounts each controller apart), or limits of units are silently void.
INIT = """#!/bin/sh
mount --make-rshared /
while read -r _ at type _; do
  case $type in cgroup|cgroup2) mount -o remount,rw,bind "$at" 2>/dev/null ;; esac
done </proc/mounts
exec /usr/lib/systemd/systemd
"""


class BoxError(AssertionError):
    """The box did not do what it should; str() carries what it said."""


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    output: str  # both streams


@dataclass(frozen=True)
class Box:
    """A running box."""

    client: docker.APIClient
    ref: str

    def run(self, *command: str, check: bool = True, user: str = "root") -> Done:
        """Run a command in the box, for at most a minute. With `check`, BoxError unless it exits with 0."""
        bounded = ["timeout", str(COMMAND_WITHIN), *command]
        run = self.client.exec_create(self.ref, bounded, user=user)["Id"]
        output = self.client.exec_start(run).decode(errors="replace")
        done = Done(self.client.exec_inspect(run)["ExitCode"], output)
        if check and done.code != 0:
            raise BoxError(f"{' '.join(command)}: exit {done.code}\n{output}")
        return done

    def sh(self, script: str, *, check: bool = True) -> str:
        """Output of a shell script, without the last newline."""
        return self.run("sh", "-euc", script, check=check).output.rstrip("\n")

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.run("systemctl", "show", unit, "--property", name, "--value").output.strip()

    def journal(self, unit: str) -> str:
        return self.run("journalctl", "--no-pager", "--quiet", "--output=cat", "--unit", unit, check=False).output

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Create or replace a file; its folder is made."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            _file(archive, path.lstrip("/"), text.encode(), mode)
        self.client.put_archive(self.ref, "/", buffer.getvalue())

    def wait_for(self, what: str, true: Callable[[], object], within: float = 30.0) -> None:
        """Poll until `true()`, or raise BoxError with the box's journal."""
        deadline = time.monotonic() + within
        while not true():
            if time.monotonic() > deadline:
                tail = self.run("journalctl", "--no-pager", "--quiet", "--lines=60", check=False).output
                raise BoxError(f"not within {within:.0f} s: {what}\n{tail}")
            time.sleep(0.1)

    def reboot(self) -> None:
        """Shut down in order and boot again: processes and /run are gone, the disk stays."""
        self.client.restart(self.ref, timeout=60)
        self._await_boot()

    def cut_power(self) -> None:
        """End everything in the same instant, without a word to anybody, and boot again."""
        self.client.kill(self.ref)
        self.client.start(self.ref)
        self._await_boot()

    def _await_boot(self) -> None:
        deadline = time.monotonic() + BOOTED_WITHIN
        state = ""
        while state not in ("running", "degraded"):
            if time.monotonic() > deadline:
                jobs = self.run("systemctl", "list-jobs", "--no-pager", check=False).output
                raise BoxError(f"systemd is {state!r} after {BOOTED_WITHIN:.0f} s\n{jobs}")
            time.sleep(0.1)
            state = self.run("systemctl", "is-system-running", check=False).output.strip()


@contextmanager
def systemd_box(engine: Handle, name: str, *, mounts: Mapping[str, Path] | None = None) -> Iterator[Box]:
    """Boot a box called `name`, gone at the end. `mounts`: place in the box -> folder of the host, seen read-only."""
    client = docker.APIClient(base_url=engine.docker_host, version="1.41", timeout=120)
    try:
        _have_image(client)
        own = [Path("/usr"), *(Path("/", part) for part in MERGED if _is_folder(part)), *_python_homes()]
        binds = {str(path): path for path in own} | dict(mounts or {})
        config = client.create_host_config(
            mounts=[Mount(at, str(path), type="bind", read_only=True) for at, path in binds.items()],
            cap_add=["SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN"],
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
            tmpfs={"/run": "mode=755,exec", "/run/lock": "", "/tmp": "mode=1777,exec"},
            network_mode="none",
        )
        config["CgroupnsMode"] = "private"
        made = client.create_container(
            IMAGE, ["/box-init"], name=name, hostname=name, environment={"container": "docker"}, host_config=config,
            stop_signal="SIGRTMIN+3",
        )  # fmt: skip
        try:
            client.start(made["Id"])
            box = Box(client, made["Id"])
            box._await_boot()
            yield box
        finally:
            client.remove_container(made["Id"], force=True, v=True)
    finally:
        client.close()


def _is_folder(part: str) -> bool:
    path = Path("/", part)
    return path.is_dir() and not path.is_symlink()


def _python_homes() -> list[Path]:
    """Where this Python lives, if not below /usr."""
    home = Path(sys.base_prefix).resolve()
    return [] if home.is_relative_to("/usr") else [home]


def _have_image(client: docker.APIClient) -> None:
    if client.images(IMAGE):
        return
    if not Path("/usr/lib/systemd/systemd").exists():
        apt_install("systemd")
    repository, _, tag = IMAGE.partition(":")
    client.import_image_from_data(_root_filesystem(), repository=repository, tag=tag)


def _root_filesystem() -> bytes:
    """A tar archive of everything that is the box's own: /etc, empty folders, links into /usr."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in dict.fromkeys((*FOLDERS, *_parents(_python_homes()))):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name.endswith("tmp") else 0o755
            archive.addfile(folder)
        for part in MERGED:
            if Path("/", part).is_symlink():
                _link(archive, part, f"usr/{part}")
        for name in FROM_ETC:
            if Path("/etc", name).exists():
                archive.add(Path("/etc", name), f"etc/{name}")
        for unit in MASKED:
            _link(archive, f"etc/systemd/system/{unit}", "/dev/null")
        _file(archive, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/false\n")
        _file(archive, "etc/group", b"root:x:0:\nnogroup:x:65534:\n")
        _file(archive, "etc/machine-id", b"")
        _file(archive, "box-init", INIT.encode(), 0o755)
    return buffer.getvalue()


def _parents(homes: Sequence[Path]) -> list[str]:
    """The folders above each home, in order, which in the box everybody may pass."""
    return [str(parent).lstrip("/") for home in homes for parent in reversed(home.parents) if str(parent) != "/"]


def _link(archive: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    archive.addfile(entry)


def _file(archive: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(data), mode, int(time.time())
    archive.addfile(entry, io.BytesIO(data))


def build_wheel(into: Path) -> Path:
    """The project's wheel, made by its own build backend without a network."""
    checkout = Path(__file__).resolve().parents[2]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(into)],
        cwd=checkout, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (wheel,) = into.glob("*.whl")
    return wheel
