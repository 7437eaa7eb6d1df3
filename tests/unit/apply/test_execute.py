"""Promise: apply does exactly what the plan says, and the ledger knows only what the engine confirmed (P2-P6, D7)."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.apply.execute import Applied, apply_plan
from reconciler.apply.intents import begin, recover_intents
from reconciler.engine.base import StandingOrder
from reconciler.engine.memory import MemoryEngine, MemoryWorld
from reconciler.history.sqlite import SqliteHistory, open_history
from reconciler.model.errors import EngineRejected, EngineUnavailable, StateError
from reconciler.model.event import Event, EventName
from reconciler.model.job import Location, OnRetire, PullPolicy
from reconciler.model.plan import ActionKind, Plan
from reconciler.model.service import Policy, ServiceConfig
from reconciler.plan.context import PlanContext
from reconciler.plan.diff import make_plan
from tests.kit.fleet import EARLIER, NEW, NOW, OLD, cron, desired, did, held, spec
from tests.kit.orders import engine_context

CONFIG = ServiceConfig(instance="db1")


class Host:
    """A memory machine, a real ledger, and what a service does with them."""

    def __init__(self, directory: Path) -> None:
        self.now = EARLIER
        self.world = MemoryWorld(lambda: self.now)
        self.engine = MemoryEngine(engine_context(str(directory)), self.world)
        self.history: SqliteHistory = open_history(directory / "ledger.db")
        self.events: list[Event] = []
        self.staged: list[str] = []

    def plan(self, *jobs, broken=(), config: ServiceConfig = CONFIG, **fields: object) -> Plan:
        ctx = PlanContext(self.now, self.history.approvals(), OLD)
        return make_plan(desired(jobs, broken, **fields), self.engine.observe(), self.history.standing(), config, ctx)

    def apply(self, plan: Plan, cancelled: Callable[[], bool] = lambda: False, config=CONFIG) -> Applied:
        return apply_plan(
            plan, self.engine, self.history, lambda: self.now, config, self.stage, cancelled=cancelled,
            report=self.events.extend,
        )  # fmt: skip

    def stage(self, wanted, digest: str):
        self.staged.append(wanted.name)
        return (("/staged/" + digest, "/f"),) if wanted.files else ()

    def bring(self, *jobs, **fields) -> Applied:
        return self.apply(self.plan(*jobs, **fields))

    @property
    def rows(self):
        return self.history.standing()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.history.close()


def test_what_is_created_stands_on_the_engine_and_in_the_ledger(host: Host):
    applied = host.bring("a", "b")
    assert applied.ok
    assert set(host.world.standing) == set(host.rows) == {"a", "b"}
    row = host.rows["a"]
    assert (row.revision, row.applied_at, row.cursor, row.anchor) == (NEW, host.now, host.now, host.now)
    assert row.ref == host.world.standing["a"].live.ref
    assert row.image_id == "image:busybox:1.37"
    assert [event.name for event in host.events] == [EventName.JOB_INSTALLED] * 2
    assert applied.events == tuple(host.events)
    assert host.plan("a", "b").actions == ()
    assert host.history.open_intents() == []


def test_the_ledger_learns_which_commit_said_a_definition_and_where(host: Host):
    placed = replace(plan := host.plan("a"), actions=tuple(
        replace(action, job=replace(action.job, lines={
            "schedule": Location("a.yaml", 2), "retries.limit": Location("_defaults.yaml", 3, inherited=True),
            "environment.TOKEN": Location("a.yaml", 9),
        })) for action in plan.actions
    ))  # fmt: skip
    host.apply(placed)
    first = host.history.origin(host.rows["a"].digest)
    assert (first.commit.id, first.commit.author, first.path) == (NEW, "Anna Roth", "a.yaml")
    assert sorted(first.places) == ["retries.limit", "schedule"]
    host.world.standing.clear()
    healed = host.plan("a", commit="e" * 40)
    assert did(healed) == {"a": "heal"}
    host.apply(healed)
    assert host.history.origin(host.rows["a"].digest) == first, "healing says nothing new"
    host.bring(spec("a", timeout=60.0), commit="f" * 40)
    assert host.history.origin(host.rows["a"].digest).commit.id == "f" * 40


def test_P5_applying_starts_and_stops_no_run(host: Host):
    host.bring("a", "b")
    host.bring(spec("a", timeout=60.0), "c")
    verbs = {verb for verb, _ in host.world.calls}
    assert verbs == {"observe", "install", "retire"}


def test_T4_a_replacement_keeps_the_cursor_unless_the_schedule_was_edited(host: Host):
    host.bring("a", "b")
    host.now += timedelta(days=1)
    host.bring(spec("a", timeout=60.0), spec("b", schedule=cron("0 5 * * *")))
    assert (host.rows["a"].cursor, host.rows["a"].applied_at) == (EARLIER, host.now)
    assert host.rows["b"].cursor == host.now


def test_the_cursor_that_moved_while_the_engine_worked_is_not_set_back(host: Host):
    host.bring("a")
    plan = host.plan(spec("a", timeout=60.0))
    later = EARLIER + timedelta(hours=3)
    gate = host.world.hang("install")
    worker = threading.Thread(target=lambda: host.apply(plan))
    worker.start()
    host.history.set_cursor("a", later)
    gate.set()
    worker.join(20)
    assert host.rows["a"].spec.timeout == 60.0
    assert host.rows["a"].cursor == later


def test_P4_the_image_stays_pinned_unless_it_is_what_changed(host: Host):
    host.bring("a", spec("d", pull_policy=PullPolicy.DAILY))
    for name in ("a", "d"):
        host.history.put_standing(replace(host.rows[name], image_id="sha256:pinned"))
    host.bring(spec("a", timeout=60.0), spec("d", pull_policy=PullPolicy.DAILY, timeout=60.0))
    assert {row.image_id for row in host.rows.values()} == {"sha256:pinned"}
    host.bring(spec("a", image="busybox:1.38"), spec("d", pull_policy=PullPolicy.DAILY, timeout=60.0))
    assert host.rows["a"].image_id == "image:busybox:1.38"


class Recording:
    """Keeps the orders that reach an engine; everything else is the engine's."""

    def __init__(self, engine: MemoryEngine) -> None:
        self.engine, self.orders = engine, []

    def __getattr__(self, name: str):
        return getattr(self.engine, name)

    def install(self, order):
        self.orders.append(order)
        return self.engine.install(order)


