"""Promise: the plan names what differs between git, ledger and engine, and touches nothing else (D1, D2, P1-P6)."""

from dataclasses import replace

import pytest

from reconciler.model.desired import HeldJob
from reconciler.model.job import Location, Mount, OnRetire, PullPolicy
from reconciler.model.live import LiveJob
from reconciler.model.plan import ActionKind, Plan
from reconciler.model.problem import SpecProblem
from reconciler.model.service import Policy, ServiceConfig
from tests.kit.fleet import (
    NEW,
    NOW,
    OLD,
    cron,
    desired,
    did,
    held,
    job,
    plan_of,
    problem,
    row,
    rows,
    shows,
    spec,
    teams,
)  # fmt: skip

ALPINE_ONLY = ServiceConfig(instance="db1", policy=Policy(images=("alpine:*",)))


def only(plan: Plan):
    assert len(plan.actions) == 1, did(plan)
    return plan.actions[0]


def test_P3_what_has_not_changed_is_one_number():
    standing = rows("a", "b", "c")
    plan = plan_of(desired(["a", "b", "c"]), standing)
    assert (plan.actions, plan.unchanged, plan.refusals) == ((), 3, ())


def test_a_new_file_is_a_create_that_owes_nothing():
    action = only(plan_of(desired(["a"])))
    assert (action.kind, action.digest, action.keep_cursor) == (ActionKind.CREATE, job("a").digest, False)
    assert action.why.startswith("30 2 * * *; 1 run a day; next ")


@pytest.mark.parametrize(
    ("edit", "keeps"),
    [
        pytest.param({"image": "busybox:1.36"}, True, id="an edit of the image keeps what is owed"),
        pytest.param({"schedule": cron("0 3 * * *")}, False, id="an edit of the expression owes nothing before it"),
        pytest.param(
            {"schedule": cron("30 2 * * *", "Europe/Berlin")}, False, id="an edit of the zone is one of the schedule"
        ),
    ],
)
def test_T4_a_replacement_says_whether_the_cursor_is_kept(edit: dict[str, object], keeps: bool):
    action = only(plan_of(desired([spec("a", **edit)]), rows("a")))
    assert (action.kind, action.keep_cursor) == (ActionKind.REPLACE, keeps)


def test_P4_an_edit_of_something_else_keeps_the_pinned_image():
    pinned = row("a").image_id
    other = only(plan_of(desired([spec("a", timeout=60.0)]), rows("a")))
    image = only(plan_of(desired([spec("a", image="busybox:1.36")]), rows("a")))
    always = only(plan_of(desired([spec("a", pull_policy=PullPolicy.ALWAYS)]), rows("a")))
    assert (other.image_id, image.image_id, always.image_id) == (pinned, "", "")


def test_P4_a_refresh_that_found_another_image_shows_as_a_change_and_only_for_jobs_that_refresh():
    daily = spec("daily", pull_policy=PullPolicy.DAILY)
    plan = plan_of(desired([daily, "fixed"]), rows(daily, "fixed"), images={"busybox:1.37": "sha256:c07d19e4ff"})
    action = only(plan)
    assert (action.name, action.kind, action.image_id) == ("daily", ActionKind.REPLACE, "sha256:c07d19e4ff")
    assert "c07d19e4" in action.why
    later = plan_of(desired([daily, "fixed"]), rows(daily, "fixed"), images={"busybox:1.37": "sha256:d00d"})
    assert later.digest != plan.digest
    same = plan_of(desired([daily, "fixed"]), rows(daily, "fixed"), images={"busybox:1.37": row(daily).image_id})
    assert same.actions == ()


