"""Promise: nothing in a repository runs on the host, leaves its directory, or takes more than its bounds (S5, D8)."""

import os
import signal
import subprocess
import time
import warnings
from pathlib import Path

import pytest

from reconciler.gitio.profile import Access
from reconciler.gitio.runner import GitRunner
from reconciler.model.errors import ReconcilerError, SourceRejected
from reconciler.model.service import GitConfig, SourceConfig
from reconciler.source.open import open_source
from tests.lab.githttp import GitHttp
from tests.lab.gitrepo import ENVIRONMENT, GitRepo

JOB = "schedule: '@hourly'\nimage: busybox:local\n"
LOCAL = GitConfig(timeout=20.0)


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    repo = GitRepo(tmp_path / "work")
    repo.commit({"jobs.d/a.yaml": JOB})
    return repo


def booby_trap(repo: GitRepo, canary: Path) -> None:
    """Everything that a repository can carry to have git run something."""
    script = repo.path / "trap.sh"
    script.write_text(f'#!/bin/sh\necho "$0 $*" >>{canary}\ncat\n')
    script.chmod(0o755)
    hooks = repo.path / ".git/hooks"
    for name in ("post-checkout", "post-index-change", "reference-transaction", "pre-auto-gc", "post-rewrite",
                 "fsmonitor-watchman", "pre-receive", "update", "post-update", "proc-receive"):  # fmt: skip
        hooks.mkdir(exist_ok=True)
        (hooks / name).write_text(script.read_text())
        (hooks / name).chmod(0o755)
    repo.commit({".gitattributes": "* filter=trap diff=trap textconv=trap\njobs.d/** filter=trap\n"})
    settings = {
        "core.fsmonitor": script, "core.hooksPath": hooks, "core.sshCommand": script, "core.gitProxy": script,
        "core.pager": script, "core.editor": script, "core.askPass": script, "core.alternateRefsCommand": script,
        "credential.helper": f"!{script}", "filter.trap.clean": script, "filter.trap.smudge": script,
        "filter.trap.process": script, "filter.trap.required": "true", "diff.trap.textconv": script,
        "diff.external": script, "gpg.program": script, "log.showSignature": "true",
        "uploadpack.packObjectsHook": script, "alias.ls-tree": f"!{script}", "alias.cat-file": f"!{script}",
        "remote.origin.url": f"ext::{script}", "remote.origin.promisor": "true", "protocol.ext.allow": "always",
        "remote.origin.partialclonefilter": "blob:none", "protocol.allow": "always", "pager.ls-tree": script,
    }  # fmt: skip
    with (repo.path / ".git/config").open("a") as config:
        for key, value in settings.items():
            section, _, name = key.rpartition(".")
            head, _, sub = section.partition(".")
            config.write(f'[{head} "{sub}"]\n' if sub else f"[{head}]\n")
            config.write(f'\t{name} = "{value}"\n')
        config.write("[extensions]\n\tpartialClone = origin\n")