def test_P4_pull_policy_decides_whether_the_image_is_asked_for_anew(host: Host):
    engine = host.engine
    host.engine = recording = Recording(engine)  # type: ignore[assignment]
    host.bring(*(spec(policy.value, pull_policy=policy) for policy in PullPolicy))
    asked = {order.spec.name for order in recording.orders if order.refresh}
    assert asked == {"always", "daily", "weekly"}
    recording.orders.clear()
    host.bring(*(spec(policy.value, pull_policy=policy, timeout=60.0) for policy in PullPolicy))
    assert {order.spec.name for order in recording.orders if order.refresh} == {"always"}
    recording.orders.clear()
    for policy in PullPolicy:
        host.history.put_standing(replace(host.rows[policy.value], image_id=""))
        host.world.forget(policy.value)
    host.bring(*(spec(policy.value, pull_policy=policy, timeout=60.0) for policy in PullPolicy))
    assert len(recording.orders) == 5
    assert not any(order.refresh for order in recording.orders)


def test_the_order_carries_what_the_engine_needs(host: Host):
    host.engine = recording = Recording(host.engine)  # type: ignore[assignment]
    config = replace(CONFIG, policy=Policy(networks=("shop",)))
    plan = host.plan("a", config=config)
    host.apply(plan, config=config)
    (order,) = recording.orders
    assert (order.digest, order.revision, order.path) == (plan.actions[0].digest, NEW, "a.yaml")
    assert "shop" in order.policy.networks
    assert host.staged == ["a"]


def test_healing_restores_the_object_and_changes_nothing_else_in_the_ledger(host: Host):
    host.bring("a")
    before = host.rows["a"]
    host.world.forget("a")
    host.now += timedelta(hours=1)
    applied = host.bring("a", commit="f" * 40)
    assert [result.action.kind for result in applied.results] == [ActionKind.HEAL]
    after = host.rows["a"]
    assert after == replace(before, ref=after.ref)
    assert after.ref == host.world.standing["a"].live.ref != before.ref
    assert host.world.standing["a"].live.revision == before.revision


def test_P6_a_held_job_that_was_removed_by_hand_comes_back_at_its_last_good_version(host: Host):
    host.bring("a")
    host.world.forget("a")
    host.bring(broken=[held("a")])
    assert host.world.standing["a"].live.digest == host.rows["a"].digest


