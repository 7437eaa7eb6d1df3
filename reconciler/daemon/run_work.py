"""Carries out one step of one run, and books what the workers answer. The record is written before the act."""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ..history.base import History
from ..model.errors import EngineUnavailable, InvariantBroken, NotOurs, ReconcilerError, StateError
from ..model.event import EventName
from ..model.job import JobSpec
from ..model.live import LivePhase, LiveRun, StandingJob
from ..model.run import Disposition, Outcome, Phase, RunRecord, SlotRecord, Trigger
from ..model.service import ServiceConfig
from ..runs import steps
from ..runs import transitions as to
from ..runs.parameters import carried
from ..runs.retry import next_attempt
from .cells import Cells
from .events import EventStream
from .failures import class_of, is_final
from .pools import Pools
from .run_book import Book, Open
from .run_ops import Collected, Ready, Result, RunOps

MOST_NAMED = 10  # links in one event
DISCARD_AGAIN = 30.0  # seconds
MOST_KEPT = 3  # containers of failed runs that one job has at once (hold_on_failure)
MOST_INTENTS = 16  # starts that one flush of the disk makes wait for each other
REMADE_AT_ONCE = 8  # times that a run which somebody has tidied away is made anew without a pause


@dataclass(frozen=True, slots=True, eq=False)
class _Intent:
    """What is to be written before an engine is asked."""

    entry: Open
    before: RunRecord
    made: RunRecord
    pool: str
    call: Callable[[], Result]


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
        self._storage, self._down = storage, down
        self._on_end, self._fire_after = ended, fire_after
        self._intents: list[_Intent] = []
        self._refused = False

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
                pool = "code" if spec.repositories else "prepare"
                self._intend(entry, preparing, "prepare", pool, lambda: ops.prepare(preparing, spec, config))
            case steps.Launch():
                starting = to.starting(run, now)
                self._intend(entry, starting, "launch", "start", lambda: ops.launch(starting))
            case steps.FindStart():
                self._send(entry, "find_start", "keep", lambda: ops.find_start(run))
            case steps.Adopt():
                if entry.live is not None:
                    self._started(entry, entry.live, now)
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
                self._end(entry, to.given_up(run, outcome, now), to.slot_record(run, disposition, outcome.reason))
            case steps.Discard():
                self._send(entry, "discard", "keep", lambda: ops.discard(run))
            case steps.Renew():
                if job is not None and (values := carried(run, spec, job.spec)) is not None:
                    self._follow_up(entry, *to.renewed(run, spec, job, values, now))

    def _intend(self, entry: Open, made: RunRecord, op: str, pool: str, call: Callable[[], Result]) -> None:
        """Write `made`, then have `call` made: with other intents of this round, see `carry_out`."""
        self._intents.append(_Intent(entry, entry.record, made, pool, call))
        if made.cell is not None and made.phase is not entry.record.phase:
            self._cells.note(made)
        entry.record, entry.busy = made, op
        if len(self._intents) >= MOST_INTENTS:
            self._write_intents()

    def carry_out(self) -> bool:
        """Have everything done that was intended in this round. False if the disk refused some of it: that is as it was
        before."""
        self._write_intents()
        refused, self._refused = self._refused, False
        return not refused

    def _write_intents(self) -> None:
        """All with one flush of the disk; only then is the engine asked."""
        intents, self._intents = self._intents, []
        if not intents:
            return
        written: list[_Intent] = []
        refused: StateError | None = None
        try:
            with self._history.together() if len(intents) > 1 else nullcontext():
                for intent in intents:
                    try:  # the record of now: it may have been asked to stop since
                        self._history.update_run(intent.entry.record)
                        written.append(intent)
                    except StateError as error:
                        refused = error
        except StateError as error:
            written, refused = [], error
        for intent in intents:
            if intent in written:
                self._pools.submit(intent.pool, intent.call)
            else:
                self._take_back(intent)
        self._refused = self._refused or refused is not None
        self._storage(refused)

    def _take_back(self, intent: "_Intent") -> None:
        entry = intent.entry
        entry.busy = ""
        if entry.record is intent.made:
            entry.record = intent.before
        if intent.made.cell is not None:
            self._cells.note(entry.record)

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
                self._end(entry, replace(to.finished(run, outcome, now), superseded_by=claimed.record.run_id), None)
            return
        ended = to.finished(run, outcome, now)
        if entry.live is not None and entry.live.phase is LivePhase.EXITED and entry.live.started_at is not None:
            ended = to.kept(ended, spec.hold_on_failure, now)
        if follow is None:
            self._end(entry, ended, to.slot_record(run, disposition, outcome.reason))
        elif self._claimed(follow):
            self._end(entry, replace(ended, superseded_by=follow.run_id), None)
            at = follow.retry_at.strftime("%Y-%m-%dT%H:%M:%SZ") if follow.retry_at else ""
            self._emit.emit(EventName.RUN_RETRIED, job=run.job, run=follow.run_id, at=at, attempt=follow.attempt)
        if entry.record.hold_until is not None:
            for other in self._book.kept(run.job, now)[:-MOST_KEPT]:
                self.save(other, to.let_go(other.record, now))

    def supersede(self, entry: Open, why: str, now: datetime) -> None:
        """A waiting attempt ends because the next slot is due (rule R4)."""
        ended, slot = to.superseded(entry.record, why, now)
        self._end(entry, ended, slot)

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

    def _follow_up(self, entry: Open, old: RunRecord, fresh: RunRecord | None) -> None:
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

    def _end(self, entry: Open, ended: RunRecord, slot: SlotRecord | None) -> None:
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

    # -- answers ----------------------------------------------------------------------------------------------
    def settle(self, result: Result, now: datetime) -> None:
        """Book one worker's answer. The answer to a stop that was overtaken by a kill says nothing any more."""
        entry = self._book.runs.get(result.run_id)
        if entry is None or entry.busy != result.op:
            return
        entry.busy = ""
        if isinstance(result.error, EngineUnavailable):
            self._down()
        if result.error is not None:
            self._failed(entry, result.op, result.error, now)
        else:
            self._answered(entry, result.op, result.value, now)
        self._book.after_answer(entry, now)

    def _failed(self, entry: Open, op: str, error: ReconcilerError, now: datetime) -> None:
        if op == "prepare" or (op == "launch" and not isinstance(error, EngineUnavailable)):
            self._delayed(entry, error, now)
        elif op == "sweep":
            self._book.drop(entry.record.run_id)  # the next listing shows it again
        elif op == "discard":
            if isinstance(error, NotOurs):
                self.save(entry, to.discarded(entry.record))
            entry.look_at = now + timedelta(seconds=DISCARD_AGAIN)
        elif op == "collect" and isinstance(error, StateError):
            self._not_kept(entry, error, now)
        else:
            self._book.unanswered(entry, now)

    def _not_kept(self, entry: Open, error: StateError, now: datetime) -> None:
        """A full disk, for one. The run ends all the same, and its container stays until its outputs are kept."""
        run, said = entry.record, str(error)
        self._book.unanswered(entry, now)
        if not run.active:
            entry.look_at = now + timedelta(seconds=DISCARD_AGAIN)
        if entry.hint != said:
            entry.hint = said
            self._emit.emit(EventName.OUTPUTS_DELAYED, job=run.job, run=run.run_id, code=error.code, error=said,
                            hint=error.hint)  # fmt: skip

    def _delayed(self, entry: Open, error: ReconcilerError, now: datetime) -> None:
        """It provably has not started: try again, until its deadline (rule R4)."""
        run, reason = entry.record, str(error)
        if not run.active:
            return
        if reason != run.reason:
            self._emit.emit(EventName.RUN_DELAYED, job=run.job, run=run.run_id, code=error.code, error=reason,
                            hint=error.hint)  # fmt: skip
        if _tidied_away(run, error) and entry.remade < REMADE_AT_ONCE:
            entry.remade += 1
            self.save(entry, to.unmade(run, reason, now))
            return
        failure = class_of(error)
        if is_final(error) and now >= run.slot:
            self._never_ready(entry, Outcome(Phase.FAILED, None, failure, reason, None, None), now)
            return
        self.save(entry, to.failed_before_start(run, failure, reason, max(now, run.slot)))

    def _never_ready(self, entry: Open, outcome: Outcome, now: datetime) -> None:
        """Asking again would be answered the same: it ends, and so does its slot."""
        run = replace(entry.record, tries=entry.record.tries + 1, devices=())
        used = Disposition.RAN if run.trigger is Trigger.RETRY else Disposition.UNAVAILABLE
        self._end(entry, to.given_up(run, outcome, now), to.slot_record(run, used, outcome.reason))

    def _answered(self, entry: Open, op: str, value: object, now: datetime) -> None:
        run = entry.record
        if isinstance(value, Ready) and op == "prepare":
            self._ready(entry, value, now)
        elif op == "launch" and isinstance(value, LiveRun):
            self._started(entry, value, now)
        elif op == "find_start" and (value is None or isinstance(value, LiveRun)):
            if value is not None:
                self._book.saw(entry, value, now)
                self._started(entry, value, now)
            else:
                self._follow_up(entry, *to.after_find_start(run, None, now))
        elif op == "inspect" and (value is None or isinstance(value, LiveRun)):
            self._inspected(entry, value, now)
        elif op in ("stop", "kill"):
            self._book.forget_sight(entry)
        elif op == "sweep":
            self._book.drop(run.run_id)  # gone; or it runs, and the next listing has it adopted
        elif op == "collect" and isinstance(value, Collected):
            self._collected(entry, value, now)
        elif op == "discard":
            entry.live = None
            self.save(entry, to.discarded(run))
        else:
            raise InvariantBroken(f"{op} of {run.run_id} was answered by {value!r}")

    def _ready(self, entry: Open, ready: Ready, now: datetime) -> None:
        run, engine, dropped = entry.record, ready.prepared, ready.workspace.dropped
        made = to.prepared(run, engine.ref, engine.image_id, engine.image_digest, now, ready.workspace.code)
        self.save(entry, made if run.active else replace(run, ref=engine.ref))
        if dropped:
            self._emit.emit(EventName.CODE_TRIMMED, job=run.job, run=run.run_id, links=", ".join(dropped[:MOST_NAMED]),
                            count=len(dropped))  # fmt: skip

    def _started(self, entry: Open, live: LiveRun, now: datetime) -> None:
        run = entry.record
        self.save(entry, to.started(run, live, now))
        self._book.saw(entry, live, now)
        self._ops.follow(entry.record)
        if run.started_at is None:
            name = EventName.RUN_ADOPTED if entry.adopted else EventName.RUN_STARTED
            begun = entry.record.started_at or now
            late = round(max(0.0, (begun - run.slot).total_seconds()), 3)
            self._emit.emit(name, job=run.job, run=run.run_id, late=late,
                            trigger=run.trigger.value, attempt=run.attempt)  # fmt: skip
        entry.adopted = False

    def _inspected(self, entry: Open, live: LiveRun | None, now: datetime) -> None:
        self._book.saw(entry, live, now)
        run = entry.record
        if live is None or live.phase is LivePhase.CREATED or run.phase not in (Phase.RUNNING, Phase.STOPPING):
            return
        self._ops.follow(run)
        if entry.adopted:
            entry.adopted = False
            self._emit.emit(EventName.RUN_ADOPTED, job=run.job, run=run.run_id, phase=live.phase.value)

    def _collected(self, entry: Open, got: Collected, _now: datetime) -> None:
        entry.hint = got.hint
        if got.live is not None:
            entry.live = got.live
        self.save(entry, to.collected(entry.record, got.log_bytes, got.usage.peak_memory, got.usage.cpu_seconds,
                                      got.failure))  # fmt: skip
        if got.outputs is not None and got.outputs.left_out and entry.record.collected:
            run, left = entry.record, got.outputs
            self._emit.emit(EventName.OUTPUTS_TRIMMED, job=run.job, run=run.run_id, left_out=left.left_out,
                            reason=left.why, files=len(left.files), bytes=left.size)  # fmt: skip

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


def _tidied_away(run: RunRecord, error: ReconcilerError) -> bool:
    """It was ready, or was just being made, and somebody has removed it, or the network that it is bound to."""
    return error.code == "run-gone" or (error.code == "network-missing" and run.phase is Phase.STARTING)
