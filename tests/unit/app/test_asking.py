"""What the loops wrote into the ledger is what `why` reads out of it, in time however long the ledger is."""

import sqlite3
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.answers.chain import Chain, Verdict
from reconciler.answers.explain import explain
from reconciler.answers.why import why
from reconciler.app.asking import Asker
from reconciler.history import rows
from reconciler.history.sqlite import open_history
from reconciler.model.errors import EngineRejected, UsageError
from reconciler.model.ids import run_id
from reconciler.model.job import Concurrency, Resources, Retries, WaitFor
from reconciler.model.run import Disposition, Pause, Phase
from reconciler.model.service import DeviceConfig, Limits, ServiceConfig
from reconciler.runs.transitions import slot_record
from reconciler.spec.canonical import digest_of
from tests.kit.world import NIGHT, World, cron, every
from tests.unit.runs.kit import running, standing

MINUTE = timedelta(minutes=1)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def ask(world: World, job: str, said: str | None = None) -> Chain:
    asker = Asker(world.history, world.config, job, world.time)
    return why(asker.facts(asker.slot(said)))


def rule(chain: Chain) -> str:
    return chain.rules[0].name if chain.rules else ""


def test_a_time_at_which_a_busy_job_does_not_fire_is_no_slot_and_not_one_of_another_day(world: World) -> None:
    world.apply(every(7))
    world.tick(60)
    at = max(run.slot for run in world.runs("beat") if run.started_at is not None)
    told = {n: ask(world, "beat", f"{at + timedelta(seconds=n):%H:%M:%S}") for n in range(-7, 1)}
    assert [n for n, chain in told.items() if chain.verdict is not Verdict.NO_SLOT] == [-7, 0]
    assert {n: chain.asked - at for n, chain in told.items()} == {n: timedelta(seconds=n) for n in told}
    assert told[-3].before is not None and at - told[-3].before == timedelta(seconds=7)


def test_R2_a_skipped_slot_names_the_run_that_blocked_it_and_its_last_line(world: World) -> None:
    world.behave("nightly", duration=None, output=b"begin\nwaiting for lock orders\n")
    world.apply(cron("* * * * *"))
    world.tick(190)
    chain = ask(world, "nightly")
    assert (chain.verdict, rule(chain)) == (Verdict.SKIPPED, "concurrency_policy")
    assert chain.span is not None and chain.span.count == 2
    (blocker,) = chain.blockers
    assert (blocker.run_id, blocker.phase) == (world.runs("nightly")[0].run_id, "running")
    assert blocker.last_line == "waiting for lock orders"
    assert blocker.line_at is not None
    assert chain.decided_at is not None and chain.slot is not None
    assert timedelta(0) <= chain.decided_at - chain.slot < timedelta(seconds=1)
    first = ask(world, "nightly", "02:01")
    assert (first.verdict, first.attempts[0].last_line) == (Verdict.RUNNING, "waiting for lock orders")


def test_R4_a_failed_slot_shows_all_its_attempts(world: World) -> None:
    world.behave("nightly", exit_code=3, output=b"chown: /x: Operation not permitted\n")
    world.apply(cron("1 2 * * *", retries=Retries(limit=1, delay=5)))
    world.tick(120)
    chain = ask(world, "nightly")
    assert (chain.verdict, rule(chain)) == (Verdict.FAILED, "retries.limit")
    assert [(a.attempt, a.exit_code, a.trigger) for a in chain.attempts] == [(1, 3, "schedule"), (2, 3, "retry")]
    assert "cap_add" in chain.attempts[-1].hint
    assert chain.attempts[-1].last_line == "chown: /x: Operation not permitted"


def test_R4_a_retry_that_the_next_slot_ended_is_told_as_that(world: World) -> None:
    world.behave("nightly", exit_code=3)
    world.apply(cron("* * * * *", retries=Retries(limit=3, delay=90, max_delay=90)))
    world.tick(150)
    chain = ask(world, "nightly", "02:01")
    assert (chain.verdict, rule(chain)) == (Verdict.SUPERSEDED, "retries.limit")


def test_R3_a_slot_whose_image_is_missing_says_so(world: World) -> None:
    world.machine.fail("prepare", EngineRejected("no such image", code="image-missing", hint="pull it"), times=99)
    world.apply(cron("1 2 * * *", start_deadline=30.0))
    world.tick(120)
    chain = ask(world, "nightly")
    assert (chain.verdict, rule(chain)) == (Verdict.UNAVAILABLE, "start_deadline")
    assert chain.can[0].do == "reconciler doctor"


