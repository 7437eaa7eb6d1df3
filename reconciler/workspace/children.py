"""cp, chown and rm as children: what they do to thousands of files must not hold up the threads of this process, and a
tree that a job has left may be deeper than a program of ours could walk."""

import os
import subprocess
from pathlib import Path

from ..model.errors import CodeUnavailable, StateError

PATIENCE = 600.0  # seconds for one of them
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"}


def copy(source: Path, target: Path, owner: tuple[int, int] | None) -> None:
    """A copy of a whole tree, as its own blocks or shared until written; `owner` gets all of it. Raises StateError
    `disk-full`, CodeUnavailable."""
    _run("cp", "--archive", "--reflink=auto", "--no-target-directory", "--", str(source), str(target))
    if owner is not None:
        _run("chown", "--recursive", "--no-dereference", f"{owner[0]}:{owner[1]}", "--", str(target))


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


def _run(program: str, *arguments: str) -> None:
    try:
        done = subprocess.run([program, *arguments], env=_ENVIRONMENT, cwd="/", stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=PATIENCE, check=False)  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise CodeUnavailable(f"cannot stage code: {program} failed ({type(error).__name__})") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace")
        if "No space left" in said or "quota" in said:
            raise StateError("cannot stage code: the disk is full", code="disk-full", hint="free space there")
        raise CodeUnavailable(f"cannot stage code: {said.strip().splitlines()[0][:200] if said.strip() else program}")
