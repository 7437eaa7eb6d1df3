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
from ..model.run import Decision, Disposition, Pause, RunRecord, RunRequest, SlotRecord, Trigger
from ..runs.conditions import failures_in_a_row
from ..runs.parameters import Values, defaults
from ..runs.transitions import claimed, stop_requested
from ..schedule.after import fires, key_of, own_instant, triggered
from ..schedule.cron import smallest_interval
from ..schedule.cursor import FAR, part_until, silent_until
from ..schedule.due import decide
from ..schedule.gates import Gates
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
        self, *, history: History, emit: EventStream, book: Book, work: RunWork, boot: Callable[[], float],
        storage: Callable[[StateError | None], None],
    ) -> None:  # fmt: skip
        self._history, self._emit, self._book, self._work = history, emit, book, work
        self._boot, self._storage = boot, storage
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
            if old.get(name) is not job:
                self._wakes.set(name, now)
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
        gates = Gates(
            paused=self._pause(job.name, now), forbidden=job.forbidden, downtime=news.downtime,
            clock_stepped=bool(news.stepped), lead=_lead(job), recent_starts=self._ages(job.name),
        )  # fmt: skip
        decision = decide(job, self._book.of(job.name), now, gates)
        decision = replace(decision, slots=tuple(replace(slot, decided_at=now) for slot in decision.slots))
        self._record(job, decision, now)
        self._wakes.set(job.name, decision.wake_at)
        for run_id, why in decision.stop:
            self._work.ask_stop(run_id, why, now)
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
        gates = Gates(paused=self._pause(job.name, now), forbidden=job.forbidden)
        for nth in range(SAME_INSTANT):
            found = triggered(job, cause, self._book.of(job.name), own_instant(now, nth), now, gates)
            request = found.request
            record = claimed(request, job, found.deadline, now, log_path(job.name, request.run_id))
            record = stop_requested(record, found.refused, now) if found.refused else record
            if self._history.claim(record, current=True):
                self._book.add(record)
                for run_id in request.replaces:
                    self._work.ask_stop(run_id, f"replaced by {record.run_id}", now)
                return

    def ended(self, run: RunRecord, now: datetime) -> None:
        """The last attempt of a slot is over: after too many failures in a row the job is paused."""
        job = self._jobs.get(run.job)
        most = job.spec.pause_after_failures if job is not None else 0
        if not most or not run.phase.bad or any(p.job == run.job and p.covers(run.job, now) for p in self._pauses):
            return
        try:
            streak = failures_in_a_row(self._history.runs(run.job, limit=RECENT))
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
            if record.slot == decision.cursor:
                self._recent.setdefault(job.name, deque(maxlen=2)).append(
                    self._boot() + max(0.0, (record.slot - now).total_seconds())
                )
        if not decision.launch and (decision.slots or decision.cursor != job.cursor):
            self._history.set_cursor(job.name, decision.cursor, decision.slots)
        if decision.cursor != job.cursor:
            self._jobs[job.name] = replace(job, cursor=max(decision.cursor, job.cursor))

    def _claim(self, job: StandingJob, decision: Decision, now: datetime) -> list[RunRecord]:
        """The records that are ours by now: all in one transaction, so that the cursor leaves none behind."""
        won = []
        with self._history.together() if len(decision.launch) > 1 else nullcontext():
            for asked in decision.launch:
                request = replace(asked, parameters=defaults(job.spec))
                record = claimed(request, job, decision.deadline, now, log_path(request.job, request.run_id))
                if self._history.claim(record, decision.cursor, decision.slots, current=True):
                    won.append(record)
        return won

    def start_manual(
        self, job: StandingJob, actor: str, now: datetime, parameters: Values = (), key: str = ""
    ) -> RunRecord | None:
        """Claim a run by hand; its slot is this millisecond. None = the same slot or key was claimed before, or the
        job is just being changed."""
        slot = own_instant(now)
        replaces = job.spec.concurrency_policy is Concurrency.REPLACE
        replaced = tuple(run.run_id for run in self._book.of(job.name)) if replaces else ()
        request = RunRequest(job.name, slot, 1, Trigger.MANUAL, actor, replaces=replaced, parameters=parameters,
                             key=key)  # fmt: skip
        record = claimed(request, job, now + MANUAL_DEADLINE, now, log_path(request.job, request.run_id))
        if not self._history.claim(record, current=True):
            return None
        self._book.add(record)
        for run_id in request.replaces:
            self._work.ask_stop(run_id, f"replaced by {record.run_id}", now)
        return record


def _lead(job: StandingJob) -> float:
    """Half an interval at most: what fires every few seconds is prepared after the run before it was claimed."""
    if job.spec.schedule.kind is ScheduleKind.MANUAL:
        return 0.0
    interval = smallest_interval(job.spec.schedule)
    return min(LEAD, interval / 2) if interval else LEAD


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