def test_T5_a_pause_is_told_and_so_is_a_run_by_hand_within_it(world: World) -> None:
    world.apply(cron("* * * * *"))
    world.history.put_pause(Pause("*", world.time, None, "moves", "cleo"))
    world.loop.repause(world.time)
    world.tick(130)
    by_hand = world.loop.start_manual(world.loop.jobs["nightly"], "anna", world.time)
    assert by_hand is not None
    world.tick(60)
    paused = ask(world, "nightly", "02:02")
    assert (paused.verdict, rule(paused)) == (Verdict.PAUSED, "pause")
    assert paused.span is not None and paused.span.count == 3
    said = f"{by_hand.slot:%H:%M:%S}"
    hand = ask(world, "nightly", said)
    assert (hand.verdict, hand.slot) == (Verdict.OK, by_hand.slot)


def test_T6_a_downtime_is_told_with_its_rule(world: World) -> None:
    world.apply(cron("*/10 * * * *"))
    world.tick(60)
    world.restart(down=3600)
    chain = ask(world, "nightly", "02:20")
    assert (chain.verdict, rule(chain)) == (Verdict.MISSED, "catch_up")
    assert "the service did not run from" in chain.headline


def test_T5_a_slot_that_is_overdue_comes_before_old_troubles(world: World) -> None:
    world.behave("nightly", exit_code=3)
    world.apply(cron("*/10 * * * *"))
    world.tick(700)
    assert ask(world, "nightly").verdict is Verdict.FAILED
    world.time += timedelta(minutes=30)
    chain = ask(world, "nightly")
    assert (chain.verdict, chain.slot) == (Verdict.DUE, NIGHT + 40 * MINUTE)


def test_T5_a_slot_to_come_knows_what_runs(world: World) -> None:
    world.behave("beat", duration=None)
    world.apply(every(600))
    world.tick(615)
    chain = ask(world, "beat", "02:20")
    assert chain.verdict is Verdict.MAY_NOT_FIRE
    assert chain.blockers[0].run_id == world.runs("beat")[0].run_id


def test_a_claimed_slot_that_waits_for_what_it_replaces_names_it(world: World) -> None:
    world.behave("beat", duration=None)
    world.apply(every(30, concurrency_policy=Concurrency.REPLACE, stop_grace_period=60.0))
    world.pools.hold = "stop"
    world.tick(65)
    chain = ask(world, "beat", "02:01:00")
    assert chain.verdict is Verdict.WAITING
    assert [one.run_id for one in chain.blockers] == [world.runs("beat")[0].run_id]


def test_R2_a_slot_in_the_queue_names_who_is_before_it(world: World) -> None:
    world.behave("beat", duration=None)
    world.apply(every(30, concurrency_policy=Concurrency.QUEUE))
    world.tick(65)
    chain = ask(world, "beat", "02:01:00")
    assert (chain.verdict, chain.blockers[0].run_id) == (Verdict.WAITING, world.runs("beat")[0].run_id)


def test_a_slot_that_waits_says_for_what(world: World) -> None:
    world.config = replace(world.config, limits=Limits(max_running=1))
    world.fleet.reconfigure(world.config)
    world.behave("beat", duration=None)
    world.apply(every(30), cron("1 2 * * *", wait_for=(WaitFor("beat"),)))
    world.tick(65)
    chain = ask(world, "nightly", "02:01")
    assert chain.verdict is Verdict.WAITING
    assert chain.notes == (
        "it waits for beat to succeed for 2026-11-24T02:01:00Z, until 2026-11-24T03:01:00Z (wait_for)",
        "all 1 places are taken (limits.max_running)",
    )


def test_R2_a_run_that_waits_for_a_GPU_names_who_has_them(world: World) -> None:
    world.config = replace(world.config, devices=DeviceConfig(("GPU-a",)))
    world.fleet.reconfigure(world.config)
    world.list_anew()
    world.behave("beat", duration=None)
    world.apply(every(30, resources=Resources(gpus=1)), cron("1 2 * * *", resources=Resources(gpus=1)))
    world.tick(65)
    chain = ask(world, "nightly", "02:01")
    holder = world.runs("beat")[0].run_id
    assert chain.notes == (f"it waits for 1 GPU (resources.gpus); {holder} has GPU-a",)