def test_a_move_carries_cursor_and_row_along_and_leaves_no_object_behind(host: Host):
    host.bring("old")
    host.now += timedelta(hours=1)
    applied = host.bring(spec("new", moved_from="old"))
    assert applied.ok
    assert set(host.world.standing) == set(host.rows) == {"new"}
    assert host.rows["new"].cursor == EARLIER
    assert host.events[-1].name is EventName.JOB_MOVED
    assert host.events[-1].fields["moved_from"] == "old"


def test_a_move_whose_old_object_could_not_be_removed_is_finished_by_the_next_plan(host: Host):
    host.bring("old")
    host.world.fail("retire", EngineUnavailable("cannot remove old: no answer"), name="old")
    moved = spec("new", moved_from="old")
    assert not host.bring(moved).ok
    assert set(host.rows) == {"new"}
    assert did(host.plan(moved)) == {"old": "retire"}
    host.bring(moved)
    assert set(host.world.standing) == {"new"}


def test_a_retirement_leaves_the_ledger_only_when_the_engine_has_confirmed_it(host: Host):
    host.bring("a", "b")
    host.world.fail("retire", EngineUnavailable("cannot remove a: no answer", retry_after=5.0), name="a")
    (result,) = host.bring("b").results
    assert (result.ok, result.error_code, result.transient, result.retry_after) == (
        False,
        "engine-unavailable",
        True,
        5.0,
    )
    assert host.rows["a"].retiring
    assert "a" in host.world.standing
    host.bring("b")
    assert set(host.rows) == set(host.world.standing) == {"b"}


def test_on_retire_stop_names_the_jobs_whose_runs_are_to_be_stopped(host: Host):
    host.bring(spec("a", on_retire=OnRetire.STOP), "b", "c")
    assert host.bring("c").stop_jobs == ("a",)
    assert [event.fields.get("stop_runs") for event in host.events[-2:]] == [True, None]


def test_forbid_and_permit_touch_only_the_ledger(host: Host):
    host.bring("a", "b")
    strict = replace(CONFIG, policy=Policy(images=("alpine:*",)))
    before = len(host.world.calls)
    host.apply(host.plan("b", broken=[held("a")], config=strict), config=strict)
    assert host.rows["a"].forbidden
    host.now += timedelta(days=1)
    host.apply(host.plan("b", broken=[held("a")]))
    assert not host.rows["a"].forbidden
    assert host.rows["a"].cursor == host.now  # T4: what was due while it was forbidden is not owed
    assert {verb for verb, _ in host.world.calls[before:]} == {"observe"}
    assert [event.name for event in host.events[-2:]] == [EventName.JOB_FORBIDDEN, EventName.JOB_PERMITTED]


def test_D2_a_forbidden_version_stops_firing_even_if_its_replacement_cannot_be_installed(host: Host):
    host.bring("a")
    strict = replace(CONFIG, policy=Policy(images=("alpine:*",)))
    host.world.fail("install", EngineRejected("cannot install a: no such image", code="image-missing"))
    host.apply(host.plan(spec("a", image="alpine:3.22"), config=strict), config=strict)
    assert host.rows["a"].forbidden
    assert host.rows["a"].spec.image == "busybox:1.37"
    host.apply(host.plan(spec("a", image="alpine:3.22"), config=strict), config=strict)
    assert not host.rows["a"].forbidden
    assert host.rows["a"].spec.image == "alpine:3.22"


# -- failures -------------------------------------------------------------------------------------------------
def test_one_actions_failure_never_stops_the_rest(host: Host):
    host.world.fail(
        "install", EngineRejected("cannot install b: no such image", code="image-missing", hint="push it"), name="b"
    )
    applied = host.bring("a", "b", "c")
    assert {result.action.name: result.ok for result in applied.results} == {"a": True, "b": False, "c": True}
    (bad,) = (result for result in applied.results if not result.ok)
    assert (bad.error_code, bad.error, bad.hint, bad.transient) == (
        "image-missing", "cannot install b: no such image", "push it", False,
    )  # fmt: skip
    assert set(host.rows) == {"a", "c"}
    failed = next(event for event in host.events if event.name is EventName.JOB_FAILED)
    assert (failed.job, failed.fields["code"], failed.fields["kind"]) == ("b", "image-missing", "create")
    assert host.history.open_intents() == []


def test_a_staging_error_is_the_jobs_own(host: Host):
    def stage(wanted, digest):
        if wanted.name == "a":
            raise StateError("cannot stage files of a: no space left", code="disk-full")
        return ()

    host.stage = stage  # type: ignore[method-assign]
    applied = host.bring("a", "b")
    assert {result.action.name: result.ok for result in applied.results} == {"a": False, "b": True}


