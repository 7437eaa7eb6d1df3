"""Promise: a trial goes the way of every run and leaves nothing; a replay is an earlier run exactly, or is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from reconciler.daemon.trials import DEV_FORGOTTEN, FORGOTTEN, DevAsked, DevClaimed
from reconciler.model.errors import Permanent, Transient
from reconciler.model.job import Concurrency, Parameter, Retries, SecretRef, Strategy
from reconciler.model.run import RunRecord, Trigger
from reconciler.model.service import Owner, Policy, ServiceConfig
from reconciler.model.terminal import Terminal
from tests.kit.world import KeptOps, World, cron, every

FILE = cron("0 2 * * *", "ml/train", retries=Retries(3), parameters=(Parameter("epochs", default="2"),))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def attempt(world: World, spec: object = FILE, **given: str) -> RunRecord:
    return world.operators.try_job(spec, "dir:1", "anna", given)  # type: ignore[arg-type]


def test_R8_a_trial_runs_once_with_its_values_beside_the_job_of_its_name(world: World) -> None:
    world.apply(replace(FILE, script="the one that is live"))
    world.behave("Try/ml/train", duration=2.0, exit_code=7)
    run = attempt(world, epochs="5")
    world.tick(5)
    (done,) = world.runs("Try/ml/train")
    assert (done.phase.value, done.exit_code, done.trigger, done.actor) == ("failed", 7, Trigger.TRY, "anna")
    found = world.environment(run.run_id)
    assert (found["EPOCHS"], found["RECONCILER_JOB"], found["RECONCILER_TRIGGER"]) == ("5", "ml/train", "try")
    assert world.runs("ml/train") == [] and "Try/ml/train" not in world.loop.jobs


def test_a_cell_of_a_matrix_finds_its_number(world: World) -> None:
    run = attempt(world, replace(FILE, strategy=Strategy(matrix=(("lr", ("0.1", "0.3")),))), lr="0.2")
    world.tick(3)
    found = world.environment(run.run_id)
    assert (found["LR"], found["RECONCILER_CELL"], found["RECONCILER_CELLS"]) == ("0.2", "0", "1")
    assert world.history.run(run.run_id).phase.value == "succeeded"  # type: ignore[union-attr]


def test_what_was_tried_is_forgotten_but_not_that_it_was(world: World) -> None:
    world.behave("Try/ml/train", duration=3.0)
    run = attempt(world)
    world.tick(1)
    with pytest.raises(Transient, match="not gone yet"):
        world.operators.forget_trial(run.run_id)
    world.tick(5)
    world.operators.forget_trial(run.run_id)
    assert world.history.run(run.run_id) is None and not world.history.slots("Try/ml/train")
    assert world.machine.runs == {}
    last = world.history.events(run=run.run_id)[0]
    assert (last.name.value, last.fields["actor"], last.fields["verdict"]) == ("trial.forgotten", "anna", "succeeded")
    with pytest.raises(Permanent, match="no such trial"):
        world.operators.forget_trial(run.run_id)


def test_a_listing_from_before_a_trial_was_forgotten_brings_no_ghost_of_it_back(world: World) -> None:
    world.behave("Try/ml/train", duration=3.0)
    run = attempt(world)
    world.tick(1)
    old = world.engine.observe()
    assert run.run_id in old.runs
    world.tick(5)
    world.operators.forget_trial(run.run_id)
    world.fleet.change(lambda view: replace(view, live=old))
    world.tick(10)
    assert world.history.run(run.run_id) is None and not world.history.slots("Try/ml/train")
    assert not world.book.runs


def test_a_trial_that_nobody_calls_for_is_forgotten_by_itself_after_a_restart_too(world: World) -> None:
    world.behave("Try/ml/train", duration=30.0)
    run = attempt(world)
    world.tick(2)
    world.restart(down=10)
    world.tick(60)
    assert world.history.run(run.run_id).phase.value == "succeeded"  # type: ignore[union-attr]
    world.tick(FORGOTTEN.total_seconds() + 120, step=60)
    assert world.history.run(run.run_id) is None and world.history.trials() == []


def test_a_trial_with_a_value_that_the_file_does_not_know_is_refused(world: World) -> None:
    with pytest.raises(Permanent, match="no parameter"):
        attempt(world, nonsense="1")
    assert world.history.trials() == []


# -- replay ----------------------------------------------------------------------------------------------------


def replayed(world: World, run: RunRecord) -> RunRecord:
    made = world.operators.replay(run.run_id, "anna")
    world.tick(3)
    found = world.history.run(made.run_id)
    assert found is not None
    return found


def test_a_replay_has_the_old_definition_image_and_values_whatever_is_applied_today(world: World) -> None:
    old = cron("0 2 * * *", "etl", environment=(("LEVEL", "old"),), parameters=(Parameter("since", default="x"),))
    world.apply(old)
    first = world.ask("etl", since="2026-11-20")
    world.tick(3)
    world.apply(replace(old, environment=(("LEVEL", "new"),), parameters=()))
    again = replayed(world, first)
    assert (again.phase.value, again.trigger, again.cause) == ("succeeded", Trigger.REPLAY, first.run_id)
    kept = world.history.run(first.run_id)
    assert kept is not None and again.digest == kept.digest and again.image_id == kept.image_id
    found, order = world.environment(again.run_id), KeptOps.orders[again.run_id]
    assert (found["LEVEL"], found["SINCE"], order.exact) == ("old", "2026-11-20", True)
    assert found["RECONCILER_SLOT"] == world.environment(first.run_id)["RECONCILER_SLOT"]


def test_R4_a_replay_that_fails_is_not_retried_and_says_nothing_of_the_schedule(world: World) -> None:
    world.apply(every(3600, "beat", retries=Retries(5)))
    first = world.ask("beat")
    world.tick(3)
    world.behave("beat", exit_code=1)
    again = replayed(world, first)
    world.tick(300, step=10)
    assert again.phase.value == "failed"
    assert [run.trigger for run in world.runs("beat")] == [Trigger.MANUAL, Trigger.REPLAY]


def test_what_can_no_longer_be_had_or_is_no_longer_allowed_is_said(world: World, tmp_path: Path) -> None:
    world.apply(cron("0 2 * * *", "etl"))
    first = world.ask("etl")
    world.tick(3)
    with pytest.raises(Permanent, match="no such run"):
        world.operators.replay("etl.20200101T000000Z.1", "anna")
    world.fleet.reconfigure(ServiceConfig(state_dir=str(tmp_path), policy=Policy(images=("registry.example.org/**",))))
    with pytest.raises(Permanent, match="not allowed") as caught:
        world.operators.replay(first.run_id, "anna")
    assert caught.value.code == "image-not-allowed"


def test_S1_a_run_from_before_its_job_moved_to_another_owner_is_not_that_owners_to_replay(
    world: World, tmp_path: Path
) -> None:
    """It would have the old owner's volumes, networks and grants."""
    world.apply(cron("0 2 * * *", "etl"))
    first = world.ask("etl")
    world.tick(3)
    world.fleet.reconfigure(ServiceConfig(state_dir=str(tmp_path), owners=(Owner("group/ml", ("**",)),)))
    with pytest.raises(Permanent, match="it was default's, and its job is group/ml's now") as caught:
        world.operators.replay(first.run_id, "anna")
    assert caught.value.code == "replay-gone"


