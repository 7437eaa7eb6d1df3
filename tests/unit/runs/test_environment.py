"""Each run finds who it is, and which slots came before, in its environment (rule R9)."""

from dataclasses import replace
from datetime import timedelta

from reconciler.model.run import Trigger
from reconciler.runs.environment import reconciler_environment

from .kit import SLOT, run, spec


def test_R9_all_eight_are_always_there() -> None:
    found = dict(reconciler_environment(run(), spec(), SLOT - timedelta(days=1), SLOT - timedelta(days=2)))
    assert found == {
        "RECONCILER_JOB": "a/job",
        "RECONCILER_RUN_ID": "a.job.20261124T020000Z.1",
        "RECONCILER_SLOT": "2026-11-24T02:00:00Z",
        "RECONCILER_PREVIOUS_SLOT": "2026-11-23T02:00:00Z",
        "RECONCILER_PREVIOUS_SUCCESS": "2026-11-22T02:00:00Z",
        "RECONCILER_ATTEMPT": "1",
        "RECONCILER_TRIGGER": "schedule",
        "RECONCILER_REVISION": "r1",
    }


def test_R9_what_there_was_not_yet_is_empty() -> None:
    found = dict(reconciler_environment(run(), spec(), None, None))
    assert (found["RECONCILER_PREVIOUS_SLOT"], found["RECONCILER_PREVIOUS_SUCCESS"]) == ("", "")


def test_R9_a_run_by_hand_carries_its_milliseconds() -> None:
    manual = replace(run(trigger=Trigger.MANUAL), slot=SLOT + timedelta(milliseconds=417))
    found = dict(reconciler_environment(manual, spec(), None, None))
    assert (found["RECONCILER_SLOT"], found["RECONCILER_TRIGGER"]) == ("2026-11-24T02:00:00.417Z", "manual")
