"""The screens of `why` and `explain`, as a person reads them, and the keys of their JSON."""

from dataclasses import replace

import pytest

from reconciler.answers import explain_text
from reconciler.answers.chain import Chain
from reconciler.answers.explain import explain
from reconciler.answers.say import near, span
from reconciler.answers.why import why
from reconciler.answers.why_json import data
from reconciler.answers.why_text import lines
from reconciler.model.job import After, CatchUp, Concurrency, OnRetire, Retries, Schedule, ScheduleKind, WaitFor
from reconciler.model.run import Disposition, FailureClass, Phase, Trigger
from reconciler.plan.render_text import shown
from tests.unit.answers.kit import DAY, HOUR, MINUTE, NOW, SLOT, fact, facts, row, run, spec, standing
from tests.unit.answers.test_why import DEGRADED, HOURLY, LATE, PAUSE, SKIPPED, SOON, STUCK


def screen(chain: Chain) -> str:
    return "\n".join(shown(line, False) for line in lines(chain)) + "\n"


BLOCKED = """\
web/sync-catalog, slot Wed 25 Nov 02:30 Europe/Berlin (01:30 UTC):  SKIPPED, the run before it was still active.

  said by    41d7a90  Cleo Baum, Mon 23 Nov 16:02   web/sync-catalog.yaml:4   schedule: "30 2 * * *"
             "Hurry up"
             applied Sat 26 Sep 03:30
  due        02:30   decided 02:30:00.012
  rule       concurrency_policy: Forbid   (the default)
  blocker    web.sync-catalog.20261124T013000Z.3, running since Tue 24 Nov 03:05, now 23 h 42 min
             usual p95: 14 min (of 40 runs). Last log line 23 h 41 min ago: "waiting for lock orders"
  not it     policy, suspend, pause, start_deadline, catch_up, engine, ledger and clock were fine then

Next         03:05              timeout of 24h (the default): TERM, KILL 30s later
             Thu 26 Nov 02:30   next slot

You can      reconciler stop web.sync-catalog.20261124T013000Z.3      end it now
             reconciler logs web.sync-catalog.20261124T013000Z.3 -f   see what it does
             set `timeout: 1h` in web/sync-catalog.yaml               so that no run blocks many slots
"""
FAILED = """\
web/sync-catalog, slot Wed 25 Nov 02:30 Europe/Berlin (01:30 UTC):  OUT OF MEMORY, out of memory at 64 MiB.

  said by    41d7a90  Cleo Baum, Mon 23 Nov 16:02   web/sync-catalog.yaml:4   schedule: "30 2 * * *"
             "Hurry up"
             applied Sat 26 Sep 03:30
  due        02:30   decided 02:30:00.000
  rule       resources.memory: none   (the default)
  runs       attempt 1 (schedule)  failed (exit), exit 75   started 02:30:01, 1 s late   took 3 min 59 s
             attempt 2 (retry)  oom, exit 137: out of memory at 64 MiB   started 02:30:01   took 3 min 59 s
               it smells of a leak
               last log line: "loading"
  not it     policy, suspend, pause, start_deadline, catch_up, overlap, queue, image, engine, ledger and clock were fine then

Next         Thu 26 Nov 02:30   next slot

You can      reconciler logs web.sync-catalog.20261125T013000Z.2   what it printed
             reconciler run web/sync-catalog                       do it again now
"""  # noqa: E501
MISSED = """\
web/sync-catalog, slot Wed 25 Nov 02:30 Europe/Berlin (01:30 UTC):  MISSED, it was noticed later than it may start: the service did not run from 00:00 to 02:40.

  said by    41d7a90  Cleo Baum, Mon 23 Nov 16:02   web/sync-catalog.yaml:4   schedule: "30 2 * * *"
             "Hurry up"
             applied Sat 26 Sep 03:30
  due        02:30   decided 02:30:00.012
  rule       start_deadline: until the next slot, at most 12h   (the default)
  not it     policy, suspend, pause, engine, ledger and clock were fine then
  ! nothing fires: cannot reach the service [service-not-running]

Next         Thu 26 Nov 02:30   next slot

You can      reconciler run web/sync-catalog   do its work now
"""  # noqa: E501
PAUSED = """\
web/sync-catalog, slot Wed 25 Nov 02:30 Europe/Berlin (01:30 UTC):  PAUSED, its job was paused.

  said by    41d7a90  Cleo Baum, Mon 23 Nov 16:02   web/sync-catalog.yaml:4   schedule: "30 2 * * *"
             "Hurry up"
             applied Sat 26 Sep 03:30
  due        one of 4 slots that ended alike, Sun 22 Nov 02:30 to Wed 25 Nov 02:30
             the last of them decided 02:30
  rule       pause: paused by cleo: supplier moves
  not it     policy, suspend, engine, ledger and clock were fine then

Next         11:30              the pause by cleo ends
             Thu 26 Nov 02:30   next slot

You can      reconciler resume web/sync-catalog   end the pause
"""
TO_COME = """\
web/sync-catalog, slot Wed 25 Nov 03:00 Europe/Berlin (02:00 UTC):  MAY NOT FIRE, web.sync-catalog.20261124T013000Z.3 has run for 23h42m, longer than usual (p95 14m).

  said by    41d7a90  Cleo Baum, Mon 23 Nov 16:02   web/sync-catalog.yaml:4   schedule: "0 * * * *"
             "Hurry up"
             applied Sat 26 Sep 03:30
  rule       concurrency_policy: Forbid   (the default)
  blocker    web.sync-catalog.20261124T013000Z.3, running since Tue 24 Nov 03:05, now 23 h 42 min
             usual p95: 14 min (of 40 runs). Last log line 23 h 41 min ago: "waiting for lock orders"

Next         03:00   next slot
             03:05   timeout of 24h (the default): TERM, KILL 30s later

You can      reconciler stop web.sync-catalog.20261124T013000Z.3      end it now
             reconciler logs web.sync-catalog.20261124T013000Z.3 -f   see what it does
             set `timeout: 1h` in web/sync-catalog.yaml               so that no run blocks many slots
"""  # noqa: E501
NO_SLOT = """\
web/sync-catalog: Wed 25 Nov 03:30 Europe/Berlin (02:30 UTC) is no slot of it.
  nearest    Wed 25 Nov 02:30   the slot before it
             Thu 26 Nov 02:30   the slot after it
"""
TWICE = (
    fact(run(Phase.FAILED, 1, exit_code=75, failure=FailureClass.EXIT, reason="exit 75", superseded_by="x")),
    fact(run(Phase.OOM, 2, exit_code=137, failure=FailureClass.OOM, reason="out of memory at 64 MiB",
             trigger=Trigger.RETRY), hint="it smells of a leak", last_line="loading"),
)  # fmt: skip
SCREENS = [
    ("the run before it blocks it", facts(slot=SKIPPED, others=(STUCK,)), BLOCKED),
    ("both attempts failed", facts(runs=TWICE, slot=row(Disposition.RAN, "", decided_at=None)), FAILED),
    ("the service was down, and is", facts(slot=LATE, degraded=DEGRADED), MISSED),
    ("one of a range under a pause",
     facts(slot=row(Disposition.PAUSED, "paused by cleo: supplier moves", first=SLOT - 3 * DAY, count=4),
           pauses=(PAUSE,)), PAUSED),
    ("to come, and in doubt", facts(at=SOON, standing=HOURLY, others=(STUCK,)), TO_COME),
    ("no slot at all", facts(at=SLOT + HOUR, now=NOW + DAY), NO_SLOT),
]  # fmt: skip


