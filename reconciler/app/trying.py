"""A job file that is not applied, and what it needs of its directory: taken together by the client, read by the service
exactly as a commit's, policy included. Encrypted secrets alone never come from the client: it could give the file of
somebody else's secret the name of one that is its own.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from posixpath import normpath
from threading import Lock

from ..model.desired import Commit, Entry, Snapshot
from ..model.errors import Permanent, Transient
from ..model.job import JobSpec
from ..model.live import StandingJob
from ..model.problem import SpecProblem
from ..model.secret import StoreConfig
from ..model.service import ServiceConfig
from ..source.directory import Directory
from ..spec.desire import desire
from ..spec.tree import DEFAULTS
from .reading import beside, jobs_directory

MOST_FILES = 500
LONGEST_PATH = 1024  # characters
PATIENCE = 5.0  # seconds that one trial waits for another to be read


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


def checkable(config: ServiceConfig) -> ServiceConfig:
    """For the client's own check: which secrets there are, the service alone decides."""
    return replace(config, secret_stores=(StoreConfig("directory"),))


def read_trial(
    config: ServiceConfig, standing: Mapping[str, StandingJob], path: str, files: Mapping[str, str]
) -> Trial:
    """The job that `path` is; its encrypted secrets are those of the jobs in force, `standing`. Raises Permanent
    (`try-invalid`) with what is wrong first."""
    ages = [store for store in config.secret_stores if store.type == "age"]
    contents = {name: _decoded(name, text) for name, text in sorted(files.items())
                if not any(_within(name, store.path) for store in ages)}  # fmt: skip
    if path not in contents or len(contents) > MOST_FILES or len(path) > LONGEST_PATH:
        message = f"cannot try {path[:200]!r}: it is not among the files sent, or they are more than {MOST_FILES}"
        raise Permanent(message, code="try-invalid")
    for store in ages[:1]:
        contents |= {f"{store.path}/{name}.age".lstrip("/"): data for name, data in _sealed(standing).items()}
    blobs = {name: "sha256:" + hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    by_blob = {blob: contents[name] for name, blob in blobs.items()}
    whole = hashlib.sha256(repr(sorted(blobs.items())).encode()).hexdigest()
    read = {path, *(f"{folder}{name}" for folder in _folders(path) for name in DEFAULTS)}
    entries = tuple(Entry(name if name in read else f"{name}~", name, blob, len(contents[name]))
                    for name, blob in blobs.items())  # fmt: skip
    flat = replace(config, source=replace(config.source, paths=("",)))
    commit = Commit(f"dir:{whole[:40]}")
    desired, _ = desire(
        Snapshot(commit, "", entries), lambda wanted: {b: by_blob[b] for b in wanted}, flat, {}, partial=True
    )
    job = next((job for job in desired.jobs.values() if job.path == path), None)
    if job is None:
        first = _wrong(desired.problems, path)
        hint = f"reconciler validate {path}"
        if first is not None and first.code == "secret-missing" and ages:
            hint = "a trial has those encrypted secrets that a job in force has: commit it, and a job that names it"
        raise Permanent(f"cannot try {path}: {_words(first)}", code="try-invalid", hint=hint)
    return Trial(job.spec, commit.id)


@contextmanager
def alone(turn: Lock, patience: float = PATIENCE) -> Iterator[None]:
    """For reading a trial: it takes the processor from the loops. Raises Transient after `patience` seconds."""
    if not turn.acquire(timeout=patience):
        raise Transient("cannot read the file now: others are being tried", code="service-busy", hint="try again")
    try:
        yield
    finally:
        turn.release()


def _folders(path: str) -> Iterator[str]:
    """Each that `path` is in, with a slash behind it; the first is "". No other file is read as a job or as defaults:
    a name with `~` behind it is neither, and can still be taken in."""
    yield ""
    yield from (path[: at + 1] for at, letter in enumerate(path) if letter == "/")


def _decoded(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Permanent(
            f"cannot try it: the contents of {name[:200]!r} are not in base64", code="try-invalid"
        ) from None


def _within(name: str, folder: str) -> bool:
    """Is it, or could it be taken for, a file of the store in `folder`?"""
    if not folder:
        return "/" not in normpath(name) and name.endswith(".age")
    return name.startswith(f"{folder}/") or normpath(name).startswith(f"{normpath(folder)}/")


def _sealed(standing: Mapping[str, StandingJob]) -> dict[str, bytes]:
    """The encrypted file of each name, as the job that was applied last has it."""
    jobs = sorted((job for job in standing.values() if job.spec.secrets), key=lambda job: job.applied_at)
    return {ref.name: base64.b64decode(ref.sealed) for job in jobs for ref in job.spec.secrets if ref.sealed}


def _wrong(problems: tuple[SpecProblem, ...], path: str) -> SpecProblem | None:
    errors = [problem for problem in problems if problem.is_error]
    return next((problem for problem in errors if problem.path == path), errors[0] if errors else None)


def _words(problem: SpecProblem | None) -> str:
    return (
        "it is no job file" if problem is None else f"{problem.path}:{problem.line}:{problem.column}: {problem.message}"
    )
