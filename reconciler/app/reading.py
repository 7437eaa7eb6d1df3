"""Configuration or a path -> the desired state, and what its problems are shown with. Needs no ledger and no engine."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ..model.desired import DesiredState, Snapshot
from ..model.live import StandingJob
from ..model.problem import SpecProblem
from ..model.service import ServiceConfig
from ..source.base import Source, trusted
from ..source.directory import Directory
from ..spec.desire import NONE, desire


@dataclass(frozen=True, slots=True)
class Reading:
    """`problems` name files by their path in the repository; `sources` has the contents of those files."""

    desired: DesiredState
    problems: tuple[SpecProblem, ...]
    sources: Mapping[str, bytes]


def open_repository(config: ServiceConfig) -> Source:
    """The configured source; remote objects are cached in the state directory."""
    from ..source.open import open_source  # a plain file needs none of what git needs

    return open_source(config.source, config.git, str(Path(config.state_dir) / "git"), config.people)


def desired_once(
    config: ServiceConfig, applied: str | None = None, standing: Mapping[str, StandingJob] = NONE
) -> DesiredState:
    """The desired state of the newest revision; `standing` as of `desire`. Raises SourceUnavailable, SourceRejected."""
    source = open_repository(config)
    try:
        return desire(trusted(source.snapshot(applied)), source.read, config, {}, standing)[0]
    finally:
        source.close()


def read_once(config: ServiceConfig) -> Reading:
    """The configured source at its newest revision, for whoever shows its problems: that it is not signed as it must be
    is one of them."""
    source = open_repository(config)
    try:
        return _read(source, config)
    finally:
        source.close()


def read_file(config: ServiceConfig, path: Path) -> Reading:
    """One job file with the `_defaults.yaml` above it and what it takes in by `from`; nothing else is looked at."""
    path = path.absolute()
    root = jobs_directory(config, path)
    flat = replace(config, source=replace(config.source, paths=("",)))
    reading = _read(Directory(str(root), ("",), keep=beside(root, path)), flat, partial=True)
    name = path.relative_to(root).as_posix()
    chain = {f"{folder}/_defaults{end}".removeprefix("./") for folder in PurePosixPath(name).parents
             for end in (".yaml", ".yml")}  # fmt: skip
    return replace(reading, problems=tuple(p for p in reading.problems if p.path == name or p.path in chain))


def jobs_directory(config: ServiceConfig, path: Path) -> Path:
    """The directory that job names are counted from: one with the name of a configured path, else the file's own."""
    wanted = [PurePosixPath(p).parts for p in config.source.paths if p]
    for parent in path.parents:
        if any(parent.parts[-len(parts) :] == parts for parts in wanted):
            return parent
    return path.parent


def beside(root: Path, path: Path) -> "_Beside":
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""  # the directory says it, with its own words
    return _Beside(path.relative_to(root).as_posix(), text)


@dataclass(frozen=True, slots=True)
class _Beside:
    """Which files and folders below the jobs directory may matter to one file: what it takes in, it must name."""

    file: str
    text: str

    def __call__(self, path: str) -> bool:
        name = PurePosixPath(path).name
        return path == self.file or self.file.startswith(path + "/") or name in self.text or name in (
            "_defaults.yaml", "_defaults.yml",
        )  # fmt: skip


def _read(source: Source, config: ServiceConfig, *, partial: bool = False) -> Reading:
    snapshot = source.snapshot(None)
    desired, _ = desire(snapshot, source.read, config, {}, partial=partial)
    places = {entry.path: entry.full_path for entry in reversed(snapshot.entries)}
    root = config.source.paths[0].strip("/") if len(config.source.paths) == 1 else ""
    for problem in snapshot.problems:  # of what is no entry: a link, a file that is too large
        places.setdefault(problem.path, f"{root}/{problem.path}" if root not in ("", ".") else problem.path)
    problems = tuple(problem.at(places.get(problem.path, problem.path)) for problem in desired.problems)
    problems += _distrust(snapshot)
    return Reading(desired, problems, _contents(source, snapshot, {problem.path for problem in problems}))


def _distrust(snapshot: Snapshot) -> tuple[SpecProblem, ...]:
    said = snapshot.distrust
    return () if said is None else (SpecProblem(".", 1, 1, said.code, said.message, said.hint),)


def files_of(config: ServiceConfig, directory: Path, paths: tuple[str, ...]) -> ServiceConfig:
    """For reading a plain directory: files that no commit has yet bear no signatures."""
    source = replace(config.source, url=f"dir:{directory}", paths=paths, require_signed="none")
    return replace(config, source=source)


def _contents(source: Source, snapshot: Snapshot, wanted: Iterable[str]) -> dict[str, bytes]:
    wanted = frozenset(wanted)
    blobs = {entry.full_path: entry.blob for entry in snapshot.entries if entry.full_path in wanted}
    found = source.read(tuple(set(blobs.values()))) if blobs else {}
    return {path: found[blob] for path, blob in blobs.items()}
