"""What came of changes, kept in mind: who is tried again and when, who is left alone, who is held, who is absent."""

from collections.abc import Sequence
from datetime import datetime

from ..apply.outcome import Result
from ..history.base import History
from ..model.desired import DesiredState
from ..model.event import EventName
from ..model.plan import Action
from .backoff import Backoff, Convergence
from .events import EventStream
from .holds import Held
from .wanted import Wanted

RETRY_FIRST, RETRY_MOST = 5.0, 300.0  # back-off of an action that fails, seconds


class Judge:
    """Belongs to the sync loop's thread."""

    def __init__(self, history: History, emit: EventStream) -> None:
        self.held, self.wanted = Held(history, emit), Wanted(history, emit)
        self._emit = emit
        self._retries, self._convergence = Backoff(RETRY_FIRST, RETRY_MOST), Convergence()

    def forgive(self) -> None:
        """Somebody asks for everything to be tried again."""
        self._retries.clear()
        self._convergence.clear()

    def waits(self, action: Action, now: datetime) -> bool:
        """Has it failed, and is it not its turn again?"""
        return self._retries.waiting(_key(action), now)

    def stalled(self, desired: DesiredState, now: datetime) -> dict[str, str]:
        """As `Convergence.stalled`."""
        return self._convergence.stalled(desired, now)

    def applied(self, results: Sequence[Result], now: datetime) -> None:
        """Back off from what failed; count what was applied again and again (rule P1)."""
        for result in results:
            action = result.action
            if not result.ok:
                self._retries.failed(_key(action), now)
                continue
            self._retries.succeeded(_key(action))
            if why := self._convergence.applied(action.name, action.digest, now):
                self._emit.emit(EventName.JOB_STALLED, job=action.name, why=why)
        self.held.tried(results)
        self.wanted.tried(results, now)

    def next_at(self, now: datetime) -> tuple[datetime | None, ...]:
        """When something is to be looked at again."""
        return self._convergence.next_at(), self._retries.next_at(now), self.wanted.next_at(now)


def _key(action: Action) -> str:
    return f"{action.name} {action.digest}"
