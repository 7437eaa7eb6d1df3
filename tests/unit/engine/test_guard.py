"""The final request to an Engine is refused as soon as one key of it exceeds the policy (rule S2)."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine import guard, labels
from reconciler.engine.docker_body import Acquired, create_body
from reconciler.engine.guard import GuardContext, assert_allowed
from reconciler.engine.labels import Kind, Mark
from reconciler.model.errors import EngineRejected
from reconciler.model.job import Mount, Resources
from reconciler.model.service import Policy
from reconciler.model.terminal import Terminal
from reconciler.model.workspace import Sent
from tests.kit.orders import engine_context, make_spec

CONTEXT = engine_context("/state", "db1")
IMAGE_ID = "sha256:" + "0123456789abcdef" * 4
NETWORK = "9" * 64
STAGED = (("/state/staged/query.sql", "/app/query.sql"),)
POLICY = Policy(
    binds=("/srv/data",), networks=("shop_default",), capabilities=("CHOWN",), external_volumes=("shop_backup",)
)
GUARD = GuardContext(
    "db1", "default", "busybox:local", {NETWORK: "db1.default"}, STAGED, ("/state", "/run/engine/docker.sock")
)
SPEC = make_spec(
    mounts=(
        Mount("volume", "models", "/models"),
        Mount("volume", "shop_backup", "/backup", external=True),
        Mount("bind", "/srv/data/in", "/in", read_only=True),
        Mount("tmpfs", "", "/scratch", size=1 << 20, mode=0o1777),
    ),
    resources=Resources(cpus=1.5, memory=64 << 20, shm_size=1 << 20),
    user="1000:1000", working_dir="/work", cap_add=("CHOWN",), labels=(("team", "x"),), read_only=True,
)  # fmt: skip

# The keys of HostConfig in the Engine API, 1.41 and later (Docker's reference, `Resources` included).
API_HOST_CONFIG = """Annotations AutoRemove Binds BlkioDeviceReadBps BlkioDeviceReadIOps BlkioDeviceWriteBps
    BlkioDeviceWriteIOps BlkioWeight BlkioWeightDevice CapAdd CapDrop Capabilities Cgroup CgroupParent CgroupnsMode
    ConsoleSize ContainerIDFile CpuCount CpuPercent CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime CpuShares
    CpusetCpus CpusetMems DeviceCgroupRules DeviceRequests Devices Dns DnsOptions DnsSearch ExtraHosts GroupAdd
    IOMaximumBandwidth IOMaximumIOps Init IpcMode Isolation KernelMemory KernelMemoryTCP Links LogConfig MaskedPaths
    Memory MemoryReservation MemorySwap MemorySwappiness Mounts NanoCpus NetworkMode OomKillDisable OomScoreAdj PidMode
    PidsLimit PortBindings Privileged PublishAllPorts ReadonlyPaths ReadonlyRootfs RestartPolicy Runtime SecurityOpt
    ShmSize StorageOpt Sysctls Tmpfs UTSMode Ulimits UsernsMode VolumeDriver VolumesFrom""".split()  # noqa: SIM905
API_TOP_LEVEL = """ArgsEscaped AttachStderr AttachStdin AttachStdout Cmd Domainname Entrypoint Env ExposedPorts
    Healthcheck Hostname Image Labels MacAddress NetworkDisabled NetworkingConfig OnBuild OpenStdin Shell StdinOnce
    StopSignal StopTimeout Tty User Volumes WorkingDir HostConfig""".split()  # noqa: SIM905

# For each key, a value that gives a power beyond the policy.
EXCESS: dict[str, Any] = {
    "CapAdd": ["SYS_ADMIN"], "CapDrop": [], "CgroupnsMode": "host", "Init": False, "IpcMode": "host",
    "LogConfig": {"Type": "syslog", "Config": {"syslog-address": "tcp://10.0.0.1:1"}}, "Memory": -1, "MemorySwap": -1,
    "Mounts": [{"Type": "bind", "Source": "/", "Target": "/host"}], "NanoCpus": -1, "NetworkMode": "host",
    "PidsLimit": -1, "ReadonlyRootfs": "yes", "RestartPolicy": {"Name": "always"},
    "SecurityOpt": ["seccomp=unconfined"], "ShmSize": -1, "Privileged": True, "PidMode": "host", "UTSMode": "host",
    "UsernsMode": "host", "Binds": ["/:/host"], "Devices": [{"PathOnHost": "/dev/sda"}], "VolumesFrom": ["db"],
    "CgroupParent": "/", "DeviceRequests": [{"Driver": "nvidia", "Count": -1, "Capabilities": [["gpu"]]}],
    "PortBindings": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "80"}]},
    "Runtime": "other", "AutoRemove": True, "Sysctls": {"kernel.core_pattern": "|/x"},
}  # fmt: skip
EXCESS_TOP: dict[str, Any] = {
    "Image": "busybox:latest", "Cmd": "rm -rf /", "Entrypoint": ["x\0y"], "Env": ["NOT A PAIR"], "User": "root; x",
    "WorkingDir": "relative", "Labels": {"traefik.enable": "true"}, "StopSignal": "SIGKILL", "StopTimeout": -1,
    "Healthcheck": {"Test": ["CMD", "x"]}, "HostConfig": {}, "Tty": True, "OpenStdin": True, "StdinOnce": True,
    "ExposedPorts": {"80/tcp": {}},
}  # fmt: skip


def body() -> dict[str, Any]:
    marks = labels.write(CONTEXT, Mark(Kind.RUN, "default", SPEC.name, "run", "d" * 64, "9f3c2e1"))
    acquired = Acquired(IMAGE_ID, networks=((NETWORK, "db1.default"),))
    return copy.deepcopy(create_body(SPEC, marks, acquired, (("A", "b"),), STAGED))


def refused(mutate: Callable[[dict[str, Any]], object], policy: Policy = POLICY) -> EngineRejected:
    changed = body()
    mutate(changed)
    with pytest.raises(EngineRejected) as caught:
        assert_allowed(changed, policy, GUARD)
    assert caught.value.code == "guard-refused"
    return caught.value


def mounting(**mount: object) -> Callable[[dict[str, Any]], object]:
    return lambda body: body["HostConfig"].update(Mounts=[{"Target": "/x", **mount}])


def test_S2_what_the_builder_makes_of_a_granted_spec_passes() -> None:
    assert_allowed(body(), POLICY, GUARD)


def test_S2_every_host_setting_of_the_api_is_decided() -> None:
    assert set(API_HOST_CONFIG) <= set(guard.HOST_CONFIG) | guard.NEVER_SENT
    assert not set(guard.HOST_CONFIG) & guard.NEVER_SENT


@pytest.mark.parametrize("key", API_HOST_CONFIG)
def test_S2_no_host_setting_may_carry_more_than_the_policy_gives(key: str) -> None:
    refused(lambda body: body["HostConfig"].update({key: EXCESS.get(key, "anything")}))


@pytest.mark.parametrize("key", sorted(guard.NEVER_SENT))
@pytest.mark.parametrize("value", [None, "", 0, False, [], {}, True, 1, "x", ["x"]])
def test_S2_a_setting_that_is_never_sent_is_refused_even_when_empty(key: str, value: object) -> None:
    refused(lambda body: body["HostConfig"].update({key: value}))


@pytest.mark.parametrize("key", API_TOP_LEVEL)
def test_S2_no_container_setting_may_carry_more_than_the_policy_gives(key: str) -> None:
    refused(lambda body: body.update({key: EXCESS_TOP.get(key, "anything")}))


@given(st.text(min_size=1, max_size=20), st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)))
def test_S2_an_unknown_key_is_refused_at_every_level(key: str, value: object) -> None:
    if key not in guard.TOP_LEVEL:
        refused(lambda body: body.update({key: value}))
    if key not in guard.HOST_CONFIG:
        refused(lambda body: body["HostConfig"].update({key: value}))
    if key not in ("Type", "Source", "Target", "ReadOnly"):
        refused(lambda body: body["HostConfig"]["Mounts"][0].update({key: value}))
        refused(lambda body: body["HostConfig"]["Mounts"][2].update({key: value}))
    refused(lambda body: body["HostConfig"]["LogConfig"]["Config"].update({"x" + key: "1"}))


@pytest.mark.parametrize("key", guard.REQUIRED)
def test_S2_no_hardening_may_be_left_out(key: str) -> None:
    refused(lambda body: body["HostConfig"].pop(key))


@pytest.mark.parametrize("key", ["Image", "Labels", "HostConfig"])
def test_S2_no_required_part_may_be_left_out(key: str) -> None:
    refused(lambda body: body.pop(key))


@pytest.mark.parametrize(
    "source",
    ["/", "/etc", "/srv", "/srv/data-evil", "/srv/data/../../etc", "//srv/data", "/srv/data/./x", "srv/data", "",
     "/srv/data/\n", "/state", "/state/history.db", "/run/docker.sock", "/var/run/docker.sock", "/run"],
)  # fmt: skip
def test_S1_a_bind_outside_the_granted_paths_is_refused(source: str) -> None:
    refused(mounting(Type="bind", Source=source))


@pytest.mark.parametrize("root", ["/", "/run", "/run/engine", "/state", "/state/staged", "/var", "/var/lib/docker/x"])
def test_S2_a_bind_never_shows_the_engine_socket_or_the_state_directory_whatever_is_granted(root: str) -> None:
    refused(mounting(Type="bind", Source=root), Policy(binds=("/",)))


@pytest.mark.parametrize(
    "mount",
    [
        pytest.param({"Type": "bind", "Source": STAGED[0][0], "Target": STAGED[0][1]}, id="a staged file, writable"),
        pytest.param({"Type": "bind", "Source": STAGED[0][0], "Target": "/bin/sh", "ReadOnly": True}, id="elsewhere"),
        pytest.param({"Type": "volume", "Source": "db1.other.models"}, id="another owner's volume"),
        pytest.param({"Type": "volume", "Source": "db1.default.ml.models"}, id="a volume of an owner below"),
        pytest.param({"Type": "volume", "Source": "shop_db"}, id="an external volume that is not granted"),
        pytest.param({"Type": "volume", "Source": "/etc"}, id="a path as a volume"),
        pytest.param({"Type": "npipe", "Source": "x"}, id="another type of mount"),
        pytest.param({"Source": "x"}, id="no type"),
        pytest.param({"Type": "tmpfs", "Target": "/proc/x"}, id="over /proc"),
        pytest.param({"Type": "tmpfs", "Target": "/"}, id="over the root"),
        pytest.param({"Type": "tmpfs", "Target": "/a/../b"}, id="an unclean target"),
        pytest.param({"Type": "tmpfs", "ReadOnly": "no"}, id="a ReadOnly that is no boolean"),
        pytest.param({"Type": "tmpfs", "TmpfsOptions": {"Options": [["exec"]]}}, id="an option of tmpfs"),
    ],
)
def test_S1_a_mount_that_was_not_granted_is_refused(mount: dict[str, object]) -> None:
    refused(mounting(**mount))


def test_S2_two_mounts_never_share_a_target() -> None:
    one = {"Type": "tmpfs", "Target": "/x"}
    refused(lambda body: body["HostConfig"].update(Mounts=[one, one]))


@pytest.mark.parametrize("mode", ["host", "bridge", "container:db", "8" * 64, "", None, "default", ["none"]])
def test_S1_a_network_that_was_not_looked_up_or_granted_is_refused(mode: object) -> None:
    refused(lambda body: body["HostConfig"].update(NetworkMode=mode))


def test_S1_a_network_is_judged_by_its_real_name() -> None:
    other = GuardContext("db1", "default", "busybox:local", {NETWORK: "db1.other"}, STAGED)
    with pytest.raises(EngineRejected, match="not granted"):
        assert_allowed(body(), POLICY, other)
    with pytest.raises(EngineRejected, match="host"):
        guard.assert_network("host", Policy(networks=("host",)), GUARD)


@pytest.mark.parametrize("name", ["SYS_ADMIN", "NET_ADMIN", "ALL", "CAP_CHOWN", "chown", ""])
def test_S1_a_capability_beyond_the_short_list_is_refused_even_if_policy_lists_it(name: str) -> None:
    granted = Policy(capabilities=("SYS_ADMIN", "NET_ADMIN", "ALL"), binds=POLICY.binds,
                     external_volumes=POLICY.external_volumes)  # fmt: skip
    refused(lambda body: body["HostConfig"].update(CapAdd=[name]), granted)


@pytest.mark.parametrize(
    ("key", "value"),
    [("Init", 1), ("PidsLimit", True), ("PidsLimit", "512"), ("Memory", 1.5), ("RestartPolicy", {"Name": ""}),
     ("SecurityOpt", []), ("SecurityOpt", ["no-new-privileges:false"]), ("CapDrop", ["CHOWN"]), ("MemorySwap", 1 << 40),
     ("LogConfig", {"Type": "json-file", "Config": {"max-size": "900m", "max-file": "2"}}),
     ("LogConfig", {"Type": "json-file", "Config": {"max-size": "-1", "max-file": "2"}})],
)  # fmt: skip
def test_S2_a_value_of_another_type_or_size_is_refused(key: str, value: object) -> None:
    refused(lambda body: body["HostConfig"].update({key: value}))


@pytest.mark.parametrize(
    ("ceiling", "why"),
    [(Resources(cpus=1.0), "NanoCpus"), (Resources(memory=32 << 20), "Memory"),
     (Resources(pids_limit=100), "PidsLimit"), (Resources(shm_size=4096), "ShmSize")],
)  # fmt: skip
def test_S1_limits_above_the_ceiling_are_refused(ceiling: Resources, why: str) -> None:
    policy = Policy(binds=POLICY.binds, capabilities=POLICY.capabilities, external_volumes=POLICY.external_volumes,
                    max_resources=ceiling)  # fmt: skip
    assert why in str(refused(lambda body: None, policy))


def test_S1_a_job_without_a_limit_is_refused_where_there_is_a_ceiling() -> None:
    policy = Policy(binds=POLICY.binds, capabilities=POLICY.capabilities, external_volumes=POLICY.external_volumes,
                    max_resources=Resources(memory=1 << 30))  # fmt: skip
    refused(lambda body: [body["HostConfig"].pop(key) for key in ("Memory", "MemorySwap")], policy)


@pytest.mark.parametrize(
    ("pattern", "image", "granted"),
    [
        ("registry.example.org/**", "registry.example.org/ml/pytorch:2", True),
        ("registry.example.org/**", "registry.example.org.evil.net/ml/pytorch:2", False),
        ("registry.example.org/*", "registry.example.org/ml/pytorch:2", False),
        ("postgres:*", "postgres:17", True),
        ("postgres:*", "postgres", True),
        ("docker.io/library/postgres:*", "postgres:17", True),
        ("postgres:*", "evil/postgres:17", False),
        ("postgres:17", "postgres:170", False),
    ],
)
def test_S1_images_are_compared_part_by_part(pattern: str, image: str, granted: bool) -> None:
    context = GuardContext("db1", "default", image, {NETWORK: "db1.default"}, STAGED)
    policy = Policy(images=(pattern,), binds=POLICY.binds, capabilities=POLICY.capabilities,
                    external_volumes=POLICY.external_volumes)  # fmt: skip
    if granted:
        assert_allowed(body(), policy, context)
    else:
        with pytest.raises(EngineRejected, match="not granted"):
            assert_allowed(body(), policy, context)


@pytest.mark.parametrize("key", ["instance", "owner"])
def test_P2_labels_of_another_instance_or_owner_are_refused(key: str) -> None:
    refused(lambda body: body["Labels"].update({labels.PREFIX + key: "other"}))


@pytest.mark.parametrize("junk", [None, [], "x", 7])
def test_S2_a_part_that_is_not_a_mapping_is_refused(junk: object) -> None:
    refused(lambda body: body.update(HostConfig=junk))
    refused(lambda body: body.update(Labels=junk))
    refused(lambda body: body["HostConfig"].update(Mounts=[junk]))
    refused(lambda body: body["HostConfig"].update(LogConfig=junk))


# -- devices ------------------------------------------------------------------------------------------------------

LEASED = ("GPU-a", "GPU-b")
GPU_POLICY, GPU_GUARD = replace(POLICY, gpus=True), replace(GUARD, devices=LEASED)


def gpu_body(devices: tuple[str, ...] = LEASED, *environment: tuple[str, str]) -> dict[str, Any]:
    marks = labels.write(CONTEXT, Mark(Kind.RUN, "default", SPEC.name, "run", "d" * 64, "9f3c2e1"))
    acquired = Acquired(IMAGE_ID, networks=((NETWORK, "db1.default"),))
    return copy.deepcopy(create_body(SPEC, marks, acquired, environment, STAGED, devices))


def test_S2_leased_GPUs_are_asked_for_by_id() -> None:
    made = gpu_body(LEASED, ("NVIDIA_VISIBLE_DEVICES", "all"))
    assert_allowed(made, GPU_POLICY, GPU_GUARD)
    assert made["HostConfig"]["DeviceRequests"] == [
        {"Driver": "nvidia", "DeviceIDs": ["GPU-a", "GPU-b"], "Capabilities": [["gpu"]]}
    ]
    assert "NVIDIA_VISIBLE_DEVICES=GPU-a,GPU-b" in made["Env"]
    assert made["Labels"][labels.DEVICES] == "GPU-a,GPU-b"


def test_S2_a_run_without_a_lease_gets_no_GPU_from_a_runtime_that_hands_them_out_by_variable() -> None:
    made = gpu_body((), ("NVIDIA_VISIBLE_DEVICES", "all"))
    assert_allowed(made, GPU_POLICY, GUARD)
    assert "NVIDIA_VISIBLE_DEVICES=void" in made["Env"]
    assert "DeviceRequests" not in made["HostConfig"]


OTHER_DEVICES = {
    "one that is not leased": {"DeviceIDs": ["GPU-a", "GPU-c"]},
    "by count": {"DeviceIDs": None, "Count": 2},
    "all": {"Count": -1},
    "more capabilities": {"Capabilities": [["gpu", "graphics"]]},
    "another driver": {"Driver": "cdi"},
    "options": {"Options": {"x": "y"}},
}


@pytest.mark.parametrize("change", OTHER_DEVICES.values(), ids=OTHER_DEVICES)
def test_S2_refused_devices(change: dict[str, Any]) -> None:
    made = gpu_body()
    made["HostConfig"]["DeviceRequests"][0].update(change)
    with pytest.raises(EngineRejected, match="DeviceRequests"):
        assert_allowed(made, GPU_POLICY, GPU_GUARD)


@pytest.mark.parametrize(
    ("policy", "context"),
    [(POLICY, GPU_GUARD), (GPU_POLICY, GUARD), (replace(GPU_POLICY, max_resources=Resources(gpus=1)), GPU_GUARD)],
    ids=["no grant", "no lease", "above the ceiling"],
)
def test_S2_devices_are_refused_without_grant_or_lease(policy: Policy, context: GuardContext) -> None:
    with pytest.raises(EngineRejected):
        assert_allowed(gpu_body(), policy, context)


@pytest.mark.parametrize("shown", ["NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_VISIBLE_DEVICES=GPU-c"])
def test_S2_a_variable_that_shows_other_GPUs_is_refused(shown: str) -> None:
    made = gpu_body()
    made["Env"].append(shown)
    with pytest.raises(EngineRejected, match="Env"):
        assert_allowed(made, GPU_POLICY, GPU_GUARD)


# -- outputs ------------------------------------------------------------------------------------------------------


def test_S2_outputs_are_an_anonymous_volume_of_the_run_and_nothing_of_the_standing_job() -> None:
    marks = labels.write(CONTEXT, Mark(Kind.RUN, "default", SPEC.name, "run", "d" * 64, "9f3c2e1"))
    acquired, spec = Acquired(IMAGE_ID, networks=((NETWORK, "db1.default"),)), replace(SPEC, outputs="/outputs")
    made = copy.deepcopy(create_body(spec, marks, acquired, (), STAGED, ()))
    assert_allowed(made, POLICY, GUARD)
    (mount,) = [m for m in made["HostConfig"]["Mounts"] if m["Target"] == "/outputs"]  # type: ignore[index]
    assert mount == {"Type": "volume", "Target": "/outputs", "VolumeOptions": {"NoCopy": True}}
    standing = create_body(spec, marks, acquired, (), STAGED)
    assert standing["HostConfig"] == create_body(SPEC, marks, acquired, (), STAGED)["HostConfig"]


@pytest.mark.parametrize(
    "mount",
    [
        {"Type": "volume", "Source": "db1.default.x", "VolumeOptions": {"NoCopy": True}},
        {"Type": "volume", "VolumeOptions": {"DriverConfig": {"Name": "local", "Options": {"device": "/"}}}},
        {"Type": "volume", "VolumeOptions": {"NoCopy": True, "Subpath": "x"}},
        {"Type": "volume", "VolumeOptions": {}},
    ],
)
def test_S2_a_volume_has_no_other_option(mount: dict[str, Any]) -> None:
    refused(mounting(**mount))


# -- what was sent to another host --------------------------------------------------------------------------------

VOLUME = "db1.WORKSPACE-run"
PLACED = f"/var/lib/docker/volumes/{VOLUME}-files/_data/1"
SENT = (Sent(f"{VOLUME}-0", "/code", read_only=False), Sent(PLACED, "/etc/app.ini"))
ELSEWHERE = replace(GUARD, staged=(), sent=SENT)


def sent_body(sent: tuple[Sent, ...] = SENT) -> dict[str, Any]:
    marks = labels.write(CONTEXT, Mark(Kind.RUN, "default", SPEC.name, "run", "d" * 64, "9f3c2e1"))
    acquired = Acquired(IMAGE_ID, networks=((NETWORK, "db1.default"),))
    return copy.deepcopy(create_body(SPEC, marks, acquired, (), (), (), sent=sent))


def test_S2_what_was_sent_is_mounted_by_name_or_bound_from_a_volume_of_the_run() -> None:
    made = sent_body()
    assert_allowed(made, POLICY, ELSEWHERE)
    assert made["HostConfig"]["Mounts"][-2:] == [
        {"Type": "volume", "Source": f"{VOLUME}-0", "Target": "/code", "ReadOnly": False,
         "VolumeOptions": {"NoCopy": True}},
        {"Type": "bind", "Source": PLACED, "Target": "/etc/app.ini", "ReadOnly": True},
    ]  # fmt: skip


OTHERS_SENT = {
    "what was not sent": (Sent(f"{VOLUME}-1", "/code", read_only=False), ()),
    "another target": (Sent(f"{VOLUME}-0", "/bin", read_only=False), SENT),
    "another file": (Sent(PLACED[:-1] + "2", "/etc/app.ini"), SENT),
    "writable": (Sent(PLACED, "/etc/app.ini", read_only=False), SENT),
}
# Refused although it is said to have been sent: none of these is a form that it ever has.
NEVER_SENT_SO = [
    "/", "/etc/shadow", "/var/lib/docker", "/var/lib/docker/volumes/db1.default.models/_data/1",
    f"/var/lib/docker/volumes/{VOLUME}-0/_data", f"/var/lib/docker/volumes/{VOLUME}-0/_data/../1",
    f"/var/lib/docker/volumes/{VOLUME}-0/_data/a/1", f"/x/{VOLUME}-0/_data/x", f"/x//{VOLUME}-0/_data/1",
    "/x/db2.WORKSPACE-run-0/_data/1", "db2.WORKSPACE-run-0", "db1.default.other.x", "shop_db", f"{VOLUME}/../x",
]  # fmt: skip


@pytest.mark.parametrize("name", OTHERS_SENT)
def test_S2_nothing_else_of_the_other_host_is_mounted(name: str) -> None:
    mounted, sent = OTHERS_SENT[name]
    with pytest.raises(EngineRejected):
        assert_allowed(sent_body((mounted,)), POLICY, replace(ELSEWHERE, sent=sent))


@pytest.mark.parametrize("source", NEVER_SENT_SO)
def test_S2_no_other_source_passes_for_what_was_sent(source: str) -> None:
    sent = (Sent(source, "/x"),)
    with pytest.raises(EngineRejected):
        assert_allowed(sent_body(sent), POLICY, replace(ELSEWHERE, sent=sent))


def unpack_body() -> dict[str, Any]:
    marks = labels.write(CONTEXT, Mark(Kind.UNPACK, "default", SPEC.name, "run", VOLUME))
    spec = make_spec(script=None, entrypoint=("tar",), command=("-x",), user="0:0", cap_add=("CHOWN",), read_only=True)
    made = create_body(spec, marks, Acquired(IMAGE_ID), (), (), (), sent=INTO)
    return copy.deepcopy({**made, "OpenStdin": True, "StdinOnce": True})


INTO = (Sent(f"{VOLUME}-0", "/to/0", read_only=False),)
UNPACKING = replace(ELSEWHERE, sent=INTO)
MORE_THAN_UNPACKING: dict[str, Callable[[dict[str, Any]], object]] = {
    "a network": lambda body: body["HostConfig"].update(NetworkMode=NETWORK),
    "a root that can be written": lambda body: body["HostConfig"].update(ReadonlyRootfs=False),
    "no mount": lambda body: body["HostConfig"].pop("Mounts"),
    "a volume of the owner": lambda body: body["HostConfig"]["Mounts"].append(
        {"Type": "volume", "Source": "db1.default.models", "Target": "/to/1"}),
    "a bind": lambda body: body["HostConfig"]["Mounts"].append(
        {"Type": "bind", "Source": "/srv/data", "Target": "/to/1"}),
    "a capability": lambda body: body["HostConfig"].update(CapAdd=["NET_RAW"]),
    "no standard input": lambda body: (body.pop("OpenStdin"), body.pop("StdinOnce")),
}  # fmt: skip


def test_S2_what_unpacks_passes() -> None:
    assert_allowed(unpack_body(), POLICY, UNPACKING)


@pytest.mark.parametrize("name", MORE_THAN_UNPACKING)
def test_S2_what_unpacks_has_no_other_power(name: str) -> None:
    made = unpack_body()
    MORE_THAN_UNPACKING[name](made)
    with pytest.raises(EngineRejected):
        assert_allowed(made, POLICY, UNPACKING)


# -- a terminal -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tty", "keys"), [(True, {"OpenStdin", "Tty"}), (False, {"OpenStdin", "StdinOnce"})])
def test_S2_a_terminal_is_for_a_run_that_somebody_asked_for_with_one_and_gives_it_nothing_else(
    tty: bool, keys: set[str]
) -> None:
    plain, terminal = body(), Terminal(tty)
    marks = labels.write(CONTEXT, Mark(Kind.RUN, "default", SPEC.name, "run", "d" * 64, "9f3c2e1"))
    acquired = Acquired(IMAGE_ID, networks=((NETWORK, "db1.default"),))
    made: dict[str, Any] = create_body(SPEC, marks, acquired, (("A", "b"),), STAGED, terminal=terminal)
    assert set(made) - set(plain) == keys and made["HostConfig"] == plain["HostConfig"]
    assert {key: made[key] for key in set(plain) - {"Entrypoint", "Cmd"}} == {
        key: plain[key] for key in set(plain) - {"Entrypoint", "Cmd"}
    }
    assert_allowed(made, POLICY, replace(GUARD, terminal=terminal))
    with pytest.raises(EngineRejected):
        assert_allowed(made, POLICY, GUARD)
    with pytest.raises(EngineRejected, match="is missing"):
        assert_allowed(plain, POLICY, replace(GUARD, terminal=terminal))
    for key in ("OpenStdin", "Tty", "StdinOnce"):
        with pytest.raises(EngineRejected):
            assert_allowed({**made, key: 1}, POLICY, replace(GUARD, terminal=terminal))


def test_S2_pipes_are_no_terminal() -> None:
    changed = {**body(), "OpenStdin": True, "Tty": True}
    with pytest.raises(EngineRejected, match="nobody asked for"):
        assert_allowed(changed, POLICY, replace(GUARD, terminal=Terminal(False)))


def test_S2_a_notebook_has_its_one_port_on_the_loopback_and_no_other() -> None:
    terminal = Terminal(True, 8888)
    marks = labels.write(CONTEXT, Mark(Kind.RUN, "default", SPEC.name, "run", "d" * 64, "9f3c2e1"))
    made: dict[str, Any] = create_body(
        SPEC, marks, Acquired(IMAGE_ID, networks=((NETWORK, "db1.default"),)), (), STAGED, terminal=terminal
    )
    assert_allowed(made, POLICY, replace(GUARD, terminal=terminal))
    for other in (None, Terminal(True), Terminal(True, 9999)):
        with pytest.raises(EngineRejected):
            assert_allowed(made, POLICY, replace(GUARD, terminal=other))
    inner = {"HostIp": "127.0.0.1", "HostPort": ""}
    for ports in (
        {"8888/tcp": [{"HostIp": "", "HostPort": ""}]}, {"8888/tcp": [{"HostIp": "0.0.0.0", "HostPort": ""}]},
        {"8888/tcp": [inner, inner]}, {"8888/tcp": [{"HostIp": "127.0.0.1", "HostPort": "22"}]}, {},
        {"8888/udp": [inner]}, {"8888/tcp": [inner], "22/tcp": [inner]}, None,
    ):  # fmt: skip
        changed = {**made, "HostConfig": {**made["HostConfig"], "PortBindings": ports}}
        with pytest.raises(EngineRejected):
            assert_allowed(changed, POLICY, replace(GUARD, terminal=terminal))
