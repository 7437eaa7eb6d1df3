"""A kick says "look", never "what happened": kicks coalesce, and nothing is lost if one comes early."""

import threading
from datetime import datetime

from .clock import Clock


class Kick:
    """An event with a deadline on the wall clock. Waits in bounded pieces, so that a stepped clock is noticed."""

    LONGEST = 15.0  # seconds; a wait never outlasts a clock step by more

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event = threading.Event()

    def __call__(self) -> None:
        self._event.set()

    def wait(self, until: datetime | None) -> None:
        """Return at `until`, when kicked, or after LONGEST seconds: whichever comes first."""
        left = self.LONGEST
        if until is not None:
            left = min(left, (until - self._clock.now()).total_seconds())
        if left > 0:
            self._event.wait(left)
        self._event.clear()
