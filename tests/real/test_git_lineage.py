"""Promise: which commit descends from which is what the commits say, whatever else lies in the files of a repository
(rules D5, S5)."""

from pathlib import Path

import pytest

from reconciler.gitio.lineage import descends
from reconciler.gitio.objects import Objects
from reconciler.gitio.runner import GitRunner
from reconciler.model.errors import SourceRejected
from reconciler.source.base import trusted
from tests.lab.commitgraph import forge
from tests.lab.gitrepo import GitRepo
from tests.lab.judged import opened, person, put, refusal, seen
from tests.lab.signing import SshKey, commit_signed, ssh_key

JOB = "schedule: '@hourly'\nimage: busybox:local\n"


@pytest.fixture
def anna(tmp_path: Path) -> SshKey:
    return ssh_key(tmp_path / "anna")


@pytest.fixture
def repo(tmp_path: Path, anna: SshKey) -> GitRepo:
    """Two commits, both signed."""
    repo = GitRepo(tmp_path / "work")
    commit_signed(repo, {"jobs.d/a.yaml": JOB}, anna, "one")
    commit_signed(repo, {"jobs.d/a.yaml": JOB + "#2\n"}, anna, "two")
    return repo


def objects_of(repo: GitRepo) -> Objects:
    return Objects(GitRunner(), str(repo.path / ".git"), "work", 20.0)


def test_S5_a_commit_graph_hides_no_unsigned_commit(repo: GitRepo, anna: SshKey) -> None:
    applied = repo.head()
    unsigned = repo.commit({"jobs.d/b.yaml": JOB})
    head = commit_signed(repo, {"jobs.d/c.yaml": JOB}, anna)
    forge(repo, [(head, applied)])
    assert repo.git("rev-list", head, f"^{applied}") == head  # git believes it
    assert objects_of(repo).first_parents(applied, head, 10) == [head, unsigned]
    assert refusal(seen(repo, person("anna", anna), demand="range", applied=applied))[0] == "commit-unsigned"


@pytest.mark.parametrize("demand", ["head", "range"])
def test_D5_a_commit_graph_makes_no_older_commit_descend(repo: GitRepo, anna: SshKey, demand: str) -> None:
    older, first = repo.head(), repo.head("HEAD~1")
    between = commit_signed(repo, {"jobs.d/b.yaml": JOB}, anna)
    applied = commit_signed(repo, {"jobs.d/c.yaml": JOB}, anna)
    forge(repo, [(between, ""), (applied, between), (first, applied), (older, first)])
    assert repo.git("merge-base", applied, older) == applied  # git believes it
    repo.git("update-ref", "refs/heads/main", older)
    assert not objects_of(repo).is_ancestor(applied, older)
    assert not trusted(seen(repo, person("anna", anna), demand=demand, applied=applied)).descends


def test_D5_nor_does_an_object_that_is_not_what_its_id_says(repo: GitRepo, anna: SshKey) -> None:
    older, first = repo.head(), repo.head("HEAD~1")
    between = commit_signed(repo, {"jobs.d/b.yaml": JOB}, anna)
    applied = commit_signed(repo, {"jobs.d/c.yaml": JOB}, anna)
    put(repo, first, repo.git("commit-tree", "HEAD:", "-p", applied, "-m", "forged"))
    put(repo, between, repo.git("commit-tree", "HEAD:", "-m", "forged"))
    repo.git("update-ref", "refs/heads/main", older)
    assert objects_of(repo).is_ancestor(applied, older)  # git believes it
    with pytest.raises(SourceRejected) as caught:
        seen(repo, person("anna", anna), applied=applied)
    assert caught.value.code == "source-corrupt"


def test_S5_a_shallow_file_hides_no_unsigned_commit(repo: GitRepo, anna: SshKey) -> None:
    applied = repo.head()
    repo.commit({"jobs.d/b.yaml": JOB})
    between = commit_signed(repo, {"jobs.d/c.yaml": JOB}, anna)
    tree = repo.git("rev-parse", "HEAD^{tree}")
    head = repo.git(*anna.signing, "commit-tree", "-S", tree, "-p", between, "-p", applied, "-m", "merge")
    repo.git("update-ref", "refs/heads/main", head)
    people = person("anna", anna)
    assert refusal(seen(repo, people, demand="range", applied=applied))[0] == "commit-unsigned"
    (repo.path / ".git/shallow").write_text(between + "\n")
    assert objects_of(repo).first_parents(applied, head, 10) == [head, between]  # git believes it
    with pytest.raises(SourceRejected) as caught:
        seen(repo, people, demand="range", applied=applied)
    assert caught.value.code == "source-corrupt"


def test_D5_a_line_that_only_looks_like_a_parent_is_none(repo: GitRepo) -> None:
    applied = repo.head()
    tree = repo.git("rev-parse", "HEAD^{tree}")
    people = "author A <a@x> 1700000000 +0000\ncommitter A <a@x> 1700000000 +0000"
    raw = f"tree {tree}\n{people}\nparent {applied}\n\nOf nobody\n"
    head = repo.git("hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=raw.encode())
    objects = objects_of(repo)
    objects.commit(head)
    assert not objects.is_ancestor(applied, head) and not descends(objects, applied, head)


def test_D5_what_does_descend_is_shown_along_any_parent_and_over_a_long_way(repo: GitRepo, anna: SshKey) -> None:
    first, applied = repo.head("HEAD~1"), repo.head()
    lines = []
    for number in range(2100):
        lines.append(f"commit refs/heads/side\ncommitter A <a@x> {1700000000 + number} +0000\ndata 1\nx\n")
        lines.append(f"from {applied}\n" if number == 0 else "")
    repo.git("fast-import", "--quiet", "--force", stdin="".join(lines).encode())
    side, tree = repo.head("side"), repo.git("rev-parse", "HEAD^{tree}")
    head = repo.git(*anna.signing, "commit-tree", "-S", tree, "-p", first, "-p", side, "-m", "merge")
    objects = objects_of(repo)
    for old, new in ((applied, side), (applied, head), (first, head), (side, head), (head, head)):
        assert descends(objects, old, new) and (old == new or not descends(objects, new, old))
    repo.git("update-ref", "refs/heads/main", head)  # its first parent is behind what is applied
    source = opened(repo.path, person("anna", anna), demand="range")
    snapshot = trusted(source.snapshot(applied))
    assert (snapshot.commit.signed_by, snapshot.descends) == ("anna", True)
