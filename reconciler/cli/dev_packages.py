"""What was installed by hand in a shell: told as lines for the job's `packages`, and written into its file if asked."""

import os
import sys
from collections.abc import Sequence
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
        _write(config, path, added)


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


def _write(config: ServiceConfig, path: Path, added: dict[str, list[str]]) -> None:
    """The file is read again as the service reads it: unless it says what it said, and the packages, it stays as it
    was."""
    from ..app.trying import checkable
    from ..importers.add_packages import with_packages
    from .clone import read_job

    before = path.read_bytes()
    made = with_packages(before.decode("utf-8", "surrogateescape"), added)
    if made is None:
        print("It cannot be added there by itself: write the lines above.", file=sys.stderr)
        return
    try:
        old = read_job(checkable(config), path, "add to")
        path.write_bytes(made.encode("utf-8", "surrogateescape"))
        new = read_job(checkable(config), path, "add to")
        fits = new.spec == replace(old.spec, packages=new.spec.packages) and all(
            line in getattr(new.spec.packages, manager) for manager, lines in added.items() for line in lines
        )
    except ReconcilerError as error:
        path.write_bytes(before)
        print(f"It was not written: {plain(error)}", file=sys.stderr)
        return
    if not fits:
        path.write_bytes(before)
        print("It cannot be added there by itself: write the lines above.", file=sys.stderr)
        return
    print(f"written  {plain(os.path.relpath(path))}; nothing is committed", file=sys.stderr)
