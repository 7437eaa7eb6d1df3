"""In: the files of a snapshot, and which file each live job has. Out: which are jobs, defaults or neither, and what
their names alone tell (rule D1)."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ..model.desired import Entry, HeldJob, Snapshot
from ..model.ids import NAME_PART
from ..model.live import StandingJob
from ..model.problem import SpecProblem
from ..model.service import DEFAULT_OWNER, ServiceConfig
from .admission import owner_of

SUFFIXES = (".yaml", ".yml")
DEFAULTS = ("_defaults.yaml", "_defaults.yml")
_NAME_HINT = "Parts are lower-case letters, digits, - and _, at most 63; a file that is no job may begin with _."


@dataclass(frozen=True, slots=True)
class Folder:
    """What the job files of one folder share. `chain`: the full paths of the `_defaults.yaml` files above them,
    outermost first; `context`: a digest of all that they depend on beside their own blob; `legal`: its parts may
    stand in a job's name."""

    chain: tuple[str, ...]
    context: str
    legal: bool


class JobFile(NamedTuple):  # ten thousand of them in each pass
    entry: Entry
    name: str
    folder: Folder


@dataclass(slots=True)
class Tree:
    """The files, sorted out. `held` and `problems`: what is wrong before any file is read. `refused`: newcomers that
    give the name of a job whose own file is in `jobs`. `broken` has, by the path in a chain, the problem of a
    `_defaults.yaml` that the listing refused."""

    jobs: list[JobFile] = field(default_factory=list)
    defaults: dict[str, Entry] = field(default_factory=dict)  # by full path
    broken: dict[str, SpecProblem] = field(default_factory=dict)
    ignored: list[Entry] = field(default_factory=list)
    held: list[HeldJob] = field(default_factory=list)
    refused: list[HeldJob] = field(default_factory=list)
    roots: set[str] = field(default_factory=set)  # jobs directories that have a job file
    problems: list[SpecProblem] = field(default_factory=list)


def owner_or_default(config: ServiceConfig, name: str) -> str:
    """Whose a broken file counts as: a folder belongs to whoever has what is in it."""
    return owner_of(config, name) or owner_of(config, f"{name}/x") or DEFAULT_OWNER


