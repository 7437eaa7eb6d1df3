"""In: a job name and what the job does. Out: specs and orders for engines, the same for Docker, process and memory."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256

from reconciler.engine.base import EngineContext, RunOrder, StandingOrder
from reconciler.engine.memory_world import Behaviour
from reconciler.model.ids import run_id
from reconciler.model.job import JobSpec, Schedule, ScheduleKind
from reconciler.model.service import Policy

IMAGE = "busybox:local"
SLOT = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Act:
    """One thing a job does, as a script for real engines (busybox sh and the host's) and as a memory behaviour."""

    script: str
    behaviour: Behaviour


def exits(code: int) -> Act:
    """Says so, then ends with `code` at once."""
    said = f"ends with {code}\n"
    return Act(f"echo ends with {code}; exit {code}", Behaviour(exit_code=code, output=said.encode()))


def kills_itself() -> Act:
    return Act("kill -9 $$", Behaviour(exit_code=137))


def sleeps() -> Act:
    """Says `up`, then runs until it is stopped; TERM ends it with 143."""
    script = "trap 'echo got TERM; exit 143' TERM; echo up; while :; do sleep 0.1 || :; done"
    return Act(script, Behaviour(duration=None, output=b"up\n", on_term=b"got TERM\n"))


def ignores_term() -> Act:
    """Says `up`, then runs until it is killed."""
    script = "trap '' TERM; echo up; while :; do sleep 0.1 || :; done"
    return Act(script, Behaviour(duration=None, output=b"up\n", ignores_term=True))


def takes(seconds: float) -> Act:
    """Says `up`, ends well after `seconds`."""
    return Act(f"echo up; sleep {seconds}", Behaviour(duration=seconds, output=b"up\n"))


def writes(lines: int) -> Act:
    """Writes numbered lines, odd ones to standard output, even ones to standard error."""
    script = f"i=1; while [ $i -le {lines} ]; do echo line $i; i=$((i+1)); echo line $i >&2; i=$((i+1)); done"
    output = "".join(f"line {i}\n" for i in range(1, lines + 1))
    return Act(script, Behaviour(output=output.encode()))


def shows_environment(*names: str) -> Act:
    """Prints `NAME=value` for each name; the memory engine cannot."""
    return Act("; ".join(f'echo "{name}=${{{name}-}}"' for name in names), Behaviour())


def make_spec(name: str = "demo/hello", script: str | None = "echo hello", **fields: object) -> JobSpec:
    """A valid manual job; `fields` are those of JobSpec."""
    base = JobSpec(name=name, owner="default", schedule=Schedule(ScheduleKind.MANUAL), image=IMAGE, script=script)
    return replace(base, **fields)  # type: ignore[arg-type]


def digest(spec: JobSpec) -> str:
    """Some digest that changes with the spec; not the product's own."""
    return sha256(repr(spec).encode()).hexdigest()


def standing_order(spec: JobSpec, *, revision: str = "9f3c2e1", **fields: object) -> StandingOrder:
    order = StandingOrder(spec, digest(spec), revision, f"{spec.name}.yaml", Policy())
    return replace(order, **fields)  # type: ignore[arg-type]


def run_order(spec: JobSpec, *, slot: datetime = SLOT, attempt: int = 1, **fields: object) -> RunOrder:
    identity = run_id(spec.name, slot, attempt)
    environment = (*spec.environment, ("RECONCILER_JOB", spec.name), ("RECONCILER_RUN_ID", identity))
    order = RunOrder(identity, spec, digest(spec), "9f3c2e1", Policy(), environment=environment)
    return replace(order, **fields)  # type: ignore[arg-type]


def engine_context(state_dir: str, instance: str = "test", who: str = "a") -> EngineContext:
    """A context whose id and key derive from `who`: the same `who` is the same instance after a restart."""
    seed = sha256(f"{instance}/{who}".encode()).digest()
    return EngineContext(instance, seed.hex()[:32], seed, state_dir)
