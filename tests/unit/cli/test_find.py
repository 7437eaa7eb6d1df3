"""RUN and JOB mean what a person means by them, and a name that is not there gets the nearest one that is."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.cli.find import find_run, known_job, latest, matches
from reconciler.history.base import History
from reconciler.history.sqlite import open_history
from reconciler.model.errors import UsageError
from reconciler.model.ids import run_id
from reconciler.model.job import Schedule, ScheduleKind
from reconciler.model.run import Phase
from reconciler.model.service import ServiceConfig
from tests.unit.runs.kit import run, spec, standing

SLOT = datetime(2026, 11, 24, 1, 30, tzinfo=UTC)  # 02:30 in Berlin
DAY = timedelta(days=1)
NOW = SLOT + 2 * DAY
CONFIG = ServiceConfig()


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    """`a/job` of Berlin with runs on two days, two attempts on the second, and one made ready for tomorrow."""
    ledger = open_history(tmp_path / "reconciler.db")
    berlin = spec(schedule=Schedule(ScheduleKind.CRON, "30 2 * * *", "Europe/Berlin"))
    ledger.put_standing(standing(spec=berlin, cursor=SLOT, applied_at=SLOT, anchor=SLOT))
    ledger.put_standing(standing(name="a/never", spec=spec(name="a/never"), digest="d2"))
    for day, attempt, phase in ((0, 1, Phase.SUCCEEDED), (1, 1, Phase.FAILED), (1, 2, Phase.RUNNING),
                                (3, 1, Phase.PREPARING)):  # fmt: skip
        slot = SLOT + day * DAY
        made = run(phase, attempt, slot=slot, run_id=run_id("a/job", slot, attempt))
        assert ledger.claim(replace(made, phase=Phase.PENDING))
        ledger.update_run(made)
    yield ledger
    ledger.close()


@pytest.mark.parametrize(
    ("said", "day", "attempt"),
    [
        ("a/job", 1, 2),
        ("a/job@02:30", 3, 1),
        ("a/job@11-24T02:30", 0, 1),
        ("a/job@2026-11-24T02:30", 0, 1),
        ("a/job@2026-11-24 02:30:00", 0, 1),
        ("a/job@2026-11-24T01:30Z", 0, 1),
        ("a/job@11-25T02:30", 1, 2),
        ("a.job.20261125T013000Z.1", 1, 1),
    ],
    ids=["the latest that is due", "the newest slot of that time", "a day of this year", "a date", "with a blank",
         "in UTC", "the last attempt", "a run id"],
)  # fmt: skip
def test_a_run_is_found(said: str, day: int, attempt: int, history: History) -> None:
    found = find_run(history, CONFIG, said, NOW)
    assert (found.slot, found.attempt) == (SLOT + day * DAY, attempt)


@pytest.mark.parametrize(
    ("said", "code", "hint"),
    [
        ("a/jab", "job-unknown", "'a/job'"),
        ("job", "job-unknown", "'a/job'"),
        ("nothing-like-it", "job-unknown", "jobs --all"),
        ("a/never", "run-unknown", "reconciler run a/never"),
        ("a/job@03:30", "run-unknown", "reconciler runs a/job"),
        ("a/job@noon", "run-unknown", "reconciler runs a/job"),
        ("a.job.20261130T013000Z.1", "run-unknown", ""),
        ("", "job-unknown", "jobs --all"),
        ("\udcff", "job-unknown", "jobs --all"),
        ("A/JOB", "job-unknown", ""),
    ],
)
def test_what_is_not_there_gets_a_code_and_a_hint(said: str, code: str, hint: str, history: History) -> None:
    with pytest.raises(UsageError) as caught:
        find_run(history, CONFIG, said, NOW)
    assert caught.value.code == code
    assert hint in caught.value.hint


def test_stopping_means_the_run_that_is_active(history: History) -> None:
    runs = history.runs("a/job")
    assert latest(runs, NOW, active=True).phase is Phase.RUNNING
    ended = [replace(r, phase=Phase.FAILED) if r.phase is Phase.RUNNING else r for r in runs]
    assert latest(ended, NOW, active=True).attempt == 2


def test_a_run_made_ready_ahead_is_meant_only_if_there_is_no_other(history: History) -> None:
    (ahead,) = [r for r in history.runs("a/job") if r.slot > NOW]
    assert latest([ahead], NOW) == ahead


def test_a_job_whose_runs_are_remembered_is_known(history: History) -> None:
    history.drop_standing("a/job")
    assert known_job(history, "a/job") == "a/job"


@pytest.mark.parametrize(
    ("text", "zone", "same"),
    [("02:30", "Europe/Berlin", True), ("01:30", "Europe/Berlin", False), ("01:30Z", "Europe/Berlin", True),
     ("01:30", "UTC", True), ("2:30", "Europe/Berlin", False), ("", "UTC", False)],
)  # fmt: skip
def test_a_slot_is_said_in_its_zone_or_in_UTC(text: str, zone: str, same: bool) -> None:
    assert matches(SLOT, text, zone) is same
