"""Promise: whatever is held shows in `jobs` and the journal, with the file and line to look at (rules D2, D3, D6)."""

import json
from dataclasses import replace

from reconciler.apply.outcome import Result
from reconciler.daemon.holds import failed, holds, place, to_json, why
from reconciler.model.desired import HeldJob
from reconciler.model.plan import ActionKind
from reconciler.model.problem import SpecProblem
from reconciler.model.service import Policy, ServiceConfig
from tests.kit.fleet import desired, held, plan_of, row, rows, spec


def test_D6_a_protected_job_whose_file_is_gone_waits_and_is_shown():
    wanted = desired(["a"])
    waiting = holds(plan_of(wanted, rows("a", spec("kept", protect=True))), wanted)
    assert list(waiting) == ["kept"]
    assert "protected" in why(waiting["kept"])
    assert "protected" in json.loads(to_json(waiting))["kept"]["message"]


def test_D2_a_forbidden_job_is_not_told_twice():
    wanted = desired([])
    forbidden = row(spec("kept", protect=True), forbidden="no")
    config = ServiceConfig(instance="db1", policy=Policy(images=("alpine:*",)))
    plan = plan_of(wanted, {"kept": forbidden}, config=config)
    assert [action.kind for action in plan.actions] == [ActionKind.HOLD]
    assert holds(plan, wanted) == {}


def test_D3_what_is_not_retired_because_of_another_file_is_shown_beside_it():
    wanted = desired(["a"], [held("broken")])
    waiting = holds(plan_of(wanted, rows("a", "broken", "gone")), wanted)
    assert sorted(waiting) == ["broken", "gone"]
    assert waiting["broken"] is wanted.held["broken"]


def test_D1_a_problem_that_is_inherited_is_shown_at_the_file_that_has_it():
    inherited = SpecProblem("_defaults.yaml", 2, 8, "policy", "the image x is not allowed")
    row = json.loads(to_json({"ml/a": HeldJob("ml/a", "ml/a.yaml", "default", (inherited,))}))["ml/a"]
    assert (row["path"], row["line"], row["column"]) == ("_defaults.yaml", 2, 8)


def test_D1_a_newcomer_that_is_refused_shows_beside_the_job_that_stays():
    newcomer = replace(held("a"), path="a.yml")
    wanted = desired(["a"], refused=(newcomer,))
    assert holds(plan_of(wanted, rows("a")), wanted) == {"a": newcomer}


def test_a_change_that_failed_is_shown_at_the_line_that_the_plan_had_named():
    found = SpecProblem("_defaults.yaml", 6, 1, "file-unreadable", "the job cannot read it")
    action = replace(plan_of(desired(["a"])).actions[0], problems=(found,))
    shown = {code: failed(Result(action, False, error="no", error_code=code)).problems[0]
             for code in ("file-unreadable", "image-missing")}  # fmt: skip
    assert (shown["file-unreadable"].path, shown["file-unreadable"].line) == ("_defaults.yaml", 6)
    assert (shown["image-missing"].path, shown["image-missing"].line) == ("a.yaml", 1)


def test_D2_the_journal_names_the_line_that_is_to_blame_and_no_line_where_none_is():
    wanted = desired(["a"], [held("broken")])
    waiting = holds(plan_of(wanted, rows("a", spec("kept", protect=True))), wanted)
    first = waiting["broken"].problems[0]
    assert place(waiting["broken"]) == f"{first.path}:{first.line}:{first.column}"
    assert place(waiting["kept"]) == waiting["kept"].path
