"""The machine: the memory engine, seen through a wire that loses answers and delivers requests late."""

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from datetime import datetime
from threading import Event as Flag
from typing import Any

from reconciler.daemon.run_ops import Result
from reconciler.engine.base import LogChunk, Preview, RunOrder, StandingOrder
from reconciler.engine.memory import MemoryEngine
from reconciler.engine.memory_world import Behaviour, MemoryWorld
from reconciler.model.errors import EngineRejected, EngineUnavailable, ReconcilerError
from reconciler.model.ids import parse_run_id
from reconciler.model.job import JobSpec

from .faults import Fates, timed
from .timeline import Timeline

DURATIONS = (0.0, 2.0, 40.0, 40.0, 600.0, 5400.0, 9.0 * 3600)
STRANGER = "another-instance"
LATE = 180.0  # seconds after which a request may still take effect
CALL_DEADLINE = 30.0
PULL_DEADLINE = 900.0


@dataclass(frozen=True, slots=True)
class Start:
    """A command really began to run."""

    run_id: str
    job: str
    slot: datetime
    attempt: int
    ref: str
    true: float


class Machine:
    """What exists outside the service: survives its death. `starts` is every start that ever took effect."""

    def __init__(self, time: Timeline, fates: Fates, note: Callable[[str], None]) -> None:
        self.time, self.fates, self.note = time, fates, note
        self.world = MemoryWorld(clock=time.wall)
        self.starts: list[Start] = []
        self.asked: set[str] = set()  # refs of which a start was asked for
        self.broken: list[str] = []  # rules that a call has broken

    def settle_later(self, run_id: str) -> None:
        """Look again when it is due to end, so that the engine speaks of it."""
        run = self.world.runs.get(run_id)
        end = run.due_end() if run is not None else None
        if end is not None:
            self.time.at(self.time.true_of(end), self.world.settle)

    def clock_stepped(self) -> None:
        for run_id in list(self.world.runs):
            self.settle_later(run_id)

    def prune(self) -> None:
        """`docker system prune`: whatever of ours does not run is removed."""
        world = self.world
        world.settle()
        for name in [n for n, entry in world.standing.items() if entry.instance_id != STRANGER]:
            world.forget(name)
        for run_id, run in list(world.runs.items()):
            if run.instance_id != STRANGER and (run.started_at is None or run.finished_at is not None):
                world.forget(run_id)

    def started(self, run_id: str) -> None:
        run = self.world.runs[run_id]
        job, slot, attempt, *_ = parse_run_id(run_id)
        self.starts.append(Start(run_id, job, slot, attempt, run.ref, self.time.true))
        self.settle_later(run_id)


