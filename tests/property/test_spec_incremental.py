"""Promise: D8. Whatever a commit does, what is made of it with all that is remembered is what is made of it alone."""

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.model.live import StandingJob
from reconciler.model.problem import SpecProblem
from reconciler.model.service import Owner, ServiceConfig
from tests.unit.spec.kit import JOB, Repo

PATHS = (
    "a.yaml", "b.yaml", "c.yml", "a.yml", "x/a.yaml", "x/b.yaml", "x/y/c.yaml", "x/Bad Name.yaml",
    "_defaults.yaml", "_defaults.yml", "x/_defaults.yaml", "_default.yaml", "q.sql", "x/q.sql", "_x/b.yaml",
)  # fmt: skip
TEXTS = (
    JOB, JOB + "timeout: 1h\n", JOB + "timeout: 2h\n", JOB + "protect: true\n",
    JOB + "files: {/q: {from: q.sql}}\n", JOB + "after: [{job: b, on: success}]\n",
    JOB + "after: [{job: a, on: success}]\n", JOB + "moved_from: b\n", JOB + "moved_from: old\n",
    JOB + "wait_for: [{job: x/a}]\n", JOB + "script: |\n  #!/usr/bin/python\n", JOB + "unknown: 1\n",
    "timeout: 3h\n", "protect: true\n", "x", ": [",
)  # fmt: skip
CONFIGS = (ServiceConfig(), ServiceConfig(owners=(Owner("xs", ("x/**",)), Owner("rest", ("**",)))))
REFUSED = (
    (), (), (), (SpecProblem("d.yaml", 1, 1, "symlink", "this is a symbolic link"),),
    (SpecProblem("q2", 1, 1, "file-too-large", "too large", severity="warning"),),
)  # fmt: skip
NOW = datetime(2026, 1, 1, tzinfo=UTC)

files = st.dictionaries(st.sampled_from(PATHS), st.sampled_from(TEXTS), max_size=10)
edit = st.tuples(st.sampled_from(PATHS), st.sampled_from((*TEXTS, None)))
step = st.tuples(
    st.lists(edit, max_size=3), st.integers(0, 19).map(lambda n: CONFIGS[n == 0]),
    st.integers(0, 19).map(lambda n: REFUSED[n] if n < len(REFUSED) else ()), st.booleans(),
)  # fmt: skip


@given(files, st.lists(step, min_size=1, max_size=6))
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_D8_remembering_changes_nothing_but_the_work(
    first: dict[str, str],
    steps: list[tuple[list[tuple[str, str | None]], ServiceConfig, tuple[SpecProblem, ...], bool]],
) -> None:
    repo = Repo(first)
    repo.desire()
    for edits, config, problems, applied in steps:
        for path, text in edits:
            if text is None:
                repo.files.pop(path, None)
            elif path in repo.files or text != "x":
                repo.files[path] = text
        repo.config, repo.problems = config, problems
        remembered = repo.desire()
        anew = Repo(repo.files, config=config, problems=problems, standing=repo.standing).desire()
        assert remembered == anew
        if applied:
            repo.standing = {
                name: StandingJob(
                    name, job.spec, job.digest, "c" * 40, job.path, NOW, NOW, NOW, full_path=job.full_path
                )
                for name, job in remembered.jobs.items()
            }


def test_D8_an_edited_file_alone_is_read_and_the_rest_is_the_same_object() -> None:
    repo = Repo({f"{name}.yaml": JOB for name in "abcdef"} | {"b.yaml": JOB + "timeout: 1h\n"})
    before = repo.desire()
    repo.asked.clear()
    repo.files["b.yaml"] = JOB + "timeout: 2h\n"
    after = repo.desire()
    assert repo.asked == [repo.blob(repo.files["b.yaml"])]
    assert after.jobs["b"].spec.timeout == 7200.0
    assert all(after.jobs[name] is before.jobs[name] for name in "acdef")
    assert replace(after, jobs={}) == replace(before, jobs={})
