"""In: the `Mounts` of a container-create request. Out: nothing, or EngineRejected (rule S2). The part of the guard
that keeps the host's files to the host."""

import re
from collections.abc import Callable, Mapping

from .guard_parts import Check, clean, every_key, exactly, refuse, require, whole, within

SYSTEM_TARGETS = ("/proc", "/sys")  # nothing is mounted at or below them
ALWAYS_PROTECTED = ("/run/docker.sock", "/var/run/docker.sock", "/run/containerd", "/var/lib/docker",
                    "/run/podman", "/var/lib/containerd")  # fmt: skip


def mounts(value: object, where: str, check: Check) -> None:
    """Each of a known type, on a target of its own, with a source that policy grants."""
    require(isinstance(value, list), where, "is not a list")
    targets: set[str] = set()
    for number, mount in enumerate(value if isinstance(value, list) else ()):
        here = f"{where}/{number}"
        kind = mount.get("Type") if isinstance(mount, Mapping) else None
        decide = MOUNTS.get(kind) if isinstance(kind, str) else None
        if decide is None or not isinstance(mount, Mapping):
            refuse(here, "is of a type that is never sent")
            return
        target = mount.get("Target")
        require(isinstance(target, str) and clean(target) and target != "/", here, "has a target that is not clean")
        assert isinstance(target, str)
        require(not any(within(target, system) for system in SYSTEM_TARGETS), here, "covers a system directory")
        require(target not in targets, here, "has the target of another mount")
        targets.add(target)
        require(type(mount.get("ReadOnly", False)) is bool, here, "has a ReadOnly that is not true or false")
        decide(mount, here, check)


def _volume(mount: Mapping[str, object], where: str, check: Check) -> None:
    _only(mount, where, "Type", "Source", "Target", "ReadOnly", "VolumeOptions")
    if _was_sent(mount, r"[^/]+", check):
        exactly({"NoCopy": True})(mount.get("VolumeOptions"), where, check)
        return
    source = mount.get("Source", "")
    if "VolumeOptions" in mount:  # of an anonymous one alone, and no driver of its own
        require(source == "", where, "sets options of a named volume")
        exactly({"NoCopy": True})(mount["VolumeOptions"], where, check)
    own = re.escape(f"{check.context.instance}.{check.context.owner.replace('/', '.')}.")
    named = isinstance(source, str) and re.fullmatch(own + r"[A-Za-z0-9][A-Za-z0-9_-]*", source) is not None
    external = isinstance(source, str) and source in check.policy.external_volumes and "/" not in source
    require(source == "" or named or external, where, f"uses the volume {source}, which is not granted")


def _bind(mount: Mapping[str, object], where: str, check: Check) -> None:
    _only(mount, where, "Type", "Source", "Target", "ReadOnly")
    source, target = mount.get("Source"), mount.get("Target")
    if (source, target) in check.context.staged and mount.get("ReadOnly") is True:
        return
    if (source, target, mount.get("ReadOnly")) in [(b.source, b.target, b.read_only) for b in check.context.workspace]:
        return
    if mount.get("ReadOnly") is True and _was_sent(mount, r"/([^/]+/)+[^/]+/_data/[0-9]+", check):
        return
    if not isinstance(source, str) or not clean(source):
        refuse(where, "has a source that is not a clean absolute path")
        return
    granted = any(clean(root) and within(source, root) for root in check.policy.binds)
    require(granted, where, f"binds {source}, which is not granted")
    for path in (*check.context.protected, *ALWAYS_PROTECTED):
        hidden = within(source, path) or within(path, source)
        require(not hidden, where, f"binds {source}, which shows {path}")


def _was_sent(mount: Mapping[str, object], form: str, check: Check) -> bool:
    """Is it one of what was sent for this run: a volume of its workspace, or a file at the top of one?"""
    source, target, read_only = mount.get("Source"), mount.get("Target"), mount.get("ReadOnly")
    if not isinstance(source, str) or re.fullmatch(form, source) is None:
        return False
    volume = source if "/" not in source else source.split("/")[-3]
    ours = volume.startswith(f"{check.context.instance}.WORKSPACE-") and ("/" not in source or clean(source))
    return ours and (source, target, read_only) in [(s.source, s.target, s.read_only) for s in check.context.sent]


def _tmpfs(mount: Mapping[str, object], where: str, check: Check) -> None:
    _only(mount, where, "Type", "Target", "ReadOnly", "TmpfsOptions")
    options = mount.get("TmpfsOptions", {})
    every_key(options, {"SizeBytes": whole(1, 1 << 44), "Mode": whole(0, 0o1777)}, f"{where}/", check)


def _only(mount: Mapping[str, object], where: str, *keys: str) -> None:
    unknown = sorted(set(mount) - set(keys))
    require(not unknown, where, f"has the setting {', '.join(map(str, unknown))}, which is never sent")


MOUNTS: Mapping[str, Callable[[Mapping[str, object], str, Check], None]] = {
    "volume": _volume, "bind": _bind, "tmpfs": _tmpfs,
}  # fmt: skip
