"""In: the snapshot of a commit and the service file. Out: the desired state. Parses what changed, and nothing else.

Each file's result is remembered with a stamp of all that it depends on: its blob, the blobs of the `_defaults.yaml`
above it, the service file, and the blobs of the files it takes in. Nothing here raises on bad input: a file that
cannot be used becomes a held job, and never looks like a deleted one (rule D2).
"""

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext

from ..model.desired import DesiredState, Entry, HeldJob, Snapshot
from ..model.job import DesiredJob
from ..model.live import StandingJob
from ..model.problem import SpecProblem
from ..model.service import ServiceConfig
from .admission import owner_of
from .canonical import digest_of
from .document import guarded
from .known import Known, Last, Parsed, edits, same_state, same_tree
from .layers import NO_DEFAULTS, Base, merge_defaults
from .links import conflicts
from .onefile import Draft, Finished, draft_job, finish_job, read_layer
from .schedules import Pass
from .totals import too_many
from .tree import Folder, JobFile, Tree, TreeSorter, owner_or_default

BATCH = 256  # files that are read and parsed at a time
FEW = 32  # files for which nothing of the process is switched off: so one that is tried never gets into a pass's way

Read = Callable[[Sequence[str]], Mapping[str, bytes]]


Cache = Mapping[str, Parsed]  # by full path
NONE: Mapping[str, StandingJob] = {}


def desire(
    snapshot: Snapshot, read: Read, config: ServiceConfig, cache: Cache, standing: Mapping[str, StandingJob] = NONE,
    *, partial: bool = False,
) -> tuple[DesiredState, Cache]:  # fmt: skip
    """The state that `snapshot` asks for, and the cache for the next call. `read` gets the blobs that are missing.

    A definition that is equal to that in `standing` is the same object, so that a fleet is held in memory once; and of
    two files of one name, the one that `standing` has stays (rule D1). `partial`: the snapshot is a part of a
    repository, so what a job says of others that are not in it cannot be judged.
    What `read` raises goes through: an unreadable repository is not an invalid one.
    """
    last = cache.last if isinstance(cache, Known) else None
    edited = None if last is None else edits(last, snapshot, config)
    if last is None or edited is None:
        tree = TreeSorter(snapshot, config, standing).sort()
        work = _Work(snapshot, tree, read, config, cache, standing)
        work.read_defaults()
        work.read_jobs()
        state, users = work.state(partial=partial), work.users()
    else:
        work = _Work(snapshot, same_tree(last.tree, edited), read, config, cache, standing)
        again = work.read_edited(edited, last.users)
        same = same_state(last, cache, work.done, again, snapshot)
        state, users = (work.state(), work.users()) if same is None else (same, last.users)
    work.done.last = Last(snapshot.entries, snapshot.problems, config, work.tree, state, users)
    return state, work.done


