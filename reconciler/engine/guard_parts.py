"""What every check of the guard is made of: how a setting is refused, and the plain forms of values.

Shared by guard.py and the other guard_*.py alone; neither the builder of the body nor admission uses it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ..model.errors import EngineRejected
from ..model.service import Policy
from ..model.terminal import Terminal
from ..model.workspace import Bind, Sent

HINT = "The request was not sent. Ask for it in the service file's policy, or report a fault of the reconciler."

# HostConfig keys of the Engine API that this product never sends: refused, whatever they hold. Every other key of the
# API is decided in guard.HOST_CONFIG. The list makes each a decision of ours; unknown keys are refused just the same.
NEVER_SENT = frozenset(
    {"Annotations", "AutoRemove", "Binds", "BlkioDeviceReadBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteBps",
     "BlkioDeviceWriteIOps", "BlkioWeight", "BlkioWeightDevice", "Capabilities", "Cgroup", "CgroupParent",
     "ConsoleSize", "ContainerIDFile", "CpuCount", "CpuPercent", "CpuPeriod", "CpuQuota", "CpuRealtimePeriod",
     "CpuRealtimeRuntime", "CpuShares", "CpusetCpus", "CpusetMems", "DeviceCgroupRules", "Devices", "DiskQuota",
     "Dns", "DnsOptions", "DnsSearch", "ExtraHosts", "GroupAdd", "IOMaximumBandwidth", "IOMaximumIOps", "Isolation",
     "KernelMemory", "KernelMemoryTCP", "Links", "MaskedPaths", "MemoryReservation", "MemorySwappiness",
     "OomKillDisable", "OomScoreAdj", "PidMode", "Privileged", "PublishAllPorts", "ReadonlyPaths",
     "Runtime", "StorageOpt", "Sysctls", "Tmpfs", "UTSMode", "Ulimits", "UsernsMode", "VolumeDriver", "VolumesFrom"}
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
    devices: tuple[str, ...] = ()  # ids of the GPUs that are leased to this run
    workspace: tuple[Bind, ...] = ()  # what we have made for this run alone
    sent: tuple[Sent, ...] = ()  # the same on an Engine of another host, in volumes of ours
    terminal: Terminal | None = None  # that a person has asked for
    exec_in: str = ""  # the container that the job's commands run in: its own is never started


@dataclass(frozen=True, slots=True)
class Check:
    """Against what a body is checked."""

    policy: Policy
    context: GuardContext


def refuse(where: str, why: str) -> None:
    """Raise EngineRejected (code `guard-refused`)."""
    message = f"cannot create the container: {where} {why}"
    raise EngineRejected(message, code="guard-refused", hint=HINT)


def require(holds: bool, where: str, why: str) -> None:
    """Refuse unless it holds."""
    if not holds:
        refuse(where, why)


def every_key(
    mapping: object, table: Mapping[str, Callable[[object, str, Check], None]], prefix: str, check: Check
) -> None:
    """Let the table decide each key; one that is not in it is refused, whatever it holds."""
    if not isinstance(mapping, Mapping):
        refuse(prefix or "body", "is not a mapping")
        return
    for key, value in mapping.items():
        where = f"{prefix}{key}"
        decide = table.get(key) if isinstance(key, str) else None
        if decide is None:
            refuse(where, "is a power that is never given" if key in NEVER_SENT else "is not a setting of ours")
        else:
            decide(value, where, check)


def exactly(*allowed: object) -> Callable[[object, str, Check], None]:
    """One of these values and no other."""

    def decide(value: object, where: str, _check: Check) -> None:
        # Type and value: True == 1, and an Engine may read the two differently.
        require(any(type(value) is type(a) and value == a for a in allowed), where, "has a value that is not allowed")

    return decide


def text(value: object, where: str, _check: Check) -> None:
    """Any text without NUL."""
    require(isinstance(value, str) and "\0" not in value, where, "is not plain text")


def texts(value: object, where: str, check: Check) -> None:
    """A list of them."""
    require(isinstance(value, list), where, "is not a list")
    for item in value if isinstance(value, list) else ():
        text(item, where, check)


def whole(low: int, high: int) -> Callable[[object, str, Check], None]:
    """A whole number in [low, high]."""

    def decide(value: object, where: str, _check: Check) -> None:
        require(type(value) is int and low <= value <= high, where, "is out of range")

    return decide


def clean(path: str) -> bool:
    """Absolute, without empty, `.` or `..` parts or control characters: it reads the same to everybody."""
    plain = re.search(r"[\x00-\x1f\x7f]", path) is None
    return plain and path.startswith("/") and str(PurePosixPath(path)) == path and ".." not in PurePosixPath(path).parts


def within(path: str, root: str) -> bool:
    """Is it `root`, or below it?"""
    return PurePosixPath(path).is_relative_to(root)
