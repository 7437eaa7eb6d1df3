"""In: process ids and a run's mark. Out: who is alive, and signals to exactly them. Reads /proc (Linux)."""

import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MARK = "RECONCILER_PROCESS_REF"  # in the environment of every process of a run; survives setsid and double forks
STILL_ITS_NUMBER = 0.5  # seconds after the last process of a session was seen in which nobody else has its number
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process that cannot be confused with a later one of the same number. `start` is in clock ticks after boot."""

    pid: int
    start: int
    boot: str


def boot_id() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def exists(process: ProcessId, boot: str) -> bool:
    """True for a zombie too: its number is not free yet."""
    stat = _stat(process.pid)
    return process.boot == boot and stat is not None and stat.start == process.start


def is_alive(process: ProcessId, boot: str) -> bool:
    """False for a zombie: it runs nothing any more."""
    stat = _stat(process.pid)
    return process.boot == boot and stat is not None and stat.start == process.start and stat.state not in "ZX"


def carries(pid: int, ref: str) -> bool:
    """Does this process belong to the run? What a job's user wrote into a file does not prove it; this does."""
    return f"{MARK}={ref}".encode() in _environ(str(pid))


@dataclass(frozen=True, slots=True)
class _Stat:
    state: str
    session: int
    start: int


def _stat(pid: int | str) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text("latin-1")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return _Stat(fields[0], int(fields[3]), int(fields[19]))


def members(ref: str, supervisor: int | None = None) -> list[int]:
    """Live processes of a run, without its supervisor: those that carry its mark, and, while the supervisor lives
    (give its pid only then), those of its session, which may have dropped the mark."""
    mark = f"{MARK}={ref}".encode()
    found = []
    for entry in os.scandir(_PROC):
        if not entry.name.isdecimal() or int(entry.name) == supervisor:
            continue
        stat = _stat(entry.name)
        if stat is None or stat.state in "ZX":
            continue
        if (supervisor is not None and stat.session == supervisor) or mark in _environ(entry.name):
            found.append(int(entry.name))
    return found


def _environ(pid: str) -> list[bytes]:
    try:
        return (_PROC / pid / "environ").read_bytes().split(b"\0")
    except OSError:  # gone, or another user's: then it is none of ours
        return []


def has_group(pgid: int) -> bool:
    """A cheap hint: is anything left in this process group? (The number may be somebody else's by now.)"""
    try:
        os.killpg(pgid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def terminate_group(pgid: int, others: Iterable[int]) -> None:
    """TERM to a whole process group at once, and to members of the run that left the group."""
    _signal_group(pgid, signal.SIGTERM)
    for pid in others:
        if _group_of(pid) != pgid:
            _signal(pid, signal.SIGTERM)


class Session:
    """Who was in a supervisor's session while it lived. A session's number is nobody else's as long as one of them is
    still in it: so those that came later and cleared their environment are known, too, after the supervisor's end.
    And for a moment longer, for who was forked while the last of them was killed: numbers are handed out in turn."""

    def __init__(self, supervisor: int) -> None:
        self._supervisor = supervisor
        self._known: set[tuple[int, int]] = set()
        self._seen_at = 0.0
        self._take()

    def leader(self) -> int | None:
        """The supervisor's number if it is still that of this very session."""
        if any((stat := _stat(pid)) is not None and (stat.session, stat.start) == (self._supervisor, start)
               and stat.state not in "ZX" for pid, start in self._known):  # fmt: skip
            self._take()
            return self._supervisor
        return self._supervisor if time.monotonic() - self._seen_at < STILL_ITS_NUMBER else None

    def _take(self) -> None:
        self._seen_at = time.monotonic()
        for entry in os.scandir(_PROC):
            stat = _stat(entry.name) if entry.name.isdecimal() else None
            if stat is not None and stat.session == self._supervisor:
                self._known.add((int(entry.name), stat.start))


def kill_members(ref: str, supervisor: int | None, deadline: float, session: Session | None = None) -> bool:
    """KILL every member, look again, until none is left. False if some are still there at `deadline` (monotonic)."""
    while found := members(ref, supervisor if session is None else session.leader()):
        for pid in found:
            _signal(pid, signal.SIGKILL)
        if time.monotonic() >= deadline:
            return False
        with _watched(found[0]) as end:
            end.poll(50)
    return True


def wait_for_end(process: ProcessId, boot: str, deadline: float) -> bool:
    """Wait until a process (ours or not) has ended; False at `deadline` (monotonic)."""
    while is_alive(process, boot):
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        with _watched(process.pid) as end:
            end.poll(max(1, int(min(left, 0.25) * 1000)))
    return True


@contextmanager
def _watched(pid: int) -> Iterator[select.poll]:
    """A poll object that wakes when `pid` ends; on kernels without pidfd it only times out."""
    end = select.poll()
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        yield end
        return
    try:
        end.register(fd, select.POLLIN)
        yield end
    finally:
        os.close(fd)


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return -1


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # gone, or it changed its user: docs/engines.md says what escapes


def _signal_group(pgid: int, number: int) -> None:
    try:
        os.killpg(pgid, number)
    except (ProcessLookupError, PermissionError):
        pass  # as above
