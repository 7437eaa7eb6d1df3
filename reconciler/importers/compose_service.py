"""A Compose service -> the container half of a job."""

import re
from collections.abc import Callable

from . import later
from .compose_mounts import keep_configs, keep_tmpfs, keep_volumes
from .compose_text import Service, interpolated
from .draft import Mapping, Mark, Node, Scalar, Sequence, mark_of
from .fields import Field, Read, Table
from .model import NoteCode
from .values import (
    WrongValue,
    cores,
    count_of,
    flag_of,
    go_seconds,
    is_nothing,
    items_of,
    map_of,
    seconds,
    text_of,
)

_SIZE = re.compile(r"[0-9]+(?:\.[0-9]+)?[bkmgt]?b?\Z", re.IGNORECASE)
_PULLS = frozenset({"always", "missing", "never", "daily", "weekly"})
NETWORKS_OF = frozenset({"networks", "network_mode"})


def _text(field: str) -> Read[Service]:
    return lambda service, node, at: service.draft.keep(field, service.text(node), at)


def _argv(field: str) -> Read[Service]:
    def read(service: Service, node: Node, at: Mark) -> None:
        if isinstance(node, Sequence):
            service.draft.keep(field, [service.text(item) for item in node.items], at)
        elif not is_nothing(node):
            service.draft.keep(field, service.text(node), at)

    return read


def _environment(service: Service, node: Node, at: Mark) -> None:  # noqa: ARG001
    pairs: list[tuple[str, Node | None, Mark]] = []
    if isinstance(node, Mapping):
        pairs = [(key, value, node.keys[key]) for key, value in node.items.items()]
    else:
        pairs = [(text_of(item), None, mark_of(item)) for item in items_of(node)]
    for key, value, place in pairs:
        name, equals, text = key.partition("=") if value is None else (key, "=", text_of(value))
        found, unknown = interpolated(text)
        if (
            unknown
            or not equals
            or (value is not None and isinstance(value, Scalar) and not value.style and is_nothing(value))
        ):
            what = f"the value of {unknown[0][:80]}" if unknown else "its value"
            service.draft.note(place, NoteCode.UNRESOLVED, f"environment.{name[:80]}: {what} is not in this file",
                               "Write the value, or give it as a secret.")  # fmt: skip
        else:
            service.draft.variable(name, found, place)


def _env_file(service: Service, node: Node, at: Mark) -> None:  # noqa: ARG001
    service.draft.note(
        at, NoteCode.UNRESOLVED, "env_file: its variables are not in this file", "Write them into `environment:`."
    )


def _build(service: Service, node: Node, at: Mark) -> None:  # noqa: ARG001
    image = service.node.items.get("image")
    message = "build: no image is built here" + (
        "" if image is None else "; it has to be pushed where it is pulled from"
    )
    service.draft.note(at, NoteCode.MISSING_PART, message, "Build it and push it to a registry.")


def _size(key: str) -> Read[Service]:
    def read(service: Service, node: Node, at: Mark) -> None:
        text = service.text(node).lower()
        if _SIZE.match(text) is None:
            raise WrongValue("a size such as 512m")
        service.draft.put("resources", key, text, at)

    return read


def _cpus(service: Service, node: Node, at: Mark) -> None:
    service.draft.put("resources", "cpus", cores(service.text(node)), at)


def _pids(service: Service, node: Node, at: Mark) -> None:
    service.draft.put("resources", "pids_limit", count_of(node), at)


def _deploy(service: Service, node: Node, at: Mark) -> None:  # noqa: ARG001
    DEPLOY.walk(service, service.draft, map_of(node))


def _resources(service: Service, node: Node, at: Mark) -> None:
    limits, reserved = map_of(node).items.get("limits"), map_of(node).items.get("reservations")
    if isinstance(limits, Mapping):
        LIMITS.walk(service, service.draft, limits)
    for key, value in reserved.items.items() if isinstance(reserved, Mapping) else ():
        place = reserved.keys[key] if isinstance(reserved, Mapping) else at
        if key == "devices" and isinstance(value, Sequence):
            _devices(service, value, place)
        else:
            service.draft.note(
                place, NoteCode.NO_COUNTERPART, f"deploy.resources.reservations.{key[:80]}: nothing is reserved"
            )


