"""What git asks for at one commit."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import Refusal
from .job import DesiredJob
from .problem import SpecProblem


@dataclass(frozen=True, slots=True)
class Entry:
    """One regular file of a snapshot. `path` is relative to the jobs directory, `full_path` to the repository."""

    path: str
    full_path: str
    blob: str  # git blob id, or "sha256:..." for a plain directory
    size: int


@dataclass(frozen=True, slots=True)
class Commit:
    """A revision and who made it. `id` is a full commit id, or `dir:<digest>` for a plain directory."""

    id: str
    author: str = ""
    at: float = 0.0  # seconds since the epoch
    subject: str = ""
    signed_by: str = ""  # one of `people`; "" = unsigned, signed by somebody else, or nobody asked

    @property
    def short(self) -> str:
        return self.id[:7] if not self.id.startswith("dir:") else self.id[:11]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The tree of one commit below the configured paths. Contents are read apart, by blob id (rule D8)."""

    commit: Commit
    ref: str
    entries: tuple[Entry, ...]
    problems: tuple[SpecProblem, ...] = ()  # symlinks, submodules, oversized or oddly named files
    missing_paths: tuple[str, ...] = ()  # configured paths that this commit does not have
    descends: bool = True  # False: does not descend from the applied revision (rule D5)
    distrust: Refusal | None = None  # why `source.require_signed` does not let it be applied


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A file that is there but cannot be used: its job is neither changed nor retired (rule D2)."""

    name: str
    path: str
    owner: str
    problems: tuple[SpecProblem, ...]
    apply_failed: bool = False  # its file is good, but its change was tried and could not be made
    moved_from: str = ""  # the job that it wants to be the heir of, as far as its file can be read


@dataclass(frozen=True, slots=True)
class DesiredState:
    """Everything one revision says. `problems` holds all problems of all files, warnings included.

    `refused`: newcomers that give the name of a job whose own file is in force (rule D1); they hold nothing of it.
    `roots`: the jobs directories that have a job file, by their path in the repository. `broken_owners`: whose
    `_defaults.yaml` files cannot be used (rule D3), whether or not a job is below them.
    """

    commit: Commit
    ref: str
    jobs: Mapping[str, DesiredJob]
    held: Mapping[str, HeldJob]
    problems: tuple[SpecProblem, ...] = ()
    ignored: tuple[str, ...] = ()
    missing_paths: tuple[str, ...] = ()
    descends: bool = True
    entries: int = 0  # job files seen, valid or not
    refused: tuple[HeldJob, ...] = ()
    roots: frozenset[str] = frozenset()
    broken_owners: frozenset[str] = frozenset()
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def errors(self) -> tuple[SpecProblem, ...]:
        return tuple(p for p in self.problems if p.is_error)
