"""The Protocol of what makes a part of a run's workspace, and all parts as one."""

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from typing import Protocol

from ..model.job import JobSpec
from ..model.run import RunRecord
from ..model.service import ServiceConfig
from ..model.workspace import NOTHING, Workspace


class Part(Protocol):
    """Makes one kind of thing for runs. Every verb may be repeated, and comes from several threads at once."""

    def make(self, run: RunRecord, spec: JobSpec, config: ServiceConfig) -> Workspace:
        """Make what `spec` asks for, for this run. Made already = the same again. Raises ReconcilerError: the run is
        not prepared."""

    def drop(self, run_id: str) -> None:
        """The run has ended, or will never start: its things go. Never raises for what is not there."""

    def tidy(self, keep: Collection[str]) -> None:
        """Remove what is left of all runs but those named, which a crash may have left. Nothing is being made for
        any other run meanwhile. Raises ReconcilerError if something cannot be removed."""


class Parts:
    """Several parts, made in their order: each may rely on those before it."""

    def __init__(self, parts: Sequence[Part] = ()) -> None:
        self._parts = tuple(parts)

    def make(self, run: RunRecord, spec: JobSpec, config: ServiceConfig) -> Workspace:
        made = NOTHING
        for part in self._parts:
            made += part.make(run, spec, config)
        return made

    def drop(self, run_id: str) -> None:
        with ExitStack() as all_of_them:  # one that fails keeps no other from going
            for part in self._parts:
                all_of_them.callback(part.drop, run_id)

    def tidy(self, keep: Collection[str]) -> None:
        with ExitStack() as all_of_them:
            for part in self._parts:
                all_of_them.callback(part.tidy, keep)