def _devices(service: Service, node: Sequence, at: Mark) -> None:
    count = 0
    for item in node.items:
        parts = map_of(item).items
        said, ids = parts.get("count"), parts.get("device_ids")
        if isinstance(ids, Sequence):
            count += len(ids.items)
        elif isinstance(said, Scalar) and said.value.isdigit():
            count += count_of(said)
        else:
            service.draft.note(
                at, NoteCode.MISSING_PART, "deploy.resources.reservations.devices: say how many GPUs it needs"
            )
    if count:
        service.draft.put("resources", "gpus", count, at)


def _grace(service: Service, node: Node, at: Mark) -> None:
    service.draft.keep("stop_grace_period", seconds(go_seconds(service.text(node))), at)


def _flag(field: str) -> Read[Service]:
    def read(service: Service, node: Node, at: Mark) -> None:
        if flag_of(node):
            service.draft.keep(field, True, at)

    return read


def _capabilities(service: Service, node: Node, at: Mark) -> None:
    for item in items_of(node):
        service.draft.add("cap_add", service.text(item).removeprefix("CAP_"), at)


def _pull(service: Service, node: Node, at: Mark) -> None:
    policy = service.text(node)
    policy = {"if_not_present": "missing"}.get(policy, policy)
    if policy not in _PULLS:
        raise WrongValue("one of always, missing, never, daily, weekly")
    service.draft.keep("pull_policy", policy, at)


def _networks(service: Service, node: Node, at: Mark) -> None:
    """A network of the project has its project's name before it, unless it has one of its own."""
    names = list(node.items) if isinstance(node, Mapping) else [text_of(item) for item in items_of(node)]
    project = service.root.items.get("name")
    found = []
    for name in names:
        part = service.part("networks", name)
        real = part.items.get("name") if part is not None else None
        external = part is not None and "external" in part.items and not is_nothing(part.items["external"])
        if isinstance(real, Scalar):
            found.append(service.text(real))
        elif external:
            found.append(name)
        elif isinstance(project, Scalar):
            found.append(f"{service.text(project)}_{name}")
        else:
            message = f'networks: "{name[:80]}" has the name of the project before it, which is not in this file'
            service.draft.note(at, NoteCode.UNRESOLVED, message)
    service.draft.keep("networks", found, at)


def _network_mode(service: Service, node: Node, at: Mark) -> None:
    mode = service.text(node)
    if mode == "none":
        service.draft.keep("networks", ["none"], at)
    elif mode not in ("bridge", "default"):
        service.draft.note(
            at, NoteCode.MISSING_PART, f"network_mode: {mode[:80]}: no job shares the network of another"
        )


def _volumes(service: Service, node: Node, at: Mark) -> None:  # noqa: ARG001
    keep_volumes(service, node)


def _configs(service: Service, node: Node, at: Mark) -> None:  # noqa: ARG001
    keep_configs(service, node)


def _secrets(service: Service, node: Node, at: Mark) -> None:
    for item in items_of(node):
        parts = (
            {"source": text_of(item)}
            if isinstance(item, Scalar)
            else {k: text_of(v) for k, v in map_of(item).items.items()}
        )
        name = parts.get("source", "") or "secret"
        target = parts.get("target", "")
        target = target if not target or target.startswith("/") else f"/run/secrets/{target}"
        later.secret(service.draft, at, name, f'secrets: "{name[:80]}"', target=target)


def _true(message: str) -> Callable[[Service, Node, Mark], None]:
    def read(service: Service, node: Node, at: Mark) -> None:
        if flag_of(node):
            service.draft.note(at, NoteCode.MISSING_PART, message)

    return read


