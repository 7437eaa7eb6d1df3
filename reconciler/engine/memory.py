"""In: orders and scripted behaviour. Out: standing jobs and runs in dicts, whose time is an injected clock.

Ships for tests and simulation. `MemoryWorld` is the machine (it survives a "restart" of the service: make a second
`MemoryEngine` on the same world); `MemoryEngine` is one service's view of it and fulfils the Engine Protocol.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Event as Flag

from ..model.errors import EngineRejected, NotOurs
from ..model.ids import parse_run_id
from ..model.job import JobSpec
from ..model.live import LiveJob, LivePhase, LiveRun, LiveState
from ..model.outputs import OutputPart, PartKind
from ..spec.argv import final_argv
from .base import (
    BuildOrder,
    Built,
    EngineContext,
    Installed,
    Line,
    LogChunk,
    Prepared,
    Preview,
    RunOrder,
    StandingOrder,
    Usage,
    no_images,
    no_terminals,
)
from .memory_world import Behaviour, MemoryRun, MemoryWorld, StandingEntry

__all__ = ["Behaviour", "MemoryEngine", "MemoryWorld"]

LOG_CHUNK = 64 * 1024  # bytes
POLL = 0.02  # seconds between two looks of a follower at the clock


class MemoryEngine:
    """The Engine Protocol over a `MemoryWorld`. Objects of another instance id are foreign."""

    name = "memory"
    shares_host = True
    terminals = False

    def __init__(self, context: EngineContext, world: MemoryWorld) -> None:
        self._context = context
        self.world = world

    # -- standing jobs ----------------------------------------------------------------------------------------

    def ping(self) -> str:
        with self._verb("ping"):
            return "memory engine"

    def observe(self) -> LiveState:
        with self._verb("observe") as world:
            mine, taken = {}, {}
            for name, entry in world.standing.items():
                if entry.instance_id == self._context.instance_id:
                    mine[name] = replace(entry.live, drift=world.drift.get(name, ()))
                else:
                    taken[name] = entry.live.ref
            runs = {run_id: self._live(run) for run_id, run in world.runs.items()
                    if self._ours(run) and not run.order.spec.exec_in}  # fmt: skip
            return LiveState(self.name, mine, runs, world.listing_complete, taken)

    def inspect_drift(self, job: str, order: StandingOrder) -> tuple[str, ...]:
        with self._verb("inspect_drift", job) as world:
            entry = world.standing.get(job)
            if entry is None or entry.instance_id != self._context.instance_id:
                return ()
            stale = () if entry.live.digest == order.digest else ("digest is not the ordered one",)
            return world.drift.get(job, ()) + stale

    def resolve(self, order: StandingOrder) -> Installed:
        with self._verb("resolve", order.spec.name):
            return Installed("", order.image_id or f"image:{order.spec.image}")

    def install(self, order: StandingOrder) -> Installed:
        spec = order.spec
        with self._verb("install", spec.name) as world:
            entry = world.standing.get(spec.name)
            if entry is not None and entry.instance_id != self._context.instance_id:
                raise NotOurs(f"cannot install {spec.name}: a job of another instance has this name")
            image_id = order.image_id or f"image:{spec.image}"
            if entry is None or entry.live.digest != order.digest or spec.name in world.drift:
                ref = world.new_ref()
            else:
                ref = entry.live.ref
            live = LiveJob(spec.name, order.digest, order.revision, spec.owner, ref, image_id)
            world.standing[spec.name] = StandingEntry(live, self._context.instance_id)
            world.drift.pop(spec.name, None)
            world.kick(spec.name)
            return Installed(ref, image_id)

    def retire(self, job: str) -> None:
        with self._verb("retire", job) as world:
            entry = world.standing.get(job)
            if entry is None:
                return
            if entry.instance_id != self._context.instance_id:
                raise NotOurs(f"cannot retire {job}: it belongs to another instance")
            del world.standing[job]
            world.kick(job)

    # -- runs -------------------------------------------------------------------------------------------------

    def prepare(self, order: RunOrder) -> Prepared:
        with self._verb("prepare", order.run_id) as world:
            _entered(world, order.spec)
            run = world.runs.get(order.run_id)
            if run is not None and self._ours(run) and run.started_at is None and run.order.devices != order.devices:
                run = None  # made by an earlier try, whose lease has ended since
            if run is None:
                run = MemoryRun(order, world.new_ref(), self._context.instance_id, _behaviour(world, order))
                world.runs[order.run_id] = run
                world.kick(order.run_id)
            elif not self._ours(run):
                raise NotOurs(f"cannot prepare {order.run_id}: a run of another instance has this name")
            return Prepared(run.ref, order.image_id or f"image:{order.spec.image}")

    def launch(self, run_id: str, ref: str) -> LiveRun:
        with self._verb("launch", run_id) as world:
            run = self._find(run_id, ref)
            if run is None:
                raise EngineRejected(f"cannot start {run_id}: it is gone", code="run-gone", hint="Prepare it again.")
            if run.started_at is None:
                run.start(world.clock())
                world.kick(run_id)
            return self._live(run)

    def find_start(self, run_id: str, ref: str) -> LiveRun | None:
        with self._verb("find_start", run_id) as world:
            run = self._find(run_id, ref)
            if run is None:
                past = world.past.get(run_id)
                return self._live(past) if past is not None and past.ref == ref else None
            if run.started_at is None:
                del world.runs[run_id]
                return None
            return self._live(run)

    def stop(self, run_id: str, ref: str, grace: float) -> None:  # noqa: ARG002 - see below
        """A run that ignores TERM ends by KILL at once: no time passes inside a call, whatever `grace` is."""
        with self._verb("stop", run_id) as world:
            run = self._find(run_id, ref)
            if run is not None and run.started_at is not None:
                self._end(world, run, 137 if run.behaviour.ignores_term else 143)

    def kill(self, run_id: str, ref: str) -> None:
        with self._verb("kill", run_id) as world:
            run = self._find(run_id, ref)
            if run is not None and run.started_at is not None:
                self._end(world, run, 137)

    def inspect(self, run_id: str, ref: str) -> LiveRun | None:
        with self._verb("inspect", run_id):
            run = self._find(run_id, ref)
            return None if run is None else self._live(run)

    def usage(self, run_id: str, ref: str) -> Usage:
        with self._verb("usage", run_id):
            run = self._find(run_id, ref)
            return Usage() if run is None else run.behaviour.usage

    def logs(self, run_id: str, ref: str, cursor: str = "", follow: bool = True) -> Iterator[LogChunk]:
        position = int(cursor or 0)
        pause = Flag()
        while True:
            with self._verb("logs", run_id):
                run = self._find(run_id, ref)
                if run is None:
                    return
                ended = self._live(run).phase is not LivePhase.RUNNING
                data = run.log[position : position + LOG_CHUNK]
            if data:
                position += len(data)
                yield LogChunk(data, str(position))
            elif ended or not follow:
                return
            else:
                pause.wait(POLL)

    def outputs(self, run_id: str, ref: str, target: str) -> Iterator[OutputPart] | None:
        with self._verb("outputs", run_id):
            run = self._find(run_id, ref)
            if run is None:
                return None
            left = sorted(run.behaviour.outputs) if target and run.finished_at is not None else []
            return iter([OutputPart(path, PartKind.FILE, len(data), data=iter([data])) for path, data in left])

    def attach(self, run_id: str, ref: str) -> Line:  # noqa: ARG002  whoever asks is told the same
        raise no_terminals(self.name)

    def published(self, run_id: str, ref: str, port: int) -> int | None:  # noqa: ARG002
        return None

    def resize(self, run_id: str, ref: str, rows: int, columns: int) -> None:
        """Nothing here has a terminal."""

    def discard(self, run_id: str, ref: str) -> None:
        with self._verb("discard", run_id) as world:
            run = self._find(run_id, ref)
            if run is None:
                return
            if self._live(run).phase is LivePhase.RUNNING:
                raise EngineRejected(
                    f"cannot discard {run_id}: it is running", code="run-active", hint="Stop it first."
                )
            del world.runs[run_id]

    # -- the rest ---------------------------------------------------------------------------------------------

    def events(self, stop: Flag) -> Iterator[str]:
        with self.world.subscribed() as feed:
            while not stop.is_set():
                yield from self.world.drain(feed, POLL)

    def preview(self, spec: JobSpec) -> Preview:
        return Preview(final_argv(spec), ("nothing is executed: the memory engine only simulates",))

    def build(self, order: BuildOrder, say: Callable[[str], None]) -> Built:  # noqa: ARG002
        raise no_images(self.name, order.spec.name)

    def tidy(self, images: Collection[str], unused: float) -> tuple[str, ...]:  # noqa: ARG002
        """Nothing is ever made for packages."""
        return ()

    def close(self) -> None:
        """Nothing to release: the world is the machine and outlives its clients."""

    @contextmanager
    def _verb(self, verb: str, name: str = "") -> Iterator[MemoryWorld]:
        self.world.before(verb, name)
        with self.world.lock:
            self.world.settle()
            yield self.world
        self.world.after(verb, name)

    def _ours(self, run: MemoryRun) -> bool:
        return run.instance_id == self._context.instance_id

    def _find(self, run_id: str, ref: str) -> MemoryRun | None:
        """The run if it is there; another object under the same name (an older or newer ref) is not it."""
        run = self.world.runs.get(run_id)
        if run is not None and not self._ours(run):
            raise NotOurs(f"cannot use {run_id}: it belongs to another instance")
        return run if run is not None and ref in ("", run.ref) else None

    def _end(self, world: MemoryWorld, run: MemoryRun, code: int) -> None:
        if run.finished_at is None:
            run.finish(max(world.clock(), run.started_at or world.clock()), code)
            world.kick(run.order.run_id)

    def _live(self, run: MemoryRun) -> LiveRun:
        phase = LivePhase.CREATED
        if run.started_at is not None:
            phase = LivePhase.RUNNING if run.finished_at is None else LivePhase.EXITED
        return LiveRun(
            run.order.run_id, run.order.spec.name, run.ref, phase, run.exit_code, run.started_at, run.finished_at,
            run.behaviour.oom and phase is LivePhase.EXITED, run.error, run.order.devices,
        )  # fmt: skip


def _entered(world: MemoryWorld, spec: JobSpec) -> None:
    if spec.exec_in and spec.exec_in not in world.containers:
        raise EngineRejected(f"cannot run in {spec.exec_in}: there is no such container", code="exec-target-missing",
                             hint="Start it.")  # fmt: skip


def _behaviour(world: MemoryWorld, order: RunOrder) -> Behaviour:
    return world.behaviour(order.spec.name, parse_run_id(order.run_id).cell)
