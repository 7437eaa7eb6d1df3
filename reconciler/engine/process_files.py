"""In: orders and the instance's key. Out: signed JSON files of standing jobs, and run folders made and removed whole.

process/jobs/<job>.json  a standing job
process/runs/<run id>/   a run: see process_folder.py
process/trash/           what is being made or deleted
"""

import errno
import hashlib
import hmac
import json
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..model.errors import EngineRejected, EngineUnavailable
from .base import EngineContext
from .process_folder import BLANK_EXIT, Folder

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def reported(what: str) -> Iterator[None]:
    """Turn an OSError of our own files into "cannot <what>: <reason>", EngineUnavailable unless it cannot pass."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            message = f"cannot {what}: the job's name is too long for a file of this host"
            raise EngineRejected(message, code="name-too-long", hint="Shorten the job's path.") from error
        full = error.errno in _FULL
        raise EngineUnavailable(
            f"cannot {what}: {error.strerror or error}",
            code="disk-full" if full else "engine-unavailable",
            hint="Free space below the state directory." if full else "Check the state directory's permissions.",
        ) from error


@dataclass(frozen=True, slots=True)
class Seal:
    """Signs our JSON files, so that ours are told from foreign ones (rule P2). `adopts`: after a takeover the key with
    which they were signed is lost; then a file of the service's own user in its own place is ours without proof."""

    instance_id: str
    key: bytes
    adopts: bool = False

    def close(self, body: Mapping[str, Any]) -> bytes:
        sealed = {**body, "instance_id": self.instance_id}
        return json.dumps({**sealed, "mac": self._mac(sealed)}, indent=1, sort_keys=True).encode() + b"\n"

    def open(self, data: bytes, owner: int = -1) -> dict[str, Any] | None:
        """The body, or None if these bytes, of a file that this user id owns, are not provably ours."""
        try:
            sealed = json.loads(data)
            mac = sealed.pop("mac")
            good = sealed["instance_id"] == self.instance_id and hmac.compare_digest(mac, self._mac(sealed))
            good = good or (self.adopts and owner == os.geteuid())
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        return sealed if good else None

    def _mac(self, body: Mapping[str, Any]) -> str:
        canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
        return hmac.new(self.key, b"process-engine\0" + canonical, hashlib.sha256).hexdigest()


