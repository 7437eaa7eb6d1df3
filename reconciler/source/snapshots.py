"""A commit id -> its Snapshot, listing only what was not listed before. The same commit gives the same object."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..model.desired import Commit, Snapshot
from .listing import Record, parse_listing, split_records, unseen_blobs
from .objects import Objects
from .url import is_commit_id


class Snapshots:
    """The newest snapshot of one repository below `roots`, and what is known of its records. One thread's own."""

    def __init__(self, objects: Objects, ref: str, roots: Sequence[str]) -> None:
        self._objects, self._ref, self._roots = objects, ref, tuple(roots)
        self._known: Mapping[bytes, Record] = {}
        self._latest: Snapshot | None = None
        self._descent: tuple[str, str, bool] = ("", "", True)  # applied, commit, answer

    @property
    def latest(self) -> Snapshot | None:
        return self._latest

    def at(self, revision: str, applied: str | None) -> Snapshot:
        """The snapshot of `revision`, a commit id or anything that git peels to one. No child runs if it is the
        latest. Errors as of `Objects`."""
        latest = self._latest
        if latest is None or latest.commit.id != revision:
            commit = self._objects.commit(revision)
            if latest is None or latest.commit.id != commit.id:
                latest = self._list(commit)
        descends = self._descends(latest.commit.id, applied)
        if descends != latest.descends:
            latest = replace(latest, descends=descends)
        self._latest = latest
        return latest

    def _list(self, commit: Commit) -> Snapshot:
        paths = [root for root in self._roots if root]
        pieces = split_records(self._objects.listing(commit.id, paths))
        sizes = self._objects.sizes(unseen_blobs(pieces, self._known))
        listing = parse_listing(pieces, self._roots, self._known, sizes)
        self._known = listing.records
        return Snapshot(commit, self._ref, listing.entries, listing.problems, listing.missing)

    def _descends(self, commit: str, applied: str | None) -> bool:
        """Rule D5. What cannot be shown to be an ancestor (of another repository, pruned) counts as rewritten."""
        if applied is None or applied == commit:
            return True
        if not is_commit_id(applied):
            return False
        if self._descent[:2] != (applied, commit):
            self._descent = (applied, commit, self._objects.is_ancestor(applied, commit))
        return self._descent[2]
