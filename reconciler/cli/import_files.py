"""Write job files from what another scheduler runs, and say line by line what had no counterpart.

FORMAT is saturn (Saturn Cloud recipes), kubernetes (CronJobs and Jobs), crontab (crontab(5), of a user or the system),
ofelia (its ini file, or labels) or compose (services whose labels hold a schedule). Every file that is written is valid
under the service file in force. A job that lacks something it needs is written with `suspend: true`. docs/import.md
says what becomes of each field. Exit code 0: each FILE gave at least one job; 1: one gave none or only a part,
or files are in the way.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ..importers.model import FORMATS, MAX_BYTES, Kind, NoteCode
from ..model.errors import Permanent, UsageError
from .output import count, plain

if TYPE_CHECKING:
    from ..importers.model import Imported, JobFile, Note, Options
    from ..model.service import ServiceConfig

STDIN = "-"
_HINT = 200  # characters of a hint that a terminal shows; the file and JSON have it whole
_DEFAULTS = ("_defaults.yaml", "_defaults.yml")
_WORDS = {"new": "created", "same": "kept", "other": "replaced"}
_BROKEN = frozenset({NoteCode.UNREADABLE, NoteCode.REFUSED_JOB, NoteCode.TOO_MANY})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("format", choices=FORMATS, help="what FILE is")
    parser.add_argument("file", nargs="+", metavar="FILE", help="what to import; - is standard input")
    parser.add_argument("--into", required=True, metavar="DIR", help="the folder of job files to write to")
    parser.add_argument("--image", metavar="IMAGE", help="for jobs that have no image that can be pulled")
    parser.add_argument("--timezone", metavar="Z", help="IANA zone of schedules whose file says none")
    parser.add_argument("--system", action=argparse.BooleanOptionalAction, default=None,
                        help="the crontab has, or has no, column for the user (default: found out)")  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="print the files instead of writing them")
    parser.add_argument("--force", action="store_true", help="overwrite files that are there")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="(default text)")


def run(args: argparse.Namespace) -> int:
    from .context import settings
    from .output import print_json

    _check_options(args)
    config = settings(args)
    into = Path(os.path.abspath(args.into))  # noqa: PTH100  # links stay what they are called
    found = _convert(args, config, into)
    files = [file for imported in found for file in imported.files]
    notes = [note for imported in found for note in imported.notes]
    places = {file.name: _place(into, file) for file in files}
    states = {file.name: _state(places[file.name], file) for file in files}
    if not args.dry_run:
        _refuse_clashes([places[name] for name, state in states.items() if state == "other"], force=args.force)
        _write(into, [(places[file.name], file.text) for file in files if states[file.name] != "same"])
    if args.output == "json":
        print_json({"files": [_row(file, places[file.name], states[file.name], args) for file in files],
                    "notes": [_note_row(note) for note in notes]})  # fmt: skip
    elif args.dry_run:
        print("---\n".join(f"# {os.path.relpath(places[file.name])}\n{file.text}" for file in files), end="")
    else:
        for file in files:
            print(f"{_WORDS[states[file.name]]:<9}{os.path.relpath(places[file.name])}")
    if args.output == "text":
        print_notes(notes, sys.stderr if args.dry_run else sys.stdout)
        print(summary(files, notes), file=sys.stderr)
    return max(_code(found), 0 if args.dry_run else _check(config, into, files))


def _check_options(args: argparse.Namespace) -> None:
    """What would spoil every job is refused at once."""
    from ..schedule.zones import find_zone
    from ..spec.images import parse_image

    if args.timezone is not None and find_zone(args.timezone) is None:
        raise UsageError(f"cannot import with --timezone {args.timezone}: there is no such zone",
                         hint="an IANA name, such as Europe/Berlin")  # fmt: skip
    try:
        parse_image(args.image or "busybox")
    except ValueError as error:
        raise UsageError(f"cannot import with --image {args.image}: it {error}",
                         hint="like registry.example.org/team/name:tag") from None  # fmt: skip


def _convert(args: argparse.Namespace, config: "ServiceConfig", into: Path) -> "list[Imported]":
    from ..importers.formats import convert
    from ..importers.model import Options
    from .output import working

    given = Options(image=args.image or "", timezone=args.timezone or "", system=args.system)
    options = options_for(config, into, given)
    found = []
    with working("reading"):
        for name in args.file:
            found.append(convert(args.format, _content(name), "stdin" if name == STDIN else name, options))
            names = (file.name.rpartition("/")[2] for file in found[-1].files)
            options = replace(options, taken=options.taken | frozenset(names))
    return found


def _content(name: str) -> bytes:
    """At most one byte more than is read."""
    if name == STDIN:
        return b"" if sys.stdin is None else sys.stdin.buffer.read(MAX_BYTES + 1)
    with Path(name).open("rb") as file:
        return file.read(MAX_BYTES + 1)


def options_for(
    config: "ServiceConfig", into: Path, given: "Options | None" = None, root: Path | None = None
) -> "Options":
    """For files that go to `into`, with the `_defaults.yaml` above it. `root`: what job names are counted from."""
    from ..app.reading import jobs_directory
    from ..importers.model import Options
    from ..model.ids import is_job_name

    root = root or jobs_directory(config, into / "x.yaml")
    folder = "" if into == root else into.relative_to(root).as_posix()
    if folder and not is_job_name(folder):
        raise UsageError(f"cannot import into {os.path.relpath(into)}: {folder} cannot be a part of a job's name",
                         hint="Parts are lower-case letters, digits, - and _, at most 63.")  # fmt: skip
    chain = [directory for directory in (into, *into.parents) if directory == root or root in directory.parents]
    defaults = {(directory / name).relative_to(root).as_posix(): (directory / name).read_bytes()
                for directory in chain for name in _DEFAULTS if (directory / name).is_file()}  # fmt: skip
    return replace(given or Options(), config=config, folder=folder, defaults=defaults)


# -- files -------------------------------------------------------------------------------------------------------------
def _place(into: Path, file: "JobFile") -> Path:
    """Beside a `NAME.yml` no `NAME.yaml` is put: two files of one name are one too many."""
    last = file.name.rpartition("/")[2]
    other = into / f"{last}.yml"
    return other if os.path.lexists(other) else into / f"{last}.yaml"


def _state(path: Path, file: "JobFile") -> str:
    """new, same (nothing to write), or other: what is there would be lost."""
    if not os.path.lexists(path):
        return "new"
    same = path.is_file() and not path.is_symlink() and path.read_bytes() == file.text.encode()
    return "same" if same else "other"


def _refuse_clashes(paths: Sequence[Path], *, force: bool) -> None:
    if paths and not force:
        shown = ", ".join(os.path.relpath(path) for path in paths[:3]) + (", ..." if len(paths) > 3 else "")
        raise Permanent(f"cannot import: {count(len(paths), 'file')} would be overwritten: {shown}", code="file-exists",
                        hint="nothing was written; overwrite with --force, or look first with --dry-run")  # fmt: skip


def _write(into: Path, files: Sequence[tuple[Path, str]]) -> None:
    """Each file at once or not at all; a link is replaced, never followed."""
    if files:
        into.mkdir(parents=True, exist_ok=True)
    for path, text in files:
        beside = path.with_name(f".{path.name}.new")
        beside.unlink(missing_ok=True)
        with beside.open("x", encoding="utf-8") as file:
            file.write(text)
        beside.replace(path)


def _check(config: "ServiceConfig", into: Path, files: "Sequence[JobFile]") -> int:
    """What was written, read as the service would read it: 1 if it finds an error in one of the files."""
    from ..app.reading import files_of, jobs_directory, read_once
    from ..spec.render import render_problems

    if not files:
        return 0
    root = jobs_directory(config, into / "x.yaml")
    reading = read_once(files_of(config, root, ("",)))
    names = {file.name for file in files}
    bad = [p for p in reading.problems if p.is_error and p.path.rpartition(".")[0] in names]
    if bad:
        print(render_problems(bad, "text", reading.sources), file=sys.stderr)
    return 1 if bad else 0


# -- what is said ------------------------------------------------------------------------------------------------------
def print_notes(notes: "Sequence[Note]", stream: TextIO) -> None:
    for note in notes:
        place = f"{plain(note.path)}:{note.line}:{note.column}"
        print(f"{place}: {note.kind}: {plain(note.message)} [{note.code}]", file=stream)
        if note.hint:
            hint = plain(note.hint)
            print(f"    {hint if len(hint) <= _HINT else hint[: _HINT - 3] + '...'}", file=stream)


def summary(files: "Sequence[JobFile]", notes: "Sequence[Note]") -> str:
    """`3 jobs, 2 suspended: 5 needed, 2 not kept, 3 changed`."""
    suspended = sum(file.suspended for file in files)
    text = count(len(files), "job") + (f", {suspended} suspended" if suspended else "")
    counts = [f"{number} {kind}" for kind in Kind if (number := sum(note.kind is kind for note in notes))]
    return f"{text}: {', '.join(counts)}" if counts else text


def _row(file: "JobFile", path: Path, state: str, args: argparse.Namespace) -> dict[str, object]:
    row: dict[str, object] = {"job": file.name, "path": os.path.relpath(path), "suspended": file.suspended}
    if args.dry_run:
        return {**row, "state": "planned", "text": file.text}
    return {**row, "state": _WORDS[state]}


def _note_row(note: "Note") -> dict[str, object]:
    return {"path": note.path, "line": note.line, "column": note.column, "kind": note.kind.value,
            "code": note.code.value, "message": note.message, "hint": note.hint, "job": note.job}  # fmt: skip


def _code(found: "Sequence[Imported]") -> int:
    short = (not imported.files or any(note.code in _BROKEN for note in imported.notes) for imported in found)
    return 1 if any(short) else 0
