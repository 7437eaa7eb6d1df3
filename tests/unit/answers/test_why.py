"""One causal chain for every fate of a slot: which rule, what stood in the way, what comes next, what one can do."""

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.answers.chain import Verdict
from reconciler.answers.facts import Durations, Facts
from reconciler.answers.why import why
from reconciler.answers.why_json import data
from reconciler.model.desired import HeldJob
from reconciler.model.job import (
    CatchUp,
    Concurrency,
    Location,
    Queue,
    Resources,
    Retries,
    Schedule,
    ScheduleKind,
    WaitFor,
)
from reconciler.model.problem import SpecProblem
from reconciler.model.run import Disposition, FailureClass, Pause, Phase, Trigger
from tests.unit.answers.kit import (
    DAY,
    HOUR,
    JOB,
    LONG_AGO,
    MINUTE,
    NOW,
    ORIGIN,
    SLOT,
    fact,
    facts,
    row,
    run,
    spec,
    standing,
)

BEGAN = SLOT - DAY + 35 * MINUTE
STUCK = fact(run(Phase.RUNNING, 3, SLOT - DAY, started_at=BEGAN), last_line="waiting for lock orders",
             line_at=BEGAN + MINUTE)  # fmt: skip
SKIPPED = row(Disposition.SKIPPED, f"{STUCK.run.run_id} was still running (concurrency_policy: Forbid)")
PAUSE = Pause(JOB, SLOT - HOUR, SLOT + 9 * HOUR, "supplier moves", "cleo")
DEGRADED = ("nothing fires: cannot reach the service [service-not-running]",)


def ended(phase: Phase, failure: FailureClass, reason: str, attempt: int = 1, **fields: object) -> Facts:
    made = fact(run(phase, attempt, failure=failure, reason=reason, **fields))
    disposition = Disposition.LOST if phase is Phase.LOST else Disposition.RAN
    return facts(runs=(made,), slot=row(disposition, reason, decided_at=None))


