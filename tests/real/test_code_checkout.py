"""Promise: a run's code is exactly a commit of its repository, its own to change; nothing of it acts on the host."""

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from reconciler.gitio.runner import Finished, GitRunner
from reconciler.model.errors import CodeRejected
from reconciler.model.job import CodeRepository
from reconciler.model.run import CodeAt
from reconciler.model.service import GitConfig, Limits, Owner, ServiceConfig
from reconciler.workspace.budget import collect
from reconciler.workspace.names import place_name
from tests.kit.code import CodeLab, job_with
from tests.lab.gitrepo import GitRepo, git


@pytest.fixture
def lab(tmp_path: Path) -> CodeLab:
    return CodeLab(tmp_path / "code")


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    repo = GitRepo(tmp_path / "repo")
    repo.commit({"train.py": "print(1)\n", "sub/a.txt": "a\n", "run.sh": "#!/bin/sh\n"}, "first")
    repo.git("tag", "-a", "-m", "one", "v1")
    (repo.path / "run.sh").chmod(0o755)
    repo.commit({"train.py": "print(2)\n"}, "second")
    return repo


def files(tree: Path) -> list[str]:
    return sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if ".git" not in path.parts)


def in_it(tree: Path, *command: str) -> str:
    return git(tree, "-c", "safe.directory=*", *command)


def test_a_branch_a_tag_a_commit_and_the_head_are_found(lab: CodeLab, repo: GitRepo) -> None:
    first, second = repo.head("v1"), repo.head()
    for ref, commit in (("main", second), ("v1", first), (first, first), ("HEAD", second), ("refs/tags/v1", first)):
        made = lab.make(CodeRepository(str(repo.path), "/code", ref))
        assert made.code == (CodeAt("/code", str(repo.path), ref, commit),)
        assert ("RECONCILER_COMMIT", commit) in made.environment
        assert in_it(Path(made.binds[0].source), "rev-parse", "HEAD") == commit


def test_a_push_is_in_the_next_run(lab: CodeLab, repo: GitRepo) -> None:
    assert (lab.checkout(repo.path) / "train.py").read_text() == "print(2)\n"
    repo.commit({"train.py": "print(3)\n"})
    assert (lab.checkout(repo.path) / "train.py").read_text() == "print(3)\n"


def test_git_works_in_it_and_knows_nothing_of_the_service(lab: CodeLab, repo: GitRepo) -> None:
    tree = lab.checkout(repo.path)
    assert in_it(tree, "status", "--porcelain") == ""
    assert in_it(tree, "log", "--format=%s") == "second\nfirst"
    assert in_it(tree, "describe", "--tags") == f"v1-1-g{repo.head()[:7]}"
    assert in_it(tree, "fsck") == ""
    assert sorted(path.name for path in (tree / ".git").iterdir()) == [
        "HEAD", "config", "index", "objects", "packed-refs", "refs"
    ]  # fmt: skip
    assert (tree / "run.sh").stat().st_mode & 0o777 == 0o755
    in_it(tree, "commit", "--allow-empty", "-m", "its own")


def test_each_run_has_its_own_and_none_spoils_anothers(lab: CodeLab, repo: GitRepo) -> None:
    one, other = lab.checkout(repo.path), lab.checkout(repo.path)
    for path in sorted(one.rglob("*"), reverse=True):
        if path.is_file():
            path.chmod(0o600)
            path.write_bytes(b"spoilt")
    third = lab.checkout(repo.path)
    for tree in (other, third):
        assert (tree / "train.py").read_text() == "print(2)\n" and in_it(tree, "fsck") == ""
    assert lab.reopened() and (lab.checkout(repo.path) / "train.py").read_text() == "print(2)\n"


def test_only_a_part_of_it(lab: CodeLab, repo: GitRepo) -> None:
    tree = lab.checkout(repo.path, subpath="sub")
    assert files(tree) == ["a.txt"] and not (tree / ".git").exists()
    for absent in ("nope", "train.py"):
        with pytest.raises(CodeRejected) as caught:
            lab.checkout(repo.path, subpath=absent)
        assert caught.value.code == "code-ref-missing" and absent in str(caught.value)


