"""Promise: over ssh, keys come from the service file alone and the server's host key is always checked (rule S5)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model.errors import SourceRejected, SourceUnavailable
from reconciler.model.service import Credential, GitConfig, SourceConfig
from reconciler.source.base import Source
from reconciler.source.open import open_source
from tests.lab.gitrepo import GitRepo
from tests.lab.sshgit import SshGit, ssh_server

JOB = "schedule: '@hourly'\nimage: busybox:local\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshGit]:
    with ssh_server(tmp_path_factory.mktemp("sshd")) as lab:
        yield lab


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    repo = GitRepo(tmp_path / "work")
    repo.commit({"jobs.d/a.yaml": JOB})
    repo.bare_clone(tmp_path / "jobs.git")
    return repo


def opened(server: SshGit, tmp_path: Path, *, hosts: Path, key: Path | None, url: str = "") -> Source:
    pattern = f"ssh://{server.user}@127.0.0.1:{server.port}/*"
    keys = (Credential(pattern, key_file=str(key)),) if key else ()
    config = SourceConfig(url or server.url(tmp_path / "jobs.git"), "main")
    return open_source(config, GitConfig(str(hosts), keys, timeout=20.0), str(tmp_path / "cache"))


def test_a_deploy_key_opens_the_door(server: SshGit, repo: GitRepo, tmp_path: Path) -> None:
    source = opened(server, tmp_path, hosts=server.known_hosts, key=server.key)
    first = source.snapshot(None)
    assert first.commit.id == repo.head() == source.head()
    assert source.read([first.entries[0].blob]) == {first.entries[0].blob: JOB.encode()}
    repo.commit({"jobs.d/b.yaml": JOB})
    repo.push()
    second = source.snapshot(first.commit.id)
    assert [entry.path for entry in second.entries] == ["a.yaml", "b.yaml"] and second.descends


def test_S5_a_wrong_host_key_stops_everything(server: SshGit, repo: GitRepo, tmp_path: Path) -> None:
    with pytest.raises(SourceRejected) as caught:
        opened(server, tmp_path, hosts=server.wrong_known_hosts, key=server.key).snapshot(None)
    assert caught.value.code == "host-key" and "known_hosts" in caught.value.hint


def test_S5_an_unknown_host_is_not_trusted_on_first_sight(server: SshGit, repo: GitRepo, tmp_path: Path) -> None:
    nobody = tmp_path / "known_hosts"
    nobody.touch()
    with pytest.raises(SourceRejected) as caught:
        opened(server, tmp_path, hosts=nobody, key=server.key).head()
    assert caught.value.code == "host-key"
    assert nobody.read_text() == ""


@pytest.mark.parametrize("key", ["other", "none"])
def test_a_key_that_the_server_does_not_know_is_said(server: SshGit, repo: GitRepo, tmp_path: Path, key: str) -> None:
    with pytest.raises(SourceRejected) as caught:
        opened(server, tmp_path, hosts=server.known_hosts, key=server.other_key if key == "other" else None).snapshot(
            None
        )
    assert caught.value.code == "source-auth" and "deploy_keys" in caught.value.hint


def test_a_key_that_others_can_read_is_said(server: SshGit, repo: GitRepo, tmp_path: Path) -> None:
    loose = tmp_path / "loose"
    loose.write_bytes(server.key.read_bytes())
    loose.chmod(0o644)
    with pytest.raises(SourceRejected) as caught:
        opened(server, tmp_path, hosts=server.known_hosts, key=loose).snapshot(None)
    assert caught.value.code == "key-file"


def test_a_repository_that_is_not_there_is_said(server: SshGit, repo: GitRepo, tmp_path: Path) -> None:
    url = server.url(tmp_path / "no.git")
    with pytest.raises(SourceRejected) as caught:
        opened(server, tmp_path, hosts=server.known_hosts, key=server.key, url=url).snapshot(None)
    assert caught.value.code == "source-not-found"


def test_nobody_listening_is_unavailable(server: SshGit, repo: GitRepo, tmp_path: Path) -> None:
    url = f"ssh://{server.user}@127.0.0.1:1/x.git"
    with pytest.raises(SourceUnavailable):
        opened(server, tmp_path, hosts=server.known_hosts, key=server.key, url=url).head()
