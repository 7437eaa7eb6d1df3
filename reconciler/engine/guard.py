"""In: the final body of a container-create request and the policy. Out: nothing, or EngineRejected (rule S2).

The second, independent check: it shares no code with the builder of the body nor with admission, and decides every
key by itself. A key that is not listed here is refused, whatever it holds.
"""

import re
from collections.abc import Callable, Iterable, Mapping

from ..model.job import Resources
from ..model.service import GRANTABLE_CAPABILITIES, Policy
from .guard_exec import assert_target
from .guard_mounts import mounts
from .guard_parts import NEVER_SENT, Check, GuardContext, every_key, exactly, refuse, require, texts, whole

__all__ = ["HOST_CONFIG", "NEVER_SENT", "TOP_LEVEL", "GuardContext", "assert_allowed", "assert_network"]

LABEL_PREFIX = "io.reconciler."
REQUIRED_LABELS = ("instance", "instance-id", "kind", "job", "run", "digest", "revision", "owner", "mac")
MAX_LOG_MEGABYTES, MAX_LOG_FILES, MAX_PIDS = 64, 5, 1 << 16


def assert_allowed(body: Mapping[str, object], policy: Policy, context: GuardContext) -> None:
    """Raise EngineRejected (code `guard-refused`) unless every key of `body` is within `policy`."""
    check = Check(policy, context)
    every_key(body, TOP_LEVEL, "", check)
    require("Image" in body and "Labels" in body and "HostConfig" in body, "body", "lacks Image, Labels or HostConfig")
    labels, host = body["Labels"], body["HostConfig"]
    if context.exec_in:
        _never_started(labels, host, check)
    else:
        _image_reference(check)
    if isinstance(labels, Mapping) and isinstance(host, Mapping) and labels[LABEL_PREFIX + "kind"] == "environment":
        require(not host.get("Mounts"), "Mounts", "stands where packages are installed")
    if isinstance(labels, Mapping) and isinstance(host, Mapping):
        _standard_input(body, host, context, str(labels[LABEL_PREFIX + "kind"]))


def _standard_input(body: Mapping[str, object], host: Mapping[str, object], context: GuardContext, kind: str) -> None:
    """A run has one that a person asked for, and what fills a run's volumes; that sees nothing else and reaches
    nobody."""
    given, unpacks = "OpenStdin" in body or "StdinOnce" in body, kind == "unpack"
    wanted = unpacks or (kind == "run" and context.terminal is not None)
    require(given == wanted, "OpenStdin", "stands where nothing is sent" if given else "is missing")
    if not unpacks:
        return
    require(host.get("NetworkMode") == "none", "HostConfig/NetworkMode", "is not none where a workspace is unpacked")
    require(host.get("ReadonlyRootfs") is True, "HostConfig/ReadonlyRootfs", "is not set where a workspace is unpacked")
    found = host.get("Mounts")
    alone = all(str(m.get("Target", "")).startswith("/to/") and m.get("Type") == "volume" and "VolumeOptions" in m
                for m in (found if isinstance(found, list) else ()))  # fmt: skip
    require(bool(found) and alone, "HostConfig/Mounts", "show more than what is unpacked")


def _never_started(labels: object, host: object, check: Check) -> None:
    """What only stands for a job that runs elsewhere: no image is granted for it, and nothing else is in it."""
    assert_target(check.context.exec_in, check.policy)
    kind = labels[LABEL_PREFIX + "kind"] if isinstance(labels, Mapping) else None
    require(kind == "standing", "Labels", "are not those of a standing job, and it runs elsewhere")
    for key in ("Mounts", "CapAdd", "DeviceRequests"):
        require(isinstance(host, Mapping) and not host.get(key), f"HostConfig/{key}", "stands where nothing runs")


def assert_network(name: str, policy: Policy, context: GuardContext) -> None:
    """The same for a network that is joined by a request of its own."""
    own = f"{context.instance}.{context.owner.replace('/', '.')}"
    require(name == own or (name in policy.networks and name != "host"), "network", f"{name} is not granted")


