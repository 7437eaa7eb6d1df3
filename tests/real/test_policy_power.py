"""Promise (S1, S2): whatever a job file asks for and a service file grants, the container that the Engine then shows
has no power beyond the grant; and what is granted is not refused.

Grants are worked out here from the two policies themselves, not by the product's code. POLICY_PAIRS=N tries more.
"""

import json
import os
import random
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import docker
import pytest

from reconciler.engine.docker import DockerEngine
from reconciler.model.job import JobSpec, Resources
from reconciler.model.service import Owner, Policy, ServiceConfig
from reconciler.spec.admission import effective_policy
from tests.kit.docker_engine import IMAGE, clean_up, make_context, make_docker_engine
from tests.kit.folders import reachable_folder
from tests.kit.orders import run_order
from tests.unit.spec.kit import Repo

EACH = 20  # containers of one case
CASES = max(3, -(-int(os.environ.get("POLICY_PAIRS", "60")) // EACH))
MOST_PAIRS = 15 * EACH
CAPABILITIES = ("CHOWN", "SETUID", "NET_RAW", "KILL", "SYS_ADMIN", "SYS_PTRACE")
MB = 1 << 20
SMALL, LARGE = Resources(0.25, 16 * MB, 64, MB), Resources(0.5, 64 * MB, 600, 4 * MB)


@dataclass(frozen=True)
class Host:
    """What there is to be had: directories, networks and volumes."""

    folders: tuple[str, ...]
    networks: tuple[str, ...]
    volumes: tuple[str, ...]


@pytest.fixture
def instance() -> str:
    return f"t{secrets.token_hex(4)}"


@pytest.fixture
def engine(tmp_path: Path, docker_host: str, instance: str) -> Iterator[DockerEngine]:
    engine = make_docker_engine(tmp_path, docker_host, context=make_context(tmp_path / "state", instance))
    yield engine
    engine.close()
    clean_up(docker_host, instance)


@pytest.fixture
def client(docker_host: str) -> Iterator[docker.APIClient]:
    client = docker.APIClient(base_url=docker_host, version="1.41", timeout=60)
    yield client
    client.close()


@pytest.fixture
def host(engine: DockerEngine, client: docker.APIClient, instance: str) -> Iterator[Host]:
    """`engine` goes last: it clears away what is made here."""
    networks = tuple(f"{instance}.foreign-{n}" for n in range(2))
    volumes = tuple(f"{instance}.outside-{n}" for n in range(2))
    for network in networks:
        client.create_network(network, driver="bridge")
    for volume in volumes:
        client.create_volume(volume)
    with reachable_folder() as folder:
        folders = [folder / "a", folder / "a/b", folder / "a/b/c", folder / "ab", folder / "d"]
        for one in folders:
            one.mkdir()
        yield Host(tuple(map(str, folders)), networks, volumes)


# -- random policies and job files -------------------------------------------------------------------------------------
def some(rng: random.Random, of: tuple[str, ...], share: float) -> tuple[str, ...]:
    return tuple(one for one in of if rng.random() < share)


def a_policy(rng: random.Random, host: Host) -> Policy:
    images = rng.choice([None, None, None, ("busybox:*",), ("**",), ("registry.example.org/**",), ()])
    return Policy(
        images=images, binds=some(rng, host.folders, 0.4), networks=some(rng, (*host.networks, "host", "bridge"), 0.6),
        capabilities=some(rng, CAPABILITIES[:4], 0.6), external_volumes=some(rng, host.volumes, 0.6),
        max_resources=rng.choice([None, None, None, SMALL, LARGE]), gpus=rng.random() < 0.6,
    )  # fmt: skip


def a_service(rng: random.Random, host: Host) -> ServiceConfig:
    own = rng.choice([None, a_policy(rng, host)])
    return ServiceConfig(policy=a_policy(rng, host), owners=(Owner("group/ml", ("ml/**",), own),))


def a_job(rng: random.Random, host: Host) -> dict[str, Any]:
    """The fields of a job file. Each asks for little, so that many pass and many do not."""
    asked: dict[str, Any] = {"schedule": "manual", "image": IMAGE, "command": ["true"]}
    volumes: list[Any] = []
    for source in some(rng, host.folders, 0.12):
        volumes.append({"type": "bind", "source": source, "target": f"/m{len(volumes)}",
                        "read_only": rng.random() < 0.5})  # fmt: skip
    for source in some(rng, host.volumes, 0.15):
        volumes.append({"type": "volume", "source": source, "target": f"/m{len(volumes)}", "external": True})
    if rng.random() < 0.3:
        volumes.append({"type": "volume", "source": "data", "target": f"/m{len(volumes)}"})
    if rng.random() < 0.2:
        volumes.append({"type": "tmpfs", "target": f"/m{len(volumes)}"})
    network = rng.choice([None, None, ["none"], ["default"], [rng.choice((*host.networks, "host", "bridge"))],
                          ["default", rng.choice(host.networks)]])  # fmt: skip
    limits = rng.choice([{}, {"cpus": 0.25, "memory": "16m", "pids_limit": 64, "shm_size": "1m"},
                         {"cpus": 0.5, "memory": "64m"}, {"memory": "32m"}])  # fmt: skip
    if rng.random() < 0.15:
        limits = {**limits, "gpus": 1}
    given = {
        "volumes": volumes, "networks": network, "resources": limits, "cap_add": list(some(rng, CAPABILITIES, 0.08)),
        "user": rng.choice([None, "1000", "1000:1000", "root"]), "read_only": rng.choice([None, True]),
    }  # fmt: skip
    return asked | {name: value for name, value in given.items() if value}


# -- what is granted, and what the Engine shows ------------------------------------------------------------------------
def policies(config: ServiceConfig) -> list[Policy]:
    """Each of them must allow it."""
    own = config.owners[0].policy
    return [config.policy] if own is None else [config.policy, own]


def within(path: str, roots: tuple[str, ...]) -> bool:
    return any(path == root or path.startswith(root + "/") for root in roots)


def has_image(policy: Policy) -> bool:
    return policy.images is None or bool({"busybox:*", "**"} & set(policy.images))


def all_granted(job: dict[str, Any], config: ServiceConfig) -> bool:
    """Is everything that the file asks for, and every limit that it leaves out, allowed?"""
    limits = job.get("resources", {})
    asked = {"cpus": limits.get("cpus"), "memory": int(str(limits.get("memory", "0m"))[:-1]) * MB or None,
             "pids_limit": limits.get("pids_limit", 512),
             "shm_size": int(str(limits.get("shm_size", "0m"))[:-1]) * MB or None}  # fmt: skip
    for policy in policies(config):
        ceiling = policy.max_resources
        for name, value in asked.items() if ceiling is not None else ():
            if value is None or value > getattr(ceiling, name):
                return False
        if not has_image(policy) or (limits.get("gpus") and not policy.gpus):
            return False
        if not set(job.get("cap_add", ())) <= set(policy.capabilities):
            return False
        foreign = set(job.get("networks", ())) - {"default", "none"}
        if not foreign <= set(policy.networks) - {"host", "bridge"}:
            return False
        for volume in job.get("volumes", ()):
            if volume["type"] == "bind" and not within(volume["source"], policy.binds):
                return False
            if volume.get("external") and volume["source"] not in policy.external_volumes:
                return False
    return True


EMPTY = ("Binds", "VolumesFrom", "Devices", "DeviceCgroupRules", "PortBindings", "Links", "GroupAdd", "ExtraHosts",
         "Sysctls", "Dns", "DnsSearch", "Ulimits", "PidMode", "UTSMode", "UsernsMode", "Cgroup", "CgroupParent",
         "Tmpfs", "Privileged", "PublishAllPorts", "AutoRemove", "OomScoreAdj", "StorageOpt")  # fmt: skip


def assert_within(
    shown: dict[str, Any], spec: JobSpec, config: ServiceConfig, instance: str, leased: tuple[str, ...]
) -> None:
    """The power of a created container, by inspect alone, is within each of the policies."""
    own, settings = f"{instance}.group.ml", shown["HostConfig"]
    assert {key: settings[key] for key in EMPTY if settings.get(key)} == {}
    assert (settings["IpcMode"], settings["CgroupnsMode"], settings["CapDrop"]) == ("private", "private", ["ALL"])
    assert settings["SecurityOpt"] == ["no-new-privileges"]
    assert settings["RestartPolicy"]["Name"] == "no"
    assert settings["MaskedPaths"] and settings["ReadonlyPaths"]
    assert shown["Config"]["User"] == (spec.user or "")
    assert not shown["State"]["Running"]
    powers = {name.removeprefix("CAP_") for name in settings["CapAdd"] or ()}
    devices = settings["DeviceRequests"] or []
    joined = set(shown["NetworkSettings"]["Networks"])
    for policy in policies(config):
        assert has_image(policy)
        assert powers <= set(policy.capabilities) & {"CHOWN", "SETUID", "NET_RAW", "KILL"}
        assert joined <= {own, "none"} | (set(policy.networks) - {"host", "bridge"})
        assert [tuple(one["DeviceIDs"]) for one in devices] == ([leased] if leased and policy.gpus else [])
        for mount in shown["Mounts"]:
            if mount["Type"] == "bind":
                assert within(mount["Source"], policy.binds)
            elif mount["Type"] == "volume":
                assert mount["Name"].startswith(f"{own}.") or mount["Name"] in policy.external_volumes
                assert mount["Driver"] == "local"
            else:
                assert mount["Type"] == "tmpfs"
        if (ceiling := policy.max_resources) is not None:
            assert 0 < settings["NanoCpus"] <= (ceiling.cpus or 0) * 1e9
            assert 0 < settings["Memory"] <= (ceiling.memory or 0)
            assert 0 < settings["ShmSize"] <= (ceiling.shm_size or 0)
            assert 0 < settings["PidsLimit"] <= ceiling.pids_limit
    assert 0 < settings["PidsLimit"] <= 1 << 16
    assert settings["MemorySwap"] == settings["Memory"]
    assert bool(settings["ReadonlyRootfs"]) == spec.read_only


@pytest.mark.parametrize("seed", range(CASES))
def test_S1_a_created_container_has_no_power_beyond_the_grant(
    engine: DockerEngine, client: docker.APIClient, host: Host, instance: str, seed: int
) -> None:
    rng = random.Random(seed)
    created = refused = 0
    for number in range(MOST_PAIRS):
        job, config = a_job(rng, host), a_service(rng, host)
        state = Repo({"ml/a.yaml": json.dumps(job)}, config=config).desire()
        granted = all_granted(job, config)
        assert (not state.errors) == granted, (seed, number, job, config, [str(p) for p in state.errors])
        if state.errors:
            refused += 1
            continue
        spec = replace(state.jobs["ml/a"].spec, name=f"ml/a{number}")
        leased = ("0",) * bool(spec.resources.gpus)
        order = run_order(spec, policy=effective_policy(config, "group/ml"), devices=leased)
        ref = engine.prepare(order).ref
        assert_within(client.inspect_container(ref), spec, config, instance, leased)
        engine.discard(order.run_id, ref)
        created += 1
        if created == EACH:
            break
    assert (created, refused > EACH / 4) == (EACH, True)
