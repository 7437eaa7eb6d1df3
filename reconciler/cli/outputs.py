"""List the files that a run has left in its outputs directory, or copy them. RUN is a run id, JOB (its latest run) or
JOB@02:30. Only jobs with `outputs` have some; they are kept as long as the run's history."""

import argparse
import shutil
from pathlib import Path

from ..history.base import Reader
from ..model.errors import UsageError
from ..model.outputs import Kept
from ..model.run import RunRecord
from ..model.service import ServiceConfig
from ..server.remote import RemoteReader
from .output import plain, print_json, print_table, size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="a run id, JOB or JOB@02:30")
    parser.add_argument("--to", metavar="DIR", help="copy them into this directory, which must be empty or not there")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="(default text)")


def run(args: argparse.Namespace) -> int:
    from ..workspace.outputs import place_of
    from .context import ledger, now, settings
    from .find import find_run

    config = settings(args, asking=True)
    place = None
    with ledger(config) as history:
        record = find_run(history, config, args.run, now())
        spec, kept = history.spec(record.digest), kept_of(history, config, record)
        if not isinstance(history, RemoteReader):
            place = place_of(record, Path(config.state_dir))
        if kept is not None and args.to:
            _fetch(history, record, kept, place, Path(args.to))
    if kept is None:
        raise UsageError(f"cannot show outputs of {record.run_id}: {_none(record, spec is not None and spec.outputs)}",
                         code="outputs-absent", hint=f"see: reconciler show {record.run_id}")  # fmt: skip
    if args.output == "json":
        print_json(data(record, kept, place))
        return 0
    if args.to:
        print(plain(f"{summary(kept)} copied to {args.to}"))
        return 0
    if kept.files:
        print_table(["SIZE", "PATH"], [[size(length), path] for path, length in kept.files])
    for line in remarks(kept):
        print(plain(line))
    return 0


def kept_of(history: Reader, config: ServiceConfig, run: RunRecord) -> Kept | None:
    """What was kept of a run's outputs, by the state directory or the service; None = nothing was collected."""
    from ..workspace.outputs import place_of, read

    if isinstance(history, RemoteReader):
        return history.outputs(run.run_id)
    return read(place_of(run, Path(config.state_dir)))


def _none(run: RunRecord, wanted: object) -> str:
    if not wanted:
        return "its job has no `outputs`"
    if run.started_at is None:
        return f"it has not started ({run.phase.value})"
    if not run.collected:
        return "they are collected when it has ended"
    return "its container was gone before they were collected, or they were removed with its history"


def data(run: RunRecord, kept: Kept, place: Path | None) -> dict[str, object]:
    """Stable keys; sizes in bytes. No directory where this user may not read it."""
    return {
        "run_id": run.run_id, "directory": str(place / "data") if place is not None else None,
        "complete": not kept.left_out,
        "left_out_from": kept.left_out, "why": kept.why, "skipped": list(kept.skipped),
        "skipped_in_all": kept.skipped_in_all, "bytes": kept.size,
        "files": [{"path": path, "size": length} for path, length in kept.files],
    }  # fmt: skip


def summary(kept: Kept) -> str:
    """`3 files, 1.2 MiB`, and that something was left out."""
    files = f"{len(kept.files)} file{'' if len(kept.files) == 1 else 's'}, {size(kept.size)}"
    return f"{files}; not all: see `reconciler outputs`" if kept.left_out or kept.skipped_in_all else files


def remarks(kept: Kept) -> list[str]:
    """What is not there, and why; the last lines of a listing."""
    said = [] if kept.files else ["no files"]
    if kept.left_out:
        said.append(f"NOT KEPT: {kept.left_out} and all after it, in the order of names: {kept.why}")
    if kept.skipped_in_all:
        names = ", ".join(kept.skipped[:5]) + (", ..." if kept.skipped_in_all > 5 else "")
        said.append(f"never kept: {kept.skipped_in_all} links, special files or odd names: {names}")
    return said


def _fetch(history: Reader, run: RunRecord, kept: Kept, place: Path | None, target: Path) -> None:
    """Copy them into `target`. Nothing that is there is overwritten."""
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise UsageError(f"cannot copy to {target}: it is not empty", code="not-empty", hint="name a new directory")
    if place is not None:
        shutil.copytree(place / "data", target, symlinks=True, dirs_exist_ok=True)  # our own tree, which holds no links
        return
    assert isinstance(history, RemoteReader)
    target.mkdir(parents=True, exist_ok=True)
    for name, _ in kept.files:
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        runnable = False
        with path.open("xb") as file:
            for data, runnable in history.output(run.run_id, name):  # noqa: B007  # the last one counts
                file.write(data)
        if runnable:
            path.chmod(path.stat().st_mode | 0o100)