class Wire:
    """Fulfils `Engine` over the memory engine. Each call has a fate; what is late takes effect by itself, later.

    `wait(seconds)` lets time pass inside a call of the sync loop; the run loop's calls take their time in the pools.
    """

    name = "memory"

    def __init__(self, engine: MemoryEngine, machine: Machine, wait: Callable[[float], None]) -> None:
        self._engine, self._machine, self._wait = engine, machine, wait
        self._fates = machine.fates

    def _call(self, verb: str, name: str, effect: Callable[[], Any], *, waits: bool = False) -> Any:
        fate = self._fates.of_call()
        seconds = self._fates.takes(CALL_DEADLINE) if waits else 0.0
        if seconds >= 1.0:
            self._wait(seconds / 2)

        def act() -> Any:
            if fate == "ok":
                return effect()
            self._machine.note(f"{verb} {name}: {fate}")
            if fate == "lost":
                quietly(effect)
            elif fate == "late":
                self._machine.time.after(self._fates.dice.uniform(0.1, LATE), lambda: self._late(verb, name, effect))
            return None

        found = timed(self._fates.begin, act)
        if seconds >= 1.0:
            self._wait(seconds / 2)
        if fate != "ok":
            raise EngineUnavailable(f"cannot {verb} {name}: no answer")
        return found

    def _late(self, verb: str, name: str, effect: Callable[[], Any]) -> None:
        self._machine.note(f"{verb} {name}: takes effect late")
        quietly(effect)

    # -- standing jobs ----------------------------------------------------------------------------------------
    def ping(self) -> Any:
        return self._call("ping", "", self._engine.ping)

    def observe(self) -> Any:
        return self._call("observe", "", self._engine.observe, waits=True)

    def inspect_drift(self, job: str, order: StandingOrder) -> Any:
        return self._call("inspect_drift", job, lambda: self._engine.inspect_drift(job, order))

    def resolve(self, order: StandingOrder) -> Any:
        return self._call("resolve", order.spec.name, lambda: self._engine.resolve(order))

    def install(self, order: StandingOrder) -> Any:
        image_there(order.spec)
        return self._call("install", order.spec.name, lambda: self._engine.install(order), waits=True)

    def retire(self, job: str) -> Any:
        return self._call("retire", job, lambda: self._engine.retire(job), waits=True)

    # -- runs -------------------------------------------------------------------------------------------------
    def prepare(self, order: RunOrder) -> Any:
        image_there(order.spec)
        dice = self._fates.dice
        behaviour = Behaviour(
            duration=dice.choice(DURATIONS), exit_code=dice.choice((0, 0, 0, 1, 75)),
            output=b"work\n" if dice.random() < 0.2 else b"", ignores_term=dice.random() < 0.2,
            outputs=(("model.bin", b"weights"),) if order.spec.outputs else (),
        )  # fmt: skip

        def effect() -> Any:
            self._machine.world.behave(order.spec.name, behaviour)
            return self._engine.prepare(order)

        return self._call("prepare", order.run_id, effect)

    def launch(self, run_id: str, ref: str) -> Any:
        machine = self._machine
        if ref in machine.asked:
            machine.broken.append(f"R1: a start of {run_id} ({ref}) was asked for twice")
        machine.asked.add(ref)

        def effect() -> Any:
            run = machine.world.runs.get(run_id)
            before = 0 if run is None else run.starts
            live = self._engine.launch(run_id, ref)
            if run is not None and run.starts > before:
                machine.started(run_id)
            return live

        return self._call("launch", run_id, effect)

    def find_start(self, run_id: str, ref: str) -> Any:
        return self._call("find_start", run_id, lambda: self._engine.find_start(run_id, ref))

    def stop(self, run_id: str, ref: str, grace: float) -> Any:
        return self._call("stop", run_id, lambda: self._engine.stop(run_id, ref, grace))

    def kill(self, run_id: str, ref: str) -> Any:
        return self._call("kill", run_id, lambda: self._engine.kill(run_id, ref))

    def inspect(self, run_id: str, ref: str) -> Any:
        return self._call("inspect", run_id, lambda: self._engine.inspect(run_id, ref))

    def usage(self, run_id: str, ref: str) -> Any:
        return self._call("usage", run_id, lambda: self._engine.usage(run_id, ref))

    def logs(self, run_id: str, ref: str, cursor: str = "", follow: bool = True) -> Iterator[LogChunk]:
        yield from self._call("logs", run_id, lambda: list(self._engine.logs(run_id, ref, cursor, follow)))

    def outputs(self, run_id: str, ref: str, target: str) -> Any:
        return self._call("outputs", run_id, lambda: self._engine.outputs(run_id, ref, target))

    def discard(self, run_id: str, ref: str) -> Any:
        return self._call("discard", run_id, lambda: self._engine.discard(run_id, ref))

    # -- the rest ---------------------------------------------------------------------------------------------
    def events(self, stop: Flag) -> Iterator[str]:
        """The script hands them on."""
        yield from ()

    def preview(self, spec: JobSpec) -> Preview:
        return self._engine.preview(spec)

    def tidy(self, images: Collection[str], unused: float) -> tuple[str, ...]:
        return self._engine.tidy(images, unused)

    def close(self) -> None: ...


def image_there(spec: JobSpec) -> None:
    """Raises EngineRejected."""
    if spec.image.startswith("missing"):
        raise EngineRejected(f"cannot use image {spec.image}: there is none", code="image-missing")


def quietly(effect: Callable[[], Any]) -> None:
    """Nobody is there to hear how it ended."""
    try:
        effect()
    except ReconcilerError:
        pass


class Pools:
    """The run loop's workers on virtual time: a call is made when it was sent or later, and answered later still."""

    def __init__(self, time: Timeline, fates: Fates, kick: Callable[[], None]) -> None:
        self._time, self._fates, self._kick = time, fates, kick
        self._answers: list[Result] = []
        self.dead = False

    def submit(self, kind: str, call: Callable[[], Result]) -> None:
        longest = PULL_DEADLINE if kind == "prepare" else CALL_DEADLINE
        self._time.after(self._fates.takes(longest), lambda: self._make(call, longest))

    def _make(self, call: Callable[[], Result], longest: float) -> None:
        if not self.dead:
            answer = call()
            self._time.after(self._fates.takes(longest), lambda: self._answer(answer))

    def _answer(self, answer: Result) -> None:
        if not self.dead:
            self._answers.append(answer)
            self._kick()

    def drain(self) -> list[Result]:
        found, self._answers = self._answers, []
        return found

    def close(self) -> None:
        self.dead = True


class OneAfterAnother(Executor):
    """Apply's pool: each call is made when it is submitted. What kills the process is nobody's result."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  whatever it is, the future has it
            future.set_exception(error)
        return future