def test_an_answer_that_was_lost_is_found_by_the_next_plan(host: Host):
    host.world.fail("install", EngineUnavailable("cannot install a: the connection broke"), late=True)
    assert not host.bring("a").ok
    assert "a" in host.world.standing and "a" not in host.rows
    assert host.bring("a").ok
    assert set(host.rows) == {"a"}


def test_a_foreign_object_that_appears_meanwhile_is_not_touched(host: Host):
    plan = host.plan("a")
    host.world.plant_foreign("a")
    (result,) = host.apply(plan).results
    assert result.error_code == "name-taken"
    assert host.world.standing["a"].live.digest == "foreign"


def test_a_refused_plan_and_a_hold_do_nothing(host: Host):
    host.bring("a")
    calls = len(host.world.calls)
    refused = host.plan()
    assert refused.refused
    assert host.apply(refused) == Applied()
    assert host.apply(host.plan(broken=[held("a")])) == Applied()
    assert {verb for verb, _ in host.world.calls[calls:]} == {"observe"}


# -- order, bounds, pre-emption -------------------------------------------------------------------------------
def test_at_most_four_engine_calls_are_under_way(host: Host):
    class Counting(Recording):
        def __init__(self, engine):
            super().__init__(engine)
            self.lock, self.active, self.most = threading.Lock(), 0, 0
            self.full = threading.Barrier(4)

        def install(self, order):
            with self.lock:
                self.active += 1
                self.most = max(self.most, self.active)
            self.full.wait(20)
            try:
                return self.engine.install(order)
            finally:
                with self.lock:
                    self.active -= 1

    host.engine = counting = Counting(host.engine)  # type: ignore[assignment]
    assert host.bring(*(f"j{n}" for n in range(12))).ok
    assert counting.most == 4


def test_a_call_that_takes_long_keeps_no_other_job_out_of_the_ledger(host: Host):
    class Slow(Recording):
        def install(self, order):
            if order.spec.name == "j0":  # as long as a pull: until all others stand
                assert others.wait(20)
            return self.engine.install(order)

    others = threading.Event()

    def report(events: Sequence[Event]) -> None:
        done.extend(event.job for event in events)
        if len(done) >= 11:
            others.set()

    done: list[str] = []
    plan = host.plan(*(f"j{n}" for n in range(12)))
    applied = apply_plan(plan, Slow(host.engine), host.history, lambda: host.now, CONFIG, host.stage,  # type: ignore[arg-type]
                         cancelled=lambda: False, report=report)  # fmt: skip
    assert applied.ok
    assert done[-1] == "j0"


def test_D7_what_has_begun_is_confirmed_and_the_rest_is_left_to_the_newer_revision(host: Host):
    asked = []

    def cancelled() -> bool:
        asked.append(True)
        return len(asked) > 3

    applied = host.apply(host.plan(*(f"j{n}" for n in range(9))), cancelled)
    assert len(applied.results) == len(host.rows) == 3
    assert {action.name for action in applied.skipped} == {f"j{n}" for n in range(3, 9)}
    assert not applied.ok
    assert host.history.open_intents() == []


def test_installs_come_before_retirements_and_what_is_forbidden_first(host: Host):
    host.bring("gone", "held")
    strict = replace(CONFIG, policy=Policy(images=("alpine:*",)))
    plan = host.plan(spec("new", image="alpine:3.22"), broken=[held("held", "other")], config=strict)
    host.apply(plan, config=strict)
    names = [event.name for event in host.events[2:]]
    assert names[0] is EventName.JOB_FORBIDDEN
    assert set(names[1:]) == {EventName.JOB_INSTALLED, EventName.JOB_RETIRED}


# -- intents --------------------------------------------------------------------------------------------------
class FullDisk:
    """A ledger whose disk is full from the first confirmation on."""

    def __init__(self, history: SqliteHistory) -> None:
        self.history = history

    def __getattr__(self, name: str):
        return getattr(self.history, name)

    def put_standing(self, row):
        raise StateError("cannot write the ledger: no space left", code="disk-full")


def test_P6_a_ledger_that_cannot_be_written_stops_apply_and_leaves_the_intent(host: Host):
    plan = host.plan("a")
    with pytest.raises(StateError):
        apply_plan(
            plan, host.engine, FullDisk(host.history), lambda: host.now, CONFIG, host.stage,  # type: ignore[arg-type]
            cancelled=lambda: False, report=host.events.extend,
        )  # fmt: skip
    assert [(kind, name) for _, kind, name, _ in host.history.open_intents()] == [("create", "a")]
    assert recover_intents(host.history, host.engine).left == ("a",)
    assert host.bring("a").ok
    assert set(host.rows) == {"a"}