# -- heal -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param(lambda jobs: jobs.pop("a"), "does not show it", id="the object is gone"),
        pytest.param(
            lambda jobs: jobs.update(a=replace(jobs["a"], digest="0" * 64)), "shows version", id="its label differs"
        ),
        pytest.param(
            lambda jobs: jobs.update(a=replace(jobs["a"], drift=("memory is 1 GiB, not 512 MiB",))), "memory is 1 GiB",
            id="a field of ours drifted",
        ),
    ],
)  # fmt: skip
def test_P6_what_the_engine_lost_or_changed_is_healed_with_the_same_version(change, why: str):
    standing = rows("a", "b")
    live = shows(standing)
    change(live.jobs)
    action = only(plan_of(desired(["a", "b"]), standing, live))
    assert (action.kind, action.name, action.digest) == (ActionKind.HEAL, "a", standing["a"].digest)
    assert why in action.why
    assert action.image_id == standing["a"].image_id


def test_P6_a_held_job_that_the_engine_lost_is_healed_at_its_last_good_version():
    standing = rows("a")
    action = only(plan_of(desired(broken=[held("a")]), standing, shows({})))
    assert (action.kind, action.digest) == (ActionKind.HEAL, standing["a"].digest)
    assert action.problems == (problem("a"),)


def test_an_object_of_ours_that_nobody_knows_is_retired_but_not_from_half_a_listing():
    orphan = LiveJob("left", "0" * 64, OLD, "default", "ref")
    live = replace(shows({}), jobs={"left": orphan})
    assert did(plan_of(desired(), {}, live)) == {"left": "retire"}
    assert did(plan_of(desired(), {}, replace(live, complete=False))) == {}


def test_an_object_that_only_the_ledger_has_lost_is_taken_up_again_by_a_create():
    plan = plan_of(desired(["a"]), {}, shows(rows("a")))
    assert did(plan) == {"a": "create"}
    assert any("taken up again" in note for note in plan.actions[0].notes)


# -- retire ---------------------------------------------------------------------------------------------------
def test_a_deleted_file_is_a_retirement_that_drains():
    action = only(plan_of(desired(["b"]), rows("a", "b"), active_runs={"a": 1}))
    assert (action.kind, action.name, action.stop_runs) == (ActionKind.RETIRE, "a", False)
    assert action.why == "file deleted; 1 active run is drained, history and volumes stay"


def test_P5_on_retire_stop_of_the_live_version_stops_its_runs():
    live = spec("a", on_retire=OnRetire.STOP)
    action = only(plan_of(desired(["b"]), rows(live, "b"), active_runs={"a": 2}))
    assert action.stop_runs
    assert "2 active runs are stopped" in action.why


def test_D2_an_incomplete_listing_retires_and_heals_nothing():
    standing = rows("a", "b")
    live = replace(shows({}), complete=False)
    plan = plan_of(desired(["b", "new"]), standing, live)
    assert did(plan) == {"a": "hold", "new": "create"}


def test_D6_protect_of_the_live_version_turns_a_deletion_into_a_hold():
    plan = plan_of(desired(["b"]), rows(spec("a", protect=True), "b"))
    assert did(plan) == {"a": "hold"}
    assert "protected" in plan.actions[0].why


def test_D6_protection_sticks_when_the_file_goes_in_the_commit_that_lifts_it_but_not_one_later():
    protected, open_now = spec("a", protect=True), spec("a")
    assert did(plan_of(desired([open_now, "b"]), rows(protected, "b"))) == {"a": "replace"}
    assert did(plan_of(desired(["b"]), rows(open_now, "b"))) == {"a": "retire"}


def test_a_retirement_that_had_begun_goes_on_and_is_undone_if_the_file_is_back():
    begun = row(spec("a", protect=True), retiring=True)
    assert did(plan_of(desired(["b"]), rows(begun, "b"))) == {"a": "retire"}
    assert did(plan_of(desired([begun.spec, "b"]), rows(begun, "b"))) == {"a": "create"}


# -- hold -----------------------------------------------------------------------------------------------------
def test_D2_an_invalid_file_keeps_its_live_version_and_says_so():
    action = only(plan_of(desired(broken=[held("a")]), rows("a")))
    assert (action.kind, action.problems) == (ActionKind.HOLD, (problem("a"),))
    assert action.notes[0] == "9f3c2e1 stays live and keeps firing"