def test_a_depth_brings_no_more_history_than_that(lab: CodeLab, repo: GitRepo, tmp_path: Path) -> None:
    for number in range(5):
        repo.commit({"train.py": f"print({number})\n"}, f"change {number}")
    url = repo.bare_clone(tmp_path / "served.git").as_uri()
    tree = lab.checkout(url, depth=2)
    assert in_it(tree, "log", "--format=%s") == "change 4\nchange 3" and in_it(tree, "status", "--porcelain") == ""
    repo.commit({"train.py": "print(9)\n"}, "change 9")
    repo.push()
    assert in_it(lab.checkout(url, depth=2), "log", "--format=%s") == "change 9\nchange 4"
    assert in_it(lab.checkout(url, repo.head("v1"), depth=1), "log", "--format=%s") == "first"
    assert in_it(lab.checkout(url), "log", "--format=%s").count("\n") == 7


def test_making_it_twice_is_the_same_as_once(lab: CodeLab, repo: GitRepo) -> None:
    run = lab.run()
    spec = job_with(CodeRepository(str(repo.path), "/code", "main"))
    first = lab.part.make(run, spec, lab.config)
    repo.commit({"train.py": "print(3)\n"})
    assert lab.reopened().make(run, spec, lab.config) == first


def test_all_cells_of_a_slot_have_one_commit_whatever_is_pushed_meanwhile(lab: CodeLab, repo: GitRepo) -> None:
    spec = job_with(CodeRepository(str(repo.path), "/code", "main"))
    commits = set()
    for cell in range(3):
        commits.add(lab.part.make(lab.run(slot=1, cell=cell), spec, lab.config).code[0].commit)
        repo.commit({"train.py": f"print({cell})\n"})
    assert len(commits) == 1
    assert lab.make(CodeRepository(str(repo.path), "/code", "main"), run=lab.run(slot=2)).code[0].commit == repo.head()


def test_a_further_attempt_has_the_commit_of_the_first(lab: CodeLab, repo: GitRepo) -> None:
    first = lab.make(CodeRepository(str(repo.path), "/code", "main"))
    repo.commit({"train.py": "print(3)\n"})
    again = lab.make(CodeRepository(str(repo.path), "/code", "main"), run=lab.run("again", code=first.code))
    assert again.code == first.code


def test_a_commit_that_a_forced_push_has_removed_is_still_had_from_the_mirror(lab: CodeLab, repo: GitRepo) -> None:
    first = lab.make(CodeRepository(str(repo.path), "/code", "main"))
    repo.git("reset", "-q", "--hard", "v1")
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "-q", "--prune=now")
    again = lab.make(CodeRepository(str(repo.path), "/code", "main"), run=lab.run("again", code=first.code))
    assert (Path(again.binds[0].source) / "train.py").read_text() == "print(2)\n"


def test_dropped_it_is_gone_and_what_a_crash_left_is_tidied(lab: CodeLab, repo: GitRepo) -> None:
    kept, ended, lost = (lab.run(name) for name in ("kept", "ended", "lost"))
    for run in (kept, ended, lost):
        lab.make(CodeRepository(str(repo.path), "/code", "main"), run=run)
    lab.part.drop("ended")
    lab.part.drop("ended")
    part = lab.reopened()
    part.tidy({"kept"})
    assert {path.name for path in (lab.root / "runs").iterdir() if not path.name.startswith(".")} == {"kept"}


def test_a_tree_deeper_than_python_can_walk_is_removed(lab: CodeLab, repo: GitRepo) -> None:
    tree = lab.checkout(repo.path)
    script = "i=0; while [ $i -lt 1500 ]; do mkdir d && cd d || exit 1; i=$((i+1)); done"
    subprocess.run(["sh", "-c", script], cwd=tree, check=True, timeout=60)
    lab.part.drop("ml.train.1.0")
    assert list((lab.root / "runs").iterdir()) == []


def test_a_run_of_a_very_long_name_has_a_place() -> None:
    long = "/".join(["a" * 63] * 5).replace("/", ".") + ".20261124T020000Z.1"
    assert len(place_name(long)) <= 200 and place_name(long) != place_name(long + "1")


def test_many_runs_at_once_share_the_work(lab: CodeLab, repo: GitRepo) -> None:
    runs = [lab.run(slot=1, cell=cell) for cell in range(6)]
    spec = job_with(CodeRepository(str(repo.path), "/code", "main"))
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda run: lab.part.make(run, spec, lab.config), runs))
    assert {item.code for item in made} == {made[0].code}
    assert all(files(Path(item.binds[0].source)) == files(repo.path) for item in made)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_it_belongs_to_the_jobs_user(tmp_path: Path, repo: GitRepo) -> None:
    tree = CodeLab(tmp_path / "code", owner=(1234, 4321)).checkout(repo.path)
    assert {(os.lstat(path).st_uid, os.lstat(path).st_gid) for path in (tree, *tree.rglob("*"))} == {(1234, 4321)}