_BESIDE = "a job is one container"
_NEVER = "a run is started by its schedule alone"
SERVICE = Table[Service]("service.", (
    Field("image", "`image`", "", _text("image")),
    Field("build", "", "build it and push it", _build),
    Field("command", "`command`", "split like a command line, as there", _argv("command")),
    Field("entrypoint", "`entrypoint`", "", _argv("entrypoint")),
    Field("environment", "`environment`", "a variable without a value in the file is **needed**", _environment),
    Field("env_file", "", "other files are not read", _env_file),
    Field("working_dir", "`working_dir`", "", _text("working_dir")),
    Field("user", "`user`", "", _text("user")),
    Field("volumes", "`volumes`", "see above", _volumes),
    Field("tmpfs", "`volumes` of `type: tmpfs`", "", keep_tmpfs),
    Field("configs", "`files`", "with `content`; of other files **needed**", _configs),
    Field("secrets", "`secrets`", "only the names; the values have to be provided", _secrets),
    Field("networks", "`networks`", "by their real names, where policy allows them", _networks),
    Field("network_mode", "`networks`", "`none`; others are **needed**", _network_mode),
    Field("mem_limit", "`resources.memory`", "", _size("memory")), Field("cpus", "`resources.cpus`", "", _cpus),
    Field("pids_limit", "`resources.pids_limit`", "", _pids),
    Field("shm_size", "`resources.shm_size`", "", _size("shm_size")),
    Field("deploy", "as below", "", _deploy),
    Field("stop_grace_period", "`stop_grace_period`", "", _grace),
    Field("read_only", "`read_only`", "", _flag("read_only")),
    Field("cap_add", "`cap_add`", "where policy allows it", _capabilities),
    Field("cap_drop", "", "all are dropped anyway", silent=True), Field("pull_policy", "`pull_policy`", "", _pull),
    Field("labels", "as above", "", silent=True), Field("container_name", "", "a run has the name of its id"),
    Field("privileged", "", "true is **needed**: no job is", _true("privileged: no job is")),
    Field("depends_on", "", "see `wait_for`, and run services elsewhere", need=True),
    Field("volumes_from", "", _BESIDE, need=True),
    Field("devices", "", "no job reaches devices, but see `resources.gpus`", need=True),
    Field("pid", need=True), Field("ipc", need=True), Field("extra_hosts", need=True), Field("extends", need=True),
    Field("links", "", _BESIDE, need=True), Field("sysctls", need=True), Field("ulimits"), Field("gpus", "", need=True),
    Field("restart", "", "see `retries`", idle=("no", "false")), Field("profiles"), Field("scale"), Field("attach"),
    Field("ports", "", "a job serves nobody"), Field("expose", "", "a job serves nobody"),
    Field("healthcheck", "", "a run is judged by its exit code"),
    Field("logging", "", "the output is in `reconciler logs`"),
    Field("hostname"), Field("domainname"), Field("dns*"), Field("tty"), Field("stdin_open"), Field("init"),
    Field("stop_signal", "", "TERM, then KILL", idle=("SIGTERM", "TERM")), Field("security_opt"), Field("platform"),
    Field("annotations"), Field("group_add"), Field("userns_mode"), Field("mem_*"), Field("cpu*"), Field("oom_*"),
    Field("memswap_limit"), Field("isolation"), Field("runtime"), Field("develop", "", _NEVER), Field("mac_address"),
))  # fmt: skip
DEPLOY = Table[Service]("service.deploy.", (
    Field("resources", "`resources`", "limits: cpus, memory, pids; of reservations the devices as `gpus`", _resources),
    Field("labels", "as above", "", silent=True), Field("mode", idle=("replicated",)),
    Field("replicas", idle=("0", "1")), Field("placement"),
    Field("restart_policy", "", "see `retries`"), Field("update_config"), Field("rollback_config"),
    Field("endpoint_mode"),
))  # fmt: skip
LIMITS = Table[Service]("service.deploy.resources.limits.", (
    Field("cpus", "`resources.cpus`", "", _cpus), Field("memory", "`resources.memory`", "", _size("memory")),
    Field("pids", "`resources.pids_limit`", "", _pids),
))  # fmt: skip