EXIT = {"exit_code": 3}
LATE = row(Disposition.MISSED, "not running 2026-11-24T23:00:00Z to 2026-11-25T01:40:00Z; start deadline passed")
TABLE = [
    ("it ran", facts(runs=(fact(run()),), slot=row(Disposition.RAN, "")), Verdict.OK, "it ended well", "", ""),
    ("it runs", facts(runs=(fact(run(Phase.RUNNING)),)), Verdict.RUNNING, "attempt 1 is running", "",
     f"reconciler logs {run().run_id} -f"),
    ("it waits", facts(runs=(fact(run(Phase.PENDING)),)), Verdict.WAITING, "attempt 1 is pending", "",
     f"reconciler show {run().run_id}"),
    ("it waits for its retry",
     facts(runs=(fact(run(Phase.FAILED)), fact(run(Phase.PENDING, 2, retry_at=NOW + MINUTE)))), Verdict.RETRYING,
     "attempt 2 is pending",
     "", f"reconciler stop {run(attempt=2).run_id}"),
    ("its command failed", ended(Phase.FAILED, FailureClass.EXIT, "exit 3", **EXIT), Verdict.FAILED,
     "its command failed: exit 3", "retries.limit", f"reconciler logs {run().run_id}"),
    ("it could not be started", ended(Phase.FAILED, FailureClass.REJECTED, "no such user", started_at=None),
     Verdict.FAILED, "it could not be started: no such user", "retries.limit", f"reconciler run {JOB}"),
    ("it ran too long", ended(Phase.TIMED_OUT, FailureClass.TIMEOUT, "timeout of 86400 s"), Verdict.TIMED_OUT,
     "it ran longer than its timeout", "timeout", f"set `timeout: 2d` in {JOB}.yaml"),
    ("it ran out of memory", ended(Phase.OOM, FailureClass.OOM, "out of memory"), Verdict.OOM,
     "out of memory", "resources.memory", f"reconciler logs {run().run_id}"),
    ("the host went down", ended(Phase.LOST, FailureClass.HOST, "the host went down"), Verdict.LOST,
     "it ran, and how it ended cannot be known: the host went down", "retries.limit", f"reconciler run {JOB}"),
    ("somebody stopped it", ended(Phase.CANCELLED, FailureClass.STOPPED, "stopped by anna: enough"), Verdict.CANCELLED,
     "somebody stopped it: stopped by anna: enough", "stop", ""),
    ("the run before it still ran", facts(slot=SKIPPED, others=(STUCK,)), Verdict.SKIPPED,
     "the run before it was still active", "concurrency_policy", f"reconciler stop {STUCK.run.run_id}"),
    ("the service was down", facts(slot=LATE), Verdict.MISSED,
     "it was noticed later than it may start: the service did not run from 00:00 to 02:40",
     "start_deadline", f"reconciler run {JOB}"),
    ("nothing is caught up",
     facts(slot=row(Disposition.MISSED, "decided late; catch_up: none"), spec=spec(catch_up=CatchUp.NONE)),
     Verdict.MISSED, "it was noticed late, and nothing is caught up: it was decided late", "catch_up",
     f"set `catch_up: latest` in {JOB}.yaml"),
    ("it waited too long for a place",
     facts(slot=row(Disposition.MISSED, "waited longer than 3600 s (limits.queue_timeout) for a place")),
     Verdict.MISSED, "it waited too long for its place", "limits.queue_timeout",
     "raise limits.max_running or limits.queue_timeout in the service file"),
    ("it waited too long for its turn",
     facts(slot=row(Disposition.MISSED, "waited longer than 600 s (queue.timeout) for x.1 to end"),
           spec=spec(concurrency_policy=Concurrency.QUEUE, queue=Queue(timeout=600.0))),
     Verdict.MISSED, "it waited too long for its turn", "queue.timeout",
     f"set `queue: {{timeout: 20m}}` in {JOB}.yaml"),
    ("another job did not succeed",
     facts(slot=row(Disposition.MISSED, "waited in vain for data/etl to succeed for 2026-11-25T01:00:00Z (wait_for)"),
           spec=spec(wait_for=(WaitFor("data/etl", 600.0),))),
     Verdict.MISSED, "what it waits for did not come", "wait_for", "reconciler why data/etl"),
    ("its image is missing", facts(slot=row(Disposition.UNAVAILABLE, "not ready by its deadline: no such image")),
     Verdict.UNAVAILABLE, "it could not be made ready in time", "start_deadline", "reconciler doctor"),
    ("it is paused", facts(slot=row(Disposition.PAUSED, "paused by cleo: supplier moves"), pauses=(PAUSE,)),
     Verdict.PAUSED, "its job was paused", "pause", f"reconciler resume {JOB}"),
    ("all jobs are paused", facts(slot=row(Disposition.PAUSED, "paused by cleo"), pauses=(replace(PAUSE, job="*"),)),
     Verdict.PAUSED, "its job was paused", "pause", "reconciler resume --all"),
    ("it is suspended", facts(slot=row(Disposition.SUSPENDED, "suspended in git (suspend: true)"),
                              standing=standing(spec=spec(suspend=True)),
                              origin=replace(ORIGIN, places={"suspend": Location(f"{JOB}.yaml", 7)})),
     Verdict.SUSPENDED, "its job was suspended in git", "suspend", f"remove `suspend: true` at {JOB}.yaml:7"),
    ("it is forbidden", facts(slot=row(Disposition.FORBIDDEN, "forbidden: no image of it"),
                              standing=standing(forbidden="no image of it")),
     Verdict.FORBIDDEN, "policy does not allow its job", "policy",
     f"change {JOB}.yaml, or `policy` in the service file"),
    ("its retry gave way", facts(runs=(fact(run(Phase.FAILED)),), slot=row(Disposition.SUPERSEDED,
                                                                           "the next slot is due")),
     Verdict.SUPERSEDED, "it waited to try again, and the next slot came", "retries.limit", f"reconciler run {JOB}"),
    ("its day is excluded", facts(slot=row(Disposition.BLACKOUT, "on an excluded day (schedule: exclude)")),
     Verdict.BLACKOUT, "its day is excluded", "schedule", f"reconciler run {JOB}"),
    ("its run has aged out", facts(slot=row(Disposition.RAN, "", run_id="x.1")), Verdict.OK,
     "it ran as x.1; that run has aged out", "", ""),
    ("some cells failed", facts(runs=(fact(run(cell=0, cells=3)), fact(run(Phase.FAILED, cell=1, cells=3)),
                                      fact(run(Phase.FAILED, cell=2, cells=3)))),
     Verdict.FAILED, "of 3 cells 1 succeeded, 2 failed", "retries.limit", f"reconciler run {JOB}"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "verdict", "headline", "rule", "can"), [r[1:] for r in TABLE], ids=[r[0] for r in TABLE]
)
def test_T5_why(given: Facts, verdict: Verdict, headline: str, rule: str, can: str) -> None:
    chain = why(given)
    assert (chain.verdict, chain.headline) == (verdict, headline)
    assert [found.name for found in chain.rules][:1] == ([rule] if rule else [])
    if can:
        assert can in [step.do for step in chain.can]
    else:
        assert not [step for step in chain.can if "run" in step.do]
    assert chain.said is not None
    assert (chain.said.path, chain.said.commit.author) == (f"{JOB}.yaml", "Cleo Baum")
    assert data(chain)["slot"] == "2026-11-25T01:30:00Z"