def _environment(value: object, where: str, check: Check) -> None:
    texts(value, where, check)
    for item in value if isinstance(value, list) else ():
        require(re.match(r"[^=\0]+=", item) is not None, where, "holds an entry that is not NAME=value")
    _visible_gpus(value if isinstance(value, list) else [], where, check)


def _visible_gpus(variables: list[str], where: str, check: Check) -> None:
    """A runtime of the host may hand GPUs out by this variable, so what a run says in it is its lease."""
    said = [item.partition("=")[2] for item in variables if item.startswith("NVIDIA_VISIBLE_DEVICES=")]
    leased = ",".join(check.context.devices)
    if leased:
        require(said == [leased], where, "shows other GPUs than those that are leased")
    else:
        require(said in ([], ["void"]), where, "asks for GPUs that are not leased")


def _image_id(value: object, where: str, _check: Check) -> None:
    require(isinstance(value, str) and re.fullmatch(r"sha256:[0-9a-f]{64}", value) is not None, where,
             "is not an image id")  # fmt: skip


def _image_reference(check: Check) -> None:
    granted, reference = check.policy.images, check.context.image
    if granted is not None:
        forms = _forms(reference)
        require(any(_glob(pattern, form) for pattern in granted for form in forms), "Image",
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


def _user(value: object, where: str, _check: Check) -> None:
    require(isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)?", value) is not None, where,
             "is not a user or user:group")  # fmt: skip


def _absolute(value: object, where: str, _check: Check) -> None:
    require(isinstance(value, str) and value.startswith("/") and "\0" not in value, where, "is not an absolute path")


def _labels(value: object, where: str, check: Check) -> None:
    require(isinstance(value, Mapping), where, "is not a mapping")
    labels = value if isinstance(value, Mapping) else {}
    for key, item in labels.items():
        ours = isinstance(key, str) and key.startswith(LABEL_PREFIX) and isinstance(item, str)
        require(ours, where, f"holds {key!r}, which is not ours to set")
    for key in REQUIRED_LABELS:
        require(LABEL_PREFIX + key in labels, where, f"lacks {key}")
    require(labels[LABEL_PREFIX + "instance"] == check.context.instance, where, "names another instance")
    require(labels[LABEL_PREFIX + "owner"] == check.context.owner, where, "names another owner")
    require(labels[LABEL_PREFIX + "kind"] in ("standing", "run", "environment", "unpack"), where, "names another kind")


def _log_config(value: object, where: str, _check: Check) -> None:
    config = value.get("Config") if isinstance(value, Mapping) and set(value) == {"Type", "Config"} else None
    require(isinstance(config, Mapping) and set(config) == {"max-size", "max-file"}, where, "is not a bounded log")
    size, files = (str(config[key]) if isinstance(config, Mapping) else "" for key in ("max-size", "max-file"))
    bounded = re.fullmatch(r"[1-9][0-9]?m", size) is not None and int(size[:-1]) <= MAX_LOG_MEGABYTES
    bounded = bounded and re.fullmatch(r"[1-9]", files) is not None and int(files) <= MAX_LOG_FILES
    require(bounded and isinstance(value, Mapping) and value["Type"] == "json-file", where, "is not a bounded log")


def _tty(value: object, where: str, check: Check) -> None:
    """Only of a run that somebody sits at."""
    terminal = check.context.terminal
    require(value is True and terminal is not None and terminal.tty, where, "is a terminal that nobody asked for")


def _exposed(value: object, where: str, check: Check) -> None:
    require(_port(check) != "" and value == {_port(check): {}}, where, "is not the port that was asked for")


def _ports(value: object, where: str, check: Check) -> None:
    """One port of the container on one free port of the host's loopback, where nobody from outside comes."""
    wanted = {_port(check): [{"HostIp": "127.0.0.1", "HostPort": ""}]}
    require(_port(check) != "" and value == wanted, where, "publishes more than the port that was asked for")


