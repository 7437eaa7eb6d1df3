"""In: a job and the service file. Out: why policy does not allow it (rule S1). The global policy is the ceiling."""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any, NamedTuple

from ..model.job import JobSpec, Mount, Resources, ScheduleKind
from ..model.service import DEFAULT_OWNER, GRANTABLE_CAPABILITIES, NO_TOTAL, Policy, ServiceConfig, Total
from ..schedule.intervals import written_interval
from .code import allowed
from .durations import format_duration, format_size
from .globs import matches_any
from .images import image_allowed
from .totals import beyond_total

# What would hand the host or the service itself to a job, whatever a policy says. Also refused: what contains them.
_ENGINE_PATHS = (
    "/var/run/docker.sock", "/run/docker.sock", "/var/run/containerd", "/run/containerd", "/var/run/podman",
    "/run/podman", "/var/lib/docker", "/var/lib/containerd", "/proc", "/sys", "/dev",
)  # fmt: skip

_NEVER_JOINED = ("host", "bridge")  # the host's own, and the one that every other container shares


class Violation(NamedTuple):
    """A reason to refuse; `pointer` names the field within the job file."""

    pointer: str
    code: str
    message: str
    hint: str = ""


def owner_of(config: ServiceConfig, job_name: str) -> str | None:
    """The first owner, in the order of the service file, whose paths match; None if there are owners but none does."""
    if not config.owners:
        return DEFAULT_OWNER
    return next((owner.name for owner in config.owners if matches_any(owner.paths, job_name)), None)


def effective_policy(config: ServiceConfig, owner: str) -> Policy:
    """What the owner may ask for. An owner with a policy of its own has exactly what it lists, at most the global one.

    `images`, `repositories`, `exec_in`, `push`: the owner's globs where it has some; the global ones hold beside them.
    """
    own, top = _own_policy(config, owner), config.policy
    if own is None:
        return top
    return Policy(
        images=top.images if own.images is None else own.images,
        repositories=top.repositories if own.repositories is None else own.repositories,
        exec_in=own.exec_in,
        binds=tuple(_common_roots(top.binds, own.binds)),
        networks=_common(top.networks, own.networks),
        capabilities=_common(top.capabilities, own.capabilities),
        external_volumes=_common(top.external_volumes, own.external_volumes),
        gpus=top.gpus and own.gpus,
        packages=_narrowed(top.packages, own.packages),
        secrets=own.secrets,
        push=own.push,
        secrets_in_env=top.secrets_in_env and own.secrets_in_env,
        min_interval=max(filter(None, (top.min_interval, own.min_interval)), default=None),
        max_resources=_lower(top.max_resources, own.max_resources),
    )


def admit(spec: JobSpec, config: ServiceConfig) -> tuple[Violation, ...]:
    """Every violation as `(pointer, code, message, hint)`; () = allowed."""
    policy = effective_policy(config, spec.owner)
    found: list[Violation] = []
    if spec.exec_in:
        found += _exec_in(spec, policy, config)
    elif policy.images is not None or config.policy.images is not None:
        found += _images(spec, policy, config)
    if spec.repositories:
        found += _repositories(spec, policy, config)
    if spec.networks != ("default",):
        found += _networks(spec, policy)
    if spec.mounts:
        found += _mounts(spec, policy, config)
    if spec.cap_add:
        found += _capabilities(spec, policy)
    if spec.packages.managers and policy.packages is not None:
        found += _packages(spec, policy.packages)
    if spec.secrets:
        found += _secrets(spec, policy, config)
    if spec.resources.gpus and not policy.gpus:
        message = f"GPUs are not allowed for {spec.owner}"
        found.append(Violation("/resources/gpus", "gpus-not-allowed", message, "The service file grants `gpus: true`."))
    if policy.max_resources is not None and not spec.exec_in:  # what runs elsewhere has the limits that are there
        found += _resources(spec, policy.max_resources)
    if policy.min_interval is not None:
        found += _interval(spec, policy.min_interval)
    if (total := _total(config, spec.owner)) is not None and not spec.exec_in:
        told = {(violation.pointer, violation.code) for violation in found}
        for name, code, message, hint in beyond_total(spec, total):
            if (f"/resources/{name}", code) not in told:
                found.append(Violation(f"/resources/{name}", code, message, hint))
    return tuple(found)


def _own_policy(config: ServiceConfig, owner: str) -> Policy | None:
    return next((item.policy for item in config.owners if item.name == owner), None)


def _total(config: ServiceConfig, owner: str) -> Total | None:
    return next((item.total for item in config.owners if item.name == owner and item.total is not NO_TOTAL), None)


