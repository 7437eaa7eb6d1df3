"""In: where the service may write. Out: a directory of its own that is in memory and never on a disk."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from ..model.errors import StateError

IN_MEMORY = ("tmpfs", "ramfs")
_PASSABLE = 0o711  # runs' directories inside say who may enter each


def choose(candidates: Sequence[Path]) -> Path:
    """The first that lies, or would lie, in memory. Raises StateError (`no-memory-place`). Makes nothing."""
    for path in candidates:
        if kind_of(path) in IN_MEMORY:
            return path
    raise StateError(
        f"cannot keep secrets in memory: {', '.join(map(str, candidates))} would be on a disk", code="no-memory-place",
        hint="set `runtime_dir` in the service file to a directory on a tmpfs, such as /run/reconciler",
    )  # fmt: skip


def kind_of(path: Path) -> str:
    """The type of the file system where `path` is or would be made; "" = not known."""
    existing = next((parent for parent in (path, *path.parents) if parent.exists()), Path("/"))
    device = existing.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with Path("/proc/self/mountinfo").open(encoding="utf-8", errors="surrogateescape") as mounts:
        for line in mounts:
            words = line.split()
            if words[2] == wanted:
                return words[words.index("-") + 1]
    return ""


def make(path: Path) -> None:
    """Make it, ours alone to change. Raises OSError, StateError (`memory-place-unsafe`)."""
    path.mkdir(mode=_PASSABLE, parents=True, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise StateError(
            f"cannot keep secrets in {path}: it is not a directory of the service's user", code="memory-place-unsafe",
            hint="remove it; somebody else has made it",
        )  # fmt: skip
    if stat.S_IMODE(status.st_mode) != _PASSABLE:
        path.chmod(_PASSABLE)
