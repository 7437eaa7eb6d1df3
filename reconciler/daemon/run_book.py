"""What the run loop holds in its head: open runs, what was last seen of them, and when to look again."""

import heapq
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ..model.ids import parse_run_id
from ..model.live import LivePhase, LiveRun
from ..model.run import Phase, RunRecord
from ..runs.places import HOLDING, Places

LOOK_EVERY = 5.0  # seconds between two looks at a running run when no event speaks of it
LOOK_PAUSE = timedelta(seconds=0.05)  # between two looks that events ask for
LOOK_FAILED = 2.0  # seconds after a look that the engine did not answer
ECHO = timedelta(seconds=10)  # after a run is done with, events still speak of its removal
ECHOES = 2048  # runs of which that is remembered


@dataclass(slots=True)
class Open:
    """One open run. `busy` names the call in flight; `known` says whether `live` is later than our last act."""

    record: RunRecord
    live: LiveRun | None = None
    known: bool = False
    busy: str = ""
    seen_at: datetime | None = None  # when `live` was answered
    look_at: datetime | None = None  # when to ask again; None = at once if it is not known, else never
    adopted: bool = False  # an earlier process started it
    poked: bool = False
    remade: int = 0  # how often it was made anew after somebody had tidied it away
    hint: str = ""  # what a failure smells of
    unsaved: bool = False  # the disk refused the record; the engine has acted on it
    _rest: tuple[Any, ...] = ()  # what it was when there was nothing to do, and until when that holds

    def rest(self, until: datetime | None) -> None:
        """There is nothing to do about it until then, unless something is heard of it."""
        self._rest = (self.record, self.live, self.busy, self.known, self.look_at, until)

    def rests(self, now: datetime) -> bool:
        """Is all as it was when it was found that there is nothing to do? It is not decided anew then: in a burst each
        answer would have every run decided."""
        if not self._rest or self.unsaved or self.poked:
            return False
        record, live, busy, known, look_at, until = self._rest
        same = record is self.record and live is self.live and busy == self.busy and known == self.known
        return same and look_at == self.look_at and (until is None or now < until)

    def rests_until(self) -> datetime | None:
        until: datetime | None = self._rest[-1]
        return until

    def wake(self) -> None:
        """Decide about it anew."""
        self._rest = ()


