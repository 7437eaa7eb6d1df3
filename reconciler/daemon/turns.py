"""Every open run gets its turn in one round: by priority and instant, as long as there are places and devices."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from ..history.base import History
from ..model.errors import ReconcilerError
from ..model.job import JobSpec
from ..model.live import LivePhase, StandingJob
from ..model.run import Phase, RunRecord
from ..model.service import ServiceConfig
from ..runs.devices import Devices, held
from ..runs.machine import Collect, Discard, Wait, next_step
from ..runs.places import Places, turn
from ..runs.transitions import waiting
from .cells import Cells
from .deciding import SAVE_AGAIN
from .run_book import Book, Open
from .run_context import UNSTARTED, context_of
from .run_work import RunWork

STEPS = 12  # of one run in one round; the machine never takes more without an answer from the engine
MOST_ENDS = 50  # cells that are given up in one round


@dataclass(frozen=True, slots=True)
class Round:
    """What holds for all runs in one round. `counted`: the engine was listed in full; `drained`: why nothing may start,
    "" = it may."""

    config: ServiceConfig
    jobs: Mapping[str, StandingJob]
    counted: bool
    engine_up_at: datetime
    drained: str
    now: datetime


class Turns:
    """Belongs to the run loop's thread. `spec_of` gives the definition of a run."""

    def __init__(
        self, book: Book, work: RunWork, cells: Cells, history: History, spec_of: Callable[[RunRecord], JobSpec]
    ) -> None:
        self._book, self._work, self._cells, self._history, self._spec = book, work, cells, history, spec_of

    def take(self, this: Round) -> datetime | None:
        """The next step of every open run that does not rest; the earliest time one of them waits for."""
        entries, now = self._book.runs.values(), this.now
        self._work.stop_all(self._cells.failing(self._spec), now)
        earliest, awake = self._resting(now)
        if not awake:
            return earliest
        # Places are for those that have not started; with none of them, nobody else's turn is looked at.
        placing = any(entry.record.phase in UNSTARTED for entry in awake)
        shown = entries if placing else awake
        limits, totals = this.config.limits, this.config.totals
        places = Places(((entry.record, self._spec(entry.record)) for entry in shown), limits, totals)
        devices = Devices(this.config.devices.gpus or (), ((entry.record, entry.live) for entry in entries),
                          known=this.counted)  # fmt: skip
        try:
            earliest = self._each(shown, this, places, devices, earliest)
        except ReconcilerError:
            self._work.carry_out()  # what had its turn before is not held up by this
            raise
        if not self._work.carry_out():
            earliest = _earlier(earliest, now + SAVE_AGAIN)  # the disk refused what had to be written first
        return earliest

    def _each(
        self, entries: Iterable[Open], this: Round, places: Places, devices: Devices, earliest: datetime | None
    ) -> datetime | None:
        ended, now = 0, this.now
        for entry in sorted(entries, key=lambda one: turn(one.record, self._spec(one.record))):
            before = entry.record
            if entry.rests(now):
                places.passed(before, before, self._spec(before))
                continue
            if ended >= MOST_ENDS and _given_up(before):
                earliest = now  # a thousand cells that are stopped at once must not keep others from firing
                continue
            until = self._one(entry, this, places, devices)
            devices.taken(entry.record)
            if held(before) and not held(entry.record):
                until = now  # as below: devices are free
            if places.passed(before, entry.record, self._spec(entry.record)):
                ended += 1
                until = now  # a place is free: whoever waits for it may have had its turn before
            earliest = _earlier(earliest, until)
        return earliest

    def _resting(self, now: datetime) -> tuple[datetime | None, list[Open]]:
        """When the first of those that rest wakes, and the others."""
        earliest: datetime | None = None
        awake = []
        for entry in self._book.runs.values():
            if entry.rests(now):
                earliest = _earlier(earliest, entry.rests_until())
            else:
                awake.append(entry)
        return earliest, awake

    def _one(self, entry: Open, this: Round, places: Places, devices: Devices) -> datetime | None:
        now = this.now
        for _ in range(STEPS):
            if entry.unsaved and not self._work.save_again(entry):
                return now + SAVE_AGAIN
            if self._book.must_look(entry, now):
                if entry.look_at is not None and now < entry.look_at:
                    return entry.look_at
                self._work.look(entry)
                return None
            run, busy = entry.record, entry.busy
            job = this.jobs.get(run.job)
            spec = self._spec(run)
            ctx = context_of(entry, spec, job, this.config.limits, places, devices, self._book, self._history,
                             this.jobs, self._cells, now,
                             engine_ok=now >= this.engine_up_at, drained=this.drained)  # fmt: skip
            step = next_step(run, entry.live, spec, now, ctx)
            if isinstance(step, Wait):
                if not run.active and run.discarded and not busy:
                    self._book.done(run.run_id, now)
                if step.place:
                    places.waits(spec)
                if step.device:
                    devices.waits(run, spec)
                    if run.reason != step.why:
                        self._work.save(entry, waiting(run, step.why))
                until = _until(entry, step.until, this)
                if _concerns_itself_alone(run, entry):
                    entry.rest(until)
                return until
            if isinstance(step, Discard | Collect) and entry.look_at is not None and now < entry.look_at:
                return entry.look_at
            self._work.act(entry, step, spec, job, this.config, now, devices.offer(run, spec))
            if entry.record is run and entry.busy == busy:
                return now + SAVE_AGAIN  # the disk refused what had to be written first
        return now


def _until(entry: Open, until: datetime | None, this: Round) -> datetime | None:
    times = [until, entry.look_at if not entry.busy else None]
    if this.now < this.engine_up_at:
        times.append(this.engine_up_at)
    return min((at for at in times if at is not None and at > this.now), default=None)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return other if one is None else one if other is None else min(one, other)


def _concerns_itself_alone(run: RunRecord, entry: Open) -> bool:
    """Does no other run, and no listing, change what is to be done about it? Then it may rest."""
    if entry.busy:
        return True
    return run.phase not in UNSTARTED and entry.live is not None and entry.live.phase is not LivePhase.CREATED


def _given_up(run: RunRecord) -> bool:
    """A cell that was stopped before its start: all that is left is to write it."""
    return run.cell is not None and run.phase is Phase.PENDING and run.stop_requested_at is not None