def test_a_rule_says_who_said_it() -> None:
    (found,) = why(facts(slot=SKIPPED, others=(STUCK,))).rules
    assert (found.value, found.source) == ("Forbid", "the default")
    own = replace(ORIGIN, places={**ORIGIN.places, "concurrency_policy": Location(f"{JOB}.yaml", 8)})
    assert why(facts(slot=SKIPPED, origin=own)).rules[0].source == f"{JOB}.yaml:8"
    assert why(facts(slot=SKIPPED, origin=None)).rules[0].source == ""


def test_not_it_is_what_the_slot_had_passed_and_what_was_well() -> None:
    assert why(facts(slot=SKIPPED)).not_it == (
        "policy", "suspend", "pause", "start_deadline", "catch_up", "engine", "ledger", "clock",
    )  # fmt: skip
    paused = facts(slot=row(Disposition.PAUSED, "paused by cleo"))
    assert why(paused).not_it == ("policy", "suspend", "engine", "ledger", "clock")
    failed = why(ended(Phase.FAILED, FailureClass.EXIT, "exit 3"))
    assert "image" in failed.not_it and "overlap" in failed.not_it
    never = why(ended(Phase.FAILED, FailureClass.REJECTED, "no such user", started_at=None))
    assert "image" not in never.not_it
    assert why(facts(runs=(fact(run()),))).not_it == ()


def test_the_next_thing_is_the_blockers_timeout_and_a_shorter_one_is_proposed() -> None:
    chain = why(facts(slot=SKIPPED, others=(STUCK,)))
    assert [(step.at, step.what) for step in chain.next] == [
        (BEGAN + DAY, "timeout of 24h (the default): TERM, KILL 30s later"),
        (SLOT + DAY, "next slot"),
    ]
    assert f"set `timeout: 1h` in {JOB}.yaml" in [step.do for step in chain.can]
    own = replace(ORIGIN, places={**ORIGIN.places, "timeout": Location(f"{JOB}.yaml", 9)})
    given = facts(slot=SKIPPED, others=(STUCK,), origin=own)
    assert f"set `timeout: 1h` at {JOB}.yaml:9" in [step.do for step in why(given).can]


