"""Promise: S1. A job that gets another owner is told which volumes and network it leaves, and which it gets."""

from dataclasses import replace

from reconciler.model.job import JobSpec, Location, Mount
from reconciler.model.plan import ActionKind, Plan
from reconciler.plan.render_text import render
from tests.kit.fleet import desired, job, plan_of, rows, shows, spec, teams

DATA = Mount("volume", "models", "/models")
OTHERS = (
    Mount("bind", "/srv/in", "/in", read_only=True),
    Mount("volume", "shared", "/shared", external=True),
    Mount("tmpfs", "", "/tmp"),
)


def handed_over(old: JobSpec, new: JobSpec, engine: str = "docker") -> Plan:
    """What is planned if `new`, of the owner `ml`, takes the place of the live `old`."""
    standing = rows(replace(old, owner="web"))
    live = replace(shows(standing), engine=engine)
    wanted = job(replace(new, owner="ml"), {"volumes": 7, "volumes./models": 8})
    return plan_of(desired([wanted]), standing, live, teams("ml"))


def told(plan: Plan) -> dict[str, tuple[str, str]]:
    (action,) = plan.actions
    assert action.kind is ActionKind.REPLACE
    return {change.field: (change.old, change.new) for change in action.changes}


def test_S1_the_owners_volumes_and_network_are_named_old_and_new():
    one = spec("ml/a", mounts=(DATA, *OTHERS))
    plan = handed_over(one, one)
    assert told(plan) == {
        "owner": ("web", "ml"),
        "networks.default": ("db1.web", "db1.ml"),
        "volumes./models": ("db1.web.models:/models", "db1.ml.models:/models"),
    }
    changes = {change.field: change for change in plan.actions[0].changes}
    assert "db1.web.models is no longer used" in changes["volumes./models"].notes[0]
    assert "it stays, and so does what is in it" in changes["volumes./models"].notes[0]
    assert "db1.web" in changes["networks.default"].notes[0]
    assert changes["volumes./models"].where == Location("ml/a.yaml", 8)
    assert "db1.web.models:/models  ->  db1.ml.models:/models" in render(plan)


def test_S1_a_volume_that_changes_too_is_told_once_and_whole():
    plan = handed_over(
        spec("ml/a", mounts=(DATA, Mount("volume", "gone", "/gone")), networks=("none",)),
        spec("ml/a", mounts=(Mount("bind", "/srv/models", "/models"), Mount("volume", "new", "/new", read_only=True))),
    )
    assert told(plan) == {
        "owner": ("web", "ml"),
        "networks": ("[none]", "[default] (default)"),
        "networks.default": ("none", "db1.ml"),
        "volumes./gone": ("db1.web.gone:/gone", "none"),
        "volumes./models": ("db1.web.models:/models", "/srv/models:/models"),
        "volumes./new": ("none", "db1.ml.new:/new:ro"),
    }
    assert [bool(change.notes) for change in plan.actions[0].changes[-3:]] == [True, True, False]


def test_S1_a_job_without_either_has_only_another_owner():
    one = spec("ml/a", networks=("none",), mounts=OTHERS)
    assert told(handed_over(one, one)) == {"owner": ("web", "ml")}


def test_S1_where_jobs_share_the_host_there_is_nothing_to_leave():
    one = spec("ml/a", mounts=(DATA,))
    assert told(handed_over(one, one, engine="process")) == {"owner": ("web", "ml")}


def test_S1_with_the_same_owner_volumes_are_told_in_the_words_of_the_file():
    old, new = spec("ml/a", owner="ml", mounts=(DATA,)), spec("ml/a", owner="ml", mounts=(replace(DATA, source="b"),))
    plan = plan_of(desired([new]), rows(old), config=teams("ml"))
    assert told(plan) == {"volumes./models": ("models:/models", "b:/models")}
