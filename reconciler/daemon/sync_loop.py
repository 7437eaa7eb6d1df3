"""The first loop: fetch -> spec -> observe -> plan -> apply, one pass per `step`."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from queue import SimpleQueue
from typing import Any

from ..apply.execute import Pool, apply_plan, order_of, threads
from ..apply.files import record_files
from ..apply.intents import recover_intents
from ..apply.outcome import Result, event_of
from ..engine.base import Engine, StandingOrder
from ..history.base import History
from ..model.desired import DesiredState
from ..model.errors import EngineUnavailable, ReconcilerError, StateError
from ..model.event import Event, EventName
from ..model.job import JobSpec
from ..model.live import LiveState, StandingJob
from ..model.plan import Plan
from ..model.service import ServiceConfig
from ..plan.diff import PlanContext, make_plan
from ..spec.admission import effective_policy
from .ahead import Ahead
from .askers import Askers
from .drift import TURN, DriftRound
from .events import EventStream
from .fetch import Fetcher
from .fleet import Fleet
from .holds import Held
from .judge import Judge
from .observing import RELIST, Observer
from .refresh import EVERY, Refresher

APPLIED = "applied_revision"
TIDY_EVERY = timedelta(hours=1)


class SyncLoop:
    """Owns the desired state and what was last seen of the standing jobs. One thread calls `step`."""

    def __init__(
        self,
        *,
        fetcher: Fetcher,
        engine: Callable[[], Engine],
        history: History,
        fleet: Fleet,
        emit: EventStream,
        clock_now: Callable[[], datetime],
        stage: Callable[[JobSpec, str], tuple[tuple[str, str], ...]],
        kick_runs: Callable[[], None],
        kick_self: Callable[[], None],
        tidy: Callable[[frozenset[str]], None],
        show_plan: Callable[[Plan], None] | None = None,
        workers: int = 4,
        pool: Pool = threads,
        relist: float = RELIST,
        drift_turn: timedelta = TURN,
    ) -> None:
        self._fetcher, self._engine, self._history, self._fleet = fetcher, engine, history, fleet
        self._emit, self._now, self._stage, self._kick_runs = emit, clock_now, stage, kick_runs
        self._workers, self._show_plan, self._tidy = workers, show_plan, tidy
        self._pool = pool
        self._tidy_at: datetime | None = None
        self._shown = ""  # the plan, by its digest, that was shown last
        self.recovered = False  # were the intents of an earlier process settled?
        self._observer = Observer(engine, fleet, emit, relist)
        self._suspects: SimpleQueue[str] = SimpleQueue()
        self._drift, self._refresher = DriftRound(drift_turn), Refresher(engine, history, kick_self)
        nothing = LiveState("", {}, {})
        self._marked = nothing, 0, nothing  # a listing, how often drift had changed, and what that made of it
        self._askers = Askers()
        self._judge = Judge(history, emit)
        self._forgave = 0  # the number of who asked last
        self._ahead = Ahead(engine, emit, kick_self)
        self._made_from: tuple[Any, ...] = ()
        self._refused: str = ""
        self._approvals: dict[str, str] = {}
        self._recorded: Plan | None = None
        self.stopping = threading.Event()

    @property
    def held(self) -> Held:
        """What stays as it is, and why."""
        return self._judge.held

    def look(self) -> int:
        """Ask for a pass that fetches and lists whatever their own schedules say; its number."""
        return self._askers.ask()

    def look_and_wait(self, timeout: float, kick: Callable[[], None]) -> tuple[Result, ...]:
        """Ask, and wait until a pass that began later has nothing left to apply; what was applied meanwhile."""
        return self._askers.wait(timeout, kick)

    def plan_anew(self, timeout: float, kick: Callable[[], None]) -> bool:
        """Ask for a pass that reads the repository, and wait for its plan. False if that takes longer."""
        return self._askers.wait_for_plan(timeout, kick)

    def settle(self) -> None:
        """Before a step: settle what an earlier process has begun and not confirmed, or a pass that the disk cut short.
        The rows that such a pass has written are seen from now on. Raises StateError."""
        if self.recovered:
            return
        with suppress(EngineUnavailable):  # the pass itself says so, and comes again
            recover_intents(self._history, self._engine())
            self._fleet.publish_standing(self._history.standing())
            self._kick_runs()
            self.recovered = True

    def step(self, now: datetime) -> datetime | None:
        """One pass. Expected failures become conditions; what was good before stays in force (rule D2)."""
        number, asked, looks = self._askers.begin()
        self._ahead.busy = False
        wake_at = self._pass(now, number, asked=asked, looks=looks)
        if (wake_at is None or wake_at > now) and not self._ahead.busy:
            self._askers.answer(number)
        return wake_at

    def changed(self, job: str) -> None:
        """The engine spoke of a standing job ("" = it may have missed to): list anew at the next pass."""
        self._suspects.put(job)

    def _pass(self, now: datetime, number: int, *, asked: bool, looks: int) -> datetime | None:
        if looks > self._forgave:  # once for each who asks: they may wait for many passes
            self._forgave = looks
            self._judge.forgive()
            self._ahead.forgive()
        while not self._suspects.empty():
            self._observer.forget()
            if name := self._suspects.get():
                self._drift.suspect(name)
        config = self._fleet.view.config
        desired = self._fetch(config, now, asked)
        live = self._observer.observe(now, kicked=bool(looks))
        if desired is None or live is None:
            if live is not None and live is not self._fleet.view.live:  # the run loop counts leases by it (rule D2)
                self._fleet.change(lambda view: replace(view, live=live))
                self._kick_runs()
            return self._wake(now)
        plan = self._plan(desired, self._look_closer(live, config, now), config, now)
        self._askers.planned(number)
        self._judge.wanted.account(plan, now)
        self._tidy_up(now)
        if self._apply(plan, config, now):
            self._observer.forget()  # confirm what was done by looking
            return now
        return self._wake(now)

    # -- fetch and observe ------------------------------------------------------------------------------------
    def _fetch(self, config: ServiceConfig, now: datetime, kicked: bool) -> DesiredState | None:
        try:
            desired = self._fetcher.refresh(
                config, self._history.get_meta(APPLIED), now, kicked=kicked, standing=self._fleet.view.standing
            )
        except StateError:
            raise
        except ReconcilerError as error:
            if self._fleet.set_condition("source", now, code=error.code, message=str(error), hint=error.hint):
                self._emit.emit(EventName.SYNC_FAILED, code=error.code, error=str(error), hint=error.hint)
            return self._fetcher.desired
        if self._fleet.set_condition("source", now):
            self._emit.emit(EventName.SYNC_RECOVERED, revision=desired.commit.short)
        return desired

    def _look_closer(self, live: LiveState, config: ServiceConfig, now: datetime) -> LiveState:
        """What a listing cannot tell: drifted fields, and images that a registry has renewed (rules P1, P4)."""
        standing = self._fleet.view.standing

        def order_of(job: StandingJob) -> StandingOrder:
            return StandingOrder(
                job.spec, job.digest, job.revision, job.path, effective_policy(config, job.owner),
                staged=self._stage(job.spec, job.digest), refresh=job.spec.pull_policy in EVERY, image_id=job.image_id,
            )  # fmt: skip

        try:
            self._refresher.look(standing, order_of, now)
            self._drift.look(self._engine(), live, standing, order_of, now)
        except EngineUnavailable:
            self._observer.forget()
        source, changes, marked = self._marked
        if source is not live or changes != self._drift.changes:
            marked = self._drift.marked(live)
            self._marked = live, self._drift.changes, marked
        return marked

    # -- plan -------------------------------------------------------------------------------------------------
    def _plan(self, desired: DesiredState, live: LiveState, config: ServiceConfig, now: datetime) -> Plan:
        standing = self._fleet.view.standing
        approvals = self._approvals = dict(self._history.approvals())
        images = self._refresher.images
        stalled = self._judge.stalled(desired, now)
        inputs = (desired, live, config, images, self._fleet.view.generation, sorted(approvals), sorted(stalled))
        old = self._fleet.view.plan
        if old is not None and _same(inputs, self._made_from):
            return old
        context = PlanContext(
            now=now,
            approvals=approvals,
            previous_revision=self._history.get_meta(APPLIED) or "",
            active_runs=self._active_runs(),
            stalled=stalled,
            preview=self._engine().preview,
            images=images,
            gpus=config.devices.gpu_count,
        )
        plan = make_plan(desired, live, standing, config, context)
        self._made_from = inputs
        self._fleet.change(lambda view: replace(view, plan=plan, desired=desired, live=live, synced_at=now))
        self._kick_runs()  # a listing may show runs that nobody knows
        self._tell(plan, desired, now)
        return plan

    def _active_runs(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for run in self._history.active_runs():
            if run.active:
                counts[run.job] = counts.get(run.job, 0) + 1
        return counts

    def _tell(self, plan: Plan, desired: DesiredState, now: datetime) -> None:
        """Events of what a person should see, once per change of state."""
        self.held.planned(plan, desired)
        if not plan.refused:
            self._refused = ""
            self._fleet.set_condition("plan", now)
        elif self._refused != plan.digest:
            self._refused = plan.digest
            first = plan.refusals[0]
            self._fleet.set_condition("plan", now, code=first.code, message=first.message, hint=first.hint)
            self._emit.emit(
                EventName.PLAN_REFUSED, plan=plan.digest, code=first.code, why=first.message, hint=first.hint
            )

    # -- apply ------------------------------------------------------------------------------------------------
    def _apply(self, plan: Plan, config: ServiceConfig, now: datetime) -> bool:
        """Carry the plan out. True if something was changed, so that the world must be looked at again."""
        if plan.refused:
            self._show(plan)
            return False
        if self._history.get_meta(APPLIED) != plan.revision:
            self._history.set_meta(APPLIED, plan.revision)
        if plan.revision in self._approvals:  # a history that is rewound to it later is another one (rule D5)
            self._history.spend_approval(plan.revision)
        self._record_files(plan)
        due = tuple(
            action for action in plan.actions
            if action.changes_something and not self._judge.waits(action, now)
        )  # fmt: skip
        ready, refused = self._ahead.sort(due, lambda action: order_of(action, plan.revision, config, self._stage))
        self._show(plan, again=bool(ready))
        if not ready and not refused:
            return False
        try:
            applied = apply_plan(
                replace(plan, actions=ready), self._engine(), self._history, self._now, config, self._stage,
                workers=self._workers, cancelled=lambda: self.stopping.is_set() or self._fetcher.newer(),
                report=self._done_some, pool=self._pool,
            )  # fmt: skip
        except StateError:
            self.recovered = False  # what was begun is settled as after a restart
            raise
        self._done_some([event_of(result, self._now(), plan.revision, plan.digest) for result in refused])
        applied = replace(applied, results=(*applied.results, *refused))
        for result in applied.results:
            if result.ok and result.ref:
                self._drift.made(result.action.name, self._now())
        self._judge.applied(applied.results, self._now())
        self._askers.applied(applied.results)
        self._fleet.publish_standing(self._history.standing())
        self._kick_runs()
        took = round((self._now() - now).total_seconds(), 3)
        done = sum(1 for result in applied.results if result.ok)
        self._emit.emit(EventName.SYNC_FINISHED, revision=plan.revision[:12], plan=plan.digest, applied=done,
                        failed=len(applied.results) - done, unchanged=plan.unchanged, took=took)  # fmt: skip
        return done > 0

    def _record_files(self, plan: Plan) -> None:
        """Once per plan: which file each job lives in now."""
        desired = self._fleet.view.desired
        if desired is None or plan is self._recorded:
            return
        self._recorded = plan
        if record_files(desired, self._history):
            self._fleet.publish_standing(self._history.standing())

    def _show(self, plan: Plan, *, again: bool = False) -> None:
        """Let whoever watches see each plan once, `again` if it is carried out again."""
        if self._show_plan is not None and (again or plan.digest != self._shown):
            self._shown = plan.digest
            self._show_plan(plan)

    def _done_some(self, events: Sequence[Event]) -> None:
        """Some actions are done, or some rows are changed, and the others go on: those jobs may fire, or may not."""
        with self._emit.together():
            for event in events:
                self._emit(event)
        self._fleet.draft()
        self._kick_runs()

    def _tidy_up(self, now: datetime) -> None:
        """Now and then drop staged files that no definition in use speaks of."""
        if self._tidy_at is not None and now < self._tidy_at:
            return
        self._tidy_at = now + TIDY_EVERY
        used = {job.digest for job in self._fleet.view.standing.values()}
        active = self._history.active_runs()
        self._tidy(frozenset(used | {run.digest for run in active}))
        images = {job.image_id for job in self._fleet.view.standing.values()} | {run.image_id for run in active}
        with suppress(EngineUnavailable):
            self._engine().tidy(images, self._fleet.view.config.packages.keep_unused)

    def _wake(self, now: datetime) -> datetime | None:
        times = [
            self._fetcher.poll_at,
            *self._observer.next_at(now),
            self._drift.next_at,
            *self._judge.next_at(now),
        ]
        return min((t for t in times if t is not None and t > now), default=now + timedelta(seconds=5))


def _same(inputs: tuple[Any, ...], before: tuple[Any, ...]) -> bool:
    """Are these the very values that the last plan was made of? By identity: comparing fleets would cost a plan."""
    return (
        len(before) == len(inputs)
        and all(a is b for a, b in zip(inputs[:4], before, strict=False))
        and (inputs[4:] == before[4:])
    )