class TreeSorter:
    """One pass over the entries of a snapshot; `sort()` is called once."""

    def __init__(self, snapshot: Snapshot, config: ServiceConfig, standing: Mapping[str, StandingJob]) -> None:
        self.snapshot = snapshot
        self.config = config
        self.standing = standing
        self.tree = Tree()
        self._folders: dict[str, Folder] = {}
        self._base = hashlib.sha256(repr(config).encode()).hexdigest()

    def sort(self) -> Tree:
        candidates = []
        for entry in self.snapshot.entries:
            if not entry.path.endswith(SUFFIXES):
                self.tree.ignored.append(entry)
                continue
            base = entry.path.rpartition("/")[2]
            if base in DEFAULTS:
                self._add_defaults(entry)
            elif entry.path.startswith(("_", ".")) or "/_" in entry.path or "/." in entry.path:
                self._ignore(entry, base)
            else:
                candidates.append(entry)
        self._doubled_defaults()
        self._refused_files()
        self._add_jobs(candidates)
        return self.tree

    def _add_defaults(self, entry: Entry) -> None:
        self.tree.defaults[entry.full_path] = entry

    def _doubled_defaults(self) -> None:
        for path, entry in self.tree.defaults.items():
            if path.endswith(".yml") and path[:-3] + "yaml" in self.tree.defaults:
                message = "there is a _defaults.yaml beside this file"
                self.tree.broken[path] = SpecProblem(
                    entry.path, 1, 1, "defaults-twice", message, "Keep one of the two."
                )

    def _ignore(self, entry: Entry, base: str) -> None:
        self.tree.ignored.append(entry)
        from difflib import get_close_matches  # here and elsewhere: for what is wrong, and slow to import

        if get_close_matches(base, DEFAULTS, 1, 0.85):
            message = "a file whose name begins with _ is no job, and this one is no defaults either"
            self.tree.problems.append(
                SpecProblem(entry.path, 1, 1, "defaults-name", message, 'did you mean "_defaults.yaml"?', "", "warning")
            )

    def _refused_files(self) -> None:
        """What the listing refused (a symlink, an oversized file) is there, and so never counts as deleted."""
        for problem in self.snapshot.problems:
            if not problem.is_error:
                continue
            if problem.path.rpartition("/")[2] in DEFAULTS:
                self.tree.broken[problem.path] = problem
                continue
            self.tree.held.append(self._held(problem.path, problem))

    def _held(self, path: str, problem: SpecProblem) -> HeldJob:
        name = path.rpartition(".")[0] if path.endswith(SUFFIXES) else path
        return HeldJob(name, path, owner_or_default(self.config, name), (problem,))

    # -- jobs -------------------------------------------------------------------------------------------------

    def _add_jobs(self, candidates: list[Entry]) -> None:
        found: dict[str, JobFile] = {}
        twice: dict[str, list[JobFile]] = {}
        for entry in candidates:
            folder = self._folder(entry)
            self.tree.roots.add(entry.full_path[: -len(entry.path)].rstrip("/"))
            name = entry.path.rpartition(".")[0]
            job = JobFile(entry, name, folder)
            if not folder.legal or NAME_PART.match(name.rpartition("/")[2]) is None:
                self._bad_name(entry)
            elif name in found:
                twice.setdefault(name, [found[name]]).append(job)
            else:
                found[name] = job
        for name, files in twice.items():
            del found[name]
            live = self._live(files)
            if live is not None:
                found[name] = live
            for job in files:
                if live is None:
                    self._doubled(job, [other for other in files if other is not job])
                elif job is not live:
                    self.tree.refused.append(self._newcomer(job, live))
        self.tree.jobs = list(found.values())
        self._beside_live(found)

    def _live(self, files: list[JobFile]) -> JobFile | None:
        """Of files of one name, the one that the live job was applied from; None if none is known to be."""
        row = self.standing.get(files[0].name)
        if row is None or row.retiring:
            return None
        if row.full_path:
            own = [job for job in files if job.entry.full_path == row.full_path]
        else:  # applied by a release that did not record it
            own = [job for job in files if job.entry.path == row.path]
        return own[0] if len(own) == 1 else None

    def _beside_live(self, found: Mapping[str, JobFile]) -> None:
        """What the listing refused (a symlink `a.yml`) holds nothing of a job whose own file (`a.yaml`) is there."""
        still: list[HeldJob] = []
        for held in self.tree.held:
            own = found.get(held.name)
            beside = own is not None and self._live([own]) is not None
            (self.tree.refused if beside else still).append(held)
        self.tree.held = still

    def _bad_name(self, entry: Entry) -> None:
        message = f'"{entry.path.rpartition(".")[0]}" cannot be the name of a job'
        problem = SpecProblem(entry.path, 1, 1, "job-name", message, _NAME_HINT)
        self.tree.problems.append(problem)
        self.tree.held.append(self._held(entry.path, problem))

    def _doubled(self, job: JobFile, others: list[JobFile]) -> None:
        where = ", ".join(other.entry.full_path for other in others)
        message = f'the job "{job.name}" is here ({job.entry.full_path}) and in {where}'
        problem = SpecProblem(
            job.entry.path, 1, 1, "job-twice", message, "Keep one; until then the job stays as it is."
        )
        self.tree.problems.append(problem)
        self.tree.held.append(HeldJob(job.name, job.entry.path, owner_or_default(self.config, job.name), (problem,)))

    def _newcomer(self, job: JobFile, live: JobFile) -> HeldJob:
        """The live file and its own edits stay in force; this one is refused."""
        message = f'the job "{job.name}" is live from {live.entry.full_path}, so this file is refused'
        hint = f"Delete one of the two. If {job.entry.full_path} is to stay, its job takes the other's place."
        problem = SpecProblem(job.entry.path, 1, 1, "job-twice", message, hint)
        self.tree.problems.append(problem)
        return HeldJob(job.name, job.entry.path, owner_or_default(self.config, job.name), (problem,))

    def _folder(self, entry: Entry) -> Folder:
        full = entry.full_path.rpartition("/")[0]
        known = self._folders.get(full)
        if known is None:
            known = self._folders[full] = self._make_folder(entry)
        return known

    def _make_folder(self, entry: Entry) -> Folder:
        chain = tuple(self._chain(entry))
        digest = hashlib.sha256(self._base.encode())
        for path in chain:
            problem = self.tree.broken.get(path)
            blob = self.tree.defaults[path].blob if path in self.tree.defaults else ""
            digest.update(f"\0{path}\0{blob}\0{problem or ''}".encode("utf-8", "surrogatepass"))
        parts = entry.path.split("/")[:-1]
        return Folder(chain, digest.hexdigest(), all(NAME_PART.match(part) for part in parts))

    def _chain(self, entry: Entry) -> Iterator[str]:
        """From the jobs directory down to the file's own folder."""
        root = entry.full_path[: len(entry.full_path) - len(entry.path)]
        inner = ""
        for part in ["", *entry.path.split("/")[:-1]]:
            inner += f"{part}/" if part else ""
            for base in DEFAULTS:
                for path in dict.fromkeys((root + inner + base, inner + base)):
                    if path in self.tree.defaults or path in self.tree.broken:
                        yield path
