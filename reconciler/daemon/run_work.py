"""Carries out one step of one run. The record is written before the act."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime

from ..history.base import History
from ..model.errors import StateError
from ..model.event import EventName
from ..model.job import JobSpec
from ..model.live import LivePhase, StandingJob
from ..model.run import Disposition, Outcome, Phase, RunRecord, SlotRecord
from ..model.service import ServiceConfig
from ..runs import steps
from ..runs import transitions as to
from ..runs.parameters import carried
from ..runs.retry import next_attempt
from .cells import Cells
from .events import EventStream
from .pools import Pools
from .run_answers import Answers
from .run_book import Book, Open
from .run_intents import Intents
from .run_ops import Result, RunOps

MOST_KEPT = 3  # containers of failed runs that one job has at once (hold_on_failure)


class RunWork:
    """Belongs to the run loop's thread; the pools do the waiting. `storage` hears how the ledger is; `down` is called
    when the engine did not answer, `ended` after the last attempt of each slot, `fire_after` before it is written."""

    def __init__(
        self, *, ops: RunOps, pools: Pools, book: Book, history: History, emit: EventStream, cells: Cells,
        storage: Callable[[StateError | None], None], down: Callable[[], None],
        ended: Callable[[RunRecord, datetime], None], fire_after: Callable[[RunRecord, datetime], None],
    ) -> None:  # fmt: skip
        self._ops, self._pools, self._book = ops, pools, book
        self._history, self._emit, self._cells = history, emit, cells
        self._storage = storage
        self._on_end, self._fire_after = ended, fire_after
        self._intents = Intents(pools, history, cells, storage)
        self._answers = Answers(self, ops, book, emit, down)

    # -- steps ------------------------------------------------------------------------------------------------
    def act(
        self, entry: Open, step: steps.Step, spec: JobSpec, job: StandingJob | None, config: ServiceConfig,
        now: datetime, devices: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        """Do what `step` says; a Wait is the caller's. `devices` may be leased to it if it is made ready."""
        run, ops = entry.record, self._ops
        match step:
            case steps.Prepare(deadline=deadline):
                preparing = to.preparing(run, now, deadline, devices)
                pool = "code" if ops.waits_for_others(spec) else "prepare"
                self._intents.add(entry, preparing, "prepare", pool, lambda: ops.prepare(preparing, spec, config))
            case steps.Launch():
                starting = to.starting(run, now)
                self._intents.add(entry, starting, "launch", "start", lambda: ops.launch(starting))
            case steps.FindStart():
                self._send(entry, "find_start", "keep", lambda: ops.find_start(run))
            case steps.Adopt():
                if entry.live is not None:
                    self._answers.started(entry, entry.live, now)
            case steps.Stop(grace=grace, reason=reason):
                self._stop(entry, grace, reason, now)
            case steps.Kill():
                self._send(entry, "kill", "stop", lambda: ops.kill(run))
            case steps.Collect():
                pool = "outputs" if spec.outputs else "keep"
                self._send(entry, "collect", pool, lambda: ops.collect(run, spec, config))
            case steps.Finish(outcome=outcome, disposition=disposition):
                self._finish(entry, outcome, disposition, spec, now)
            case steps.GiveUp(outcome=outcome, disposition=disposition):
                self.end(entry, to.given_up(run, outcome, now), to.slot_record(run, disposition, outcome.reason))
            case steps.Discard():
                self._send(entry, "discard", "keep", lambda: ops.discard(run))
            case steps.Renew():
                if job is not None and (values := carried(run, spec, job.spec)) is not None:
                    self.follow_up(entry, *to.renewed(run, spec, job, values, now))

    def carry_out(self) -> bool:
        """As `Intents.carry_out`."""
        return self._intents.carry_out()

    def settle(self, result: Result, now: datetime) -> None:
        """As `Answers.settle`."""
        self._answers.settle(result, now)

    def look(self, entry: Open) -> None:
        """Ask the engine about this one run."""
        run = entry.record
        self._send(entry, "inspect", "keep", lambda: self._ops.inspect(run))

    def sweep(self, entry: Open) -> None:
        """A run that was created and never claimed: remove it without force; if it runs after all, say so."""
        run = entry.record
        self._send(entry, "sweep", "keep", lambda: self._ops.sweep(run))

    def _send(self, entry: Open, op: str, pool: str, call: Callable[[], Result]) -> None:
        entry.busy = op
        self._pools.submit(pool, call)

    def _stop(self, entry: Open, grace: float, reason: str, now: datetime) -> None:
        run = entry.record
        if run.active:
            if run.phase is not Phase.STOPPING:
                self._emit.emit(EventName.RUN_STOPPED, job=run.job, run=run.run_id, reason=run.stop_reason or reason)
            self.save(entry, to.stopping(run, reason, now))
        self._send(entry, "stop", "stop", lambda: self._ops.stop(run, grace))

    def _finish(self, entry: Open, outcome: Outcome, disposition: Disposition, spec: JobSpec, now: datetime) -> None:
        """Record the end; the next attempt is claimed first, so that a crash in between loses none."""
        run = entry.record
        follow = next_attempt(run, outcome, spec, now)
        if follow is None and (claimed := self._book.successor(run)) is not None:
            # By a process that died before it wrote this end. If the run is to end by now, so is the next.
            asked = run.stop_requested_at is not None
            if not asked or self.save(claimed, to.stop_requested(claimed.record, run.stop_reason, now)):
                self.end(entry, replace(to.finished(run, outcome, now), superseded_by=claimed.record.run_id), None)
            return
        ended = to.finished(run, outcome, now)
        if entry.live is not None and entry.live.phase is LivePhase.EXITED and entry.live.started_at is not None:
            ended = to.kept(ended, spec.hold_on_failure, now)
        if follow is None:
            self.end(entry, ended, to.slot_record(run, disposition, outcome.reason))
        elif self._claimed(follow):
            self.end(entry, replace(ended, superseded_by=follow.run_id), None)
            at = follow.retry_at.strftime("%Y-%m-%dT%H:%M:%SZ") if follow.retry_at else ""
            self._emit.emit(EventName.RUN_RETRIED, job=run.job, run=follow.run_id, at=at, attempt=follow.attempt)
        if entry.record.hold_until is not None:
            for other in self._book.kept(run.job, now)[:-MOST_KEPT]:
                self.save(other, to.let_go(other.record, now))

    def supersede(self, entry: Open, why: str, now: datetime) -> None:
        """A waiting attempt ends because the next slot is due (rule R4)."""
        ended, slot = to.superseded(entry.record, why, now)
        self.end(entry, ended, slot)

    def stop_all(self, asked: Iterable[tuple[Open, str]], now: datetime) -> int:
        """Let these runs end, in one transaction; how many were active and have been asked to."""
        found = [(entry, why) for entry, why in asked if entry.record.active]
        if not found:
            return 0
        before = [(entry, entry.record, entry.unsaved) for entry, _ in found]
        try:
            with self._history.together():
                return sum(self.save(entry, to.stop_requested(entry.record, why, now)) for entry, why in found)
        except StateError as error:  # none of it is written: whoever asked may ask again
            for entry, record, unsaved in before:
                entry.record, entry.unsaved = record, unsaved
            self._storage(error)
            return 0

    def ask_stop(self, run_id: str, reason: str, now: datetime, *, whole_slot: bool = False) -> int:
        """Let a run end, or every active cell of its slot; how many were asked. Only from the loop's own thread."""
        entry = self._book.runs.get(run_id)
        if entry is None:
            return 0
        run = entry.record
        others = [
            other for other in self._book.runs.values()
            if (other.record.job, other.record.slot) == (run.job, run.slot)
        ]  # fmt: skip
        return self.stop_all([(each, reason) for each in (others if whole_slot else [entry])], now)

    def let_go(self, run_id: str, now: datetime) -> bool:
        """Keep a failed run's container no longer. True if it was kept. Only from the loop's own thread."""
        entry = self._book.runs.get(run_id)
        if entry is None or entry not in self._book.kept(entry.record.job, now):
            return False
        return self.save(entry, to.let_go(entry.record, now))

    def follow_up(self, entry: Open, old: RunRecord, fresh: RunRecord | None) -> None:
        """Go on under the same name, or under a new one: that is claimed before the old one is written."""
        if fresh is None or self._claimed(fresh):
            self.save(entry, old)

    def _claimed(self, run: RunRecord) -> bool:
        try:
            self._history.claim(run)
        except StateError as error:
            self._storage(error)
            return False
        if run.run_id not in self._book.runs:
            self._book.add(run)
        self._cells.note(run)
        return True

    def end(self, entry: Open, ended: RunRecord, slot: SlotRecord | None) -> None:
        """`slot`: what it says of its slot if this was the last attempt. Of several cells the last one closes it."""
        closing = None if slot is None else self._cells.closing(ended, slot)
        if closing is not None and not self._fired(closing[0]):
            return  # what it fires is claimed first, so that a crash in between loses nothing
        if not self.save(entry, ended, closing[1] if closing is not None else None):
            return
        took = None
        if ended.started_at is not None and ended.finished_at is not None:
            took = round((ended.finished_at - ended.started_at).total_seconds(), 3)
        unused = slot.disposition.value if slot is not None and slot.disposition is not Disposition.RAN else None
        self._emit.emit(
            EventName.RUN_FINISHED, job=ended.job, run=ended.run_id, verdict=ended.phase.value,
            exit_code=ended.exit_code, reason=ended.reason, took=took, trigger=ended.trigger.value,
            attempt=ended.attempt, hint=entry.hint or None, disposition=unused,
        )  # fmt: skip
        if closing is not None:
            self._on_end(closing[0], self._emit.now())

    def _fired(self, ended: RunRecord) -> bool:
        try:
            self._fire_after(ended, self._emit.now())
        except StateError as error:
            self._storage(error)
            return False
        return True

    # -- the ledger -------------------------------------------------------------------------------------------
    def save(self, entry: Open, record: RunRecord, slot: SlotRecord | None = None) -> bool:
        """Write the row. What the engine has already done is kept in mind if the disk refuses, and written later."""
        try:
            self._history.update_run(record, slot)
        except StateError as error:
            self._storage(error)
            if record.phase in (Phase.RUNNING, Phase.STOPPING):
                entry.record, entry.unsaved = record, True
            return False
        if record.cell is not None and record.phase is not entry.record.phase:
            self._cells.note(record)
        entry.record, entry.unsaved = record, False
        self._storage(None)
        return True

    def save_again(self, entry: Open) -> bool:
        """Try once more to write what the disk refused."""
        return self.save(entry, entry.record)
