"""Promise: D1, D2, D8. A job is named by its path, a broken file holds its job, and only what changed is read."""

import gc
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from reconciler.model.problem import SpecProblem
from reconciler.model.service import Owner, Policy, ServiceConfig
from reconciler.spec.desire import FEW, desire

from .kit import JOB, Repo


def test_D1_a_job_is_its_path_without_the_suffix() -> None:
    state = Repo({"a.yaml": JOB, "ml/train-churn.yml": JOB, "x/y/z_1.yaml": JOB}).desire()
    assert set(state.jobs) == {"a", "ml/train-churn", "x/y/z_1"}
    assert state.jobs["ml/train-churn"].path == "ml/train-churn.yml"
    assert state.entries == 3


def test_D1_the_root_of_the_repository_may_be_the_jobs_directory() -> None:
    state = Repo({"_defaults.yaml": "timeout: 1h\n", "a.yaml": JOB}, root="").desire()
    assert state.jobs["a"].spec.timeout == 3600.0


def test_D1_name_may_repeat_the_last_part() -> None:
    assert set(Repo({"ml/a.yaml": JOB + "name: a\n"}).desire().jobs) == {"ml/a"}


@pytest.mark.parametrize(
    "path", ["A.yaml", "a b.yaml", "-a.yaml", "a.b.yaml", "Ml/a.yaml", "x" * 64 + ".yaml", "ü.yaml"]
)
def test_D2_a_file_whose_name_cannot_be_a_jobs_holds_instead_of_vanishing(path: str) -> None:
    state = Repo({path: JOB}).desire()
    assert [p.code for p in state.problems] == ["job-name"]
    assert len(state.held) == 1
    assert not state.jobs


def test_D1_one_name_twice_is_refused_at_both_files() -> None:
    state = Repo({"a.yaml": JOB, "a.yml": JOB, "b.yaml": JOB}).desire()
    assert set(state.jobs) == {"b"}
    assert set(state.held) == {"a"}
    assert [(p.path, p.code) for p in state.problems] == [("a.yaml", "job-twice"), ("a.yml", "job-twice")]
    assert len(state.held["a"].problems) == 2


def test_D1_other_files_are_listed_as_ignored_unless_a_job_takes_them_in() -> None:
    state = Repo(
        {"a.yaml": JOB + "files: {/q: {from: q.sql}}\n", "q.sql": "x", "README.md": "x", "_x/b.yaml": "x"}
    ).desire()
    assert state.ignored == ("README.md", "_x/b.yaml")
    assert set(state.jobs) == {"a"}


def test_a_near_miss_of_the_defaults_file_is_pointed_out() -> None:
    state = Repo({"_default.yaml": "timeout: 1h\n", "a.yaml": JOB}).desire()
    assert [(p.severity, p.code) for p in state.problems] == [("warning", "defaults-name")]


def test_D2_a_file_that_does_not_validate_is_held_with_all_its_problems() -> None:
    state = Repo({"ml/a.yaml": "schedul: manual\nimage: [x]\n", "b.yaml": JOB}).desire()
    assert set(state.jobs) == {"b"}
    held = state.held["ml/a"]
    assert (held.path, held.owner) == ("ml/a.yaml", "default")
    assert [p.code for p in held.problems] == ["unknown-key", "wrong-type"]
    assert state.errors == tuple(sorted(held.problems))


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        pytest.param(
            'schedule: "61 * * * *"\nshedule: x\nimage: a\ntimeout: 5\ncap_add: [SYS_ADMIN]\nnetworks: [host]\n',
            {"schedule-invalid", "unknown-key", "value-invalid", "capability-not-allowed", "network-not-allowed"},
            id="a key, a duration, a cron line and the policy",
        ),
        pytest.param(
            "schedule: manual\nimage: a\nenvironment: {RECONCILER_JOB: x}\nresources: {size: huge}\n",
            {"variable-reserved", "size-unknown"},
            id="a form and a name of the service file",
        ),
        pytest.param("schedule: [[x]]\nimage: {}\n", {"wrong-type"}, id="a field that is wrong is not missing, too"),
        pytest.param("schedule: 5\nimage: a\n", {"schedule-invalid"}, id="a cron line alone"),
    ],
)
def test_a_problem_of_a_file_does_not_hide_the_others(text: str, codes: set[str]) -> None:
    state = Repo({"a.yaml": text}).desire()
    assert {p.code for p in state.held["a"].problems} == codes
    assert not state.jobs


