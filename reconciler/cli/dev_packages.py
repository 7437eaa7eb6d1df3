"""What was installed by hand in a shell: told as lines for the job's `packages`, and written into its file if asked."""

import base64
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..model.errors import ReconcilerError
from ..model.run import RunRecord
from ..model.service import ServiceConfig
from .output import plain

if TYPE_CHECKING:
    from ..spec.interactive import Change


def tell(config: ServiceConfig, record: RunRecord, job: str, file: str | None, *, ask: bool) -> None:
    """To standard error. `file`: the job's, None = it is looked for here; `ask`: a person can answer."""
    from ..importers.add_packages import fragment

    changes = _changes(config, record)
    if not changes:
        return
    print("Installed by hand:", file=sys.stderr)
    for change in changes:
        print(f"  {plain(change)}", file=sys.stderr)
    added = _lists(changes)
    if not added:
        return
    print("In the job file:", *(f"  {plain(line)}" for line in fragment(added)), sep="\n", file=sys.stderr)
    path = _file(config, job, file)
    if ask and path is not None and _agreed(path):
        write_into(config, path, added)


def _changes(config: ServiceConfig, record: RunRecord) -> "tuple[Change, ...]":
    from ..spec.interactive import AFTER, BEFORE, installed_by_hand

    return installed_by_hand(*(_note(config, record, name) for name in (BEFORE, AFTER)))


def _note(config: ServiceConfig, record: RunRecord, name: str) -> bytes:
    """b"" = it was not made."""
    from ..server.remote import RemoteReader
    from ..spec.interactive import MOST_BYTES
    from ..workspace.outputs import place_of
    from .context import ledger
    from .outputs import kept_of

    with ledger(config) as history:
        kept = kept_of(history, config, record)
        if kept is None or name not in dict(kept.files):
            return b""
        if not isinstance(history, RemoteReader):
            with (place_of(record, Path(config.state_dir)) / "data" / name).open("rb") as file:
                return file.read(MOST_BYTES)
        data = b""
        for piece, _ in history.output(record.run_id, name):
            data += piece
            if len(data) > MOST_BYTES:
                break
        return data


def _lists(changes: "Sequence[Change]") -> dict[str, list[str]]:
    """What is to be in the file, by manager. What is gone is told and left there: nobody asked for it to go."""
    found: dict[str, list[str]] = {}
    for change in changes:
        if change.now:
            found.setdefault(change.manager, []).append(change.line)
    return found


def _file(config: ServiceConfig, job: str, said: str | None) -> Path | None:
    from .clone import file_of, root_of

    if said is not None:
        return Path(said)
    return file_of(root_of(config, None), job)


def _agreed(path: Path) -> bool:
    print(f"Write it into {plain(os.path.relpath(path))}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def write_into(config: ServiceConfig, path: Path, added: dict[str, list[str]]) -> None:
    """What would be in the file is read elsewhere as the service reads it: unless it says what the file said, and the
    packages, the file stays as it was. It is replaced in one step: nothing in between can lose it."""
    from ..importers.add_packages import with_packages

    before = path.read_bytes()
    text = with_packages(before.decode("utf-8", "surrogateescape"), added)
    made = b"" if text is None else text.encode("utf-8", "surrogateescape")
    try:
        if text is None or not _fits(config, path, made, added):
            print("It cannot be added there by itself: write the lines above.", file=sys.stderr)
            return
        _replace(path, made)
    except (ReconcilerError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        print(f"It was not written: {plain(reason)}", file=sys.stderr)
        return
    print(f"written  {plain(os.path.relpath(path))}; nothing is committed", file=sys.stderr)


def _fits(config: ServiceConfig, path: Path, made: bytes, added: dict[str, list[str]]) -> bool:
    """Does a copy of the job with these contents mean what the job means, and the packages? Raises ReconcilerError,
    OSError."""
    from ..app.trying import bundle, checkable
    from .clone import read_job

    path, config = path.absolute(), checkable(config)
    old = read_job(config, path, "add to")
    name, files = bundle(config, path)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, *path.parts[1:])  # at a place of the same name: names of jobs come from it
        root = copy.parents[name.count("/")]
        for other, data in files.items():
            (root / other).parent.mkdir(parents=True, exist_ok=True)
            (root / other).write_bytes(base64.b64decode(data))
        copy.write_bytes(made)
        new = read_job(config, copy, "add to")
    return new.spec == replace(old.spec, packages=new.spec.packages) and all(
        line in getattr(new.spec.packages, manager) for manager, lines in added.items() for line in lines
    )


def _replace(path: Path, data: bytes) -> None:
    """Mode and owner stay. Raises OSError."""
    target = path.resolve()
    was = target.stat()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            with suppress(PermissionError):  # somebody else's: then it is whose who writes it
                os.fchown(handle, was.st_uid, was.st_gid)
            os.fchmod(handle, was.st_mode & 0o7777)
            os.fsync(handle)
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
