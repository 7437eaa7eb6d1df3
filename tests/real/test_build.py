"""Promise: `reconciler build` makes the image that the job's runs have, as nobody's but its user's, and pins it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from reconciler.engine import labels
from reconciler.engine.base import BuildOrder, Built
from reconciler.engine.docker import DockerEngine
from reconciler.model.errors import EngineRejected
from reconciler.model.job import Install, JobSpec, Packages
from reconciler.model.service import Policy, Registry
from tests.kit.docker_engine import clean_up, ended_run, make_context, make_docker_engine
from tests.kit.orders import make_spec, standing_order
from tests.lab.python_image import PYTHON, ensure_python
from tests.lab.registry import RegistryServer, registry
from tests.lab.wheels import Index, index
from tests.real.test_docker_packages import PATIENT, SHOW, TOKEN, at_work

pytestmark = pytest.mark.timeout(500)
REVISION = "9f3c2e1"
PASSWORD = "s3cret-canary"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory, docker_host: str) -> Iterator[Index]:
    with index(tmp_path_factory.mktemp("wheels"), docker_host) as served:
        yield served


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with registry(tmp_path_factory.mktemp("registry"), "anna", PASSWORD) as server:
        yield server


@pytest.fixture
def engine(tmp_path: Path, docker_host: str, wheels: Index, hub: RegistryServer) -> Iterator[DockerEngine]:
    ensure_python(docker_host)
    password = tmp_path / "registry.pw"
    password.write_text(PASSWORD)
    context = replace(
        make_context(tmp_path / "state"), package_environment=lambda: {**wheels.variables, "TOKEN": TOKEN},
        registries=lambda: {hub.address: Registry("anna", str(password))},
    )  # fmt: skip
    engine = make_docker_engine(tmp_path, docker_host, context=context, timeouts=PATIENT)
    yield engine
    engine.tidy((), 0.0)
    engine.close()
    clean_up(docker_host, context.instance)
    hub.forget(docker_host)


@pytest.fixture
def client(docker_host: str) -> Iterator[docker.APIClient]:
    client = docker.APIClient(base_url=docker_host, version="1.41", timeout=30)
    yield client
    client.close()


def job(*pip: str, install: Install = Install.IMAGE, **fields: object) -> JobSpec:
    made = make_spec(script=None, command=("python3", "-c", SHOW), image=PYTHON, networks=("none",), **fields)
    return replace(made, packages=Packages(pip=pip, install=install))


def build(engine: DockerEngine, spec: JobSpec, applied: str = "", **fields: object) -> Built:
    said: list[str] = []
    order = replace(BuildOrder(spec, REVISION, Policy(), applied), **fields)  # type: ignore[arg-type]
    made = engine.build(order, said.append)
    assert said[0].startswith(f"base {spec.image} is sha256:") and said == list(dict.fromkeys(said)), said
    return made


def test_it_is_the_image_of_the_runs_with_the_bases_settings_and_no_label_of_ours(
    engine: DockerEngine, client: docker.APIClient
) -> None:
    spec = job("croniter")
    applied = engine.install(standing_order(spec)).image_id
    made = build(engine, spec, applied)
    try:
        image, base, runs = (client.inspect_image(name) for name in (made.name, PYTHON, applied))
        assert made.image_id == image["Id"] and made.base_id == base["Id"] and not made.digest
        assert made.name.startswith("reconciler-build/default/demo/hello:"), made.name
        assert image["RootFS"] == runs["RootFS"], "what the runs have, and nothing was installed anew"
        said = image["Config"].pop("Labels")
        base["Config"].pop("Labels")
        assert image["Config"] == base["Config"]
        assert said == {
            "org.opencontainers.image.revision": REVISION, "org.opencontainers.image.title": "demo/hello",
            "org.opencontainers.image.base.name": PYTHON,
        }  # fmt: skip
        whole = json.dumps([image, client.history(made.name)])
        assert labels.PREFIX not in whole and TOKEN not in whole and "sleep" not in whole
        assert [line.partition("==")[0] for line in made.installed][-1] == "croniter", made.installed
        assert build(engine, spec, applied) == made, "asked again, it is the same"
    finally:
        client.remove_image(made.name)


def test_a_job_runs_from_it_without_packages(engine: DockerEngine, client: docker.APIClient) -> None:
    made = build(engine, job("croniter"))
    try:
        pinned = replace(job(), image=made.name)
        installed = engine.install(standing_order(pinned))
        assert installed.image_id == made.image_id
        assert ended_run(engine, pinned, installed.image_id)[:2] == (0, "croniter 65534 yes None\n")
        engine.retire(pinned.name)
    finally:
        client.remove_image(made.name)


# -- what a start does -------------------------------------------------------------------------------------------------
def test_installs_at_start_and_the_start_script_are_baked_in(engine: DockerEngine, client: docker.APIClient) -> None:
    script = 'echo "$GREETING $(id -u) $RECONCILER_JOB" > /tmp/baked'
    spec = job("croniter", install=Install.AT_START, start_script=script, user="1234:1234",
               environment=(("GREETING", "made for"),))  # fmt: skip
    variables = (*spec.environment, ("RECONCILER_JOB", spec.name))
    made = build(engine, spec, start_script=True, environment=variables)
    try:
        show = "import importlib.metadata as m; m.metadata('croniter'); print(open('/tmp/baked').read().strip())"
        pinned = replace(job(user="1234:1234"), image=made.name, command=("python3", "-c", show))
        assert ended_run(engine, pinned)[:2] == (0, "made for 1234 demo/hello\n")
        image = client.inspect_image(made.name)
        assert "GREETING" not in json.dumps(image) and image["Config"]["User"] == "65534:65534", "as the base says it"
        assert client.history(made.name)[0]["CreatedBy"] == "reconciler build demo/hello: start_script"
        ours = {"label": f"{labels.INSTANCE}={engine._core.context.instance}"}
        assert "start_script" not in [row["Labels"][labels.JOB] for row in client.images(filters=ours)], "it has gone"
    finally:
        client.remove_image(made.name)


def test_without_being_asked_the_start_script_is_left_to_the_job(
    engine: DockerEngine, client: docker.APIClient
) -> None:
    made = build(engine, job("croniter", start_script="exit 7"))
    client.remove_image(made.name)


def code_of(engine: DockerEngine, spec: JobSpec, **fields: object) -> tuple[str, str]:
    """(code, message) of a build that fails; nothing is left at work."""
    with pytest.raises(EngineRejected) as caught:
        build(engine, spec, **fields)  # type: ignore[arg-type]
    assert caught.value.hint
    assert not at_work(engine._core.clients.get(), engine._core.context.instance)
    return caught.value.code, str(caught.value)


def test_what_cannot_be_built_says_why(engine: DockerEngine) -> None:
    code, said = code_of(engine, job(start_script="echo no such tool >&2; exit 9"), start_script=True)
    assert code == "build-script-failed" and said.endswith("exit 9: no such tool")
    code, said = code_of(engine, job("no-such-package-of-ours"))
    assert code == "packages-failed" and "no-such-package-of-ours" in said
    away = replace(job("croniter"), image="127.0.0.1:1/no/such:1")
    assert code_of(engine, away)[0] == "registry-unavailable"


# -- push --------------------------------------------------------------------------------------------------------
def test_it_is_pushed_with_the_services_login_and_pulled_by_its_digest(
    engine: DockerEngine, client: docker.APIClient, hub: RegistryServer
) -> None:
    name = f"{hub.address}/team/hello:1"
    made = build(engine, job("croniter"), name=name, push=True)
    assert made.name == name and made.digest.startswith("sha256:")
    client.remove_image(name)
    pinned = replace(job(), image=f"{hub.address}/team/hello@{made.digest}")
    installed = engine.install(standing_order(pinned))
    assert (installed.image_id, installed.image_digest) == (made.image_id, made.digest)
    assert ended_run(engine, pinned, installed.image_id)[:2] == (0, "croniter 65534 yes None\n")
    again = build(engine, job("croniter", "croniter>1"), name=name, push=True)
    assert again.digest != made.digest, "the tag has moved"
    assert engine.resolve(standing_order(pinned, refresh=True)).image_id == made.image_id, "what is pinned has not"
    engine.retire(pinned.name)


def test_the_base_of_a_registry_is_told_by_digest(
    engine: DockerEngine, client: docker.APIClient, hub: RegistryServer, docker_host: str
) -> None:
    base = hub.push(docker_host, PYTHON, "team/python:3")
    spec = replace(job("croniter"), image=base)
    applied = engine.install(standing_order(spec))
    made = build(engine, spec, applied.image_id, image_digest=applied.image_digest)
    said = client.inspect_image(made.name)["Config"]["Labels"]
    assert said["org.opencontainers.image.base.digest"] == applied.image_digest == made.base_digest
    engine.retire(spec.name)
    client.remove_image(made.name)


def test_a_push_that_fails_says_whose_fault_it_is(
    engine: DockerEngine, client: docker.APIClient, hub: RegistryServer, tmp_path: Path
) -> None:
    spec, names = job("croniter"), []

    def pushed(to: str) -> str:
        names.append(f"{to}/team/hello:1")
        return code_of(engine, spec, name=names[-1], push=True)[0]

    try:
        assert pushed("127.0.0.1:1") == "registry-unavailable"
        (tmp_path / "registry.pw").write_text("wrong")
        assert pushed(hub.address) == "registry-auth"
        (tmp_path / "registry.pw").unlink()
        assert pushed(hub.address) == "registry-auth"
        folder = tmp_path / "read-only"
        folder.mkdir()
        with registry(folder, read_only=True) as closed:
            assert pushed(closed.address) == "push-refused"
    finally:
        for name in dict.fromkeys(names):
            client.remove_image(name, force=True)
