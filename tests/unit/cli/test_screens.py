"""What stands on the screens: worst first, nothing said twice, and a check that monitoring systems understand."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from reconciler.cli.check import verdict
from reconciler.cli.fleet import Row
from reconciler.cli.jobs import data, header, state
from reconciler.cli.records import asker, duration, lateness, record_data, result
from reconciler.cli.run import exit_code
from reconciler.cli.runs import centile
from reconciler.cli.show import lines, ways_in
from reconciler.model.desired import HeldJob
from reconciler.model.problem import SpecProblem
from reconciler.model.run import FailureClass, Pause, Phase, RunRecord, Trigger
from reconciler.model.service import ServiceConfig
from reconciler.runs.conditions import summarise
from tests.unit.runs.kit import SLOT, run, running, spec, standing

NOW = SLOT + timedelta(hours=7)
HELD = HeldJob("a/job", "a/job.yaml", "a", (SpecProblem("a/job.yaml", 9, 1, "unknown-key", "unknown key |x|"),))


def ended(phase: Phase, day: int = 0, **fields: object) -> RunRecord:
    slot = SLOT - timedelta(days=day)
    done = {"started_at": slot, "finished_at": slot + timedelta(minutes=4), "slot": slot, "run_id": f"r{day}"}
    return running(phase, **{**done, **fields})


def failed(day: int = 0, **fields: object) -> RunRecord:
    return ended(Phase.FAILED, day, **{"exit_code": 1, "failure": FailureClass.EXIT, "reason": "exit 1", **fields})


def row(*runs: RunRecord, pause: Pause | None = None, held: HeldJob | None = None, **fields: object) -> Row:
    job = standing(**fields)
    status = summarise(job, runs, (), [pause] if pause else [], held, NOW)
    return Row(status, job, None, pause, next((r for r in runs if r.phase is Phase.RUNNING), None))


def paused(until: datetime | None = None, reason: str = "") -> Pause:
    return Pause("*", SLOT, until, reason, "cleo")


OK_ROW, FAILING, RETRYING = (
    row(ended(Phase.SUCCEEDED)), row(failed(), failed(1), failed(2)),
    row(failed(superseded_by="r2"), run(attempt=2, trigger=Trigger.RETRY)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "degraded", "missing", "code", "said"),
    [
        ([OK_ROW], (), (), 0, "OK - 1 job, as it should be"),
        ([], (), (), 0, "OK - 0 jobs, all as they should be"),
        ([row(ended(Phase.SUCCEEDED), pause=paused())], (), (), 0, "OK - "),
        ([RETRYING], (), (), 1, "WARNING - a/job RETRYING: attempt 2"),
        ([row(ended(Phase.SUCCEEDED), held=HELD)], (), (), 1, "WARNING - a/job HELD: a/job.yaml:9:1: unknown key /x/"),
        ([row(ended(Phase.SUCCEEDED), pause=paused(), held=HELD)], (), (), 1, "WARNING - a/job HELD: a/job.yaml:9:1"),
        ([FAILING], (), (), 2, "CRITICAL - a/job FAILING, 3 in a row: exit 1"),
        ([row(forbidden="no image of it")], (), (), 2, "CRITICAL - a/job FORBIDDEN: no image of it"),
        ([OK_ROW], ("engine: away [engine-unavailable]",), (), 2, "CRITICAL - engine: away [engine-unavailable]"),
        ([], (), ("b/job",), 2, "CRITICAL - b/job is not there"),
        ([RETRYING, FAILING], (), (), 2, "CRITICAL - a/job FAILING, 3 in a row: exit 1; a/job RETRYING"),
    ],
)
def test_check_says_the_worst_in_one_line_and_a_code(
    rows: list[Row], degraded: tuple[str, ...], missing: tuple[str, ...], code: int, said: str
) -> None:
    found, text = verdict(rows, degraded, missing)
    assert found == code
    assert text.startswith(f"RECONCILER {said}")
    assert text.count("|") == 1
    assert "\n" not in text


def test_check_counts_for_graphs_and_shortens_what_is_long() -> None:
    _, text = verdict([FAILING] * 8, (), ())
    assert text.endswith("; 3 more | jobs=8 critical=8 warning=0 running=0")


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (OK_ROW, ""),
        (FAILING, "FAILING since Sun 02:00, 3 in a row"),
        (row(failed(reason="no space")), "FAILING: no space"),
        (row(ended(Phase.SUCCEEDED), pause=paused(NOW + timedelta(hours=3), "supplier moves")),
         "PAUSED by cleo till 12:00: supplier moves"),
        (row(ended(Phase.SUCCEEDED), pause=paused()), "PAUSED by cleo"),
        (row(spec=spec(suspend=True)), "SUSPENDED: suspend: true"),
        (row(), "never run: waits for its first slot"),
        (row(failed(), held=HELD), "FAILING · HELD: a/job.yaml:9:1: unknown key |x|"),
        (row(ended(Phase.SUCCEEDED), held=HELD), "HELD: a/job.yaml:9:1: unknown key |x|"),
    ],
    ids=["fine is said by silence", "a streak", "a reason", "a pause with an end", "a pause without", "suspended",
         "never run", "failing and held", "held"],
)  # fmt: skip
def test_P7_the_state_of_a_job_in_words(one: Row, said: str) -> None:
    assert state(one, "UTC", NOW) == said


@pytest.mark.parametrize(
    ("service", "degraded", "said"),
    [
        ({"engine_ok": True, "ref": "main", "synced_at": "2026-11-24T08:59:40Z"}, (),
         ["local  in step with 41d7a90 (main, read 20s ago) · docker ok · Tue 24 Nov 09:00, UTC"]),
        ({"engine_ok": False, "ref": "main", "synced_at": None}, ("engine: away [x]",),
         ["local  applied 41d7a90 · docker DOWN · Tue 24 Nov 09:00, UTC", "! engine: away [x]"]),
        ({}, ("nothing fires: no service [service-not-running]",),
         ["local  applied 41d7a90 · docker · Tue 24 Nov 09:00, UTC",
          "! nothing fires: no service [service-not-running]"]),
    ],
    ids=["all well", "the engine is away", "no service"],
)  # fmt: skip
def test_the_head_of_jobs_never_says_in_step_while_something_is_wrong(
    service: dict[str, object], degraded: tuple[str, ...], said: list[str]
) -> None:
    found = header(ServiceConfig(), "41d7a90" + "0" * 33, "docker", [FAILING, OK_ROW], service, degraded, NOW)
    assert found == [*said, "2 jobs: 1 fine · 1 failing      0 running now"]


def test_T7_a_job_that_waits_for_a_clock_that_was_set_back_says_so_and_the_way_out() -> None:
    waits = NOW + timedelta(days=2)
    status = summarise(standing(), [ended(Phase.SUCCEEDED)], (), (), None, NOW, waits)
    said = f"the clock was set back: silent until {waits:%Y-%m-%d %H:%M:%S} UTC; to fire from now on: "
    assert (status.state, status.why) == ("AHEAD", said + "reconciler resume a/job")
    assert verdict([Row(status, standing())], (), ())[0] == 2


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ([replace(HELD, apply_failed=True)], "in step with 41d7a90 except 1 that fails to apply · docker"),
        ([HELD, HELD], "in step with 41d7a90 except 2 held · docker"),
        ([HELD, *[replace(HELD, apply_failed=True)] * 2],
         "in step with 41d7a90 except 2 that fail to apply and 1 held · docker"),
    ],
)  # fmt: skip
def test_P7_the_head_of_jobs_says_how_many_are_not_in_step(held: list[HeldJob], said: str) -> None:
    rows = [OK_ROW, *(row(ended(Phase.SUCCEEDED), held=one) for one in held)]
    assert said in header(ServiceConfig(), "41d7a90" + "0" * 33, "docker", rows, {}, (), NOW)[0]


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (ended(Phase.SUCCEEDED), "ok"),
        (ended(Phase.SUCCEEDED, started_at=SLOT + timedelta(minutes=10, seconds=31)), "ok, 10m31s late"),
        (failed(), "failed, exit 1"),
        (failed(superseded_by="r2"), "failed, exit 1; retried"),
        (failed(exit_code=None, reason="no such image"), "failed: no such image"),
        (ended(Phase.TIMED_OUT, exit_code=143, reason="longer than 12m"), "timed out: longer than 12m"),
        (ended(Phase.OOM, exit_code=137, reason="probably"), "oom: probably"),
        (running(), "running"),
        (run(retry_at=SLOT, reason="no such image", tries=2), "tries again at 02:00:00 UTC: no such image"),
    ],
)
def test_how_a_run_ended_in_words(record: RunRecord, said: str) -> None:
    assert result(record)[0] == said


def test_a_run_by_hand_is_named_after_the_person() -> None:
    assert asker(run(trigger=Trigger.MANUAL, actor="anna")) == "anna"
    assert asker(run()) == "schedule"


def test_lateness_is_of_first_attempts_only_and_never_negative() -> None:
    assert lateness(running(started_at=SLOT + timedelta(seconds=0.25))) == 0.25
    assert lateness(running(started_at=SLOT - timedelta(milliseconds=1))) == 0.0
    assert lateness(running(attempt=2)) is None
    assert lateness(run()) is None
    assert duration(running()) is None


@pytest.mark.parametrize(
    ("record", "code"),
    [(ended(Phase.SUCCEEDED, exit_code=0), 0), (failed(exit_code=75), 75), (failed(exit_code=None), 1),
     (ended(Phase.TIMED_OUT, exit_code=0), 1), (ended(Phase.CANCELLED, exit_code=143), 143),
     (ended(Phase.LOST, exit_code=None), 1)],
)  # fmt: skip
def test_waiting_for_a_run_exits_with_its_code(record: RunRecord, code: int) -> None:
    assert exit_code(record) == code


@pytest.mark.parametrize(
    ("values", "p50", "p95"),
    [([], None, None), ([1.0], 1.0, 1.0), ([1.0, 2.0], 1.0, 2.0), (list(range(1, 101)), 50, 95)],
)
def test_percentiles_are_by_nearest_rank(values: list[float], p50: float | None, p95: float | None) -> None:
    assert (centile(values, 50), centile(values, 95)) == (p50, p95)


def test_show_leaves_out_what_was_not_reached_and_names_other_attempts() -> None:
    first, second = failed(superseded_by="r2"), run(attempt=2, trigger=Trigger.RETRY)
    said = dict(lines(second, spec(), [first, second], "Europe/Berlin", NOW))
    assert said["slot"] == "03:00 Europe/Berlin   2026-11-24T02:00:00Z"
    assert said["result"] == "pending   attempt 2 of 2"
    assert said["attempts"] == f"also {first.run_id}"
    assert not {"started", "finished", "prepared", "used"} & set(said)


def test_json_of_a_run_and_of_a_job_has_these_keys() -> None:
    assert list(record_data(failed())) == [
        "run_id", "job", "slot", "attempt", "trigger", "actor", "phase", "exit_code", "failure", "reason", "digest",
        "revision", "image_id", "image_digest", "claimed_at", "prepared_at", "start_requested_at", "started_at",
        "finished_at", "duration", "late", "retry_at", "stop_reason", "peak_memory", "cpu_seconds", "log", "log_bytes",
        "next_attempt", "parameters", "key", "cell", "cells", "replays", "devices", "hold_until", "code",
    ]  # fmt: skip
    found = data(replace(FAILING, pause=paused(NOW, "moves")))
    assert list(found) == [
        "name", "owner", "state", "why", "held", "apply_failed", "schedule", "timezone", "digest", "revision", "image",
        "path", "marks", "streak", "since", "running", "next", "paused", "last",
    ]  # fmt: skip
    assert found["paused"] == {"until": "2026-11-24T09:00:00Z", "reason": "moves", "actor": "cleo"}
    assert found["last"]["duration"] == 240.0


def test_show_says_how_to_look_into_what_is_kept_and_starts_nothing_of_the_job() -> None:
    kept, config = failed(hold_until=NOW), ServiceConfig(instance="db1", state_dir="/state")
    assert dict(lines(kept, spec(), [kept], "UTC", NOW))["kept"].startswith("its container, until ")
    assert "kept" not in dict(lines(replace(kept, discarded=True), spec(), [kept], "UTC", NOW))
    said = ways_in(kept, config, "docker")
    assert any(line.startswith(f"docker cp db1.{kept.run_id}:") for line in said)
    assert not [line for line in said if line.startswith(("docker start", "docker restart", "docker exec"))]
    assert "--entrypoint sh" in " ".join(line for line in said if line.startswith("docker run"))
    assert ways_in(kept, config, "process")[0].endswith(f"/state/process/runs/{kept.run_id}/work")
