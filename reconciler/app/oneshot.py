"""What commands do without a running service: read, plan, apply once, approve, take over."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from ..apply.execute import apply_plan
from ..apply.files import record_files
from ..apply.intents import recover_intents
from ..daemon.operators import AppliedNow
from ..daemon.sync_loop import APPLIED
from ..engine.base import Engine, EngineContext, Preview
from ..engine.docker_address import address, shares_host
from ..engine.docker_preview import preview_of
from ..history.base import History
from ..history.identity import Identity, read_identity
from ..history.sqlite import open_history
from ..history.takeover import takeover
from ..model.desired import DesiredState
from ..model.errors import EngineUnavailable, Permanent, StateError
from ..model.event import Event
from ..model.job import JobSpec
from ..model.live import LiveState, StandingJob
from ..model.plan import Plan
from ..model.service import ServiceConfig
from ..plan import words
from ..plan.context import PlanContext
from ..plan.diff import make_plan
from ..spec.argv import final_argv
from .devices import with_devices
from .parts import DATABASE, DEFAULT_ENGINE, ENGINE, build_engine, choose_engine, open_state, stager
from .reading import desired_once
from .secrets import with_secrets


def _now() -> datetime:
    return datetime.now(UTC)


def plan_once(config: ServiceConfig) -> tuple[Plan, Mapping[str, StandingJob]]:
    """The plan as the service would make it now, and the jobs that stand. Reads the state directory if there is one;
    changes nothing. Raises StateError, EngineUnavailable, SourceUnavailable, SourceRejected."""
    config = with_secrets(with_devices(config))
    try:
        history = open_history(Path(config.state_dir) / DATABASE, read_only=True)
    except StateError as error:
        if error.code != "state-absent":
            raise
        return _first_plan(config), {}
    try:
        identity = _identity(config)
        engine = build_engine(history.get_meta(ENGINE) or "memory", config, identity, history)
        try:
            return _plan(config, history, engine)[0], history.standing()
        finally:
            engine.close()
    finally:
        history.close()


def _first_plan(config: ServiceConfig) -> Plan:
    """Nothing has ever been applied here: everything is new."""
    name = config.engine or DEFAULT_ENGINE
    live = LiveState(name, {}, {})
    shared = shares_host(address(config.docker_host), config.engine_paths)
    previews: dict[str, Callable[[JobSpec], Preview]] = {
        "process": _on_processes,
        "docker": partial(preview_of, shares_host=shared),
    }
    context = PlanContext(now=_now(), preview=previews.get(name), gpus=config.devices.gpu_count)
    return make_plan(desired_once(config), live, {}, config, context)


def _on_processes(spec: JobSpec) -> Preview:
    from ..engine.process_preview import warnings

    return Preview(final_argv(spec), tuple(warnings(spec)))


def _identity(config: ServiceConfig) -> Identity:
    """Whose state this is. Another instance's (a copied directory, a wrong path) is not to be planned against."""
    identity = read_identity(Path(config.state_dir))
    if identity is None:
        raise StateError(f"cannot plan: {config.state_dir} has lost its identity", code="identity-lost",
                         hint=f"reconciler takeover {config.instance}")  # fmt: skip
    if identity.instance != config.instance:
        raise StateError(
            f"cannot plan: {config.state_dir} belongs to instance {identity.instance!r}, and this one is "
            f"{config.instance!r}", code="instance-changed", hint="name the right directory with --state-dir",
        )  # fmt: skip
    return identity


def _plan(config: ServiceConfig, history: History, engine: Engine) -> tuple[Plan, DesiredState]:
    applied = history.get_meta(APPLIED)
    desired = desired_once(config, applied, history.standing())
    counts: dict[str, int] = {}
    for run in history.active_runs():
        if run.active:
            counts[run.job] = counts.get(run.job, 0) + 1
    context = PlanContext(
        now=_now(), approvals=history.approvals(), previous_revision=applied or "", active_runs=counts,
        preview=engine.preview, gpus=config.devices.gpu_count,
    )  # fmt: skip
    return make_plan(desired, engine.observe(), history.standing(), config, context), desired


