"""Promise: packages are installed once into an image of their own, and nothing of the installation leaks into it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from reconciler.cli.show import installed as installed_in
from reconciler.engine import labels
from reconciler.engine.base import EngineContext
from reconciler.engine.docker import DockerEngine
from reconciler.engine.docker_client import Timeouts
from reconciler.model.errors import EngineRejected
from reconciler.model.job import Install, JobSpec, Packages
from reconciler.model.service import Policy, ServiceConfig
from reconciler.spec.admission import admit
from tests.kit.docker_engine import clean_up, ended_run, make_context, make_docker_engine
from tests.kit.orders import make_spec, standing_order
from tests.lab.python_image import PYTHON, ensure_python
from tests.lab.wheels import WHEEL, Index, index

SHOW = (
    "import importlib.metadata as m, os; e = os.environ.get; "
    "print(m.metadata('croniter')['Name'], os.getuid(), e('KEPT'), e('TOKEN'))"
)
PATIENT = Timeouts(call=60.0, start=60.0, pull=400.0, idle=60.0)  # pip takes its time on a busy machine
TOKEN = "s3cr3t-of-the-index"
pytestmark = pytest.mark.timeout(500)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory, docker_host: str) -> Iterator[Index]:
    with index(tmp_path_factory.mktemp("wheels"), docker_host) as served:
        yield served


@pytest.fixture
def context(tmp_path: Path, wheels: Index, docker_host: str) -> EngineContext:
    ensure_python(docker_host)
    variables = {**wheels.variables, "TOKEN": TOKEN}
    return replace(make_context(tmp_path / "state"), package_environment=lambda: variables)


@pytest.fixture
def engine(tmp_path: Path, docker_host: str, context: EngineContext) -> Iterator[DockerEngine]:
    engine = make_docker_engine(tmp_path, docker_host, context=context, timeouts=PATIENT)
    yield engine
    engine.tidy((), 0.0)
    engine.close()
    clean_up(docker_host, context.instance)


@pytest.fixture
def client(docker_host: str) -> Iterator[docker.APIClient]:
    client = docker.APIClient(base_url=docker_host, version="1.41", timeout=30)
    yield client
    client.close()


def job(*pip: str, **fields: object) -> JobSpec:
    made = make_spec(script=None, command=("python3", "-c", SHOW), image=PYTHON, networks=("none",), **fields)
    return replace(made, packages=Packages(pip=pip or (WHEEL,)))


def at_work(client: docker.APIClient, instance: str) -> list[str]:
    """Containers of installations; other tests have theirs on the same Engine."""
    names = [name for row in client.containers(all=True) for name in row["Names"]]
    return [name for name in names if name.startswith(f"/{instance}.ENVIRONMENT")]


def test_S2_a_real_package_is_installed_once_and_every_run_of_the_job_has_it(
    engine: DockerEngine, client: docker.APIClient, context: EngineContext
) -> None:
    spec = job()
    installed = engine.install(standing_order(spec))
    base = str(client.inspect_image(PYTHON)["Id"])
    assert installed.image_id != base
    code, said, used = ended_run(engine, spec, installed.image_id)
    assert (code, said, used) == (0, "croniter 65534 yes None\n", installed.image_id), "as the base image's own user"
    assert engine.install(standing_order(spec)).image_id == installed.image_id
    assert engine.resolve(standing_order(spec)).image_id == installed.image_id
    assert ended_run(engine, spec, "", attempt=2)[2] == installed.image_id, "found again by its content"

    data = client.inspect_image(installed.image_id)
    config = data["Config"]
    assert (config["Cmd"], config["Entrypoint"] or [], config["User"]) == (["python3"], [], "65534:65534")
    assert config["WorkingDir"] == "/tmp" and "KEPT=yes" in config["Env"]
    assert TOKEN not in json.dumps(data) and "PIP_NO_INDEX" not in json.dumps(data)
    kept = json.loads((Path(context.state_dir) / f"environments/{installed.image_id[7:]}.json").read_text())
    told = installed_in(ServiceConfig(state_dir=context.state_dir), installed.image_id)
    assert [name.partition("==")[0] for name in told["pip"]] == ["croniter"], "what `reconciler show` says"
    assert kept["base_id"] == base and any(line.startswith("croniter==") for line in kept["installed"]), kept
    assert not at_work(client, context.instance)


def test_another_list_another_owner_or_none_is_another_image(engine: DockerEngine, client: docker.APIClient) -> None:
    first = engine.install(standing_order(job())).image_id
    base = str(client.inspect_image(PYTHON)["Id"])
    other = engine.install(standing_order(job(WHEEL, f"{WHEEL}>1"), image_id=first)).image_id
    foreign = engine.install(standing_order(replace(job(), owner="somebody"), image_id=first)).image_id
    plain = engine.install(standing_order(replace(job(), packages=Packages()), image_id=first)).image_id
    assert len({first, other, foreign, base}) == 4 and plain == base


def test_packages_that_are_known_only_now_are_installed_on_the_base_that_was_applied(
    engine: DockerEngine, client: docker.APIClient
) -> None:
    base = str(client.inspect_image(PYTHON)["Id"])
    spec = replace(job(), image="python:never-pulled")
    client.tag(base, "python", "never-pulled")
    assert engine.install(standing_order(replace(spec, packages=Packages(files=(("pip", "r.txt"),))))).image_id == base
    client.remove_image("python:never-pulled")
    assert ended_run(engine, spec, base)[:2] == (0, "croniter 65534 yes None\n")


def test_what_does_not_resolve_says_so_and_the_job_stays_as_it_was(
    engine: DockerEngine, client: docker.APIClient, context: EngineContext
) -> None:
    engine.install(standing_order(job()))
    before = engine.observe().jobs["demo/hello"]
    with pytest.raises(EngineRejected) as caught:
        engine.install(standing_order(job("no-such-package-of-ours==1.0")))
    assert caught.value.code == "packages-failed" and "no-such-package-of-ours" in str(caught.value)
    log = Path(caught.value.hint.partition(": ")[2])
    assert "no-such-package-of-ours" in log.read_text() and TOKEN not in log.read_text()
    assert engine.observe().jobs["demo/hello"] == before
    assert not at_work(client, context.instance)


def test_S1_an_image_of_packages_is_nobodys_base(engine: DockerEngine, client: docker.APIClient) -> None:
    made = engine.install(standing_order(job())).image_id
    tag = client.inspect_image(made)["RepoTags"][0]
    for reference in (tag, made):
        with pytest.raises(EngineRejected) as caught:
            engine.install(standing_order(make_spec("demo/thief", image=reference)))
        assert caught.value.code == "image-labels"


def test_an_unused_one_is_removed_and_one_in_use_stays(
    engine: DockerEngine, client: docker.APIClient, context: EngineContext
) -> None:
    used = engine.install(standing_order(job())).image_id
    spare = engine.install(standing_order(replace(job(), owner="somebody", name="demo/other"))).image_id
    engine.retire("demo/other")
    assert engine.tidy((used,), 3600.0) == ()
    kept = Path(context.state_dir, "environments")
    assert len(list(kept.glob("*.json"))) == 2
    assert engine.tidy((used,), 0.0) == (spare,)
    assert [path.name for path in kept.iterdir()] == [f"{used[7:]}.json"]
    engine.retire("demo/hello")
    assert engine.tidy((used,), 0.0) == () and client.inspect_image(used)


def test_P2_what_a_process_that_died_has_left_at_work_goes_and_somebodys_own_container_stays(
    engine: DockerEngine, client: docker.APIClient, context: EngineContext, docker_host: str
) -> None:
    made = engine.install(standing_order(job())).image_id
    mark = client.inspect_image(made)["Config"]["Labels"]
    died = make_docker_engine(Path(context.state_dir), docker_host, context=context, timeouts=PATIENT)
    workshop = died._acquirer.environments.workshop
    body = {"Image": made, "Labels": mark, "Entrypoint": ["sleep", "1000"]}
    left = workshop.container(mark[f"{labels.PREFIX}run"], body, "install packages of", "demo/hello")
    ref = left.__enter__()  # and it is never left
    own = client.create_container(made, ["sleep", "1000"])["Id"]
    client.start(own)
    try:
        died.tidy((made,), 3600.0)
        assert client.inspect_container(ref)["State"]["Running"], "its own process is still at it"
        engine.tidy((made,), 3600.0)
        assert [row["Id"] for row in client.containers(all=True) if row["Id"] in (ref, own)] == [own]
        assert client.inspect_container(own)["State"]["Running"]
    finally:
        client.remove_container(own, force=True)
        died.close()


def test_at_start_it_is_a_phase_of_each_run(engine: DockerEngine) -> None:
    spec = job("no-such-package-of-ours", user="0:0", environment=(("PIP_NO_INDEX", "1"),))
    spec = replace(spec, packages=replace(spec.packages, install=Install.AT_START))
    code, said, _ = ended_run(engine, spec)
    assert code not in (0, None) and said.startswith("[reconciler] packages\n")
    assert said.rstrip().endswith(f"[reconciler] packages failed with exit code {code}")
    assert engine.tidy((), 0.0) == ()


def test_S1_policy_may_forbid_a_manager(engine: DockerEngine) -> None:
    found = admit(job(), ServiceConfig(policy=Policy(packages=("conda",))))
    assert [(one.pointer, one.code) for one in found] == [("/packages/pip", "packages-not-allowed")]
    assert admit(job(), ServiceConfig(policy=Policy(packages=("pip",)))) == ()