def _port(check: Check) -> str:
    terminal = check.context.terminal
    return f"{terminal.port}/tcp" if terminal is not None and terminal.port else ""


def _cap_add(value: object, where: str, check: Check) -> None:
    texts(value, where, check)
    for name in value if isinstance(value, list) else ():
        granted = name in check.policy.capabilities and name in GRANTABLE_CAPABILITIES
        require(granted, where, f"asks for {name}, which is not granted")


def _network_mode(value: object, where: str, check: Check) -> None:
    if value == "none":
        return
    name = check.context.networks.get(value) if isinstance(value, str) else None
    require(name is not None, where, "is not a network that was looked up")
    assert_network(name or "", check.policy, check.context)


def _device_requests(value: object, where: str, check: Check) -> None:
    leased = list(check.context.devices)
    require(check.policy.gpus and bool(leased), where, "asks for devices that are not granted")
    wanted = {"Driver": "nvidia", "DeviceIDs": leased, "Capabilities": [["gpu"]]}
    require(value == [wanted], where, "asks for other devices than those that are leased")


def _host_config(value: object, where: str, check: Check) -> None:
    if not isinstance(value, Mapping):
        refuse(where, "is not a mapping")
        return
    every_key(value, HOST_CONFIG, "HostConfig/", check)
    for key in REQUIRED:
        require(key in value, f"HostConfig/{key}", "is missing")
    if "Memory" in value:
        require(value.get("MemorySwap") == value["Memory"], "HostConfig/MemorySwap", "gives swap beside the memory")
    if not check.context.exec_in:
        _ceilings(value, check.policy.max_resources)
    ceiling = check.policy.max_resources.gpus if check.policy.max_resources is not None else None
    fits = ceiling is None or len(check.context.devices) <= ceiling
    require(fits, "HostConfig/DeviceRequests", "is above the policy's ceiling")


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
        require(fits, f"HostConfig/{key}", "is missing or above the policy's ceiling")
    shm = settings.get("ShmSize", 0)
    fits = ceiling.shm_size is None or (type(shm) is int and shm <= ceiling.shm_size)
    require(fits, "HostConfig/ShmSize", "is above the policy's ceiling")


HOST_CONFIG: Mapping[str, Callable[[object, str, Check], None]] = {
    "Init": exactly(True),
    "SecurityOpt": exactly(["no-new-privileges"]),
    "CapDrop": exactly(["ALL"]),
    "CapAdd": _cap_add,
    "PidsLimit": whole(1, MAX_PIDS),
    "LogConfig": _log_config,
    "Mounts": mounts,
    "NetworkMode": _network_mode,
    "RestartPolicy": exactly({"Name": "no"}),
    "IpcMode": exactly("private"),
    "CgroupnsMode": exactly("private"),
    "NanoCpus": whole(1, 1 << 50),
    "Memory": whole(1, 1 << 60),
    "MemorySwap": whole(1, 1 << 60),
    "ShmSize": whole(1, 1 << 60),
    "ReadonlyRootfs": exactly(True, False),
    "DeviceRequests": _device_requests,
    "PortBindings": _ports,
}
REQUIRED = ("Init", "SecurityOpt", "CapDrop", "PidsLimit", "LogConfig", "NetworkMode", "RestartPolicy", "IpcMode",
            "CgroupnsMode")  # fmt: skip

TOP_LEVEL: Mapping[str, Callable[[object, str, Check], None]] = {
    "Image": _image_id,
    "Cmd": texts,
    "Entrypoint": texts,
    "Env": _environment,
    "User": _user,
    "WorkingDir": _absolute,
    "Labels": _labels,
    "OpenStdin": exactly(True),
    "StdinOnce": exactly(True),
    "Tty": _tty,
    "ExposedPorts": _exposed,
    "StopSignal": exactly("SIGTERM"),
    "StopTimeout": whole(0, 1 << 31),
    "Healthcheck": exactly({"Test": ["NONE"]}),
    "HostConfig": _host_config,
}