@pytest.mark.parametrize(("given", "said"), [r[1:] for r in SCREENS], ids=[r[0] for r in SCREENS])
def test_the_screen_of_why(given, said: str) -> None:
    assert screen(why(given)) == said


EXPLAINED = """\
web/sync-catalog   30 2 * * *   web/sync-catalog.yaml:4 at 41d7a90

  fires       at 02:30 every day, Europe/Berlin   (schedule: web/sync-catalog.yaml:4; timezone: _defaults.yaml:1)
  overlap     while a run is active, a slot that falls due is skipped and not made up   (concurrency_policy: default)
  lateness    a slot may start until the next one is due, at most 12 h late   (start_deadline: default)
  catch-up    after a downtime the latest slot is run, the others are recorded as missed   (catch_up: default)
  retries     a failed run is not tried again; the next slot is the next attempt   (retries.limit: default)
  timeout     each attempt is ended after 24h: TERM, and KILL 30s later   (timeout: default; stop_grace_period: default)
  retiring    when its file is deleted, what runs is left to end by itself   (on_retire: default)
  takes       p50 10 min, p95 14 min (of 40 runs); smallest interval 24h

  next        Sat 27 Mar 02:30 (01:30 UTC)   in 1 d
              Sun 28 Mar 03:00 (01:00 UTC)   in 1 d 23 h
                the clocks go forward from 02:00 to 03:00; 02:30 does not exist and fires once, right after the gap at 03:00 (dst.gap: after)
  clocks      Sun 28 Mar 03:00   the clocks go forward from 02:00 to 03:00: 02:30 does not exist and fires once, right after the gap at 03:00 (dst.gap: after)
              Sun 31 Oct 02:00   the clocks go back from 03:00 to 02:00: 02:30 comes twice and fires once, at the first (dst.overlap: once)
"""  # noqa: E501
MARCH = SLOT.replace(year=2027, month=3, day=26)


