"""Out: process engines on folders of their own, and looks at the processes of a run."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from reconciler.engine.process import ProcessEngine
from reconciler.engine.process_proc import members
from reconciler.model.live import LivePhase, LiveRun
from tests.kit.orders import engine_context, make_spec, run_order

T = TypeVar("T")


def eventually(look: Callable[[], T], within: float = 20.0) -> T:
    deadline = time.monotonic() + within
    while not (answer := look()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)
    return answer


@contextmanager
def engine_on(folder: Path, **settings: object) -> Iterator[ProcessEngine]:
    """An engine whose runs are ended when the test ends."""
    engine = ProcessEngine(engine_context(str(folder)), **settings)  # type: ignore[arg-type]
    try:
        yield engine
        for run in engine.observe().runs.values():
            engine.kill(run.run_id, run.ref)
            eventually(lambda ref=run.ref: not members(ref))
    finally:
        engine.close()


def run_folder(folder: Path, run_id: str) -> Path:
    return Path(os.path.realpath(folder / "process/runs")) / run_id


def launched(engine: ProcessEngine, script: str, name: str = "demo/x", **fields: object) -> tuple[str, str]:
    order = run_order(make_spec(name, script), **fields)
    ref = engine.prepare(order).ref
    engine.launch(order.run_id, ref)
    return order.run_id, ref


def text_of(engine: ProcessEngine, run_id: str, ref: str) -> str:
    return b"".join(chunk.data for chunk in engine.logs(run_id, ref, follow=False)).decode()


def saying(engine: ProcessEngine, script: str, **fields: object) -> tuple[str, str]:
    """Launched, and has said `up`."""
    run_id, ref = launched(engine, script, **fields)
    eventually(lambda: "up\n" in text_of(engine, run_id, ref))
    return run_id, ref


def ended(engine: ProcessEngine, run_id: str, ref: str) -> LiveRun:
    def look() -> LiveRun | None:
        run = engine.inspect(run_id, ref)
        assert run is not None
        return run if run.phase is LivePhase.EXITED else None

    return eventually(look)


def output(engine: ProcessEngine, script: str, **fields: object) -> str:
    """What a script says until its end."""
    run_id, ref = launched(engine, script, **fields)
    ended(engine, run_id, ref)
    return text_of(engine, run_id, ref)


def working_in(folder: Path, run_id: str) -> list[int]:
    """Processes whose working directory is the run's, by the kernel and not by any mark."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                here = os.readlink(entry / "cwd")
            except OSError:
                continue
            if here.startswith(f"{run_folder(folder, run_id)}/"):
                found.append(int(entry.name))
    return found
