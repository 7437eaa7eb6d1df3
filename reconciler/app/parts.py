"""Configuration -> open parts: the state directory, the engine that is recorded or chosen, the repository."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..daemon.lean import structlog
from ..engine.base import Engine, EngineContext
from ..history.base import History
from ..history.identity import Identity, load_or_create
from ..history.lock import InstanceLock
from ..history.sqlite import open_history
from ..model.errors import EngineUnavailable, Permanent, StateError
from ..model.job import JobSpec
from ..model.service import ServiceConfig

log = structlog.get_logger()

DATABASE = "reconciler.db"
ENGINE = "engine"  # meta: the engine that holds our objects
DEFAULT_ENGINE = "docker"
TAKEOVER_FROM = "takeover_from"
Current = Callable[[], ServiceConfig]  # the service file as it is in force now
OWNED_AGAIN = 1.0  # seconds between two readings of the ledger for containers without our mark


@dataclass(frozen=True, slots=True)
class State:
    """An open state directory, ours alone."""

    config: ServiceConfig
    identity: Identity
    history: History
    lock: InstanceLock

    def unfit(self) -> StateError | None:
        """Why it can no longer be used, if so: looked at now and then, since a lock does not stop a `mv` or an `rm`."""
        if self.lock.held:
            return None
        return StateError(
            f"cannot go on: the state directory {self.config.state_dir} was moved away or replaced", code="state-moved",
            hint="put it back and start the service again; runs go on, and the next start adopts them",
        )  # fmt: skip


@contextlib.contextmanager
def open_state(config: ServiceConfig) -> Iterator[State]:
    """Lock the state directory and open the ledger in it. Raises AlreadyRunning, StateError."""
    with InstanceLock(config.state_dir) as lock:
        identity = load_or_create(config.state_dir, config.instance)
        history = open_history(Path(config.state_dir) / DATABASE)
        try:
            yield State(config, identity, history, lock)
        finally:
            history.close()


def stager(config: ServiceConfig) -> Callable[[JobSpec, str], tuple[tuple[str, str], ...]]:
    """Puts a job's files on the host, below the state directory."""
    from ..workspace.files import stage_files

    root = str(Path(config.state_dir) / "files")
    return lambda spec, digest: stage_files(spec, digest, root)


def tidier(config: ServiceConfig) -> Callable[[frozenset[str]], None]:
    """Removes staged files of all definitions but those named; first, now, what a crash left half written."""
    from ..workspace.files import drop_staged, sweep

    root = str(Path(config.state_dir) / "files")
    sweep(root)  # before anything can be staging

    def tidy(keep: frozenset[str]) -> None:
        drop_staged(keep, root)

    return tidy


def build_engine(
    name: str, config: ServiceConfig, identity: Identity, history: History, current: Current | None = None
) -> Engine:
    """The engine of that name. Asks nothing of it: one that is away shows on use. `current` None = `config`."""
    now = current or (lambda: config)
    context = EngineContext(
        instance=identity.instance, instance_id=identity.instance_id, key=identity.key, state_dir=config.state_dir,
        registries=lambda: now().registries, package_environment=lambda: now().packages.environment,
    )  # fmt: skip
    if name == "docker":
        from ..engine.docker import DockerEngine

        return DockerEngine(context, docker_host=config.docker_host, engine_paths=config.engine_paths,
                            owned=Owned(identity.instance, history))  # fmt: skip
    if name == "process":
        from ..engine.process import ProcessEngine

        adopts = history.get_meta(TAKEOVER_FROM) == identity.instance
        return ProcessEngine(context, config.process_user, adopts=adopts)
    from ..engine.memory import MemoryEngine, MemoryWorld

    return MemoryEngine(context, MemoryWorld(clock=lambda: datetime.now(UTC)))


class Owned:
    """Is a container of this full id in the ledger? (rule P2) Asked only of what our mark does not vouch for. After a
    takeover everything of the instance is: its marks were made with a key that is lost."""

    def __init__(self, instance: str, history: History) -> None:
        self._history = history
        self._taking_over = history.get_meta(TAKEOVER_FROM) == instance
        self._refs: frozenset[str] = frozenset()
        self._made = -math.inf

    def __call__(self, ref: str) -> bool:
        if self._taking_over or ref in self._refs:
            return True
        if time.monotonic() - self._made > OWNED_AGAIN:
            self._made = time.monotonic()
            self._refs = frozenset(job.ref for job in self._history.standing().values())
        return ref in self._refs


def choose_engine(
    config: ServiceConfig, state: State, say: Callable[[str], None], current: Current | None = None
) -> Engine:
    """The recorded engine, or on a first start the configured one. `auto` takes Docker if it answers.

    The choice is recorded and never changes by itself; another one that the configuration names is a switch, refused
    while runs are active.
    """
    recorded = state.history.get_meta(ENGINE)

    def build(name: str) -> Engine:
        return build_engine(name, config, state.identity, state.history, current)

    if recorded is None:
        name = _probe(build, say) if config.engine == "auto" else config.engine or DEFAULT_ENGINE
        state.history.set_meta(ENGINE, name)
        return build(name)
    if config.engine in ("", "auto", recorded):
        return build(recorded)
    _leave(build(recorded), recorded, config.engine, state.history)
    state.history.set_meta(ENGINE, config.engine)
    say(f"engine: switched from {recorded} to {config.engine}")
    return build(config.engine)


def _probe(build: Callable[[str], Engine], say: Callable[[str], None]) -> str:
    engine = build("docker")
    try:
        say(f"engine: docker ({engine.ping()})")
    except EngineUnavailable as error:
        say(f"engine: process, because Docker does not answer ({error})")
        return "process"
    finally:
        engine.close()
    return "docker"


def _leave(old: Engine, name: str, new: str, history: History) -> None:
    """Take our standing jobs off the engine that is left; refuse while it has runs of ours."""
    active = [run.run_id for run in history.active_runs() if run.active]
    if active:
        raise Permanent(
            f"cannot switch from engine {name} to {new}: {len(active)} of its runs not ended, such as {active[0]}",
            code="engine-busy", hint=f"wait for them, or stop them, with engine {name} still configured",
        )  # fmt: skip
    try:
        for job in history.standing():
            old.retire(job)
    except EngineUnavailable as error:
        log.warning(
            "engine.left-behind", engine=name, error=str(error), hint="its standing jobs never start by themselves"
        )
    finally:
        old.close()
