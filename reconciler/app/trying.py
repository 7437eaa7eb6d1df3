"""A job file that is not applied, and what it needs of its directory: taken together by the client, read by the service
exactly as a commit's, policy included."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..model.desired import Commit, Entry, Snapshot
from ..model.errors import Permanent
from ..model.job import JobSpec
from ..model.problem import SpecProblem
from ..model.service import ServiceConfig
from ..source.directory import Directory
from ..spec.desire import desire
from .reading import beside, jobs_directory

MOST_FILES = 500


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried. `revision` stands for the files as they were."""

    spec: JobSpec
    revision: str


def bundle(config: ServiceConfig, path: Path) -> tuple[str, dict[str, str]]:
    """`(path in its jobs directory, contents by path in base64)`. Raises SourceRejected, SourceUnavailable."""
    path = path.absolute()
    root = jobs_directory(config, path)
    source = Directory(str(root), ("",), keep=beside(root, path))
    try:
        snapshot = source.snapshot(None)
        found = source.read(tuple({entry.blob for entry in snapshot.entries}))
    finally:
        source.close()
    files = {entry.path: base64.b64encode(found[entry.blob]).decode("ascii") for entry in snapshot.entries}
    return path.relative_to(root).as_posix(), files


def read_trial(config: ServiceConfig, path: str, files: Mapping[str, str]) -> Trial:
    """The job that `path` is. Raises Permanent (`try-invalid`) with what is wrong first."""
    contents = {name: _decoded(name, text) for name, text in sorted(files.items())}
    if path not in contents or len(contents) > MOST_FILES:
        raise Permanent(f"cannot try {path!r}: it is not among the files sent, or they are more than {MOST_FILES}",
                        code="try-invalid")  # fmt: skip
    blobs = {name: "sha256:" + hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    by_blob = {blob: contents[name] for name, blob in blobs.items()}
    whole = hashlib.sha256(repr(sorted(blobs.items())).encode()).hexdigest()
    entries = tuple(Entry(name, name, blobs[name], len(contents[name])) for name in contents)
    flat = replace(config, source=replace(config.source, paths=("",)))
    commit = Commit(f"dir:{whole[:40]}")
    desired, _ = desire(Snapshot(commit, "", entries), lambda wanted: {b: by_blob[b] for b in wanted}, flat, {})
    job = next((job for job in desired.jobs.values() if job.path == path), None)
    if job is None:
        raise Permanent(f"cannot try {path}: {_wrong(desired.problems, path)}", code="try-invalid",
                        hint=f"reconciler validate {path}")  # fmt: skip
    return Trial(job.spec, commit.id)


def _decoded(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Permanent(
            f"cannot try it: the contents of {name[:200]!r} are not in base64", code="try-invalid"
        ) from None


def _wrong(problems: tuple[SpecProblem, ...], path: str) -> str:
    errors = [problem for problem in problems if problem.is_error]
    first = next((problem for problem in errors if problem.path == path), errors[0] if errors else None)
    return "it is no job file" if first is None else f"{first.path}:{first.line}:{first.column}: {first.message}"
