"""Promise: every ledger keeps what it was told, slot by slot and run by run, and gives it back unchanged."""

import threading
from dataclasses import fields, replace
from datetime import datetime, timedelta

import pytest

from reconciler.history.base import History
from reconciler.model.errors import InvariantBroken, StateError
from reconciler.model.event import Event, EventName
from reconciler.model.ids import run_id
from reconciler.model.job import Mount
from reconciler.model.run import CodeAt, Disposition, FailureClass, Pause, Phase, RunRecord, SlotRecord, Trigger
from tests.kit.ledger import DAY, MINUTE, T0, Ledger, a_job, a_run, a_slot, a_spec, ended


# -- meta ---------------------------------------------------------------------------------------------------------
def test_meta_is_kept_over_a_restart_and_may_be_overwritten(ledger: Ledger) -> None:
    assert ledger.history.get_meta("engine") is None
    ledger.history.set_meta("engine", "docker")
    ledger.history.set_meta("engine", "process")
    assert ledger.restart().get_meta("engine") == "process"


# -- standing jobs ------------------------------------------------------------------------------------------------
def test_P6_a_standing_job_comes_back_with_its_spec_and_clock(ledger: Ledger) -> None:
    spec = a_spec(
        environment=(("A", "1"), ("B", "ünï")), command=("sh", "-c", "x"), mounts=(Mount("tmpfs", "", "/t", size=1),)
    )
    job = a_job(
        spec=spec, cursor=T0 + timedelta(microseconds=1), ref="c0ffee", image_id="sha256:1", image_digest="x@sha256:2",
        forbidden="image", retiring=True,
    )  # fmt: skip
    ledger.history.put_standing(job)
    assert ledger.history.standing() == {"etl": job}
    assert ledger.restart().standing() == {"etl": job}
    assert ledger.history.spec("d1") == spec
    assert ledger.history.spec("other") is None


def test_every_field_of_a_standing_job_is_kept(ledger: Ledger) -> None:
    """A field that the model gains must not be lost silently on the way to disk."""
    job = a_job(ref="r", image_id="i", image_digest="d", forbidden="f", retiring=True)
    ledger.history.put_standing(job)
    found = ledger.restart().standing()["etl"]
    assert {f.name: getattr(found, f.name) for f in fields(job)} == {f.name: getattr(job, f.name) for f in fields(job)}


def test_a_replaced_job_has_the_new_spec_and_the_old_one_is_still_known(history: History) -> None:
    history.put_standing(a_job())
    history.put_standing(a_job(digest="d2", spec=a_spec(image="busybox:2")))
    assert history.standing()["etl"].spec.image == "busybox:2"
    assert history.spec("d1") == a_spec()


def test_what_a_caller_does_to_the_mapping_does_not_reach_the_ledger(history: History) -> None:
    history.put_standing(a_job())
    dict(history.standing()).clear()
    first = history.standing()
    history.put_standing(a_job("other"))
    assert set(first) == {"etl"}
    assert set(history.standing()) == {"etl", "other"}


def test_dropping_a_job_keeps_its_runs_slots_and_events(history: History) -> None:
    history.put_standing(a_job())
    history.claim(a_run(), cursor=T0)
    history.set_cursor("etl", T0 + MINUTE, [a_slot(T0 + MINUTE)])
    history.add_events([Event(EventName.JOB_INSTALLED, T0, "etl")])
    history.drop_standing("etl")
    history.drop_standing("etl")
    assert history.standing() == {}
    assert len(history.runs("etl")) == len(history.slots("etl")) == len(history.events(job="etl")) == 1


def test_T7_a_cursor_never_goes_back(ledger: Ledger) -> None:
    ledger.history.put_standing(a_job(cursor=T0))
    ledger.history.standing()
    ledger.history.set_cursor("etl", T0 + MINUTE)
    ledger.history.set_cursor("etl", T0 - DAY)
    ledger.history.put_standing(a_job(cursor=T0))
    assert ledger.history.standing()["etl"].cursor == T0 + MINUTE
    assert ledger.restart().standing()["etl"].cursor == T0 + MINUTE