# -- what is hostile ------------------------------------------------------------------------------------------


def test_links_that_lead_out_are_left_out_and_told(lab: CodeLab, repo: GitRepo) -> None:
    links = {
        "in": "sub/a.txt", "sub/up": "..", "sub/in": "../train.py", "out": "/etc/passwd",
        "climb": "../../../etc/passwd", "sneaky": "sub/up/../x", "through": "out", "loop": "loop",
        "deep": "sub/up/sub/up/train.py",
    }  # fmt: skip
    for name, target in links.items():
        (repo.path / name).symlink_to(target)
    repo.commit({})
    made = lab.make(CodeRepository(str(repo.path), "/code", "main"))
    tree = Path(made.binds[0].source)
    assert made.dropped == ("/code/climb", "/code/loop", "/code/out", "/code/sneaky", "/code/through")
    kept = {name for name in links if (tree / name).is_symlink()}
    assert kept == {"in", "sub/up", "sub/in", "deep"}
    assert all((tree / name).resolve().is_relative_to(tree.resolve()) for name in kept)
    told = in_it(tree, "status", "--porcelain").split()
    assert told[1::2] == ["climb", "loop", "out", "sneaky", "through"]  # git says that they are missing


def test_a_link_of_a_part_may_not_lead_to_the_rest(lab: CodeLab, repo: GitRepo) -> None:
    (repo.path / "sub/up").symlink_to("../train.py")
    repo.commit({})
    tree = lab.checkout(repo.path, subpath="sub")
    assert files(tree) == ["a.txt"]


