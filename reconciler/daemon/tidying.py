"""Removes what a crash has left of runs' workspaces: once before anything is made, then once in a while."""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from ..model.errors import ReconcilerError
from .lean import structlog

log = structlog.get_logger()

TIDY_EVERY = timedelta(hours=1)


class Tidying:
    """Belongs to the run loop's thread: while it works, nothing begins to be made for a run that it does not know."""

    def __init__(self, tidy: Callable[[Collection[str]], None], every: timedelta = TIDY_EVERY) -> None:
        self._tidy, self._every = tidy, every
        self._at: datetime | None = None

    def step(self, keep: Collection[str], now: datetime) -> None:
        """`keep`: the runs that are open. What cannot be removed is said, and tried again the next time."""
        if self._at is not None and now < self._at:
            return
        self._at = now + self._every
        try:
            self._tidy(frozenset(keep))
        except ReconcilerError as error:
            log.error("workspace.left-over", code=error.code, error=str(error), hint=error.hint)
