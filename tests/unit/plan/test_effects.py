"""Promise: the plan says what a change means: runs a day, next fires, what is really run, and what looks unwise."""

from dataclasses import replace

import pytest

from reconciler.model.job import After, Location, Resources, Schedule, ScheduleKind, Strategy
from reconciler.model.plan import FieldChange
from reconciler.model.problem import FieldProblem, SpecProblem
from reconciler.plan.exit_code import exit_code
from tests.kit.fleet import NOW, cron, desired, job, plan_of, row, rows, spec


def changes(new, standing) -> dict[str, FieldChange]:
    (action,) = plan_of(desired([new]), standing).actions
    return {change.field: change for change in action.changes}


def test_a_new_schedule_is_told_with_its_rate_before_and_after_and_the_next_fires():
    told = changes(spec("a", schedule=cron("*/10 * * * *")), rows(spec("a", schedule=cron("*/15 * * * *"))))
    assert told["schedule"].notes == ("96 -> 144 runs a day; next 09:20 09:30 09:40",)


def test_fires_are_told_in_the_jobs_own_zone():
    told = changes(spec("a", schedule=cron("0 12 * * *", "Europe/Berlin")), rows("a"))
    assert told["schedule"].notes == ("1 run a day, as before; next 12:00 Thu 12:00 Fri 12:00",)


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        (Strategy((("lr", ("1", "2", "3")), ("depth", ("1", "2", "3", "4", "5"))), max_parallel=4),
         "15 cells, 4 at a time"),
        (Strategy(parallelism=8), "8 cells"),
        (Strategy(parallelism=2, max_parallel=4), "2 cells"),
    ],
)  # fmt: skip
def test_a_job_with_cells_says_how_many_and_how_many_at_a_time(strategy: Strategy, said: str):
    manual = spec("a", schedule=Schedule(ScheduleKind.MANUAL), strategy=strategy)
    (action,) = plan_of(desired([manual]), {}).actions
    assert action.why == f"manual; {said}"
    (action,) = plan_of(desired([spec("a", strategy=strategy)]), {}).actions
    assert f"; {said}" in action.why


def test_a_job_that_becomes_manual_says_so():
    told = changes(spec("a", schedule=Schedule(ScheduleKind.MANUAL)), rows("a"))
    assert told["schedule"].notes == ("fires only by hand from now on",)


def test_a_job_that_another_fires_is_not_said_to_fire_by_hand_alone():
    links = (After("etl"), After("load", "failure"), After("mail", "any"))
    follower = spec("a", schedule=Schedule(ScheduleKind.MANUAL), after=links)
    said = "after etl or a failure of load or any end of mail"
    (action,) = plan_of(desired([follower]), {}).actions
    assert action.why == f"manual: fires by hand, and {said}"
    assert changes(follower, rows("a"))["schedule"].notes == (f"fires only by hand and {said} from now on",)


def test_a_timeout_longer_than_the_interval_is_flagged():
    live = spec("a", schedule=cron("*/10 * * * *"), timeout=60.0)
    told = changes(spec("a", schedule=cron("*/10 * * * *"), timeout=3600.0), rows(live))
    assert told["timeout"].notes == ("! longer than the interval of 10m",)
    assert changes(spec("a", schedule=cron("*/10 * * * *"), timeout=300.0), rows(live))["timeout"].notes == ()


def test_a_schedule_that_gets_shorter_than_the_written_timeout_is_flagged():
    live = spec("a", schedule=cron("0 * * * *"), timeout=1200.0)
    new = job(spec("a", schedule=cron("*/10 * * * *"), timeout=1200.0), {"schedule": 1, "timeout": 2})
    told = changes(new, rows(live))
    assert told["timeout"].notes == ("! longer than the interval of 10m",)
    assert told["timeout"].where == Location("a.yaml", 2)


def test_an_image_names_the_id_it_leaves_and_the_new_one_if_it_is_known():
    told = changes(spec("a", image="busybox:1.38"), rows("a"))
    assert told["image"].notes == ("8a1f03c2 until the new one is there",)
    plan = plan_of(
        desired([spec("a", image="busybox:1.38")]), rows("a"), images={"busybox:1.38": "sha256:c07d19e4" + "0" * 56}
    )
    assert plan.actions[0].changes[0].notes == ("8a1f03c2 -> c07d19e4",)


def test_the_final_argv_of_a_script_is_shown_when_it_is_new_or_changed():
    (created,) = plan_of(desired([spec("a", command=None, script="echo $HOME\n")])).actions
    assert any(note.startswith("runs  ") and "echo $HOME" in note for note in created.notes)
    live = rows(spec("a", command=None, script="echo $HOME\n"))
    (other,) = plan_of(desired([spec("a", command=None, script="echo $HOME\n", timeout=60.0)]), live).actions
    assert not any(note.startswith("runs  ") for note in other.notes)


