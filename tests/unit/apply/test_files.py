"""Promise: D1. The ledger follows a job's file when it is renamed, and touches nothing else of the job."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.apply.files import record_files
from reconciler.history.sqlite import SqliteHistory, open_history
from tests.kit.fleet import desired, job, row, spec


@pytest.fixture
def history(tmp_path: Path) -> Iterator[SqliteHistory]:
    opened = open_history(tmp_path / "ledger.db")
    yield opened
    opened.close()


def test_D1_a_renamed_file_is_recorded_and_nothing_else_of_the_job_changes(history: SqliteHistory) -> None:
    before = row("a", full_path="jobs.d/a.yaml")
    history.put_standing(before)
    wanted = desired([replace(job("a"), path="a.yml", full_path="jobs.d/a.yml")])
    assert record_files(wanted, history)
    assert history.standing() == {"a": replace(before, path="a.yml", full_path="jobs.d/a.yml")}
    assert not record_files(wanted, history)


def test_D1_a_job_that_is_to_change_is_left_to_apply(history: SqliteHistory) -> None:
    history.put_standing(row("a", full_path="jobs.d/a.yaml"))
    before = dict(history.standing())
    changed = replace(job(spec("a", image="alpine:3")), full_path="jobs.d/a.yml")
    assert not record_files(desired([changed, "new"]), history)
    assert history.standing() == before


def test_D1_what_an_earlier_release_applied_gets_its_place(history: SqliteHistory) -> None:
    history.put_standing(row("a"))
    assert record_files(desired([replace(job("a"), full_path="jobs.d/a.yaml")]), history)
    assert history.standing()["a"].full_path == "jobs.d/a.yaml"
