"""In: a prepared run folder and a command. Out: a supervisor in a session of its own, and its reaping."""

import errno
import os
import pwd
import select
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from ..model.errors import EngineRejected, EngineUnavailable
from .process_folder import Folder
from .process_proc import MARK

SHELL = "/bin/sh"
START_DEADLINE = 10.0  # seconds from spawn to the supervisor's claim
MAX_ARGUMENT = 128 * 1024 - 1  # bytes: the kernel's limit for one argument


def _supervisor_text() -> str:
    """The script without its comments: it is passed as an argument, so that no upgrade changes it under a run and a
    job's user need not be able to read where we are installed."""
    text = resources.files(__package__).joinpath("supervisor.sh").read_text("utf-8")
    return "\n".join(line for line in text.splitlines() if line and not line.lstrip().startswith("#"))


_SUPERVISOR = _supervisor_text()


@dataclass(frozen=True, slots=True)
class JobUser:
    """Who jobs run as. `switch` is False where the service is not root: then they run as the service's user.

    `prefix`: a command that changes the user and forbids new privileges; () = this host has none that works.
    """

    name: str
    uid: int
    gid: int
    switch: bool
    prefix: tuple[str, ...] = ()

    def own(self, *paths: Path) -> None:
        if self.switch:
            for path in paths:
                os.chown(path, self.uid, self.gid, follow_symlinks=False)


def job_user(wanted: str) -> JobUser:
    """The unprivileged `wanted` user if the service is root, else the service's own. Raises EngineRejected."""
    uid = os.geteuid()
    if uid != 0:
        return JobUser(_name_of(uid), uid, os.getegid(), switch=False)
    try:
        entry = pwd.getpwnam(wanted)
    except KeyError as error:
        raise EngineRejected(
            f"cannot run jobs as {wanted!r}: there is no such user",
            code="process-user-unknown",
            hint="Set `process_user` in the service file to an unprivileged user of this host.",
        ) from error
    switch = entry.pw_uid != 0
    return JobUser(wanted, entry.pw_uid, entry.pw_gid, switch, setpriv(entry.pw_uid, entry.pw_gid) if switch else ())


def setpriv(uid: int, gid: int) -> tuple[str, ...]:
    """util-linux's setpriv, if it is there and works: it lets us spawn by vfork, which Python does not do when it
    changes the user itself (4.7 ms against 1.4 ms for a service of 60 MiB)."""
    program = shutil.which("setpriv", path="/usr/bin:/bin:/usr/sbin:/sbin")
    if program is None:
        return ()
    prefix = (program, f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs", "--inh-caps=-all", "--")
    try:
        tried = subprocess.run([*prefix, SHELL, "-c", ":"], env={}, capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return ()
    return prefix if tried.returncode == 0 else ()


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container's arbitrary user
        return str(uid)


_children: dict[int, "subprocess.Popen[bytes]"] = {}
_children_lock = threading.Lock()


def reap(pid: int) -> None:
    """Collect an ended supervisor if this process started it; others are init's. Children belong to the process and
    not to an engine object, so a second engine reaps what a closed one started."""
    with _children_lock:
        child = _children.get(pid)
        if child is not None and child.poll() is not None:
            del _children[pid]


def reap_all() -> None:
    for pid in list(_children):
        reap(pid)


def spawn(folder: Folder, ref: str, workdir: str, argv: Sequence[str], user: JobUser) -> int:
    """Start a supervisor and wait until it has taken the claim or ended; return its pid.

    Raises EngineUnavailable (nothing started, or unknown: ask the folder's claim) or EngineRejected.
    """
    reap_all()
    told, tell = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            child = _popen(folder, tell, ref, (workdir, *argv), user)
        finally:
            os.close(tell)
        with _children_lock:
            _children[child.pid] = child
        _await_claim(told, folder)
        return child.pid
    finally:
        os.close(told)


def _popen(folder: Folder, tell: int, ref: str, arguments: Sequence[str], user: JobUser) -> "subprocess.Popen[bytes]":
    by_us = user.switch and not user.prefix
    try:
        # The log is opened here, by us: the job gets the open file and no right to its name.
        log = os.open(folder.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            return subprocess.Popen(
                [*user.prefix, SHELL, "-c", _SUPERVISOR, "reconciler-run", ref, *arguments],
                stdin=tell,
                stdout=log,
                stderr=log,
                cwd=folder.path,  # entered before the user changes, so closed parents do not matter
                env={MARK: ref},  # never the job's: the prefix still runs as root, and LD_PRELOAD would too
                start_new_session=True,
                umask=0o022,
                user=user.uid if by_us else None,
                group=user.gid if by_us else None,
                extra_groups=[] if by_us else None,
            )
        finally:
            os.close(log)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise _spawn_error(folder, error) from error


def _spawn_error(folder: Folder, error: Exception) -> EngineRejected | EngineUnavailable:
    message = f"cannot start {folder.path.name}: {getattr(error, 'strerror', None) or error}"
    number = getattr(error, "errno", None)
    if number == errno.E2BIG or isinstance(error, ValueError):
        return EngineRejected(message, code="spawn-refused", hint="Shorten the script and the environment.")
    if number == errno.EPERM:
        return EngineRejected(message, code="spawn-refused", hint="The service lacks the right to change its user.")
    if number in (errno.ENOSPC, errno.EDQUOT):
        return EngineUnavailable(message, code="disk-full", hint="Free space below the state directory.")
    return EngineUnavailable(message, hint="The host is short of processes, memory or files; it is tried again.")


def _await_claim(told: int, folder: Folder) -> None:
    """The supervisor holds the other end of the pipe until the claim is on disk, or it has ended."""
    ready = select.poll()
    ready.register(told, select.POLLIN)
    deadline = time.monotonic() + START_DEADLINE
    while not ready.poll(max(0, (deadline - time.monotonic()) * 1000)):
        if time.monotonic() >= deadline:
            raise EngineUnavailable(f"cannot tell whether {folder.path.name} has started: its supervisor says nothing")