def test_a_job_that_has_never_run_is_asked_about_its_next_slot(world: World) -> None:
    world.apply(cron("30 2 * * *"))
    assert ask(world, "nightly").verdict is Verdict.WILL_FIRE
    assert ask(world, "nightly", "02:31").verdict is Verdict.NO_SLOT


def test_the_definition_of_then_is_the_one_that_is_told(world: World) -> None:
    world.behave("nightly", exit_code=3)
    world.apply(cron("1 2 * * *"))
    world.tick(90)
    world.apply(cron("1 2 * * *", timeout=60.0))
    chain = ask(world, "nightly", "02:01")
    assert chain.said is not None
    assert chain.said.note == "replaced since"


def test_what_is_no_instant_is_refused_with_examples(world: World) -> None:
    world.apply(cron("1 2 * * *"))
    with pytest.raises(UsageError) as caught:
        ask(world, "nightly", "noon")
    assert "02:30" in caught.value.hint


def test_a_retired_job_is_told_in_its_own_zone(world: World) -> None:
    berlin = cron("1 3 * * *")
    world.apply(replace(berlin, schedule=replace(berlin.schedule, timezone="Europe/Berlin")))
    world.tick(90)
    world.retire("nightly")
    chain = ask(world, "nightly", "03:01")
    assert (chain.verdict, chain.zone) == (Verdict.OK, "Europe/Berlin")
    assert chain.said is not None and chain.said.note == "retired since"


def test_explain_reads_the_standing_definition_and_its_runs(world: World) -> None:
    world.behave("nightly", duration=5.0)
    world.apply(cron("* * * * *"))
    world.tick(150)
    found = explain(Asker(world.history, world.config, "nightly", world.time).now_facts(), 3)
    assert found.durations is not None and found.durations.count == 2
    assert [fire.at for fire in found.fires] == [NIGHT + n * MINUTE for n in (3, 4, 5)]


# -- a long ledger ------------------------------------------------------------------------------------------------
MANY = 100_000
RAN = running(Phase.SUCCEEDED, finished_at=NIGHT, collected=True, discarded=True)


@pytest.fixture(scope="module")
def long_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job that ran well every minute for seventy days."""
    path = tmp_path_factory.mktemp("long") / "reconciler.db"
    history = open_history(path)
    spec = cron("* * * * *", "a/job")
    first = NIGHT - MANY * MINUTE
    history.put_standing(standing(spec=spec, digest=digest_of(spec), cursor=NIGHT, applied_at=first, anchor=first))
    made = replace(RAN, slot=NIGHT, run_id=run_id("a/job", NIGHT, 1))
    history.claim(made)
    history.update_run(made, slot_record(made, Disposition.RAN, ""))
    history.close()
    copy_back(path, MANY)
    return path


def copy_back(path: Path, count: int) -> None:
    """The newest run and its slot once more for each minute before."""
    columns = {name: name for name in rows.RUN_COLUMNS}
    columns |= {"run_id": "'a.job.' || n", "slot": "strftime('%Y-%m-%dT%H:%M:%S.000Z', slot, '-' || n || ' minutes')"}
    ended = columns["slot"].replace("slot", "first")
    numbers = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)"
    raw = sqlite3.connect(path)
    raw.execute(f"{numbers} INSERT INTO runs ({', '.join(columns)}) SELECT {', '.join(columns.values())} "
                "FROM numbers, (SELECT * FROM runs)", (count,))  # fmt: skip
    raw.execute(f"""{numbers} INSERT INTO slots (job, first, last, count, disposition, reason, run_id, manual)
        SELECT job, {ended}, {ended}, 1, disposition, reason, run_id, 0
        FROM numbers, (SELECT * FROM slots)""", (count,))  # fmt: skip
    raw.commit()
    raw.close()


@pytest.mark.slow
@pytest.mark.parametrize("said", [None, "02:30", "2026-10-01T02:30", "02:30:30", "2026-12-24T02:30"])
def test_why_over_a_hundred_thousand_runs_takes_less_than_half_a_second(long_ledger: Path, said: str | None) -> None:
    history = open_history(long_ledger, read_only=True)
    began = time.process_time()
    asker = Asker(history, ServiceConfig(), "a/job", NIGHT + timedelta(seconds=30))
    chain = why(asker.facts(asker.slot(said)))
    took = time.process_time() - began
    history.close()
    assert chain.job == "a/job"
    assert chain.slot is not None or said == "02:30:30"
    assert took < 0.5
