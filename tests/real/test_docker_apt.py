"""Promise: packages of apt are installed once into an image of their own, as those of pip are."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.cli.show import installed as installed_in
from reconciler.engine.docker import DockerEngine
from reconciler.engine.docker_client import Timeouts
from reconciler.model.errors import EngineRejected
from reconciler.model.job import JobSpec, Packages
from reconciler.model.service import ServiceConfig
from tests.kit.docker_engine import clean_up, ended_run, make_context, make_docker_engine
from tests.kit.orders import make_spec, standing_order
from tests.lab.apt_image import DEB, apt_image

PATIENT = Timeouts(call=60.0, start=60.0, pull=300.0, idle=60.0)
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, docker_host: str) -> Iterator[str]:
    with apt_image(tmp_path_factory.mktemp("debs"), docker_host) as tag:
        yield tag


@pytest.fixture
def engine(tmp_path: Path, docker_host: str, image: str) -> Iterator[DockerEngine]:
    context = make_context(tmp_path / "state")
    engine = make_docker_engine(tmp_path, docker_host, context=context, timeouts=PATIENT)
    yield engine
    engine.retire("demo/hello")
    engine.tidy((), 0.0)
    engine.close()
    clean_up(docker_host, context.instance)


def job(image: str, *apt: str) -> JobSpec:
    spec = make_spec(script=None, command=(DEB, "--greeting=from apt"), image=image, networks=("none",))
    return replace(spec, packages=Packages(apt=apt))


def test_S2_a_real_package_is_there_and_what_was_installed_is_known(
    tmp_path: Path, engine: DockerEngine, image: str
) -> None:
    spec = job(image, DEB)
    made = engine.install(standing_order(spec)).image_id
    assert ended_run(engine, spec, made)[:2] == (0, "from apt\n")
    told = installed_in(ServiceConfig(state_dir=str(tmp_path / "state")), made)
    assert any(line.startswith(f"{DEB}=") for line in told["apt"])
    assert engine.install(standing_order(spec)).image_id == made, "once per content"


def test_one_that_no_repository_has_says_so(engine: DockerEngine, image: str) -> None:
    with pytest.raises(EngineRejected) as caught:
        engine.install(standing_order(job(image, "no-such-package-of-ours")))
    assert caught.value.code == "packages-failed" and "no-such-package-of-ours" in str(caught.value)