def test_T7_a_person_sets_a_cursor_back_and_what_ran_keeps_its_row(ledger: Ledger) -> None:
    history = ledger.history
    history.put_standing(a_job(cursor=T0))
    history.standing()
    history.claim(a_run(slot=T0 + DAY), T0 + DAY)
    history.set_cursor("etl", T0 + 2 * DAY, [a_slot(T0 + MINUTE, T0 + 9 * MINUTE, 9), a_slot(T0 + 2 * DAY)])
    kept = a_slot(T0 + MINUTE, T0 + 5 * MINUTE, 5)
    history.rewind("etl", T0 + 5 * MINUTE, [kept])
    assert history.standing()["etl"].cursor == T0 + 5 * MINUTE
    assert list(history.slots("etl")) == [kept]
    assert not history.claim(a_run(slot=T0 + DAY)), "it has a run: it is never claimed again"
    assert history.claim(a_run(slot=T0 + 2 * DAY, run_id=run_id("etl", T0 + 2 * DAY, 1)))
    assert ledger.restart().standing()["etl"].cursor == T0 + 5 * MINUTE


def test_a_job_that_was_dropped_and_made_anew_has_a_new_cursor(history: History) -> None:
    history.put_standing(a_job(cursor=T0 + DAY))
    history.drop_standing("etl")
    history.put_standing(a_job(cursor=T0))
    assert history.standing()["etl"].cursor == T0


def test_D1_moved_from_carries_runs_slots_events_pause_and_cursor_along(ledger: Ledger) -> None:
    history = ledger.history
    history.put_standing(a_job())
    history.standing()
    history.claim(a_run(), cursor=T0 + MINUTE, slots=[a_slot(T0 + MINUTE)])
    history.add_events([Event(EventName.RUN_DELAYED, T0, "etl", a_run().run_id)])
    history.put_pause(Pause("etl", T0, None, "why", "cleo"))
    history.move_standing("etl", a_job("data/etl", cursor=T0))
    for restarted in (False, True):
        ledger_now = ledger.restart() if restarted else history
        assert set(ledger_now.standing()) == {"data/etl"}
        assert ledger_now.standing()["data/etl"].cursor == T0 + MINUTE
        assert [run.run_id for run in ledger_now.runs("data/etl")] == [a_run().run_id]
        assert ledger_now.runs("etl") == []
        assert [slot.first for slot in ledger_now.slots("data/etl")] == [T0 + MINUTE]
        assert [event.job for event in ledger_now.events(job="data/etl")] == ["data/etl"]
        assert [pause.job for pause in ledger_now.pauses()] == ["data/etl"]


def test_D1_a_moved_job_cannot_claim_a_slot_that_ran_under_its_old_name(history: History) -> None:
    history.put_standing(a_job())
    assert history.claim(a_run())
    history.move_standing("etl", a_job("data/etl"))
    assert not history.claim(a_run(job="data/etl"))
    assert history.run(run_id("data/etl", T0, 1)) is None


def test_D1_a_stale_record_of_a_moved_run_does_not_move_it_back(history: History) -> None:
    history.put_standing(a_job())
    history.claim(a_run())
    history.move_standing("etl", a_job("data/etl"))
    stale = ended(a_run())
    history.update_run(stale, a_slot(T0, disposition=Disposition.RAN, reason="ok"))
    assert [run.phase for run in history.runs("data/etl")] == [Phase.SUCCEEDED]
    assert [slot.disposition for slot in history.slots("data/etl")] == [Disposition.RAN]


def test_D1_old_rows_of_an_earlier_job_of_the_new_name_give_way(history: History) -> None:
    for name in ("a", "b"):
        history.put_standing(a_job(name))
        history.claim(a_run(job=name))
        history.update_run(ended(a_run(job=name)), a_slot(T0, job=name, disposition=Disposition.RAN, reason=name))
        history.set_cursor(name, T0 + DAY, [a_slot(T0 + MINUTE, T0 + 2 * MINUTE, 2, job=name, reason=name)])
    history.drop_standing("b")
    history.move_standing("a", a_job("b"))
    assert [run.run_id for run in history.runs("b")] == [run_id("a", T0, 1)]
    assert [slot.reason for slot in history.slots("b")] == ["a", "a"]


