"""Promise: before anything is changed the plan says what an Engine on another host cannot give a job."""

import pytest

from reconciler.engine.docker_address import address, is_unprotected, shares_host
from reconciler.engine.docker_preview import preview_of
from reconciler.model.job import Mount, SecretRef
from tests.kit.orders import make_spec


@pytest.mark.parametrize(
    ("url", "said", "shares"),
    [
        ("unix:///var/run/docker.sock", "", True),
        ("unix:///run/forwarded.sock", "separate", False),
        ("tcp://127.0.0.1:2375", "", False),
        ("tcp://127.0.0.1:2375", "shared", True),
        ("ssh://ops@far.example.org", "", False),
        ("https://far.example.org:2376", "", False),
    ],
)
def test_whose_files_an_engine_sees(url: str, said: str, shares: bool) -> None:
    assert shares_host(url, said) is shares


def test_the_address_is_that_of_the_service_file_or_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    assert address("") == "unix:///var/run/docker.sock"
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.7:2376")
    assert address("") == "tcp://10.0.0.7:2376"
    assert address("unix:///x.sock") == "unix:///x.sock"


def test_plain_tcp_is_unprotected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_TLS_VERIFY", raising=False)
    found = [is_unprotected(url) for url in ("tcp://10.0.0.7:2375", "http://x:1", "unix:///x.sock", "ssh://a@b")]
    assert found == [True, True, False, False]
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    assert not is_unprotected("tcp://10.0.0.7:2376")


SECRETS = (SecretRef("token", target="/run/secrets/token", mode=0o444), SecretRef("dsn", env="DSN"))


def test_S3_no_secret_goes_to_another_host_as_a_file_or_as_a_variable() -> None:
    found = preview_of(make_spec(secrets=SECRETS), shares_host=False).problems
    assert [(p.field, p.code, p.severity) for p in found] == [
        ("secrets.token", "engine-remote", "error"), ("secrets.dsn", "engine-remote", "error"),
    ]  # fmt: skip
    assert all(problem.hint for problem in found)
    assert preview_of(make_spec(secrets=SECRETS), shares_host=True).problems == ()


def test_a_bind_is_said_to_be_of_the_other_host() -> None:
    spec = make_spec(mounts=(Mount("bind", "/srv/data", "/data"), Mount("volume", "v", "/v")))
    assert preview_of(spec, shares_host=False).warnings == (
        "volumes: /srv/data is a path of the Engine's host, not of this one",
    )
    assert preview_of(spec, shares_host=True).warnings == ()
