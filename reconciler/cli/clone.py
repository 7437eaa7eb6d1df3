"""Copy a job file under a new name, comments and all, and say what means another thing there.

JOB and NEW are names of jobs; the files are below the jobs directory of the work tree here (or --dir). What names the
job itself (`name`, `moved_from`) is left out. Nothing is committed.
"""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..model.errors import Permanent, UsageError
from .output import plain

if TYPE_CHECKING:
    from ..model.job import DesiredJob
    from ..model.service import ServiceConfig

SUFFIXES = (".yaml", ".yml")
LEFT_OUT = ("name", "moved_from")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", help="the job to copy")
    parser.add_argument("new", help="the name of the copy")
    parser.add_argument("--dir", metavar="DIR", help="the jobs directory (default: a configured path here, else here)")
    parser.add_argument("--suspend", action="store_true", help="the copy does not fire until its `suspend` is removed")


def run(args: argparse.Namespace) -> int:
    from ..model.ids import is_job_name
    from .context import settings

    config = settings(args)
    root = root_of(config, args.dir)
    if not is_job_name(args.new):
        raise UsageError(f"cannot clone {args.job}: {args.new!r} cannot be the name of a job",
                         hint="Parts are lower-case letters, digits, - and _, at most 63.")  # fmt: skip
    source, target = file_of(root, args.job), root / f"{args.new}.yaml"
    if source is None:
        raise UsageError(f"cannot clone {args.job}: there is no {root / args.job}.yaml", code="job-unknown",
                         hint="--dir names the jobs directory")  # fmt: skip
    if file_of(root, args.new) is not None:
        raise UsageError(f"cannot clone {args.job}: {args.new} is there already", code="file-exists",
                         hint="choose another name")  # fmt: skip
    made = target.parent
    new_folders = [folder for folder in (made, *made.parents) if not folder.exists()]
    made.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        file.write(copied(source.read_bytes(), suspend=args.suspend))
    try:
        old, new = read_job(config, source), read_job(config, target)
    except Permanent:
        target.unlink()
        for folder in new_folders:
            folder.rmdir()
        raise
    print(f"created  {os.path.relpath(target)}")
    for line in differences(old, new):
        print(f"  {plain(line)}")
    if not args.suspend and new.spec.schedule.kind != "manual" and not new.spec.suspend:
        print("  Once it is committed, both fire. With --suspend the copy waits.")
    return 0


def copied(data: bytes, *, suspend: bool) -> bytes:
    """The file without the fields that name one job; with `suspend`, with that instead of its own."""
    left_out = (*LEFT_OUT, "suspend") if suspend else LEFT_OUT
    lines, kept, within = data.decode("utf-8", "surrogateescape").splitlines(keepends=True), [], False
    for line in lines:
        if line[:1] not in (" ", "\t", "#", "\n", "\r", "") and not line.startswith("- "):
            within = line.partition(":")[0].strip(" \"'") in left_out
        if not within or line.startswith("#") or not line.strip():
            kept.append(line)
    text = "".join(kept)
    if suspend:
        text += "" if text.endswith("\n") else "\n"
        text += "suspend: true  # a copy: remove this line to let it fire\n"
    return text.encode("utf-8", "surrogateescape")


def differences(old: "DesiredJob", new: "DesiredJob") -> list[str]:
    """What the copy means otherwise: another owner, other defaults above it."""
    from ..plan.changes import field_changes

    said = [change for change in field_changes(old.spec, new) if change.field != "suspend"]
    return [f"{change.field}: {change.old or 'none'} -> {change.new or 'none'}" for change in said]


def root_of(config: "ServiceConfig", said: str | None) -> Path:
    if said is not None:
        return Path(said).absolute()
    here = Path.cwd()
    return next((here / path for path in config.source.paths if (here / path).is_dir()), here)


def file_of(root: Path, job: str) -> Path | None:
    return next((path for suffix in SUFFIXES if (path := root / f"{job}{suffix}").is_file()), None)


def read_job(config: "ServiceConfig", path: Path, verb: str = "clone") -> "DesiredJob":
    """Raises Permanent if it is no valid job. `verb`: what it is read for."""
    from ..app.reading import read_file

    reading = read_file(config, path)
    job = next((job for job in reading.desired.jobs.values() if path.as_posix().endswith("/" + job.path)), None)
    if job is None:
        first = next((problem for problem in reading.problems if problem.is_error), None)
        raise Permanent(f"cannot {verb} it: {first or f'{path} is no job file'}", code="clone-invalid",
                        hint=first.hint if first is not None else "")  # fmt: skip
    return job
