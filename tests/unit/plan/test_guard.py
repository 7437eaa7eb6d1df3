"""Promise: a plan that would do great harm refuses itself, and names the one command that lifts exactly it (D3-D5)."""

from dataclasses import replace

import pytest

from reconciler.model.plan import Plan
from reconciler.model.service import Limits, ServiceConfig, SourceConfig
from tests.kit.fleet import NEW, desired, did, held, plan_of, problem, row, rows, shows, spec, teams

TEN = [f"j{n}" for n in range(10)]


def codes(plan: Plan) -> list[str]:
    return [refusal.code for refusal in plan.refusals]


@pytest.mark.parametrize(
    ("kept", "live", "refused"),
    [
        pytest.param(TEN[4:], TEN, ["too-many-retired"], id="4 of 10 is more than 30 %"),
        pytest.param(TEN[3:], TEN, [], id="3 are never too many"),
        pytest.param([f"k{n}" for n in range(4, 14)], [f"k{n}" for n in range(14)], [], id="4 of 14 is less than 30 %"),
        pytest.param([], TEN[:3], ["jobs-directory-empty"], id="an empty directory, however few are live"),
        pytest.param([], [], [], id="an empty directory where nothing is live"),
    ],
)
def test_D4_mass_retirement_is_a_refusal(kept: list[str], live: list[str], refused: list[str]):
    assert codes(plan_of(desired(kept), rows(*live))) == refused


def test_D4_max_retired_share_is_the_service_files_word():
    config = ServiceConfig(limits=Limits(max_retired_share=0.5))
    assert codes(plan_of(desired(TEN[5:]), rows(*TEN), config=config)) == []
    assert codes(plan_of(desired(TEN[6:]), rows(*TEN), config=config)) == ["too-many-retired"]


def test_D4_a_configured_directory_that_is_missing_is_a_refusal_if_anything_would_be_retired():
    missing = {"missing_paths": ("jobs.d/db1",)}
    assert codes(plan_of(desired(["a"], **missing), rows("a", "b"))) == ["jobs-directory-missing"]
    assert codes(plan_of(desired(["a"], **missing), rows("a"))) == []


@pytest.mark.parametrize(
    ("roots", "refused"),
    [
        pytest.param({"jobs.d/common"}, ["jobs-directory-empty"], id="one of two has no job file any more"),
        pytest.param({"jobs.d/common", "jobs.d/db1"}, [], id="both have job files"),
        pytest.param({"jobs.d/db1"}, [], id="the other one was always empty"),
    ],
)
def test_D4_one_of_several_directories_that_is_emptied_is_a_refusal(roots: set[str], refused: list[str]):
    config = ServiceConfig(source=SourceConfig(paths=("./jobs.d/common", "jobs.d/db1/")))
    standing = rows(row("a", full_path="jobs.d/common/a.yaml"), row("b", full_path="jobs.d/db1/b.yaml"))
    plan = plan_of(desired(["a"], roots=frozenset(roots)), standing, config=config)
    assert codes(plan) == refused
    if refused:
        assert "jobs.d/db1 is empty" in plan.refusals[0].message
        assert not plan_of(desired(["a"], roots=frozenset(roots)), standing, config=config,
                           approvals={plan.digest: "anna"}).refused  # fmt: skip


def test_D4_a_missing_directory_where_nothing_would_be_retired_is_said_and_refuses_nothing():
    plan = plan_of(desired([], missing_paths=("jobs.d/db1",)), {})
    assert (codes(plan), [(p.code, p.is_error) for p in plan.problems]) == ([], [("jobs-directory-missing", False)])
    assert "below jobs.d/db1 " in plan.problems[0].message


def test_D4_moves_are_no_retirements():
    moved = [spec(f"to/{name}", moved_from=name) for name in TEN]
    plan = plan_of(desired(moved), rows(*TEN))
    assert codes(plan) == []
    assert set(did(plan).values()) == {"move"}


def test_D4_retirements_that_were_decided_before_do_not_count_again():
    begun = [row(name, retiring=True) for name in TEN[:4]]
    assert codes(plan_of(desired(TEN[4:]), rows(*begun, *TEN[4:]))) == []
    going = [row(f"going{n}", retiring=True) for n in range(10)]
    assert codes(plan_of(desired(TEN[4:]), rows(*going, *TEN))) == ["too-many-retired"]


def test_D4_the_refusal_prints_the_command_and_the_command_lifts_exactly_this_plan():
    refused = plan_of(desired(), rows(*TEN))
    assert refused.refusals[0].hint.endswith(f"reconciler approve {refused.digest}")
    assert refused.needs_approval
    approved = plan_of(desired(), rows(*TEN), approvals={refused.digest: "anna"})
    assert (approved.refusals, approved.needs_approval, approved.digest) == ((), (), refused.digest)
    assert len(approved.changes) == 10
    more = plan_of(desired(), rows(*TEN, "one-more"), approvals={refused.digest: "anna"})
    elsewhere = plan_of(desired(commit="f" * 40), rows(*TEN), approvals={refused.digest: "anna"})
    assert more.refused and elsewhere.refused