def test_D1_a_move_waits_while_the_earlier_job_of_that_name_still_runs_the_same_slot(history: History) -> None:
    for name in ("a", "b"):
        history.put_standing(a_job(name))
        history.claim(a_run(job=name))
    with pytest.raises(StateError) as caught:
        history.move_standing("a", a_job("b"))
    assert caught.value.code == "move-conflict"
    assert set(history.standing()) == {"a", "b"}
    assert [run.job for run in history.active_runs()] == ["a", "b"]


# -- intents ------------------------------------------------------------------------------------------------------
def test_P6_an_intent_stays_open_until_it_is_confirmed(ledger: Ledger) -> None:
    first = ledger.history.begin_intent("install", "etl", T0, "d1")
    second = ledger.history.begin_intent("retire", "old", T0)
    ledger.history.end_intent(first)
    assert ledger.restart().open_intents() == [(second, "retire", "old", "")]


# -- claims and runs ----------------------------------------------------------------------------------------------
def test_R1_a_slot_is_claimed_once_only(ledger: Ledger) -> None:
    ledger.history.put_standing(a_job())
    assert ledger.history.claim(a_run())
    assert not ledger.history.claim(a_run())
    assert not ledger.restart().claim(a_run(actor="somebody else"))
    assert [run.actor for run in ledger.history.runs()] == ["scheduler"]


def test_R1_claim_moves_the_cursor_and_records_slots_in_the_same_step(ledger: Ledger) -> None:
    ledger.history.put_standing(a_job(cursor=T0 - DAY))
    missed = a_slot(T0 - 3 * MINUTE, T0 - MINUTE, 3, disposition=Disposition.MISSED, reason="host down")
    assert ledger.history.claim(a_run(), cursor=T0, slots=[missed])
    after = ledger.restart()
    assert after.standing()["etl"].cursor == T0
    assert after.slots("etl") == [missed]


def test_R1_a_refused_claim_still_accounts_for_the_slot(history: History) -> None:
    history.put_standing(a_job(cursor=T0 - DAY))
    history.claim(a_run())
    assert not history.claim(a_run(), cursor=T0)
    assert history.standing()["etl"].cursor == T0