@pytest.mark.parametrize(
    ("data", "code"), [(b"", "empty-file"), (b"\xff", "not-utf8"), (b"[" * 9999, "not-a-map"), (b"a: [", "yaml-syntax")]
)
def test_D2_no_bytes_look_like_a_deleted_file(data: bytes, code: str) -> None:
    state = Repo({"a.yaml": data, "b.yaml": JOB}).desire()
    assert set(state.held) == {"a"}
    assert set(state.jobs) == {"b"}
    assert state.problems[0].path == "a.yaml"


def test_D8_what_the_listing_refused_is_held_too() -> None:
    problem = SpecProblem("ml/a.yaml", 1, 1, "symlink", "a symlink")
    state = Repo(
        {"b.yaml": JOB}, problems=(problem, SpecProblem("x.md", 1, 1, "large", "x", severity="warning"))
    ).desire()
    assert set(state.held) == {"ml/a"}
    assert state.held["ml/a"].problems == (problem,)
    assert problem in state.problems


def test_D8_refused_defaults_hold_every_job_below() -> None:
    problem = SpecProblem("ml/_defaults.yaml", 1, 1, "symlink", "a symlink")
    for root in ("jobs.d", ""):
        state = Repo({"ml/a.yaml": JOB, "b.yaml": JOB}, problems=(problem,), root=root).desire()
        assert set(state.held) == {"ml/a"}
        assert set(state.jobs) == {"b"}


def test_problems_of_all_files_come_at_once_and_once() -> None:
    state = Repo({f"j{i}.yaml": "bad: 1\n" for i in range(3)} | {"ok.yaml": JOB}).desire()
    assert [p.path for p in state.problems if p.code == "unknown-key"] == ["j0.yaml", "j1.yaml", "j2.yaml"]


# -- moved_from ------------------------------------------------------------------------------------------------


def test_D1_one_history_has_one_heir() -> None:
    state = Repo({"a.yaml": JOB + "moved_from: old\n", "b.yaml": JOB + "moved_from: old\n"}).desire()
    assert set(state.held) == {"a", "b"}
    assert {p.code for p in state.problems} == {"moved-from-taken"}


def test_D1_nobody_inherits_from_a_job_that_is_still_there() -> None:
    state = Repo({"a.yaml": JOB + "moved_from: b\n", "b.yaml": JOB}).desire()
    assert set(state.held) == {"a"}
    assert set(state.jobs) == {"b"}
    assert (state.problems[0].line, state.problems[0].pointer) == (3, "/moved_from")


def test_S1_no_owner_can_stand_in_the_way_of_anothers_move() -> None:
    claims = {"ml/new.yaml": JOB + "moved_from: ml/old\n", "web/thief.yaml": JOB + "moved_from: ml/old\n"}
    state = Repo(dict(claims), config=TEAMS).desire()
    assert set(state.jobs) == {"ml/new", "web/thief"} and not state.held
    both = Repo(claims | {"ml/other.yaml": JOB + "moved_from: ml/old\n"}, config=TEAMS).desire()
    assert set(both.held) == {"ml/new", "ml/other"}


# -- ownership -------------------------------------------------------------------------------------------------

TEAMS = ServiceConfig(owners=(Owner("group/ml", ("ml/**",)), Owner("group/web", ("web/*", "shared"))))