def test_S5_filters_hooks_and_attributes_start_nothing(lab: CodeLab, repo: GitRepo, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    hook = f"#!/bin/sh\ntouch {canary}\n"
    repo.commit({
        ".gitattributes": "* filter=evil diff=evil merge=evil text eol=lf\n*.bin filter=lfs\n", "a.bin": "x",
        ".gitconfig": f'[filter "evil"]\n\tsmudge = touch {canary}\n', "hooks/post-checkout": hook,
        ".githooks/post-checkout": hook, ".gitmodules": f'[submodule "x"]\n\tpath = x\n\turl = ext::touch {canary}\n',
    })  # fmt: skip
    repo.git("config", "filter.evil.smudge", f"touch {canary}")  # the remote's own settings are its own business
    tree = lab.checkout(repo.path)
    assert not canary.exists() and (tree / "hooks/post-checkout").read_text() == hook
    assert not (tree / ".git/hooks").exists() and "evil" not in (tree / ".git/config").read_text()


EVIL_NAMES = {
    "git's own directory": (".git", "config"), "the same in capitals": (".GIT", "config"),
    "its short name elsewhere": ("git~1", "config"), "a parent": ("..", "x"), "with an invisible character":
    (".g\u200cit", "config"),
}  # fmt: skip


@pytest.mark.parametrize(("directory", "name"), EVIL_NAMES.values(), ids=EVIL_NAMES)
def test_S5_a_tree_that_would_write_elsewhere_is_refused(
    lab: CodeLab, repo: GitRepo, directory: str, name: str
) -> None:
    blob = repo.blob(b"[core]\n\tfsmonitor = touch /canary\n")
    inner = repo.tree(("100644", name, blob))
    repo.commit_tree(repo.tree(("40000", directory, inner)), "evil")
    with pytest.raises(CodeRejected) as caught:
        lab.checkout(repo.path, "evil")
    assert caught.value.code == "code-rejected"
    assert list((lab.root / "runs").glob("[!.]*")) == []


def test_S5_a_link_and_a_file_below_it_are_never_written_through(lab: CodeLab, repo: GitRepo, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = repo.blob(str(outside).encode())
    inner = repo.tree(("100644", "x", repo.blob(b"written")))
    repo.commit_tree(repo.tree(("120000", "a", link), ("40000", "a", inner)), "evil")
    with pytest.raises(CodeRejected):
        lab.checkout(repo.path, "evil")
    assert list(outside.iterdir()) == []


def test_S5_modes_of_setuid_never_arrive(lab: CodeLab, repo: GitRepo) -> None:
    blob = repo.blob(b"x")
    repo.commit_tree(repo.tree(("104755", "a", blob), ("100777", "b", blob)), "evil")
    try:
        tree = lab.checkout(repo.path, "evil")
    except CodeRejected:
        return  # git's own check of what it fetches
    assert all(not path.lstat().st_mode & (stat.S_ISUID | stat.S_ISGID) for path in tree.rglob("*"))


def test_a_bomb_of_a_tree_is_refused_by_its_size_before_it_is_written(tmp_path: Path, repo: GitRepo) -> None:
    tree = repo.tree(*(("100644", f"f{n}", repo.blob(b"x" * 1000)) for n in range(10)))
    for _ in range(6):
        tree = repo.tree(*(("40000", f"d{n}", tree) for n in range(10)))
    repo.commit_tree(tree, "bomb")
    lab = CodeLab(tmp_path / "code", ServiceConfig(limits=Limits(repository_bytes=1 << 30)))
    with pytest.raises(CodeRejected) as caught:
        lab.checkout(repo.path, "bomb")
    assert caught.value.code == "code-too-big"


def test_a_repository_beyond_the_bound_is_refused_and_leaves_no_more_than_that(tmp_path: Path, repo: GitRepo) -> None:
    repo.commit({"big": os.urandom(6 << 20)})
    lab = CodeLab(tmp_path / "code", ServiceConfig(limits=Limits(repository_bytes=2 << 20)))
    with pytest.raises(CodeRejected) as caught:
        lab.checkout(repo.path)
    assert caught.value.code == "code-too-big" and "limits.repository_bytes" in caught.value.hint
    assert sum(path.stat().st_size for path in lab.root.rglob("*") if path.is_file()) < 3 << 20


def test_a_file_that_shrinks_on_the_way_is_bounded_by_what_it_becomes(tmp_path: Path, repo: GitRepo) -> None:
    repo.commit({"zeros": b"\0" * (8 << 20)})
    lab = CodeLab(tmp_path / "code", ServiceConfig(limits=Limits(repository_bytes=4 << 20)))
    with pytest.raises(CodeRejected) as caught:
        lab.checkout(repo.path)
    assert caught.value.code == "code-too-big"


def test_what_owners_have_fetched_is_kept_apart(tmp_path: Path, repo: GitRepo) -> None:
    owners = (Owner("ml", ("ml/**",)), Owner("web", ("web/**",)))
    lab = CodeLab(tmp_path / "code", ServiceConfig(owners=owners))
    for owner in ("ml", "web"):
        spec = job_with(CodeRepository(str(repo.path), "/code", "main"))
        lab.part.make(lab.run(), type(spec)(owner, owner, spec.schedule, spec.image, repositories=spec.repositories),
                      lab.config)  # fmt: skip
    assert len(list((lab.root / "mirrors").glob("*.git"))) == 2


# -- what breaks ----------------------------------------------------------------------------------------------


def test_a_damaged_mirror_is_made_anew(lab: CodeLab, repo: GitRepo) -> None:
    lab.checkout(repo.path)
    (mirror,) = (lab.root / "mirrors").glob("*.git")
    for pack in (mirror / "objects/pack").glob("*"):
        pack.chmod(0o600)
        pack.write_bytes(b"damaged")
    repo.commit({"train.py": "print(3)\n"})
    assert (lab.checkout(repo.path) / "train.py").read_text() == "print(3)\n"


def test_a_mirror_that_has_lost_a_file_of_a_commit_is_made_anew(lab: CodeLab, repo: GitRepo) -> None:
    lab.checkout(repo.path)
    (mirror,) = (lab.root / "mirrors").glob("*.git")
    packs = [(pack, pack.read_bytes()) for pack in (mirror / "objects/pack").glob("*.pack")]
    for path in list((mirror / "objects/pack").glob("*")):
        path.unlink()
    for _, data in packs:
        subprocess.run(["git", "-C", str(mirror), "unpack-objects", "-q"], input=data, check=True, timeout=20)
    blob = in_it(repo.path, "rev-parse", "HEAD:train.py").strip()
    (mirror / "objects" / blob[:2] / blob[2:]).unlink()
    shutil.rmtree(lab.root / "trees")
    assert (lab.checkout(repo.path) / "train.py").read_text() == "print(2)\n"


def test_a_half_made_tree_and_a_half_made_copy_are_made_again(lab: CodeLab, repo: GitRepo) -> None:
    spec = job_with(CodeRepository(str(repo.path), "/code", "main"))
    run = lab.run()
    lab.part.make(run, spec, lab.config)
    (tree,) = (lab.root / "trees").glob("*/*")
    (tree / "ready.json").unlink()
    (tree / "tree/train.py").unlink()
    (lab.root / "runs" / run.run_id / "code.json").unlink()
    (lab.root / "runs" / run.run_id / "0/train.py").unlink()
    made = lab.reopened().make(run, spec, lab.config)
    assert (Path(made.binds[0].source) / "train.py").read_text() == "print(2)\n"


def test_the_disk_is_bounded_and_what_was_not_used_for_longest_goes(tmp_path: Path) -> None:
    lab = CodeLab(tmp_path / "code", ServiceConfig(limits=Limits(code_bytes=12 << 20)))
    repos = [GitRepo(tmp_path / f"r{number}") for number in range(4)]
    for repo in repos:
        repo.commit({"data": os.urandom(2 << 20)})
        lab.checkout(repo.path)  # 2 MiB of mirror; 4 MiB of tree
    kept = sum(path.stat().st_size for place in ("mirrors", "trees") for path in (lab.root / place).rglob("*")
               if path.is_file())  # fmt: skip
    assert kept <= 12 << 20
    (last,) = [path for path in (lab.root / "trees").glob("*/*") if path.stat().st_mtime ==
               max(path.stat().st_mtime for path in (lab.root / "trees").glob("*/*"))]  # fmt: skip
    assert (last / "tree/data").read_bytes() == (repos[-1].path / "data").read_bytes()
    assert (lab.checkout(repos[0].path) / "data").stat().st_size == 2 << 20  # what went comes again


class Counted(GitRunner):
    """A runner that remembers its commands."""

    def __init__(self) -> None:
        super().__init__()
        self.commands: list[str] = []

    def run(self, command: Sequence[str], **said: Any) -> Finished:
        self.commands.append(command[0])
        return super().run(command, **said)


class Meddling(GitRunner):
    """While git lays a tree out, somebody looks for what may go."""

    def __init__(self, look: Callable[[], object]) -> None:
        super().__init__()
        self._look = look

    def run(self, command: Sequence[str], **said: Any) -> Finished:
        done = super().run(command, **said)
        if command[0] == "checkout":
            self._look()
        return done


def test_the_collector_leaves_what_is_being_made(tmp_path: Path, repo: GitRepo) -> None:
    def look() -> None:
        other = lab.part  # one process has one part
        collect(other._mirrors, other._trees, 0)

    lab = CodeLab(tmp_path / "code", runner=Meddling(look))
    assert (lab.checkout(repo.path) / "train.py").read_text() == "print(2)\n"
    collect(lab.part._mirrors, lab.part._trees, 0)
    assert [*(lab.root / "trees").glob("*/*"), *(lab.root / "mirrors").glob("*.git")] == []
    assert (lab.checkout(repo.path) / "train.py").read_text() == "print(2)\n"


def test_no_change_costs_one_child(tmp_path: Path, repo: GitRepo) -> None:
    runner = Counted()
    lab = CodeLab(tmp_path / "code", runner=runner)
    lab.checkout(repo.path)
    runner.commands.clear()
    lab.checkout(repo.path)
    assert runner.commands == ["ls-remote"]
    lab.checkout(repo.path, repo.head())
    assert runner.commands == ["ls-remote"]  # a commit needs none


def test_a_git_that_writes_files_is_told_where(tmp_path: Path, repo: GitRepo) -> None:
    """A child stands in `/`: without a work tree of its own it would write there."""
    bare = repo.bare_clone(tmp_path / "bare.git")
    where = tmp_path / "out"
    where.mkdir()
    GitRunner().run(["checkout", "--force", "main"], git_dir=str(bare), work_tree=str(where), timeout=20.0)
    assert (where / "train.py").exists() and not Path("/train.py").exists()


def test_credentials_of_the_source_are_not_an_owners(tmp_path: Path) -> None:
    from reconciler.model.service import Credential
    from reconciler.workspace.code import origin_of

    item = CodeRepository("https://git.example.org/c", "/c")
    ours, theirs = Credential("https://git.example.org/*", token_file="/ours"), Credential("x", token_file="/theirs")
    git_config = GitConfig(known_hosts="/hosts", tokens=(ours,))
    assert origin_of(item, "default", ServiceConfig(git=git_config)).git.tokens == (ours,)
    owned = ServiceConfig(git=git_config, owners=(Owner("ml", tokens=(theirs,)),))
    assert origin_of(item, "ml", owned).git == GitConfig("/hosts", (), (theirs,))
