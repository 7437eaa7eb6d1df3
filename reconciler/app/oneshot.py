"""What commands do without a running service: read, plan, apply once, approve, take over."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from ..apply.execute import apply_plan
from ..apply.intents import recover_intents
from ..daemon.operators import AppliedNow
from ..daemon.sync_loop import APPLIED
from ..engine.base import Engine
from ..history.base import History
from ..history.identity import read_identity
from ..history.sqlite import open_history
from ..history.takeover import takeover
from ..model.desired import DesiredState
from ..model.errors import Permanent
from ..model.event import Event
from ..model.live import LiveState, StandingJob
from ..model.plan import Plan
from ..model.service import ServiceConfig
from ..plan.context import PlanContext
from ..plan.diff import make_plan
from ..spec.desire import desire
from .parts import DATABASE, ENGINE, build_engine, choose_engine, open_repository, open_state, stager


def _now() -> datetime:
    return datetime.now(UTC)


def desired_once(config: ServiceConfig, applied: str | None = None) -> tuple[DesiredState, Mapping[str, bytes]]:
    """The desired state of the newest revision, and the contents of the files that have problems."""
    source = open_repository(config)
    try:
        snapshot = source.snapshot(applied)
        desired, _ = desire(snapshot, source.read, config, {})
        bad = {problem.path for problem in desired.problems}
        blobs = {e.full_path: e.blob for e in snapshot.entries if e.full_path in bad}
        contents = source.read(tuple(set(blobs.values()))) if blobs else {}
        return desired, {path: contents[blob] for path, blob in blobs.items()}
    finally:
        source.close()


def plan_once(config: ServiceConfig) -> tuple[Plan, Mapping[str, StandingJob]]:
    """The plan as the service would make it now, and the jobs that stand. Reads the state directory if there is one;
    changes nothing."""
    path = Path(config.state_dir) / DATABASE
    if not path.exists():
        desired, _ = desired_once(config)
        return make_plan(desired, LiveState(config.engine, {}, {}), {}, config, PlanContext(now=_now())), {}
    history = open_history(path, read_only=True)
    try:
        identity = read_identity(Path(config.state_dir))
        if identity is None:
            raise Permanent("cannot plan: this state directory has no identity", code="identity-lost",
                            hint=f"reconciler takeover {config.instance}")  # fmt: skip
        engine = build_engine(history.get_meta(ENGINE) or "memory", config, identity, history)
        try:
            return _plan(config, history, engine), history.standing()
        finally:
            engine.close()
    finally:
        history.close()


def _plan(config: ServiceConfig, history: History, engine: Engine) -> Plan:
    applied = history.get_meta(APPLIED)
    desired, _ = desired_once(config, applied)
    counts: dict[str, int] = {}
    for run in history.active_runs():
        if run.active:
            counts[run.job] = counts.get(run.job, 0) + 1
    context = PlanContext(
        now=_now(), approvals=history.approvals(), previous_revision=applied or "", active_runs=counts,
        preview=engine.preview,
    )  # fmt: skip
    return make_plan(desired, engine.observe(), history.standing(), config, context)


def apply_once(config: ServiceConfig, digest: str, say: Callable[[str], None]) -> AppliedNow:
    """Take the lock, plan and apply. With `digest`, only exactly that plan."""
    with open_state(config) as state:
        engine = choose_engine(config, state, say)
        try:
            recover_intents(state.history, engine)
            plan = _plan(config, state.history, engine)
            if digest and not plan.digest.startswith(digest):
                raise Permanent(f"cannot apply {digest}: the plan is {plan.digest} by now", code="plan-changed",
                                hint="look at it again: reconciler plan")  # fmt: skip
            return _apply(plan, config, state.history, engine, say)
        finally:
            engine.close()


def _apply(
    plan: Plan, config: ServiceConfig, history: History, engine: Engine, say: Callable[[str], None]
) -> AppliedNow:
    if plan.refused:
        return AppliedNow(plan.revision, plan.unchanged, (), plan.refusals)
    history.set_meta(APPLIED, plan.revision)

    def report(event: Event) -> None:
        history.add_events([event])
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
    with open_state(config) as state:
        engine = choose_engine(replace(config), state, said.append)
        try:
            live = engine.observe()
        finally:
            engine.close()
    said.append(
        f"{len(live.jobs)} standing jobs and {len(live.runs)} runs of it were found and are adopted at the next start."
    )
    return said


def engine_line(config: ServiceConfig) -> str:
    """What the engine says of itself. Raises EngineUnavailable."""
    path = Path(config.state_dir) / DATABASE
    identity = read_identity(Path(config.state_dir)) if path.exists() else None
    if identity is None:
        return f"{config.engine}; none is recorded yet"
    history = open_history(path, read_only=True)
    try:
        engine = build_engine(history.get_meta(ENGINE) or config.engine, config, identity, history)
        try:
            return engine.ping()
        finally:
            engine.close()
    finally:
        history.close()
