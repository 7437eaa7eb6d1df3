"""A plain directory -> snapshots of its files: for `validate` on files that no commit has yet, and `plan --source`.

Every step of a path is opened relative to its parent's descriptor without following links, so that a link can neither
leave the directory nor be swapped in between; a FIFO or a device is never opened for its content.
"""

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..model.desired import Commit, Entry, Snapshot
from ..model.errors import SourceRejected, SourceUnavailable
from ..model.problem import SpecProblem
from .listing import MAX_ENTRIES, MAX_FILE, MAX_TOTAL, check_file, problem, shown, too_large

WATCH_PAUSE = 2.0  # seconds between two looks
MAX_DEPTH = 32
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_Found = Entry | SpecProblem
_Keep = Callable[[str], bool] | None


class Directory:
    """A `Source` over the files below `path`. Blob ids are `sha256:<hex>`, the revision is `dir:<digest>`.

    `keep`, given a path below a root, tells which files and directories are looked at; None = all.
    """

    local = True

    def __init__(self, path: str, roots: Sequence[str], keep: Callable[[str], bool] | None = None) -> None:
        self._path, self._roots, self._keep = path, tuple(roots), keep
        self._latest: Snapshot | None = None
        self._contents: dict[str, bytes] = {}

    def head(self) -> str | None:
        return self._scan().commit.id

    def snapshot(self, applied: str | None) -> Snapshot:  # noqa: ARG002  # files have no history
        """As `Source.snapshot`. Files have no history: they always "descend" from what is applied."""
        snapshot = self._scan()
        if self._latest is None or self._latest.commit.id != snapshot.commit.id:
            self._latest = snapshot
        return self._latest

    def read(self, blobs: Sequence[str]) -> dict[str, bytes]:
        try:
            return {blob: self._contents[blob] for blob in blobs}
        except KeyError as error:
            raise SourceUnavailable(f"cannot read a file of {self._path}: it has changed") from error

    def watch(self, stop: threading.Event, kick: Callable[[], None]) -> None:
        last = self._probe()
        while not stop.wait(WATCH_PAUSE):
            now = self._probe()
            if now != last:
                last = now
                kick()

    def close(self) -> None:
        """Nothing is open between calls."""

    def _probe(self) -> tuple[object, ...]:
        """Names, sizes and times: enough to say "look", without reading 64 MiB every other second."""
        found = []
        for root in self._roots:
            for base, directories, files in os.walk(Path(self._path, root)):
                directories[:] = [d for d in directories if d != ".git"]
                for name in files[:MAX_ENTRIES]:
                    try:
                        status = Path(base, name).lstat()
                    except OSError:
                        continue
                    found.append((base, name, status.st_mtime_ns, status.st_size, status.st_ino))
                if len(found) > MAX_ENTRIES:
                    break
        return tuple(sorted(found))

    def _scan(self) -> Snapshot:
        """Read everything. Raises SourceRejected (`source-not-found`, `source-too-large`), SourceUnavailable."""
        contents: dict[str, bytes] = {}
        found: list[_Found] = []
        missing = []
        total = 0
        for root in self._roots:
            before = len(found)
            for record, data in self._walk(root):
                found.append(record)
                if isinstance(record, Entry):
                    contents[record.blob] = data
                    total += len(data)
                if len(found) > MAX_ENTRIES:
                    raise too_large(f"more than {MAX_ENTRIES:,} files")
                if total > MAX_TOTAL:
                    raise too_large(f"more than {MAX_TOTAL >> 20} MiB")
            if len(found) == before:
                missing.append(root)
        entries = tuple(record for record in found if isinstance(record, Entry))
        problems = tuple(record for record in found if isinstance(record, SpecProblem))
        self._contents = contents
        commit = Commit(f"dir:{_digest(entries, problems)}", subject=f"files of {shown(self._path)}")
        return Snapshot(commit, "", entries, problems, tuple(missing))

    def _walk(self, root: str) -> Iterator[tuple[_Found, bytes]]:
        try:
            top = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise SourceRejected(
                f"cannot read {self._path}: {error.strerror}", code="source-not-found", hint="check `source.url`"
            ) from error
        try:
            for part in [part for part in root.split("/") if part]:
                below = os.open(part, _OPEN | os.O_DIRECTORY, dir_fd=top)
                os.close(top)
                top = below
            yield from _walk_fd(top, root, "", 0, self._keep)
        except (FileNotFoundError, NotADirectoryError):
            return  # this root is missing, or a link stands for it
        except OSError as error:
            raise SourceUnavailable(f"cannot read {self._path}/{root}: {error.strerror}") from error
        finally:
            os.close(top)


def _walk_fd(fd: int, root: str, below: str, depth: int, keep: _Keep) -> Iterator[tuple[_Found, bytes]]:
    """Everything in the directory open as `fd`, in order of names; `.git` is git's own."""
    for name in sorted(os.listdir(fd)):
        path = below + name
        full_path = f"{root}/{path}" if root else path
        if name == ".git" or (keep is not None and not keep(path)):
            continue
        try:
            mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                yield from _walk_below(fd, name, root, path, depth, keep)
            elif stat.S_ISREG(mode):
                yield _read(fd, name, path, full_path)
            else:
                yield _special(path, mode), b""
        except FileNotFoundError:
            continue  # it went while we looked
        except PermissionError as error:
            yield problem(shown(path), "file-unreadable", f"cannot read this file: {error.strerror}", "chmod a+r"), b""


def _walk_below(fd: int, name: str, root: str, path: str, depth: int, keep: _Keep) -> Iterator[tuple[_Found, bytes]]:
    if depth >= MAX_DEPTH:
        yield problem(shown(path), "file-name", f"more than {MAX_DEPTH} directories deep", "flatten it"), b""
        return
    inner = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=fd)
    try:
        yield from _walk_fd(inner, root, path + "/", depth + 1, keep)
    finally:
        os.close(inner)


def _read(fd: int, name: str, path: str, full_path: str) -> tuple[_Found, bytes]:
    file = os.open(name, _OPEN, dir_fd=fd)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            return _special(path, status.st_mode), b""
        wrong = check_file(path, full_path, status.st_size)
        if wrong is not None:
            return wrong, b""
        with os.fdopen(file, "rb", closefd=False) as reader:
            data = reader.read(MAX_FILE + 1)
    finally:
        os.close(file)
    wrong = check_file(path, full_path, len(data))  # it may have grown
    return (
        (wrong, b"")
        if wrong
        else (Entry(path, full_path, f"sha256:{hashlib.sha256(data).hexdigest()}", len(data)), data)
    )


def _special(path: str, mode: int) -> SpecProblem:
    link = stat.S_ISLNK(mode)
    what = "a symbolic link" if link else "neither a file nor a directory"
    code = "symlink" if link else "file-kind"
    return problem(shown(path), code, f"this is {what}: only regular files are read", "put the file itself here")


def _digest(entries: Sequence[Entry], problems: Sequence[SpecProblem]) -> str:
    summary = hashlib.sha256()
    for entry in entries:
        summary.update(f"{entry.full_path}\0{entry.blob}\0".encode("utf-8", "surrogateescape"))
    for wrong in problems:
        summary.update(f"{wrong.path}\0{wrong.code}\0".encode())
    return summary.hexdigest()[:40]
