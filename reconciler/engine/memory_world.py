"""In: a clock and a script of what jobs do and what goes wrong. Out: the state a memory engine works on.

The scripting API is `behave`, `fail`, `hang`, `mend`, `forget`, `crash`, `restart`, `plant_foreign` and `starts`; the
rest belongs to the engine.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Condition, RLock
from threading import Event as Flag

from ..model.errors import EngineUnavailable, ReconcilerError
from ..model.live import LiveJob
from .base import RunOrder, Usage

PAST = 256  # removed runs of which it is still told how they ended
HANG_LIMIT = 30.0  # seconds: the deadline that every call of an engine has


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a job does: writes `output` at its start, ends with `exit_code` after `duration` seconds.

    `duration` None = until it is stopped.
    """

    duration: float | None = 0.0
    exit_code: int = 0
    output: bytes = b""
    ignores_term: bool = False
    on_term: bytes = b""  # written when TERM reaches it
    oom: bool = False
    usage: Usage = field(default_factory=Usage)
    outputs: tuple[tuple[str, bytes], ...] = ()  # (path, contents) that it leaves


@dataclass(slots=True)
class MemoryRun:
    """One run; mutable, only touched under the world's lock."""

    order: RunOrder
    ref: str
    instance_id: str
    behaviour: Behaviour
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    error: str = ""
    starts: int = 0  # how often the command was really started: more than one is a broken rule R1
    log: bytes = b""

    def start(self, now: datetime) -> None:
        self.starts += 1
        self.started_at = now
        self.log += self.behaviour.output

    def finish(self, now: datetime, exit_code: int | None, error: str = "") -> None:
        self.finished_at, self.exit_code, self.error = now, exit_code, error
        if exit_code == 143:
            self.log += self.behaviour.on_term

    def due_end(self) -> datetime | None:
        """When it ends by itself; None = it has ended, never started, or runs until stopped."""
        if self.started_at is None or self.finished_at is not None or self.behaviour.duration is None:
            return None
        return self.started_at + timedelta(seconds=self.behaviour.duration)


@dataclass(frozen=True, slots=True)
class StandingEntry:
    live: LiveJob
    instance_id: str


@dataclass(slots=True)
class Fault:
    """One scripted failure. `name` is a job or run id, "" = any. `late`: the effect takes place, the answer is lost."""

    verb: str
    error: ReconcilerError | None
    name: str = ""
    times: int = 1
    late: bool = False
    gate: Flag | None = None