def test_D2_an_invalid_file_that_was_never_live_is_shown_too():
    plan = plan_of(desired(broken=[held("a")]))
    assert did(plan) == {"a": "hold"}
    assert plan.actions[0].notes == ("it has never been live, so nothing fires",)


def test_P2_a_name_that_a_foreign_object_holds_is_a_problem_and_the_rest_goes_on():
    plan = plan_of(desired(["a", "b"]), {}, replace(shows({}), taken={"a": "container 4f1c of another instance"}))
    assert did(plan) == {"a": "hold", "b": "create"}
    assert [p.code for p in plan.problems] == ["name-taken"]


def test_P1_a_job_that_does_not_converge_is_held_as_stalled_and_not_applied_once_more():
    plan = plan_of(desired(["a"]), rows("a"), shows({}), stalled={"a": "applied 5 times without effect"})
    assert did(plan) == {"a": "hold"}
    assert plan.problems[0].code == "stalled"
    assert "5 times" in plan.problems[0].message


def test_an_invalid_file_of_a_job_whose_retirement_had_begun_brings_nothing_back():
    plan = plan_of(desired(broken=[held("a")]), rows(row("a", retiring=True)), shows({}))
    assert did(plan) == {"a": "hold"}
    assert plan.actions[0].notes == ("its retirement had begun, so nothing fires",)


# -- forbid and permit ----------------------------------------------------------------------------------------
def test_D2_forbidden_a_live_version_that_todays_policy_refuses_stops_firing_and_stands_first():
    plan = plan_of(desired(["b"], [held("a")]), rows("a", "b"), config=ALPINE_ONLY)
    assert did(plan) == {"a": "forbid"}
    assert plan.actions[0].problems[0].code == "forbidden"


def test_D2_forbidden_is_said_as_long_as_it_lasts_and_done_once():
    plan = plan_of(desired(broken=[held("a")]), rows(row("a", forbidden="image")), config=ALPINE_ONLY)
    assert did(plan) == {"a": "hold"}
    assert not plan.changes
    assert "the live version is forbidden and does not fire" in plan.actions[0].notes


def test_D2_forbidden_nothing_forbidden_is_healed():
    plan = plan_of(desired(broken=[held("a")]), rows(row("a", forbidden="image")), shows({}), config=ALPINE_ONLY)
    assert did(plan) == {"a": "hold"}


@pytest.mark.parametrize("broken", [True, False], ids=["while its file is invalid", "with a valid file"])
def test_a_live_version_that_policy_allows_again_is_permitted(broken: bool):
    want = desired(broken=[held("a")]) if broken else desired(["a"])
    assert did(plan_of(want, rows(row("a", forbidden="image")))) == {"a": "permit"}


def test_D2_forbidden_a_replacement_stops_the_forbidden_version_before_anything_else():
    plan = plan_of(desired([spec("a", image="alpine:3.22")]), rows("a"), config=ALPINE_ONLY)
    assert did(plan) == {"a": "replace"}
    assert plan.actions[0].forbids


def test_D2_forbidden_a_replacement_that_is_blocked_still_stops_the_forbidden_version():
    plan = plan_of(desired([spec("a", image="alpine:3.22")]), rows("a"), config=ALPINE_ONLY, stalled={"a": "no"})
    assert did(plan) == {"a": "forbid"}


def test_S1_a_live_job_whose_path_has_another_owner_now_is_forbidden_while_its_file_is_invalid():
    live = spec("ml/a", owner="web")
    plan = plan_of(desired(broken=[held("ml/a", "ml")]), rows(live), config=teams("ml", "web"))
    assert did(plan) == {"ml/a": "forbid"}
    assert "belongs to ml now" in plan.actions[0].why


# -- move -----------------------------------------------------------------------------------------------------
def test_D1_moved_from_carries_the_job_along():
    action = only(plan_of(desired([spec("new", moved_from="old")]), rows("old"), active_runs={"old": 1}))
    assert (action.kind, action.name, action.moved_from) == (ActionKind.MOVE, "new", "old")
    assert action.keep_cursor
    assert "1 active run goes on with the old spec" in action.notes


