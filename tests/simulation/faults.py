"""What goes wrong, drawn from one seed: for each call its fate, for each ledger write whether the disk takes it, and
when the process dies."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from reconciler.model.errors import StateError


class Killed(BaseException):
    """The process was killed here. Nothing in the product may catch it."""


@dataclass(slots=True)
class Fates:
    """The dice and how they are loaded just now; all shares are probabilities between 0 and 1."""

    dice: random.Random
    engine_share: float = 0.0  # of engine calls that fail somehow
    engine_away: bool = False
    slow_share: float = 0.0  # of calls that take their time
    disk_share: float = 0.0  # of ledger writes that are refused
    deaf: bool = False  # the engine's events are lost
    git_away: bool = False
    git_slow: bool = False
    kill_in: int = 0  # acts until the process is killed; 0 = not planned
    kill_after: bool = False  # after the act took effect, not before
    acts: int = 0

    def mend(self) -> None:
        """Nothing goes wrong any more."""
        self.engine_share = self.slow_share = self.disk_share = 0.0
        self.engine_away = self.deaf = self.git_away = self.git_slow = False
        self.kill_in = 0

    # -- one act ----------------------------------------------------------------------------------------------
    def begin(self) -> bool:
        """An act that others can see begins. True if the process dies right after it."""
        self.acts += 1
        if self.kill_in:
            self.kill_in -= 1
            if not self.kill_in:
                if not self.kill_after:
                    raise Killed
                return True
        return False

    def write(self) -> bool:
        """As `begin`, for a write to the ledger. Raises StateError if the disk refuses it."""
        dies = self.begin()
        if self.disk_share and self.dice.random() < self.disk_share:
            raise StateError("cannot write the ledger: the disk is full", code="disk-full")
        return dies

    def of_call(self) -> str:
        """ok, refused (no effect, no answer), lost (effect, no answer), late (effect after the client gave up)."""
        if self.engine_away:
            return "refused"
        if self.engine_share and self.dice.random() < self.engine_share:
            return self.dice.choice(("refused", "lost", "late", "late"))
        return "ok"

    def takes(self, longest: float) -> float:
        """Seconds until a call is answered."""
        if self.slow_share and self.dice.random() < self.slow_share:
            return self.dice.uniform(1.0, longest)
        return 0.0 if self.dice.random() < 0.7 else self.dice.uniform(0.01, 0.5)


def timed(begin: Callable[[], bool], act: Callable[[], object]) -> object:
    """Do `act`; the process may die before or after it."""
    dies = begin()
    found = act()
    if dies:
        raise Killed
    return found