def test_S5_nothing_planted_in_a_local_repository_ever_runs(repo: GitRepo, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    first = repo.head()
    booby_trap(repo, canary)
    canary.unlink(missing_ok=True)  # git's own commit above may have set something off
    source = open_source(SourceConfig(str(repo.path), "main", ("jobs.d",)), LOCAL, "")
    snapshot = source.snapshot(first)
    assert snapshot.descends and [entry.path for entry in snapshot.entries] == ["a.yaml"]
    blob = snapshot.entries[0].blob
    assert source.read([blob]) == {blob: JOB.encode()}
    (repo.path / ".git/objects" / blob[:2] / blob[2:]).unlink()  # a promisor would be asked for it
    with pytest.raises(ReconcilerError):
        source.read([blob])
    with pytest.raises(ReconcilerError):
        open_source(SourceConfig(str(repo.path), "0" * 39 + "1"), LOCAL, "").snapshot(None)
    assert not canary.exists()


@pytest.mark.timeout(30)
@pytest.mark.parametrize("where", ["include", "HEAD", "packed-refs", "config", "refs/heads/main"])
def test_a_FIFO_planted_in_a_local_repository_stops_nobody(repo: GitRepo, tmp_path: Path, where: str) -> None:
    dot_git = repo.path / ".git"
    if where == "include":
        os.mkfifo(tmp_path / "fifo")
        with (dot_git / "config").open("a") as config:
            config.write(f"[include]\n\tpath = {tmp_path}/fifo\n")
    else:
        repo.git("pack-refs", "--all", "--no-prune")
        (dot_git / where).unlink()
        os.mkfifo(dot_git / where)
    try:
        snapshot = open_source(SourceConfig(str(repo.path), "main"), GitConfig(timeout=2.0), "").snapshot(None)
    except ReconcilerError as error:
        assert error.code in ("source-unreadable", "git-timeout", "source-unavailable", "ref-not-found")
    else:
        assert [entry.path for entry in snapshot.entries] == ["a.yaml"]


@pytest.mark.parametrize("command", [("status",), ("cat-file", "-p", "LOST")], ids=["fsmonitor", "promisor"])
def test_the_trap_of_these_tests_does_go_off_without_the_profile(
    repo: GitRepo, tmp_path: Path, command: tuple[str, ...]
) -> None:
    canary = tmp_path / "canary"
    blob = repo.git("rev-parse", "HEAD:jobs.d/a.yaml")
    booby_trap(repo, canary)
    canary.unlink(missing_ok=True)
    (repo.path / ".git/objects" / blob[:2] / blob[2:]).unlink()
    argv = ["git", *(word.replace("LOST", blob) for word in command)]
    child = subprocess.Popen(
        argv, cwd=repo.path, env=ENVIRONMENT, start_new_session=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 20
        while not canary.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        os.killpg(child.pid, signal.SIGKILL)  # it may wait for ever on what the trap does not answer
        child.wait()
    assert canary.exists()


def test_D8_links_submodules_and_odd_names_are_problems_never_contents(repo: GitRepo) -> None:
    text, link = repo.blob(JOB.encode()), repo.blob(b"/etc/passwd")
    inner = repo.tree(("100644", "ok.yaml", text), ("120000", "link.yaml", link), ("160000", "sub", repo.head()))
    jobs = repo.tree(
        ("40000", "..", inner), ("100644", ".git", text), ("100644", "a\nb.yaml", text),
        ("40000", "dir", inner), ("120000", "team", link), ("100644", "\udcff.yaml", text),
    )  # fmt: skip
    repo.commit_tree(repo.tree(("40000", "jobs.d", jobs)))
    source = open_source(SourceConfig(str(repo.path), "main"), LOCAL, "")
    snapshot = source.snapshot(None)
    assert [entry.path for entry in snapshot.entries] == ["dir/ok.yaml"]
    assert {(problem.path, problem.code) for problem in snapshot.problems} >= {
        ("dir/link.yaml", "symlink"), ("dir/sub", "submodule"), ("team", "symlink"), ("a\\nb.yaml", "file-name"),
        ("../ok.yaml", "file-name"), (".git", "file-name"),
    }  # fmt: skip
    assert b"root:" not in b"".join(source.read([entry.blob for entry in snapshot.entries]).values())


def test_D4_a_jobs_directory_that_became_a_link_is_missing(repo: GitRepo) -> None:
    repo.commit_tree(repo.tree(("120000", "jobs.d", repo.blob(b"/etc"))))
    snapshot = open_source(SourceConfig(str(repo.path), "main"), LOCAL, "").snapshot(None)
    assert snapshot.missing_paths == ("jobs.d",)
    assert [(problem.path, problem.code) for problem in snapshot.problems] == [("jobs.d", "path-not-a-directory")]


def test_S4_a_huge_file_is_never_inflated(repo: GitRepo) -> None:
    repo.commit({"jobs.d/huge.yaml": bytes(64 << 20), "jobs.d/ok.yaml": JOB})
    began = time.monotonic()
    snapshot = open_source(SourceConfig(str(repo.path), "main"), LOCAL, "").snapshot(None)
    assert time.monotonic() - began < 5
    assert [(problem.path, problem.code) for problem in snapshot.problems] == [("huge.yaml", "file-too-large")]
    assert [entry.path for entry in snapshot.entries] == ["a.yaml", "ok.yaml"]


def bomb(repo: GitRepo, width: int, depth: int) -> str:
    """A tree of `width ** depth` paths in a few kilobytes."""
    tree = repo.tree(*(("100644", f"{number}.yaml", repo.blob(b"")) for number in range(width)))
    for _ in range(depth - 1):
        tree = repo.tree(*(("40000", str(number), tree) for number in range(width)))
    return tree


def test_S4_a_tree_of_ten_thousand_million_paths_is_refused_in_seconds(repo: GitRepo) -> None:
    repo.commit_tree(repo.tree(("40000", "jobs.d", bomb(repo, 10, 10))))
    began = time.monotonic()
    with pytest.raises(SourceRejected) as caught:
        open_source(SourceConfig(str(repo.path), "main"), LOCAL, "").snapshot(None)
    assert caught.value.code == "source-too-large"
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("name", ["..", ".git"])
def test_S5_a_malformed_tree_is_refused_on_transfer(repo: GitRepo, tmp_path: Path, name: str) -> None:
    evil = repo.tree(("40000", name, repo.tree(("100644", "x.yaml", repo.blob(b"x")))))
    repo.commit_tree(repo.tree(("40000", "jobs.d", evil)))
    with GitHttp(tmp_path) as server:
        source = open_source(
            SourceConfig(f"{server.url}/work/.git", "main"), GitConfig(timeout=20.0), str(tmp_path / "cache")
        )
        with pytest.raises(SourceRejected) as caught:
            source.snapshot(None)
        assert caught.value.code == "source-corrupt"


URLS = ["ext::sh -c touch% CANARY", "fd::7", "--upload-pack=touch CANARY", "ssh://-oProxyCommand=touch%20CANARY/x",
        "-oProxyCommand=touch CANARY:x", "x@-oProxyCommand=touch CANARY:x"]  # fmt: skip


@pytest.mark.parametrize("url", URLS)
def test_S5_an_address_that_would_run_something_is_refused(tmp_path: Path, url: str) -> None:
    canary = tmp_path / "canary"
    with pytest.raises(SourceRejected):
        open_source(SourceConfig(url.replace("CANARY", str(canary)), "main"), GitConfig(), str(tmp_path))
    assert not canary.exists()


@pytest.mark.parametrize("access", [Access(), Access(protocols=("https", "ssh"))], ids=["local", "remote"])
@pytest.mark.parametrize("url", ["ext::touch CANARY", "file://REPO", "REPO", "fd::7"])
def test_S5_git_itself_is_denied_what_our_parser_already_refuses(
    repo: GitRepo, tmp_path: Path, url: str, access: Access
) -> None:
    canary = tmp_path / "canary"
    words = url.replace("CANARY", str(canary)).replace("REPO", str(repo.path))
    done = GitRunner().run(["ls-remote", "--", words], timeout=10, access=access)
    assert done.status != 0 and not canary.exists() and done.stdout == b""


def test_S5_a_config_planted_in_our_cache_is_thrown_away_with_it(repo: GitRepo, tmp_path: Path) -> None:
    with GitHttp(tmp_path) as server:
        config = SourceConfig(f"{server.url}/work/.git", "main")
        cache = tmp_path / "cache"
        open_source(config, GitConfig(), str(cache)).snapshot(None)
        (kept,) = cache.glob("*.git")
        (kept / "hooks").mkdir()
        with (kept / "config").open("a") as file:
            file.write('[remote "origin"]\n\tpromisor = true\n')
        repo.commit({"jobs.d/b.yaml": JOB})
        snapshot = open_source(config, GitConfig(), str(cache)).snapshot(None)
        assert [entry.path for entry in snapshot.entries] == ["a.yaml", "b.yaml"]
        assert "promisor" not in (kept / "config").read_text() and not (kept / "hooks").exists()


def test_environment_variables_of_whoever_starts_us_have_no_say(
    repo: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = GitRepo(tmp_path / "other")
    other.commit({"jobs.d/evil.yaml": JOB})
    for name in ("GIT_DIR", "GIT_COMMON_DIR"):  # as in a hook
        monkeypatch.setenv(name, str(other.path / ".git"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other.path / ".git/objects"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    with warnings.catch_warnings():
        snapshot = open_source(SourceConfig(str(repo.path), "main"), LOCAL, "").snapshot(None)
    assert [entry.path for entry in snapshot.entries] == ["a.yaml"]
