"""Promise: before a run needs its code, `doctor --code` asks each repository once and says what it would not have."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from reconciler.app.code_check import check_code
from reconciler.gitio.runner import Finished, GitRunner
from reconciler.model.job import CodeRepository
from reconciler.model.service import Credential, GitConfig, Owner, ServiceConfig
from tests.kit.code import job_with
from tests.kit.folders import reachable_folder
from tests.kit.service import ServiceChild
from tests.lab.githttp import GitHttp
from tests.lab.gitrepo import GitRepo


class Counted(GitRunner):
    """A runner that remembers whom it asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def run(self, command: Sequence[str], **said: Any) -> Finished:
        self.asked.append(command[command.index("--") + 1])
        return super().run(command, **said)


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    repo = GitRepo(tmp_path / "repo")
    repo.commit({"a": "one\n"})
    repo.git("tag", "-a", "-m", "one", "v1")
    repo.commit({"a": "two\n"})
    return repo


def said(config: ServiceConfig, *items: CodeRepository, runner: GitRunner | None = None) -> dict[str, str]:
    """By ref: the commit, or the code."""
    found = check_code(config, [job_with(item) for item in items], runner)
    return {told.ref: told.commit if told.error is None else told.error.code for told in found}


def test_each_ref_has_its_commit_or_the_code_that_would_end_the_run(repo: GitRepo) -> None:
    url, first, runner = str(repo.path), repo.head("v1"), Counted()
    refs = ("main", "v1", "HEAD", "refs/heads/main", "nope", first, "v1")
    head = repo.head()
    assert said(ServiceConfig(), *(CodeRepository(url, "/c", ref) for ref in refs), runner=runner) == {
        "main": head, "v1": first, "HEAD": head, "refs/heads/main": head, "nope": "code-ref-missing", first: first,
    }  # fmt: skip
    assert runner.asked == [url]


def test_one_that_is_not_there_or_not_open_or_silent_is_said_and_the_others_are_asked(
    repo: GitRepo, tmp_path: Path
) -> None:  # fmt: skip
    repo.bare_clone(tmp_path / "served/code.git")
    with GitHttp(tmp_path / "served", auth="git:token") as http, GitHttp(tmp_path / "served") as silent:
        silent.fault = "hang"
        items = (
            CodeRepository(f"{http.url}/code.git", "/c", "closed"), CodeRepository(str(repo.path), "/c", "main"),
            CodeRepository(str(tmp_path / "none"), "/c", "none"),
            CodeRepository(f"{silent.url}/code.git", "/c", "slow"),
        )  # fmt: skip
        config = ServiceConfig(git=GitConfig(timeout=2.0))
        assert said(config, *items) == {
            "closed": "code-auth", "main": repo.head(), "none": "code-not-found", "slow": "code-unavailable",
        }  # fmt: skip
        token = tmp_path / "token"
        token.write_text("token\n")
        mine = Owner("default", tokens=(Credential(f"{http.url}/*", token_file=str(token)),))
        assert said(ServiceConfig(owners=(mine,)), CodeRepository(items[0].url, "/c", "main")) == {"main": repo.head()}


def test_a_branch_and_a_tag_of_one_name_are_told(repo: GitRepo) -> None:
    repo.git("branch", "v1")
    assert said(ServiceConfig(), CodeRepository(str(repo.path), "/c", "v1")) == {"v1": "code-ref-missing"}


def test_doctor_asks_when_told_to_and_ends_with_one_for_what_is_missing(repo: GitRepo) -> None:
    with reachable_folder() as folder:
        jobs = GitRepo(folder / "jobs")
        job = "schedule: manual\nimage: none\nscript: 'true'\nrepositories: [{{url: '{}', ref: {}, target: /c}}]\n"
        jobs.commit({f"jobs.d/{name}.yaml": job.format(repo.path, "main") for name in ("a", "b")})
        service = ServiceChild(folder, jobs.path, "process", instance="check",
                               config=f"policy: {{repositories: ['{repo.path}']}}\n")  # fmt: skip
        done = service.run("doctor", "--code", "-o", "json")
        rows = [row for row in json.loads(done.stdout) if row["what"] == "code"]
        assert done.returncode == 0
        assert [(row["level"], row["found"]) for row in rows] == [
            ("ok", f"main of {repo.path} is {repo.head()[:12]}: a, b")
        ]
        jobs.commit({"jobs.d/b.yaml": job.format(repo.path, "nope")})
        done = service.run("doctor", "--code")
        assert done.returncode == 1 and "fault    code      b: " in done.stdout and "[code-ref-missing]" in done.stdout
        assert service.run("doctor").returncode == 0
