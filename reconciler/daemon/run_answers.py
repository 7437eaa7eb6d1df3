"""Books what the workers answer: what the engine did is written; what it could not do is tried again, or ends."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ..model.errors import EngineUnavailable, InvariantBroken, NotOurs, ReconcilerError, StateError
from ..model.event import EventName
from ..model.live import LivePhase, LiveRun
from ..model.run import Disposition, Outcome, Phase, RunRecord, Trigger
from ..runs import transitions as to
from .events import EventStream
from .failures import class_of, is_final
from .run_book import Book, Open
from .run_ops import Collected, Ready, Result, RunOps

if TYPE_CHECKING:
    from .run_work import RunWork

MOST_NAMED = 10  # links in one event
DISCARD_AGAIN = 30.0  # seconds
REMADE_AT_ONCE = 8  # times that a run which somebody has tidied away is made anew without a pause


class Answers:
    """Belongs to the run loop's thread. `down` is called when the engine did not answer."""

    def __init__(self, work: "RunWork", ops: RunOps, book: Book, emit: EventStream, down: Callable[[], None]) -> None:
        self._work, self._ops, self._book, self._emit, self._down = work, ops, book, emit, down

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
                self._work.save(entry, to.discarded(entry.record))
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
            self._work.save(entry, to.unmade(run, reason, now))
            return
        failure = class_of(error)
        if is_final(error) and now >= run.slot:
            self._never_ready(entry, Outcome(Phase.FAILED, None, failure, reason, None, None), now)
            return
        self._work.save(entry, to.failed_before_start(run, failure, reason, max(now, run.slot)))

    def _never_ready(self, entry: Open, outcome: Outcome, now: datetime) -> None:
        """Asking again would be answered the same: it ends, and so does its slot."""
        run = replace(entry.record, tries=entry.record.tries + 1, devices=())
        used = Disposition.RAN if run.trigger is Trigger.RETRY else Disposition.UNAVAILABLE
        self._work.end(entry, to.given_up(run, outcome, now), to.slot_record(run, used, outcome.reason))

    def _answered(self, entry: Open, op: str, value: object, now: datetime) -> None:
        run = entry.record
        if isinstance(value, Ready) and op == "prepare":
            self._ready(entry, value, now)
        elif op == "launch" and isinstance(value, LiveRun):
            self.started(entry, value, now)
        elif op == "find_start" and (value is None or isinstance(value, LiveRun)):
            if value is not None:
                self._book.saw(entry, value, now)
                self.started(entry, value, now)
            else:
                self._work.follow_up(entry, *to.after_find_start(run, None, now))
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
            self._work.save(entry, to.discarded(run))
        else:
            raise InvariantBroken(f"{op} of {run.run_id} was answered by {value!r}")

    def _ready(self, entry: Open, ready: Ready, now: datetime) -> None:
        run, engine, dropped = entry.record, ready.prepared, ready.workspace.dropped
        made = to.prepared(run, engine.ref, engine.image_id, engine.image_digest, now, ready.workspace.code)
        self._work.save(entry, made if run.active else replace(run, ref=engine.ref))
        if dropped:
            self._emit.emit(EventName.CODE_TRIMMED, job=run.job, run=run.run_id, links=", ".join(dropped[:MOST_NAMED]),
                            count=len(dropped))  # fmt: skip

    def started(self, entry: Open, live: LiveRun, now: datetime) -> None:
        run = entry.record
        self._work.save(entry, to.started(run, live, now))
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
        self._work.save(entry, to.collected(entry.record, got.log_bytes, got.usage.peak_memory, got.usage.cpu_seconds,
                                      got.failure))  # fmt: skip
        if got.outputs is not None and got.outputs.left_out and entry.record.collected:
            run, left = entry.record, got.outputs
            self._emit.emit(EventName.OUTPUTS_TRIMMED, job=run.job, run=run.run_id, left_out=left.left_out,
                            reason=left.why, files=len(left.files), bytes=left.size)  # fmt: skip


def _tidied_away(run: RunRecord, error: ReconcilerError) -> bool:
    """It was ready, or was just being made, and somebody has removed it, or the network that it is bound to."""
    return error.code == "run-gone" or (error.code == "network-missing" and run.phase is Phase.STARTING)
