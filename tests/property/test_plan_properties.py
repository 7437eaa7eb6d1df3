"""Promise: whatever git, ledger and engine hold, a plan converges, touches no held job, and refuses without a trace."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model.desired import DesiredState
from reconciler.model.live import LiveJob, LiveState, StandingJob
from reconciler.model.plan import ActionKind, Plan
from reconciler.model.service import Owner, Policy, ServiceConfig
from reconciler.plan.context import PlanContext
from reconciler.plan.diff import make_plan
from reconciler.plan.exit_code import exit_code
from tests.kit.fleet import NEW, NOW, OLD, carried_out, cron, desired, did, held, job, row, spec

NAMES = [f"{team}/{letter}" for team in ("ml", "web") for letter in "abc"]
CONFIGS = [
    ServiceConfig(owners=(Owner("ml", ("ml/**",)), Owner("web", ("web/**",)))),
    ServiceConfig(owners=(Owner("ml", ("ml/**",)), Owner("web", ("web/**",))), policy=Policy(images=("busybox:*",))),
]


def owner(name: str) -> str:
    return name.split("/")[0]


@st.composite
def specs(draw: st.DrawFn, name: str):
    return spec(
        name,
        owner=owner(name),
        image=draw(st.sampled_from(["busybox:1", "busybox:2"])),
        timeout=draw(st.sampled_from([60.0, 600.0])),
        schedule=cron(draw(st.sampled_from(["0 1 * * *", "*/5 * * * *"]))),
        protect=draw(st.booleans()),
        moved_from=draw(st.sampled_from([None, *[other for other in NAMES if other != name]])),
    )


@st.composite
def wanted(draw: st.DrawFn) -> DesiredState:
    names = draw(st.sets(st.sampled_from(NAMES)))
    broken = draw(st.sets(st.sampled_from(sorted(names)), max_size=2)) if names else set()
    jobs = [job(draw(specs(name))) for name in sorted(names - broken)]
    return desired(
        jobs, [held(name, owner(name)) for name in sorted(broken)], commit=draw(st.sampled_from([OLD, NEW])),
        descends=draw(st.sampled_from([True, True, True, False])),
    )  # fmt: skip


@st.composite
def ledgers(draw: st.DrawFn) -> dict[str, StandingJob]:
    names = draw(st.sets(st.sampled_from(NAMES)))
    return {
        name: row(
            draw(specs(name)), retiring=draw(st.sampled_from([False, False, False, True])),
            forbidden=draw(st.sampled_from(["", "", "", "an image"])),
        )
        for name in sorted(names)
    }  # fmt: skip


@st.composite
def engines(draw: st.DrawFn, ledger: dict[str, StandingJob]) -> LiveState:
    shown = {}
    for name in NAMES:
        fate = draw(st.sampled_from(["right", "right", "right", "gone", "drifted", "other", "orphan"]))
        if (name in ledger and fate != "gone") or (fate == "orphan"):
            digest = ledger[name].digest if name in ledger and fate != "other" else "0" * 64
            drift = ("memory",) if fate == "drifted" else ()
            shown[name] = LiveJob(name, digest, OLD, owner(name), f"ref-{name}", "sha256:1", drift)
    taken = draw(st.sets(st.sampled_from(NAMES), max_size=1))
    complete = draw(st.sampled_from([True, True, False]))
    return LiveState("memory", shown, {}, complete, dict.fromkeys(taken - shown.keys(), "a stranger"))


@st.composite
def worlds(draw: st.DrawFn):
    ledger = draw(ledgers())
    config = draw(st.sampled_from(CONFIGS))
    if draw(st.booleans()):
        config = replace(config, on_invalid="reject")
    return draw(wanted()), draw(engines(ledger)), ledger, config


def plan_for(world, approvals: dict[str, str] | None = None) -> Plan:
    want, live, ledger, config = world
    return make_plan(want, live, ledger, config, PlanContext(NOW, approvals or {}, OLD))


@given(worlds())
@settings(max_examples=100, deadline=None)
def test_a_pass_converges(world):
    """Applied again and again, with every refusal approved, a plan ends in nothing to do, within four passes."""
    want, live, ledger, config = world
    live = replace(live, complete=True)
    approvals: dict[str, str] = {want.commit.id: "anna"}
    for _ in range(4):
        plan = plan_for((want, live, ledger, config), approvals)
        approvals = {**approvals, plan.digest: "anna"}
        plan = plan_for((want, live, ledger, config), approvals)
        live, ledger = carried_out(plan, live, ledger)
    last = plan_for((want, live, ledger, config), approvals)
    assert not last.changes, did(last)
    assert last.unchanged + len(last.actions) >= len(want.jobs)
    for name, made in want.jobs.items():
        if name not in live.taken:
            assert ledger[name].digest == live.jobs[name].digest == made.digest
    for name in ledger.keys() - want.jobs.keys() - want.held.keys():
        assert ledger[name].spec.protect or name in {j.spec.moved_from for j in want.jobs.values()}


@given(worlds())
@settings(max_examples=100, deadline=None)
def test_D2_a_held_job_is_untouched(world):
    """Its version on the engine and in the ledger stays what it was; healing brings back that very version."""
    want, live, ledger, _ = world
    shown, rows = carried_out(plan_for(world), live, ledger)
    for name in want.held:
        if name in ledger:
            assert rows[name].digest == ledger[name].digest
            assert shown.jobs.get(name) is None or shown.jobs[name].digest in (
                ledger[name].digest, live.jobs[name].digest if name in live.jobs else "",
            )  # fmt: skip
        else:
            assert name not in rows
            assert shown.jobs.get(name) == live.jobs.get(name)


@given(worlds())
@settings(max_examples=100, deadline=None)
def test_a_refused_plan_changes_nothing(world):
    _, live, ledger, _ = world
    plan = plan_for(world)
    if plan.refused:
        assert carried_out(plan, live, ledger) == (live, ledger)
        assert exit_code(plan) == 1


@given(worlds())
@settings(max_examples=100, deadline=None)
def test_an_incomplete_listing_retires_and_heals_nothing(world):
    want, live, ledger, config = world
    plan = plan_for((want, replace(live, complete=False), ledger, config))
    assert not {ActionKind.RETIRE, ActionKind.HEAL} & {action.kind for action in plan.actions}


@given(worlds())
@settings(max_examples=100, deadline=None)
def test_D6_a_protected_live_job_is_never_retired(world):
    _, _, ledger, _ = world
    for approvals in ({}, {plan_for(world).digest: "anna"}):
        for action in plan_for(world, approvals).actions:
            if action.kind is ActionKind.RETIRE and action.name in ledger:
                assert ledger[action.name].retiring or not ledger[action.name].spec.protect


@given(worlds())
@settings(max_examples=100, deadline=None)
def test_D3_an_owner_with_an_invalid_file_loses_nothing_without_approval(world):
    want, _, ledger, _ = world
    broken = {one.owner for one in want.held.values()}
    for action in plan_for(world).actions:
        if action.kind is ActionKind.RETIRE and not (action.name in ledger and ledger[action.name].retiring):
            assert action.owner not in broken


@given(worlds(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_the_order_of_the_input_is_irrelevant(world, random):
    want, live, ledger, config = world

    def shuffled(mapping):
        items = list(mapping.items())
        random.shuffle(items)
        return dict(items)

    other = (
        replace(want, jobs=shuffled(want.jobs), held=shuffled(want.held)),
        replace(live, jobs=shuffled(live.jobs)), shuffled(ledger), config,
    )  # fmt: skip
    assert plan_for(other) == plan_for(world)


def content(plan: Plan) -> object:
    """What a plan proposes. A retirement that waits for approval is proposed like one that does not (decision 0401)."""
    waiting = {reason.split(" is not retired")[0] for reason in plan.needs_approval if " is not retired: " in reason}
    steps = [a for a in plan.actions if a.changes_something or a.name in waiting]
    return plan.revision, {
        (ActionKind.RETIRE if a.name in waiting else a.kind, a.name, a.digest, a.old_digest, a.moved_from, a.image_id,
         a.keep_cursor, bool(a.forbids))
        for a in steps
    }  # fmt: skip


@given(worlds(), st.data())
@settings(max_examples=100, deadline=None)
def test_two_plans_share_a_digest_only_if_they_would_do_the_same(world, data):
    """The other plan is that of a world which differs in git, in the engine, or in the ledger."""
    want, live, ledger, config = world
    other = data.draw(st.one_of(
        wanted().map(lambda new: (new, live, ledger, config)),
        engines(ledger).map(lambda new: (want, new, ledger, config)),
        ledgers().map(lambda new: (want, live, new, config)),
    ))  # fmt: skip
    first, second = plan_for(world), plan_for(other)
    if first.digest == second.digest:
        assert content(first) == content(second)
    elif first.revision == second.revision and content(first) == content(second):
        raise AssertionError("the same content has two digests")


@given(worlds())
@settings(max_examples=100, deadline=None)
def test_an_approval_changes_the_answer_and_not_the_question(world):
    plan = plan_for(world)
    approved = plan_for(world, {plan.digest: "anna"})
    assert approved.digest == plan.digest
    assert {r.code for r in approved.refusals} <= {"history-rewritten"}


@given(worlds())
@settings(max_examples=100, deadline=None)
def test_every_name_stands_once_and_nothing_is_silent(world):
    want, _, ledger, _ = world
    plan = plan_for(world)
    names = [action.name for action in plan.actions]
    assert len(names) == len(set(names))
    shown = {*names, *(action.moved_from for action in plan.actions)}
    assert want.held.keys() <= shown
    assert ledger.keys() - want.jobs.keys() <= shown
    assert plan.unchanged + sum(name in want.jobs for name in shown) == len(want.jobs)
