"""What is not provably ours is never adopted, used, stopped or removed, whatever it is called or labelled (P2)."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from reconciler.engine import labels
from reconciler.engine.docker import DockerEngine
from reconciler.engine.labels import Kind, Mark
from reconciler.model.errors import EngineRejected, NotOurs
from reconciler.model.ids import container_name, standing_name
from reconciler.model.job import Mount
from reconciler.model.service import Policy
from tests.kit.docker_engine import IMAGE, clean_up, make_context, make_docker_engine
from tests.kit.orders import make_spec, run_order, standing_order
from tests.lab.images import labelled_image

ORDER = standing_order(make_spec("ml/train"))
RUN = run_order(make_spec("ml/train"))


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


@pytest.fixture
def foreign(client: docker.APIClient) -> Iterator[Callable[..., str]]:
    """Makes foreign containers and checks in the end that each is still as it was."""
    made: dict[str, str] = {}

    def make(name: str | None = None, marks: dict[str, str] | None = None, image: str = IMAGE) -> str:
        body = {"Image": image, "Cmd": ["sleep", "60"], "Labels": marks or {}, "HostConfig": {"NetworkMode": "none"}}
        ref = str(client.create_container_from_config(body, name=name)["Id"])
        client.start(ref)
        made[ref] = client.inspect_container(ref)["State"]["StartedAt"]
        return ref

    yield make
    for ref, started in made.items():
        state = client.inspect_container(ref)["State"]
        assert state["Running"] and state["StartedAt"] == started, "a foreign container was touched"
        client.remove_container(ref, force=True, v=True)


def copied(engine: DockerEngine, mark: Mark) -> dict[str, str]:
    """Labels that verify: as somebody would copy them from a container of ours."""
    return labels.write(engine._core.context, mark)


def standing_mark() -> Mark:
    return Mark(Kind.STANDING, "default", "ml/train", "", ORDER.digest, ORDER.revision)


def run_mark() -> Mark:
    return Mark(Kind.RUN, "default", "ml/train", RUN.run_id, RUN.digest, RUN.revision)


def guessed(engine: DockerEngine, mark: Mark) -> dict[str, str]:
    """Labels that look right but were not signed with our key."""
    return {**copied(engine, mark), labels.MAC: "0" * 64}


def test_P2_a_foreign_container_with_guessed_labels_is_not_adopted(
    engine: DockerEngine, foreign: Callable[..., str]
) -> None:
    foreign(marks=guessed(engine, standing_mark()))
    foreign(marks=guessed(engine, run_mark()))
    live = engine.observe()
    assert (live.jobs, live.runs, live.complete) == ({}, {}, True)


def test_P2_labels_copied_from_a_container_of_ours_prove_nothing(
    engine: DockerEngine, foreign: Callable[..., str]
) -> None:
    foreign(marks=copied(engine, standing_mark()))
    foreign(marks=copied(engine, run_mark()))
    live = engine.observe()
    assert (live.jobs, live.runs) == ({}, {})
    engine.retire("ml/train")
    engine.discard(RUN.run_id, "")
    engine.stop(RUN.run_id, "", 0.0)


@pytest.mark.parametrize("with_labels", [False, True], ids=["without labels", "with labels of ours"])
def test_P2_a_foreign_container_under_a_standing_name_is_an_error_and_untouched(
    engine: DockerEngine, foreign: Callable[..., str], with_labels: bool
) -> None:
    name = standing_name(engine._core.context.instance, "ml/train")
    ref = foreign(name, guessed(engine, standing_mark()) if with_labels else None)
    with pytest.raises(NotOurs) as caught:
        engine.install(ORDER)
    assert caught.value.code == "name-taken" and ref[:12] in str(caught.value) and caught.value.hint
    with pytest.raises(NotOurs):
        engine.retire("ml/train")
    live = engine.observe()
    assert live.jobs == {} and dict(live.taken) == ({"ml/train": ref} if with_labels else {})


def test_P2_a_foreign_container_under_a_runs_name_is_an_error_and_untouched(
    engine: DockerEngine, foreign: Callable[..., str]
) -> None:
    ref = foreign(container_name(engine._core.context.instance, RUN.run_id))
    calls: list[Callable[[], Any]] = [
        lambda: engine.prepare(RUN), lambda: engine.launch(RUN.run_id, ref), lambda: engine.find_start(RUN.run_id, ref),
        lambda: engine.stop(RUN.run_id, ref, 0.0), lambda: engine.kill(RUN.run_id, ref),
        lambda: engine.discard(RUN.run_id, ref), lambda: engine.inspect(RUN.run_id, ref),
        lambda: engine.find_start(RUN.run_id, ""), lambda: engine.discard(RUN.run_id, ""),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(NotOurs):
            call()


def test_P2_a_reference_that_is_not_a_full_id_touches_nothing(
    engine: DockerEngine, foreign: Callable[..., str]
) -> None:
    ref = foreign()
    for part in (ref[:12], ref[:2]):
        engine.discard(RUN.run_id, part)
        engine.kill(RUN.run_id, part)


def test_P2_what_the_ledger_knows_by_its_id_is_ours_even_with_a_lost_key(tmp_path: Path, docker_host: str) -> None:
    context = make_context(tmp_path)
    before = make_docker_engine(tmp_path, docker_host, context=context)
    ref = before.install(ORDER).ref
    other = make_context(tmp_path, context.instance)
    after = make_docker_engine(tmp_path, docker_host, context=other, owned=lambda asked: asked == ref)
    try:
        assert after.observe().jobs["ml/train"].digest == ORDER.digest
        after.retire("ml/train")
        assert before.observe().jobs == {}
    finally:
        before.close()
        after.close()
        clean_up(docker_host, context.instance)


def test_P2_even_a_ledger_that_claims_everything_adopts_only_what_bears_our_labels(
    tmp_path: Path, docker_host: str, foreign: Callable[..., str]
) -> None:
    """During a takeover nothing can be proven by key: labels and name must at least say that it is ours."""
    greedy = make_docker_engine(tmp_path, docker_host, owned=lambda _ref: True)
    foreign(standing_name(greedy._core.context.instance, "ml/train"))
    foreign(marks=guessed(greedy, standing_mark()))
    assert greedy.observe().jobs == {}
    with pytest.raises(NotOurs):
        greedy.install(ORDER)
    greedy.close()


def test_P2_another_identity_of_the_same_instance_is_told_about_takeover(tmp_path: Path, docker_host: str) -> None:
    context = make_context(tmp_path)
    before = make_docker_engine(tmp_path, docker_host, context=context)
    after = make_docker_engine(tmp_path, docker_host, context=make_context(tmp_path, context.instance))
    try:
        ref = before.install(ORDER).ref
        assert after.observe().taken == {"ml/train": ref}
        with pytest.raises(NotOurs) as caught:
            after.install(ORDER)
        assert f"reconciler takeover {context.instance}" in caught.value.hint
    finally:
        before.close()
        after.close()
        clean_up(docker_host, context.instance)


def test_P2_an_image_with_labels_of_ours_is_refused(engine: DockerEngine, docker_host: str) -> None:
    marks = copied(engine, standing_mark())
    tag = f"spoof-{engine._core.context.instance}:1"
    labelled_image(docker_host, tag, [f"LABEL {key}={value}" for key, value in marks.items()])
    with pytest.raises(EngineRejected) as caught:
        engine.install(standing_order(make_spec(image=tag)))
    assert caught.value.code == "image-labels"
    assert engine.observe().jobs == {}


def test_P2_a_container_of_an_image_with_labels_of_ours_is_foreign(
    engine: DockerEngine, docker_host: str, foreign: Callable[..., str]
) -> None:
    tag = f"spoof-{engine._core.context.instance}:2"
    marks = copied(engine, standing_mark())
    labelled_image(docker_host, tag, [f"LABEL {key}={value}" for key, value in marks.items()])
    foreign(image=tag)
    assert engine.observe().jobs == {}


def test_P2_a_foreign_volume_of_our_name_is_refused(engine: DockerEngine, client: docker.APIClient) -> None:
    instance = engine._core.context.instance
    client.create_volume(f"{instance}.default.models")
    order = standing_order(make_spec(mounts=(Mount("volume", "models", "/models"),)))
    with pytest.raises(NotOurs):
        engine.install(order)
    with pytest.raises(NotOurs):
        engine.resolve(order)
    assert client.inspect_volume(f"{instance}.default.models")["Labels"] in (None, {})


def test_P2_another_owners_volume_is_refused(engine: DockerEngine) -> None:
    engine.install(standing_order(make_spec("a/x", owner="a", mounts=(Mount("volume", "models", "/models"),))))
    mark = Mark(Kind.VOLUME, "a", digest=f"{engine._core.context.instance}.a.models")
    written = labels.write(engine._core.context, mark)
    engine._core.clients.get().create_volume(f"{engine._core.context.instance}.b.models", labels=written)
    with pytest.raises(NotOurs):
        engine.install(standing_order(make_spec("b/x", owner="b", mounts=(Mount("volume", "models", "/models"),))))


def test_P2_a_foreign_network_of_our_name_is_refused(engine: DockerEngine, client: docker.APIClient) -> None:
    client.create_network(f"{engine._core.context.instance}.default", driver="bridge")
    with pytest.raises(NotOurs):
        engine.install(ORDER)


@pytest.mark.parametrize(
    ("fields", "policy", "code"),
    [
        pytest.param({"networks": ("no-such-network",)}, Policy(networks=("no-such-network",)), "network-missing",
                     id="a network that is not there"),
        pytest.param({"networks": ("bridge",)}, Policy(), "guard-refused", id="a network that is not granted"),
        pytest.param({"networks": ("host",)}, Policy(networks=("host",)), "guard-refused", id="the host's network"),
        pytest.param({"mounts": (Mount("volume", "no-such-volume", "/x", external=True),)},
                     Policy(external_volumes=("no-such-volume",)), "volume-missing", id="a volume that is not there"),
    ],
)  # fmt: skip
def test_P4_what_is_missing_or_not_granted_is_refused_before_anything_is_made(
    engine: DockerEngine, fields: dict[str, Any], policy: Policy, code: str
) -> None:
    with pytest.raises(EngineRejected) as caught:
        engine.install(standing_order(make_spec(**fields), policy=policy))
    assert caught.value.code == code
    assert engine.observe().jobs == {}


def test_P2_retiring_never_deletes_a_named_volume(engine: DockerEngine, client: docker.APIClient) -> None:
    order = standing_order(make_spec(mounts=(Mount("volume", "models", "/models"), Mount("volume", "", "/cache"))))
    before = {volume["Name"] for volume in client.volumes()["Volumes"] or []}
    engine.install(order)
    engine.retire(order.spec.name)
    after = {volume["Name"] for volume in client.volumes()["Volumes"] or []}
    assert after - before == {f"{engine._core.context.instance}.default.models"}
