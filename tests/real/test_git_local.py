"""Promise: a repository on this machine is read in place, at one commit, whatever its shape, and cheaply."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.model.errors import SourceRejected, SourceUnavailable
from reconciler.model.service import GitConfig, SourceConfig
from reconciler.source.base import Source
from reconciler.source.open import discover, open_source
from reconciler.spec.giturl import Kind
from tests.lab.gitrepo import GitRepo, git

JOB = "schedule: '@hourly'\nimage: busybox:local\n"


def opened(url: Path | str, ref: str = "main", paths: tuple[str, ...] = ("jobs.d",)) -> Source:
    return open_source(SourceConfig(str(url), ref, paths), GitConfig(timeout=20.0), "")


def names(source: Source, applied: str | None = None) -> list[str]:
    return [entry.path for entry in source.snapshot(applied).entries]


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    repo = GitRepo(tmp_path / "work")
    repo.commit({"jobs.d/a.yaml": JOB, "jobs.d/ml/b.yaml": JOB + "#\n", "README.md": "x"}, "Lay the ground\n\nBody.")
    return repo


def test_a_snapshot_says_what_the_commit_has_and_who_made_it(repo: GitRepo) -> None:
    snapshot = opened(repo.path).snapshot(None)
    assert [entry.full_path for entry in snapshot.entries] == ["jobs.d/a.yaml", "jobs.d/ml/b.yaml"]
    assert (snapshot.commit.id, snapshot.commit.author, snapshot.commit.subject) == (
        repo.head(), "Anna Roth", "Lay the ground",
    )  # fmt: skip
    assert snapshot.commit.at == float(repo.git("log", "-1", "--format=%at"))
    assert (snapshot.problems, snapshot.missing_paths, snapshot.descends, snapshot.ref) == ((), (), True, "main")


def test_contents_come_by_blob_id_also_binary_and_empty_ones(repo: GitRepo) -> None:
    binary = bytes(range(256)) * 3
    repo.commit({"jobs.d/bin": binary, "jobs.d/empty": b""})
    source = opened(repo.path)
    by_path = {entry.path: entry.blob for entry in source.snapshot(None).entries}
    contents = source.read(list(by_path.values()))
    assert contents[by_path["bin"]] == binary
    assert contents[by_path["empty"]] == b""
    assert contents[by_path["a.yaml"]] == JOB.encode()


def test_D8_the_work_tree_has_no_say(repo: GitRepo) -> None:
    source = opened(repo.path)
    (repo.path / "jobs.d/a.yaml").write_text("edited, not committed")
    (repo.path / "jobs.d/new.yaml").write_text("not committed either")
    repo.git("add", "jobs.d/new.yaml")
    snapshot = source.snapshot(None)
    assert [entry.path for entry in snapshot.entries] == ["a.yaml", "ml/b.yaml"]
    assert source.read([snapshot.entries[0].blob]) == {snapshot.entries[0].blob: JOB.encode()}


def test_D8_a_snapshot_can_be_read_after_the_branch_has_moved_on(repo: GitRepo) -> None:
    source = opened(repo.path)
    old = source.snapshot(None).entries[0].blob
    repo.commit({"jobs.d/a.yaml": "other"})
    assert source.read([old]) == {old: JOB.encode()}


def test_the_same_commit_is_the_same_object_and_costs_no_child(repo: GitRepo, tmp_path: Path) -> None:
    source = opened(repo.path)
    first = source.snapshot(None)
    (repo.path / ".git/objects").rename(tmp_path / "objects")  # a child would fail now
    assert source.snapshot(None) is first
    assert source.snapshot(first.commit.id) is first
    assert source.head() == first.commit.id


@pytest.mark.parametrize("shape", ["work tree", "bare", "linked worktree", "file URL", ".git itself", "packed refs"])
def test_every_shape_of_a_repository_is_read(repo: GitRepo, tmp_path: Path, shape: str) -> None:
    url = str(repo.path)
    if shape == "bare":
        url = str(repo.bare_clone(tmp_path / "jobs.git"))
    elif shape == "linked worktree":
        repo.git("worktree", "add", "-q", str(tmp_path / "tree"), "-b", "side")
        url = str(tmp_path / "tree")
    elif shape == "file URL":
        url = f"file://{repo.path}"
    elif shape == ".git itself":
        url = str(repo.path / ".git")
    elif shape == "packed refs":
        repo.git("pack-refs", "--all")
    for ref in ("main", "HEAD"):
        source = opened(url, ref)
        assert source.head() == repo.head()
        assert names(source) == ["a.yaml", "ml/b.yaml"]


def test_HEAD_of_a_linked_worktree_is_its_own(repo: GitRepo, tmp_path: Path) -> None:
    repo.git("worktree", "add", "-q", str(tmp_path / "tree"), "-b", "side")
    git(tmp_path / "tree", "commit", "-q", "--allow-empty", "-m", "aside")
    assert opened(tmp_path / "tree", "HEAD").head() == repo.head("side") != repo.head()


def test_a_sha256_repository_is_read(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    git(tmp_path / "r", "init", "-q", "-b", "main", "--object-format=sha256")
    repo = GitRepo(tmp_path / "r")
    commit = repo.commit({"jobs.d/a.yaml": JOB})
    assert len(commit) == 64
    assert names(opened(repo.path)) == ["a.yaml"]


@pytest.mark.parametrize("packed", [False, True])
def test_an_annotated_tag_stands_for_its_commit(repo: GitRepo, packed: bool) -> None:
    repo.git("tag", "-a", "v1", "-m", "one")
    tagged = repo.head()
    repo.commit({"jobs.d/c.yaml": JOB})
    if packed:
        repo.git("pack-refs", "--all")
    source = opened(repo.path, "v1")
    snapshot = source.snapshot(None)
    assert snapshot.commit.id == tagged == source.head()
    assert source.snapshot(None) is snapshot
    repo.git("tag", "-f", "-a", "v1", "-m", "moved")
    assert source.head() != tagged
    assert source.snapshot(None).commit.id == repo.head()


def test_a_commit_id_pins(repo: GitRepo) -> None:
    pinned = repo.head()
    repo.commit({"jobs.d/c.yaml": JOB})
    source = opened(repo.path, pinned)
    assert source.head() == pinned and names(source) == ["a.yaml", "ml/b.yaml"]


def test_a_branch_and_a_tag_of_one_name_must_be_told_apart(repo: GitRepo) -> None:
    repo.git("tag", "main", "HEAD")
    assert opened(repo.path).head() == repo.head("refs/heads/main")  # they agree
    repo.commit({"jobs.d/c.yaml": JOB})
    with pytest.raises(SourceRejected) as caught:
        opened(repo.path).head()
    assert caught.value.code == "ref-ambiguous" and "refs/tags/main" in caught.value.hint
    assert opened(repo.path, "refs/heads/main").head() == repo.head("refs/heads/main")


def test_several_paths_are_merged_and_the_missing_named(repo: GitRepo) -> None:
    repo.commit({"hosts/db1/c.yaml": JOB})
    snapshot = opened(repo.path, paths=("jobs.d", "hosts/db1", "hosts/db2")).snapshot(None)
    assert sorted(entry.path for entry in snapshot.entries) == ["a.yaml", "c.yaml", "ml/b.yaml"]
    assert snapshot.missing_paths == ("hosts/db2",)


def test_a_path_is_never_a_pattern(repo: GitRepo) -> None:
    repo.commit({"[j]obs/c.yaml": JOB, ":(top)x/d.yaml": JOB})
    assert names(opened(repo.path, paths=("[j]obs", ":(top)x"))) == ["d.yaml", "c.yaml"]
    assert opened(repo.path, paths=("*",)).snapshot(None).missing_paths == ("*",)


def test_the_whole_tree_can_be_the_jobs_directory(repo: GitRepo) -> None:
    assert names(opened(repo.path, paths=("",))) == ["README.md", "jobs.d/a.yaml", "jobs.d/ml/b.yaml"]


def test_D5_descent_is_told_and_an_unknown_commit_counts_as_rewritten(repo: GitRepo) -> None:
    first = repo.head()
    second = repo.commit({"jobs.d/c.yaml": JOB})
    source = opened(repo.path)
    assert source.snapshot(first).descends
    assert source.snapshot(second) is source.snapshot(None)
    repo.git("reset", "-q", "--hard", first)
    other = repo.commit({"jobs.d/d.yaml": JOB})
    rewritten = source.snapshot(second)
    assert (rewritten.commit.id, rewritten.descends) == (other, False)
    assert source.snapshot(second) is rewritten
    assert source.snapshot(other).descends
    assert not source.snapshot("0" * 39 + "1").descends
    assert not source.snapshot("dir:0123").descends


def test_replacements_and_grafts_do_not_rewrite_what_is_read(repo: GitRepo) -> None:
    first = repo.head()
    second = repo.commit({"jobs.d/c.yaml": JOB})
    repo.git("replace", second, first)
    assert names(opened(repo.path)) == ["a.yaml", "c.yaml", "ml/b.yaml"]


ERRORS = [
    ("a path that is not there", "nowhere", "main", "source-not-found"),
    ("a plain directory", "plain", "main", "source-not-a-repository"),
    ("a branch that is not there", "work", "nope", "ref-not-found"),
    ("a commit that is not there", "work", "0" * 39 + "1", "ref-not-found"),
    ("a repository without a commit", "empty", "HEAD", "ref-not-found"),
    ("a directory inside a repository", "work/jobs.d", "main", "source-not-a-repository"),
]


@pytest.mark.parametrize(("url", "ref", "code"), [case[1:] for case in ERRORS], ids=[case[0] for case in ERRORS])
def test_what_cannot_be_read_is_a_clear_error(repo: GitRepo, tmp_path: Path, url: str, ref: str, code: str) -> None:
    (tmp_path / "plain").mkdir()
    GitRepo(tmp_path / "empty")
    with pytest.raises(SourceRejected) as caught:
        opened(tmp_path / url, ref).snapshot(None)
    assert caught.value.code == code and caught.value.hint


@pytest.mark.parametrize("cut", [str.lower, str.upper], ids=["as git shows it", "in capitals"])
@pytest.mark.parametrize("length", [4, 7, 40])
def test_a_commit_id_cut_short_is_refused_and_the_whole_one_named(
    repo: GitRepo, cut: Callable[[str], str], length: int
) -> None:
    whole = repo.head()
    short = cut(whole[:length])
    if short == whole:
        assert opened(repo.path, short).head() == whole
        return
    with pytest.raises(SourceRejected) as caught:
        opened(repo.path, short).snapshot(None)
    assert caught.value.code == "ref-not-found"
    assert "40 digits" in caught.value.hint and whole in caught.value.hint


def test_a_short_id_that_nobody_knows_says_how_to_find_the_whole_one(repo: GitRepo) -> None:
    unknown = "0" * 7 if not repo.head().startswith("0" * 7) else "1" * 7
    with pytest.raises(SourceRejected) as caught:
        opened(repo.path, unknown).snapshot(None)
    assert caught.value.hint.endswith(f"git rev-parse {unknown}")


def test_a_branch_whose_name_looks_like_a_short_id_is_a_branch(repo: GitRepo) -> None:
    repo.git("branch", "cafe")
    assert opened(repo.path, "cafe").head() == repo.head()


def test_a_directory_inside_a_repository_names_the_repository(repo: GitRepo) -> None:
    with pytest.raises(SourceRejected) as caught:
        opened(repo.path / "jobs.d")
    assert str(repo.path) in caught.value.hint


def test_D2_a_deleted_branch_is_an_error_and_comes_back(repo: GitRepo) -> None:
    repo.git("branch", "live")
    source = opened(repo.path, "live")
    before = source.snapshot(None)
    repo.git("branch", "-D", "live")
    with pytest.raises(SourceRejected):
        source.snapshot(None)
    repo.git("branch", "live")
    assert source.snapshot(None) is before


def test_a_lost_object_is_named_and_nothing_is_taken_for_empty(repo: GitRepo) -> None:
    source = opened(repo.path)
    blob = source.snapshot(None).entries[0].blob
    (repo.path / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(SourceRejected) as caught:
        source.read([blob])
    assert caught.value.code == "object-missing"


def test_another_users_repository_is_read(repo: GitRepo) -> None:
    if os.getuid() != 0:
        pytest.skip("needs root to give files away")
    for path in [repo.path, *repo.path.rglob("*")]:
        os.chown(path, 65534, 65534)
    assert names(opened(repo.path)) == ["a.yaml", "ml/b.yaml"]


def test_a_closed_source_starts_nothing_more(repo: GitRepo) -> None:
    source = opened(repo.path)
    source.close()
    with pytest.raises(SourceUnavailable) as caught:
        source.snapshot(None)
    assert caught.value.code == "source-closed"


def test_only_what_changed_is_new(repo: GitRepo) -> None:
    source = opened(repo.path)
    old = {entry.path: entry for entry in source.snapshot(None).entries}
    repo.commit({"jobs.d/a.yaml": "changed"})
    new = {entry.path: entry for entry in source.snapshot(None).entries}
    assert new["ml/b.yaml"] is old["ml/b.yaml"] and new["a.yaml"] != old["a.yaml"]


@pytest.mark.parametrize(("url", "kind"), [
    ("work", Kind.LOCAL), ("plain", Kind.DIRECTORY), ("nowhere", Kind.LOCAL), ("work/.git", Kind.LOCAL),
])  # fmt: skip
def test_discover_tells_a_repository_from_a_directory(repo: GitRepo, tmp_path: Path, url: str, kind: Kind) -> None:
    (tmp_path / "plain").mkdir()
    address = discover(str(tmp_path / url))
    assert (address.kind, address.path) == (kind, str(tmp_path / url))


BIG = "#" * (256 * 1024 + 1)
EDITS: tuple[dict[str, str | bytes | None], ...] = (
    {"jobs.d/a.yaml": "edited"}, {"jobs.d/a.yaml": "twice", "jobs.d/ml/b.yaml": "same time"}, {}, {"README.md": "y"},
    {"jobs.d/a.yaml": "edited", "jobs.d/c.yaml": JOB}, {"jobs.d/c.yaml": JOB + "# edited\n"}, {"jobs.d/c.yaml": None},
    {"jobs.d/big.yaml": "small yet"}, {"jobs.d/big.yaml": BIG}, {"jobs.d/a.yaml": "beside a big one"},
    {"jobs.d/big.yaml": "small again"}, {"jobs.d/a.yaml": None, "jobs.d/a/a.yaml": JOB}, {"other/z.yaml": "z"},
    {"other/z.yaml": "zz", "jobs.d/a/a.yaml": "both roots"},
)  # fmt: skip


@pytest.mark.parametrize("paths", [("jobs.d",), ("other", "jobs.d"), ("",)])
def test_D8_what_is_listed_from_the_last_commit_on_is_what_is_listed_anew(
    repo: GitRepo, paths: tuple[str, ...]
) -> None:
    source = opened(repo.path, paths=paths)
    for files in EDITS:
        applied = source.snapshot(None).commit.id
        repo.commit(files)
        assert source.snapshot(applied) == opened(repo.path, paths=paths).snapshot(applied)
    _chmod_and_link(repo, source, paths)
    repo.git("reset", "-q", "--hard", "HEAD~5")
    assert source.snapshot(None) == opened(repo.path, paths=paths).snapshot(None)
    orphan = repo.git("commit-tree", "-m", "of no family", "HEAD~3^{tree}")
    repo.git("reset", "-q", "--hard", orphan)
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "-q", "--prune=now")  # the commit that was listed last has gone
    assert source.snapshot(None) == opened(repo.path, paths=paths).snapshot(None)


def _chmod_and_link(repo: GitRepo, source: Source, paths: tuple[str, ...]) -> None:
    """A file gets another mode, turns into a symlink and back, and beside the link others are edited."""
    (repo.path / "jobs.d/ml/b.yaml").chmod(0o755)
    repo.commit({})
    assert source.snapshot(None) == opened(repo.path, paths=paths).snapshot(None)
    (repo.path / "jobs.d/ml/b.yaml").unlink()
    (repo.path / "jobs.d/ml/b.yaml").symlink_to("../a/a.yaml")
    for files in ({}, {"jobs.d/a/a.yaml": "beside a link"}):
        repo.commit(files)
        assert source.snapshot(None) == opened(repo.path, paths=paths).snapshot(None)
    (repo.path / "jobs.d/ml/b.yaml").unlink()
    repo.commit({"jobs.d/ml/b.yaml": JOB})
    assert source.snapshot(None) == opened(repo.path, paths=paths).snapshot(None)


def test_D8_an_edit_lists_no_tree(repo: GitRepo) -> None:
    source = opened(repo.path)
    first = source.snapshot(None)
    repo.commit({"jobs.d/a.yaml": "edited"})
    second = source.snapshot(first.commit.id)
    assert second.entries[0] != first.entries[0]
    assert second.entries[1] is first.entries[1]


def test_a_path_that_a_tree_names_twice_is_not_taken_for_an_edit(repo: GitRepo) -> None:
    source = opened(repo.path)
    source.snapshot(None)
    one, two, three = (repo.blob(text) for text in (b"1", b"2", b"3"))
    for first, second in ((one, two), (one, three), (three, three)):
        jobs = repo.tree(("100644", "a.yaml", first), ("100644", "a.yaml", second), ("100644", "b.yaml", second))
        repo.commit_tree(repo.tree(("40000", "jobs.d", jobs)))
        assert source.snapshot(None) == opened(repo.path).snapshot(None)
