"""Reading references of a local repository from its files: a full name in, an object id out, with no child.

Loose files win over `packed-refs`, symbolic references are followed. Refs kept in a reftable are for git to read.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from ..spec.giturl import is_commit_id

MAX_REF_FILE = 4096
MAX_PACKED = 64 << 20
MAX_HOPS = 5
_OWN_TO_WORKTREE = ("refs/bisect/", "refs/worktree/", "refs/rewritten/")


@dataclass(frozen=True, slots=True)
class Found:
    """`id` is what the reference holds; `peeled` the commit below an annotated tag, if packed-refs says it."""

    id: str
    peeled: str = ""


class RefFiles:
    """Reads references. Keeps the bytes of `packed-refs` while the file is the same one."""

    def __init__(self, git_dir: str, common_dir: str) -> None:
        self._git_dir, self._common_dir = git_dir, common_dir
        self._packed_key: tuple[int, int, int] | None = None
        self._packed = b""

    def find(self, name: str) -> Found | None:
        """What `name` ("HEAD", "refs/...") holds; None if there is no such reference. Raises OSError."""
        for _ in range(MAX_HOPS):
            text = self._loose(name)
            if text is None:
                return self._in_packed(name)
            if not text.startswith("ref:"):
                word = text.split(maxsplit=1)[0] if text.strip() else ""
                return Found(word) if is_commit_id(word) else None
            name = text[4:].strip()
            if not name.startswith("refs/") or ".." in name or "\0" in name:
                return None
        return None

    def _loose(self, name: str) -> str | None:
        own = not name.startswith("refs/") or name.startswith(_OWN_TO_WORKTREE)
        return read_small(f"{self._git_dir if own else self._common_dir}/{name}")

    def _in_packed(self, name: str) -> Found | None:
        packed = self._read_packed()
        wanted = b" " + name.encode("utf-8", "surrogateescape") + b"\n"
        at = packed.find(wanted)
        if at < 0:
            return None
        found = packed[packed.rfind(b"\n", 0, at) + 1 : at].decode("ascii", "replace")
        after = packed[at + len(wanted) : at + len(wanted) + 66]
        peeled = after[1:].split(b"\n", 1)[0].decode("ascii", "replace") if after.startswith(b"^") else ""
        return Found(found, peeled) if is_commit_id(found) else None

    def _read_packed(self) -> bytes:
        path = f"{self._common_dir}/packed-refs"
        try:
            status = os.stat(path)  # noqa: PTH116  asked all the time: a Path takes longer to make than this look
        except FileNotFoundError:
            return b""
        key = (status.st_mtime_ns, status.st_size, status.st_ino)
        if key != self._packed_key:
            if not stat.S_ISREG(status.st_mode):
                return b""
            with Path(path).open("rb") as file:
                self._packed = file.read(MAX_PACKED)
            self._packed_key = key
        return self._packed


def read_small(path: str) -> str | None:
    """The first 4 KiB of a regular file; None if there is none; a FIFO is not waited for. Raises OSError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        return os.read(fd, MAX_REF_FILE).decode("utf-8", "replace")
    finally:
        os.close(fd)