def test_R1_of_many_threads_one_gets_the_slot(history: History) -> None:
    won: list[bool] = []
    threads = [threading.Thread(target=lambda: won.append(history.claim(a_run()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(won) == [False] * 7 + [True]


def test_R4_a_retry_is_a_row_of_its_own_in_the_same_slot(history: History) -> None:
    assert history.claim(a_run())
    assert history.claim(a_run(attempt=2, trigger=Trigger.RETRY))
    assert not history.claim(a_run(attempt=2, trigger=Trigger.RETRY))
    history.update_run(ended(a_run(attempt=2)), a_slot(T0, disposition=Disposition.RAN, reason="ok at the second try"))
    assert [slot.reason for slot in history.slots("etl")] == ["ok at the second try"]


def test_R7_every_field_of_a_run_is_kept(ledger: Ledger) -> None:
    late = T0 + timedelta(seconds=1, microseconds=123456)
    cell = replace(a_run(), run_id=run_id("etl", T0, 1, 0), cell=0)
    assert ledger.history.claim(cell)
    full = replace(
        cell, cells=15, parameters=(("lr", "0.1"), ("depth", "4")), key="k1", replays=late, cause="other.x.1",
        devices=("GPU-1",), hold_until=late, max_parallel=4,
        phase=Phase.FAILED, deadline=late, replaces=("a.1", "b.2"), retry_at=late, tries=3, ref="c0ffee", image_id="i",
        image_digest="d", prepared_at=late, start_requested_at=late, started_at=late, stop_requested_at=late,
        stop_reason="timeout", finished_at=late, exit_code=75, failure=FailureClass.EXIT, reason="exit 75",
        peak_memory=1 << 33, cpu_seconds=1.25, log="logs/etl/x.log", log_bytes=12, collected=True, discarded=True,
        superseded_by="etl.x.2", unstarted=1, trigger=Trigger.CATCH_UP, actor="anna", digest="d2", revision="r2",
        claimed_at=late, code=(CodeAt("/work", "https://git.example.org/a.git", "main", "c" * 40),),
    )  # fmt: skip
    unlike_default = [f.name for f in fields(full) if getattr(full, f.name) == f.default]
    assert unlike_default == [], "give each new field a value here"
    ledger.history.update_run(full)
    assert ledger.restart().run(full.run_id) == full


def test_R1_the_cells_of_a_slot_share_its_row_and_are_claimed_once_each(history: History) -> None:
    cells = [replace(a_run(), run_id=run_id("etl", T0, 1, cell), cell=cell, cells=3) for cell in range(3)]
    assert [history.claim(cell) for cell in cells] == [True, True, True]
    assert [history.claim(cell) for cell in cells] == [False, False, False]
    assert not history.claim(a_run())
    assert [run.cell for run in history.runs("etl")] == [0, 1, 2]
    history.update_run(ended(cells[2]), a_slot(T0, disposition=Disposition.RAN, reason="3 of 3"))
    assert [slot.reason for slot in history.slots("etl")] == ["3 of 3"]
    late = replace(a_run(), run_id=run_id("etl", T0, 1, 7), cell=7, cells=8)
    assert not history.claim(late), "the slot has ended"


def test_the_cells_of_a_slot_are_told_by_their_last_attempts(history: History) -> None:
    def cell(number: int, attempt: int, **fields: object) -> RunRecord:
        name = run_id("etl", T0, attempt, number)
        return replace(a_run(attempt=attempt), run_id=name, cell=number, cells=3, **fields)

    history.claim(replace(ended(cell(0, 1)), started_at=T0))
    history.claim(ended(cell(1, 1, superseded_by="x"), Phase.FAILED))
    history.claim(cell(1, 2, phase=Phase.PENDING))
    history.claim(cell(2, 1, phase=Phase.RUNNING))
    history.claim(cell(2, 2, phase=Phase.PENDING))
    told = [(state.cell, state.phase) for state in history.cells("etl", T0)]
    assert told == [(0, Phase.SUCCEEDED), (1, Phase.PENDING), (2, Phase.RUNNING)]
    assert history.cells("etl", T0)[0].started
    assert [(run.cell, run.attempt) for run in history.of_slot("etl", T0)] == [(0, 1), (1, 1), (1, 2), (2, 1), (2, 2)]
    assert history.cells("etl", T0 + MINUTE) == []


def test_of_the_cells_of_a_slot_one_speaks_in_a_folded_listing(history: History) -> None:
    for minute, phases in enumerate(("sss", "sfs", "sra")):
        slot = T0 + minute * MINUTE
        for number, letter in enumerate(phases):
            phase = {"s": Phase.SUCCEEDED, "f": Phase.FAILED, "r": Phase.RUNNING, "a": Phase.PENDING}[letter]
            made = replace(a_run(slot, phase=phase), run_id=run_id("etl", slot, 1, number), cell=number, cells=3)
            history.claim(made)
    history.claim(ended(a_run(T0 - MINUTE), Phase.FAILED))
    history.claim(ended(a_run(T0 - MINUTE, attempt=2)))
    found = [(run.slot.minute, run.cell, run.attempt) for run in history.runs("etl", fold=True)]
    assert found == [(2, 1, 1), (1, 1, 1), (0, 0, 1), (59, None, 2), (59, None, 1)]
    assert [run.slot.minute for run in history.runs("etl", fold=True, limit=2)] == [2, 1]
    assert [run.slot.minute for run in history.runs("etl", fold=True, failed=True)] == [1, 59]
    assert [run.slot.minute for run in history.runs(fold=True, before=T0 + MINUTE)] == [0, 59, 59]


def test_R9_a_slot_has_succeeded_once_all_its_cells_have(history: History) -> None:
    for minute, phases in enumerate(("ss", "sf")):
        slot = T0 + minute * MINUTE
        for number, letter in enumerate(phases):
            made = replace(a_run(slot), run_id=run_id("etl", slot, 1, number), cell=number, cells=2)
            history.claim(ended(made, Phase.SUCCEEDED if letter == "s" else Phase.FAILED))
    assert history.run_env("etl", T0 + DAY)[1] == T0
    assert history.last_success("etl") == T0
    assert history.last_success("other") is None


def test_R1_an_idempotency_key_is_claimed_once_per_job(history: History) -> None:
    def asked(job: str, slot: datetime, key: str) -> bool:
        return history.claim(replace(a_run(slot, job=job, trigger=Trigger.MANUAL), key=key))

    assert asked("etl", T0, "k1")
    assert not asked("etl", T0 + MINUTE, "k1")
    assert [asked("etl", T0 + MINUTE, "k2"), asked("other", T0, "k1"), asked("etl", T0 + 2 * MINUTE, "")] == [True] * 3
    assert asked("etl", T0 + 3 * MINUTE, "")


def test_active_runs_are_those_with_work_left(history: History) -> None:
    """Active phases, waiting retries, and ended runs whose log or container is still to be dealt with."""
    states = {
        "waiting": a_run(T0, phase=Phase.PENDING, retry_at=T0 + MINUTE),
        "running": a_run(T0 + MINUTE, phase=Phase.RUNNING),
        "uncollected": replace(ended(a_run(T0 + 2 * MINUTE)), collected=False),
        "undiscarded": replace(ended(a_run(T0 + 3 * MINUTE)), discarded=False),
        "done": ended(a_run(T0 + 4 * MINUTE)),
    }
    for run in states.values():
        history.claim(run)
    assert [run.run_id for run in history.active_runs()] == [
        run.run_id for name, run in states.items() if name != "done"
    ]


def test_runs_are_listed_newest_slot_first_then_newest_attempt(history: History) -> None:
    for slot, attempt in ((T0, 1), (T0, 2), (T0 + MINUTE, 1), (T0 - DAY, 1)):
        history.claim(a_run(slot, attempt=attempt))
    history.claim(a_run(T0 + DAY, job="other"))
    assert [(r.slot, r.attempt) for r in history.runs("etl")] == [(T0 + MINUTE, 1), (T0, 2), (T0, 1), (T0 - DAY, 1)]
    assert [r.job for r in history.runs()][:2] == ["other", "etl"]
    assert [r.attempt for r in history.runs("etl", before=T0 + MINUTE, limit=2)] == [2, 1]


def test_failed_lists_what_ended_badly(history: History) -> None:
    for minute, phase in enumerate(Phase):
        history.claim(a_run(T0 + minute * MINUTE))
        history.update_run(a_run(T0 + minute * MINUTE, phase=phase))
    assert {run.phase for run in history.runs(failed=True)} == {phase for phase in Phase if phase.bad}


def test_R9_previous_slot_and_previous_success(history: History) -> None:
    assert history.run_env("etl", T0) == (None, None)
    history.claim(ended(a_run(T0 - 3 * MINUTE)))
    history.claim(ended(a_run(T0 - 2 * MINUTE), Phase.FAILED))
    history.claim(a_run(T0 - MINUTE))  # claimed, never started
    history.claim(ended(a_run(T0)))
    assert history.run_env("etl", T0) == (T0 - 2 * MINUTE, T0 - 3 * MINUTE)


# -- slots --------------------------------------------------------------------------------------------------------
def test_T5_a_claimed_slot_is_open_until_its_run_says_how_it_ended(history: History) -> None:
    history.claim(a_run())
    assert history.slots("etl") == []
    history.update_run(ended(a_run()), a_slot(T0, disposition=Disposition.RAN, reason="ok"))
    assert history.slots("etl") == [a_slot(T0, disposition=Disposition.RAN, reason="ok", run=a_run().run_id)]


def test_T5_adjacent_slots_of_one_disposition_and_reason_are_one_row(history: History) -> None:
    history.put_standing(a_job())
    for minute in range(1, 6):
        history.set_cursor("etl", T0 + minute * MINUTE, [a_slot(T0 + minute * MINUTE)])
    history.set_cursor("etl", T0 + 9 * MINUTE, [a_slot(T0 + 6 * MINUTE, T0 + 9 * MINUTE, 4)])
    assert history.slots("etl") == [a_slot(T0 + MINUTE, T0 + 9 * MINUTE, 9)]


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(a_slot(T0 + MINUTE, reason="by anna"), id="another reason"),
        pytest.param(a_slot(T0 + MINUTE, disposition=Disposition.MISSED), id="another disposition"),
    ],
)
def test_T5_slots_that_ended_otherwise_break_a_range(history: History, between: SlotRecord) -> None:
    history.set_cursor("etl", T0, [a_slot(T0), between, a_slot(T0 + 2 * MINUTE)])
    assert [slot.count for slot in history.slots("etl")] == [1, 1, 1]


def test_T5_a_claimed_slot_breaks_a_range(history: History) -> None:
    history.set_cursor("etl", T0, [a_slot(T0)])
    history.claim(a_run(T0 + MINUTE))
    history.set_cursor("etl", T0, [a_slot(T0 + 2 * MINUTE)])
    assert [slot.first for slot in history.slots("etl")] == [T0 + 2 * MINUTE, T0]


def test_T5_a_manual_run_within_a_pause_neither_breaks_the_range_nor_is_part_of_it(history: History) -> None:
    by_hand = T0 + timedelta(seconds=90, milliseconds=417)
    history.set_cursor("etl", T0, [a_slot(T0), a_slot(T0 + MINUTE)])
    assert history.claim(a_run(by_hand, trigger=Trigger.MANUAL, actor="anna"))
    history.set_cursor("etl", T0, [a_slot(T0 + 2 * MINUTE)])
    history.update_run(ended(a_run(by_hand)), a_slot(by_hand, disposition=Disposition.RAN, reason="ok"))
    assert [(slot.first, slot.count) for slot in history.slots("etl")] == [(by_hand, 1), (T0, 3)]


def test_T5_exactly_one_disposition_per_slot_what_was_told_first_stays(history: History) -> None:
    history.claim(a_run())
    told = a_slot(T0 + MINUTE, T0 + 3 * MINUTE, 3)
    history.set_cursor("etl", T0, [told])
    for again in (a_slot(T0), a_slot(T0 + MINUTE), a_slot(T0 + 2 * MINUTE), told):
        history.set_cursor("etl", T0, [replace(again, disposition=Disposition.MISSED)])
    assert history.slots("etl") == [told]
    assert not history.claim(a_run(T0 + MINUTE)), "a slot inside a recorded range cannot run any more"
    assert not history.claim(a_run(T0 + 2 * MINUTE))


def test_T5_a_range_that_meets_older_rows_keeps_them_and_its_own_ends(history: History) -> None:
    """The clock went back under a job that was made anew: its old rows lie ahead."""
    history.set_cursor("etl", T0, [a_slot(T0, reason="old")])
    history.set_cursor("etl", T0, [a_slot(T0 - 2 * MINUTE, T0 + 2 * MINUTE, 5, reason="new")])
    assert [(slot.first, slot.last, slot.reason) for slot in history.slots("etl")] == [
        (T0 + 2 * MINUTE, T0 + 2 * MINUTE, "new"),
        (T0, T0, "old"),
        (T0 - 2 * MINUTE, T0 - 2 * MINUTE, "new"),
    ]


def test_slots_are_listed_newest_first_and_paged(history: History) -> None:
    for minute in range(5):
        history.set_cursor("etl", T0, [a_slot(T0 + minute * MINUTE, reason=str(minute))])
    assert [slot.reason for slot in history.slots("etl", limit=2)] == ["4", "3"]
    assert [slot.reason for slot in history.slots("etl", before=T0 + 3 * MINUTE, limit=2)] == ["2", "1"]


# -- operators ----------------------------------------------------------------------------------------------------
def test_pauses_are_one_per_job_and_go_away(ledger: Ledger) -> None:
    ledger.history.put_pause(Pause("etl", T0, None, "first", "anna"))
    ledger.history.put_pause(Pause("etl", T0, T0 + DAY, "second", "cleo"))
    ledger.history.put_pause(Pause("*", T0, None, "all", "root"))
    assert ledger.restart().pauses() == [
        Pause("*", T0, None, "all", "root"), Pause("etl", T0, T0 + DAY, "second", "cleo"),
    ]  # fmt: skip
    assert ledger.history.drop_pause("etl")
    assert not ledger.history.drop_pause("etl")


def test_D4_who_approved_is_recorded(ledger: Ledger) -> None:
    ledger.history.approve("7c1eb2f0", "anna", T0, "spring cleaning")
    assert ledger.restart().approvals() == {"7c1eb2f0": "anna"}


def test_D5_an_approval_that_has_served_is_gone(ledger: Ledger) -> None:
    ledger.history.approve("7c1eb2f0", "anna", T0, "")
    ledger.history.approve("41d7a90c", "anna", T0, "")
    ledger.history.spend_approval("41d7a90c")
    ledger.history.spend_approval("never")
    assert ledger.restart().approvals() == {"7c1eb2f0": "anna"}


# -- events -------------------------------------------------------------------------------------------------------
def test_events_are_listed_newest_first_by_job_and_by_run(ledger: Ledger) -> None:
    history = ledger.history
    started = Event(EventName.RUN_STARTED, T0, "etl", "etl.x.1", {"late": 0.012, "ok": True, "why": None})
    history.add_events(
        [Event(EventName.SERVICE_STARTED, T0), Event(EventName.RUN_DELAYED, T0, "etl", "etl.x.1"), started]
    )
    history.add_events([])
    assert [event.name for event in history.events(job="etl")] == [EventName.RUN_STARTED, EventName.RUN_DELAYED]
    assert ledger.restart().events(run="etl.x.1", limit=1) == [started]
    assert len(ledger.history.events()) == 3


# -- misuse -------------------------------------------------------------------------------------------------------
def test_an_instant_without_a_zone_is_a_fault_of_ours(history: History) -> None:
    with pytest.raises(InvariantBroken):
        history.claim(a_run(T0.replace(tzinfo=None)))


def test_a_closed_ledger_says_so(history: History) -> None:
    history.close()
    history.close()
    for use in (history.standing, lambda: history.set_meta("a", "b"), lambda: history.prune(T0)):
        with pytest.raises(StateError) as caught:
            use()
        assert caught.value.code == "state-closed"


def test_T4_a_claim_by_a_definition_that_has_gone_records_nothing_at_all(history: History) -> None:
    """Apply and the loop that fires work side by side: who decided by an old row decides again by the new one."""
    history.put_standing(a_job())
    slots = (a_slot(T0 + MINUTE),)
    stale = a_run(T0 + 2 * MINUTE, digest="another")
    assert not history.claim(stale, T0 + 2 * MINUTE, slots, current=True)
    history.put_standing(replace(history.standing()["etl"], retiring=True))
    assert not history.claim(a_run(T0 + 2 * MINUTE), T0 + 2 * MINUTE, slots, current=True)
    history.drop_standing("etl")
    assert not history.claim(a_run(T0 + 2 * MINUTE), T0 + 2 * MINUTE, slots, current=True)
    assert (history.runs(), history.slots("etl")) == ([], [])
    history.put_standing(a_job())
    assert history.standing()["etl"].cursor == T0
    assert history.claim(a_run(T0 + 2 * MINUTE), T0 + 2 * MINUTE, slots, current=True)
    assert history.standing()["etl"].cursor == T0 + 2 * MINUTE