@dataclass(slots=True)
class MemoryWorld:
    """The simulated machine. Every method may be called from any thread."""

    clock: Callable[[], datetime]
    standing: dict[str, StandingEntry] = field(default_factory=dict)
    runs: dict[str, MemoryRun] = field(default_factory=dict)
    past: dict[str, MemoryRun] = field(default_factory=dict)  # ended runs that somebody removed, the last ones
    drift: dict[str, tuple[str, ...]] = field(default_factory=dict)
    listing_complete: bool = True
    containers: set[str] = field(default_factory=set)  # that run, are somebody's, and may be entered (`exec_in`)
    lock: RLock = field(default_factory=RLock)
    calls: list[tuple[str, str]] = field(default_factory=list)  # (verb, name) of the last calls, bounded
    _behaviours: dict[str, Behaviour] = field(default_factory=dict)
    _faults: list[Fault] = field(default_factory=list)
    _feeds: list[dict[str, None]] = field(default_factory=list)
    _serial: int = 0
    _news: Condition = field(default_factory=Condition)

    # -- scripting --------------------------------------------------------------------------------------------

    def behave(self, job: str, behaviour: Behaviour) -> None:
        """What the next prepared runs of `job` do, of `job#3` its cell 3; "*" is every job without one of its own."""
        with self.lock:
            self._behaviours[job] = behaviour

    def fail(self, verb: str, error: ReconcilerError, *, name: str = "", times: int = 1, late: bool = False) -> None:
        """Let the next `times` calls of `verb` raise `error`; with `late` after their effect took place."""
        with self.lock:
            self._faults.append(Fault(verb, error, name, times, late))

    def hang(self, verb: str, *, name: str = "", times: int = 1) -> Flag:
        """Let the next calls of `verb` wait until the returned flag is set, then go on. Unset for 30 s: unavailable."""
        gate = Flag()
        with self.lock:
            self._faults.append(Fault(verb, None, name, times, gate=gate))
        return gate

    def mend(self) -> None:
        """Drop every failure that was not used up."""
        with self.lock:
            self._faults.clear()

    def forget(self, name: str) -> None:
        """Somebody removes a standing job or a run by hand."""
        with self.lock:
            self.settle()
            self.standing.pop(name, None)
            run = self.runs.pop(name, None)
            if run is not None and run.finished_at is not None:
                self.past[name] = run
                while len(self.past) > PAST:
                    del self.past[next(iter(self.past))]
        self.kick(name)

    def crash(self) -> None:
        """The host goes down: what ran has ended, and nobody knows how."""
        with self.lock:
            self.settle()
            for run in self.runs.values():
                if run.started_at is not None and run.finished_at is None:
                    run.finish(self.clock(), None, "host or supervisor went down")

    def restart(self, container: str) -> None:
        """Somebody restarts a container: the commands of jobs in it have ended, and nobody knows how."""
        with self.lock:
            self.settle()
            for run_id in [name for name, run in self.runs.items() if run.order.spec.exec_in == container]:
                del self.runs[run_id]
        self.kick("")

    def plant_foreign(self, job: str) -> None:
        """Another instance holds this standing name."""
        with self.lock:
            self.standing[job] = StandingEntry(LiveJob(job, "foreign", "", "", self.new_ref()), "another-instance")

    def starts(self, run_id: str) -> int:
        """How often the command of a run that is still there was started."""
        with self.lock:
            run = self.runs.get(run_id)
            return 0 if run is None else run.starts

    # -- for the engine ---------------------------------------------------------------------------------------

    def behaviour(self, job: str, cell: int | None = None) -> Behaviour:
        return (
            self._behaviours.get(f"{job}#{cell}")
            or self._behaviours.get(job)
            or self._behaviours.get("*")
            or Behaviour()
        )

    def new_ref(self) -> str:
        self._serial += 1
        return f"memory:{self._serial:08d}"

    def settle(self) -> None:
        """End what is due to end by the clock."""
        now = self.clock()
        for run_id, run in self.runs.items():
            end = run.due_end()
            if end is not None and end <= now:
                run.finish(end, 137 if run.behaviour.oom else run.behaviour.exit_code)
                self.kick(run_id)

    def before(self, verb: str, name: str) -> None:
        with self.lock:
            self.calls.append((verb, name))
            del self.calls[:-10_000]
            fault = self._take(verb, name, late=False)
        if fault is not None and fault.gate is not None and not fault.gate.wait(HANG_LIMIT):
            raise EngineUnavailable(f"cannot {verb} {name}: no answer within {HANG_LIMIT:.0f} s")
        if fault is not None and fault.error is not None:
            raise fault.error

    def after(self, verb: str, name: str) -> None:
        with self.lock:
            fault = self._take(verb, name, late=True)
        if fault is not None and fault.error is not None:
            raise fault.error

    def _take(self, verb: str, name: str, *, late: bool) -> Fault | None:
        for fault in self._faults:
            if fault.verb == verb and fault.late == late and fault.name in ("", name):
                fault.times -= 1
                taken = replace(fault)
                if fault.times <= 0:
                    self._faults.remove(fault)
                return taken
        return None

    # -- events -----------------------------------------------------------------------------------------------

    @contextmanager
    def subscribed(self) -> Iterator[dict[str, None]]:
        """A feed of kicks: an ordered set, so it is bounded by the number of names."""
        feed: dict[str, None] = {}
        with self._news:
            self._feeds.append(feed)
        try:
            yield feed
        finally:
            with self._news:
                self._feeds[:] = [other for other in self._feeds if other is not feed]

    def kick(self, name: str) -> None:
        with self._news:
            for feed in self._feeds:
                feed[name] = None
            self._news.notify_all()

    def drain(self, feed: dict[str, None], timeout: float) -> list[str]:
        """Names that changed since the last call; waits up to `timeout` real seconds for the first."""
        with self.lock:
            self.settle()
        with self._news:
            if not feed:
                self._news.wait(timeout)
            names = list(feed)
            feed.clear()
            return names
