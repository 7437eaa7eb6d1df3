"""What runs leave in their outputs directory -> files of ours below the state directory, bounded, whole or not at all.

    outputs/RUN-ID/data/...       what was kept
    outputs/RUN-ID/manifest.json  what that is, and what was left out

The tree is made by us alone, from names that are checked: it holds no link, no special file and no mode of the job's.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from ..model.disk import refused
from ..model.errors import StateError
from ..model.outputs import Kept, OutputPart, PartKind
from ..model.run import RunRecord

OUTPUTS = "outputs"
MOST_SKIPPED = 100  # names of what is never kept
LONGEST_NAME, LONGEST_PATH, DEEPEST = 255, 2048, 64
MANY = 1000  # files, from which on the whole file system is synced at once
_NAME_LIMIT = 200  # of a directory of ours; the rest is for suffixes
_HALF = ".half"


def place_of(run: RunRecord, state_dir: Path) -> Path:
    """By the run's id alone: a job may be renamed, and two jobs never share a place."""
    name = run.run_id
    if len(name) > _NAME_LIMIT:
        name = f"{hashlib.sha256(name.encode()).hexdigest()}.{name[64 - _NAME_LIMIT :]}"
    return state_dir / OUTPUTS / name


def collect(parts: Iterable[OutputPart], place: Path, max_bytes: int, max_entries: int) -> Kept:
    """Keep the parts in order until one goes beyond a bound; it and all after it are left out, and the manifest says
    so. What was collected before stays as it is. Raises StateError (a full disk): then nothing was kept yet, and it may
    be tried again; and what `parts` raises."""
    known = read(place)
    if known is not None:
        return known
    half = place.with_name(place.name + _HALF)
    try:
        shutil.rmtree(half, ignore_errors=True)
        (half / "data").mkdir(parents=True, mode=0o750)
        kept = _fill(half / "data", parts, max_bytes, max_entries)
        _write(half / "manifest.json", json.dumps(_data(kept)).encode())
        if kept.entries > MANY:
            os.sync()
        else:
            _sync_tree(half)
        half.rename(place)
        _sync(place.parent)
    except OSError as error:
        shutil.rmtree(half, ignore_errors=True)
        raise _state_error(place, error) from error
    return kept


def read(place: Path) -> Kept | None:
    """What was kept of a run; None = nothing was collected. Raises StateError."""
    try:
        said = json.loads((place / "manifest.json").read_bytes())
        return Kept(tuple((path, size) for path, size in said["files"]), said["entries"], said["left_out"], said["why"],
                    tuple(said["skipped"]), said["skipped_in_all"])  # fmt: skip
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _state_error(place, error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(f"cannot read {place}/manifest.json: it was damaged", code="state-error") from error


def remove(runs: Iterable[RunRecord], state_dir: Path) -> None:
    """Delete what was kept of runs that history has let go of. What cannot be deleted now is left behind."""
    for run in runs:
        place = place_of(run, state_dir)
        for path in (place, place.with_name(place.name + _HALF)):
            shutil.rmtree(path, ignore_errors=True)


def _fill(root: Path, parts: Iterable[OutputPart], max_bytes: int, max_entries: int) -> Kept:
    files: dict[str, int] = {}
    skipped: list[str] = []
    entries = total = odd = 0
    for part in parts:
        path = _clean(part.path)
        strange = path is None or path in files or part.kind is PartKind.OTHER
        if path is None or strange or (part.kind is PartKind.COPY and part.source not in files):
            odd += 1
            skipped += [part.path] if len(skipped) < MOST_SKIPPED else []
            if odd > max_entries:
                return _kept(files, entries, part.path, "more entries than limits.outputs_entries", skipped, odd)
            continue
        size = part.size if part.kind is PartKind.FILE else 0
        why = "more entries than limits.outputs_entries" if entries >= max_entries else ""
        why = why or ("more bytes than limits.outputs_bytes" if total + size > max_bytes else "")
        if why:
            return _kept(files, entries, part.path, why, skipped, odd)
        entries, total = entries + 1, total + size
        _make(root / path, part, root)
        if part.kind is not PartKind.DIRECTORY:
            files[path] = size if part.kind is PartKind.FILE else files[part.source]
    return _kept(files, entries, "", "", skipped, odd)


def _make(path: Path, part: OutputPart, root: Path) -> None:
    if part.kind is PartKind.DIRECTORY:
        path.mkdir(parents=True, exist_ok=True, mode=0o750)
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    if part.kind is PartKind.COPY:
        path.hardlink_to(root / part.source)
    else:
        _write(path, part.data, 0o750 if part.executable else 0o640)


def _kept(files: dict[str, int], entries: int, left_out: str, why: str, skipped: list[str], odd: int) -> Kept:
    return Kept(tuple(files.items()), entries, left_out, why, tuple(skipped), odd)


def _clean(path: str) -> str | None:
    """The path as a plain relative one; None = no file of ours is called that."""
    parts = path.rstrip("/").split("/")
    good = all(part not in ("", ".", "..") and len(os.fsencode(part)) <= LONGEST_NAME for part in parts)
    good = good and len(parts) <= DEEPEST and len(os.fsencode(path)) <= LONGEST_PATH and "\0" not in path
    return "/".join(parts) if good else None


def _write(path: Path, data: Iterable[bytes] | bytes, mode: int = 0o640) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(handle, "wb") as file:
        for piece in (data,) if isinstance(data, bytes) else data:
            file.write(piece)


def _sync_tree(root: Path) -> None:
    for parent, _, names in os.walk(root):
        for name in (*names, "."):
            _sync(Path(parent, name))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _data(kept: Kept) -> dict[str, object]:
    return {"files": list(kept.files), "entries": kept.entries, "left_out": kept.left_out, "why": kept.why,
            "skipped": list(kept.skipped), "skipped_in_all": kept.skipped_in_all}  # fmt: skip


def _state_error(place: Path, error: OSError) -> StateError:
    return refused(f"keep outputs in {place}", error, other="see the message",
                   full="free space there; the container keeps them until then")  # fmt: skip