def test_D1_a_move_that_is_done_is_done():
    live = spec("new", moved_from="old")
    assert plan_of(desired([live]), rows(live)).actions == ()


@pytest.mark.parametrize(
    ("jobs", "broken", "standing", "kinds", "said"),
    [
        pytest.param(
            [spec("new", moved_from="old"), "old"], [], rows("old"), {"new": "create"}, "still has its file",
            id="the old file is still there",
        ),
        pytest.param(
            [spec("new", moved_from="old")], [held("old")], rows("old"), {"old": "hold", "new": "create"},
            "still has its file", id="the old file is broken, which is not gone",
        ),
        pytest.param(
            [spec("new", moved_from="old")], [], {}, {"new": "create"}, "is not live", id="the old job never was",
        ),
        pytest.param(
            [spec("n1", moved_from="old"), spec("n2", moved_from="old")], [], rows("old"),
            {"n1": "move", "n2": "create"}, "claimed by n1", id="two claim it",
        ),
    ],
)  # fmt: skip
def test_D1_moved_from_that_cannot_be_followed_is_a_create_that_says_why(jobs, broken, standing, kinds, said):
    plan = plan_of(desired(jobs, broken), standing)
    assert did(plan) == kinds
    assert any(said in note for action in plan.actions for note in action.notes)


WEB_OLD, ML_NEW = spec("web/old", owner="web"), spec("ml/new", owner="ml", moved_from="web/old")
TEAMS = teams("ml", "web")


def test_S1_a_job_moves_to_another_owner_when_its_old_file_goes():
    volume = (Mount("volume", "models", "/models"),)
    old, new = replace(WEB_OLD, mounts=volume), replace(ML_NEW, mounts=volume)
    action = only(plan_of(desired([new]), rows(old), config=TEAMS))
    assert (action.kind, action.moved_from, action.keep_cursor) == (ActionKind.MOVE, "web/old", True)
    assert any("members of ml see its history and logs from now on" in note for note in action.notes)
    shown = {change.field: (change.old, change.new) for change in action.changes}
    assert shown["owner"] == ("web", "ml")
    assert shown["networks.default"] == ("db1.web", "db1.ml")
    assert shown["volumes./models"] == ("db1.web.models:/models", "db1.ml.models:/models")


@pytest.mark.parametrize(
    ("jobs", "broken", "standing", "kinds", "said"),
    [
        pytest.param([ML_NEW, WEB_OLD], [], rows(WEB_OLD), {"ml/new": "create"}, "still has its file",
                     id="the old owner has not deleted it"),
        pytest.param([ML_NEW], [], rows(replace(row(WEB_OLD), retiring=True)),
                     {"ml/new": "create", "web/old": "retire"},
                     "had begun before", id="it was deleted before, and not for this"),
        pytest.param([ML_NEW], [], rows(replace(WEB_OLD, protect=True)), {"ml/new": "create", "web/old": "hold"},
                     "is protected", id="the old one is protected"),
        pytest.param([ML_NEW], [held("web/x", "web")], rows(WEB_OLD),
                     {"ml/new": "create", "web/old": "hold", "web/x": "hold"}, "nothing leaves that owner",
                     id="the old owner's deletion itself must wait"),
        pytest.param([ML_NEW, spec("etl/new", owner="etl", moved_from="web/old")], [], rows(WEB_OLD),
                     {"ml/new": "create", "etl/new": "create", "web/old": "retire"}, "so none has it",
                     id="two owners claim it"),
        pytest.param([ML_NEW, spec("web/new", owner="web", moved_from="web/old")], [], rows(WEB_OLD),
                     {"ml/new": "create", "web/new": "move"}, "claimed by web/new too, which has it",
                     id="its own owner claims it too"),
    ],
)  # fmt: skip
def test_S1_history_moves_to_another_owner_only_with_the_old_owners_consent(jobs, broken, standing, kinds, said):
    plan = plan_of(desired(jobs, broken), standing, config=teams("ml", "web", "etl"))
    assert did(plan) == kinds
    assert any(said in note for action in plan.actions for note in action.notes), plan.actions