@pytest.mark.parametrize("done", [False, True], ids=["before the engine acted", "after the engine acted"])
def test_P6_a_retirement_cut_off_by_a_crash_is_finished(host: Host, done: bool):
    host.bring("a", "b")
    plan = host.plan("b")
    begin(host.history, plan.actions[0], plan.revision, host.now)
    host.history.put_standing(replace(host.rows["a"], retiring=True))
    if done:
        host.engine.retire("a")
    found = recover_intents(host.history, host.engine)
    assert (found.finished, found.left) == ((("a",), ()) if done else ((), ("a",)))
    assert ("a" in host.rows) is not done
    host.bring("b")
    assert set(host.rows) == set(host.world.standing) == {"b"}
    assert host.history.open_intents() == []


def test_P6_an_installation_cut_off_after_its_confirmation_is_finished(host: Host):
    plan = host.plan("a")
    begin(host.history, plan.actions[0], plan.revision, host.now)
    host.apply(plan)
    assert recover_intents(host.history, host.engine).finished == ("a",)
    assert host.history.open_intents() == []


def test_P6_what_was_healed_before_a_crash_is_known_by_its_new_id(host: Host):
    host.bring("a")
    host.world.forget("a")
    plan = host.plan("a")
    assert did(plan) == {"a": "heal"}
    begin(host.history, plan.actions[0], plan.revision, host.now)
    order = host.engine.install(StandingOrder(
        plan.actions[0].job.spec, plan.actions[0].digest, OLD, "a.yaml", Policy(), image_id="image:of-another-day",
    ))  # fmt: skip
    assert host.rows["a"].ref != order.ref
    assert recover_intents(host.history, host.engine).finished == ("a",)
    assert (host.rows["a"].ref, host.rows["a"].image_id) == (order.ref, "image:of-another-day")
    assert host.plan("a").actions == ()


def test_P6_an_installation_cut_off_by_a_crash_and_then_reverted_leaves_nothing(host: Host):
    host.bring("b")
    plan = host.plan("a", "b")
    begin(host.history, plan.actions[0], plan.revision, host.now)
    host.world.fail("install", EngineUnavailable("cannot install a: the service died"), late=True)
    host.apply(plan)
    recover_intents(host.history, host.engine)
    host.bring("b")
    assert set(host.rows) == set(host.world.standing) == {"b"}


def test_recovery_concludes_nothing_from_half_a_listing(host: Host):
    host.bring("a", "b")
    plan = host.plan("b")
    begin(host.history, plan.actions[0], plan.revision, host.now)
    host.history.put_standing(replace(host.rows["a"], retiring=True))
    host.engine.retire("a")
    host.world.listing_complete = False
    assert recover_intents(host.history, host.engine).left == ("a",)
    assert "a" in host.rows
    host.world.listing_complete = True
    assert recover_intents(host.history, host.engine).finished == ("a",)


def test_recovery_drops_no_job_that_is_not_being_retired(host: Host):
    host.bring("a")
    host.history.begin_intent("retire", "a", NOW)
    host.world.forget("a")
    assert recover_intents(host.history, host.engine).left == ("a",)
    assert "a" in host.rows


def test_recovery_with_nothing_open_asks_no_engine(host: Host):
    assert recover_intents(host.history, host.engine).finished == ()
    assert host.world.calls == []


def test_recovery_understands_no_foreign_detail_and_says_so_by_leaving_it(host: Host):
    host.history.begin_intent("create", "a", NOW, "not json")
    assert recover_intents(host.history, host.engine).left == ("a",)
    assert host.history.open_intents() == []


@pytest.mark.parametrize(
    ("after", "disposition"),
    [((spec("a", schedule=cron("0 5 * * *")),), "missed"), ((), "unavailable")],
    ids=["its schedule is edited", "it is retired"],
)
def test_T5_what_was_due_and_undecided_has_a_record_when(host: Host, after, disposition: str):
    """Nobody could decide: the disk was full, or the clock had run wild."""
    host.bring(spec("a", schedule=cron("0 2 * * *")), "b", "c", "d")
    host.now = NOW
    host.bring(*after, "b", "c", "d")
    (slot,) = host.history.slots("a")
    days = (NOW - EARLIER).days
    assert (slot.first.hour, slot.last.date(), slot.count, slot.disposition) == (2, NOW.date(), days + 1, disposition)
