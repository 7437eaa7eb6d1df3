"""Images are acquired as the policy says, pinned by id, never replaced in silence by what happens to be there (P4)."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from reconciler.engine.docker import DockerEngine
from reconciler.engine.docker_reference import parse, registry_digest
from reconciler.model.errors import EngineRejected
from reconciler.model.job import PullPolicy
from reconciler.model.service import Registry
from tests.kit.docker_engine import IMAGE, clean_up, make_context, make_docker_engine
from tests.kit.orders import make_spec, run_order, standing_order
from tests.lab.images import labelled_image
from tests.lab.registry import RegistryServer, registry

NOBODY = "127.0.0.1:1"  # a registry that refuses connections


@pytest.fixture
def engine(tmp_path: Path, docker_host: str) -> Iterator[DockerEngine]:
    engine = make_docker_engine(tmp_path, docker_host)
    yield engine
    engine.close()
    clean_up(docker_host, engine._core.context.instance)


@pytest.fixture
def client(docker_host: str) -> Iterator[docker.APIClient]:
    client = docker.APIClient(base_url=docker_host, version="1.41", timeout=30)
    yield client
    client.close()


@pytest.mark.parametrize(
    ("text", "registry_host", "lookup"),
    [
        ("postgres", "docker.io", "postgres:latest"),
        ("postgres:17", "docker.io", "postgres:17"),
        ("c0ffee", "docker.io", "c0ffee:latest"),
        ("team/tool", "docker.io", "team/tool:latest"),
        ("localhost/tool", "localhost", "localhost/tool:latest"),
        ("r.example.org:5000/a/b:1", "r.example.org:5000", "r.example.org:5000/a/b:1"),
        ("r.example.org/a:1@sha256:" + "a" * 64, "r.example.org", "r.example.org/a@sha256:" + "a" * 64),
        ("sha256:" + "a" * 64, "", "sha256:" + "a" * 64),
    ],
)
def test_P4_a_reference_is_never_looked_up_as_the_beginning_of_an_id(
    text: str, registry_host: str, lookup: str
) -> None:
    reference = parse(text)
    assert (reference.registry, reference.lookup) == (registry_host, lookup)


def test_P4_a_registry_digest_is_that_of_the_same_repository() -> None:
    digests = ["other/x@sha256:1", "r.example.org/x@sha256:2"]
    assert registry_digest("r.example.org/x", digests) == "sha256:2"
    assert registry_digest("x", digests) == registry_digest("x", None) == ""


def code_of(engine: DockerEngine, image: str, policy: PullPolicy, *, refresh: bool = False) -> str:
    with pytest.raises(EngineRejected) as caught:
        engine.install(standing_order(make_spec(image=image, pull_policy=policy), refresh=refresh))
    assert caught.value.hint
    return caught.value.code


def test_P4_a_missing_image_that_may_not_be_pulled_is_named(engine: DockerEngine) -> None:
    assert code_of(engine, f"{NOBODY}/no-such:1", PullPolicy.NEVER) == "image-missing"
    assert code_of(engine, "sha256:" + "0" * 64, PullPolicy.MISSING) == "image-missing"
    assert engine.observe().jobs == {}


def test_P4_a_registry_that_is_away_is_no_fault_of_the_engine(engine: DockerEngine) -> None:
    assert code_of(engine, f"{NOBODY}/no-such:1", PullPolicy.MISSING) == "registry-unavailable"


def test_P4_a_failed_pull_never_falls_back_on_a_local_image(engine: DockerEngine, client: docker.APIClient) -> None:
    name = f"{NOBODY}/{engine._core.context.instance}"
    client.tag(IMAGE, name, "1")
    try:
        assert code_of(engine, f"{name}:1", PullPolicy.ALWAYS) == "registry-unavailable"
        assert code_of(engine, f"{name}:1", PullPolicy.DAILY, refresh=True) == "registry-unavailable"
        # Present and `missing`, or `never` even with a refresh due: no registry is asked.
        assert engine.install(standing_order(make_spec(image=f"{name}:1"))).image_id
        never = make_spec(image=f"{name}:1", pull_policy=PullPolicy.NEVER)
        assert engine.install(standing_order(never, refresh=True)).image_id
    finally:
        client.remove_image(f"{name}:1")


def test_P4_an_installed_image_is_pinned_while_its_tag_moves(
    engine: DockerEngine, client: docker.APIClient, docker_host: str
) -> None:
    tag = f"moving-{engine._core.context.instance}:1"
    first = labelled_image(docker_host, tag, ['CMD ["true"]'])
    spec = make_spec(image=tag, pull_policy=PullPolicy.NEVER)
    installed = engine.install(standing_order(spec))
    assert installed.image_id == first
    second = labelled_image(docker_host, tag, ['CMD ["false"]'])
    assert second != first
    assert engine.inspect_drift(spec.name, standing_order(spec)) == ()  # a moved tag alone is no drift
    assert engine.prepare(run_order(spec, image_id=first)).image_id == first
    assert engine.resolve(standing_order(spec, image_id=first)).image_id == first
    eventually_moved = engine.resolve(standing_order(spec, refresh=True)).image_id
    assert eventually_moved in (first, second)  # the look-up may be a moment old
    client.remove_image(tag, force=True)


def test_P6_a_pinned_image_that_was_pruned_is_resolved_anew(
    engine: DockerEngine, client: docker.APIClient, docker_host: str
) -> None:
    tag = f"pruned-{engine._core.context.instance}:1"
    labelled_image(docker_host, tag, ['CMD ["true"]'])
    gone = client.inspect_image(tag)["Id"]
    client.remove_image(tag, force=True)
    now = labelled_image(docker_host, tag, ['CMD ["false"]'])
    assert gone != now
    order = run_order(make_spec(image=tag, pull_policy=PullPolicy.NEVER), image_id=gone)
    assert engine.prepare(order).image_id == now
    client.remove_image(tag, force=True)


@pytest.fixture(scope="module")
def guarded_registry(tmp_path_factory: pytest.TempPathFactory, docker_host: str) -> Iterator[RegistryServer]:
    with registry(tmp_path_factory.mktemp("registry"), "anna", "s3cret-canary") as server:
        yield server


@pytest.mark.slow
def test_P4_a_login_of_the_service_file_opens_a_registry(
    guarded_registry: RegistryServer, tmp_path: Path, docker_host: str, client: docker.APIClient
) -> None:
    engine = make_docker_engine(tmp_path, docker_host)
    reference = guarded_registry.push(docker_host, IMAGE, "team/tool:1")
    password = tmp_path / "registry.pw"
    password.write_text("wrong\n")
    logins = {guarded_registry.address: Registry("anna", str(password))}
    context = replace(make_context(tmp_path), registries=lambda: logins)
    known = make_docker_engine(tmp_path, docker_host, context=context)
    try:
        assert code_of(engine, reference, PullPolicy.MISSING) == "registry-auth"
        assert code_of(known, reference, PullPolicy.MISSING) == "registry-auth"
        password.write_text("s3cret-canary\n")  # read at use: no restart is needed
        installed = known.install(standing_order(make_spec(image=reference, pull_policy=PullPolicy.ALWAYS)))
        assert installed.image_id == client.inspect_image(IMAGE)["Id"]
        assert installed.image_digest.startswith("sha256:")
        assert code_of(known, f"{guarded_registry.address}/team/no-such:1", PullPolicy.MISSING) == "image-missing"
        assert "s3cret-canary" not in str(client.inspect_container(installed.ref))
        logins.clear()  # and so are the logins themselves: a reload of the service file counts at the next pull
        assert code_of(known, f"{guarded_registry.address}/team/tool:2", PullPolicy.MISSING) == "registry-auth"
        logins[guarded_registry.address] = Registry("anna", str(password))
        assert code_of(known, f"{guarded_registry.address}/team/tool:2", PullPolicy.MISSING) == "image-missing"
        password.unlink()
        assert code_of(known, f"{guarded_registry.address}/team/tool:2", PullPolicy.MISSING) == "registry-auth"
        client.remove_image(reference)
    finally:
        for each in (engine, known):
            each.close()
            clean_up(docker_host, each._core.context.instance)
