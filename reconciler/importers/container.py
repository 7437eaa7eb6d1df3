"""In: what `docker inspect` says of a container and of its image. Out: a job file that makes such a container."""

from collections.abc import Iterator, Mapping
from typing import Any

from .draft import START, Batch, Draft
from .model import Imported, NoteCode, Options
from .settle import settle

Data = Mapping[str, Any]
_OWN = ("default", "bridge", "")
_HOST = {"PidMode": "host", "IpcMode": "host", "UTSMode": "host", "UsernsMode": "host", "NetworkMode": "host"}
# What a container may have and a job has not, as `HostConfig` names it, with a word on it.
_NOTHING_HERE = {
    "Privileged": "it was privileged; no job is", "Devices": "devices of the host", "VolumesFrom": "volumes of another",
    "DeviceCgroupRules": "device rules", "Sysctls": "kernel settings", "GroupAdd": "further groups",
}  # fmt: skip
_LOST = {
    "PortBindings": "ports: nothing connects to a job", "ExtraHosts": "extra_hosts: the network's names hold",
    "Dns": "dns: the network's is used", "Ulimits": "ulimits: the Engine's defaults hold",
}  # fmt: skip


def adopt(container: Data, image: Data, name: str, options: Options) -> Imported:
    """The job `name` in `options.folder`; it runs by hand until somebody gives it a schedule. Never raises on what the
    two hold."""
    title = str(container.get("Name") or "").removeprefix("/") or "container"
    batch = Batch(f"docker inspect {title}", options)
    draft = batch.begin(name, START, f"made like the container {title}")
    if draft is None:
        return Imported((), batch.notes)
    draft.keep("schedule", "manual", START)
    config, base, host = _map(container, "Config"), _map(image, "Config"), _map(container, "HostConfig")
    for part in (_command, _identity, _variables):
        part(draft, config, base)
    _mounts(draft, container)
    _networks(draft, container, host)
    _limits(draft, host)
    _rest(draft, host)
    return Imported(settle(batch), tuple(sorted(batch.notes)))


def _command(draft: Draft, config: Data, base: Data) -> None:
    draft.keep("image", _text(config, "Image"), START)
    if str(config.get("Image", "")).startswith("sha256:"):
        draft.note(START, NoteCode.MISSING_PART, "the container was made of an image without a name", "Name one.")
    entrypoint, command = _list(config, "Entrypoint"), _list(config, "Cmd")
    own = entrypoint != _list(base, "Entrypoint")
    if own and entrypoint:
        draft.keep("entrypoint", entrypoint, START)
    if command and (own or command != _list(base, "Cmd")):
        draft.keep("command", command, START)


def _identity(draft: Draft, config: Data, base: Data) -> None:
    for field, key in (("user", "User"), ("working_dir", "WorkingDir")):
        if _text(config, key) != _text(base, key):
            draft.keep(field, _text(config, key), START)
    if config.get("Tty") or config.get("OpenStdin"):
        draft.note(START, NoteCode.NO_COUNTERPART, "a terminal: a job has none")


def _variables(draft: Draft, config: Data, base: Data) -> None:
    given = set(_list(base, "Env"))
    for pair in _list(config, "Env"):
        name, equals, value = pair.partition("=")
        if pair not in given and equals:
            draft.variable(name, value, START)


def _mounts(draft: Draft, container: Data) -> None:
    found = container.get("Mounts")
    for mount in found if isinstance(found, list) else ():
        if not isinstance(mount, Mapping):
            continue
        kind, target, source = _text(mount, "Type"), _text(mount, "Destination"), _text(mount, "Source")
        mode = {} if mount.get("RW", True) else {"read_only": True}
        if kind == "bind":
            draft.add("volumes", {"type": "bind", "source": source, "target": target, **mode}, START)
            draft.note(START, NoteCode.MEANING, f"{target} is the path {source} of the host; policy decides")
        elif kind == "volume" and len(_text(mount, "Name")) != 64:
            draft.add("volumes", {"source": _text(mount, "Name"), "target": target, "external": True, **mode}, START)
        elif kind == "volume":
            draft.note(START, NoteCode.MISSING_PART, f"{target} is an anonymous volume", "Use `type: tmpfs`.")
        elif kind == "tmpfs":
            draft.add("volumes", {"type": "tmpfs", "target": target}, START)
        else:
            draft.note(START, NoteCode.MISSING_PART, f"{target}: there is no mount of type {kind[:40]} here")
    for target in _map(_map(container, "HostConfig"), "Tmpfs"):
        draft.add("volumes", {"type": "tmpfs", "target": str(target)}, START)


def _networks(draft: Draft, container: Data, host: Data) -> None:
    mode = _text(host, "NetworkMode")
    if mode == "none":
        draft.keep("networks", ["none"], START)
        return
    names = [str(name) for name in _map(_map(container, "NetworkSettings"), "Networks") if name not in (*_OWN, "host")]
    draft.keep("networks", names, START)
    if mode.startswith("container:"):
        draft.note(START, NoteCode.MISSING_PART, "it shared the network of another container; no job does")


def _limits(draft: Draft, host: Data) -> None:
    sizes = {"memory": host.get("Memory"), "shm_size": host.get("ShmSize")}
    for name, value in sizes.items():
        if isinstance(value, int) and value > 0 and (name, value) != ("shm_size", 64 << 20):
            draft.put("resources", name, str(value), START)
    cpus = host.get("NanoCpus")
    if isinstance(cpus, int) and cpus > 0:
        draft.put("resources", "cpus", cpus / 1e9, START)
    pids = host.get("PidsLimit")
    if isinstance(pids, int) and pids > 0:
        draft.put("resources", "pids_limit", pids, START)
    for name in _list(host, "CapAdd"):
        draft.add("cap_add", name.removeprefix("CAP_"), START)
    if host.get("ReadonlyRootfs"):
        draft.keep("read_only", True, START)


def _rest(draft: Draft, host: Data) -> None:
    for said, code in _told(host):
        draft.note(START, code, said)
    restart = _text(_map(host, "RestartPolicy"), "Name")
    if restart not in ("", "no"):
        draft.note(START, NoteCode.NO_COUNTERPART, f"restart: {restart[:40]}: a job ends; `retries` starts it again")


def _told(host: Data) -> Iterator[tuple[str, NoteCode]]:
    for key, value in _HOST.items():
        if host.get(key) == value:
            yield f"{key}: it shared the host's; no job does", NoteCode.MISSING_PART
    for table, code in ((_NOTHING_HERE, NoteCode.MISSING_PART), (_LOST, NoteCode.NO_COUNTERPART)):
        for key, said in table.items():
            if host.get(key):
                yield said, code


def _map(data: Data, key: str) -> Data:
    found = data.get(key)
    return found if isinstance(found, Mapping) else {}


def _text(data: Data, key: str) -> str:
    found = data.get(key)
    return found if isinstance(found, str) else ""


def _list(data: Data, key: str) -> list[str]:
    found = data.get(key)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []
