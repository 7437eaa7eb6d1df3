"""Promise: a trial is the file's own container, and nothing of it would fire others, come again or be kept."""

from dataclasses import replace

from reconciler.model.ids import is_job_name
from reconciler.model.job import (
    After,
    CatchUp,
    Concurrency,
    OnRetire,
    Parameter,
    ParameterType,
    Retries,
    ScheduleKind,
    SecretRef,
    Strategy,
    WaitFor,
)
from reconciler.runs.dev import LONGEST_GRACE, NOTES, dev_of
from reconciler.runs.trial import PREFIX, is_trial, trial_of, tried
from tests.kit.world import cron

WHOLE = cron(
    "0 2 * * *", "ml/train", concurrency_policy=Concurrency.FORBID, retries=Retries(5), catch_up=CatchUp.ALL,
    after=(After("a"),), wait_for=(WaitFor("b"),), pause_after_failures=3, on_retire=OnRetire.STOP, protect=True,
    moved_from="old", hold_on_failure=60.0, suspend=True, environment=(("A", "1"),), working_dir="/w", user="1000",
    outputs="/outputs", concurrency_group="gpu",
)  # fmt: skip


def test_R8_what_the_container_is_made_of_stays() -> None:
    made = trial_of(WHOLE)
    assert made.owner == WHOLE.owner
    for name in ("image", "script", "command", "environment", "working_dir", "user", "resources", "mounts", "networks",
                 "files", "outputs", "timeout", "stop_grace_period", "concurrency_group", "pull_policy"):  # fmt: skip
        assert getattr(made, name) == getattr(WHOLE, name), name


def test_nothing_of_it_fires_waits_comes_again_or_is_kept() -> None:
    made = trial_of(WHOLE)
    assert made.schedule.kind is ScheduleKind.MANUAL
    assert (made.after, made.wait_for, made.retries.limit, made.hold_on_failure) == ((), (), 0, 0.0)
    assert (made.suspend, made.on_retire, made.moved_from) == (False, OnRetire.DRAIN, None)
    assert made.concurrency_policy is Concurrency.ALLOW, "two people may try one file at the same time"


def test_its_name_is_none_that_a_repository_can_have() -> None:
    name = trial_of(WHOLE).name
    assert (name, tried(name), tried("ml/train")) == (PREFIX + "ml/train", "ml/train", "ml/train")
    assert is_trial(name) and not is_trial("try/ml") and not is_job_name(name)


def test_of_a_matrix_the_first_cell_is_tried_unless_its_values_are_given() -> None:
    spec = cron("0 2 * * *", parameters=(Parameter("lr", ParameterType.NUMBER), Parameter("epochs")),
                strategy=Strategy(matrix=(("lr", ("0.3", "0.1")), ("depth", ("2", "4")))))  # fmt: skip
    made = trial_of(spec)
    assert made.strategy.cells == 0
    assert [(p.name, p.default, p.type.value) for p in made.parameters] == [
        ("depth", "2", "string"), ("epochs", None, "string"), ("lr", "0.3", "number"),
    ]  # fmt: skip


# -- a shell in a job's environment ------------------------------------------------------------------------------

GIVEN = replace(WHOLE, secrets=(SecretRef("dsn", "/run/secrets/dsn"),), stop_grace_period=300.0, start_script="true")


def test_R8_a_shell_is_the_jobs_own_container() -> None:
    made = dev_of(GIVEN, 60.0, secrets=True)
    for name in ("owner", "image", "script", "start_script", "environment", "working_dir", "user", "resources",
                 "mounts", "networks", "files", "outputs", "pull_policy", "packages", "repositories",
                 "secrets"):  # fmt: skip
        assert getattr(made, name) == getattr(GIVEN, name), name


def test_a_shell_has_its_own_time_and_no_place_in_the_group_of_the_job() -> None:
    made = dev_of(GIVEN, 60.0, secrets=False)
    assert (made.timeout, made.stop_grace_period, made.concurrency_group) == (60.0, LONGEST_GRACE, "")
    assert (made.concurrency_policy, made.retries.limit, made.hold_on_failure) == (Concurrency.ALLOW, 0, 0.0)
    assert made.secrets == ()
    assert dev_of(replace(GIVEN, outputs=""), 60.0, secrets=False).outputs == NOTES
    assert is_trial(made.name) and tried(made.name) == "ml/train" and not is_job_name(made.name)