def _images(spec: JobSpec, policy: Policy, config: ServiceConfig) -> Iterator[Violation]:
    for patterns in dict.fromkeys((config.policy.images, policy.images)):
        if patterns is not None and not image_allowed(patterns, spec.image):
            hint = f"Allowed: {', '.join(patterns[:5])}" if patterns else "No image is allowed."
            yield Violation(
                "/image", "image-not-allowed", f"the image {spec.image} is not allowed for {spec.owner}", hint
            )
            return


def may_run_in(config: ServiceConfig, owner: str, container: str) -> bool:
    """Ours are never among them: a job's container is that job's alone. The engine looks once more, at their labels."""
    ceilings = (config.policy.exec_in, effective_policy(config, owner).exec_in)
    return all(matches_any(patterns, container) for patterns in ceilings) and not _is_ours(config, container)


def _is_ours(config: ServiceConfig, container: str) -> bool:
    return container.startswith(f"{config.instance}.")


def _exec_in(spec: JobSpec, policy: Policy, config: ServiceConfig) -> Iterator[Violation]:
    if may_run_in(config, spec.owner, spec.exec_in):
        return
    message = f"a command in the container {spec.exec_in} is not allowed for {spec.owner}"
    listed = ", ".join((policy.exec_in if config.policy.exec_in else ())[:5])
    hint = f"Allowed: {listed}" if listed else "The service file grants `exec_in` by name."
    if _is_ours(config, spec.exec_in):
        hint = "It is the reconciler's own: no policy can allow it."
    yield Violation("/exec_in", "exec-in-not-allowed", message, hint)


def _repositories(spec: JobSpec, policy: Policy, config: ServiceConfig) -> Iterator[Violation]:
    ceilings = dict.fromkeys((config.policy.repositories, policy.repositories))
    for index, item in enumerate(spec.repositories):
        closed = [patterns for patterns in ceilings if not allowed(item.url, patterns)]
        if closed:
            listed = ", ".join((closed[0] or ())[:5])
            unlisted = "Only https and ssh, unless policy lists it." if closed[0] is None else "No code is allowed."
            hint = f"Allowed: {listed}" if listed else unlisted
            message = f"code from {item.url} is not allowed for {spec.owner}"
            yield Violation(f"/repositories/{index}/url", "repository-not-allowed", message, hint)


def _networks(spec: JobSpec, policy: Policy) -> Iterator[Violation]:
    granted = ("default", "none", *(name for name in policy.networks if name not in _NEVER_JOINED))
    for name in spec.networks:
        if name not in granted:
            allowed = ", ".join(granted)
            message = f"the network {name} is not allowed for {spec.owner}"
            yield Violation("/networks", "network-not-allowed", message, f"Allowed: {allowed}")


def _capabilities(spec: JobSpec, policy: Policy) -> Iterator[Violation]:
    for name in spec.cap_add:
        if name not in GRANTABLE_CAPABILITIES:
            message = f"the capability {name} is never granted"
            yield Violation("/cap_add", "capability-not-allowed", message, "It would give power over the host.")
        elif name not in policy.capabilities:
            message = f"the capability {name} is not allowed for {spec.owner}"
            yield Violation("/cap_add", "capability-not-allowed", message, "The service file grants `capabilities`.")


def _packages(spec: JobSpec, granted: tuple[str, ...]) -> Iterator[Violation]:
    for name in spec.packages.managers:
        if name not in granted:
            message = f"packages of {name} are not allowed for {spec.owner}"
            allowed = f"Allowed: {', '.join(granted)}" if granted else "Use an image that has them."
            yield Violation(f"/packages/{name}", "packages-not-allowed", message, allowed)


def _interval(spec: JobSpec, shortest: float) -> Iterator[Violation]:
    if spec.schedule.kind is ScheduleKind.MANUAL:
        return
    # A line of five fields fires at most once a minute: no need to search.
    by_minute = spec.schedule.kind is ScheduleKind.CRON and len(spec.schedule.expression.split()) != 6
    if by_minute and shortest <= 60:
        return
    interval = written_interval(spec.schedule)
    if interval is not None and interval < shortest:
        message = f"fires every {format_duration(interval)}, but {spec.owner} may at most every "
        message += format_duration(shortest)
        yield Violation("/schedule", "interval-too-short", message)


# -- secrets ---------------------------------------------------------------------------------------------------


def may_have_secret(config: ServiceConfig, owner: str, name: str) -> bool:
    """With a policy of its own an owner has what it lists there; without one, what the global policy lists. Where the
    global policy lists none, that is every secret of a service without owners, and no secret of one with owners."""
    own, top = _own_policy(config, owner), config.policy.secrets
    if top is not None and not matches_any(top, name):
        return False
    if own is not None:
        return own.secrets is not None and matches_any(own.secrets, name)
    return top is not None or not config.owners


