"""Promise: doctor says what of the service file this machine cannot honour, and calls it no fault."""

from pathlib import Path

import pytest

from reconciler.cli.doctor import WARN, address_of_engine, people
from reconciler.model.service import Person, ServiceConfig


def test_S1_an_account_that_this_host_does_not_have_is_a_warning() -> None:
    config = ServiceConfig(
        people=(Person("anna", "no-such-user-here"), Person("ops", "root"), Person("x", email="x@y"))
    )
    assert [(level, what, found) for level, what, found, _ in people(config)] == [
        (WARN, "people", "anna: there is no user no-such-user-here on this host")
    ]


def test_S1_a_socket_that_members_cannot_reach_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o750)
    config = ServiceConfig(people=(Person("ops", "root"),), runtime_dir=str(tmp_path / "run"))
    ((level, _, found, hint),) = people(config)
    assert (level, found) == (WARN, f"members cannot reach the socket: {tmp_path / 'run'} is closed to them")
    assert "runtime_dir" in hint
    assert list(people(ServiceConfig(runtime_dir=str(tmp_path / "run")))) == []


def test_an_engine_at_plain_tcp_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_TLS_VERIFY", raising=False)
    ((level, what, found, hint),) = address_of_engine(ServiceConfig(docker_host="tcp://10.0.0.7:2375"))
    assert (level, what) == (WARN, "engine") and "root" in found and "TLS" in hint
    assert list(address_of_engine(ServiceConfig(docker_host="unix:///run/docker.sock"))) == []
