"""cp, chown and rm as children: what they do to thousands of files must not hold up the threads of this process, and a
tree that a job has left may be deeper than a program of ours could walk."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from ..model.errors import CodeUnavailable, StateError

PATIENCE = 600.0  # seconds for one of them
_CP = ("--archive", "--reflink=auto", "--no-target-directory", "--")
_AND_CHOWN = f'cp {" ".join(_CP)} "$1" "$2" && exec chown --recursive --no-dereference "$3" -- "$2"'
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"}


class Copy:
    """A copy of a whole tree that is being made, as its own blocks or shared until written; `owner` gets all of it."""

    def __init__(self, source: Path, target: Path, owner: tuple[int, int] | None) -> None:
        argv = ["cp", *_CP, str(source), str(target)]
        if owner is not None:
            argv = ["sh", "-c", _AND_CHOWN, "sh", str(source), str(target), f"{owner[0]}:{owner[1]}"]
        try:
            self._child = subprocess.Popen(argv, env=_ENVIRONMENT, cwd="/", stdin=subprocess.DEVNULL,
                                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                           start_new_session=True)  # fmt: skip
        except OSError as error:
            raise CodeUnavailable(f"cannot stage code: {argv[0]} failed ({type(error).__name__})") from error

    def finish(self) -> None:
        """Wait for its end. Raises StateError `disk-full`, CodeUnavailable."""
        try:
            said = self._child.communicate(timeout=PATIENCE)[1].decode("utf-8", "replace")
        except subprocess.TimeoutExpired as error:
            self.abandon()
            raise CodeUnavailable("cannot stage code: copying takes too long") from error
        if self._child.returncode:
            if "No space left" in said or "quota" in said:
                raise StateError("cannot stage code: the disk is full", code="disk-full", hint="free space there")
            raise CodeUnavailable(f"cannot stage code: {said.strip().splitlines()[0][:200] if said.strip() else 'cp'}")

    def abandon(self) -> None:
        """End it where it is, unless it has ended."""
        if self._child.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.communicate()


def copy(source: Path, target: Path, owner: tuple[int, int] | None) -> None:
    """As `Copy`, to its end."""
    Copy(source, target, owner).finish()


def remove(path: Path) -> bool:
    """Remove a tree, whatever it holds. True if it is gone."""
    if not path.is_symlink() and not path.exists():
        return True
    opened = ["chmod", "--recursive", "u+rwX", "--", str(path)]  # what its own user has closed to itself
    gone = ["rm", "-rf", "--one-file-system", "--", str(path)]
    return _succeeds(gone) or (os.geteuid() != 0 and _succeeds(opened) and _succeeds(gone))


def _succeeds(argv: list[str]) -> bool:
    try:
        done = subprocess.run(argv, env=_ENVIRONMENT, cwd="/", stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=PATIENCE, check=False)  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