def test_a_blocker_that_has_ended_is_not_to_be_stopped() -> None:
    gone = fact(run(Phase.FAILED, slot=SLOT - DAY, finished_at=SLOT + MINUTE))
    chain = why(facts(slot=SKIPPED, others=(gone,)))
    assert chain.blockers[0].until == SLOT + MINUTE
    assert [step.do for step in chain.can] == [f"reconciler run {JOB}"]


def test_a_slot_of_a_definition_that_is_gone_says_so() -> None:
    newer = standing(digest="d2", spec=spec(image="sync:2"), applied_at=NOW, revision="f" * 40)
    chain = why(facts(runs=(fact(run()),), slot=row(Disposition.RAN, ""), standing=newer, spec=spec()))
    assert chain.said is not None
    assert (chain.said.note, chain.said.applied_at) == ("replaced since", None)
    unknown = why(facts(slot=SKIPPED, standing=newer, spec=None, origin=None))
    assert unknown.said is not None
    assert unknown.said.note == "what was in force before that is not known"
    retired = why(facts(slot=SKIPPED, standing=None, spec=spec()))
    assert retired.said is not None and retired.said.note == "retired since"
    assert retired.can == ()


def test_a_broken_newest_file_and_a_service_that_is_away_are_told_beside() -> None:
    held = HeldJob(
        JOB, f"{JOB}.yaml", "web", (SpecProblem(f"{JOB}.yaml", 9, 1, "unknown-key", "unknown key", "drop it"),)
    )
    chain = why(facts(slot=SKIPPED, held=held, degraded=DEGRADED))
    assert chain.notes == (
        f"its newest file cannot be used, the definition before it stays: {JOB}.yaml:9:1: unknown key", *DEGRADED,
    )  # fmt: skip
    applied = why(facts(slot=SKIPPED, held=replace(held, apply_failed=True)))
    assert applied.notes[0].startswith("its newest change could not be applied, the definition before it stays: ")
    assert chain.can[-1].do == f"fix {JOB}.yaml:9"
    assert chain.can[-1].why == "drop it"


def test_a_range_is_told_as_one() -> None:
    first = SLOT - 3 * DAY
    chain = why(facts(slot=row(Disposition.PAUSED, "paused by cleo", first=first, last=SLOT + DAY, count=5)))
    assert chain.span is not None
    assert (chain.span.first, chain.span.last, chain.span.count) == (first, SLOT + DAY, 5)


# -- no slot ------------------------------------------------------------------------------------------------------
def test_an_instant_that_is_no_slot_gets_its_neighbours() -> None:
    chain = why(facts(at=SLOT + HOUR, now=NOW + DAY))
    assert (chain.verdict, chain.slot) == (Verdict.NO_SLOT, None)
    assert (chain.before, chain.after) == (SLOT, SLOT + DAY)
    manual = standing(spec=spec(schedule=Schedule(ScheduleKind.MANUAL)))
    assert why(facts(standing=manual)).headline == "is no slot: it never fires by itself"
    assert "not applied" in why(facts(standing=None, at=SLOT)).headline


def test_a_slot_that_nobody_recorded_says_why() -> None:
    young = standing(applied_at=NOW, anchor=NOW, cursor=NOW)
    assert why(facts(standing=young)).headline == "nothing was owed: this schedule was applied later"
    aged = why(facts(at=SLOT - 20 * DAY))
    assert aged.verdict is Verdict.FORGOTTEN
    assert aged.headline == "it has aged out of history (history.keep_for: 90d)"


