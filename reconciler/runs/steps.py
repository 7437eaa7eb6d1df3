"""The steps that the run state machine can ask for. Values; the service carries them out."""

from dataclasses import dataclass
from datetime import datetime

from ..model.run import Disposition, Outcome


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before `until` (None = until something is heard of it)."""

    until: datetime | None
    why: str
    device: bool = False  # it lacks nothing but devices
    place: bool = False  # it is due and lacks nothing but a place


@dataclass(frozen=True, slots=True)
class Prepare:
    """Write `preparing` to the ledger, then `engine.prepare`; then `prepared` or `failed_before_start`.

    `deadline`: of a cell that has waited for its place: it has its time to start from now on.
    """

    deadline: datetime | None = None


@dataclass(frozen=True, slots=True)
class Launch:
    """Write `starting` to the ledger *first*, then `engine.launch`; then `started`.

    EngineRejected means that it provably did not start: `failed_before_start`. Any other error leaves the result
    unknown: write nothing; the next step will be FindStart.
    """


@dataclass(frozen=True, slots=True)
class FindStart:
    """`engine.find_start`, then `after_find_start`: adopt it, or go on under a new name (rule R1)."""


@dataclass(frozen=True, slots=True)
class Adopt:
    """The engine shows that it has started: write `started` from what it shows."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Write `stopping` with this reason, then `engine.stop` with `grace` seconds."""

    grace: float
    reason: str


@dataclass(frozen=True, slots=True)
class Kill:
    """`engine.kill`: its grace is over, or the engine's stop hangs."""


@dataclass(frozen=True, slots=True)
class Collect:
    """Bring its log to disk in full; inspect it, and read what it used; then `collected`."""


@dataclass(frozen=True, slots=True)
class Finish:
    """It has ended: write `finished`; if there is a `next_attempt`, claim that first, else close the slot."""

    outcome: Outcome
    disposition: Disposition


@dataclass(frozen=True, slots=True)
class Discard:
    """`engine.discard`, then `discarded`. Comes only once everything worth keeping is on disk."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It never started and will not: write `given_up`, and close the slot with `disposition`."""

    outcome: Outcome
    disposition: Disposition


@dataclass(frozen=True, slots=True)
class Renew:
    """It has not started, and the job has a newer definition by now: go on with that (`renewed`)."""


Step = Wait | Prepare | Launch | FindStart | Adopt | Stop | Kill | Collect | Finish | Discard | GiveUp | Renew
