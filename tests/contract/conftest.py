"""One lab per engine: an empty machine on which the contract suite orders the same jobs from each engine."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import TypeVar

import pytest

from reconciler.engine.base import Engine, EngineContext, RunOrder
from reconciler.engine.memory import MemoryEngine, MemoryWorld
from reconciler.engine.process import ProcessEngine
from reconciler.history.base import History
from reconciler.model.errors import EngineRejected
from reconciler.model.job import JobSpec
from reconciler.model.live import LivePhase, LiveRun
from tests.kit.folders import reachable_folder
from tests.kit.ledger import Ledger
from tests.kit.orders import Act, engine_context, make_spec, run_order

DEADLINE = 30.0  # seconds
T = TypeVar("T")


@dataclass
class Lab:
    """`connect(context)` makes an engine object on this lab's machine; `behave` scripts the memory engine."""

    instance: str
    state_dir: str
    connect: Callable[[EngineContext], Engine]
    behave: Callable[[str, Act], None]
    refuse_install: Callable[[], None]
    open: ExitStack = field(default_factory=ExitStack)

    def engine(self, who: str = "a") -> Engine:
        """The same `who` twice = a restart of the service; another `who` = a foreign instance of the same name."""
        engine = self.connect(engine_context(self.state_dir, self.instance, who))
        self.open.callback(engine.close)
        return engine

    def spec(self, act: Act, name: str = "demo/hello", **fields: object) -> JobSpec:
        self.behave(name, act)
        return make_spec(name, act.script, networks=("none",), **fields)

    def prepared(self, engine: Engine, act: Act, **fields: object) -> tuple[RunOrder, str]:
        order = run_order(self.spec(act, **fields))
        return order, engine.prepare(order).ref

    def started(self, engine: Engine, act: Act, **fields: object) -> tuple[str, str]:
        """A run that has been launched and, if it says `up`, has said it."""
        order, ref = self.prepared(engine, act, **fields)
        engine.launch(order.run_id, ref)
        if b"up\n" in act.behaviour.output:
            eventually(lambda: b"up\n" in log_of(engine, order.run_id, ref))
        return order.run_id, ref


def eventually(look: Callable[[], T]) -> T:
    """The first true answer of `look`; fails at the deadline."""
    deadline = time.monotonic() + DEADLINE
    while not (answer := look()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
    return answer


def log_of(engine: Engine, run_id: str, ref: str) -> bytes:
    return b"".join(chunk.data for chunk in engine.logs(run_id, ref, follow=False))


def ended(engine: Engine, run_id: str, ref: str) -> LiveRun:
    def look() -> LiveRun | None:
        run = engine.inspect(run_id, ref)
        assert run is not None, "the run is gone"
        return run if run.phase is LivePhase.EXITED else None

    return eventually(look)


def memory_lab(instance: str, tmp_path: Path) -> tuple[Lab, MemoryWorld]:
    world = MemoryWorld(lambda: datetime.now(UTC))
    lab = Lab(
        instance,
        str(tmp_path),
        lambda context: MemoryEngine(context, world),
        lambda name, act: world.behave(name, act.behaviour),
        lambda: world.fail("install", EngineRejected("no such image")),
    )
    return lab, world


def _memory(instance: str, tmp_path: Path) -> Lab:
    return memory_lab(instance, tmp_path)[0]


def _process(instance: str, _tmp_path: Path) -> Lab:
    stack = ExitStack()
    folder = stack.enter_context(reachable_folder())
    return Lab(instance, str(folder), ProcessEngine, lambda name, act: None, lambda: None, stack)


def docker_lab(instance: str, tmp_path: Path, host: str) -> Lab:
    from tests.kit.docker_engine import clean_up, make_docker_engine

    def connect(context: EngineContext) -> Engine:
        return make_docker_engine(tmp_path, host, context=context)

    lab = Lab(instance, str(tmp_path), connect, lambda name, act: None, lambda: None)
    lab.open.callback(clean_up, host, instance)
    return lab


@pytest.fixture(params=["memory", "process", pytest.param("docker", marks=pytest.mark.docker)])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    instance = f"c{token_hex(4)}"
    if request.param == "docker":
        lab = docker_lab(instance, tmp_path, request.getfixturevalue("docker_host"))
    else:
        lab = {"memory": _memory, "process": _process}[request.param](instance, tmp_path)
    with lab.open:
        yield lab
        _end_runs(lab)


def _end_runs(lab: Lab) -> None:
    """No test leaves a process behind."""
    engine = lab.engine()
    for run in engine.observe().runs.values():
        engine.kill(run.run_id, run.ref)
        if run.phase is not LivePhase.CREATED:
            ended(engine, run.run_id, run.ref)


@pytest.fixture
def engine(lab: Lab) -> Engine:
    return lab.engine()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path)
    yield made
    made.history.close()


@pytest.fixture
def history(ledger: Ledger) -> History:
    return ledger.history
