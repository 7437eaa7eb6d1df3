"""What one pass over a snapshot leaves for the next: each file's result, and what was made of them all.

A commit nearly always edits a few files where they are. Then the sorted tree and the state stay as they were but for
these files, and finding that out is one comparison of two lists. Whatever else happens (a file comes or goes, a
`_defaults.yaml` or the service file changes, something is wrong with a name) is worked out anew, from the results of
the files that are still the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ..model.desired import DesiredState, Entry, HeldJob, Snapshot
from ..model.job import DesiredJob
from ..model.problem import SpecProblem
from ..model.service import ServiceConfig
from .layers import Layer
from .tree import DEFAULTS, Tree

MOST_EDITS = 1000  # of one commit; with more, what does not change is no longer what matters


@dataclass(frozen=True, slots=True)
class Parsed:
    """What one file came to. Of a job file `job` or `held` is set; of a `_defaults.yaml`, `layer` unless it is broken.

    `uses`: (full path, blob) of the files whose contents went in; a blob "" stands for a file that is missing.
    """

    blob: str
    context: str  # of the folder
    job: DesiredJob | None = None
    held: HeldJob | None = None
    layer: Layer | None = None
    problems: tuple[SpecProblem, ...] = ()
    uses: tuple[tuple[str, str], ...] = ()

    @property
    def plain(self) -> bool:
        """A job that can be used as it is, and says nothing of other jobs or files."""
        if self.job is None or self.uses or self.problems:
            return False
        spec = self.job.spec
        return not spec.after and not spec.wait_for and spec.moved_from is None


class Last(NamedTuple):
    """One pass as a whole. `users`: the files that take in others."""

    entries: tuple[Entry, ...]
    refused: tuple[SpecProblem, ...]  # what the listing refused
    config: ServiceConfig
    tree: Tree
    state: DesiredState
    users: tuple[str, ...]


class Known(dict[str, Parsed]):
    """The result of each file, by full path; `last` is set once the pass has ended well."""

    last: Last | None = None


def edits(last: Last, snapshot: Snapshot, config: ServiceConfig) -> dict[str, Entry] | None:
    """The files, by full path, whose contents differ from those of `last`; None if more than contents does, or if what
    a name means depended on what stands (rule D1)."""
    old, new, tree = last.entries, snapshot.entries, last.tree
    if len(old) != len(new) or last.refused != snapshot.problems or last.config != config:
        return None
    if tree.held or tree.refused or tree.broken:
        return None
    found = [(was, entry) for was, entry in zip(old, new, strict=True) if was is not entry and was != entry]
    if len(found) > MOST_EDITS:
        return None
    for was, entry in found:
        if (was.path, was.full_path) != (entry.path, entry.full_path) or entry.path.rpartition("/")[2] in DEFAULTS:
            return None
    return {entry.full_path: entry for _, entry in found}


def same_tree(tree: Tree, edited: Mapping[str, Entry]) -> Tree:
    """The tree with other contents of some files: what a file is depends on names alone."""
    jobs = tree.jobs
    if edited:
        jobs = [file._replace(entry=edited[file.entry.full_path]) if file.entry.full_path in edited else file
                for file in tree.jobs]  # fmt: skip
    ignored = [edited.get(entry.full_path, entry) for entry in tree.ignored]
    return replace(tree, jobs=jobs, ignored=ignored)


def same_state(
    last: Last, was: Mapping[str, Parsed], now: Mapping[str, Parsed], read: Sequence[str], snapshot: Snapshot
) -> DesiredState | None:
    """The state of `last` with the files `read` as they are now; None if one of them may matter to other jobs. What
    others say of a job depends on names alone, and those are as they were."""
    if not all(was[path].plain and now[path].plain for path in read):
        return None
    edited = {job.spec.name: job for path in read if (job := now[path].job) is not None}
    if not edited.keys() <= last.state.jobs.keys():
        return None  # one of them is held, though nothing is wrong with its file
    jobs = dict(last.state.jobs)
    jobs.update(edited)
    return replace(
        last.state, commit=snapshot.commit, ref=snapshot.ref, jobs=jobs, missing_paths=snapshot.missing_paths,
        descends=snapshot.descends,
    )  # fmt: skip
