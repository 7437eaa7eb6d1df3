"""Promise: a credential goes to the server it is for, and shows in no argument, message or representation."""

import shlex
import subprocess
from pathlib import Path

import pytest

from reconciler.gitio.credentials import access_for
from reconciler.gitio.failure import scrub
from reconciler.gitio.profile import arguments, environment
from reconciler.model.errors import SourceRejected
from reconciler.model.service import Credential, GitConfig
from reconciler.spec.giturl import matches, parse_url

TOKEN = "glpat-CANARY-0123456789"

COVERS = [
    ("ssh://git@git.example.org/ops/*", "ssh://git@git.example.org/ops/jobs.git", True),
    ("ssh://git@git.example.org/ops/*", "ssh://git@git.example.org/other/jobs.git", False),
    ("ssh://git@git.example.org/ops/*", "ssh://git@git.example.org:2222/ops/jobs.git", False),
    ("ssh://git@git.example.org:22/ops/*", "ssh://git@git.example.org/ops/jobs.git", True),
    ("ssh://git.example.org/ops/*", "ssh://anna@git.example.org/ops/jobs.git", True),
    ("ssh://git@git.example.org/*", "ssh://anna@git.example.org/ops/jobs.git", False),
    ("git@git.example.org:ml/*", "git@git.example.org:ml/churn.git", True),
    ("git@git.example.org:ml/*", "git@git.example.org:web/shop.git", False),
    ("https://git.example.org/*", "https://git.example.org/a/b.git", True),
    ("https://GIT.example.org/*", "https://git.example.org/a/b.git", True),
    ("https://git.example.org/*", "https://git.example.org.evil.net/a/b.git", False),
    ("https://*.example.org/*", "https://git.example.org/a.git", True),
    ("https://*.example.org/*", "https://evil.net/x.example.org/a.git", False),
    ("https://git.example.org/*", "ssh://git.example.org/a.git", False),
    ("https://git.example.org/*", "http://127.0.0.1/a.git", False),
    ("http://127.0.0.1:*/*", "http://127.0.0.1:8080/a.git", False),
    ("https://git.example.org", "https://git.example.org/a.git", False),
    ("*", "https://git.example.org/a.git", False),
]


@pytest.mark.parametrize(("pattern", "url", "expected"), COVERS, ids=[f"{c[0]} {c[1]}" for c in COVERS])
def test_S5_a_pattern_is_compared_part_by_part(pattern: str, url: str, expected: bool) -> None:
    assert matches(pattern, parse_url(url)) is expected


def with_token(tmp_path: Path, content: bytes = TOKEN.encode() + b"\n") -> GitConfig:
    file = tmp_path / "token"
    file.write_bytes(content)
    return GitConfig(tokens=(Credential("https://git.example.org/*", token_file=str(file), username="ci"),))


def test_S3_a_token_is_in_the_environment_alone(tmp_path: Path) -> None:
    access = access_for(parse_url("https://git.example.org/jobs.git"), with_token(tmp_path))
    (secret,) = [value for _, value in access.secret_config]
    argv, env = arguments(access, "/x.git"), environment(access)
    assert secret in env.values()
    for hidden in (TOKEN, *access.secrets):
        assert not any(hidden in word for word in argv)
        assert hidden not in repr(access)
        assert hidden not in scrub(f"fatal: https://ci:{hidden}@git.example.org/ said {hidden}", access)
    assert any(word.startswith("--config-env=http.https://git.example.org/.extraHeader=") for word in argv)


def test_a_token_for_another_server_is_not_sent(tmp_path: Path) -> None:
    access = access_for(parse_url("https://git.example.net/jobs.git"), with_token(tmp_path))
    assert access.secret_config == () and access.secrets == ()


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb", b"\xff", b"x" * 9000, b"a\0b"])
def test_a_token_file_that_is_not_one_line_of_text_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(SourceRejected) as caught:
        access_for(parse_url("https://git.example.org/jobs.git"), with_token(tmp_path, content))
    assert caught.value.code == "token-file"


def test_a_missing_token_file_names_itself(tmp_path: Path) -> None:
    config = GitConfig(tokens=(Credential("https://git.example.org/*", token_file=str(tmp_path / "no")),))
    with pytest.raises(SourceRejected, match="No such file"):
        access_for(parse_url("https://git.example.org/jobs.git"), config)


def test_ssh_always_checks_host_keys_and_asks_nobody(tmp_path: Path) -> None:
    key, hosts = tmp_path / "key 50%", tmp_path / "hosts"
    key.touch()
    hosts.touch()
    config = GitConfig(known_hosts=str(hosts), deploy_keys=(Credential("git@h.example:*", key_file=str(key)),))
    command = access_for(parse_url("git@h.example:x.git"), config).ssh_command
    for expected in ("StrictHostKeyChecking=yes", "BatchMode=yes", "ProxyCommand=none", "-F /dev/null",
                     "IdentityAgent=none", f'UserKnownHostsFile="{hosts}"', "key 50%%"):  # fmt: skip
        assert expected in command


def test_S5_no_key_of_the_services_user_is_offered_where_none_is_configured(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch()
    config = GitConfig(deploy_keys=(Credential("git@h.example:*", key_file=str(key)),))
    urls = ("git@h.example:x.git", "git@other.example:x.git")
    words = {url: shlex.split(access_for(parse_url(url), config).ssh_command) for url in urls}
    found = [[word for word in each if word.startswith("-oIdentityFile")] for each in words.values()]
    assert found == [[f'-oIdentityFile="{key}"'], ["-oIdentityFile=none"]]
    effective = subprocess.run([*words["git@other.example:x.git"], "-G", "other.example"], capture_output=True,
                               stdin=subprocess.DEVNULL, text=True, check=True, timeout=10).stdout  # fmt: skip
    assert [line for line in effective.splitlines() if line.startswith("identityfile")] == ["identityfile none"]


@pytest.mark.parametrize("path", ["relative", '/with"quote', "/with$VAR", "/with\nnewline", "/not-there"])
def test_a_key_path_that_ssh_would_expand_is_refused(path: str) -> None:
    config = GitConfig(deploy_keys=(Credential("git@h.example:*", key_file=path),))
    with pytest.raises(SourceRejected) as caught:
        access_for(parse_url("git@h.example:x.git"), config)
    assert caught.value.code == "key-file"