def test_S1_a_job_belongs_to_the_owner_of_its_path() -> None:
    state = Repo(
        {"ml/a/b.yaml": JOB, "web/c.yaml": JOB + "owner: group/web\n", "shared.yaml": JOB}, config=TEAMS
    ).desire()
    assert {name: job.spec.owner for name, job in state.jobs.items()} == {
        "ml/a/b": "group/ml", "web/c": "group/web", "shared": "group/web",
    }  # fmt: skip


def test_S1_a_path_that_nobody_owns_is_refused() -> None:
    state = Repo({"web/deep/c.yaml": JOB, "x.yaml": JOB}, config=TEAMS).desire()
    assert [p.code for p in state.problems] == ["no-owner", "no-owner"]
    assert set(state.held) == {"web/deep/c", "x"}


def test_S1_the_owner_of_a_path_cannot_be_talked_away() -> None:
    state = Repo({"web/c.yaml": JOB + "owner: group/ml\n"}, config=TEAMS).desire()
    assert [(p.line, p.code) for p in state.problems] == [(3, "owner-disagrees")]
    assert state.held["web/c"].owner == "group/web"


def test_D3_a_broken_file_counts_for_the_owner_of_its_path() -> None:
    assert Repo({"ml/a.yaml": "x: 1\n"}, config=TEAMS).desire().held["ml/a"].owner == "group/ml"


def test_S1_a_violation_is_a_problem_of_the_file_with_line_and_reason() -> None:
    state = Repo({"a.yaml": JOB + "volumes:\n  - cache:/cache\n  - /etc:/x\n"}).desire()
    (problem,) = state.problems
    assert (problem.path, problem.line, problem.column, problem.code) == ("a.yaml", 5, 5, "bind-not-allowed")
    assert "a bind of /etc is not allowed for default" in problem.message


def test_D3_broken_defaults_count_for_their_owner_although_no_job_is_below_them() -> None:
    files: dict[str, str | bytes] = {"ml/_defaults.yaml": "nonsense: 1\n", "web/a.yaml": JOB}
    state = Repo(files, config=TEAMS).desire()
    assert (set(state.jobs), state.broken_owners) == ({"web/a"}, {"group/ml"})
    assert Repo(files | {"ml/_defaults.yaml": "timeout: 1h\n"}, config=TEAMS).desire().broken_owners == frozenset()
    link = SpecProblem("web/_defaults.yaml", 1, 1, "symlink", "a symlink")
    assert Repo({"ml/a.yaml": JOB}, config=TEAMS, problems=(link,)).desire().broken_owners == {"group/web"}


def test_D4_the_directories_that_have_job_files_are_known() -> None:
    assert Repo({"a.yaml": JOB, "ml/b.yaml": "x: 1\n"}).desire().roots == {"jobs.d"}
    assert Repo({"_defaults.yaml": "timeout: 1h\n", ".gitkeep": ""}).desire().roots == frozenset()


# -- the cache -------------------------------------------------------------------------------------------------


def fleet(count: int = 50) -> Repo:
    files: dict[str, str | bytes] = {f"t{i % 5}/j{i}.yaml": JOB + f"description: job {i}\n" for i in range(count)}
    return Repo(files | {"t1/_defaults.yaml": "timeout: 1h\n"})


def test_D8_nothing_changed_means_nothing_is_read() -> None:
    repo = fleet()
    first = repo.desire()
    repo.asked.clear()
    assert repo.desire() == first
    assert repo.asked == []


def test_D8_only_the_changed_files_are_read_and_the_rest_is_the_same_objects() -> None:
    repo = fleet()
    first = repo.desire()
    repo.asked.clear()
    repo.files["t2/j2.yaml"] = JOB + "description: other\n"
    repo.files["t0/new.yaml"] = JOB
    del repo.files["t3/j3.yaml"]
    second = repo.desire()
    assert sorted(repo.asked) == sorted(repo.blob(repo.files[path]) for path in ("t2/j2.yaml", "t0/new.yaml"))
    assert second.jobs["t2/j2"].digest != first.jobs["t2/j2"].digest
    assert second.jobs["t4/j4"] is first.jobs["t4/j4"]
    assert set(second.jobs) == set(first.jobs) - {"t3/j3"} | {"t0/new"}
    assert len(repo.cache) == len(repo.files)


