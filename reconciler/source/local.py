"""A repository on this machine -> its snapshots, read in place: no copy, no work tree, no child while nothing moves."""

import threading
from collections.abc import Callable, Sequence

from ..gitio.lookup import ambiguous, not_found
from ..gitio.objects import Objects
from ..gitio.runner import GitRunner
from ..model.desired import Snapshot
from ..model.errors import SourceRejected, SourceUnavailable
from ..spec.giturl import Ref, RefKind
from .git import Repository, open_repository
from .refs import Found, RefFiles
from .signatures import Judges, unasked
from .snapshots import Snapshots
from .watch import watch_refs


class LocalGit:
    """A `Source` over the repository at `path`; `roots` as of `listing.normal_paths`, `timeout` of each child in s,
    `signatures` makes who judges its commits."""

    local = True

    def __init__(self, path: str, ref: Ref, roots: Sequence[str], timeout: float, signatures: Judges = unasked) -> None:
        self._path, self._ref, self._roots, self._timeout = path, ref, tuple(roots), timeout
        self._signatures = signatures
        self._runner = GitRunner()
        self._peeled: dict[str, str] = {}  # an annotated tag -> its commit
        self._open(open_repository(path))

    def head(self) -> str | None:
        if self._ref.kind is RefKind.COMMIT:
            return self._ref.text
        found = self._find()
        return self._peeled.get(found.id, found.peeled or found.id)

    def snapshot(self, applied: str | None) -> Snapshot:
        head = self.head()
        assert head is not None
        snapshot = self._snapshots.at(head, applied)
        if snapshot.commit.id != head:
            self._peeled = {head: snapshot.commit.id}
        return snapshot

    def read(self, blobs: Sequence[str]) -> dict[str, bytes]:
        return self._objects.blobs(blobs)

    def watch(self, stop: threading.Event, kick: Callable[[], None]) -> None:
        repository = self._repository
        watch_refs(repository.git_dir, repository.common_dir, self._ref.candidates, self._probe, stop, kick)

    def close(self) -> None:
        self._runner.cancel()

    def _open(self, repository: Repository) -> None:
        self._repository = repository
        self._refs = RefFiles(repository.git_dir, repository.common_dir)
        self._watched_refs = RefFiles(repository.git_dir, repository.common_dir)  # the watching thread's own
        self._objects = Objects(self._runner, repository.git_dir, self._path, self._timeout)
        judge = self._signatures(self._objects, self._runner)
        self._snapshots = Snapshots(self._objects, self._ref.text, self._roots, judge)

    def _find(self, refs: RefFiles | None = None) -> Found:
        """What the reference holds. Raises SourceRejected `ref-not-found`, `ref-ambiguous`, SourceUnavailable."""
        objects = None if refs else self._objects  # the watching thread starts no child
        if not self._repository.plain_refs:
            return self._ask_git(objects)
        try:
            found = [hit for name in self._ref.candidates if (hit := (refs or self._refs).find(name)) is not None]
        except OSError as error:
            raise SourceUnavailable(f"cannot read {self._ref.text} of {self._path}: {error.strerror}") from error
        return self._only(found, objects)

    def _ask_git(self, objects: Objects | None) -> Found:
        """For references that are not files (reftable)."""
        found = []
        for name in self._ref.candidates:
            done = self._runner.run(
                ["rev-parse", "--verify", "--quiet", "--end-of-options", name],
                git_dir=self._repository.git_dir, timeout=self._timeout,
            )  # fmt: skip
            if done.status == 0:
                found.append(Found(done.stdout.decode("ascii", "replace").strip()))
        return self._only(found, objects)

    def _only(self, found: Sequence[Found], objects: Objects | None) -> Found:
        if len(found) == 1 or len({hit.id for hit in found}) == 1:
            return found[0]
        if found:
            raise ambiguous(self._ref, self._path)
        raise not_found(self._ref, self._path, objects)

    def _probe(self) -> str:
        """What the watcher compares: any change of this text is worth a look. Never raises."""
        try:
            return self._find(self._watched_refs).id
        except (SourceRejected, SourceUnavailable) as error:
            return error.code
