"""What workers do for the run loop: one engine call each, in, one Result out. They never touch records."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from ..engine.base import Engine, Prepared, RunOrder, Usage
from ..history.base import History
from ..history.logs import read_log
from ..model.errors import ReconcilerError, StateError
from ..model.job import JobSpec
from ..model.live import LivePhase, LiveRun
from ..model.outputs import Kept
from ..model.run import FailureClass, RunRecord, Trigger
from ..model.service import ServiceConfig
from ..model.terminal import Terminal
from ..model.workspace import NOTHING, Workspace
from ..runs.dev import NOTES
from ..runs.environment import parameter_environment, reconciler_environment
from ..runs.verdict import BEFORE_THE_COMMAND, KILLED, capability_hint
from ..schedule.after import LOOK_BACK
from ..schedule.cron import latest_fires, nominal
from ..schedule.reckoning import TICK
from ..spec.admission import effective_policy
from ..spec.argv import failed_phase, phases
from ..spec.interactive import JUPYTER_TOKEN
from ..workspace import outputs
from ..workspace.base import Part, Parts
from ..workspace.packages import with_files
from .log_pump import Pumps
from .masks import Masks
from .terminals import Terminals

TAIL, TAIL_BYTES = 20, 8192  # lines, bytes of a failed run's log that are looked at for a hint
Stager = Callable[[JobSpec, str], tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Collected:
    """What is known of an ended run once its log is complete on disk."""

    live: LiveRun | None
    log_bytes: int
    usage: Usage
    hint: str = ""
    failure: FailureClass = FailureClass.NONE  # before its command, by its log
    outputs: Kept | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """A run that only needs its start: what the engine made, and the workspace that it will find."""

    prepared: Prepared
    workspace: Workspace


@dataclass(frozen=True, slots=True)
class Result:
    """A worker's answer. Exactly one of `value` (may be None) and `error` counts."""

    op: str
    run_id: str
    value: object = None
    error: ReconcilerError | None = None