def test_a_changed_default_is_read_with_all_below_it_and_no_other() -> None:
    repo = fleet()
    first = repo.desire()
    repo.asked.clear()
    repo.files["t1/_defaults.yaml"] = "timeout: 2h\n"
    second = repo.desire()
    assert len(repo.asked) == 11
    changed = {name for name in first.jobs if first.jobs[name] != second.jobs[name]}
    assert changed == {f"t1/j{i}" for i in range(1, 50, 5)}


def test_defaults_that_appear_or_vanish_count() -> None:
    repo = fleet()
    repo.desire()
    del repo.files["t1/_defaults.yaml"]
    assert repo.desire().jobs["t1/j1"].spec.timeout == 86400.0
    repo.files["_defaults.yaml"] = "timeout: 3h\n"
    assert repo.desire().jobs["t4/j4"].spec.timeout == 10800.0


def test_a_changed_service_file_checks_everything_anew() -> None:
    repo = fleet()
    repo.desire()
    repo.config = replace(repo.config, policy=Policy(images=("postgres:*",)))
    assert not repo.desire().jobs
    repo.config = ServiceConfig()
    assert len(repo.desire().jobs) == 50


def test_a_file_that_a_job_takes_in_counts_as_part_of_it() -> None:
    repo = Repo({"a.yaml": JOB + "files: {/q: {from: q.sql}}\n", "q.sql": "1", "b.yaml": JOB})
    first = repo.desire()
    repo.asked.clear()
    repo.files["q.sql"] = "2"
    second = repo.desire()
    assert first.jobs["a"].digest != second.jobs["a"].digest
    assert repo.blob(repo.files["b.yaml"]) not in repo.asked
    del repo.files["q.sql"]
    assert [p.code for p in repo.desire().problems] == ["from-missing"]
    repo.files["q.sql"] = "2"
    assert repo.desire().jobs["a"].digest == second.jobs["a"].digest


def test_a_broken_file_is_remembered_too() -> None:
    repo = Repo({"a.yaml": "x: 1\n"})
    first = repo.desire()
    repo.asked.clear()
    assert repo.desire() == first
    assert repo.asked == []


def test_a_file_that_is_not_text_cannot_be_taken_in() -> None:
    state = Repo({"a.yaml": JOB + "files: {/q: {from: q.bin}}\n", "q.bin": b"\xff\x00"}).desire()
    assert [p.code for p in state.problems] == ["from-not-text"]


def test_D2_an_unreadable_repository_is_not_an_invalid_one() -> None:
    repo = Repo({"a.yaml": JOB})
    repo.read = lambda blobs: (_ for _ in ()).throw(OSError("gone"))  # type: ignore[method-assign]
    with pytest.raises(OSError, match="gone"):
        repo.desire()


@pytest.mark.parametrize(
    "text", [JOB + "moved_from: web/a\nnetworks: [shop]\n", "moved_from: web/a\nnonsense: 1\n"],
    ids=["what policy does not allow", "what is wrong by itself"],
)  # fmt: skip
def test_S1_a_file_that_is_held_still_says_whose_heir_it_would_be(text: str) -> None:
    state = Repo({"ml/a.yaml": text}, config=TEAMS).desire()
    assert state.held["ml/a"].moved_from == "web/a"


@pytest.mark.parametrize(("count", "enabled"), [(1, True), (FEW, True), (FEW + 1, False)])
def test_the_search_for_cycles_is_switched_off_for_many_files_alone(count: int, enabled: bool) -> None:
    repo, seen = Repo({f"a{n}.yaml": JOB for n in range(count)}), []

    def read(blobs: Sequence[str]) -> Mapping[str, bytes]:
        seen.append(gc.isenabled())
        return repo.read(blobs)

    desire(repo.snapshot(), read, repo.config, {})
    assert seen == [enabled] and gc.isenabled()
