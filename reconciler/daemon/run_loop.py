"""The second loop: what is due, what runs, what has ended. `step(now) -> wake_at`; only workers ask the engine."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue

import structlog

from ..history.base import History
from ..history.logfiles import log_path
from ..model.errors import StateError
from ..model.event import EventName
from ..model.job import JobSpec, OnRetire, ScheduleKind
from ..model.live import LiveState, StandingJob
from ..model.run import Decision, Disposition, Pause, Phase, RunRecord, RunRequest, SlotRecord, Trigger
from ..model.service import ServiceConfig
from ..runs.machine import Collect, Context, Discard, Wait, next_step
from ..runs.transitions import claimed, stop_requested
from ..schedule.cron import smallest_interval
from ..schedule.due import Gates, decide, same_schedule
from .clock_watch import ClockNews, ClockWatch
from .events import EventStream
from .fleet import Fleet
from .orphans import UNKNOWN, take_up, unknown_spec
from .pools import Pools
from .requests import Request
from .run_book import Book, Open, Wakes
from .run_ops import RunOps
from .run_work import RunWork

log = structlog.get_logger()

LEAD = 8.0  # seconds ahead of its instant that a run is claimed and prepared
PRUNE_EVERY = timedelta(minutes=1)  # a bounded piece of a round over all jobs
MANUAL_DEADLINE = timedelta(hours=1)  # how long a run by hand may wait for image, engine or a place
ENGINE_PAUSE = timedelta(seconds=2)  # between two tries on an engine that does not answer
STEPS = 12  # of one run in one round; the machine never takes more without an answer from the engine
SAVE_AGAIN = timedelta(seconds=5)  # after the disk refused a row
DRAFT_EVERY = timedelta(seconds=1)  # between two readings of the rows while an apply is under way
LOUD = {Disposition.MISSED: EventName.SLOT_MISSED, Disposition.UNAVAILABLE: EventName.SLOT_MISSED,
        Disposition.SKIPPED: EventName.SLOT_SKIPPED}  # fmt: skip


class RunLoop:
    """Owns cursors and open runs. One thread calls `step`; everything else reaches it by `ask` and `poke`."""

    def __init__(
        self, *, history: History, fleet: Fleet, emit: EventStream, pools: Pools, book: Book, ops: RunOps,
        boot: Callable[[], float], last_alive: datetime | None, alive: Callable[[datetime], None],
        drop_logs: Callable[[Iterable[RunRecord]], None], relist: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._history, self._fleet, self._emit = history, fleet, emit
        self._pools, self._book = pools, book
        self._work = RunWork(ops=ops, pools=pools, book=book, history=history, emit=emit, storage=self._storage,
                             down=self.engine_down)  # fmt: skip
        self._boot, self._alive, self._drop_logs, self._relist = boot, alive, drop_logs, relist
        self._clock = ClockWatch(last_alive)
        self._wakes = Wakes()
        self._jobs: dict[str, StandingJob] = {}
        self._generation, self._drafts = -1, 0
        self._taken_at: datetime | None = None  # when the rows were read
        self._take_at: datetime | None = None  # when they are to be read again
        self._pauses: tuple[Pause, ...] = ()
        self._specs: dict[str, JobSpec] = {}
        self._recent: dict[str, deque[float]] = {}
        self._pokes: SimpleQueue[str] = SimpleQueue()
        self.requests: SimpleQueue[Request] = SimpleQueue()
        self._prune_at: datetime | None = None
        self._listing: LiveState | None = None
        self._recovered = False
        self._running = 0
        self._engine_up_at = datetime.min.replace(tzinfo=UTC)

    def poke(self, run_id: str) -> None:
        """An event spoke of this run."""
        self._pokes.put(run_id)

    def step(self, now: datetime) -> datetime | None:
        """One round: recover once, then decide, act, book, and say when to come again."""
        if not self._recovered:
            self._recover()
        news = self._clock.look(now, self._boot())
        self._tell_clock(news)
        self._take_fleet(now)
        self._decide_due(now, news)
        self._book_answers(now)
        self._take_listing(now)
        self._serve_requests(now)
        waits = self._act(now)
        self._running = self._book.occupied()
        self._prune(now)
        self._alive(now)
        times = [self._wakes.next_at(), waits, self._prune_at, self._take_at]
        return min((at for at in times if at is not None), default=None)

    # -- recovery and the fleet -------------------------------------------------------------------------------
    def _recover(self) -> None:
        """Take up every run that an earlier process left open: each is looked at before anything is done to it."""
        for record in self._history.active_runs():
            self._book.add(record, adopted=True)
        self._pauses = tuple(self._history.pauses())
        self._recovered = True

    def _tell_clock(self, news: ClockNews) -> None:
        if news.stepped:
            self._emit.emit(EventName.CLOCK_STEPPED, seconds=round(news.stepped, 1))

    def _take_fleet(self, now: datetime) -> None:
        """Standing jobs or the configuration have changed: decide all of them anew. What an apply has done so far must
        not wait for its end, which may be a long pull away; but it is not read after every single action either."""
        view = self._fleet.view
        if view.generation == self._generation:
            if view.drafts == self._drafts:
                return
            if self._taken_at is not None and abs(now - self._taken_at) < DRAFT_EVERY:
                self._take_at = self._taken_at + DRAFT_EVERY
                return
        self._generation, self._drafts, self._taken_at, self._take_at = view.generation, view.drafts, now, None
        old, self._jobs = self._jobs, dict(self._history.standing())
        self._wakes.keep(self._jobs)
        for name, job in self._jobs.items():
            if old.get(name) is not job:
                self._wakes.set(name, now)
        for entry in list(self._book.runs.values()):
            if entry.record.job not in self._jobs:
                self._rename(entry)
            self._renew(entry, self._jobs.get(entry.record.job), now)

    def _rename(self, entry: Open) -> None:
        """`moved_from`: the ledger has given the run its job's new name."""
        stored = self._history.run(entry.record.run_id)
        if stored is not None and stored.job != entry.record.job:
            entry.record = replace(entry.record, job=stored.job)

    def _renew(self, entry: Open, job: StandingJob | None, now: datetime) -> None:
        """What was claimed ahead does not outlive its job or its schedule; other edits are `Renew`'s (rule T4)."""
        run = entry.record
        if job is None and run.active and self._spec(run).on_retire is OnRetire.STOP:
            self._work.save(entry, stop_requested(run, "unavailable: retired (on_retire: stop)", now))
        if run.phase not in (Phase.PENDING, Phase.PREPARING) or run.slot <= now:
            return
        if job is None:
            self._work.save(entry, stop_requested(run, "unavailable: retired before its instant", now))
        elif job.digest != run.digest and not same_schedule(self._spec(run).schedule, job.spec.schedule):
            self._work.save(entry, stop_requested(run, "replaced: its schedule was edited", now))

    def _take_listing(self, now: datetime) -> None:
        """A new listing of the engine: runs in it that are not open are adopted or swept (rules P6, R1)."""
        live = self._fleet.view.live
        if live is not None and live is not self._listing:
            self._listing = live
            take_up(live.runs, self._book, self._history, self._jobs, self._work, now)

    def _spec(self, run: RunRecord) -> JobSpec:
        job = self._jobs.get(run.job)
        if job is not None and job.digest == run.digest:
            return job.spec
        if run.digest == UNKNOWN:
            return unknown_spec(run.job)
        found = self._specs.get(run.digest)
        if found is None:
            found = self._history.spec(run.digest)
            if found is None:  # one run must not stop all others: the defaults bound it
                log.error("run.definition-lost", job=run.job, run=run.run_id, digest=run.digest)
                found = unknown_spec(run.job)
            if len(self._specs) > 256:
                self._specs.clear()
            self._specs[run.digest] = found
        return found

    # -- decide -----------------------------------------------------------------------------------------------
    def _decide_due(self, now: datetime, news: ClockNews) -> None:
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

    def _storage(self, error: StateError | None) -> None:
        now = self._emit.now()
        if error is None:
            if self._fleet.set_condition("storage", now):
                self._emit.emit(EventName.STORAGE_RECOVERED)
        elif self._fleet.set_condition("storage", now, code=error.code, message=str(error), hint=error.hint):
            self._emit.emit(EventName.STORAGE_DEGRADED, code=error.code, error=str(error), hint=error.hint)

    def _decide(self, job: StandingJob, now: datetime, news: ClockNews) -> None:
        gates = Gates(
            paused=self._pause(job.name, now), forbidden=job.forbidden, downtime=news.downtime,
            clock_stepped=bool(news.stepped), lead=self._lead(job), recent_starts=self._ages(job.name),
        )  # fmt: skip
        decision = decide(job, self._book.of(job.name), now, gates)
        self._record(job, decision, now)
        self._wakes.set(job.name, decision.wake_at)
        for run_id, why in decision.stop:
            self.ask_stop(run_id, why, now)
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

    def _lead(self, job: StandingJob) -> float:
        """Half an interval at most: what fires every few seconds is prepared after the run before it was claimed."""
        if job.spec.schedule.kind is ScheduleKind.MANUAL:
            return 0.0
        interval = smallest_interval(job.spec.schedule)
        return min(LEAD, interval / 2) if interval else LEAD

    def _ages(self, job: str) -> tuple[float, ...]:
        boot = self._boot()
        return tuple(boot - at for at in self._recent.get(job, ()))

    def _record(self, job: StandingJob, decision: Decision, now: datetime) -> None:
        """Claim, cursor and slots in one transaction; what is claimed is ours to start, and nobody else's."""
        for request in decision.launch:
            record = claimed(request, job, decision.deadline, now, log_path(request.job, request.run_id))
            if self._history.claim(record, decision.cursor, decision.slots, current=True):
                self._book.add(record)
                if request.trigger is not Trigger.MANUAL:
                    self._recent.setdefault(job.name, deque(maxlen=2)).append(
                        self._boot() + max(0.0, (request.slot - now).total_seconds())
                    )
        if not decision.launch and (decision.slots or decision.cursor != job.cursor):
            self._history.set_cursor(job.name, decision.cursor, decision.slots)
        if decision.cursor != job.cursor:
            self._jobs[job.name] = replace(job, cursor=max(decision.cursor, job.cursor))

    def _tell_slot(self, slot: SlotRecord) -> None:
        if (name := LOUD.get(slot.disposition)) is not None:
            self._emit.emit(name, job=slot.job, slot=_stamp(slot.last), count=slot.count,
                            disposition=slot.disposition.value, reason=slot.reason)  # fmt: skip

    def ask_stop(self, run_id: str, reason: str, now: datetime) -> bool:
        """Let a run end. True if it is active. Only from the loop's own thread."""
        entry = self._book.runs.get(run_id)
        if entry is None or not entry.record.active:
            return False
        return self._work.save(entry, stop_requested(entry.record, reason, now))

    # -- act and book -----------------------------------------------------------------------------------------
    def _book_answers(self, now: datetime) -> None:
        for result in self._pools.drain():
            self._work.settle(result, now)
        while not self._pokes.empty():
            if not self._book.poke(self._pokes.get(), now):
                self._relist()  # ours by its label and not open: adopted or swept by way of a listing

    def engine_down(self) -> None:
        """The engine did not answer just now: ask it nothing for a moment. The other loop finds out how it is."""
        self._engine_up_at = self._emit.now() + ENGINE_PAUSE
        self._relist()

    def _act(self, now: datetime) -> datetime | None:
        """The next step of every open run; the earliest time one of them waits for."""
        config = self._fleet.view.config
        earliest: datetime | None = None
        for entry in self._book.in_order():
            until = self._act_on(entry, config, now)
            if until is not None and (earliest is None or until < earliest):
                earliest = until
        return earliest

    def _act_on(self, entry: Open, config: ServiceConfig, now: datetime) -> datetime | None:
        for _ in range(STEPS):
            if entry.unsaved and not self._work.save_again(entry):
                return now + SAVE_AGAIN
            if self._book.must_look(entry, now):
                if entry.look_at is not None and now < entry.look_at:
                    return entry.look_at
                self._work.look(entry)
                return None
            run, busy = entry.record, entry.busy
            job = self._jobs.get(run.job)
            step = next_step(run, entry.live, self._spec(run), now, self._context(entry, job, config, now))
            if isinstance(step, Wait):
                if not run.active and run.discarded and not busy:
                    self._book.done(run.run_id, now)
                return self._until(entry, step.until, now)
            if isinstance(step, Discard | Collect) and entry.look_at is not None and now < entry.look_at:
                return entry.look_at
            self._work.act(entry, step, self._spec(run), job, config, now)
            if entry.record is run and entry.busy == busy:
                return now + SAVE_AGAIN  # the disk refused what had to be written first
        return now

    def _until(self, entry: Open, until: datetime | None, now: datetime) -> datetime | None:
        times = [until, entry.look_at if not entry.busy else None]
        if now < self._engine_up_at:
            times.append(self._engine_up_at)
        return min((at for at in times if at is not None and at > now), default=None)

    def _context(self, entry: Open, job: StandingJob | None, config: ServiceConfig, now: datetime) -> Context:
        most = config.limits.max_running
        return Context(
            complete=entry.known, listed_at=entry.seen_at, engine_ok=now >= self._engine_up_at, busy=entry.busy,
            max_running_reached=most is not None and self._book.occupied() >= most,
            blocked_by=self._book.blockers(entry.record), limits=config.limits, prepare_lead=LEAD,
            current_digest=job.digest if job is not None else "",
        )  # fmt: skip

    # -- operators --------------------------------------------------------------------------------------------
    def _serve_requests(self, now: datetime) -> None:
        while not self.requests.empty():
            self.requests.get().serve(self, now)

    def start_manual(self, job: StandingJob, actor: str, now: datetime) -> RunRecord | None:
        """Claim a run by hand; its slot is this millisecond. None = the same slot was claimed before, or the job is
        just being changed."""
        slot = now.replace(microsecond=(now.microsecond // 1000 or 1) * 1000)
        request = RunRequest(job.name, slot, 1, Trigger.MANUAL, actor, replaces=self.replaced(job))
        record = claimed(request, job, now + MANUAL_DEADLINE, now, log_path(request.job, request.run_id))
        if not self._history.claim(record, current=True):
            return None
        self._book.add(record)
        for run_id in request.replaces:
            self.ask_stop(run_id, f"replaced by {record.run_id}", now)
        return record

    def replaced(self, job: StandingJob) -> tuple[str, ...]:
        return tuple(run.run_id for run in self._book.of(job.name)) if job.spec.concurrency_policy == "Replace" else ()

    def active(self, job: str) -> list[RunRecord]:
        return self._book.of(job)

    @property
    def running(self) -> int:
        """Runs that hold a place now. May be read from any thread."""
        return self._running

    @property
    def jobs(self) -> Mapping[str, StandingJob]:
        return self._jobs

    def resume(self, now: datetime) -> None:
        """A pause ends at `now`: account for its slots before it is forgotten."""
        self.repause(now)
        self._decide_due(now, ClockNews())

    def repause(self, now: datetime) -> None:
        """Pauses have changed: decide everything anew."""
        self._pauses = tuple(self._history.pauses())
        for name in self._jobs:
            self._wakes.set(name, now)

    # -- retention --------------------------------------------------------------------------------------------
    def _prune(self, now: datetime) -> None:
        if self._prune_at is not None and now < self._prune_at:
            return
        self._prune_at = now + PRUNE_EVERY
        try:
            if dropped := self._history.prune(now):
                self._drop_logs(dropped)
        except StateError as error:
            self._storage(error)


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
