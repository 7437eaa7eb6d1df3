"""In: an order and what was acquired for it. Out: the body of the create request, from typed fields alone (rule S2).

Nothing of a job file is passed through as a mapping. `guard.assert_allowed` checks the result once more.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..model.job import JobSpec, Mount
from ..model.terminal import Terminal
from ..model.workspace import Bind, Sent
from ..spec.argv import container_command
from ..spec.interactive import interactive_argv
from . import labels

Body = dict[str, object]

LOG_SIZE, LOG_FILES = "16m", "2"  # enough to bridge a break of our own log stream
USER_LABEL = labels.PREFIX + "label."  # a job's own labels live below it, so that no other tool acts on them
# An image may ask a runtime of the host for all GPUs by this variable. We have the last word on it.
GPUS_SEEN, NO_GPU = "NVIDIA_VISIBLE_DEVICES", "void"
# docker-init sends signals to its child alone unless this is set; with it, TERM reaches the whole group (rule R4).
GROUP_SIGNALS = ("TINI_KILL_PROCESS_GROUP", "1")


@dataclass(frozen=True, slots=True)
class Acquired:
    """What an order needs, looked up or made."""

    image_id: str
    image_digest: str = ""
    networks: tuple[tuple[str, str], ...] = ()  # (mode for the body, name); the first is joined at creation, () = none


def create_body(
    spec: JobSpec,
    marks: Mapping[str, str],
    acquired: Acquired,
    environment: tuple[tuple[str, str], ...],
    staged: tuple[tuple[str, str], ...],
    devices: tuple[str, ...] | None = None,
    workspace: tuple[Bind, ...] = (),
    sent: tuple[Sent, ...] = (),
    terminal: Terminal | None = None,
) -> Body:
    """The request that creates a standing job's or a run's container. `marks` are our own labels, `devices` the GPUs
    leased to a run; None = a standing job, which is never started and has no workspace. `sent` is there in the place of
    `staged` and `workspace` where the Engine does not see this host's files. With a `terminal` it is a person's."""
    entrypoint, command = container_command(spec) if terminal is None else (interactive_argv(spec, terminal), None)
    port = terminal.port if terminal is not None else 0
    variables = {**dict(environment), GROUP_SIGNALS[0]: GROUP_SIGNALS[1]}
    if devices is not None:
        variables[GPUS_SEEN] = ",".join(devices) or NO_GPU
        marks = {**marks, labels.DEVICES: ",".join(devices)}
    body: Body = {
        "Image": acquired.image_id,
        "Env": [f"{name}={value}" for name, value in variables.items()],
        "Labels": {**{USER_LABEL + key: value for key, value in spec.labels}, **marks},
        "StopSignal": "SIGTERM",
        "StopTimeout": math.ceil(spec.stop_grace_period),
        "Healthcheck": {"Test": ["NONE"]},  # a job ends; probing it would only cost
        "HostConfig": _host_config(spec, marks[labels.INSTANCE], acquired, staged, devices, workspace, sent, port),
    }
    if terminal is not None:
        body |= {"OpenStdin": True, **({"Tty": True} if terminal.tty else {"StdinOnce": True})}
        body |= {"ExposedPorts": {f"{port}/tcp": {}}} if port else {}
    if entrypoint is not None:
        body["Entrypoint"] = list(entrypoint)
    if command is not None:
        body["Cmd"] = list(command)
    if spec.user is not None:
        body["User"] = spec.user
    if spec.working_dir is not None:
        body["WorkingDir"] = spec.working_dir
    return body


def _host_config(
    spec: JobSpec, instance: str, acquired: Acquired, staged: tuple[tuple[str, str], ...],
    devices: tuple[str, ...] | None, workspace: tuple[Bind, ...], sent: tuple[Sent, ...], port: int,
) -> Body:  # fmt: skip
    mounts = [_mount(mount, instance, spec.owner) for mount in spec.mounts]
    mounts += [{"Type": "bind", "Source": path, "Target": target, "ReadOnly": True} for path, target in staged]
    mounts += [
        {"Type": "bind", "Source": bind.source, "Target": bind.target, "ReadOnly": bind.read_only} for bind in workspace
    ]
    mounts += [_sent(part) for part in sent]
    if spec.outputs and devices is not None:  # a volume of its own, without what the image has there
        mounts.append({"Type": "volume", "Target": spec.outputs, "VolumeOptions": {"NoCopy": True}})
    config: Body = {
        "Init": True,
        "SecurityOpt": ["no-new-privileges"],
        "CapDrop": ["ALL"],
        "PidsLimit": spec.resources.pids_limit,
        "LogConfig": {"Type": "json-file", "Config": {"max-size": LOG_SIZE, "max-file": LOG_FILES}},
        "NetworkMode": acquired.networks[0][0] if acquired.networks else "none",
        "RestartPolicy": {"Name": "no"},
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "ReadonlyRootfs": spec.read_only,
    }
    if mounts:
        config["Mounts"] = mounts
    if spec.cap_add:
        config["CapAdd"] = list(spec.cap_add)
    if spec.resources.cpus is not None:
        config["NanoCpus"] = round(spec.resources.cpus * 1e9)
    if spec.resources.memory is not None:
        config["Memory"] = config["MemorySwap"] = spec.resources.memory  # equal: no swap beside it
    if spec.resources.shm_size is not None:
        config["ShmSize"] = spec.resources.shm_size
    if port:  # of the host's own loopback, whichever is free
        config["PortBindings"] = {f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}
    if devices:  # by id: a count would give the first ones of the host to every run
        config["DeviceRequests"] = [{"Driver": "nvidia", "DeviceIDs": list(devices), "Capabilities": [["gpu"]]}]
    return config


def engine_volume(mount: Mount, instance: str, owner: str) -> str:
    """The engine's name of a volume mount's volume; "" = anonymous."""
    if mount.external or not mount.source:
        return mount.source
    return labels.volume_name(instance, owner, mount.source)


def _sent(part: Sent) -> Body:
    entry: Body = {"Source": part.source, "Target": part.target, "ReadOnly": part.read_only}
    if part.is_volume:  # without what the image has there
        return {"Type": "volume", **entry, "VolumeOptions": {"NoCopy": True}}
    return {"Type": "bind", **entry}


def _mount(mount: Mount, instance: str, owner: str) -> Body:
    entry: Body = {"Type": mount.type, "Target": mount.target}
    if mount.read_only:
        entry["ReadOnly"] = True
    if mount.type == "tmpfs":
        options = {"SizeBytes": mount.size, "Mode": mount.mode}
        given = {key: value for key, value in options.items() if value is not None}
        return {**entry, "TmpfsOptions": given} if given else entry
    source = engine_volume(mount, instance, owner) if mount.type == "volume" else mount.source
    return {**entry, "Source": source} if source else entry
