"""Promise: a run finds the submodules of its commit, exactly as git would have them, and only from where its owner may
take code; whoever writes `.gitmodules` gets nothing else out of it."""

import os
from pathlib import Path

import pytest

from reconciler.model.errors import CodeRejected, StateError
from reconciler.model.job import CodeRepository
from reconciler.model.service import Credential, Limits, Owner, Policy, ServiceConfig
from tests.kit.code import CodeLab, job_with
from tests.lab.githttp import GitHttp
from tests.lab.gitrepo import GitRepo, git


class World:
    """Repositories beside each other; `lab` may take code from below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lab = self.lab_with()
        self.lib, self.app = self.repo("lib"), self.repo("app")
        self.lib.commit({"lib.py": "one\n"})
        self.app.commit({"main.py": "main\n"})

    def lab_with(self, name: str = "code", policy: tuple[str, ...] = (), **limits: int) -> CodeLab:
        policy = policy or (f"{self.root}/*",)
        return CodeLab(self.root / name, ServiceConfig(policy=Policy(repositories=policy), limits=Limits(**limits)))

    def repo(self, name: str) -> GitRepo:
        return GitRepo(self.root / f"{name}.git")

    def link(self, into: GitRepo, path: str, of: str | GitRepo, url: str = "", name: str = "") -> str:
        """Commit a submodule: a gitlink of the commit, and its section."""
        commit = of if isinstance(of, str) else of.head()
        said = f'[submodule "{name or path}"]\n\tpath = {path}\n\turl = {url or "../lib.git"}\n'
        file = into.path / ".gitmodules"
        before = file.read_text() if file.exists() else ""
        file.write_text(before + said)
        into.git("add", ".gitmodules")
        into.git("update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
        into.git("commit", "-q", "-m", f"a submodule at {path}")
        (into.path / path).mkdir(parents=True, exist_ok=True)
        return commit

    def checkout(self, lab: CodeLab | None = None, **said: object) -> Path:
        return (lab or self.lab).checkout(self.app.path, submodules=True, **said)

    def refused(self, lab: CodeLab | None = None) -> CodeRejected:
        lab = lab or self.lab
        with pytest.raises(CodeRejected) as caught:
            self.checkout(lab)
        assert list((lab.root / "runs").glob("[!.]*")) == [] and list((lab.root / "trees").glob("*/*")) == []
        return caught.value


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def in_it(tree: Path, *command: str) -> str:
    return git(tree, "-c", "safe.directory=*", *command)


def test_they_are_there_at_the_commit_that_the_gitlink_says(world: World) -> None:
    commit = world.link(world.app, "vendor/lib", world.lib)
    world.lib.commit({"lib.py": "two\n"})
    tree = world.checkout()
    assert (tree / "vendor/lib/lib.py").read_text() == "one\n"
    assert in_it(tree / "vendor/lib", "rev-parse", "HEAD") == commit
    without = world.lab.checkout(world.app.path)
    assert (without / "vendor/lib").is_dir() and list((without / "vendor/lib").iterdir()) == []


def test_git_takes_them_for_its_own(world: World) -> None:
    commit = world.link(world.app, "lib", world.lib)
    for tree in (world.checkout(), world.checkout()):  # the one that was made first, and a copy of it
        assert in_it(tree, "status", "--porcelain", "--ignore-submodules=none") == ""
        assert in_it(tree, "submodule", "status").split()[:2] == [commit, "lib"]
        assert in_it(tree, "fsck") == "" and in_it(tree / "lib", "fsck") == ""
        assert in_it(tree / "lib", "status", "--porcelain") == "" and in_it(tree / "lib", "log", "--format=%s")
    (tree / "lib/lib.py").write_text("changed\n")
    assert in_it(tree, "status", "--porcelain") == "M lib"
    assert in_it(tree, "submodule", "foreach", "-q", "cat lib.py") == "changed"


def test_git_of_another_user_is_told_of_each(world: World) -> None:
    world.link(world.app, "lib", world.lib)
    said = dict(world.lab.make(CodeRepository(str(world.app.path), "/code", "main", submodules=True)).environment)
    assert said["GIT_CONFIG_COUNT"] == "2"
    assert (said["GIT_CONFIG_VALUE_0"], said["GIT_CONFIG_VALUE_1"]) == ("/code", "/code/lib")
    run = world.lab.run()
    spec = job_with(CodeRepository(str(world.app.path), "/code", "main", submodules=True))
    assert world.lab.part.make(run, spec, world.lab.config) == world.lab.reopened().make(run, spec, world.lab.config)


def test_a_submodule_has_submodules(world: World) -> None:
    deep = world.repo("deep")
    deep.commit({"deep.txt": "deep\n"})
    world.link(world.lib, "d", deep, "../deep.git")
    world.link(world.app, "lib", world.lib)
    tree = world.checkout()
    assert (tree / "lib/d/deep.txt").read_text() == "deep\n"
    assert in_it(tree, "submodule", "status", "--recursive").count("\n") == 1
    assert in_it(tree, "status", "--porcelain") == ""


def test_two_repositories_may_have_each_other(world: World) -> None:
    world.link(world.lib, "app", world.app, "../app.git")
    world.link(world.app, "lib", world.lib)
    assert (world.checkout() / "lib/app/main.py").read_text() == "main\n"


def test_only_a_part_has_those_below_it_as_files(world: World) -> None:
    world.link(world.app, "part/lib", world.lib)
    world.link(world.app, "other/lib", world.lib)
    tree = world.checkout(subpath="part")
    assert (tree / "lib/lib.py").read_text() == "one\n" and not (tree / "lib/.git").exists()
    assert [path.name for path in tree.iterdir()] == ["lib"]


def test_a_commit_that_no_branch_leads_to_is_fetched_by_its_id(world: World) -> None:
    first = world.lib.head()
    lost = world.lib.commit({"lib.py": "lost\n"})
    world.lib.git("reset", "-q", "--hard", first)
    world.link(world.app, "lib", lost)
    assert (world.checkout() / "lib/lib.py").read_text() == "lost\n"


def test_a_commit_that_the_server_does_not_give_is_said(world: World) -> None:
    world.link(world.app, "lib", "ab" * 20)
    error = world.refused()
    assert error.code == "code-ref-missing" and "submodule lib" in str(error) and "ab" * 20 in str(error)


def test_what_is_there_is_fetched_no_more(world: World) -> None:
    world.link(world.app, "lib", world.lib)
    world.checkout()
    world.lib.path.rename(world.root / "away")
    assert (world.checkout() / "lib/lib.py").exists()
    world.app.commit({"main.py": "two\n"})
    assert (world.checkout() / "lib/lib.py").exists()  # from its mirror


def test_a_damaged_mirror_of_one_is_made_anew(world: World) -> None:
    world.link(world.app, "lib", world.lib)
    world.checkout()
    for pack in (world.lab.root / "mirrors").glob("*.git/objects/pack/*"):
        pack.chmod(0o600)
        pack.write_bytes(b"damaged")
    world.app.commit({"main.py": "two\n"})
    assert (world.checkout() / "lib/lib.py").read_text() == "one\n"


# -- who may take what -----------------------------------------------------------------------------------------


def test_S1_what_policy_does_not_list_is_refused_by_name(world: World) -> None:
    world.link(world.app, "lib", world.lib)
    lab = world.lab_with("narrow", (str(world.app.path),))
    error = world.refused(lab)
    assert error.code == "code-submodule-denied" and "submodule lib" in str(error) and "lib.git" in str(error)
    assert len(list((lab.root / "mirrors").glob("*.git"))) == 1


def test_S1_a_policy_that_was_narrowed_holds_for_a_tree_that_is_there(world: World) -> None:
    world.link(world.app, "lib", world.lib)
    world.checkout()
    narrow = world.lab_with("code", (str(world.app.path),))
    with pytest.raises(CodeRejected) as caught:
        narrow.make(CodeRepository(str(world.app.path), "/code", "main", submodules=True), run=narrow.run("later"))
    assert caught.value.code == "code-submodule-denied"


def test_S1_the_owners_token_opens_its_submodules_and_no_others(world: World, tmp_path: Path) -> None:
    world.lib.bare_clone(tmp_path / "served/lib.git")
    (tmp_path / "token").write_text("glpat-CANARY\n")
    with GitHttp(tmp_path / "served", auth="git:glpat-CANARY") as http:
        world.link(world.app, "lib", world.lib, f"{http.url}/lib.git")
        url, everywhere = f"{http.url}/*", Policy(repositories=("/*", f"{http.url}/*"))
        mine = Owner("default", tokens=(Credential(url, token_file=str(tmp_path / "token")),), policy=everywhere)
        tree = world.checkout(CodeLab(tmp_path / "mine", ServiceConfig(owners=(mine,), policy=everywhere)))
        other = ServiceConfig(owners=(Owner("default", policy=everywhere),), policy=everywhere)
        assert world.refused(CodeLab(tmp_path / "other", other)).code == "code-auth"
    assert (tree / "lib/lib.py").read_text() == "one\n"
    assert "CANARY" not in (tree / "lib/.git/config").read_text() + (tree / ".git/config").read_text()


# -- what is hostile -------------------------------------------------------------------------------------------


FORMS = ("{path}", "file://{path}", "ext::sh -c touch% {root}/canary", "../" * 20 + "x")


@pytest.mark.parametrize("form", FORMS)
def test_S5_a_url_that_may_do_more_is_refused_and_does_nothing(world: World, form: str) -> None:
    url = form.format(path=world.lib.path, root=world.root)
    world.link(world.app, "lib", world.lib, url)
    assert world.refused().code == "code-submodule"
    assert not (world.root / "canary").exists()


def test_S5_a_command_in_it_is_never_run(world: World) -> None:
    world.link(world.app, "lib", world.lib)
    file = world.app.path / ".gitmodules"
    file.write_text(file.read_text() + f"\tupdate = !touch {world.root}/canary\n\tbranch = -x\n")
    world.app.git("commit", "-q", "-m", "evil", ".gitmodules")
    try:
        tree = world.checkout()
    except CodeRejected:
        return  # git's own check of what it fetches
    assert (tree / "lib/lib.py").exists() and not (world.root / "canary").exists()


def test_S5_one_below_a_link_is_never_written_through(world: World) -> None:
    outside = world.root / "outside"
    outside.mkdir()
    modules = world.app.blob(b'[submodule "a/x"]\n\tpath = a/x\n\turl = ../lib.git\n')
    link, inner = world.app.blob(str(outside).encode()), world.app.tree(("160000", "x", world.lib.head()))
    world.app.commit_tree(world.app.tree(("100644", ".gitmodules", modules), ("120000", "a", link),
                                         ("40000", "a", inner)))  # fmt: skip
    world.refused()
    assert list(outside.iterdir()) == []


def test_S5_links_are_judged_with_what_the_submodules_bring(world: World) -> None:
    """Alone, `lib/up/../..` ends at the root; `lib/up` is `lib` itself, so it ends outside."""
    (world.lib.path / "up").symlink_to(".")
    (world.lib.path / "over").symlink_to("../main.py")
    (world.lib.path / "out").symlink_to("../../x")
    world.lib.commit({})
    (world.app.path / "climb").symlink_to("lib/up/../../x")
    (world.app.path / "fine").symlink_to("lib/lib.py")
    world.app.commit({})
    world.link(world.app, "lib", world.lib)
    made = world.lab.make(CodeRepository(str(world.app.path), "/code", "main", submodules=True))
    tree = Path(made.binds[0].source)
    assert made.dropped == ("/code/climb", "/code/lib/out")
    assert (tree / "fine").read_text() == "one\n" and (tree / "lib/over").read_text() == "main\n"


def test_S5_a_gitmodules_that_is_a_link_or_huge_is_none(world: World) -> None:
    world.link(world.app, "lib", world.lib)
    (world.app.path / ".gitmodules").write_text("#" * (300 << 10))
    world.app.git("commit", "-q", "-m", "huge", ".gitmodules")
    assert world.refused().code == "code-submodule"


@pytest.mark.parametrize("said", ['[submodule "lib"\n\tpath = lib\n', "[submodule \0]\n", "x = 1\n[[["])
def test_a_gitmodules_that_git_cannot_read_is_final(world: World, said: str) -> None:
    world.link(world.app, "lib", world.lib)
    (world.app.path / ".gitmodules").write_text(said)
    world.app.git("commit", "-q", "-m", "damaged", ".gitmodules")
    error = world.refused()
    assert error.code == "code-submodule" and ".gitmodules is damaged" in str(error)


def test_more_than_fifty_are_refused_and_so_are_six_levels(world: World) -> None:
    for number in range(51):
        world.app.git("update-index", "--add", "--cacheinfo", f"160000,{world.lib.head()},m{number}")
    said = (f'[submodule "m{n}"]\n\tpath = m{n}\n\turl = ../lib.git\n' for n in range(51))
    (world.app.path / ".gitmodules").write_text("".join(said))
    world.app.git("add", ".gitmodules")
    world.app.git("commit", "-q", "-m", "many")
    error = world.refused()
    assert error.code == "code-submodule" and "more than 50" in str(error)
    below = world.lib
    for number in range(6):
        repo = world.repo(f"level{number}")
        repo.commit({"f": "x"})
        world.link(repo, "d", below, f"../{below.path.name}")
        below = repo
    world.app = below
    assert world.refused().code == "code-submodule"


def test_the_bound_holds_for_all_of_them_together(world: World) -> None:
    for name in ("a", "b", "c"):
        repo = world.repo(name)
        repo.commit({"data": os.urandom(1 << 20)})
        world.link(world.app, name, repo, f"../{name}.git")
    small = world.lab_with("small", repository_bytes=5 << 19)
    assert world.refused(small).code == "code-too-big"
    assert sum(path.stat().st_size for path in small.root.rglob("*") if path.is_file()) < 3 << 20
    assert (world.checkout() / "c/data").stat().st_size == 1 << 20


def with_history(world: World, *names: str) -> None:
    """Submodules that are small and have been 1 MiB."""
    for name in names:
        repo = world.repo(name)
        repo.commit({"data": os.urandom(1 << 20)})
        repo.git("rm", "-q", "data")
        repo.commit({"data": b"x"})
        world.link(world.app, name, repo, f"../{name}.git")


def test_the_bound_holds_for_their_histories_together_however_much_is_here(world: World) -> None:
    with_history(world, "a", "b", "c")
    small = world.lab_with("small", repository_bytes=5 << 19)
    for _ in range(4):
        assert world.refused(small).code == "code-too-big"
    world.checkout(world.lab_with("large", repository_bytes=7 << 19))


def test_what_a_mirror_holds_of_other_commits_does_not_count(world: World) -> None:
    with_history(world, "a")
    lab = world.lab_with("small", repository_bytes=5 << 18)
    world.checkout(lab)
    lost = world.repo("b")
    lost.commit({"data": os.urandom(1 << 20)})
    world.app.git("fetch", "-q", str(lost.path), "main")
    world.app.git("update-ref", "refs/heads/other", "FETCH_HEAD")
    lab.checkout(world.app.path, "other")  # now the mirror of `app` has 1 MiB of another branch
    world.app.commit({"main.py": "two\n"})
    assert (world.checkout(lab) / "a/data").read_text() == "x"


def test_there_is_room_for_a_history_before_it_is_copied(world: World) -> None:
    with_history(world, "a")
    free = (256 << 20) + (1 << 19)
    lab = CodeLab(world.root / "full", world.lab.config, free=lambda _place: free)
    with pytest.raises(StateError) as caught:
        world.checkout(lab)
    assert caught.value.code == "disk-full" and list((lab.root / "trees").glob("*/*")) == []
    free += 1 << 20
    assert (world.checkout(lab) / "a/data").read_text() == "x"
