"""A repository on another machine -> its snapshots, through a bare cache that one fetch of one reference fills.

The whole history of that reference is fetched: without it nobody can tell a fast-forward from a rewrite (rule D5).
"""

import threading
import time
from collections.abc import Callable, Sequence

from ..gitio.cache import Cache
from ..gitio.credentials import access_for
from ..gitio.fetch import fetch, tidy
from ..gitio.lookup import advertised
from ..gitio.objects import Objects
from ..gitio.profile import Access
from ..gitio.runner import GitRunner
from ..model.desired import Snapshot
from ..model.errors import SourceRejected
from ..model.service import GitConfig
from ..spec.giturl import Address, Ref
from .signatures import Judges, unasked
from .snapshots import Snapshots

INCOMING = "refs/reconciler/incoming"
MAX_PACK = 1 << 30  # bytes of one file that a fetch writes
_DAMAGED = ("object-missing", "source-not-found", "source-corrupt")  # codes that a broken cache may be behind


class RemoteGit:
    """A `Source` over `address`. Nothing is fetched before the first `snapshot`; `git.timeout` bounds each child."""

    local = False

    def __init__(
        self, address: Address, ref: Ref, roots: Sequence[str], git: GitConfig, cache_dir: str,
        signatures: Judges = unasked,
    ) -> None:  # fmt: skip
        self._address, self._ref, self._git = address, ref, git
        self._cache = Cache(cache_dir, address.text)
        self._runner = GitRunner()
        self._objects = Objects(self._runner, self._cache.git_dir, str(address), git.timeout)
        self._snapshots = Snapshots(self._objects, ref.text, roots, signatures(self._objects, self._runner))

    def head(self) -> str | None:
        """One `ls-remote`; a commit id needs none."""
        return self._advertised(access_for(self._address, self._git))[1]

    def snapshot(self, applied: str | None) -> Snapshot:
        access = access_for(self._address, self._git)
        name, head = self._advertised(access)
        latest = self._snapshots.latest
        if latest is not None and latest.commit.id == head:
            return self._snapshots.at(head, applied)
        try:
            return self._snapshots.at(self._fetch(name, head, access), applied)
        except SourceRejected as error:
            if error.code not in _DAMAGED:
                raise
        self._rebuild()  # perhaps the cache is damaged: once more, from nothing
        return self._snapshots.at(self._fetch(name, head, access), applied)

    def read(self, blobs: Sequence[str]) -> dict[str, bytes]:
        try:
            return self._objects.blobs(blobs)
        except SourceRejected as error:
            if error.code not in _DAMAGED:
                raise
        access = access_for(self._address, self._git)
        self._rebuild()
        self._fetch(*self._advertised(access), access)
        return self._objects.blobs(blobs)

    def watch(self, stop: threading.Event, kick: Callable[[], None]) -> None:  # noqa: ARG002  # see below
        """A remote gives no sign: whoever owns the time polls it, at `next_poll` intervals."""
        stop.wait()

    def close(self) -> None:
        self._runner.cancel()

    def _advertised(self, access: Access) -> tuple[str, str]:
        """The full name and commit id of the reference on the server."""
        return advertised(self._runner, self._address, self._ref, access, self._git.timeout, self._objects)

    def _fetch(self, name: str, head: str, access: Access) -> str:
        """Bring `name` into the cache; the commit id that arrived, which may be newer than `head`."""
        doing = f"fetch {self._ref.text} of {self._address}"
        deadline = time.monotonic() + self._git.timeout
        with self._cache.locked(self._git.timeout):
            self._cache.prepare(sha256=len(head) == 64)
            fetch(
                self._runner, self._cache.git_dir, self._address, [f"+{name}:{INCOMING}"], doing=doing, access=access,
                timeout=max(1.0, deadline - time.monotonic()), max_file=MAX_PACK,
            )  # fmt: skip
            arrived = self._objects.commit(INCOMING).id
            tidy(self._runner, self._cache.git_dir, self._git.timeout, MAX_PACK)
        return arrived

    def _rebuild(self) -> None:
        with self._cache.locked(self._git.timeout):
            self._cache.wipe()