@dataclass(slots=True)
class Book:
    """Belongs to the run loop's thread alone."""

    runs: dict[str, Open] = field(default_factory=dict)
    look_every: float = LOOK_EVERY
    _done: OrderedDict[str, datetime] = field(default_factory=OrderedDict)  # run id -> when it was done with

    def of(self, job: str) -> list[RunRecord]:
        """Active runs of a job, waiting retries included."""
        return [entry.record for entry in self.runs.values() if entry.record.job == job and entry.record.active]

    def kept(self, job: str, now: datetime) -> list[Open]:
        """Ended runs of a job whose container is kept for debugging, the oldest first."""
        found = [entry for entry in self.runs.values() if entry.record.job == job and not entry.record.active
                 and entry.record.hold_until is not None and now < entry.record.hold_until]  # fmt: skip
        return sorted(found, key=lambda entry: (entry.record.finished_at or now, entry.record.run_id))

    def add(self, record: RunRecord, *, adopted: bool = False) -> Open:
        entry = self.runs[record.run_id] = Open(record, adopted=adopted)
        return entry

    def drop(self, run_id: str) -> None:
        self.runs.pop(run_id, None)

    def occupied(self) -> int:
        """Runs that hold a place under max_running."""
        return sum(1 for entry in self.runs.values() if entry.record.phase in HOLDING)

    def blockers(self, record: RunRecord, places: Places, *, in_line: bool) -> tuple[str, ...]:
        """Those that must have ended first: what it replaces; with `in_line`, what is before it of its job. Under
        Forbid and Replace that is nothing, unless it was claimed under another policy."""
        replaced = tuple(run_id for run_id in record.replaces if self._goes_on(record.job, run_id, places))
        if not in_line or record.phase not in (Phase.PENDING, Phase.PREPARING) or places.alone(record):
            return replaced
        others = [other for other in self.of(record.job) if other.slot != record.slot]
        first = [other for other in others if other.slot < record.slot or other.phase in HOLDING]
        return replaced + tuple(other.run_id for other in sorted(first, key=lambda other: other.slot))

    def _goes_on(self, job: str, run_id: str, places: Places) -> bool:
        """Has it not ended? The id of a cell stands for all cells of its slot."""
        entry = self.runs.get(run_id)
        if entry is not None and entry.record.active:
            return True
        slot = parse_run_id(run_id)
        return slot.cell is not None and places.active(job, slot.slot)

    def successor(self, run: RunRecord) -> Open | None:
        """The next attempt at its slot, if it was claimed already and has not ended."""
        following = (run.job, run.slot, run.cell, run.attempt + 1)
        for entry in self.runs.values():
            other = entry.record
            if other.active and (other.job, other.slot, other.cell, other.attempt) == following:
                return entry
        return None

    def wake_all(self) -> None:
        """What every decision depends on has changed."""
        for entry in self.runs.values():
            entry.wake()

    def must_look(self, entry: Open, now: datetime) -> bool:
        """Is what we know of it too old to act on?"""
        if entry.busy or not entry.record.active:
            return False
        asked = entry.look_at is not None and now >= entry.look_at
        if entry.record.phase in (Phase.RUNNING, Phase.STOPPING):
            return not entry.known or asked
        if entry.record.phase is Phase.PREPARING:
            return asked and entry.record.prepared_at is not None
        return entry.record.phase is Phase.STARTING and entry.adopted and not entry.known

    def done(self, run_id: str, now: datetime) -> None:
        """Nothing is left to do about it. What its removal stirs up is no news."""
        self.drop(run_id)
        self._done[run_id] = now
        while len(self._done) > ECHOES:
            self._done.popitem(last=False)

    def echoes(self, run_id: str, now: datetime) -> bool:
        """Was it done with a moment ago? What is seen or heard of it may be from before."""
        gone = self._done.get(run_id)
        return gone is not None and abs(now - gone) < ECHO

    def poke(self, run_id: str, now: datetime) -> bool:
        """An event spoke of this run: look at it now, whatever was seen before. False if nobody knows the run."""
        entry = self.runs.get(run_id)
        if entry is None:
            return self.echoes(run_id, now)
        entry.poked = True
        self.after_answer(entry, now)
        return True

    def after_answer(self, entry: Open, now: datetime) -> None:
        """What was heard while a call was in flight may be newer than its answer. An engine that speaks all the time
        must not keep us from acting: between two looks there is a moment."""
        if not entry.poked or entry.busy:
            return
        entry.poked = False
        if entry.record.phase is Phase.PREPARING:
            entry.look_at = now  # it is ready and has not been started: somebody has removed it
        ended = entry.live is not None and entry.live.phase is LivePhase.EXITED
        if entry.known and not ended:
            entry.look_at = now if entry.seen_at is None else max(now, entry.seen_at + LOOK_PAUSE)

    def forget_sight(self, entry: Open) -> None:
        entry.known, entry.look_at, entry.poked = False, None, False

    def saw(self, entry: Open, live: LiveRun | None, now: datetime) -> None:
        """A look was answered. `None` = the engine does not show it."""
        entry.live, entry.known, entry.seen_at = live, True, now
        running = live is not None and live.phase is LivePhase.RUNNING
        entry.look_at = now + timedelta(seconds=self.look_every) if running else None

    def unanswered(self, entry: Open, now: datetime) -> None:
        entry.look_at = now + timedelta(seconds=LOOK_FAILED)


class Wakes:
    """When each job is to be decided next: a heap with lazy deletion."""

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, str]] = []
        self._at: dict[str, datetime] = {}

    def set(self, job: str, at: datetime | None) -> None:
        if at is None:
            self._at.pop(job, None)
            return
        self._at[job] = at
        heapq.heappush(self._heap, (at, job))
        if len(self._heap) > 4 * len(self._at) + 64:
            self._heap = [(when, name) for name, when in self._at.items()]
            heapq.heapify(self._heap)

    def due(self, now: datetime) -> list[str]:
        """Take the jobs that are due."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            at, job = heapq.heappop(self._heap)
            if self._at.get(job) == at:
                del self._at[job]
                found.append(job)
        return found

    def next_at(self) -> datetime | None:
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def keep(self, jobs: Iterable[str]) -> None:
        """Forget all other jobs."""
        known = set(jobs)
        self._at = {name: at for name, at in self._at.items() if name in known}