class SealedFiles:
    """Reads signed files, once each as long as they do not change. Safe across threads: entries are swapped whole."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal
        self._cache: dict[str, tuple[tuple[int, int, int], dict[str, Any] | None]] = {}

    def read(self, path: Path) -> dict[str, Any] | None:
        """The body, or None if it is foreign. Raises FileNotFoundError if it is absent."""
        return self._read(str(path), partial(os.lstat, path))

    def read_all(self, parent: Path) -> Iterator[tuple[str, dict[str, Any] | None]]:
        """Name and body of every `.json` file of a folder. A thousand unchanged ones cost a few milliseconds."""
        with os.scandir(parent) as entries:
            found = [entry for entry in entries if entry.name.endswith(".json") and not entry.name.startswith(".")]
        for entry in found:
            try:
                yield entry.name, self._read(entry.path, partial(entry.stat, follow_symlinks=False))
            except FileNotFoundError:
                continue  # removed meanwhile
        there = {entry.path for entry in found}
        for gone in [path for path in list(self._cache) if path not in there and path.startswith(f"{parent}/")]:
            self._cache.pop(gone, None)

    def forget(self, path: Path) -> None:
        self._cache.pop(str(path), None)

    def _read(self, path: str, look: Callable[[], os.stat_result]) -> dict[str, Any] | None:
        try:
            info = look()
            signature = (info.st_ino, info.st_mtime_ns, info.st_size)
            known = self._cache.get(path)
            if known is None or known[0] != signature:
                regular = stat.S_ISREG(info.st_mode)
                body = self._seal.open(Path(path).read_bytes(), info.st_uid) if regular else None
                known = self._cache[path] = (signature, body)
        except (FileNotFoundError, NotADirectoryError) as error:
            self._cache.pop(path, None)
            raise FileNotFoundError(path) from error
        return known[1]

    def write(self, path: Path, body: Mapping[str, Any]) -> None:
        """Whole or not at all, after a power loss too."""
        write_whole(path, self._seal.close(body))


def write_whole(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{threading.get_ident()}.new")
    with temporary.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Layout:
    """The engine's part of the state directory. `outside`: where runs go if their user cannot reach it there; a link
    in their place keeps them found whatever changes later."""

    def __init__(self, context: EngineContext, outside: Path | None, *, adopts: bool = False) -> None:
        self._outside = outside
        self.root = Path(context.state_dir).absolute() / "process"
        self.jobs = self.root / "jobs"
        self._runs = self.root / "runs"
        self.runs = self._runs
        self.trash = self.root / "trash"
        self.sealed = SealedFiles(Seal(context.instance_id, context.key, adopts))

    def create(self) -> None:
        """Make what is missing; a job's user may pass through `runs` but not list it."""
        make_folder(self.root, 0o711, parents=True)
        make_folder(self.jobs, 0o700)
        place = self._outside if self._outside is not None and not self._runs.is_dir() else None
        if self._runs.is_symlink():
            place = self._runs.readlink().parent
        if place is not None:
            make_folder(place, 0o711)
            self._runs.unlink(missing_ok=True)
            self._runs.symlink_to(place / "runs")
            self.runs, self.trash = place / "runs", place / "trash"
        make_folder(self.runs, 0o711)
        make_folder(self.trash, 0o700)

    def sweep(self) -> None:
        """Delete what an earlier service was making or deleting when it went down."""
        for leftover in self.trash.iterdir():
            remove_tree(leftover)
        for unfinished in self.jobs.glob(".*.new"):
            unfinished.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave nothing outside the state directory when no run is there."""
        if self.runs is self._runs:
            return
        try:
            for path in (self.trash, self.runs, self.runs.parent):
                path.rmdir()
        except OSError:
            pass  # something is still there: it is found again

    def folder(self, run_id: str) -> Folder:
        return Folder(self.runs / run_id)

    def order(self, run_id: str) -> dict[str, Any] | None:
        """The signed order of a run, None if the folder is foreign. Raises FileNotFoundError if absent."""
        folder = self.runs / run_id
        try:
            return self.sealed.read(folder / "order.json")
        except FileNotFoundError:
            if not folder.exists():
                raise
        try:
            return self.sealed.read(folder / "order.json")  # the folder may have come between the two looks
        except FileNotFoundError:
            return None

    def build(self, order: Mapping[str, Any], fill: Callable[[Folder], None]) -> None:
        """Make a run's folder, wholly or not at all. Raises FileExistsError if the run is there."""
        run_id, ref = order["run_id"], order["ref"]
        draft = Folder(self.trash / ref)
        draft.path.mkdir(mode=0o711)
        draft.path.chmod(0o711)
        (draft.path / "ref").write_text(f"{ref}\n")
        (draft.path / "ref").chmod(0o644)
        for name in ("state", "work"):
            (draft.path / name).mkdir(mode=0o700)
        (draft.path / "state/exit").write_bytes(BLANK_EXIT)
        fill(draft)
        self.sealed.write(draft.path / "order.json", order)
        try:
            draft.path.rename(self.runs / run_id)
        except OSError as error:
            remove_tree(draft.path)
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise FileExistsError(run_id) from error
            raise
        sync_folder(self.runs)

    def remove(self, run_id: str, ref: str) -> None:
        """Delete a run's folder: out of sight at once, its ref first, so that nothing can start in what remains."""
        doomed = self.trash / f"{ref}.gone"
        try:
            (self.runs / run_id).rename(doomed)
        except FileNotFoundError:
            return
        self.sealed.forget(self.runs / run_id / "order.json")
        (doomed / "ref").unlink(missing_ok=True)
        remove_tree(doomed)


def make_folder(path: Path, mode: int, *, parents: bool = False) -> None:
    """A folder of ours with exactly this mode. Raises PermissionError if another user made it or may change it."""
    path.mkdir(mode=mode, parents=parents, exist_ok=True)
    info = path.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, f"{path} is not a folder of this service's user")
    path.chmod(mode)


def remove_tree(path: Path) -> None:
    """Remove a tree that a job may have filled, folders that it closed to its own user included."""
    shutil.rmtree(path, ignore_errors=True)
    if not path.exists():
        return
    if os.geteuid() != 0:  # root needs no permission, and must not chmod where a job could swap in a link
        for parent, names, _ in os.walk(path):
            for name in [parent, *(str(Path(parent, name)) for name in names)]:
                if not Path(name).is_symlink():
                    Path(name).chmod(0o700)
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        pass  # removed by another thread