def test_S1_what_the_new_owner_lacks_keeps_the_old_job_and_is_said_line_by_line():
    lacking = SpecProblem(
        "ml/new.yaml", 4, 8, "image-not-allowed", "the image x is not allowed for ml", pointer="/image"
    )
    broken = HeldJob("ml/new", "ml/new.yaml", "ml", (lacking,), moved_from="web/old")
    want = desired([], [broken])
    plan = plan_of(want, rows(WEB_OLD), config=TEAMS)
    assert did(plan) == {"ml/new": "hold", "web/old": "hold"}
    (old,) = [action for action in plan.actions if action.name == "web/old"]
    assert old.why == "file deleted, but ml/new of ml, where it moves to, cannot be used"
    assert "ml/new: ml/new.yaml:4:8: the image x is not allowed for ml" in old.notes
    approved = plan_of(want, rows(WEB_OLD), config=TEAMS, approvals={plan.digest: "anna"})
    assert did(approved) == {"ml/new": "hold", "web/old": "retire"}


def test_D1_a_retired_and_a_created_job_that_are_alike_suggest_the_move():
    plan = plan_of(desired(["ml/report"]), rows("report"))
    notes = {action.name: " ".join(action.notes) for action in plan.actions}
    assert "`moved_from: report`" in notes["ml/report"]
    assert "looks like ml/report" in notes["report"]


# -- the plan as a whole --------------------------------------------------------------------------------------
def test_actions_stand_worst_first_and_by_name():
    standing = rows("gone", "b", "c", row("z", forbidden="image"))
    live = shows(standing)
    del live.jobs["c"]  # type: ignore[attr-defined]
    want = desired([spec("b", timeout=60.0), "c", "new", "z"], [held("broken", "other")])
    plan = plan_of(want, standing, live)
    assert list(did(plan).items()) == [
        ("broken", "hold"), ("gone", "retire"), ("b", "replace"), ("c", "heal"), ("new", "create"), ("z", "permit"),
    ]  # fmt: skip


def test_the_digest_names_the_commit_and_what_is_done_and_nothing_else():
    standing = rows("a")
    first = plan_of(desired([spec("a", timeout=60.0)]), standing)
    again = plan_of(desired([spec("a", timeout=60.0)], [held("x", "o")]), standing, active_runs={"a": 3})
    later = plan_of(desired([spec("a", timeout=60.0)], commit="f" * 40), standing)
    other = plan_of(desired([spec("a", timeout=61.0)]), standing)
    assert first.digest == again.digest
    assert len({first.digest, later.digest, other.digest}) == 3
    assert len(first.digest) == 16
    assert int(first.digest, 16) >= 0


def test_an_inherited_value_is_named_with_file_and_line():
    lines = {"schedule": 1, "timezone": Location("_defaults.yaml", 2, inherited=True)}
    plan = plan_of(desired([job(spec("a"), lines)]))
    assert "inherits timezone (_defaults.yaml:2)" in plan.actions[0].notes


def test_the_plan_carries_who_committed_what():
    plan = plan_of(desired(["a"]), rows("a"))
    assert (plan.revision, plan.previous, plan.author, plan.ref) == (NEW, OLD, "Anna Roth", "main")
    assert plan.committed_at == NOW.timestamp() - 240


def test_D3_a_refused_newcomer_is_a_broken_file_of_its_owner():
    newcomer = replace(held("ml/a", "ml"), path="ml/a.yml")
    standing = rows(spec("ml/a", owner="ml"), spec("ml/gone", owner="ml"), spec("web/gone", owner="web"))
    wanted = desired([spec("ml/a", owner="ml")], refused=(newcomer,), problems=newcomer.problems)
    plan = plan_of(wanted, standing, config=teams("ml", "web"))
    assert did(plan) == {"ml/gone": "hold", "web/gone": "retire"}
    assert plan.unchanged == 1
    assert newcomer.problems[0] in plan.problems
