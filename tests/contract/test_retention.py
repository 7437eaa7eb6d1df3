"""Promise: a ledger lets go of what ages out and of what is to be forgotten, in pieces, and of nothing else."""

from dataclasses import replace

from reconciler.history.base import History
from reconciler.model.event import Event, EventName
from reconciler.model.job import HistoryLimits
from reconciler.model.run import Disposition, Phase, Trigger
from tests.kit.ledger import DAY, MINUTE, T0, Ledger, a_job, a_run, a_slot, a_spec, ended, prune_all


def test_R7_failures_are_kept_longer_than_successes(history: History) -> None:
    limits = HistoryLimits(keep_success=2, keep_failed=4, keep_for=DAY.total_seconds())
    history.put_standing(a_job(spec=a_spec(history=limits)))
    for minute in range(12):
        phase = Phase.FAILED if minute % 2 else Phase.SUCCEEDED
        history.claim(replace(ended(a_run(T0 + minute * MINUTE), phase), log=f"logs/{minute}"))
    dropped = prune_all(history, T0 + 12 * MINUTE)
    assert sorted(int(run.log.removeprefix("logs/")) for run in dropped) == [0, 1, 2, 3, 4, 6]
    assert [run.slot.minute for run in history.runs("etl")] == [11, 10, 9, 8, 7, 5]


def test_a_crash_before_the_log_files_were_deleted_only_returns_the_runs_again(ledger: Ledger) -> None:
    ledger.history.put_standing(a_job(spec=a_spec(history=HistoryLimits(keep_success=1))))
    for minute in range(3):
        ledger.history.claim(ended(a_run(T0 + minute * MINUTE)))
    first = ledger.history.prune(T0)
    assert len(first) == 2
    assert ledger.restart().prune(T0) == first
    assert ledger.history.prune(T0) == []
    assert len(ledger.history.runs()) == 1


def test_R9_the_newest_success_stays_whatever_its_age(history: History) -> None:
    history.put_standing(a_job(spec=a_spec(history=HistoryLimits(keep_success=0, keep_failed=0, keep_for=60.0))))
    for minute, phase in enumerate((Phase.SUCCEEDED, Phase.SUCCEEDED, Phase.FAILED)):
        history.claim(ended(a_run(T0 + minute * MINUTE), phase))
    assert len(prune_all(history, T0 + DAY)) == 2
    assert history.run_env("etl", T0 + DAY) == (T0 + MINUTE, T0 + MINUTE)


def test_R5_a_run_with_work_left_is_never_dropped(history: History) -> None:
    history.put_standing(a_job(spec=a_spec(history=HistoryLimits(0, 0, 60.0))))
    left = [
        a_run(T0, phase=Phase.RUNNING),
        replace(ended(a_run(T0 + MINUTE), Phase.FAILED), collected=False),
        replace(ended(a_run(T0 + 2 * MINUTE), Phase.FAILED), discarded=False),
    ]
    for run in left:
        history.claim(run)
    assert prune_all(history, T0 + 365 * DAY) == []
    assert len(history.active_runs()) == 3


def test_T5_slots_and_events_age_out_with_history(history: History) -> None:
    history.put_standing(a_job(spec=a_spec(history=HistoryLimits(keep_for=DAY.total_seconds()))))
    history.set_cursor("etl", T0, [a_slot(T0, reason="old"), a_slot(T0 + 2 * DAY, reason="young")])
    history.claim(a_run(T0 + MINUTE))  # open: it stays
    for at in (T0, T0 + 2 * DAY):
        history.add_events([Event(EventName.JOB_HELD, at, "etl"), Event(EventName.SYNC_FINISHED, at)])
    prune_all(history, T0 + 2 * DAY)
    assert [slot.reason for slot in history.slots("etl")] == ["young"]
    assert not history.claim(a_run(T0 + MINUTE))
    assert len(history.events(job="etl")) == 1
    assert len(history.events()) == 3, "the service's own events have the default age of 90 days"
    prune_all(history, T0 + 365 * DAY)
    assert history.events() == []


def test_a_retired_job_is_pruned_by_the_limits_of_its_last_spec(history: History) -> None:
    history.put_standing(a_job(spec=a_spec(history=HistoryLimits(keep_success=1))))
    for minute in range(3):
        history.claim(ended(a_run(T0 + minute * MINUTE)))
    history.drop_standing("etl")
    assert len(prune_all(history, T0 + MINUTE)) == 2


def test_specs_go_with_the_last_thing_that_refers_to_them(history: History) -> None:
    history.put_standing(a_job(digest="d1"))
    history.claim(ended(a_run()))
    history.put_standing(a_job(digest="d2", spec=a_spec(image="x")))
    history.put_standing(a_job(digest="d3", spec=a_spec(image="y", history=HistoryLimits(keep_success=1))))
    prune_all(history, T0)
    assert [history.spec(digest) is not None for digest in ("d1", "d2", "d3")] == [True, False, True]
    history.claim(ended(a_run(T0 + MINUTE, digest="d3")))
    prune_all(history, T0)
    assert history.spec("d1") is None


def test_pruning_is_done_in_bounded_pieces_and_reaches_every_job(history: History) -> None:
    short = HistoryLimits(keep_success=1)
    for number in range(450):
        name = f"job{number:03d}"
        history.put_standing(a_job(name, digest=name, spec=a_spec(name, history=short)))
        if number % 50 == 0:
            for minute in range(3):
                history.claim(ended(a_run(T0 + minute * MINUTE, job=name, digest=name)))
    pieces = [len(history.prune(T0)) for _ in range(3)]
    assert sum(pieces) == 18
    assert max(pieces) < 18
    assert history.prune(T0) == []


# -- runs of definitions that stand for no job ---------------------------------------------------------------------
def test_R8_a_run_of_a_file_that_is_tried_is_claimed_once_with_its_definition(ledger: Ledger) -> None:
    run = a_run(job="Try/etl", digest="d9", trigger=Trigger.TRY)
    assert ledger.history.claim_alone(run, a_spec("Try/etl"))
    assert not ledger.history.claim_alone(run, a_spec("Try/etl"))
    kept = ledger.restart()
    assert kept.spec("d9") == a_spec("Try/etl") and kept.standing() == {}
    assert list(kept.trials()) == [run]


def test_trials_are_those_of_tried_files_and_of_no_job(history: History) -> None:
    for job in ("etl", "try/etl", "Tryst", "zoo"):
        history.claim(a_run(job=job))
    assert list(history.trials()) == []


def test_what_has_ended_can_be_forgotten_with_its_slot_and_nothing_else_is(history: History) -> None:
    run, other = a_run(job="Try/etl", trigger=Trigger.TRY), a_run(T0 + MINUTE, "Try/etl", trigger=Trigger.TRY)
    for each in (run, other):
        assert history.claim_alone(each, a_spec("Try/etl"))
    history.forget(run)
    assert history.run(run.run_id) == run, "one with work left stays"
    history.update_run(ended(run), a_slot(T0, job="Try/etl", disposition=Disposition.RAN, run=run.run_id))
    history.forget(run)
    assert history.run(run.run_id) is None and history.run(other.run_id) == other
    assert not history.claim_alone(other, a_spec("Try/etl")), "the other's slot is still taken"
    history.forget(run)
    assert history.claim_alone(run, a_spec("Try/etl")), "and its own is free, as if it had never been"
