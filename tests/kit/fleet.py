"""In: short descriptions of jobs. Out: desired and live states, ledger rows and configurations, for tests of plans."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from reconciler.apply.ledger import row_after, row_marked
from reconciler.engine.base import Installed
from reconciler.model.desired import Commit, DesiredState, HeldJob
from reconciler.model.job import DesiredJob, JobSpec, Location, Schedule, ScheduleKind
from reconciler.model.live import LiveJob, LiveState, StandingJob
from reconciler.model.plan import ActionKind, Plan
from reconciler.model.problem import SpecProblem
from reconciler.model.service import DEFAULT_OWNER, Owner, ServiceConfig
from reconciler.plan.context import PlanContext
from reconciler.plan.diff import make_plan
from reconciler.spec.canonical import digest_of

NOW = datetime(2026, 11, 25, 9, 13, tzinfo=UTC)
EARLIER = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
OLD, NEW = "9f3c2e1" + "0" * 33, "41d7a90" + "0" * 33
MANUAL = Schedule(ScheduleKind.MANUAL)


def cron(expression: str, timezone: str = "UTC") -> Schedule:
    return Schedule(ScheduleKind.CRON, expression, timezone)


def spec(name: str, **fields: object) -> JobSpec:
    """A valid job; owner and image are filled in."""
    base = JobSpec(name=name, owner=DEFAULT_OWNER, schedule=cron("30 2 * * *"), image="busybox:1.37", command=("true",))
    return replace(base, **fields)  # type: ignore[arg-type]


def job(wanted: JobSpec | str, lines: Mapping[str, Location | int] | None = None) -> DesiredJob:
    wanted = spec(wanted) if isinstance(wanted, str) else wanted
    path = f"{wanted.name}.yaml"
    places = {key: Location(path, at) if isinstance(at, int) else at for key, at in (lines or {}).items()}
    return DesiredJob(wanted, digest_of(wanted), path, places)


def problem(name: str, message: str = 'unknown key "parameter"', code: str = "unknown-key") -> SpecProblem:
    return SpecProblem(f"{name}.yaml", 9, 1, code, message, 'did you mean "parameters"?', "/parameter")


def held(name: str, owner: str = DEFAULT_OWNER) -> HeldJob:
    return HeldJob(name, f"{name}.yaml", owner, (problem(name),))


def desired(
    jobs: Iterable[DesiredJob | JobSpec | str] = (),
    broken: Iterable[HeldJob] = (),
    *,
    commit: str = NEW,
    **fields: object,
) -> DesiredState:
    made = [one if isinstance(one, DesiredJob) else job(one) for one in jobs]
    held_jobs = list(broken)
    state = DesiredState(
        Commit(commit, "Anna Roth", NOW.timestamp() - 240, "ETL every 10 min; drop old report"),
        "main",
        {one.name: one for one in made},
        {one.name: one for one in held_jobs},
        tuple(p for one in held_jobs for p in one.problems),
        entries=len(made) + len(held_jobs),
    )
    return replace(state, **fields)  # type: ignore[arg-type]


def row(wanted: JobSpec | str, **fields: object) -> StandingJob:
    """A ledger row of a job applied at `OLD`."""
    wanted = spec(wanted) if isinstance(wanted, str) else wanted
    made = StandingJob(
        wanted.name, wanted, digest_of(wanted), OLD, f"{wanted.name}.yaml", EARLIER, EARLIER, EARLIER,
        f"ref-{wanted.name}", "sha256:8a1f03c2" + "0" * 56,
    )  # fmt: skip
    return replace(made, **fields)  # type: ignore[arg-type]


def rows(*wanted: StandingJob | JobSpec | str) -> dict[str, StandingJob]:
    made = [one if isinstance(one, StandingJob) else row(one) for one in wanted]
    return {one.name: one for one in made}


def shows(standing: Mapping[str, StandingJob], **fields: object) -> LiveState:
    """An engine that shows exactly what the ledger says."""
    jobs = {r.name: LiveJob(r.name, r.digest, r.revision, r.owner, r.ref, r.image_id) for r in standing.values()}
    return replace(LiveState("memory", jobs, {}), **fields)  # type: ignore[arg-type]


def teams(*names: str, **fields: object) -> ServiceConfig:
    """Owners `ml` and `web` with `ml/**` and `web/**`, or whatever is named."""
    owners = tuple(Owner(name, (f"{name}/**",)) for name in names)
    return replace(ServiceConfig(instance="db1", owners=owners), **fields)  # type: ignore[arg-type]


def plan_of(
    want: DesiredState,
    standing: Mapping[str, StandingJob] | None = None,
    live: LiveState | None = None,
    config: ServiceConfig | None = None,
    **context: object,
) -> Plan:
    """A plan with everything that is not given in step with the ledger."""
    standing = standing or {}
    ctx = PlanContext(**{"now": NOW, "previous_revision": OLD, **context})  # type: ignore[arg-type]
    return make_plan(want, live or shows(standing), standing, config or ServiceConfig(instance="db1"), ctx)


def did(plan: Plan) -> dict[str, str]:
    """Name -> kind of every action."""
    return {action.name: action.kind.value for action in plan.actions}


def carried_out(
    plan: Plan, live: LiveState, standing: Mapping[str, StandingJob], now: datetime = NOW
) -> tuple[LiveState, dict[str, StandingJob]]:
    """A model of apply in dicts: what engine and ledger hold once every action has succeeded."""
    shown, ledger = dict(live.jobs), dict(standing)
    for action in () if plan.refused else plan.changes:
        old = ledger.get(action.moved_from or action.name)
        if action.kind in (ActionKind.FORBID, ActionKind.PERMIT):
            if old is not None:
                ledger[action.name] = row_marked(action, old, now)
            continue
        for gone in (action.moved_from, action.name) if action.kind is ActionKind.RETIRE else (action.moved_from,):
            shown.pop(gone, None)
            ledger.pop(gone, None)
        if action.job is not None:
            made = Installed(f"ref-{action.name}", action.image_id or f"image:{action.job.spec.image}")
            new = row_after(action, old, made, plan.revision, now)
            ledger[action.name] = new
            shown[action.name] = LiveJob(new.name, new.digest, new.revision, new.owner, new.ref, new.image_id)
    return replace(live, jobs=shown), ledger
