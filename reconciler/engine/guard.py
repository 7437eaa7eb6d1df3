"""In: the final body of a container-create request and the policy. Out: nothing, or EngineRejected (rule S2).

The second, independent check: it shares no code with the builder of the body nor with admission, and decides every
key by itself. A key that is not listed here is refused, whatever it holds.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ..model.errors import EngineRejected
from ..model.job import Resources
from ..model.service import GRANTABLE_CAPABILITIES, Policy

HINT = "The request was not sent. Ask for it in the service file's policy, or report a fault of the reconciler."
LABEL_PREFIX = "io.reconciler."
REQUIRED_LABELS = ("instance", "instance-id", "kind", "job", "run", "digest", "revision", "owner", "mac")
MAX_LOG_MEGABYTES, MAX_LOG_FILES, MAX_PIDS = 64, 5, 1 << 16
SYSTEM_TARGETS = ("/proc", "/sys")  # nothing is mounted at or below them
ALWAYS_PROTECTED = ("/run/docker.sock", "/var/run/docker.sock", "/run/containerd", "/var/lib/docker",
                    "/run/podman", "/var/lib/containerd")  # fmt: skip

# HostConfig keys of the Engine API that this product never sends: refused, whatever they hold. Every other key of the
# API is decided in HOST_CONFIG below. The list makes each a decision of ours; unknown keys are refused just the same.
NEVER_SENT = frozenset(
    {"Annotations", "AutoRemove", "Binds", "BlkioDeviceReadBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteBps",
     "BlkioDeviceWriteIOps", "BlkioWeight", "BlkioWeightDevice", "Capabilities", "Cgroup", "CgroupParent",
     "ConsoleSize", "ContainerIDFile", "CpuCount", "CpuPercent", "CpuPeriod", "CpuQuota", "CpuRealtimePeriod",
     "CpuRealtimeRuntime", "CpuShares", "CpusetCpus", "CpusetMems", "DeviceCgroupRules", "DeviceRequests",
     "Devices", "DiskQuota", "Dns", "DnsOptions", "DnsSearch", "ExtraHosts", "GroupAdd", "IOMaximumBandwidth",
     "IOMaximumIOps", "Isolation", "KernelMemory", "KernelMemoryTCP", "Links", "MaskedPaths",
     "MemoryReservation", "MemorySwappiness", "OomKillDisable", "OomScoreAdj", "PidMode", "PortBindings",
     "Privileged", "PublishAllPorts", "ReadonlyPaths", "Runtime", "StorageOpt", "Sysctls", "Tmpfs", "UTSMode",
     "Ulimits", "UsernsMode", "VolumeDriver", "VolumesFrom"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class GuardContext:
    """What the check may rely on. `networks` maps each network id that may stand in the body to its real name."""

    instance: str
    owner: str
    image: str  # the reference that the image id was resolved from
    networks: Mapping[str, str] = field(default_factory=dict)
    staged: tuple[tuple[str, str], ...] = ()  # (host path, target)
    protected: tuple[str, ...] = ()  # host paths that no job may see: state directory, Engine socket


@dataclass(frozen=True, slots=True)
class _Check:
    policy: Policy
    context: GuardContext


def assert_allowed(body: Mapping[str, object], policy: Policy, context: GuardContext) -> None:
    """Raise EngineRejected (code `guard-refused`) unless every key of `body` is within `policy`."""
    check = _Check(policy, context)
    _every_key(body, TOP_LEVEL, "", check)
    _require("Image" in body and "Labels" in body and "HostConfig" in body, "body", "lacks Image, Labels or HostConfig")
    _image_reference(check)


def assert_network(name: str, policy: Policy, context: GuardContext) -> None:
    """The same for a network that is joined by a request of its own."""
    own = f"{context.instance}.{context.owner.replace('/', '.')}"
    _require(name == own or (name in policy.networks and name != "host"), "network", f"{name} is not granted")


def _refuse(where: str, why: str) -> None:
    message = f"cannot create the container: {where} {why}"
    raise EngineRejected(message, code="guard-refused", hint=HINT)


def _require(holds: bool, where: str, why: str) -> None:
    if not holds:
        _refuse(where, why)


def _every_key(
    mapping: object, table: Mapping[str, Callable[[object, str, _Check], None]], prefix: str, check: _Check
) -> None:
    if not isinstance(mapping, Mapping):
        _refuse(prefix or "body", "is not a mapping")
        return
    for key, value in mapping.items():
        where = f"{prefix}{key}"
        decide = table.get(key) if isinstance(key, str) else None
        if decide is None:
            _refuse(where, "is a power that is never given" if key in NEVER_SENT else "is not a setting of ours")
        else:
            decide(value, where, check)


def _exactly(*allowed: object) -> Callable[[object, str, _Check], None]:
    def decide(value: object, where: str, _check: _Check) -> None:
        # Type and value: True == 1, and an Engine may read the two differently.
        _require(any(type(value) is type(a) and value == a for a in allowed), where, "has a value that is not allowed")

    return decide


def _text(value: object, where: str, _check: _Check) -> None:
    _require(isinstance(value, str) and "\0" not in value, where, "is not plain text")


def _texts(value: object, where: str, check: _Check) -> None:
    _require(isinstance(value, list), where, "is not a list")
    for item in value if isinstance(value, list) else ():
        _text(item, where, check)


def _environment(value: object, where: str, check: _Check) -> None:
    _texts(value, where, check)
    for item in value if isinstance(value, list) else ():
        _require(re.match(r"[^=\0]+=", item) is not None, where, "holds an entry that is not NAME=value")


def _image_id(value: object, where: str, _check: _Check) -> None:
    _require(isinstance(value, str) and re.fullmatch(r"sha256:[0-9a-f]{64}", value) is not None, where,
             "is not an image id")  # fmt: skip


def _image_reference(check: _Check) -> None:
    granted, reference = check.policy.images, check.context.image
    if granted is not None:
        forms = _forms(reference)
        _require(any(_glob(pattern, form) for pattern in granted for form in forms), "Image",
                 f"{reference} is not granted")  # fmt: skip


def _forms(reference: str) -> tuple[str, ...]:
    """The reference as written, with its default tag, and with its default registry."""
    tagged = reference if re.search(r"(@|:)[^/]*$", reference) else f"{reference}:latest"
    first, slash, _ = tagged.partition("/")
    hosted = bool(slash) and ("." in first or ":" in first or first == "localhost")
    full = tagged if hosted else f"docker.io/{tagged}" if slash else f"docker.io/library/{tagged}"
    return reference, tagged, full


def _glob(pattern: str, text: str) -> bool:
    """`**` crosses slashes, `*` and `?` do not."""
    parts = re.split(r"(\*\*|\*|\?)", pattern)
    wild = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.fullmatch("".join(wild.get(part) or re.escape(part) for part in parts), text) is not None


def _user(value: object, where: str, _check: _Check) -> None:
    _require(isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)?", value) is not None, where,
             "is not a user or user:group")  # fmt: skip


def _absolute(value: object, where: str, _check: _Check) -> None:
    _require(isinstance(value, str) and value.startswith("/") and "\0" not in value, where, "is not an absolute path")


def _labels(value: object, where: str, check: _Check) -> None:
    _require(isinstance(value, Mapping), where, "is not a mapping")
    labels = value if isinstance(value, Mapping) else {}
    for key, item in labels.items():
        ours = isinstance(key, str) and key.startswith(LABEL_PREFIX) and isinstance(item, str)
        _require(ours, where, f"holds {key!r}, which is not ours to set")
    for key in REQUIRED_LABELS:
        _require(LABEL_PREFIX + key in labels, where, f"lacks {key}")
    _require(labels[LABEL_PREFIX + "instance"] == check.context.instance, where, "names another instance")
    _require(labels[LABEL_PREFIX + "owner"] == check.context.owner, where, "names another owner")
    _require(labels[LABEL_PREFIX + "kind"] in ("standing", "run"), where, "names another kind")


def _whole(low: int, high: int) -> Callable[[object, str, _Check], None]:
    def decide(value: object, where: str, _check: _Check) -> None:
        _require(type(value) is int and low <= value <= high, where, "is out of range")

    return decide


def _log_config(value: object, where: str, _check: _Check) -> None:
    config = value.get("Config") if isinstance(value, Mapping) and set(value) == {"Type", "Config"} else None
    _require(isinstance(config, Mapping) and set(config) == {"max-size", "max-file"}, where, "is not a bounded log")
    size, files = (str(config[key]) if isinstance(config, Mapping) else "" for key in ("max-size", "max-file"))
    bounded = re.fullmatch(r"[1-9][0-9]?m", size) is not None and int(size[:-1]) <= MAX_LOG_MEGABYTES
    bounded = bounded and re.fullmatch(r"[1-9]", files) is not None and int(files) <= MAX_LOG_FILES
    _require(bounded and isinstance(value, Mapping) and value["Type"] == "json-file", where, "is not a bounded log")


def _cap_add(value: object, where: str, check: _Check) -> None:
    _texts(value, where, check)
    for name in value if isinstance(value, list) else ():
        granted = name in check.policy.capabilities and name in GRANTABLE_CAPABILITIES
        _require(granted, where, f"asks for {name}, which is not granted")


def _network_mode(value: object, where: str, check: _Check) -> None:
    if value == "none":
        return
    name = check.context.networks.get(value) if isinstance(value, str) else None
    _require(name is not None, where, "is not a network that was looked up")
    assert_network(name or "", check.policy, check.context)


def _mounts(value: object, where: str, check: _Check) -> None:
    _require(isinstance(value, list), where, "is not a list")
    targets: set[str] = set()
    for number, mount in enumerate(value if isinstance(value, list) else ()):
        here = f"{where}/{number}"
        kind = mount.get("Type") if isinstance(mount, Mapping) else None
        decide = MOUNTS.get(kind) if isinstance(kind, str) else None
        if decide is None or not isinstance(mount, Mapping):
            _refuse(here, "is of a type that is never sent")
            return
        target = mount.get("Target")
        _require(isinstance(target, str) and _clean(target) and target != "/", here, "has a target that is not clean")
        assert isinstance(target, str)
        _require(not any(_within(target, system) for system in SYSTEM_TARGETS), here, "covers a system directory")
        _require(target not in targets, here, "has the target of another mount")
        targets.add(target)
        _require(type(mount.get("ReadOnly", False)) is bool, here, "has a ReadOnly that is not true or false")
        decide(mount, here, check)


def _volume(mount: Mapping[str, object], where: str, check: _Check) -> None:
    _only(mount, where, "Type", "Source", "Target", "ReadOnly")
    source = mount.get("Source", "")
    own = re.escape(f"{check.context.instance}.{check.context.owner.replace('/', '.')}.")
    named = isinstance(source, str) and re.fullmatch(own + r"[A-Za-z0-9][A-Za-z0-9_-]*", source) is not None
    external = isinstance(source, str) and source in check.policy.external_volumes and "/" not in source
    _require(source == "" or named or external, where, f"uses the volume {source}, which is not granted")


def _bind(mount: Mapping[str, object], where: str, check: _Check) -> None:
    _only(mount, where, "Type", "Source", "Target", "ReadOnly")
    source, target = mount.get("Source"), mount.get("Target")
    if (source, target) in check.context.staged and mount.get("ReadOnly") is True:
        return
    if not isinstance(source, str) or not _clean(source):
        _refuse(where, "has a source that is not a clean absolute path")
        return
    granted = any(_clean(root) and _within(source, root) for root in check.policy.binds)
    _require(granted, where, f"binds {source}, which is not granted")
    for path in (*check.context.protected, *ALWAYS_PROTECTED):
        hidden = _within(source, path) or _within(path, source)
        _require(not hidden, where, f"binds {source}, which shows {path}")


def _tmpfs(mount: Mapping[str, object], where: str, check: _Check) -> None:
    _only(mount, where, "Type", "Target", "ReadOnly", "TmpfsOptions")
    options = mount.get("TmpfsOptions", {})
    _every_key(options, {"SizeBytes": _whole(1, 1 << 44), "Mode": _whole(0, 0o1777)}, f"{where}/", check)


def _only(mount: Mapping[str, object], where: str, *keys: str) -> None:
    unknown = sorted(set(mount) - set(keys))
    _require(not unknown, where, f"has the setting {', '.join(map(str, unknown))}, which is never sent")


def _clean(path: str) -> bool:
    """Absolute, without empty, `.` or `..` parts or control characters: it reads the same to everybody."""
    plain = re.search(r"[\x00-\x1f\x7f]", path) is None
    return plain and path.startswith("/") and str(PurePosixPath(path)) == path and ".." not in PurePosixPath(path).parts


def _within(path: str, root: str) -> bool:
    return PurePosixPath(path).is_relative_to(root)


def _host_config(value: object, where: str, check: _Check) -> None:
    if not isinstance(value, Mapping):
        _refuse(where, "is not a mapping")
        return
    _every_key(value, HOST_CONFIG, "HostConfig/", check)
    for key in REQUIRED:
        _require(key in value, f"HostConfig/{key}", "is missing")
    if "Memory" in value:
        _require(value.get("MemorySwap") == value["Memory"], "HostConfig/MemorySwap", "gives swap beside the memory")
    _ceilings(value, check.policy.max_resources)


def _ceilings(settings: Mapping[str, object], ceiling: Resources | None) -> None:
    if ceiling is None:
        return
    nano = None if ceiling.cpus is None else round(ceiling.cpus * 1e9)
    limits: Iterable[tuple[str, int | None]] = (
        ("NanoCpus", nano), ("Memory", ceiling.memory), ("PidsLimit", ceiling.pids_limit),
    )  # fmt: skip
    for key, most in limits:
        asked = settings.get(key)
        fits = most is None or (type(asked) is int and 0 < asked <= most)
        _require(fits, f"HostConfig/{key}", "is missing or above the policy's ceiling")
    shm = settings.get("ShmSize", 0)
    fits = ceiling.shm_size is None or (type(shm) is int and shm <= ceiling.shm_size)
    _require(fits, "HostConfig/ShmSize", "is above the policy's ceiling")


MOUNTS: Mapping[str, Callable[[Mapping[str, object], str, _Check], None]] = {
    "volume": _volume, "bind": _bind, "tmpfs": _tmpfs,
}  # fmt: skip

HOST_CONFIG: Mapping[str, Callable[[object, str, _Check], None]] = {
    "Init": _exactly(True),
    "SecurityOpt": _exactly(["no-new-privileges"]),
    "CapDrop": _exactly(["ALL"]),
    "CapAdd": _cap_add,
    "PidsLimit": _whole(1, MAX_PIDS),
    "LogConfig": _log_config,
    "Mounts": _mounts,
    "NetworkMode": _network_mode,
    "RestartPolicy": _exactly({"Name": "no"}),
    "IpcMode": _exactly("private"),
    "CgroupnsMode": _exactly("private"),
    "NanoCpus": _whole(1, 1 << 50),
    "Memory": _whole(1, 1 << 60),
    "MemorySwap": _whole(1, 1 << 60),
    "ShmSize": _whole(1, 1 << 60),
    "ReadonlyRootfs": _exactly(True, False),
}
REQUIRED = ("Init", "SecurityOpt", "CapDrop", "PidsLimit", "LogConfig", "NetworkMode", "RestartPolicy", "IpcMode",
            "CgroupnsMode")  # fmt: skip

TOP_LEVEL: Mapping[str, Callable[[object, str, _Check], None]] = {
    "Image": _image_id,
    "Cmd": _texts,
    "Entrypoint": _texts,
    "Env": _environment,
    "User": _user,
    "WorkingDir": _absolute,
    "Labels": _labels,
    "StopSignal": _exactly("SIGTERM"),
    "StopTimeout": _whole(0, 1 << 31),
    "Healthcheck": _exactly({"Test": ["NONE"]}),
    "HostConfig": _host_config,
}