class RunOps:
    """The engine calls a run needs, each bounded by the engine's own deadlines."""

    def __init__(
        self, engine: Callable[[], Engine], history: History, stage: Stager, pumps: Pumps, state_dir: Path,
        workspace: Part = Parts(),  # noqa: B008 - it has no state
        masks: Masks | None = None, terminals: Terminals | None = None,
    ) -> None:  # fmt: skip
        self._engine, self._history, self._stage, self._pumps = engine, history, stage, pumps
        self._state_dir, self._workspace = state_dir, workspace
        self._masks = masks or Masks()
        self._terminals = terminals or Terminals(engine)

    def order(self, run: RunRecord, spec: JobSpec, config: ServiceConfig, made: Workspace = NOTHING) -> RunOrder:
        """Everything the engine must know to make this run ready (rule R9 included). `made`: its workspace."""
        slot = run.replays or run.slot  # a backfill's run stands for a slot of the past
        earlier = self._history.run_env(run.job, slot)
        if run.replays is not None:
            before = latest_fires(spec.schedule, slot - LOOK_BACK, slot - TICK, slot).last
            earlier = (before or earlier[0], earlier[1])
        previous, success = (at and nominal(spec.schedule, at) for at in earlier)
        stands_for = replace(run, slot=nominal(spec.schedule, slot))  # a span of time knows no jitter (rule T9)
        ours = reconciler_environment(stands_for, spec, previous, success)
        ours += (("RECONCILER_OUTPUTS", spec.outputs),) if spec.outputs not in ("", NOTES) else ()
        terminal = Terminal.parse(run.cause) if run.trigger is Trigger.DEV else None
        if terminal is not None and terminal.port:
            ours += ((JUPYTER_TOKEN, self._terminals.token(run.run_id)),)
        return RunOrder(
            run_id=run.run_id, spec=spec, digest=run.digest, revision=run.revision,
            policy=effective_policy(config, spec.owner), image_id=run.image_id,
            environment=(*spec.environment, *parameter_environment(run), *made.environment, *ours),
            staged=self._stage(spec, run.digest), workspace=made.binds,
            devices=run.devices, exact=run.trigger is Trigger.REPLAY,
            terminal=terminal,
        )  # fmt: skip

    def guarded(self, op: str, run_id: str, call: Callable[[], object]) -> Result:
        """Run `call`; expected errors become part of the Result."""
        try:
            return Result(op, run_id, self._masks.answer(call()))
        except ReconcilerError as error:
            return Result(op, run_id, error=self._masks.error(error))

    def waits_for_others(self, spec: JobSpec) -> bool:
        """Does making its runs ready wait for what is the job's: a git server, or a `tar` that unpacks its files on an
        Engine of another host?"""
        return bool(spec.repositories or (spec.files and not self._engine().shares_host))

    def prepare(self, run: RunRecord, spec: JobSpec, config: ServiceConfig) -> Result:
        return self.guarded("prepare", run.run_id, lambda: self._prepared(run, spec, config))

    def _prepared(self, run: RunRecord, spec: JobSpec, config: ServiceConfig) -> Ready:
        """In this order: code, then files and secrets, then the container whose command finds them all."""
        made = self._workspace.make(self._as_its_slot(run, spec), spec, config)
        if spec.secrets:
            self._masks.learn(run.run_id)
        return Ready(self._engine().prepare(self.order(run, with_files(spec, made), config, made)), made)

    def _as_its_slot(self, run: RunRecord, spec: JobSpec) -> RunRecord:
        """All cells of a slot have the same commits: those that the first of them was made ready with."""
        if run.cell is None or not spec.repositories or any(item.commit for item in run.code):
            return run
        known = (other.code for other in self._history.of_slot(run.job, run.slot) if other.digest == run.digest)
        return replace(run, code=next((code for code in known if any(item.commit for item in code)), run.code))

    def launch(self, run: RunRecord) -> Result:
        return self.guarded("launch", run.run_id, lambda: self._launched(run))

    def _launched(self, run: RunRecord) -> LiveRun:
        if run.trigger is Trigger.DEV:  # before it begins, so that nothing it prints is lost
            self._terminals.open(run.run_id, run.ref)
        return self._engine().launch(run.run_id, run.ref)

    def find_start(self, run: RunRecord) -> Result:
        return self.guarded("find_start", run.run_id, lambda: self._engine().find_start(run.run_id, run.ref))

    def sweep(self, run: RunRecord) -> Result:
        """Removes a never-started run without force (rule R1); one that did start is left."""
        return self.guarded("sweep", run.run_id, lambda: self._engine().find_start(run.run_id, run.ref))

    def inspect(self, run: RunRecord) -> Result:
        return self.guarded("inspect", run.run_id, lambda: self._inspected(run))

    def _inspected(self, run: RunRecord) -> LiveRun | None:
        """Of a run that has started and is gone, the engine may still tell how it ended: somebody tidied it up before
        its end was seen. A KILL is no end of its own but perhaps the removal itself: then nobody knows."""
        live = self._engine().inspect(run.run_id, run.ref)
        if live is not None or run.started_at is None:
            return live
        told = self._engine().find_start(run.run_id, run.ref)
        return told if told is not None and told.exit_code not in (None, KILLED) else None

    def stop(self, run: RunRecord, grace: float) -> Result:
        return self.guarded("stop", run.run_id, lambda: self._engine().stop(run.run_id, run.ref, grace))

    def kill(self, run: RunRecord) -> Result:
        return self.guarded("kill", run.run_id, lambda: self._engine().kill(run.run_id, run.ref))

    def collect(self, run: RunRecord, spec: JobSpec, config: ServiceConfig) -> Result:
        return self.guarded("collect", run.run_id, lambda: self._collected(run, spec, config))

    def _collected(self, run: RunRecord, spec: JobSpec, config: ServiceConfig) -> Collected:
        """Log first, last look afterwards: if nothing is there any more, nobody can tell whether the log was whole."""
        engine = self._engine()
        usage = engine.usage(run.run_id, run.ref)
        logged = run.trigger is not Trigger.DEV
        if logged:
            self._pumps.drain(run.run_id, run.ref, self.log_path(run))
        live = self._masks.answer(engine.inspect(run.run_id, run.ref))
        gap = live is None and run.started_at is not None
        kept = self._pumps.close(run.run_id, gap=gap) if logged else 0
        left = self._outputs(run, spec, config) if spec.outputs and live is not None else None
        tail = self._tail(run) if live is not None and live.exit_code else b""
        phase = failed_phase(tail) if phases(spec) else ""
        failure = FailureClass(phase) if phase in BEFORE_THE_COMMAND else FailureClass.NONE
        if live is None or live.phase is LivePhase.EXITED:
            self._workspace.drop(run.run_id)
        return Collected(live, kept, usage, capability_hint(live.exit_code if live else None, tail), failure, left)

    def _outputs(self, run: RunRecord, spec: JobSpec, config: ServiceConfig) -> Kept | None:
        parts = self._engine().outputs(run.run_id, run.ref, spec.outputs)
        if parts is None:
            return None
        limits = config.limits
        return outputs.collect(parts, outputs.place_of(run, self._state_dir), limits.outputs_bytes,
                               limits.outputs_entries)  # fmt: skip

    def _tail(self, run: RunRecord) -> bytes:
        """The end of its log, which tells what a failure smells of; that it may be unreadable is no matter."""
        try:
            return b"".join(read_log(self.log_path(run), tail=TAIL))[-TAIL_BYTES:]
        except StateError:
            return b""

    def discard(self, run: RunRecord) -> Result:
        return self.guarded("discard", run.run_id, lambda: self._discarded(run))

    def _discarded(self, run: RunRecord) -> None:
        self._engine().discard(run.run_id, run.ref)
        self._workspace.drop(run.run_id)
        self._masks.forget(run.run_id)

    def tidy(self, keep: Collection[str]) -> None:
        """Remove what a crash has left of the workspaces of all runs but those named."""
        self._workspace.tidy(keep)

    def follow(self, run: RunRecord) -> None:
        """Start streaming its output, if that is not under way. What goes over a person's terminal is kept nowhere."""
        if run.trigger is not Trigger.DEV:
            self._pumps.ensure(run.run_id, run.ref, self.log_path(run))

    def log_path(self, run: RunRecord) -> Path:
        return self._state_dir / run.log