def test_the_screen_of_explain() -> None:
    found = explain(facts(now=MARCH), 2)
    assert "\n".join(shown(line, False) for line in explain_text.lines(found)) + "\n" == EXPLAINED


OTHER = spec(
    schedule=HOURLY.spec.schedule, concurrency_policy=Concurrency.REPLACE, start_deadline=600.0, timeout=7200.0,
    retries=Retries(limit=2, on_exit_codes=(75, 76)), on_retire=OnRetire.STOP,
)  # fmt: skip
SENTENCES = {
    "fires": "every hour on the hour, UTC",
    "overlap": "a slot that falls due stops the active run and takes its place",
    "lateness": "a slot may start at most 10m late; after that it is missed",
    "catch-up": "after a downtime the latest slot is run, the others are recorded as missed",
    "retries": "a failed run is tried again up to twice, only after exit 75 or 76: after 30s, "
               "then 2 times longer each time, at most 10m",
    "timeout": "each attempt is ended after 2h: TERM, and KILL 30s later",
    "retiring": "when its file is deleted, what runs is stopped",
}  # fmt: skip


QUEUED = spec(
    concurrency_policy=Concurrency.QUEUE, concurrency_group="db", catch_up=CatchUp.ALL, pause_after_failures=3,
    after=(After("data/etl", "any"),), wait_for=(WaitFor("data/load", 1800.0),),
)  # fmt: skip
QUEUED_SENTENCES = {
    "others": "it fires after data/etl has ended; a slot waits until data/load has succeeded, at most 30m",
    "overlap": "slots that fall due while a run is active wait for their turn, up to 10; "
               "it shares the places of group db with other jobs",
    "lateness": "a slot may start at most 12 h late",
    "catch-up": "after a downtime its slots are run, oldest first, the latest 20 of them",
    "pausing": "after 3 failed slots in a row it is paused",
}  # fmt: skip


def test_what_links_a_job_to_others_is_said_too() -> None:
    found = explain(facts(standing=standing(spec=QUEUED)), 1)
    assert QUEUED_SENTENCES.items() <= {one.about: one.text for one in found.sentences}.items()