# -- what is to come ----------------------------------------------------------------------------------------------
TOMORROW = SLOT + DAY
USUAL = Durations(600.0, 840.0, 40)
HOURLY = standing(spec=spec(schedule=Schedule(ScheduleKind.CRON, "0 * * * *", "UTC")), cursor=NOW)
SOON = SLOT + 30 * MINUTE
FUTURE = [
    ("nothing stands in its way", facts(at=TOMORROW), Verdict.WILL_FIRE, "nothing that is known stands in its way"),
    ("it is paused by then", facts(at=TOMORROW, pauses=(replace(PAUSE, until=None),)), Verdict.WILL_NOT_FIRE,
     "it is paused by cleo: supplier moves"),
    ("the pause will have ended", facts(at=TOMORROW, pauses=(PAUSE,)), Verdict.WILL_FIRE, ""),
    ("it is suspended", facts(at=TOMORROW, standing=standing(spec=spec(suspend=True))), Verdict.WILL_NOT_FIRE,
     "it is suspended in git"),
    ("it is forbidden", facts(at=TOMORROW, standing=standing(forbidden="no image")), Verdict.WILL_NOT_FIRE,
     "policy forbids it: no image"),
    ("it is being retired", facts(at=TOMORROW, standing=standing(retiring=True)), Verdict.WILL_NOT_FIRE,
     "the job is being retired"),
    ("the clock was set back", facts(at=TOMORROW, standing=standing(cursor=SLOT + 9 * DAY)), Verdict.WILL_NOT_FIRE,
     "the clock was set back, and it is silent until 2026-12-05 01:30:00 UTC"),
    ("its day is excluded", facts(at=TOMORROW, standing=standing(
        spec=spec(schedule=replace(spec().schedule, exclude="2026-11-26")))), Verdict.WILL_NOT_FIRE,
     "its day is excluded (schedule: exclude)"),
    ("nothing may start", facts(at=TOMORROW, drained="drained by anna since 2026"), Verdict.WILL_NOT_FIRE,
     "nothing is started: drained by anna since 2026"),
    ("the service is away", facts(at=TOMORROW, degraded=DEGRADED), Verdict.MAY_NOT_FIRE, DEGRADED[0]),
    ("a run is longer than usual", facts(at=SOON, standing=HOURLY, others=(STUCK,)), Verdict.MAY_NOT_FIRE,
     f"{STUCK.run.run_id} has run for 23h42m, longer than usual (p95 14m)"),
    ("a run will be over by then",
     facts(at=SOON, standing=HOURLY, others=(fact(run(Phase.RUNNING, slot=NOW - 5 * MINUTE)),)), Verdict.WILL_FIRE, ""),
    ("a run may still go on", facts(at=SOON, standing=HOURLY, others=(fact(run(Phase.RUNNING, slot=NOW + MINUTE)),)),
     Verdict.MAY_NOT_FIRE, "may still run: p50 10m, p95 14m"),
    ("a run will probably go on", facts(at=SOON, standing=HOURLY, durations=Durations(900.0, 960.0, 9),
                                        others=(fact(run(Phase.RUNNING, slot=NOW)),)),
     Verdict.MAY_NOT_FIRE, "will probably still run: p50 15m, p95 16m"),
    ("its timeout ends it before", facts(at=SOON, standing=HOURLY, others=(
        fact(run(Phase.RUNNING, slot=NOW), spec=spec(timeout=60.0)),)), Verdict.WILL_FIRE, ""),
    ("a retry that waits gives way", facts(at=SOON, standing=HOURLY, others=(
        fact(run(Phase.PENDING, 2, retry_at=SOON + MINUTE)),)), Verdict.WILL_FIRE, ""),
    ("nobody knows how long it takes", facts(at=SOON, standing=HOURLY, durations=None, others=(STUCK,)),
     Verdict.MAY_NOT_FIRE, "how long it takes is not known yet"),
    ("the slot before it takes longer", facts(at=SLOT + 90 * MINUTE, standing=HOURLY,
                                              durations=Durations(600.0, 4000.0, 9)),
     Verdict.MAY_NOT_FIRE, "the run of the slot before it, 1h earlier, may still run: p95 1h6m40s"),
    ("overlaps are allowed", facts(at=SOON, others=(STUCK,), standing=replace(
        HOURLY, spec=replace(HOURLY.spec, concurrency_policy=Concurrency.ALLOW))), Verdict.WILL_FIRE, ""),
]  # fmt: skip


