"""Who waits for a pass: asked for by number from any thread, answered once a pass that began later has settled."""

import threading
from collections import deque
from collections.abc import Callable, Sequence

from ..apply.outcome import Result
from ..model.errors import Transient

RESULTS = 20_000  # of applied actions, kept while somebody waits for a pass


class Askers:
    """Passes are numbered by who asked for them. Threads may share it."""

    def __init__(self) -> None:
        self._settled = threading.Condition()
        self._asked = self._looks = self._planned = self._answered = self._seen = self._waiting = 0
        self._results: deque[Result] = deque(maxlen=RESULTS)

    def ask(self) -> int:
        """Ask for a pass that tries everything again; its number."""
        with self._settled:
            self._asked += 1
            self._looks = self._asked
            return self._asked

    def wait(self, timeout: float, kick: Callable[[], None]) -> tuple[Result, ...]:
        """Ask, and wait at most `timeout` seconds; what was applied meanwhile. Raises Transient `service-busy`."""
        with self._settled:
            first = self._seen
            self._asked += 1
            self._looks = number = self._asked
            self._waiting += 1
            kick()
            try:
                if not self._settled.wait_for(lambda: self._answered >= number, timeout):
                    raise Transient("cannot wait any longer for the pass: it goes on", code="service-busy")
                new = self._seen - first
                return tuple(self._results)[-new:] if new else ()
            finally:
                self._waiting -= 1
                if not self._waiting:
                    self._results.clear()

    def wait_for_plan(self, timeout: float, kick: Callable[[], None]) -> bool:
        """Ask for a pass that reads the repository and tries nothing again. False if `timeout` seconds were too few
        for it to get as far as a plan."""
        with self._settled:
            self._asked += 1
            number = self._asked
            kick()
            return self._settled.wait_for(lambda: max(self._planned, self._answered) >= number, timeout)

    def begin(self) -> tuple[int, bool, int]:
        """A pass begins: the number it answers, whether somebody asked for it, and the number of who asked last to have
        everything tried again, 0 = nobody who waits."""
        with self._settled:
            return self._asked, self._asked > self._answered, self._looks if self._looks > self._answered else 0

    def planned(self, number: int) -> None:
        """The pass that began with `number` has made its plan, and goes on."""
        with self._settled:
            self._planned = number
            self._settled.notify_all()

    def answer(self, number: int) -> None:
        """A pass that began with `number` has nothing left to apply."""
        with self._settled:
            self._answered = number
            self._settled.notify_all()

    def applied(self, results: Sequence[Result]) -> None:
        """Keep what was applied for those who wait."""
        with self._settled:
            if self._waiting:
                self._results.extend(results)
                self._seen += len(results)
