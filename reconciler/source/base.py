"""The Protocol of a source: a revision's file list out, contents by blob id, and a call when something moved."""

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from ..model.desired import Snapshot
from ..model.errors import SourceRejected


def trusted(snapshot: Snapshot) -> Snapshot:
    """The snapshot, if it may be applied for all that its signatures say. Raises SourceRejected (`commit-unsigned`,
    `commit-signature-unknown`, `commit-signature-bad`, `commits-too-many`)."""
    if snapshot.distrust is not None:
        said = snapshot.distrust
        raise SourceRejected(said.message, code=said.code, hint=said.hint)
    return snapshot


class Source(Protocol):
    """Belongs to one thread, `watch` and `close` excepted. Every method but `close` raises SourceUnavailable (may
    pass by itself) or SourceRejected (a person must act); either way nothing of what was read before changes."""

    @property
    def local(self) -> bool:
        """True if `head` costs microseconds, so that a caller may ask at every pass."""

    def head(self) -> str | None:
        """A cheap "has it changed": the commit id that the reference names now. A new annotated tag gives the id of
        the tag until `snapshot` has peeled it, which is still "changed"."""

    def snapshot(self, applied: str | None) -> Snapshot:
        """The newest revision. The same object as before while neither it nor the answer to "does it descend from
        `applied`" (rule D5), nor that to "is it signed as it must be", has changed. `applied` None = nothing applied
        yet. Whoever would apply it asks `trusted`."""

    def read(self, blobs: Sequence[str]) -> dict[str, bytes]:
        """Contents of blobs that the last snapshot listed, by blob id. All of them, or an error."""

    def watch(self, stop: threading.Event, kick: Callable[[], None]) -> None:
        """Block until `stop` is set; call `kick` when the reference may have moved. Kicks mean "look", never "what"."""

    def close(self) -> None:
        """End children that still run, from any thread; later calls raise SourceUnavailable."""
