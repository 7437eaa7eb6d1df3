"""Asks each job when it is due, and claims what it says: slots, cursors and claims are written in one transaction."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta

from ..history.base import History
from ..history.logfiles import log_path
from ..model.errors import StateError
from ..model.event import EventName
from ..model.job import Concurrency, ScheduleKind
from ..model.live import StandingJob
from ..model.run import CodeAt, Decision, Disposition, Pause, RunRecord, RunRequest, SlotRecord, Trigger
from ..runs.cells import expand
from ..runs.conditions import failures_in_a_row
from ..runs.parameters import Values, defaults
from ..runs.transitions import claimed, stop_requested
from ..schedule.after import fires, key_of, own_instant, triggered
from ..schedule.cron import smallest_interval
from ..schedule.cursor import FAR, part_until, silent_until
from ..schedule.due import decide, same_schedule
from ..schedule.gates import Gates
from ..schedule.holding import replaced_ids
from .cells import Cells
from .clock_watch import ClockNews
from .events import EventStream
from .run_book import Book, Wakes
from .run_work import RunWork

LEAD = 8.0  # seconds ahead of its instant that a run is claimed and prepared
MANUAL_DEADLINE = timedelta(hours=1)  # how long a run by hand may wait for image, engine or a place
SAVE_AGAIN = timedelta(seconds=5)  # after the disk refused a row
SAME_INSTANT = 100  # runs of one job that may be asked for within one moment
RECENT = 1000  # runs in which failures are counted
OURSELVES = "reconciler"  # the actor of a pause that no person asked for
LOUD = {Disposition.MISSED: EventName.SLOT_MISSED, Disposition.UNAVAILABLE: EventName.SLOT_MISSED,
        Disposition.SKIPPED: EventName.SLOT_SKIPPED}  # fmt: skip


class Decider:
    """Owns cursors, pauses and wake times; belongs to the run loop's thread. `storage` hears how the ledger is."""

    def __init__(
        self, *, history: History, emit: EventStream, book: Book, work: RunWork, cells: Cells,
        boot: Callable[[], float], storage: Callable[[StateError | None], None],
    ) -> None:  # fmt: skip
        self._history, self._emit, self._book, self._work = history, emit, book, work
        self._cells, self._boot, self._storage = cells, boot, storage
        self._jobs: dict[str, StandingJob] = {}
        self._pauses: tuple[Pause, ...] = ()
        self._wakes = Wakes()
        self._after: dict[str, list[str]] = {}  # job -> the jobs that its outcome may fire
        self._recent: dict[str, deque[float]] = {}  # job -> when its scheduled runs started, on the boot clock

    @property
    def jobs(self) -> Mapping[str, StandingJob]:
        """The standing jobs as last taken, with the cursors of now."""
        return self._jobs

    def next_at(self) -> datetime | None:
        """When the next job is to be decided."""
        return self._wakes.next_at()

    def take_jobs(self, jobs: Mapping[str, StandingJob], now: datetime) -> None:
        """These are the standing jobs: decide those that are new or changed."""
        old, self._jobs = self._jobs, dict(jobs)
        self._wakes.keep(self._jobs)
        self._after = {}
        for name, job in self._jobs.items():
            before = old.get(name)
            if before is not job:
                self._wakes.set(name, now)
                if before is None or not same_schedule(before.spec.schedule, job.spec.schedule):
                    self._recent.pop(name, None)  # how often it may start is another question now (rule T8)
            for link in job.spec.after:
                self._after.setdefault(link.job, []).append(name)

    def take_pauses(self, pauses: Iterable[Pause], now: datetime) -> None:
        """These are the pauses: decide everything anew."""
        self._pauses = tuple(pauses)
        for name in self._jobs:
            self._wakes.set(name, now)

    def rewind(self, target: str, now: datetime) -> dict[str, datetime]:
        """Let jobs fire from now on whose cursor lies ahead, because the clock was set back: `target` or `*`. Name ->
        until when each would have been silent. What was claimed for a time to come is given up."""
        found = {}
        for name, job in list(self._jobs.items()):
            until = silent_until(job, now) if target in ("*", name) else None
            if until is None:
                continue
            over = [slot for slot in self._history.slots(name, before=now) if slot.last > now and not slot.run_id]
            self._history.rewind(name, now, [part for slot in over for part in part_until(slot, job, now)])
            self._jobs[name] = replace(job, cursor=min(job.cursor, now), anchor=min(job.anchor, now))
            for run in self._book.of(name):
                if run.started_at is None and run.slot > now + FAR:
                    self._work.ask_stop(run.run_id, "replaced: the clock was set back before its instant", now)
            self._wakes.set(name, now)
            found[name] = until
        return found

    # -- decide -----------------------------------------------------------------------------------------------
    def decide_due(self, now: datetime, news: ClockNews) -> None:
        """Decide every job whose time has come; what the disk refuses is decided again."""
        for name in self._wakes.due(now):
            job = self._jobs.get(name)
            if job is None:
                continue
            try:
                self._decide(job, now, news)
                self._storage(None)
            except StateError as error:
                self._storage(error)
                self._wakes.set(name, now + SAVE_AGAIN)

    def _decide(self, job: StandingJob, now: datetime, news: ClockNews) -> None:
        active = self._book.of(job.name)
        gates = Gates(
            paused=self._pause(job.name, now), forbidden=job.forbidden, downtime=news.downtime,
            clock_stepped=bool(news.stepped), lead=_lead(job), recent_starts=self._ages(job.name),
            begun=self._cells.begun_slots(active),
        )  # fmt: skip
        decision = decide(job, active, now, gates)
        decision = replace(decision, slots=tuple(replace(slot, decided_at=now) for slot in decision.slots))
        self._record(job, decision, now)
        self._wakes.set(job.name, decision.wake_at)
        self._stop(decision.stop, now)
        for run_id in decision.supersede:
            if (entry := self._book.runs.get(run_id)) is not None:
                self._work.supersede(entry, "the next slot is due", now)
        for slot in decision.slots:
            self._tell_slot(slot)

    def _pause(self, job: str, now: datetime) -> Pause | None:
        """The pause that covers now, else the one of this job that ended last."""
        ours = [p for p in self._pauses if p.job in ("*", job)]
        covering = [p for p in ours if p.covers(job, now)]
        ended = sorted((p for p in ours if p.until is not None and p.until <= now), key=lambda p: p.until or now)
        found = covering or ended
        return found[-1] if found else None

    def _ages(self, job: str) -> tuple[float, ...]:
        boot = self._boot()
        return tuple(boot - at for at in self._recent.get(job, ()))

    def _tell_slot(self, slot: SlotRecord) -> None:
        if (name := LOUD.get(slot.disposition)) is not None:
            self._emit.emit(name, job=slot.job, slot=_stamp(slot.last), count=slot.count,
                            disposition=slot.disposition.value, reason=slot.reason)  # fmt: skip

    def fire_after(self, run: RunRecord, now: datetime) -> None:
        """`run` decides how its slot has ended: claim what that fires. May be repeated. Raises StateError."""
        for name in self._after.get(run.job, ()):
            job = self._jobs.get(name)
            if job is None or not any(link.job == run.job and fires(link, run.phase) for link in job.spec.after):
                continue
            if self._history.keyed(name, key_of(run)) is None:
                self._claim_after(job, run, now)

    def _claim_after(self, job: StandingJob, cause: RunRecord, now: datetime) -> None:
        active = self._book.of(job.name)
        gates = Gates(paused=self._pause(job.name, now), forbidden=job.forbidden,
                      begun=self._cells.begun_slots(active))  # fmt: skip
        for nth in range(SAME_INSTANT):
            found = triggered(job, cause, active, own_instant(now, nth), now, gates)
            records = self._records(found.request, job, found.deadline, now)
            if found.refused:
                records = [stop_requested(record, found.refused, now) for record in records]
            if self._claim_slot(records):
                self._replace(records[0], active, now)
                return

    def ended(self, run: RunRecord, now: datetime) -> None:
        """The last attempt of a slot is over: after too many failures in a row the job is paused."""
        job = self._jobs.get(run.job)
        most = job.spec.pause_after_failures if job is not None else 0
        if not most or not run.phase.bad or run.replays is not None:
            return
        if any(p.job == run.job and p.covers(run.job, now) for p in self._pauses):
            return
        try:
            recent = self._history.runs(run.job, limit=RECENT, fold=True)
            streak = failures_in_a_row([one for one in recent if one.replays is None])
            if streak < most:
                return
            reason = f"{streak} failures in a row (pause_after_failures: {most})"
            self._history.put_pause(Pause(run.job, now, None, reason, OURSELVES))
            self.take_pauses(self._history.pauses(), now)
        except StateError as error:  # the next failure pauses it
            self._storage(error)
            return
        self._emit.emit(EventName.JOB_PAUSED, job=run.job, actor=OURSELVES, reason=reason, until="")

    # -- claim ------------------------------------------------------------------------------------------------
    def _record(self, job: StandingJob, decision: Decision, now: datetime) -> None:
        """Claim, cursor and slots in one transaction; what is claimed is ours to start, and nobody else's."""
        for record in self._claim(job, decision, now):
            self._book.add(record)
            if record.slot == decision.cursor and not record.cell:
                self._recent.setdefault(job.name, deque(maxlen=2)).append(
                    self._boot() + max(0.0, (record.slot - now).total_seconds())
                )
        if not decision.launch and (decision.slots or decision.cursor != job.cursor):
            self._history.set_cursor(job.name, decision.cursor, decision.slots)
        if decision.cursor != job.cursor:
            self._jobs[job.name] = replace(job, cursor=max(decision.cursor, job.cursor))

    def _claim(self, job: StandingJob, decision: Decision, now: datetime) -> list[RunRecord]:
        """The records that are ours by now: all in one transaction, so that the cursor leaves none behind."""
        won: list[RunRecord] = []
        with self._history.together() if len(decision.launch) > 1 or job.spec.strategy.cells else nullcontext():
            for asked in decision.launch:
                records = self._records(asked, job, decision.deadline, now)
                won += [r for r in records if self._history.claim(r, decision.cursor, decision.slots, current=True)]
        return won

    def start_manual(
        self, job: StandingJob, actor: str, now: datetime, parameters: Values = (), key: str = "",
        cells: Callable[[RunRequest], tuple[RunRequest, ...]] | None = None, code: tuple[CodeAt, ...] = (),
    ) -> RunRecord | None:  # fmt: skip
        """Claim a run by hand, all its cells at once; its slot is this millisecond. The first of them; None = the same
        slot or key was claimed before, or the job is just being changed. `cells` expands it instead of the strategy;
        `code` has the refs that somebody wants instead of the job's."""
        active = self._book.of(job.name) if job.spec.concurrency_policy is Concurrency.REPLACE else []
        request = RunRequest(job.name, own_instant(now), 1, Trigger.MANUAL, actor, replaces=replaced_ids(active),
                             parameters=parameters, key=key, code=code)  # fmt: skip
        records = self._records(request, job, now + MANUAL_DEADLINE, now, cells)
        if not self._claim_slot(records):
            return None
        self._replace(records[0], active, now)
        return records[0]

    def _records(
        self, request: RunRequest, job: StandingJob, deadline: datetime | None, now: datetime,
        cells: Callable[[RunRequest], tuple[RunRequest, ...]] | None = None,
    ) -> list[RunRecord]:  # fmt: skip
        """The runs of one slot: a cell each, if the job has a strategy."""
        if request.trigger is not Trigger.MANUAL:
            request = replace(request, parameters=defaults(job.spec))
        made = cells(request) if cells is not None else expand(request, job.spec)
        return [claimed(one, job, deadline, now, log_path(one.job, one.run_id)) for one in made]

    def _claim_slot(self, records: list[RunRecord]) -> bool:
        """All runs of a slot that is asked for at its own instant, or none."""
        with self._history.together() if len(records) > 1 else nullcontext():
            won = [record for record in records if self._history.claim(record, current=True)]
        for record in won:
            self._book.add(record)
        return bool(won)

    def _replace(self, record: RunRecord, active: list[RunRecord], now: datetime) -> None:
        """What it replaces is stopped: whole slots."""
        slots = {old.slot for old in active if old.run_id in record.replaces}
        why = f"replaced by {record.run_id}"
        self._stop([(old.run_id, why) for old in active if old.slot in slots], now)

    def _stop(self, asked: Iterable[tuple[str, str]], now: datetime) -> None:
        found = [(self._book.runs.get(run_id), why) for run_id, why in asked]
        self._work.stop_all([(entry, why) for entry, why in found if entry is not None], now)


def _lead(job: StandingJob) -> float:
    """Half an interval at most: what fires every few seconds is prepared after the run before it was claimed."""
    if job.spec.schedule.kind is ScheduleKind.MANUAL:
        return 0.0
    interval = smallest_interval(job.spec.schedule)
    return min(LEAD, interval / 2) if interval else LEAD


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