def _secrets(spec: JobSpec, policy: Policy, config: ServiceConfig) -> Iterator[Violation]:
    for index, ref in enumerate(spec.secrets):
        pointer = f"/secrets/{index}"
        if not may_have_secret(config, spec.owner, ref.name):
            hint = "The service file grants `secrets` by name, in the policy of each owner."
            yield Violation(
                pointer, "secret-not-allowed", f"the secret {ref.name} is not allowed for {spec.owner}", hint
            )
        elif ref.env and not policy.secrets_in_env:
            message = f"{spec.owner} may not have the secret {ref.name} as a variable"
            hint = f"Read the file /run/secrets/{ref.name}; or the service file grants `secrets_in_env: true`."
            yield Violation(pointer, "secret-in-env", message, hint)


# -- mounts ----------------------------------------------------------------------------------------------------


def _mounts(spec: JobSpec, policy: Policy, config: ServiceConfig) -> Iterator[Violation]:
    for index, mount in enumerate(spec.mounts):
        reason = _mount_fault(mount, policy, config)
        if reason:
            code, message, hint = reason
            yield Violation(f"/volumes/{index}", code, f"{message} for {spec.owner}", hint)


def _mount_fault(mount: Mount, policy: Policy, config: ServiceConfig) -> tuple[str, str, str] | None:
    if mount.type == "volume" and mount.external and mount.source not in policy.external_volumes:
        return (
            "volume-not-allowed",
            f"the external volume {mount.source} is not allowed",
            "The service file lists them.",
        )
    if mount.type != "bind":
        return None
    hidden = next(
        (path for path in _hidden_paths(config) if is_below(path, mount.source) or is_below(mount.source, path)), ""
    )
    if hidden:
        return (
            "bind-not-allowed",
            f"a bind of {mount.source} shows {hidden} and is not allowed",
            "No policy can allow it.",
        )
    if not _is_normal(mount.source) or not any(is_below(mount.source, root) for root in policy.binds):
        allowed = f"Allowed: {', '.join(policy.binds)}" if policy.binds else "Use a named volume, or `files:`."
        return "bind-not-allowed", f"a bind of {mount.source} is not allowed", allowed
    return None


def _hidden_paths(config: ServiceConfig) -> Iterator[str]:
    yield from _ENGINE_PATHS
    yield from (path.rstrip("/") for path in (config.state_dir, config.runtime_dir) if path)
    if config.docker_host.startswith("unix://"):
        yield config.docker_host.removeprefix("unix://")


def _is_normal(path: str) -> bool:
    """Absolute, with no part that climbs or stands still: the engine would resolve it to another place."""
    return path.startswith("/") and not any(part in ("", ".", "..") for part in path.split("/")[1:])


def is_below(path: str, root: str) -> bool:
    """Component by component: `/srv/data-evil` is not below `/srv/data`."""
    root = root.rstrip("/")
    return path == root or path.startswith(root + "/")


# -- limits ----------------------------------------------------------------------------------------------------


def _resources(spec: JobSpec, ceilings: Resources) -> Iterator[Violation]:
    for field in fields(Resources):
        ceiling, asked = getattr(ceilings, field.name), getattr(spec.resources, field.name)
        if ceiling is None or (asked is not None and asked <= ceiling):
            continue
        if asked is None and field.name == "gpus":
            continue  # none is what a job has by itself
        say = format_size if field.name in ("memory", "shm_size") else "{:g}".format
        pointer = f"/resources/{field.name}"
        if asked is None:
            message = f"{spec.owner} must limit {field.name}, to at most {say(ceiling)}"
            yield Violation(pointer, "limit-missing", message, f"resources: {{{field.name}: {say(ceiling)}}}")
        else:
            message = f"{field.name} {say(asked)} is more than the {say(ceiling)} that {spec.owner} may have"
            yield Violation(pointer, "limit-exceeded", message)


def _common(top: Iterable[str], own: Iterable[str]) -> tuple[str, ...]:
    allowed = set(top)
    return tuple(name for name in own if name in allowed)


def _narrowed(top: tuple[str, ...] | None, own: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """None = not restricted."""
    return own if top is None else top if own is None else _common(top, own)


def _common_roots(top: Iterable[str], own: Iterable[str]) -> Iterator[str]:
    """The deeper one of each pair where one lies below the other."""
    wide = tuple(top)
    for root in own:
        if any(is_below(root, other) for other in wide):
            yield root
        else:
            yield from (other for other in wide if is_below(other, root))


def _lower(top: Resources | None, own: Resources | None) -> Resources | None:
    """The lower ceiling of each limit."""
    if top is None or own is None:
        return top or own
    pairs = {field.name: (getattr(top, field.name), getattr(own, field.name)) for field in fields(Resources)}
    lower: dict[str, Any] = {
        name: min((v for v in pair if v is not None), default=None) for name, pair in pairs.items()
    }
    return Resources(**lower)