def test_R6_a_replay_waits_for_nobody_it_is_refused_while_the_job_runs(world: World) -> None:
    world.apply(cron("0 2 * * *", "etl", concurrency_policy=Concurrency.FORBID))
    first = world.ask("etl")
    world.tick(3)
    world.behave("etl", duration=100.0)
    world.ask("etl")
    world.tick(2)
    with pytest.raises(Permanent) as caught:
        world.operators.replay(first.run_id, "anna")
    assert caught.value.code == "job-active"


def test_a_failed_trial_wakes_nobody(world: World) -> None:
    world.apply(every(3600, "beat"))
    for job in ("Try/ml/train", "beat"):
        world.behave(job, exit_code=1)
    with capture_logs() as said:
        attempt(world)
        world.ask("beat")
        world.tick(3)
    levels = {line["job"]: line["log_level"] for line in said if line["event"] == "run.finished"}
    assert levels == {"Try/ml/train": "info", "beat": "error"}


# -- a shell in a job's environment ------------------------------------------------------------------------------


def shell(world: World, job: str = "ml/train", **asked: Any) -> DevClaimed:
    return world.operators.open_dev(job, "anna", DevAsked(Terminal(True), **asked))


def test_R8_a_shell_is_claimed_with_the_definition_image_and_values_of_its_job(world: World) -> None:
    world.apply(replace(FILE, secrets=(SecretRef("dsn", "/s"), SecretRef("dsn", "/t"))))
    run, seconds, without = shell(world, parameters={"epochs": "9"}, seconds=60.0)
    assert (run.job, run.trigger, run.actor, run.cause) == ("Dev/ml/train", Trigger.DEV, "anna", "tty")
    assert (run.image_id, run.parameters, seconds, without) == ("image:1", (("epochs", "9"),), 60.0, ("dsn",))
    assert [spec.secrets for spec in [world.history.spec(run.digest)] if spec is not None] == [()]
    world.tick(1)
    run, seconds, without = shell(world, secrets=True)
    assert (seconds, without) == (world.config.limits.dev_timeout, ())
    spec = world.history.spec(run.digest)
    assert spec is not None and [ref.name for ref in spec.secrets] == ["dsn", "dsn"]