@pytest.mark.parametrize(("given", "verdict", "told"), [r[1:] for r in FUTURE], ids=[r[0] for r in FUTURE])
def test_T5_what_will_become_of_a_slot(given: Facts, verdict: Verdict, told: str) -> None:
    chain = why(given)
    assert chain.verdict is verdict
    assert told in chain.headline


def test_what_stands_in_the_way_names_its_setting_and_what_to_do() -> None:
    chain = why(facts(at=SOON, standing=HOURLY, others=(STUCK,)))
    assert [found.name for found in chain.rules] == ["concurrency_policy"]
    assert chain.can[0].do == f"reconciler stop {STUCK.run.run_id}"
    paused = why(facts(at=TOMORROW, pauses=(replace(PAUSE, until=TOMORROW + HOUR),)))
    assert [step.do for step in paused.can] == [f"reconciler resume {JOB}"]
    assert [step.what for step in paused.next] == [
        "next slot, which will not fire: it is paused by cleo: supplier moves", "the pause by cleo ends",
    ]  # fmt: skip


def test_T2_a_day_on_which_clocks_change_is_told() -> None:
    spring = SLOT.replace(year=2027, month=3, day=28, hour=1, minute=0)
    chain = why(facts(at=spring))
    assert chain.verdict is Verdict.WILL_FIRE
    assert chain.notes[0] == (
        "that day the clocks go forward from 02:00 to 03:00: "
        "02:30 does not exist and fires once, right after the gap at 03:00 (dst.gap: after)"
    )


def test_a_slot_that_is_due_says_whether_it_may_still_start() -> None:
    waiting = standing(cursor=SLOT - DAY, spec=spec(start_deadline=3600.0))
    chain = why(facts(standing=waiting, degraded=DEGRADED))
    assert (chain.verdict, chain.headline) == (Verdict.DUE, f"nobody has decided it yet: {DEGRADED[0]}")
    assert next((step.at, step.what) for step in chain.next) == (
        SLOT + HOUR, "until then it may still start (start_deadline)",
    )  # fmt: skip
    late = why(facts(standing=waiting, now=SLOT + 2 * HOUR))
    assert late.notes[0] == "its deadline has passed: it will be recorded as missed"


def test_R4_retries_are_proposed_only_where_there_are_none() -> None:
    tried = spec(retries=Retries(limit=2, on_exit_codes=(75,)))
    given = ended(Phase.FAILED, FailureClass.EXIT, "exit 3", **EXIT)
    chain = why(replace(given, spec=tried))
    assert [(found.name, found.value) for found in chain.rules] == [
        ("retries.limit", "2"), ("retries.on_exit_codes", "[75]"),
    ]  # fmt: skip
    assert not [step for step in chain.can if "retries" in step.do]
    assert [step for step in why(given).can if step.do == f"set `retries: {{limit: 2}}` in {JOB}.yaml"]


def test_more_memory_is_proposed_if_there_is_a_limit() -> None:
    given = replace(ended(Phase.OOM, FailureClass.OOM, "oom"), spec=spec(resources=Resources(memory=1 << 30)))
    assert f"set `resources: {{memory: 2g}}` in {JOB}.yaml" in [step.do for step in why(given).can]


def test_a_run_by_hand_is_a_slot_of_its_own() -> None:
    by_hand = SLOT + timedelta(milliseconds=417)
    made = fact(run(Phase.FAILED, slot=by_hand, trigger=Trigger.MANUAL, actor="anna", reason="exit 1"))
    chain = why(facts(at=by_hand, runs=(made,)))
    assert (chain.verdict, chain.slot, chain.attempts[0].actor) == (Verdict.FAILED, by_hand, "anna")


def test_nothing_is_proposed_to_be_run_that_may_not_run() -> None:
    given = ended(Phase.FAILED, FailureClass.EXIT, "exit 3")
    barred = why(replace(given, standing=standing(forbidden="no image")))
    assert f"reconciler run {JOB}" not in [step.do for step in barred.can]
    assert LONG_AGO < SLOT
