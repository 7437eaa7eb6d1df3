"""In: a plan. Out: calls on the engine, rows in the ledger, events. Decides nothing: the plan has no choices left."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

from ..engine.base import Engine, Installed, StandingOrder
from ..history.base import History
from ..model.errors import ReconcilerError, StateError
from ..model.event import Event
from ..model.job import JobSpec, PullPolicy
from ..model.live import StandingJob
from ..model.plan import Action, ActionKind, Plan
from ..model.service import ServiceConfig
from ..schedule.due import forgone
from ..spec.admission import effective_policy
from .intents import begin
from .ledger import origin_of, row_after, row_marked
from .outcome import Applied as Applied
from .outcome import Result as Result
from .outcome import event_of, failed

MOST_WORKERS = 4  # more engine connections only add latency (measured)
AHEAD = 3  # intents per worker: one at work, one ended or waiting, one waiting: no worker waits for the ledger's disk
GATHER = 0.05  # seconds in which more may end, to be written with the first: each write is a flush of the disk
MOVE_CONFLICT = "move-conflict"  # history: an earlier job of the new name still has active runs
REFRESHING = (PullPolicy.ALWAYS, PullPolicy.DAILY, PullPolicy.WEEKLY)
Stage = Callable[[JobSpec, str], tuple[tuple[str, str], ...]]
Pool = Callable[[int], Executor]  # workers -> where the calls on the engine are made
_Begun = tuple[Action, int, Callable[[], Installed]]  # what, its intent, the call on the engine

_ORDER = {kind: rank for rank, kind in enumerate((
    ActionKind.FORBID, ActionKind.PERMIT, ActionKind.HEAL, ActionKind.REPLACE, ActionKind.MOVE, ActionKind.CREATE,
    ActionKind.RETIRE,
))}  # fmt: skip


def threads(workers: int) -> Executor:
    """A thread for each call on the engine."""
    return ThreadPoolExecutor(max_workers=workers, thread_name_prefix="apply")


def apply_plan(
    plan: Plan,
    engine: Engine,
    history: History,
    clock: Callable[[], datetime],
    config: ServiceConfig,
    stage: Stage,
    *,
    workers: int = MOST_WORKERS,
    cancelled: Callable[[], bool],
    report: Callable[[Sequence[Event]], None],
    pool: Pool = threads,
) -> Applied:
    """Carry out every action, up to four engine calls at once. One action's failure never stops the rest.

    A refused plan and a Hold do nothing. `cancelled` is asked before each action: what is not begun is skipped, what
    is begun is confirmed (rule D7). `stage(spec, digest)` puts a job's files on the host and returns its binds.
    `report` is called on the calling thread after each write that ended an action or changed a row, and never within
    one: what it looks up is in the ledger. It gets the events of what has ended, which may be none.
    Raises StateError if the ledger cannot be written: what was begun stays as an open intent (rule P6).
    """
    if plan.refused or not plan.changes:
        return Applied()
    return _Execution(plan, engine, history, clock, config, stage, report).run(workers, cancelled, pool)


def order_of(action: Action, revision: str, config: ServiceConfig, stage: Stage) -> StandingOrder:
    """What the engine is told to install. Raises ReconcilerError, where files cannot be staged."""
    assert action.job is not None
    spec = action.job.spec
    return StandingOrder(
        spec=spec, digest=action.digest, revision=revision, path=action.job.path,
        policy=effective_policy(config, spec.owner), staged=stage(spec, action.digest),
        refresh=spec.pull_policy in REFRESHING and not action.image_id and action.kind is not ActionKind.HEAL,
        image_id=action.image_id,
    )  # fmt: skip


class _Ends:
    """Calls on the engine that have ended and were not taken yet."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ended: set[Future[Installed]] = set()
        self._wanted = 1

    def watch(self, future: Future[Installed]) -> None:
        future.add_done_callback(self._note)

    def _note(self, future: Future[Installed]) -> None:
        with self._changed:
            self._ended.add(future)
            if len(self._ended) >= self._wanted:
                self._changed.notify()

    def take(self, enough: int) -> set[Future[Installed]]:
        """Wait until one has ended, and then until `enough` have or GATHER is over: one that takes long holds none up.

        No time-out for the first: every call on the engine has its own deadline, and we must know how it ended.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ended)
            self._wanted = enough
            self._changed.wait_for(lambda: len(self._ended) >= enough, GATHER)
            self._wanted = 1
            taken, self._ended = self._ended, set()
            return taken


class _Execution:
    """One carrying-out. Engine calls run on the pool; the ledger and `report` are used on the calling thread only."""

    def __init__(
        self,
        plan: Plan,
        engine: Engine,
        history: History,
        clock: Callable[[], datetime],
        config: ServiceConfig,
        stage: Stage,
        report: Callable[[Sequence[Event]], None],
    ) -> None:
        self.plan, self.engine, self.history, self.clock = plan, engine, history, clock
        self.config, self.stage, self.report = config, stage, report
        self.results: list[Result] = []
        self.events: list[Event] = []
        self.written: list[Result] = []  # in the transaction that is open
        self.changed = False  # was a row written in it?

    def run(self, workers: int, cancelled: Callable[[], bool], make_pool: Pool) -> Applied:
        places = max(1, min(workers, MOST_WORKERS))
        todo = sorted(self.plan.changes, key=lambda action: (_ORDER[action.kind], action.name), reverse=True)
        under_way: dict[Future[Installed], tuple[Action, int]] = {}
        ended: list[Future[Installed]] = []
        ends = _Ends()
        with make_pool(places) as pool:
            while True:
                for future in [f for f in ended if under_way[f][0].moved_from]:  # asks the engine: in nobody's way
                    ended.remove(future)
                    self._finish(*under_way.pop(future), future)
                    self._tell()
                begun: list[_Begun] = []
                with self.history.together():  # one flush of the disk for all that has ended and all that begins
                    for future in ended:
                        self._finish(*under_way.pop(future), future)
                    while todo and len(under_way) + len(begun) < places * AHEAD and not cancelled():
                        begun += self._begin(todo.pop())
                self._tell()
                for action, intent, work in begun:
                    future = pool.submit(work)
                    under_way[future] = action, intent
                    ends.watch(future)
                if not under_way:
                    break
                done = ends.take(min(places, len(under_way)) if todo else len(under_way))
                ended = [future for future in under_way if future in done]  # in the order in which they were begun
        return Applied(tuple(self.results), tuple(self.events), tuple(reversed(todo)))

    def _begin(self, action: Action) -> list[_Begun]:
        """Write down what is about to be done (rule P6); the call on the engine that does it, if one is needed."""
        old = self.history.standing().get(action.moved_from or action.name)
        if action.kind in (ActionKind.FORBID, ActionKind.PERMIT):
            if old is not None:
                row = row_marked(action, old, self.clock())
                self._account(old, row.cursor)
                self.history.put_standing(row)
            self.written.append(Result(action, True))
            return []
        intent = begin(self.history, action, self.plan.revision, self.clock())
        if action.forbids and old is not None and not old.forbidden:
            self.history.put_standing(replace(old, forbidden=action.forbids))
            self.changed = True  # it must not fire while its successor is pulled
        if action.kind is ActionKind.RETIRE:
            if old is not None and not old.retiring:
                self.history.put_standing(replace(old, retiring=True))
            return [(action, intent, lambda: self._retire(action.name))]
        return [(action, intent, lambda: self._install(action, old))]

    # -- on the pool ------------------------------------------------------------------------------------------
    def _retire(self, name: str) -> Installed:
        self.engine.retire(name)
        return Installed("")

    def _install(self, action: Action, old: StandingJob | None) -> Installed:
        """The engine acquires image, mounts and networks before it replaces anything (rule P4)."""
        revision = old.revision if action.kind is ActionKind.HEAL and old is not None else self.plan.revision
        return self.engine.install(order_of(action, revision, self.config, self.stage))

    # -- on the calling thread --------------------------------------------------------------------------------
    def _finish(self, action: Action, intent: int, future: Future[Installed]) -> None:
        """Only what the engine has confirmed enters the ledger or leaves it.

        A failed call may still have had its effect; the next listing tells, so its intent ends here, too.
        """
        try:
            made = future.result()
        except ReconcilerError as error:
            result = failed(action, error)
        else:
            result = self._confirmed(action, made)
        self.history.end_intent(intent)
        self.written.append(result)

    def _confirmed(self, action: Action, made: Installed) -> Result:
        try:
            self._confirm(action, made)
        except StateError as error:
            if error.code != MOVE_CONFLICT:
                raise
            return failed(action, error)
        except ReconcilerError as error:  # the old name's object could not be removed: the next plan finds it
            return failed(action, error)
        return Result(action, True, ref=made.ref)

    def _confirm(self, action: Action, made: Installed) -> None:
        old = self.history.standing().get(action.moved_from or action.name)
        if action.kind is ActionKind.RETIRE:
            if old is not None:
                self._account(old, self.clock())
            self.history.drop_standing(action.name)
            return
        row = row_after(action, old, made, self.plan.revision, self.clock())
        if old is not None:
            self._account(old, row.cursor)
        if action.moved_from:
            self.history.move_standing(action.moved_from, row)
            self.engine.retire(action.moved_from)
        else:
            self.history.put_standing(row)
        if old is None or old.digest != row.digest:
            self.history.put_origin(origin_of(action, self.plan))

    def _account(self, old: StandingJob, until: datetime) -> None:
        """Before the cursor leaps to `until`: record what was due and is not owed any more (rules T4, T5)."""
        if slots := forgone(old, until):
            self.history.set_cursor(old.name, max(slot.last for slot in slots), slots)

    def _tell(self) -> None:
        """After a transaction: until it is committed, nobody else sees its rows, and nothing of it is sure."""
        results, changed = self.written, self.changed
        self.written, self.changed = [], False
        if not results and not changed:
            return
        events = [event_of(result, self.clock(), self.plan.revision, self.plan.digest) for result in results]
        self.results += results
        self.events += events
        self.report(events)
