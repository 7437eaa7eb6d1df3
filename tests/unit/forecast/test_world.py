"""The time machine agrees with the rules: what it counts is what the service would do, slot by slot."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest

from reconciler.forecast import render
from reconciler.forecast.durations import Durations, learned
from reconciler.forecast.figures import Figures
from reconciler.forecast.heatmap import svg
from reconciler.forecast.span import Span, spans
from reconciler.forecast.world import simulate
from reconciler.model.job import After, CatchUp, Concurrency, JobSpec, Queue, Resources, Strategy, WaitFor
from reconciler.model.live import StandingJob
from reconciler.model.run import Phase, RunRecord, Trigger
from reconciler.model.service import Limits, ServiceConfig, Total
from tests.kit.world import NIGHT, World, cron, every

HOUR = timedelta(hours=1)
UTC_ZONE = ZoneInfo("UTC")


def forecast(
    *specs: JobSpec, hours: float = 1.0, takes: float = 30.0, limits: Limits | None = None,
    down: tuple[tuple[datetime, datetime], ...] = (), **each: float,
) -> Figures:  # fmt: skip
    jobs = {s.name: StandingJob(s.name, s, "d", "r", "p", NIGHT, NIGHT, NIGHT) for s in specs}
    span = Span(NIGHT, NIGHT + hours * HOUR, down)
    return simulate(jobs, span, Durations(takes, given=each), limits or Limits(), UTC_ZONE)


def test_every_slot_of_a_quiet_job_runs() -> None:
    job = forecast(cron("*/10 * * * *"), hours=24.1).jobs["nightly"]
    assert (job.fires, job.ran, job.trouble, job.busy) == (144, 144, 0, 144 * 30.0)


def test_R2_a_run_that_outlives_its_interval_skips_slots() -> None:
    figures = forecast(cron("*/10 * * * *"), takes=900.0)
    job = figures.jobs["nightly"]
    assert (job.fires, job.ran, dict(job.left_out)) == (6, 3, {"skipped": 3})
    assert "concurrency_policy: Forbid" in figures.left_out[0].reason


def test_R2_Allow_overlaps_and_the_peak_is_told() -> None:
    spec = cron("*/10 * * * *", concurrency_policy=Concurrency.ALLOW)
    figures = forecast(replace(spec, resources=replace(spec.resources, cpus=2.0, memory=1 << 30)), takes=1500.0)
    assert figures.jobs["nightly"].overlaps == 5
    assert (figures.running.value, figures.cpus.value, figures.memory.value) == (3, 6.0, 3 << 30)


def test_R2_Queue_waits_and_Replace_replaces() -> None:
    queued = forecast(cron("*/10 * * * *", concurrency_policy=Concurrency.QUEUE, queue=Queue(limit=2)), takes=900.0)
    job = queued.jobs["nightly"]
    assert (job.ran, job.waited, job.longest_wait) == (4, 3, 900.0)
    replaced = forecast(cron("*/10 * * * *", concurrency_policy=Concurrency.REPLACE), takes=900.0).jobs["nightly"]
    assert (replaced.ran, replaced.trouble) == (6, 0)


def test_R2_max_running_makes_a_crowd_wait() -> None:
    specs = [cron("5 * * * *", f"j{n}") for n in range(4)]
    figures = forecast(*specs, takes=60.0, limits=Limits(max_running=1), hours=0.5)
    assert figures.running.value == 1
    assert sorted(figures.jobs[spec.name].longest_wait for spec in specs) == [0.0, 60.0, 120.0, 180.0]
    impatient = forecast(*specs, takes=900.0, limits=Limits(max_running=1, queue_timeout=600.0), hours=0.9)
    assert sum(job.left_out["missed"] for job in impatient.jobs.values()) == 3


def test_R4_a_timeout_ends_it() -> None:
    job = forecast(cron("*/10 * * * *", timeout=60.0), takes=900.0, hours=1.1).jobs["nightly"]
    assert (job.ran, job.timed_out, job.busy) == (6, 6, 360.0)


def test_T6_a_downtime_is_caught_up_by_the_jobs_own_rule() -> None:
    down = ((NIGHT + timedelta(minutes=5), NIGHT + timedelta(minutes=45)),)
    latest = forecast(cron("*/10 * * * *"), down=down).jobs["nightly"]
    assert (latest.fires, latest.ran, latest.caught_up, dict(latest.left_out)) == (6, 3, 1, {"missed": 3})
    none = forecast(cron("*/10 * * * *", catch_up=CatchUp.NONE), down=down).jobs["nightly"]
    assert (none.ran, dict(none.left_out)) == (2, {"missed": 4})


def test_after_and_wait_for_are_followed() -> None:
    figures = forecast(
        cron("0 * * * *", "etl"), replace(every(10**8, "next"), after=(After("etl"),)),
        cron("0 * * * *", "report", wait_for=(WaitFor("etl", 1800.0),)), etl=600.0, hours=2.5,
    )  # fmt: skip
    assert figures.jobs["next"].ran == 2
    assert figures.jobs["report"].longest_wait == 600.0
    late = forecast(cron("0 * * * *", "etl"), cron("0 * * * *", "report", wait_for=(WaitFor("etl", 300.0),)), etl=600.0,
                    hours=1.9)  # fmt: skip
    assert dict(late.jobs["report"].left_out) == {"missed": 1}


@pytest.mark.parametrize("takes", [5.0, 26.0, 66.0])  # away from multiples of the interval
@pytest.mark.parametrize("policy", [Concurrency.FORBID, Concurrency.ALLOW, Concurrency.QUEUE])
def test_it_agrees_with_the_loop_that_fires(tmp_path: Path, takes: float, policy: Concurrency) -> None:
    """The same jobs, once imagined and once through the real loop on the memory engine."""
    specs = [every(20, "a", concurrency_policy=policy), cron("* * * * *", "b", concurrency_policy=policy, priority=3)]
    limits = Limits(max_running=2)
    world = World(tmp_path, ServiceConfig(state_dir=str(tmp_path), limits=limits))
    for spec in specs:
        world.behave(spec.name, duration=takes - 0.5)  # its end is noticed one step later
    world.apply(*specs)
    world.tick(299, step=0.5)
    figures = forecast(*specs, hours=299 / 3600, takes=takes, limits=limits)
    for spec in specs:
        started = [run for run in world.runs(spec.name) if run.started_at is not None]
        skipped = sum(count for _, word, count in world.slots(spec.name) if word == "skipped")
        assert (figures.jobs[spec.name].ran, figures.jobs[spec.name].left_out["skipped"]) == (len(started), skipped)


@pytest.mark.parametrize("takes", [5.0, 26.0])
@pytest.mark.parametrize("policy", [Concurrency.FORBID, Concurrency.REPLACE])
def test_it_agrees_with_the_loop_about_cells(tmp_path: Path, takes: float, policy: Concurrency) -> None:
    spec = every(60, "scan", strategy=Strategy(parallelism=5, max_parallel=2), concurrency_policy=policy)
    world = World(tmp_path)
    world.behave("scan", duration=takes - 0.5)
    world.apply(spec)
    world.tick(299, step=0.5)
    job = forecast(spec, hours=299 / 3600, takes=takes).jobs["scan"]
    began = {run.slot for run in world.runs("scan") if run.started_at is not None}
    skipped = sum(count for _, word, count in world.slots("scan") if word == "skipped")
    assert (job.ran, job.left_out["skipped"]) == (len(began), skipped)


def test_a_slot_of_cells_is_one_slot_and_takes_the_places_of_those_at_work() -> None:
    spec = cron("*/30 * * * *", "scan", strategy=Strategy(parallelism=5, max_parallel=2))
    figures = forecast(
        replace(spec, resources=replace(spec.resources, cpus=2.0)),
        replace(every(10**8, "next"), after=(After("scan"),)), takes=700.0, next=1.0, hours=1.9,
    )  # fmt: skip
    scan = figures.jobs["scan"]
    assert (scan.fires, scan.ran, scan.overlaps, dict(scan.left_out)) == (3, 2, 0, {"skipped": 1})
    assert (figures.running.value, figures.cpus.value, scan.busy) == (2, 4.0, 9 * 700.0)
    assert figures.jobs["next"].ran == 1, "fired once a slot, when its last cell has ended"


def test_a_suspended_jobs_slots_have_their_own_word() -> None:
    job = forecast(cron("*/10 * * * *", suspend=True)).jobs["nightly"]
    assert (job.fires, job.ran, dict(job.left_out)) == (6, 0, {"suspended": 6})


def test_slots_on_excluded_days_have_their_own_word() -> None:
    spec = cron("*/10 * * * *")
    job = forecast(replace(spec, schedule=replace(spec.schedule, exclude="2026-11-24"))).jobs["nightly"]
    assert (job.fires, job.ran, dict(job.left_out)) == (6, 0, {"blackout": 6})


def test_fail_fast_stops_the_other_cells_once_one_has_timed_out() -> None:
    strategy = Strategy(parallelism=5, max_parallel=2, fail_fast=True)
    figures = forecast(cron("30 * * * *", "scan", strategy=strategy, timeout=60.0), takes=900.0, hours=0.9)
    scan = figures.jobs["scan"]
    assert (scan.fires, scan.ran, scan.timed_out, scan.busy) == (1, 1, 1, 120.0)


def test_durations_are_given_before_they_are_learned_before_they_are_guessed() -> None:
    at = datetime(2026, 11, 24, tzinfo=UTC)
    runs = [
        RunRecord(
            f"a.{n}", "a", at, 1, Trigger.SCHEDULE, "s", "d", "r", phase, at, started_at=at, finished_at=at + took
        )
        for n, (phase, took) in enumerate(
            [(Phase.SUCCEEDED, 2 * HOUR), (Phase.FAILED, HOUR), (Phase.SUCCEEDED, 3 * HOUR)]
        )
    ]
    durations = Durations(60.0, {"d": 10.0}, {"b": 5.0}, {"a": learned(runs), "b": (1.0,), "c": ()})
    assert [durations("a", n) for n in range(3)] == [7200.0, 10800.0, 7200.0]
    assert (durations("b", 0), durations("c", 0), durations("d", 0)) == (5.0, 60.0, 5.0)
    assert durations.guessed(["a", "b", "c", "d"]) == ("c", "d")


def test_downtimes_that_meet_are_one() -> None:
    first, second, third = NIGHT, NIGHT + HOUR, NIGHT + 2 * HOUR
    assert spans([(second, third), (first, second)]) == ((first, third),)


def test_the_picture_is_well_formed_and_escapes_what_it_is_given() -> None:
    figures = forecast(cron("*/10 * * * *"), hours=48)
    root = ElementTree.fromstring(svg(figures, "<db1> & co"))
    squares = [node for node in root.iter() if node.tag.endswith("rect")]
    assert len(squares) == 1 + 7 * 24
    assert "<db1> & co" in (root.find("{http://www.w3.org/2000/svg}text").text or "")  # type: ignore[union-attr]


def test_the_table_says_what_is_lost_and_why() -> None:
    figures = forecast(cron("*/10 * * * *"), takes=900.0)
    text = render.table(figures, Span(NIGHT, NIGHT + HOUR))
    assert "6 slots = 3 ran + 3 skipped" in text
    assert "nightly Tue 2026-11-24 02:20  skipped:" in text
    assert render.data(figures, Span(NIGHT, NIGHT + HOUR))["jobs"]["nightly"]["left_out"] == {"skipped": 3}


def test_R2_a_forecast_counts_GPUs_as_the_service_leases_them() -> None:
    two = Resources(gpus=2)
    specs = [cron("0 * * * *", name, resources=two) for name in ("a", "b")]
    jobs = {s.name: StandingJob(s.name, s, "d", "r", "p", NIGHT, NIGHT, NIGHT) for s in specs}
    span = Span(NIGHT, NIGHT + 3 * HOUR)

    def peak(gpus: int | None) -> float:
        return simulate(jobs, span, Durations(600.0, {}), Limits(), UTC_ZONE, gpus).running.value

    assert (peak(None), peak(4), peak(3)) == (2, 2, 1)
    starved = simulate(jobs, span, Durations(600.0, {}), Limits(), UTC_ZONE, 1)
    assert starved.jobs["a"].left_out and not starved.jobs["a"].ran


def test_S1_a_forecast_shares_an_owners_total_as_the_service_does() -> None:
    specs = [cron("0 * * * *", name, owner="ml", resources=Resources(cpus=2)) for name in ("a", "b", "c")]
    jobs = {s.name: StandingJob(s.name, s, "d", "r", "p", NIGHT, NIGHT, NIGHT) for s in specs}
    span = Span(NIGHT, NIGHT + 3 * HOUR)

    def peak(**total: float) -> float:
        totals = {"ml": Total(**total)}  # type: ignore[arg-type]
        return simulate(jobs, span, Durations(600.0, {}), Limits(), UTC_ZONE, None, totals).running.value

    assert (peak(), peak(cpus=4), peak(cpus=3.9), peak(running=2)) == (3, 2, 1, 2)
