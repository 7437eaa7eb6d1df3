"""Promise: a remote repository is fetched whole, safely and within its deadline, and every failure says what to do."""

import base64
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model.errors import ReconcilerError, SourceRejected, SourceUnavailable, StateError
from reconciler.model.service import Credential, GitConfig, SourceConfig
from reconciler.source.base import Source
from reconciler.source.open import open_source
from tests.lab.githttp import GitHttp
from tests.lab.gitrepo import GitRepo, git

JOB = "schedule: '@hourly'\nimage: busybox:local\n"
TOKEN = "tok-CANARY-8d1f"


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    """A work repository whose `origin` is srv/jobs.git."""
    repo = GitRepo(tmp_path / "work")
    repo.commit({"jobs.d/a.yaml": JOB, "jobs.d/b.yaml": JOB + "#b\n"})
    (tmp_path / "srv").mkdir()
    repo.bare_clone(tmp_path / "srv/jobs.git")
    return repo


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitHttp]:
    with GitHttp(tmp_path / "srv") as server:
        yield server


def opened(server: GitHttp, tmp_path: Path, ref: str = "main", git: GitConfig | None = None) -> Source:
    config = SourceConfig(f"{server.url}/jobs.git", ref)
    return open_source(config, git or GitConfig(timeout=20.0), str(tmp_path / "cache"))


def names(source: Source, applied: str | None = None) -> list[str]:
    return [entry.path for entry in source.snapshot(applied).entries]


