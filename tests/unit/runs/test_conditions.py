"""A job's status line says what an operator must know, worst first, and never calls a missed slot fine (rule P7)."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from reconciler.model.desired import HeldJob
from reconciler.model.job import Schedule, ScheduleKind
from reconciler.model.problem import SpecProblem
from reconciler.model.run import Disposition, Pause, Phase, RunRecord, SlotRecord, Trigger
from reconciler.runs.conditions import State, summarise, worst_first

from .kit import SLOT, running, spec, standing

DAY = timedelta(days=1)
NOW = SLOT + 20 * DAY
HELD = HeldJob("a/job", "a/job.yaml", "a", (SpecProblem("a/job.yaml", 9, 1, "unknown-key", 'unknown key "parameter"'),))
PAUSE = Pause("*", SLOT, None, "supplier moves", "cleo")


def at(day: int, phase: Phase, attempt: int = 1, **fields: object) -> RunRecord:
    slot = SLOT + day * DAY
    return replace(running(phase, attempt=attempt), slot=slot, run_id=f"r{day}.{attempt}", reason=phase.value, **fields)


def slot(day: int, disposition: Disposition, count: int = 1) -> SlotRecord:
    last = SLOT + day * DAY
    return SlotRecord("a/job", last - (count - 1) * DAY, last, count, disposition, f"was {disposition}")


OK, BAD = Phase.SUCCEEDED, Phase.FAILED
TABLE = [
    ("a new job has never run", [], [], State.NEVER_RUN, "", 0),
    ("its first run is under way", [at(0, Phase.RUNNING)], [], State.OK, "", 0),
    ("all is well", [at(d, OK) for d in range(3)], [], State.OK, "...", 0),
    ("ten marks at most", [at(d, OK) for d in range(14)], [], State.OK, "." * 10, 0),
    ("three failures in a row", [at(0, OK), at(1, BAD), at(2, Phase.OOM), at(3, Phase.LOST)], [], State.FAILING,
     ".xxx", 3),
    ("a failure that was mended", [at(0, BAD), at(1, OK)], [], State.OK, "x.", 0),
    ("a retry that went well speaks for its slot", [at(0, BAD), at(0, OK, 2)], [], State.OK, ".", 0),
    ("an attempt that never started says nothing", [at(0, Phase.CANCELLED, superseded_by="r0.2"), at(0, OK, 2)], [],
     State.OK, ".", 0),
    ("the latest slot was missed", [at(0, OK)], [slot(1, Disposition.MISSED)], State.MISSED, ".-", 0),
    ("a range of missed slots", [at(0, OK)], [slot(4, Disposition.MISSED, 4)], State.MISSED, ".----", 0),
    ("the latest slot was not available", [at(0, OK)], [slot(1, Disposition.UNAVAILABLE)], State.MISSED, ".-", 0),
    ("a missed slot before a good run", [at(2, OK)], [slot(1, Disposition.MISSED)], State.OK, "-.", 0),
    ("skipped is no alarm", [at(0, OK)], [slot(1, Disposition.SKIPPED)], State.OK, ".-", 0),
    ("a skipped slot does not end a streak", [at(0, BAD), at(2, BAD)], [slot(1, Disposition.SKIPPED)], State.FAILING,
     "x-x", 2),
    ("slots under a pause leave no mark", [at(0, OK)], [slot(1, Disposition.PAUSED)], State.OK, ".", 0),
    ("the slot's own row is not counted twice", [at(0, OK)], [slot(0, Disposition.RAN)], State.OK, ".", 0),
    ("it retries", [at(0, BAD), at(0, Phase.PENDING, 2, trigger=Trigger.RETRY)], [], State.RETRYING, "x", 1),
    ("it cannot be prepared", [at(0, OK), at(1, Phase.PENDING, tries=4)], [], State.RETRYING, ".", 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("runs", "slots", "state", "marks", "streak"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_P7_status(runs: list[RunRecord], slots: list[SlotRecord], state: State, marks: str, streak: int) -> None:
    for order in (runs, runs[::-1]):
        status = summarise(standing(), order, slots, (), None, NOW)
        assert (status.state, status.marks, status.streak) == (state, marks, streak)
    assert status.why or state is State.OK


def test_P7_a_streak_says_since_when_and_why() -> None:
    status = summarise(standing(), [at(0, OK), at(1, BAD), at(2, Phase.TIMED_OUT)], [], (), None, NOW)
    assert (status.since, status.why) == (SLOT + DAY, "timed_out")
    assert status.last is not None
    assert status.last.run_id == "r2.1"


def test_P7_running_runs_are_counted() -> None:
    runs = [at(0, Phase.RUNNING), at(1, Phase.STOPPING), at(2, Phase.PENDING)]
    assert summarise(standing(), runs, [], (), None, NOW).running == 2


def test_P7_what_an_operator_said_comes_before_what_the_runs_say() -> None:
    failing = [at(0, BAD)]
    paused = summarise(standing(), failing, [], (PAUSE,), None, NOW)
    assert (paused.state, paused.why) == (State.PAUSED, "by cleo: supplier moves")
    suspended = summarise(standing(spec=spec(suspend=True)), failing, [], (), None, NOW)
    assert suspended.state is State.SUSPENDED
    forbidden = summarise(standing(forbidden="image not allowed"), failing, [], (PAUSE,), None, NOW)
    assert (forbidden.state, forbidden.why) == (State.FORBIDDEN, "image not allowed")


def test_P7_an_ended_pause_is_none() -> None:
    ended = replace(PAUSE, until=NOW - DAY)
    assert summarise(standing(), [at(0, OK)], [], (ended,), None, NOW).state is State.OK


def test_P7_a_held_job_says_where_it_is_broken() -> None:
    fine = summarise(standing(), [at(0, OK)], [], (), HELD, NOW)
    assert (fine.state, fine.why) == (State.HELD, 'a/job.yaml:9:1: unknown key "parameter"')
    failing = summarise(standing(), [at(0, BAD)], [], (), HELD, NOW)
    assert failing.state is State.FAILING
    assert failing.held
    newcomer = summarise(None, [], [], (), HELD, NOW)
    assert (newcomer.name, newcomer.owner, newcomer.state) == ("a/job", "a", State.HELD)


def test_P7_a_manual_job_waits_for_a_person() -> None:
    manual = standing(spec=spec(schedule=Schedule(ScheduleKind.MANUAL, "manual")))
    assert summarise(manual, [], [], (), None, NOW).why == "waits for a run by hand"


def test_P7_worst_first_then_by_name() -> None:
    good, bad = [at(0, OK)], [at(0, BAD)]
    statuses = [
        replace(summarise(standing(), good, [], (), None, NOW), name="b"),
        replace(summarise(standing(), good, [], (), None, NOW), name="a"),
        replace(summarise(standing(), bad, [], (), None, NOW), name="z"),
        replace(summarise(standing(forbidden="x"), good, [], (), None, NOW), name="y"),
    ]
    assert [status.name for status in worst_first(statuses)] == ["y", "z", "a", "b"]


def test_a_status_needs_a_job() -> None:
    with pytest.raises(ValueError, match="standing"):
        summarise(None, [], [], (), None, datetime.now(SLOT.tzinfo))
