"""Packages are installed before the pass that needs them, in threads of their own: no other job waits for an index.

Nothing live changes by it (rule P4). The pass that comes next finds the image and installs the job with it.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ..apply.outcome import Result, failed
from ..engine.base import Engine, StandingOrder
from ..model.errors import ReconcilerError
from ..model.event import EventName
from ..model.plan import Action, ActionKind
from .events import EventStream

MOST_AT_ONCE = 4  # installations; further ones begin as these end
INSTALLING = (ActionKind.CREATE, ActionKind.REPLACE, ActionKind.MOVE, ActionKind.HEAL)
MOST_KNOWN = 1000  # that came to nothing and are kept in mind


@dataclass(eq=False, slots=True)
class _Work:
    """One installation. `error`: what it ended with, a fault of ours included."""

    error: BaseException | None = None
    ended: threading.Event = field(default_factory=threading.Event)


class Ahead:
    """Belongs to the sync loop's thread. `kick` is called, from any thread, when an installation has ended."""

    def __init__(self, engine: Callable[[], Engine], emit: EventStream, kick: Callable[[], None]) -> None:
        self._engine, self._emit, self._kick = engine, emit, kick
        self._asked: dict[str, _Work] = {}  # by job and digest
        self._running: list[_Work] = []  # also those that nobody asks for any more
        self._failed: set[str] = set()  # since somebody asked last
        self.busy = False  # does something go on, or wait for its turn, that is not only tried again?

    def forgive(self) -> None:
        """Somebody waits for everything to be tried once more."""
        self._failed.clear()

    def sort(
        self, actions: Iterable[Action], order_of: Callable[[Action], StandingOrder]
    ) -> tuple[tuple[Action, ...], tuple[Result, ...]]:
        """What can be carried out now, and what came to nothing; the rest is under way. What is not among `actions` any
        more is forgotten: its image is collected one day. Raises a fault of ours."""
        self._running = [work for work in self._running if not work.ended.is_set()]
        ready, came_to_nothing = [], []
        asked, self.busy = self._asked, False
        self._asked = {}
        for action in actions:
            if not _has_packages(action):
                ready.append(action)
                continue
            key = f"{action.name} {action.digest}"
            work = asked.get(key)
            if work is None and len(self._running) < MOST_AT_ONCE:
                work = self._begin(action, order_of)
            if work is None or not work.ended.is_set():
                self.busy = self.busy or key not in self._failed
                if work is not None:
                    self._asked[key] = work
            elif work.error is None:
                ready.append(action)
            elif isinstance(work.error, ReconcilerError):
                came_to_nothing.append(failed(action, work.error))
                if len(self._failed) < MOST_KNOWN:
                    self._failed.add(key)
            else:
                raise work.error
        return tuple(ready), tuple(came_to_nothing)

    def _begin(self, action: Action, order_of: Callable[[Action], StandingOrder]) -> _Work:
        work = _Work()
        self._running.append(work)
        self._emit.emit(EventName.PACKAGES_INSTALLING, job=action.name, digest=action.digest)
        threading.Thread(target=self._install, args=(work, action, order_of), name=f"packages {action.name}",
                         daemon=True).start()  # fmt: skip
        return work

    def _install(self, work: _Work, action: Action, order_of: Callable[[Action], StandingOrder]) -> None:
        try:
            self._engine().resolve(order_of(action))
        except BaseException as error:  # noqa: BLE001  raised where it is looked at
            work.error = error
        work.ended.set()
        self._kick()


def _has_packages(action: Action) -> bool:
    """What policy forbids to go on firing must be stopped by this pass, whatever that takes."""
    job = action.job
    return job is not None and action.kind in INSTALLING and not action.forbids and job.spec.packages.in_image
