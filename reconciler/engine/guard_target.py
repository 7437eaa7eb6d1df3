"""In: a container of somebody else that a job would run in. Out: nothing, or EngineRejected `exec-target-refused`.

What a command in a container may do is what that container may. So one that has the host, an Engine, this service's
state or another container's processes is never entered, and a job is nobody there that the container is not (rule S2).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from posixpath import normpath
from typing import Any

from ..model.errors import EngineRejected
from ..model.service import GRANTABLE_CAPABILITIES
from .guard_mounts import ALWAYS_PROTECTED
from .guard_parts import within

LABELS_OF_OURS = "io.reconciler."
SOCKETS = ("docker.sock", "containerd.sock", "podman.sock")  # of an Engine, wherever they lie
HINT = "A job can only run in a plain container of somebody else, as a user that is not more than its own."


@dataclass(frozen=True, slots=True)
class Target:
    """A container as its inspection shows it. `devices`: what its volumes are mounted from, where they say so."""

    name: str
    data: Mapping[str, Any]
    devices: tuple[str, ...] = ()


def assert_enterable(target: Target, user: str, protected: Sequence[str]) -> None:
    """Raise EngineRejected unless a job may be `user` ("" = the container's own) in it. `protected`: host paths."""
    _marks(target)
    _powers(target)
    _mounts(target, protected)
    _who(target, user)


def _marks(target: Target) -> None:
    labels = target.data["Config"].get("Labels") or {}
    if any(str(key).startswith(LABELS_OF_OURS) for key in labels):
        _refuse(target, "bears labels of the reconciler: a job's container is that job's alone")


def _powers(target: Target) -> None:
    host = target.data["HostConfig"]
    if host.get("Privileged"):
        _refuse(target, "is privileged: who is in it has the host")
    if host.get("PidMode") == "host":
        _refuse(target, "sees the processes of the host")
    if str(host.get("PidMode") or "").startswith("container:"):
        _refuse(target, "sees the processes of another container")
    if host.get("Devices") or host.get("DeviceCgroupRules"):
        _refuse(target, "has devices of the host")
    added = {str(name).upper().removeprefix("CAP_") for name in host.get("CapAdd") or ()}
    more = sorted(added - GRANTABLE_CAPABILITIES)
    if more:
        _refuse(target, f"has capabilities that no job can be granted: {', '.join(more)}")


def _mounts(target: Target, protected: Sequence[str]) -> None:
    for mount in target.data.get("Mounts") or ():
        source, place = str(mount.get("Source") or ""), str(mount.get("Destination") or "")
        if any(PurePosixPath(path).name in SOCKETS for path in (source, place)):
            _refuse(target, "has the socket of an Engine: who is in it has the host")
        if mount.get("Type") == "bind":
            _shows(target, source, protected)
    for device in target.devices:
        if within(_plain(device), "/dev"):
            _refuse(target, f"has {device} of the host in a volume")
        _shows(target, device, protected)


def _shows(target: Target, source: str, protected: Sequence[str]) -> None:
    """A directory above shows what is below it, `/` all of it."""
    for path in (*protected, *ALWAYS_PROTECTED):
        if within(_plain(source), path) or within(path, _plain(source)):
            _refuse(target, f"has {source} of the host, which shows {path}")


def _who(target: Target, user: str) -> None:
    own = str(target.data["Config"].get("User") or "root")
    name, _, group = user.partition(":")
    own_name, _, own_group = own.partition(":")
    if not user or _is_root(own_name):
        return
    if _is_root(name):
        _refuse(target, "runs as another user than root, so no job may be root in it")
    if any(_is_root(str(one)) for one in (own_group, *(target.data["HostConfig"].get("GroupAdd") or ()))):
        return
    if _is_root(group):
        _refuse(target, "is not of root's group, so no job may be in it")
    if name.isdecimal() and not group and user != own:  # a number that is not in its passwd would be of group 0
        _refuse(target, f"runs as another user than {name}, whose group could be root's: name one, as in {name}:{name}")


def _refuse(target: Target, why: str) -> None:
    raise EngineRejected(f"cannot run in {target.name}: it {why}", code="exec-target-refused", hint=HINT)


def _plain(path: str) -> str:
    return "/" + normpath(path).lstrip("/") if path.startswith("/") else path


def _is_root(name: str) -> bool:
    return name == "root" or (name.isdecimal() and int(name) == 0)
