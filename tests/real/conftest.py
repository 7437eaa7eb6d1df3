"""What several real tests stand on: an Engine that does not see the folder in which their services live."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import CI
from tests.kit.folders import reachable_folder
from tests.lab.dockerd import Handle
from tests.lab.remote_dockerd import remote_engine


@pytest.fixture(scope="module")
def hidden() -> Iterator[Path]:
    """A folder of this host that `remote` does not see."""
    with reachable_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def remote(private_docker: Handle, hidden: Path) -> Iterator[str]:
    """The address of an Engine as on another host. That there is a private one here shows that there can be another."""
    assert private_docker.docker_host
    with remote_engine([hidden], install=CI) as remote:
        yield remote.address
