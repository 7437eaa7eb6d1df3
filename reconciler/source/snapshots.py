"""A commit id -> its Snapshot, listing only what was not listed before. The same commit gives the same object."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from ..gitio.lineage import descends
from ..gitio.objects import Objects
from ..model.desired import Commit, Snapshot
from ..spec.giturl import is_commit_id
from .edits import edit_entries, parse_edits
from .listing import Record, parse_listing, split_records, unseen_blobs
from .signatures import Signatures


class Snapshots:
    """The newest snapshot of one repository below `roots`, and what is known of its records. One thread's own."""

    def __init__(self, objects: Objects, ref: str, roots: Sequence[str], signatures: Signatures | None = None) -> None:
        """`signatures`: None = nobody asks who signed."""
        self._objects, self._ref, self._roots, self._signatures = objects, ref, tuple(roots), signatures
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
        follows = self._descends(latest.commit.id, applied)
        if follows != latest.descends:
            latest = replace(latest, descends=follows)
        if self._signatures is not None:
            by, refusal = self._signatures.judge(latest.commit.id, applied, descends=follows)
            if (by, refusal) != (latest.commit.signed_by, latest.distrust):
                latest = replace(latest, commit=replace(latest.commit, signed_by=by), distrust=refusal)
        self._latest = latest
        return latest

    def _list(self, commit: Commit) -> Snapshot:
        paths = [root for root in self._roots if root]
        edited = self._edited(commit, paths)
        if edited is not None:
            return edited
        pieces = split_records(self._objects.listing(commit.id, paths))
        sizes = self._objects.sizes(unseen_blobs(pieces, self._known))
        listing = parse_listing(pieces, self._roots, self._known, sizes)
        self._known = listing.records
        return Snapshot(commit, self._ref, listing.entries, listing.problems, listing.missing)

    def _edited(self, commit: Commit, paths: Sequence[str]) -> Snapshot | None:
        """The latest snapshot with the files that `commit` edits where they are; None if it does more than that."""
        latest = self._latest
        raw = None if latest is None else self._objects.changes(latest.commit.id, commit.id, paths)
        edits = None if raw is None else parse_edits(raw)
        if latest is None or edits is None:
            return None
        sizes = self._objects.sizes(list(dict.fromkeys(edit.blob for edit in edits)))
        found = edit_entries(latest.entries, self._known, edits, sizes)
        if found is None:
            return None
        entries, self._known = found
        return Snapshot(commit, self._ref, entries, latest.problems, latest.missing_paths)

    def _descends(self, commit: str, applied: str | None) -> bool:
        """Rule D5. What cannot be shown to be an ancestor (of another repository, pruned) counts as rewritten."""
        if applied is None or applied == commit:
            return True
        if not is_commit_id(applied):
            return False
        if self._descent[:2] != (applied, commit):
            # Signatures are asked for where whoever writes to the repository is not believed: nor is git's word then.
            shown = self._objects.is_ancestor if self._signatures is None else partial(descends, self._objects)
            self._descent = (applied, commit, shown(applied, commit))
        return self._descent[2]