def children() -> set[int]:
    """Our own living children and what they have started, by pid."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        state, parent = text.rpartition(")")[2].split()[:2]
        if state != "Z":
            parents[int(stat.parent.name)] = int(parent)
    found, size = {os.getpid()}, 0
    while len(found) != size:
        size = len(found)
        found |= {pid for pid, parent in parents.items() if parent in found}
    return found - {os.getpid()}


def test_a_remote_is_listed_read_and_followed(repo: GitRepo, server: GitHttp, tmp_path: Path) -> None:
    source = opened(server, tmp_path)
    assert source.head() == repo.head()
    first = source.snapshot(None)
    assert [entry.path for entry in first.entries] == ["a.yaml", "b.yaml"]
    assert source.read([first.entries[0].blob]) == {first.entries[0].blob: JOB.encode()}
    assert source.snapshot(first.commit.id) is first
    repo.commit({"jobs.d/c.yaml": JOB})
    repo.push()
    second = source.snapshot(first.commit.id)
    assert (second.commit.id, second.descends) == (repo.head(), True)
    assert [entry.path for entry in second.entries] == ["a.yaml", "b.yaml", "c.yaml"]


def test_no_news_costs_one_look_at_the_references(repo: GitRepo, server: GitHttp, tmp_path: Path) -> None:
    source = opened(server, tmp_path)
    source.snapshot(None)
    server.requests.clear()
    source.snapshot(None)
    assert not [request for request in server.requests if "git-upload-pack HTTP" in request]
    assert len(server.requests) <= 2


def test_exactly_one_reference_is_fetched_with_its_history(repo: GitRepo, server: GitHttp, tmp_path: Path) -> None:
    repo.commit({"jobs.d/c.yaml": JOB})
    repo.git("checkout", "-q", "-b", "secret")
    secret = repo.commit({"jobs.d/s.yaml": JOB})
    repo.git("tag", "v9")
    repo.push("main", "secret", "v9")
    opened(server, tmp_path).snapshot(None)
    (cache,) = (tmp_path / "cache").glob("*.git")
    assert git(cache, "for-each-ref", "--format=%(refname)") == "refs/reconciler/incoming"
    assert git(cache, "rev-list", "--count", "refs/reconciler/incoming") == "2"
    with pytest.raises(AssertionError):
        git(cache, "cat-file", "-e", secret)


@pytest.mark.parametrize("ref", ["v1", "refs/tags/v1", "HEAD", "COMMIT", "refs/heads/main"])
def test_tags_HEAD_and_commit_ids_can_be_followed(repo: GitRepo, server: GitHttp, tmp_path: Path, ref: str) -> None:
    repo.git("tag", "-a", "v1", "-m", "one")
    repo.push("main", "v1")
    source = opened(server, tmp_path, ref.replace("COMMIT", repo.head()))
    assert source.head() == repo.head()
    assert source.snapshot(None).commit.id == repo.head()
    assert source.snapshot(None) is source.snapshot(None)


def test_a_commit_that_no_branch_ends_in_can_be_pinned(repo: GitRepo, server: GitHttp, tmp_path: Path) -> None:
    pinned = repo.head()
    repo.commit({"jobs.d/c.yaml": JOB})
    repo.push()
    assert names(opened(server, tmp_path, pinned)) == ["a.yaml", "b.yaml"]


def test_a_commit_id_cut_short_is_refused_with_the_whole_one_if_the_cache_has_it(
    repo: GitRepo, server: GitHttp, tmp_path: Path
) -> None:
    whole = repo.head()
    for hint in (f"git rev-parse {whole[:8]}", whole):
        with pytest.raises(SourceRejected) as caught:
            opened(server, tmp_path, whole[:8]).snapshot(None)
        assert caught.value.code == "ref-not-found" and caught.value.hint.endswith(hint)
        opened(server, tmp_path).snapshot(None)  # fills the cache


def test_D5_a_forced_push_is_seen_and_does_not_descend(repo: GitRepo, server: GitHttp, tmp_path: Path) -> None:
    old = repo.commit({"jobs.d/c.yaml": JOB})
    repo.push()
    source = opened(server, tmp_path)
    assert source.snapshot(old).descends
    repo.git("reset", "-q", "--hard", "HEAD~1")
    new = repo.commit({"jobs.d/d.yaml": JOB})
    repo.push("--force", "main")
    rewritten = source.snapshot(old)
    assert (rewritten.commit.id, rewritten.descends) == (new, False)
    fresh = open_source(SourceConfig(f"{server.url}/jobs.git", "main"), GitConfig(), str(tmp_path / "other"))
    assert not fresh.snapshot(old).descends  # it has never heard of the old one


def test_D2_a_deleted_branch_is_an_error_not_an_empty_revision(repo: GitRepo, server: GitHttp, tmp_path: Path) -> None:
    repo.git("branch", "live")
    repo.push("live")
    source = opened(server, tmp_path, "live")
    before = source.snapshot(None)
    repo.push("--delete", "live")
    with pytest.raises(SourceRejected) as caught:
        source.snapshot(before.commit.id)
    assert caught.value.code == "ref-not-found"
    repo.push("live")
    assert source.snapshot(before.commit.id) is before


def test_a_branch_and_a_tag_of_one_name_must_be_told_apart(repo: GitRepo, server: GitHttp, tmp_path: Path) -> None:
    repo.git("tag", "main", "HEAD")
    repo.commit({"jobs.d/c.yaml": JOB})
    repo.push("refs/heads/main", "refs/tags/main")
    with pytest.raises(SourceRejected) as caught:
        opened(server, tmp_path).head()
    assert caught.value.code == "ref-ambiguous"


# -- credentials ----------------------------------------------------------------------------------------------


def with_token(tmp_path: Path, url: str, token: str) -> GitConfig:
    file = tmp_path / "token"
    file.write_text(token + "\n")
    return GitConfig(tokens=(Credential(f"{url}/*", token_file=str(file), username="ci"),), timeout=20.0)


def test_a_token_opens_the_door_and_shows_nowhere(repo: GitRepo, server: GitHttp, tmp_path: Path) -> None:
    server.auth = f"ci:{TOKEN}"
    assert names(opened(server, tmp_path, git=with_token(tmp_path, server.url, TOKEN))) == ["a.yaml", "b.yaml"]
    forms = (TOKEN.encode(), base64.b64encode(f"ci:{TOKEN}".encode()))
    for path in (tmp_path / "cache").rglob("*"):
        if path.is_file():
            assert not any(form in path.read_bytes() for form in forms), path


@pytest.mark.parametrize("token", ["wrong-CANARY", ""], ids=["a wrong token", "no token"])
def test_a_closed_door_says_so_without_the_token(repo: GitRepo, server: GitHttp, tmp_path: Path, token: str) -> None:
    server.auth = f"ci:{TOKEN}"
    config = with_token(tmp_path, server.url, token) if token else GitConfig(timeout=20.0)
    with pytest.raises(SourceRejected) as caught:
        opened(server, tmp_path, git=config).snapshot(None)
    assert caught.value.code == "source-auth" and "git.tokens" in caught.value.hint
    assert "CANARY" not in f"{caught.value} {caught.value.__cause__} {caught.value.hint}"


def test_a_rotated_token_counts_at_once(repo: GitRepo, server: GitHttp, tmp_path: Path) -> None:
    server.auth = f"ci:{TOKEN}"
    source = opened(server, tmp_path, git=with_token(tmp_path, server.url, "old"))
    with pytest.raises(SourceRejected):
        source.head()
    with_token(tmp_path, server.url, TOKEN)
    assert source.head() == repo.head()


# -- faults ---------------------------------------------------------------------------------------------------


FAULTS = [("401", SourceRejected, "source-auth"), ("403", SourceRejected, "source-auth"),
          ("404", SourceRejected, "source-not-found"), ("500", SourceUnavailable, "source-unavailable"),
          ("503", SourceUnavailable, "source-unavailable")]  # fmt: skip


@pytest.mark.parametrize(("fault", "kind", "code"), FAULTS, ids=[case[0] for case in FAULTS])
def test_a_server_that_fails_leaves_what_was_read_in_force(
    repo: GitRepo, server: GitHttp, tmp_path: Path, fault: str, kind: type[ReconcilerError], code: str
) -> None:
    source = opened(server, tmp_path)
    before = source.snapshot(None)
    server.fault = fault
    with pytest.raises(kind) as caught:
        source.snapshot(before.commit.id)
    assert caught.value.code == code and caught.value.hint
    assert source.read([before.entries[0].blob])
    server.fault = ""
    assert source.snapshot(before.commit.id) is before


def test_nobody_there_is_unavailable(repo: GitRepo, server: GitHttp, tmp_path: Path) -> None:
    source = opened(server, tmp_path)
    server.close()
    with pytest.raises(SourceUnavailable):
        source.head()


def test_a_fetch_that_hangs_is_killed_at_its_deadline_with_all_its_children(
    repo: GitRepo, server: GitHttp, tmp_path: Path
) -> None:
    before = children()
    source = opened(server, tmp_path, git=GitConfig(timeout=1.0))
    server.fault = "hang"
    began = time.monotonic()
    with pytest.raises(SourceUnavailable) as caught:
        source.snapshot(None)
    assert caught.value.code == "git-timeout"
    assert 0.9 < time.monotonic() - began < 5
    assert children() <= before


def test_closing_ends_a_fetch_that_hangs(repo: GitRepo, server: GitHttp, tmp_path: Path) -> None:
    before = children()
    source = opened(server, tmp_path, git=GitConfig(timeout=60.0))
    server.fault = "hang"
    caught: list[str] = []

    def fetch() -> None:
        try:
            source.snapshot(None)
        except SourceUnavailable as error:
            caught.append(error.code)

    thread = threading.Thread(target=fetch)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.requests and time.monotonic() < deadline:
        time.sleep(0.01)
    source.close()
    thread.join(10)
    assert caught == ["source-closed"]
    assert children() <= before


def test_what_a_killed_fetch_left_behind_stops_no_later_one(repo: GitRepo, server: GitHttp, tmp_path: Path) -> None:
    opened(server, tmp_path).snapshot(None)
    (cache,) = (tmp_path / "cache").glob("*.git")
    for name in ("refs/reconciler/incoming.lock", "shallow.lock", "objects/pack/tmp_pack_x", "packed-refs.lock"):
        (cache / name).touch()
    repo.commit({"jobs.d/c.yaml": JOB})
    repo.push()
    assert names(opened(server, tmp_path)) == ["a.yaml", "b.yaml", "c.yaml"]
    assert not list(cache.glob("objects/pack/tmp_*"))


@pytest.mark.parametrize("damage", ["gone", "emptied", "a file", "objects lost", "objects garbled"])
def test_a_damaged_cache_is_made_anew(repo: GitRepo, server: GitHttp, tmp_path: Path, damage: str) -> None:
    source = opened(server, tmp_path)
    blob = source.snapshot(None).entries[0].blob
    (cache,) = (tmp_path / "cache").glob("*.git")
    if damage in ("gone", "a file"):
        cache.rename(tmp_path / "away")
    if damage == "a file":
        cache.write_text("not a repository")
    for path in [path for path in cache.rglob("*") if path.is_file()] if damage not in ("gone", "a file") else []:
        if damage == "emptied" or (damage == "objects lost" and "objects" in path.parts):
            path.unlink()
        elif damage == "objects garbled" and "objects" in path.parts:
            path.chmod(0o600)
            path.write_bytes(b"garbled" * 20)
    assert source.read([blob]) == {blob: JOB.encode()}
    repo.commit({"jobs.d/c.yaml": JOB})
    repo.push()
    assert names(opened(server, tmp_path)) == ["a.yaml", "b.yaml", "c.yaml"]


def test_a_pack_beyond_its_bound_is_stopped(
    repo: GitRepo, server: GitHttp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.commit({"jobs.d/noise": os.urandom(3 << 20)})
    repo.push()
    monkeypatch.setattr("reconciler.source.remote.MAX_PACK", 1 << 20)
    with pytest.raises(SourceRejected) as caught:
        opened(server, tmp_path).snapshot(None)
    assert caught.value.code == "source-too-large"


def test_a_cache_that_cannot_be_written_is_a_state_error(repo: GitRepo, server: GitHttp, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(StateError) as caught:
        opened(server, tmp_path).snapshot(None)
    assert caught.value.hint


def test_two_who_fetch_at_once_both_get_it(repo: GitRepo, server: GitHttp, tmp_path: Path) -> None:
    results: list[list[str]] = []
    threads = [threading.Thread(target=lambda: results.append(names(opened(server, tmp_path)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [["a.yaml", "b.yaml"]] * 4


@pytest.mark.slow
def test_descriptors_stay_flat_over_a_hundred_fetches(repo: GitRepo, server: GitHttp, tmp_path: Path) -> None:
    source = opened(server, tmp_path)
    source.snapshot(None)
    server.requests.clear()
    before, ours = len(os.listdir("/proc/self/fd")), children()
    bare = tmp_path / "srv/jobs.git"
    commits = b"".join(
        f"commit refs/heads/next\ncommitter A <a@x> {1_700_000_000 + number} +0000\ndata 1\nx\n".encode()
        + (b"from refs/heads/main^0\n" if number == 0 else b"")
        for number in range(100)
    )
    git(bare, "fast-import", "--quiet", stdin=commits)
    previous = repo.head()
    for commit in git(bare, "rev-list", "--reverse", "main..next").split():
        git(bare, "update-ref", "refs/heads/main", commit)
        assert source.snapshot(previous).commit.id == commit
        previous = commit
    deadline = time.monotonic() + 10  # connections of the server in this process close a moment later
    while len(os.listdir("/proc/self/fd")) > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(os.listdir("/proc/self/fd")) <= before
    assert children() <= ours
