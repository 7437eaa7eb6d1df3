"""Promise (S1): what an owner may have in all is never exceeded, and a new job never pushes out a live one."""

from dataclasses import replace

import pytest

from reconciler.model.job import Resources
from reconciler.model.live import StandingJob
from reconciler.model.service import Owner, Policy, ServiceConfig, Total
from tests.kit.ledger import T0
from tests.unit.spec.kit import JOB, Repo, problems


def of(total: Total, policy: Policy | None = None) -> ServiceConfig:
    return ServiceConfig(owners=(Owner("ml", ("ml/**",), policy, total=total), Owner("rest", ("**",))))


LIMITS = {
    "no cpus": ("", Total(cpus=4), "limit-missing", "ml must limit cpus, for it may have 4 in all its runs"),
    "no memory": ("", Total(memory=1 << 30), "limit-missing",
                  "ml must limit memory, for it may have 1g in all its runs"),
    "more cpus than all": ("resources: {cpus: 4.5}", Total(cpus=4), "limit-exceeded",
                           "cpus 4.5 is more than the 4 that ml may have in all its runs"),
    "more memory than all": ("resources: {memory: 2g}", Total(memory=1 << 30), "limit-exceeded",
                             "memory 2g is more than the 1g that ml may have in all its runs"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "total", "code", "message"), LIMITS.values(), ids=LIMITS)
def test_S1_a_job_that_cannot_be_counted_or_never_gets_a_place_is_refused(
    text: str, total: Total, code: str, message: str
) -> None:
    (found,) = problems(text, of(total), path="ml/a.yaml")
    assert (found.code, found.message) == (code, message)
    assert problems(text, of(total), path="web/a.yaml") == []


def test_S1_a_ceiling_and_a_total_say_a_missing_limit_once() -> None:
    config = replace(of(Total(cpus=4)), policy=Policy(max_resources=Resources(cpus=2, pids_limit=1 << 20)))
    assert [p.code for p in problems("", config, path="ml/a.yaml")] == ["limit-missing"]


def test_S1_a_job_without_GPUs_needs_none_of_the_total() -> None:
    config = replace(of(Total(gpus=1)), policy=Policy(gpus=True))
    assert problems("", config, path="ml/a.yaml") == []
    (found,) = problems("resources: {gpus: 2}", config, path="ml/a.yaml")
    assert (found.code, found.line) == ("limit-exceeded", 1)


def repo(*names: str, most: int = 2) -> Repo:
    return Repo({f"{name}.yaml": JOB for name in names}, config=of(Total(jobs=most)))


def live(made: Repo, *names: str) -> None:
    """As after applying: these jobs of the repository's newest reading stand."""
    plain = Repo(made.files, config=of(Total())).desire()
    for name in names:
        job = plain.jobs[name]
        made.standing[name] = StandingJob(name, job.spec, job.digest, "r", job.path, T0, T0, T0)


def test_S1_new_jobs_have_their_places_in_the_order_of_their_names() -> None:
    state = repo("ml/c", "ml/a", "ml/b", "web/x").desire()
    assert (sorted(state.jobs), sorted(state.held)) == (["ml/a", "ml/b", "web/x"], ["ml/c"])
    (problem,) = state.errors
    assert (problem.path, problem.line, problem.code) == ("ml/c.yaml", 1, "too-many-jobs")


def test_S1_a_newcomer_never_pushes_out_a_live_job() -> None:
    made = repo("ml/y", "ml/z")
    live(made, "ml/y", "ml/z")
    made.files["ml/a.yaml"] = JOB
    state = made.desire()
    assert (sorted(state.jobs), sorted(state.held)) == (["ml/y", "ml/z"], ["ml/a"])
    del made.files["ml/y.yaml"]
    assert sorted(made.desire().jobs) == ["ml/a", "ml/z"]


def test_S1_a_live_job_whose_file_is_broken_keeps_its_place() -> None:
    made = repo("ml/y", "ml/z")
    live(made, "ml/y", "ml/z")
    made.files |= {"ml/z.yaml": "nonsense: 1\n", "ml/a.yaml": JOB}
    state = made.desire()
    assert (sorted(state.jobs), sorted(state.held)) == (["ml/y"], ["ml/a", "ml/z"])


def test_S1_a_job_that_moves_within_its_owner_takes_its_place_along() -> None:
    made = repo("ml/y", "ml/z")
    live(made, "ml/y", "ml/z")
    del made.files["ml/y.yaml"]
    made.files |= {"ml/zz.yaml": JOB + "moved_from: ml/y\n", "ml/a.yaml": JOB}
    state = made.desire()
    assert (sorted(state.jobs), sorted(state.held)) == (["ml/z", "ml/zz"], ["ml/a"])


def test_S1_a_lowered_total_stops_nothing_that_is_live_and_lets_nothing_in() -> None:
    made = repo("ml/x", "ml/y", "ml/z", most=2)
    live(made, "ml/x", "ml/y", "ml/z")
    made.files |= {"ml/a.yaml": JOB, "ml/z.yaml": JOB + "timeout: 1h\n"}
    state = made.desire()
    assert (sorted(state.jobs), sorted(state.held)) == (["ml/x", "ml/y", "ml/z"], ["ml/a"])
    assert state.jobs["ml/z"].spec.timeout == 3600
    assert [(p.code, p.severity) for p in state.problems] == [
        ("too-many-jobs", "error"), ("jobs-beyond-total", "warning"),
    ]  # fmt: skip


def test_S1_an_edit_of_a_job_that_has_no_place_does_not_let_it_in() -> None:
    """The pass that reads edited files only must come to what a whole one does."""
    made = repo("ml/a", "ml/b", "ml/c")
    made.desire()
    made.files["ml/c.yaml"] = JOB + "timeout: 1h\n"
    assert sorted(made.desire().held) == ["ml/c"]
    made.files["ml/a.yaml"] = JOB + "timeout: 1h\n"
    assert sorted(made.desire().held) == ["ml/c"]