@contextmanager
def _no_cycle_search() -> Iterator[None]:
    """For a while: what reading sound files makes has no cycles, and looking for some costs a tenth of the time. Nor is
    it looked through at the end: it joins what has lived long (frozen and thawed), which is searched as a whole."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            if not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()
            gc.enable()


class _Work:
    """One pass over one snapshot."""

    def __init__(
        self, snapshot: Snapshot, tree: Tree, read: Read, config: ServiceConfig, cache: Cache,
        standing: Mapping[str, StandingJob],
    ) -> None:  # fmt: skip
        self.snapshot = snapshot
        self.standing = standing
        self.read = read
        self.cache = cache
        self.shared = Pass(config)
        self.tree = tree
        self.done = Known()
        self._blobs: dict[str, str] = {}
        self._bases: dict[tuple[str, ...], tuple[Base, tuple[SpecProblem, ...]]] = {}

    @property
    def blobs(self) -> Mapping[str, str]:
        """The blob of every file, by full path; made when it is first asked for."""
        if not self._blobs:
            self._blobs = {entry.full_path: entry.blob for entry in self.snapshot.entries}
        return self._blobs

    # -- reading ----------------------------------------------------------------------------------------------

    def read_defaults(self) -> None:
        """Every `_defaults.yaml`: few, and all job files below depend on them."""
        missing = []
        for path, entry in self.tree.defaults.items():
            known = self.cache.get(path)
            if known is not None and known.blob == entry.blob and path not in self.tree.broken:
                self.done[path] = known
            else:
                missing.append(entry)
        for entry, data in self._contents(missing):
            folder = entry.full_path.rpartition("/")[0]
            layer, problems = read_layer(data, entry.path, folder, inherited=True)
            self.done[entry.full_path] = Parsed(entry.blob, "", layer=layer, problems=problems)
        for path, problem in self.tree.broken.items():
            self.done[path] = Parsed("", "", problems=(problem,))

    def read_jobs(self) -> None:
        cache, done = self.cache, self.done
        missing: list[JobFile] = []
        for file in self.tree.jobs:
            entry = file.entry
            known = cache.get(entry.full_path)
            if (
                known is not None
                and known.blob == entry.blob
                and known.context == file.folder.context
                and (not known.uses or self._still_holds(known))
            ):
                done[entry.full_path] = known
            else:
                missing.append(file)
        self._read_files(missing)

    def read_edited(self, edited: Mapping[str, Entry], users: Sequence[str]) -> list[str]:
        """The same where only `edited` files differ from the last pass, and `users` take in others; the full paths of
        the job files that were read."""
        self.done = Known(self.cache)
        again = {path for path in users if any(used in edited for used, _ in self.done[path].uses)} | edited.keys()
        missing = [file for file in self.tree.jobs if file.entry.full_path in again] if again else []
        self._read_files(missing)
        return [file.entry.full_path for file in missing]

    def _read_files(self, missing: Sequence[JobFile]) -> None:
        with _no_cycle_search() if len(missing) > FEW else nullcontext():
            for start in range(0, len(missing), BATCH):
                if self._parse(missing[start : start + BATCH]):
                    gc.collect(1)  # explaining what is wrong leaves cycles behind

    def _still_holds(self, known: Parsed) -> bool:
        return all(self.blobs.get(path, "") == blob for path, blob in known.uses)

    def _contents(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, bytes]]:
        found = self.read(list(dict.fromkeys(entry.blob for entry in entries))) if entries else {}
        return ((entry, found[entry.blob]) for entry in entries)

    def _parse(self, files: Sequence[JobFile]) -> bool:
        """True if something is wrong with one of them.

        Two rounds of reading, since only the job files say which other files they take in.

        Each step goes over all files before the next begins: what it needs stays in the processor's caches.
        """
        contents = self._contents([file.entry for file in files])
        drafts = [self._draft(file, data) for file, (_, data) in zip(files, contents, strict=True)]
        wanted = dict.fromkeys(source.blob for draft in drafts for source in draft.sources if source.blob)
        texts = self.read(list(wanted)) if wanted else {}
        finished = [self._finish(draft, texts) for draft in drafts]
        digests = [None if one.spec is None else digest_of(one.spec) for one in finished]
        for file, draft, one, digest in zip(files, drafts, finished, digests, strict=True):
            self.done[file.entry.full_path] = self._parsed(file, draft, one, digest)
        return any(one.problems for one in finished)

    def _draft(self, file: JobFile, data: bytes) -> Draft:
        base, broken = self._above(file.folder)
        owner, entry = owner_of(self.shared.config, file.name), file.entry
        folder = entry.full_path.rpartition("/")[0]
        draft = guarded(
            entry.path,
            lambda: draft_job(
                data, file.name, owner, entry.path, folder, base, lambda: self.blobs, self.shared.config.secret_stores
            ),
        )
        if not isinstance(draft, Draft):
            return Draft(file.name, owner or "", entry.path, None, (), broken + draft)
        if broken:  # the defaults cannot be used, so nobody knows what this job is
            return draft._replace(merged=None, problems=broken + draft.problems)
        return draft

    def _above(self, folder: Folder) -> tuple[Base, tuple[SpecProblem, ...]]:
        """The defaults of a folder, and what is wrong with them; worked out once."""
        known = self._bases.get(folder.chain)
        if known is None:
            above = [self.done[path] for path in folder.chain]
            layers = [parsed.layer for parsed in above if parsed.layer is not None]
            broken = tuple(p for parsed in above if parsed.layer is None for p in parsed.problems if p.is_error)
            known = self._bases[folder.chain] = (merge_defaults(layers) if layers else NO_DEFAULTS, broken)
        return known

    def _finish(self, draft: Draft, texts: Mapping[str, bytes]) -> Finished:
        finished = guarded(draft.path, lambda: finish_job(draft, texts, self.shared))
        return finished if isinstance(finished, Finished) else Finished(None, {}, finished)

    def _parsed(self, file: JobFile, draft: Draft, finished: Finished, digest: str | None) -> Parsed:
        uses = tuple((source.full_path, source.blob) for source in draft.sources)
        problems, job, held = finished.problems, None, None
        if finished.spec is not None and digest is not None:
            row = self.standing.get(draft.name)
            same = row is not None and row.digest == digest and row.spec == finished.spec
            spec, digest = (row.spec, row.digest) if row is not None and same else (finished.spec, digest)
            job = DesiredJob(spec, digest, draft.path, finished.lines, file.entry.full_path)
        else:
            owner = owner_or_default(self.shared.config, draft.name)
            old = draft.merged.values.get("moved_from") if draft.merged is not None else None
            errors = tuple(p for p in problems if p.is_error)
            held = HeldJob(draft.name, draft.path, owner, errors, moved_from=str(old or ""))
        return Parsed(file.entry.blob, file.folder.context, job, held, None, problems, uses)

    def users(self) -> tuple[str, ...]:
        """The job files that take in others, by full path."""
        return tuple(path for path, parsed in self.done.items() if parsed.uses)

    # -- the state --------------------------------------------------------------------------------------------

    def state(self, *, partial: bool = False) -> DesiredState:
        jobs: dict[str, DesiredJob] = {}
        held: dict[str, HeldJob] = {}
        problems: set[SpecProblem] = {*self.snapshot.problems, *self.tree.problems}
        used: set[str] = set()
        for parsed in self.done.values():
            if parsed.job is not None:
                jobs[parsed.job.spec.name] = parsed.job
            elif parsed.held is not None:
                held[parsed.held.name] = parsed.held
            if parsed.problems:
                problems.update(parsed.problems)
            if parsed.uses:
                used.update(path for path, _ in parsed.uses)
        blocked = [*self.tree.held, *conflicts(jobs, held, self.shared.config, partial=partial)]
        _hold(blocked, jobs, held)
        beyond, warnings = too_many(jobs, held, self.standing, self.shared.config)
        _hold(beyond, jobs, held)
        problems.update(warnings, *(job.problems for job in (*blocked, *beyond)))
        return DesiredState(
            commit=self.snapshot.commit,
            ref=self.snapshot.ref,
            jobs=jobs,
            held=held,
            problems=tuple(sorted(problems)),
            ignored=tuple(entry.path for entry in self.tree.ignored if entry.full_path not in used),
            missing_paths=self.snapshot.missing_paths,
            descends=self.snapshot.descends,
            entries=len(self.tree.jobs) + len(self.tree.held) + len(self.tree.refused),
            refused=tuple(self.tree.refused),
            roots=frozenset(self.tree.roots),
            broken_owners=frozenset(self._broken_owners()),
        )

    def _broken_owners(self) -> Iterator[str]:
        for parsed in self.done.values():
            if parsed.job is None and parsed.held is None and parsed.layer is None and parsed.problems:
                folder = parsed.problems[0].path.rpartition("/")[0]
                yield owner_or_default(self.shared.config, f"{folder}/x" if folder else "x")


def _hold(blocked: Iterable[HeldJob], jobs: dict[str, DesiredJob], held: dict[str, HeldJob]) -> None:
    for job in blocked:
        jobs.pop(job.name, None)
        held[job.name] = _joined(held.get(job.name), job)


def _joined(known: HeldJob | None, other: HeldJob) -> HeldJob:
    if known is None:
        return other
    problems = tuple(dict.fromkeys(known.problems + other.problems))
    return HeldJob(known.name, known.path, known.owner, problems, moved_from=known.moved_from or other.moved_from)