def test_R2_neither_waits_for_the_other_a_shell_or_a_run_of_the_job(world: World) -> None:
    world.apply(replace(FILE, concurrency_policy=Concurrency.FORBID, concurrency_group="gpu"))
    world.behave("ml/train", duration=50.0)
    first = world.ask("ml/train")
    world.tick(2)
    assert shell(world).run.active
    world.tick(60)
    assert shell(world).run.active
    second = world.ask("ml/train")
    world.tick(3)
    assert {world.history.run(run.run_id).phase.value for run in (first, second)} == {"succeeded", "running"}  # type: ignore[union-attr]


def test_S1_what_is_not_to_be_had_is_said_before_anything_is_claimed(world: World, tmp_path: Path) -> None:
    world.apply(FILE)
    refused: list[tuple[str, Callable[[], object]]] = [
        ("job-unknown", lambda: shell(world, "ml/none")), ("dev-too-long", lambda: shell(world, seconds=1e9)),
        ("dev-too-long", lambda: shell(world, seconds=0.0)), ("code-ref", lambda: shell(world, refs=("main",))),
        ("parameter-unknown", lambda: shell(world, parameters={"x": ""})),
    ]  # fmt: skip
    for code, ask in refused:
        with pytest.raises(Permanent) as caught:
            ask()
        assert caught.value.code == code
    inside = replace(FILE, name="ml/inside", image="", exec_in="shop-db", script=None, command=("id",))
    world.apply(FILE, inside)
    world.fleet.reconfigure(ServiceConfig(state_dir=str(tmp_path), policy=Policy(exec_in=("shop-*",))))
    with pytest.raises(Permanent) as caught:
        shell(world, "ml/inside")
    assert caught.value.code == "dev-unsupported"
    world.fleet.reconfigure(ServiceConfig(state_dir=str(tmp_path), policy=Policy(images=("registry.example.org/**",))))
    with pytest.raises(Permanent) as caught:
        shell(world)
    assert caught.value.code == "image-not-allowed"
    world.operators.drain("ops", "reboot")
    with pytest.raises(Permanent) as caught:
        shell(world)
    assert caught.value.code == "draining" and world.history.trials() == []


def test_who_had_a_shell_with_which_secrets_stays_in_the_journal(world: World) -> None:
    """The memory engine has no terminals: the run ends before it begins, which is an end like any other."""
    world.apply(replace(FILE, secrets=(SecretRef("dsn", "/s"), SecretRef("key", "/k"))))
    run = shell(world, secrets=True).run
    world.operators.sits_down(run, "ops")
    world.tick(3)
    world.operators.stop_run(run.run_id, "anna", "enough")
    world.tick(3)
    world.tick(DEV_FORGOTTEN.total_seconds() + 120, step=60)
    assert world.history.run(run.run_id) is None and world.machine.runs == {}
    events = {event.name.value: event.fields for event in world.history.events(run=run.run_id)}
    assert (events["dev.opened"]["actor"], events["dev.opened"]["secrets"]) == ("ops", "dsn, key")
    assert (events["dev.closed"]["actor"], events["dev.closed"]["secrets"]) == ("anna", "dsn, key")
    assert events["dev.closed"]["verdict"] == "cancelled"


def test_a_notebook_needs_a_network_and_has_a_token_of_its_own(world: World) -> None:
    world.apply(FILE, replace(FILE, name="ml/alone", networks=("none",)))
    runs = []
    for _ in range(2):
        world.tick(1)
        runs.append(world.operators.open_dev("ml/train", "anna", DevAsked(Terminal(False, 8888))).run)
    world.tick(1)
    tokens = {world.environment(run.run_id)["JUPYTER_TOKEN"] for run in runs}
    assert len(tokens) == 2 and {len(token) for token in tokens} == {48}
    assert KeptOps.orders[runs[0].run_id].terminal == Terminal(False, 8888)
    assert "JUPYTER_TOKEN" not in world.environment(shell(world).run.run_id)
    with pytest.raises(Permanent) as caught:
        world.operators.open_dev("ml/alone", "anna", DevAsked(Terminal(True, 8888)))
    assert caught.value.code == "dev-no-network"


def test_a_shell_is_nothing_that_could_be_run_again(world: World) -> None:
    world.apply(FILE)
    run = shell(world).run
    with pytest.raises(Permanent, match="no such run"):
        world.operators.replay(run.run_id, "anna")