def test_the_final_argv_of_a_command_and_an_entrypoint_is_shown_as_it_is_split():
    (created,) = plan_of(desired([spec("a", entrypoint=("sh", "-c"), command=("echo $HOME", "x"))])).actions
    assert "runs  sh -c 'echo $HOME' x" in created.notes
    (image,) = plan_of(desired([spec("b", command=None)])).actions
    assert not any(note.startswith("runs  ") for note in image.notes)


def test_the_container_that_a_command_runs_in_is_shown_with_it():
    (created,) = plan_of(desired([spec("a", image="", exec_in="shop-db-1", command=("vacuumdb",))])).actions
    assert "runs  vacuumdb   in the container shop-db-1" in created.notes
    told = changes(spec("a", image="", exec_in="shop-db-1"), rows("a"))
    assert (told["exec_in"].old, told["exec_in"].new, told["image"].new) == ("none", "shop-db-1", "none")


def test_D1_a_mapping_that_is_inherited_in_part_names_the_place_of_each_key():
    own, defaults = Location("a.yaml", 3), Location("_defaults.yaml", 4, inherited=True)
    lines = {"environment": own, "environment.OWN": own, "environment.BASE": defaults, "labels": defaults,
             "labels.team": defaults}  # fmt: skip
    (created,) = plan_of(desired([replace(job("a"), lines=lines)])).actions
    assert "inherits environment.BASE (_defaults.yaml:4), labels (_defaults.yaml:4)" in created.notes


def test_what_the_engine_cannot_honour_is_a_warning_of_the_action():
    class Said:
        argv = None
        warnings = ("image is ignored on this engine",)
        problems = ()

    (action,) = plan_of(desired(["a"]), preview=lambda spec: Said()).actions
    assert "! image is ignored on this engine" in action.notes


@pytest.mark.parametrize("severity", ["error", "warning"])
def test_P4_what_the_engine_would_refuse_is_a_problem_at_its_line(severity: str):
    class Said:
        argv = None
        warnings = ()
        problems = (FieldProblem("files./a.ini", "file-unreadable", "cannot read", "Write 0444.", severity),)

    wanted = job(spec("a", timeout=60.0), {"files": 5, "files./a.ini": 6})
    for standing in ({}, rows("a")):
        plan = plan_of(desired([wanted]), standing, preview=lambda spec: Said())
        problem = SpecProblem(
            "a.yaml", 6, 1, "file-unreadable", "cannot read", "Write 0444.", "/files/~1a.ini", severity
        )  # fmt: skip
        assert plan.actions[0].problems == (problem,) == plan.problems
        assert exit_code(plan) == (1 if severity == "error" else 2)


def test_a_suspended_job_says_that_it_does_not_fire():
    (action,) = plan_of(desired([spec("a", suspend=True)])).actions
    assert action.why.endswith("suspended, so it does not fire")


def test_ten_thousand_new_jobs_get_their_fires_computed_for_the_first_only():
    plan = plan_of(desired([spec(f"j{n:04}") for n in range(300)]))
    assert sum("next " in action.why for action in plan.actions) == 200


def test_an_every_schedule_counts_from_its_own_anchor():
    every = Schedule(ScheduleKind.EVERY, "@every 6h", every=21600.0)
    (action,) = plan_of(desired([spec("a", schedule=every)])).actions
    assert action.why == "@every 6h; 4 runs a day; next 15:13 21:13 Thu 03:13"
    assert NOW.hour == 9


def test_an_edit_of_another_field_leaves_the_anchor_of_an_every_schedule_alone():
    every = Schedule(ScheduleKind.EVERY, "@every 6h", every=21600.0)
    live = row(spec("a", schedule=every))
    zone = Schedule(ScheduleKind.EVERY, "@every 6h", "Europe/Berlin", every=21600.0)
    (action,) = plan_of(desired([spec("a", schedule=zone)]), rows(live)).actions
    assert not action.keep_cursor


@pytest.mark.parametrize(("gpus", "said"), [(None, ""), (2, ""), (1, "this host has 1 GPU"), (0, "this host has none")])
def test_a_job_that_asks_for_more_GPUs_than_the_host_has_is_flagged(gpus: int | None, said: str):
    new = spec("a", resources=Resources(gpus=2))
    (action,) = plan_of(desired([new]), {}, gpus=gpus).actions
    notes = [note for note in action.notes if "GPU" in note or "gpus" in note]
    assert notes == ([f"! resources.gpus: 2, and {said}: it can never start"] if said else [])
