"""Promise: code over ssh comes by its owner's key alone, from the server that is known, and what fails says which."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.app.code_check import check_code
from reconciler.model.errors import CodeRejected, CodeUnavailable
from reconciler.model.job import CodeRepository
from reconciler.model.service import Credential, GitConfig, Limits, Owner, ServiceConfig
from tests.kit.code import CodeLab, job_with
from tests.lab.githttp import GitHttp
from tests.lab.gitrepo import GitRepo
from tests.lab.sshgit import SshGit, ssh_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshGit]:
    with ssh_server(tmp_path_factory.mktemp("sshd")) as lab:
        yield lab


@pytest.fixture
def url(server: SshGit, tmp_path: Path) -> str:
    repo = GitRepo(tmp_path / "work")
    repo.commit({"main.py": "print(1)\n"})
    repo.bare_clone(tmp_path / "code.git")
    return server.url(tmp_path / "code.git")


def config(server: SshGit, hosts: Path, key: Path | None, own: Path | None = None) -> ServiceConfig:
    pattern = f"ssh://{server.user}@127.0.0.1:{server.port}/*"
    mine = (Credential(pattern, key_file=str(key)),) if key else ()
    theirs = (Credential(pattern, key_file=str(own)),) if own else ()
    return ServiceConfig(
        git=GitConfig(str(hosts), theirs, timeout=20.0), owners=(Owner("default", deploy_keys=mine),)
    )  # fmt: skip


def refused(tmp_path: Path, settings: ServiceConfig, url: str, ref: str = "main") -> CodeRejected:
    with pytest.raises(CodeRejected) as caught:
        CodeLab(tmp_path / "code", settings).checkout(url, ref)
    assert list((tmp_path / "code/runs").glob("[!.]*")) == []
    return caught.value


def test_the_owners_key_opens_the_door_and_stays_outside(server: SshGit, tmp_path: Path, url: str) -> None:
    tree = CodeLab(tmp_path / "code", config(server, server.known_hosts, server.key)).checkout(url)
    assert (tree / "main.py").read_text() == "print(1)\n"
    said = (tree / ".git/config").read_text()
    assert url in said and str(server.key) not in said and "ssh -" not in said
    key = server.key.read_bytes().split(b"\n")[1]
    for path in tree.rglob("*"):
        if stat.S_ISREG(path.lstat().st_mode):
            assert key not in path.read_bytes()


def test_S5_a_host_key_that_changed_stops_it_and_says_so(server: SshGit, tmp_path: Path, url: str) -> None:
    """Also when a mirror is there already: nobody who has taken the server's place chooses the commit."""
    CodeLab(tmp_path / "code", config(server, server.known_hosts, server.key)).checkout(url)
    for path in (tmp_path / "code/runs").iterdir():
        CodeLab(tmp_path / "code").part.drop(path.name)
    error = refused(tmp_path, config(server, server.wrong_known_hosts, server.key), url)
    assert error.code == "code-host-key" and "known_hosts" in error.hint


def test_a_key_that_is_not_let_in(server: SshGit, tmp_path: Path, url: str) -> None:
    error = refused(tmp_path, config(server, server.known_hosts, server.other_key), url)
    assert error.code == "code-auth" and "deploy_keys" in error.hint


def test_the_services_own_key_opens_nothing_for_an_owner(server: SshGit, tmp_path: Path, url: str) -> None:
    assert refused(tmp_path, config(server, server.known_hosts, None, own=server.key), url).code == "code-auth"


def test_S5_doctor_says_of_a_host_key_that_it_changed(server: SshGit, url: str) -> None:
    spec = job_with(CodeRepository(url, "/code", "main"))
    (told,) = check_code(config(server, server.wrong_known_hosts, server.key), [spec])
    assert told.error is not None and told.error.code == "code-host-key"
    assert check_code(config(server, server.known_hosts, server.key), [spec])[0].error is None


def test_a_ref_that_is_missing_and_a_commit_that_nobody_has(server: SshGit, tmp_path: Path, url: str) -> None:
    settings = config(server, server.known_hosts, server.key)
    assert refused(tmp_path, settings, url, "nope").code == "code-ref-missing"
    assert refused(tmp_path, settings, url, "a" * 40).code == "code-ref-missing"


def test_a_server_that_hangs_is_left_at_the_deadline(tmp_path: Path) -> None:
    with GitHttp(tmp_path) as http:
        http.fault = "hang"
        lab = CodeLab(tmp_path / "code", ServiceConfig(git=GitConfig(timeout=1.0)))
        with pytest.raises(CodeUnavailable):
            lab.checkout(f"{http.url}/code.git")


def test_a_token_of_the_owner_reaches_the_server_and_nothing_else(tmp_path: Path) -> None:
    token = "glpat-CANARY-7c1d"
    repo = GitRepo(tmp_path / "work")
    repo.commit({"main.py": "print(1)\n"})
    repo.bare_clone(tmp_path / "served/code.git")
    (tmp_path / "token").write_text(token + "\n")
    with GitHttp(tmp_path / "served", auth=f"git:{token}") as http:
        mine = Owner("default", tokens=(Credential(f"{http.url}/*", token_file=str(tmp_path / "token")),))
        lab = CodeLab(tmp_path / "code", ServiceConfig(owners=(mine,)))
        made = lab.make(CodeRepository(f"{http.url}/code.git", "/code", "main"))
        other = CodeLab(tmp_path / "other", ServiceConfig(owners=(Owner("default"),)))
        with pytest.raises(CodeRejected) as caught:
            other.part.make(other.run(), job_with(CodeRepository(f"{http.url}/code.git", "/c", "main")), other.config)
    assert caught.value.code == "code-auth" and token not in repr(made)
    for path in (tmp_path / "code").rglob("*"):
        if stat.S_ISREG(path.lstat().st_mode):
            assert token.encode() not in path.read_bytes()


def test_a_repository_beyond_the_bound_over_http_takes_no_more_disk_than_that(tmp_path: Path) -> None:
    repo = GitRepo(tmp_path / "work")
    repo.commit({"zeros": b"\0" * (64 << 20), "noise": os.urandom(24 << 20)})
    repo.bare_clone(tmp_path / "served/big.git")
    with GitHttp(tmp_path / "served") as http:
        lab = CodeLab(tmp_path / "code", ServiceConfig(limits=Limits(repository_bytes=8 << 20)))
        with pytest.raises(CodeRejected) as caught:
            lab.checkout(f"{http.url}/big.git")
    assert caught.value.code == "code-too-big"
    assert sum(path.stat().st_size for path in lab.root.rglob("*") if path.is_file()) < 9 << 20