def test_a_job_that_another_fires_is_not_said_to_fire_by_hand_alone() -> None:
    linked = replace(QUEUED, schedule=Schedule(ScheduleKind.MANUAL), wait_for=())
    said = [line.text for line in explain_text.lines(explain(facts(standing=standing(spec=linked)), 1))]
    assert any(line.startswith("  fires       at no time of its own") for line in said)
    assert "  next        by hand, and after any end of data/etl" in said


def test_every_rule_is_a_sentence_and_what_does_not_fit_together_is_a_warning() -> None:
    found = explain(facts(standing=standing(spec=OTHER), pauses=(PAUSE,)), 1)
    assert {one.about: one.text for one in found.sentences} == SENTENCES
    assert found.warnings == ("the timeout of 2h is longer than the interval of 1h: slow runs overlap",)
    assert found.barrier == "it is paused by cleo: supplier moves"
    assert found.fires[0].note == "will not fire: paused by cleo"


def test_explain_in_json_has_these_keys() -> None:
    found = explain_text.data(explain(facts(now=MARCH), 2))
    assert list(found) == [
        "job", "timezone", "at", "expression", "said", "barrier", "sentences", "fires", "clock_changes",
        "smallest_interval", "durations", "warnings",
    ]  # fmt: skip
    assert found["sentences"][0] == {
        "about": "fires", "text": "at 02:30 every day, Europe/Berlin",
        "sources": {"schedule": "web/sync-catalog.yaml:4", "timezone": "_defaults.yaml:1"},
    }  # fmt: skip
    assert found["fires"][1]["at"] == "2027-03-28T01:00:00Z"
    assert found["durations"] == {"p50": 600.0, "p95": 840.0, "runs": 40}


def test_why_in_json_has_these_keys() -> None:
    found = data(why(facts(slot=SKIPPED, others=(STUCK,))))
    assert list(found) == [
        "job", "timezone", "at", "asked", "slot", "verdict", "headline", "said", "decided_at", "range", "rules",
        "blockers", "runs", "not_it", "notes", "durations", "next", "can", "before", "after",
    ]  # fmt: skip
    assert found["said"] == {
        "revision": "41d7a90" + "0" * 33, "author": "Cleo Baum", "committed_at": "2026-11-23T15:02:00Z",
        "subject": "Hurry up", "path": "web/sync-catalog.yaml", "line": 4, "schedule": "30 2 * * *",
        "applied_at": "2026-09-26T01:30:00Z", "note": "",
    }  # fmt: skip
    assert found["rules"] == [{"name": "concurrency_policy", "value": "Forbid", "source": "the default"}]
    assert found["blockers"][0]["last_line_at"] == "2026-11-24T02:06:00Z"
    assert found["decided_at"] == "2026-11-25T01:30:00.012Z"


def test_S6_what_a_job_said_cannot_play_tricks_on_the_terminal() -> None:
    evil = fact(STUCK.run, last_line="\x1b[31mred\u202e", line_at=SLOT)
    said = screen(why(facts(slot=SKIPPED, others=(evil,))))
    assert "\x1b" not in said
    assert "\u202e" not in said


@pytest.mark.parametrize(
    ("length", "said"),
    [(0.0, "0 s"), (0.23, "0.2 s"), (12.4, "12 s"), (60.0, "1 min"), (242.0, "4 min 2 s"), (85320.0, "23 h 42 min"),
     (86400.0, "1 d"), (100000.0, "1 d 3 h"), (59.7, "1 min")],
)  # fmt: skip
def test_a_span_has_two_units_at_most(length: float, said: str) -> None:
    assert span(length) == said


def test_an_instant_of_the_same_day_needs_no_day() -> None:
    assert near(SLOT, "Europe/Berlin", NOW) == "02:30"
    assert near(SLOT - 3 * HOUR, "Europe/Berlin", NOW) == "Tue 24 Nov 23:30"
    assert near(SLOT + MINUTE, "UTC", NOW) == "01:31"
