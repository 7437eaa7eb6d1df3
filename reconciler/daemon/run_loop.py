"""The second loop: what is due, what runs, what has ended. `step(now) -> wake_at`; only workers ask the engine."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue

from ..history.base import History
from ..model.errors import StateError
from ..model.event import EventName
from ..model.job import JobSpec, OnRetire
from ..model.live import LiveState, StandingJob
from ..model.run import CodeAt, Phase, RunRecord, RunRequest
from ..model.service import ServiceConfig
from ..runs.parameters import Values
from ..runs.transitions import stop_requested
from ..schedule.due import same_schedule
from .cells import Cells
from .clock_watch import ClockNews, ClockWatch
from .deciding import Decider
from .draining import Drain, Drainer
from .events import EventStream
from .fleet import Fleet
from .lean import structlog
from .orphans import UNKNOWN, take_up, unknown_spec
from .pools import Pools
from .requests import Request
from .run_book import Book, Open
from .run_ops import RunOps
from .run_work import RunWork
from .tidying import Tidying
from .trials import forget_old
from .turns import Round, Turns

log = structlog.get_logger()

PRUNE_EVERY = timedelta(minutes=1)  # a bounded piece of a round over all jobs
ENGINE_PAUSE = timedelta(seconds=2)  # between two tries on an engine that does not answer
DRAFT_EVERY = timedelta(seconds=1)  # between two readings of the rows while an apply is under way


class RunLoop:
    """Owns the open runs. One thread calls `step`; everything else reaches it by `ask` and `poke`."""

    def __init__(
        self, *, history: History, fleet: Fleet, emit: EventStream, pools: Pools, book: Book, ops: RunOps,
        boot: Callable[[], float], last_alive: datetime | None, alive: Callable[[datetime], None],
        drop_logs: Callable[[Iterable[RunRecord]], None], relist: Callable[[], None] = lambda: None,
        boot_id: str = "",
        prune_every: timedelta = PRUNE_EVERY,
    ) -> None:  # fmt: skip
        self._history, self._fleet, self._emit = history, fleet, emit
        self._pools, self._book = pools, book
        self._cells = Cells(history, book)
        self._work = RunWork(ops=ops, pools=pools, book=book, history=history, emit=emit, cells=self._cells,
                             storage=self._storage, down=self.engine_down,
                             ended=lambda run, now: self._decider.ended(run, now),
                             fire_after=lambda run, now: self._decider.fire_after(run, now))  # fmt: skip
        self._drainer = Drainer(history, fleet, emit, boot_id)
        self._decider = Decider(history=history, emit=emit, book=book, work=self._work, cells=self._cells, boot=boot,
                                storage=self._storage)  # fmt: skip
        self._turns = Turns(book, self._work, self._cells, history, self._spec)
        self._boot, self._alive, self._drop_logs, self._relist = boot, alive, drop_logs, relist
        self._clock = ClockWatch(last_alive)
        self._generation, self._drafts = -1, 0
        self._taken_at: datetime | None = None  # when the rows were read
        self._take_at: datetime | None = None  # when they are to be read again
        self._specs: dict[str, JobSpec] = {}
        self._pokes: SimpleQueue[str] = SimpleQueue()
        self.requests: SimpleQueue[Request] = SimpleQueue()
        self._prune_at: datetime | None = None
        self._prune_every = prune_every
        self._tidying = Tidying(ops.tidy)
        self._listing: LiveState | None = None
        self._counted = False  # the engine was listed in full: no run of ours is unknown
        self._recovered = False
        self._running = 0
        self._engine_up_at = datetime.min.replace(tzinfo=UTC)

    def poke(self, run_id: str) -> None:
        """An event spoke of this run."""
        self._pokes.put(run_id)

    def step(self, now: datetime) -> datetime | None:
        """One round: recover once, then decide, act, book, and say when to come again."""
        with self._emit.together():
            self._hear(now)
        self._serve_requests(now)  # who asked may look at once for the event
        with self._emit.together():
            return self._go_on(now)

    def _hear(self, now: datetime) -> None:
        if not self._recovered:
            self._recover(now)
        self._tidying.step(self._book.runs, now)
        news = self._clock.look(now, self._boot())
        self._tell_clock(news)
        self._take_fleet(now)
        if self._drainer.current is None:
            self._decider.decide_due(now, news)
        self._book_answers(now)
        self._take_listing(now)

    def _go_on(self, now: datetime) -> datetime | None:
        waits = self._act(now)
        self._running = self._book.occupied()
        self._prune(now)
        self._alive(now)
        next_at = self._decider.next_at() if self._drainer.current is None else None
        times = [next_at, waits, self._prune_at, self._take_at]
        return min((at for at in times if at is not None), default=None)

    # -- recovery and the fleet -------------------------------------------------------------------------------
    def _recover(self, now: datetime) -> None:
        """Take up every run that an earlier process left open: each is looked at before anything is done to it."""
        for record in self._history.active_runs():
            self._book.add(record, adopted=True)
        self._decider.take_pauses(self._history.pauses(), now)
        if (ended := self._drainer.recover(now)) is not None:
            self._clock = ClockWatch(ended.began)  # nothing was decided since
        self._recovered = True

    def _tell_clock(self, news: ClockNews) -> None:
        if news.stepped:
            self._book.wake_all()
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
        self._decider.take_jobs(self._history.standing(), now)
        self._book.wake_all()
        for entry in list(self._book.runs.values()):
            if entry.record.job not in self.jobs:
                self._rename(entry)
            self._renew(entry, self.jobs.get(entry.record.job), now)

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
            self._listing, self._counted = live, self._counted or live.complete
            take_up(live.runs, self._book, self._history, self.jobs, self._work, now)

    def _spec(self, run: RunRecord) -> JobSpec:
        job = self.jobs.get(run.job)
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

    # -- what the ledger says of itself ------------------------------------------------------------------------
    def _storage(self, error: StateError | None) -> None:
        now = self._emit.now()
        if error is None:
            if self._fleet.set_condition("storage", now):
                self._emit.emit(EventName.STORAGE_RECOVERED)
        elif self._fleet.set_condition("storage", now, code=error.code, message=str(error), hint=error.hint):
            self._emit.emit(EventName.STORAGE_DEGRADED, code=error.code, error=str(error), hint=error.hint)

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
        return self._turns.take(Round(self.config, self.jobs, self._counted, self._engine_up_at, self.drained, now))

    # -- operators --------------------------------------------------------------------------------------------
    def _serve_requests(self, now: datetime) -> None:
        while not self.requests.empty():
            self.requests.get().serve(self, now)

    def start_manual(
        self, job: StandingJob, actor: str, now: datetime, parameters: Values = (), key: str = "",
        cells: Callable[[RunRequest], tuple[RunRequest, ...]] | None = None, code: tuple[CodeAt, ...] = (),
    ) -> RunRecord | None:  # fmt: skip
        """As `Decider.start_manual`."""
        return self._decider.start_manual(job, actor, now, parameters, key, cells, code)

    def claim_alone(self, record: RunRecord, spec: JobSpec) -> bool:
        """Take up a run of a definition that does not stand. False = its slot is taken."""
        won = self._history.claim_alone(record, spec)
        if won:
            self._book.add(record)
        return won

    def ask_stop(self, run_id: str, reason: str, now: datetime, *, whole_slot: bool = False) -> int:
        """As `RunWork.ask_stop`."""
        return self._work.ask_stop(run_id, reason, now, whole_slot=whole_slot)

    def let_go(self, run_id: str, now: datetime) -> bool:
        """As `RunWork.let_go`."""
        return self._work.let_go(run_id, now)

    def active(self, job: str) -> list[RunRecord]:
        return self._book.of(job)

    @property
    def running(self) -> int:
        """Runs that hold a place now. May be read from any thread."""
        return self._running

    @property
    def jobs(self) -> Mapping[str, StandingJob]:
        return self._decider.jobs

    def resume(self, now: datetime) -> None:
        """A pause ends at `now`: account for its slots before it is forgotten."""
        self.repause(now)
        self._decider.decide_due(now, ClockNews())

    def drain(self, actor: str, reason: str, now: datetime) -> Drain:
        """Nothing starts from now on; what runs goes on."""
        return self._drainer.begin(actor, reason, now)

    def end_drain(self, actor: str, now: datetime) -> Drain:
        """What was due meanwhile is decided as after a downtime. Raises Permanent `not-drained`."""
        ended = self._drainer.end(actor, now)
        self.repause(now)
        self._decider.decide_due(now, ClockNews(downtime=(ended.began, now)))
        return ended

    @property
    def config(self) -> ServiceConfig:
        return self._fleet.view.config

    @property
    def drained(self) -> str:
        """Why nothing may start, "" = it may."""
        return self._drainer.current.words if self._drainer.current is not None else ""

    def rewind(self, target: str, now: datetime) -> dict[str, datetime]:
        """As `Decider.rewind`."""
        return self._decider.rewind(target, now)

    def repause(self, now: datetime) -> None:
        """Pauses have changed: decide everything anew."""
        self._decider.take_pauses(self._history.pauses(), now)

    # -- retention --------------------------------------------------------------------------------------------
    def _prune(self, now: datetime) -> None:
        if self._prune_at is not None and now < self._prune_at:
            return
        self._prune_at = now + self._prune_every
        try:
            if dropped := self._history.prune(now):
                self._drop_logs(dropped)
            forget_old(self._history, self._emit, self._drop_logs, now)
        except StateError as error:
            self._storage(error)