def apply_once(config: ServiceConfig, digest: str, say: Callable[[str], None]) -> AppliedNow:
    """Take the lock, plan and apply. With `digest`, only exactly that plan."""
    if not (Path(config.state_dir) / DATABASE).exists():
        desired_once(config)  # a source that cannot be read leaves no state directory behind, and no engine chosen
    config = with_secrets(config)
    with open_state(config) as state:
        engine = choose_engine(config, state, say)
        try:
            recover_intents(state.history, engine)
            plan, desired = _plan(config, state.history, engine)
            if digest and not plan.digest.startswith(digest):
                raise Permanent(f"cannot apply {digest}: the plan is {plan.digest} by now", code="plan-changed",
                                hint="look at it again: reconciler plan")  # fmt: skip
            return _apply(plan, desired, config, state.history, engine, say)
        finally:
            engine.close()


def _apply(
    plan: Plan, desired: DesiredState, config: ServiceConfig, history: History, engine: Engine,
    say: Callable[[str], None],
) -> AppliedNow:  # fmt: skip
    if plan.refused:
        return AppliedNow(plan.revision, plan.unchanged, (), plan.refusals)
    history.set_meta(APPLIED, plan.revision)
    history.spend_approval(plan.revision)
    record_files(desired, history)

    def report(events: Sequence[Event]) -> None:
        if events:
            history.add_events(events)
        for event in events:
            say(f"{event.name.value:<18} {event.job}  {event.fields.get('error', '') or ''}".rstrip())

    done = apply_plan(plan, engine, history, _now, config, stager(config), cancelled=lambda: False, report=report)
    return AppliedNow(plan.revision, plan.unchanged, done.results, ())


def approve_once(config: ServiceConfig, digest: str, actor: str, reason: str) -> str:
    """Record an approval of the plan that would be made now; its whole digest."""
    plan, _ = plan_once(config)
    full = next((d for d in (plan.digest, plan.revision) if d.startswith(digest)), "")
    if len(digest) < 7 or not full:
        raise Permanent(f"cannot approve {digest}: the plan that waits is {plan.digest}", code="plan-unknown",
                        hint="see it with: reconciler plan")  # fmt: skip
    with open_state(config) as state:
        state.history.approve(full, actor, _now(), reason)
    return full


def takeover_once(config: ServiceConfig) -> list[str]:
    """Make the state directory usable again; what was done, in sentences."""
    made = takeover(config.state_dir, config.instance, _now())
    said = [f"{config.state_dir} belongs to instance {made.identity.instance} (id {made.identity.instance_id})."]
    said.append("The ledger was kept." if made.kept_ledger else "The ledger is new: nothing from before now is owed.")
    if made.aside is not None:
        said.append(f"What was there is in {made.aside}.")
    if not made.kept_ledger and not config.engine and (Path(config.state_dir) / "process").is_dir():
        config = replace(config, engine="process")  # the lost ledger said so: that engine's jobs lie here
    with open_state(config) as state:
        engine = choose_engine(config, state, said.append)
        try:
            live = engine.observe()
        finally:
            engine.close()
    jobs, runs = words.plural(len(live.jobs), "standing job"), words.plural(len(live.runs), "run")
    said.append(f"{jobs} and {runs} of it found on engine {engine.name}: adopted at the next start.")
    return said


def engine_line(config: ServiceConfig) -> str:
    """What the engine says of itself: the recorded one, else the configured one. Raises EngineUnavailable."""
    path = Path(config.state_dir) / DATABASE
    if not path.exists():
        return _first_engine(config)
    identity = read_identity(path.parent)
    if identity is None:
        raise StateError(f"cannot tell which engine it is: {config.state_dir} has lost its identity",
                         code="identity-lost", hint=f"reconciler takeover {config.instance}")  # fmt: skip
    history = open_history(path, read_only=True)
    try:
        engine = build_engine(history.get_meta(ENGINE) or config.engine or DEFAULT_ENGINE, config, identity, history)
        try:
            return engine.ping()
        finally:
            engine.close()
    finally:
        history.close()


def _first_engine(config: ServiceConfig) -> str:
    """Before any state: does Docker answer, where it would be used?"""
    if config.engine in ("process", "memory"):
        return f"{config.engine}; none is recorded yet"
    from ..engine.docker import DockerEngine

    context = EngineContext(config.instance, "", b"", config.state_dir)
    engine = DockerEngine(context, docker_host=config.docker_host, owned=lambda _ref: False)
    try:
        return f"{engine.ping()}; none is recorded yet"
    except EngineUnavailable as error:
        if config.engine != "auto":
            raise
        return f"process would be taken, because Docker does not answer ({error})"
    finally:
        engine.close()
