"""Promise: D1. Of one name in two files, the live one stays in force, edits included, and the newcomer is refused."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from reconciler.model.desired import Commit, DesiredState, Entry, Snapshot
from reconciler.model.job import DesiredJob
from reconciler.model.live import StandingJob
from reconciler.model.problem import SpecProblem
from reconciler.spec.desire import desire
from tests.unit.spec.kit import JOB, Repo

T0 = datetime(2026, 11, 20, tzinfo=UTC)
EDITED = JOB + "timeout: 5m\n"


def applied(job: DesiredJob) -> StandingJob:
    return StandingJob(job.name, job.spec, job.digest, "r", job.path, T0, T0, T0, full_path=job.full_path)


def live(path: str = "a.yml") -> Repo:
    """A repository whose one job `a` was applied from `path`."""
    repo = Repo({path: JOB})
    repo.standing = {"a": applied(repo.desire().jobs["a"])}
    return repo


@pytest.mark.parametrize(("own", "other"), [("a.yml", "a.yaml"), ("a.yaml", "a.yml")])
def test_D1_the_live_file_stays_and_the_newcomer_is_refused(own: str, other: str) -> None:
    repo = live(own)
    repo.files[other] = JOB + "timeout: 1m\n"
    state = repo.desire()
    assert state.jobs["a"].digest == repo.standing["a"].digest
    assert state.jobs["a"].full_path == f"jobs.d/{own}"
    assert not state.held
    assert [(p.path, p.code) for p in state.errors] == [(other, "job-twice")]
    assert f"jobs.d/{own}" in state.errors[0].message and state.errors[0].hint
    assert [(job.name, job.path, job.problems) for job in state.refused] == [("a", other, state.errors)]
    assert state.entries == 2


def test_D1_the_live_files_own_edits_take_effect_beside_a_newcomer() -> None:
    repo = live()
    repo.files["a.yaml"] = JOB
    repo.desire()
    repo.files["a.yml"] = EDITED
    state = repo.desire()
    assert state.jobs["a"].spec.timeout == 300.0
    assert len(state.refused) == 1


def test_D1_a_live_file_that_breaks_beside_a_newcomer_is_held_at_its_last_good_version() -> None:
    repo = live()
    repo.files |= {"a.yaml": JOB, "a.yml": "nonsense: 1\n" + JOB}
    state = repo.desire()
    assert not state.jobs
    assert [p.code for p in state.held["a"].problems] == ["unknown-key"]
    assert sorted(p.code for p in state.errors) == ["job-twice", "unknown-key"]


def test_D1_when_the_live_file_goes_the_other_takes_its_place() -> None:
    repo = live()
    repo.files["a.yaml"] = EDITED
    repo.desire()
    del repo.files["a.yml"]
    state = repo.desire()
    assert (state.jobs["a"].full_path, state.jobs["a"].spec.timeout) == ("jobs.d/a.yaml", 300.0)
    assert not state.refused and not state.errors


@pytest.mark.parametrize("how", ["never applied", "being retired", "applied from a third file"])
def test_D1_with_no_live_file_both_are_refused(how: str) -> None:
    repo = live()
    repo.files["a.yaml"] = JOB
    row = repo.standing["a"]
    repo.standing = {
        "never applied": {},
        "being retired": {"a": replace(row, retiring=True)},
        "applied from a third file": {"a": replace(row, full_path="elsewhere/a.yml")},
    }[how]
    state = repo.desire()
    assert not state.jobs and not state.refused
    assert [p.path for p in state.held["a"].problems] == ["a.yaml", "a.yml"]


def twice(standing: dict[str, StandingJob], texts: dict[str, str]) -> DesiredState:
    """A name below two `paths`: both files are `a.yaml` below theirs."""
    blobs = {Repo.blob(text): text.encode() for text in texts.values()}
    entries = tuple(Entry("a.yaml", path, Repo.blob(text), len(text)) for path, text in texts.items())
    snapshot = Snapshot(Commit("c" * 40), "main", entries)
    return desire(snapshot, lambda wanted: {blob: blobs[blob] for blob in wanted}, Repo({}).config, {}, standing)[0]


def test_D1_below_two_paths_the_live_file_is_known_by_its_place_in_the_repository() -> None:
    for own, other in (("jobs.d/common/a.yaml", "jobs.d/db1/a.yaml"), ("jobs.d/db1/a.yaml", "jobs.d/common/a.yaml")):
        standing = {"a": applied(twice({}, {own: JOB}).jobs["a"])}
        state = twice(standing, {own: EDITED, other: JOB})
        assert state.jobs["a"].spec.timeout == 300.0
        assert other in state.refused[0].problems[0].hint


def test_D1_a_row_of_an_earlier_release_tells_the_suffix_and_no_more() -> None:
    old = replace(applied(twice({}, {"x/a.yaml": JOB}).jobs["a"]), full_path="")
    assert "a" in twice({"a": old}, {"x/a.yaml": JOB, "y/a.yaml": JOB}).held
    repo = live()
    repo.standing = {"a": replace(repo.standing["a"], full_path="")}
    repo.files["a.yaml"] = EDITED
    assert repo.desire().jobs["a"].digest == repo.standing["a"].digest


def test_D1_a_link_that_gives_the_name_of_a_live_job_holds_nothing_of_it() -> None:
    repo = live()
    repo.files["a.yml"] = EDITED
    repo.problems = (SpecProblem("a.yaml", 1, 1, "symlink", "a symlink"),)
    state = repo.desire()
    assert state.jobs["a"].spec.timeout == 300.0
    assert state.errors == repo.problems and [job.path for job in state.refused] == ["a.yaml"]
    repo.standing = {}
    assert repo.desire().held["a"].problems == repo.problems


def test_D1_a_file_with_an_impossible_name_holds_no_other_job() -> None:
    state = Repo({"a.yaml": JOB, "a.yml.yaml": JOB}).desire()
    assert set(state.jobs) == {"a"}
    assert set(state.held) == {"a.yml"}