# -- D3 -------------------------------------------------------------------------------------------------------
ML_GONE, ML_LEFT, WEB_GONE = (spec(n, owner=n.split("/")[0]) for n in ("ml/gone", "ml/left", "web/gone"))
BROKEN = held("ml/broken", "ml")


def test_D3_while_a_file_of_an_owner_is_invalid_nothing_of_that_owner_is_retired():
    plan = plan_of(desired([ML_LEFT], [BROKEN]), rows(ML_GONE, ML_LEFT, WEB_GONE), config=teams("ml", "web"))
    assert did(plan) == {"ml/broken": "hold", "ml/gone": "hold", "web/gone": "retire"}
    assert not plan.refused
    assert len(plan.needs_approval) == 1


def test_D3_a_defaults_file_is_a_file_of_its_owner_too():
    wanted = desired([], broken_owners=frozenset({"ml"}), entries=1)
    plan = plan_of(wanted, rows(ML_GONE, WEB_GONE), config=teams("ml", "web"))
    assert did(plan) == {"ml/gone": "hold", "web/gone": "retire"}


def test_D3_an_operator_may_approve_these_retirements():
    standing, config = rows(ML_GONE, ML_LEFT, WEB_GONE), teams("ml", "web")
    asked = plan_of(desired([ML_LEFT], [BROKEN]), standing, config=config)
    assert any(asked.digest in note for action in asked.actions for note in action.notes)
    plan = plan_of(desired([ML_LEFT], [BROKEN]), standing, config=config, approvals={asked.digest: "anna"})
    assert did(plan) == {"ml/broken": "hold", "ml/gone": "retire", "web/gone": "retire"}
    assert "approved by anna" in next(a for a in plan.actions if a.name == "ml/gone").notes
    assert plan.digest == asked.digest


def test_D3_the_digest_tells_one_held_retirement_from_another():
    config = teams("ml", "web")
    one = plan_of(desired([ML_LEFT], [BROKEN]), rows(ML_GONE, ML_LEFT), config=config)
    two = plan_of(desired([], [BROKEN]), rows(ML_GONE, ML_LEFT), config=config)
    assert one.digest != two.digest


def test_D3_holds_for_objects_that_only_the_engine_knows_too():
    config, orphan = teams("ml", "web"), shows(rows(ML_GONE))
    plan = plan_of(desired([], [BROKEN]), {}, orphan, config)
    assert did(plan) == {"ml/broken": "hold", "ml/gone": "hold"}
    approved = plan_of(desired([], [BROKEN]), {}, orphan, config, approvals={plan.digest: "anna"})
    assert did(approved) == {"ml/broken": "hold", "ml/gone": "retire"}


def test_on_invalid_reject_refuses_the_whole_revision():
    config = replace(teams("ml", "web"), on_invalid="reject")
    plan = plan_of(desired([ML_LEFT], [BROKEN]), rows(WEB_GONE), config=config)
    assert codes(plan) == ["invalid-files"]
    assert codes(plan_of(desired([ML_LEFT]), rows(WEB_GONE), config=config)) == []


def test_on_invalid_hold_is_the_default_and_a_warning_rejects_nothing():
    warning = replace(problem("a"), severity="warning")
    assert codes(plan_of(desired(["a"], [held("b")]))) == []
    assert codes(plan_of(desired(["a"], problems=(warning,)), config=ServiceConfig(on_invalid="reject"))) == []


# -- D5 -------------------------------------------------------------------------------------------------------
def test_D5_a_rewritten_history_is_held_until_its_commit_is_accepted():
    want = desired(["a"], descends=False)
    plan = plan_of(want)
    assert codes(plan) == ["history-rewritten"]
    assert plan.refusals[0].hint.endswith(f"reconciler approve {NEW}")
    assert codes(plan_of(want, approvals={NEW: "anna"})) == []
    assert codes(plan_of(want, approvals={plan.digest: "anna"})) == ["history-rewritten"]
    assert codes(plan_of(want, approvals={"f" * 40: "anna"})) == ["history-rewritten"]


def test_D5_a_commit_that_is_applied_descends_from_itself():
    assert codes(plan_of(desired(["a"], descends=False), previous_revision=NEW)) == []


def test_D5_accepting_the_commit_does_not_approve_a_mass_retirement():
    plan = plan_of(desired(descends=False), rows(*TEN), approvals={NEW: "anna"})
    assert codes(plan) == ["jobs-directory-empty"]


def test_D5_a_local_work_repository_only_warns():
    plan = plan_of(desired(["a"], descends=False), config=ServiceConfig(allow_rewrite=True))
    assert codes(plan) == []
    assert [(p.code, p.severity) for p in plan.problems] == [("history-rewritten", "warning")]
