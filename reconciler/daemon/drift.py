"""Rule P1: compare standing objects with what we set, all at a start, one on its event, all within the hour."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from ..engine.base import Engine, StandingOrder
from ..model.errors import EngineRejected, NotOurs
from ..model.live import LiveState, StandingJob

TURN = timedelta(hours=1)  # in which every standing object is looked at once
PIECE = 25  # looks in one pass: a pass must stay short
PAUSE = timedelta(seconds=1)  # between two pieces while a backlog is worked off

OrderOf = Callable[[StandingJob], StandingOrder]


class DriftRound:
    """Belongs to the sync loop. What was found is kept by the object's id, and goes with it."""

    def __init__(self, turn: timedelta = TURN) -> None:
        self._turn = turn
        self._looked: dict[str, datetime] = {}  # name -> when
        self._found: dict[str, tuple[str, tuple[str, ...]]] = {}  # name -> (ref, sentences)
        self.changes = 0  # grows whenever what `marked` says of a listing may be another
        self.next_at: datetime | None = None

    def suspect(self, name: str) -> None:
        """An event spoke of this object: it is looked at in the next piece."""
        self._looked.pop(name, None)
        self.next_at = None

    def made(self, name: str, now: datetime) -> None:
        """It was just made as ordered: its turn comes in an hour."""
        self._looked[name] = now
        self._note(name, None)

    def _note(self, name: str, found: tuple[str, tuple[str, ...]] | None) -> None:
        if found == self._found.get(name):
            return
        self.changes += 1
        if found is not None:
            self._found[name] = found
        else:
            del self._found[name]

    def look(self, engine: Engine, live: LiveState, standing: Mapping[str, StandingJob], order_of: OrderOf,
             now: datetime) -> None:  # fmt: skip
        """Look at the next piece. Raises EngineUnavailable."""
        if self.next_at is not None and now < self.next_at:
            return
        names = [n for n, job in standing.items() if n in live.jobs and live.jobs[n].digest == job.digest]
        self._looked = {name: at for name, at in self._looked.items() if name in standing}
        due = sorted(
            (n for n in names if self._due(n, now)),
            key=lambda n: self._looked.get(n, datetime.min.replace(tzinfo=now.tzinfo)),
        )
        for name in due[:PIECE]:
            try:
                sentences = engine.inspect_drift(name, order_of(standing[name]))
            except (EngineRejected, NotOurs):
                sentences = ()  # not ours to compare: the plan says what is the matter with it
            self._looked[name] = now
            self._note(name, (live.jobs[name].ref, sentences) if sentences else None)
        soonest = min((self._looked[n] + self._turn for n in names if n in self._looked), default=now + self._turn)
        self.next_at = now + PAUSE if len(due) > PIECE else max(now + PAUSE, soonest)

    def _due(self, name: str, now: datetime) -> bool:
        looked = self._looked.get(name)
        return looked is None or now - looked >= self._turn

    def marked(self, live: LiveState) -> LiveState:
        """The listing, with what is known to have drifted."""
        drifted = {
            name: replace(job, drift=found[1])
            for name, found in self._found.items()
            if (job := live.jobs.get(name)) is not None and job.ref == found[0]
        }
        return replace(live, jobs={**live.jobs, **drifted}) if drifted else live
