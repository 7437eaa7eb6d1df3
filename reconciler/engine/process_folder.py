"""In: the folder of one run. Out: what it says about itself, read anew each time.

    order.json            what was ordered, signed; ours alone
    ref                   the run's nonce; without it no supervisor starts anything
    environment           shell text with the job's variables; its user may read it
    log                   both streams, in order; ours alone
    work/  files/         the job's own folder; staged files
    outputs/              what the job wants kept, if its file says `outputs`
    state/supervisor.PID  who supervises: pid, start in ticks, boot id
    state/started         the claim: a file = the command may have run, a link = void, it never will
    state/exit            blanks until the end, then the exit code
    state/usage           output of the shell's `times`

The job's user may write below `state` and `work`: what is read there is checked, or matters to nobody but this job.
"""

import os
import re
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from .process_proc import ProcessId

BLANK_EXIT = b" " * 15 + b"\n"
SMALL = 4096  # bytes: more than any state file has
MAX_SUPERVISORS = 64  # looked at: one per launch that overlapped
_TIMES = re.compile(r"(\d+)m(\d+(?:\.\d+)?)s")


@dataclass(frozen=True, slots=True)
class Folder:
    """A run's folder. What it says about itself is read anew each time; a job's user may write below `state` only."""

    path: Path

    @property
    def log(self) -> Path:
        return self.path / "log"

    def claim(self) -> str:
        """`started`: a supervisor may have run the command; `void`: none ever will; "": nothing happened yet."""
        try:
            mode = (self.path / "state/started").lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return ""
        return "void" if stat.S_ISLNK(mode) else "started"

    def make_void(self) -> bool:
        """Take the claim, so that no supervisor, however late, runs the command. False if one was faster."""
        try:
            os.symlink("void", self.path / "state/started")  # noqa: PTH211 - reads as what it is: link to nothing
        except FileExistsError:
            return self.claim() == "void"
        return True

    def mark_unknown(self) -> None:
        """The host went down around the start: take the claim for nobody, so that the run is seen as lost."""
        path = self.path / "state/started"
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return  # taken meanwhile
        os.utime(path, (0, 0), follow_symlinks=False)

    def started_at(self) -> datetime | None:
        at = _changed(self.path / "state/started")
        return at if at.timestamp() > 0 else None

    def ended(self) -> tuple[str, datetime] | None:
        """The text of the exit code and when it was written; None = not ended."""
        text = _small(self.path / "state/exit").strip()
        return (text, _changed(self.path / "state/exit")) if text else None

    def sight(self) -> tuple[int, int]:
        """Another pair once the log has grown or the exit code is written; a glance at two inodes."""
        return _looked(self.log)[0], _looked(self.path / "state/exit")[1]

    def supervisors(self) -> list[ProcessId]:
        """Who claimed to supervise, dead or alive. Written by the job's user: check before you trust."""
        found = []
        for path in islice((self.path / "state").glob("supervisor.*"), MAX_SUPERVISORS):
            words = _small(path).split()
            if len(words) == 3 and words[0].isdecimal() and words[1].isdecimal():
                found.append(ProcessId(int(words[0]), int(words[1]), words[2]))
        return found

    def cpu_seconds(self) -> float | None:
        """User and system time of the ended command and its waited-for children."""
        times = _TIMES.findall(_small(self.path / "state/usage"))
        return sum(int(m) * 60 + float(s) for m, s in times[2:4]) if len(times) >= 4 else None


def _small(path: Path) -> str:
    """A little file that a job's user may have put there: no link is followed, no pipe waited for."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, SMALL).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(fd)


def _looked(path: Path) -> tuple[int, int]:
    """Size in bytes and time of the last change in ns; zeros = it is not there."""
    try:
        info = path.lstat()
    except OSError:
        return 0, 0
    return info.st_size, info.st_mtime_ns


def _changed(path: Path) -> datetime:
    info = path.lstat()
    return datetime.fromtimestamp(info.st_mtime_ns // 1000 / 1e6, UTC)
