"""In: the bytes of the service file. Out: its ServiceConfig, and every problem. Read as strictly as a job file."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..model.job import Resources
from ..model.problem import SpecProblem
from ..model.secret import StoreConfig
from ..model.service import (
    GRANTABLE_CAPABILITIES,
    Credential,
    DeviceConfig,
    GitConfig,
    Limits,
    Owner,
    PackageConfig,
    Policy,
    Registry,
    ServiceConfig,
    SourceConfig,
    Total,
)
from ..schedule.zones import find_zone, zone_hint
from .admission import is_below
from .document import Document, guarded, read_document
from .durations import parse_duration, parse_size
from .fields import MIN_MEMORY
from .people import faults, key_faults, people_from

Tokens = tuple[str, ...]
Parsed = tuple[ServiceConfig, tuple[SpecProblem, ...]]

_ANY_PIDS = 1 << 22  # the kernel's own bound: a ceiling that leaves `pids_limit` out does not limit it
_DURATIONS = frozenset(
    {
        "poll_interval",
        "timeout",
        "queue_timeout",
        "prepare_timeout",
        "default_timeout",
        "dev_timeout",
        "min_interval",
        "keep_unused",
    }
)
_SIZES = frozenset({"memory", "shm_size", "run_log_bytes", "outputs_bytes", "code_bytes", "repository_bytes",
                    "checkout_bytes"})  # fmt: skip
# What each type of secret store needs.
_STORES: dict[str, set[str]] = {
    "directory": {"path"}, "credentials": set(), "age": {"path", "identity_file"}, "environment": {"prefix"},
}  # fmt: skip
_MAY_BE_ZERO = frozenset({"min_interval", "queue_timeout", "checkout_bytes"})


def parse_service(data: bytes | None, path: str) -> Parsed:
    """None = there is no file: every default. With an error among the problems the config is the default one, and not
    to be used. Never raises on bad input."""
    if data is None:
        return ServiceConfig(), ()
    document = read_document(data, path, "service")
    if not isinstance(document, Document):
        return ServiceConfig(), document
    parsed = guarded(path, lambda: _Service(document).parse())
    return parsed if isinstance(parsed[0], ServiceConfig) else (ServiceConfig(), parsed)


class _Service:
    """One service file; problems are collected, values that are wrong are passed over."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.data: dict[str, Any] = document.data
        self.problems: list[SpecProblem] = []

    def parse(self) -> Parsed:
        said = self.data
        plain = ("instance", "engine", "docker_host", "engine_paths", "process_user", "timezone", "state_dir",
                 "runtime_dir", "on_invalid", "allow_rewrite")  # fmt: skip
        config = ServiceConfig(
            **{name: said[name] for name in plain if name in said},
            source=self._source(),
            git=self._git(),
            registries={host: Registry(**login) for host, login in said.get("registries", {}).items()},
            sizes={name: self._resources(size, ("sizes", name)) for name, size in said.get("sizes", {}).items()},
            limits=Limits(**self._section("limits")),
            policy=self._policy(said.get("policy", {}), ("policy",)),
            people=people_from(said),
            owners=tuple(self._owners()),
            devices=DeviceConfig(self._gpus()),
            packages=PackageConfig(**self._section("packages")),
            secret_stores=tuple(self._stores()),
        )
        self._check(config)
        if any(problem.is_error for problem in self.problems):
            return ServiceConfig(), tuple(self.problems)
        return config, tuple(self.problems)

    def report(self, tokens: Tokens, code: str, message: str, hint: str = "", *, warning: bool = False) -> None:
        self.problems.append(self.document.problem(tokens, code, message, hint, warning=warning))

    # -- sections ---------------------------------------------------------------------------------------------

    def _section(self, name: str) -> dict[str, Any]:
        return self._converted(self.data.get(name, {}), (name,))

    def _converted(self, values: Mapping[str, Any], tokens: Tokens) -> dict[str, Any]:
        """Durations to seconds, sizes to bytes, lists to tuples."""
        found: dict[str, Any] = {}
        for name, value in values.items():
            if name in _DURATIONS:
                value = self._number(parse_duration, value, (*tokens, name))
            elif name in _SIZES:
                value = self._number(parse_size, value, (*tokens, name))
            found[name] = tuple(value) if isinstance(value, list) else value
        return found

    def _number(self, parse: Callable[[str], float], text: str, tokens: Tokens) -> float:
        try:
            number = parse(text)
        except ValueError as error:
            self.report(tokens, "value-invalid", f"{'.'.join(tokens)} is {error}")
            return 1.0
        if not number and tokens[-1] not in _MAY_BE_ZERO:
            self.report(tokens, "value-out-of-range", f"{'.'.join(tokens)} must be more than nothing")
        return number

    def _source(self) -> SourceConfig:
        said = self._section("source")
        if "paths" in said:
            said["paths"] = tuple(path.strip("/") if path != "." else "" for path in said["paths"])
            for index, path in enumerate(self.data["source"]["paths"]):
                if path.startswith("/") or any(part in ("..", ".git") for part in path.split("/")):
                    message = "source.paths are relative to the root of the repository, without `..`"
                    self.report(("source", "paths", str(index)), "path-invalid", message)
        return SourceConfig(**said)

    def _git(self) -> GitConfig:
        said = self._section("git")
        return GitConfig(**{**said, **_credentials(said)})

    def _resources(self, said: Mapping[str, Any], tokens: Tokens) -> Resources:
        limits = Resources(**self._converted(said, tokens))
        if limits.memory is not None and limits.memory < MIN_MEMORY:
            self.report((*tokens, "memory"), "value-out-of-range", "memory must be at least 6m")
        return limits

    def _gpus(self) -> tuple[str, ...] | None:
        """One notation for all: of an index and a UUID nobody can tell here whether they are one device."""
        said = self.data.get("devices", {}).get("gpus")
        if said is None:
            return None
        for index, name in enumerate(said):
            if name in said[:index]:
                self.report(("devices", "gpus", str(index)), "gpu-twice", f"the GPU {name} is in the list twice")
            elif name.isdecimal() != said[0].isdecimal():
                message = "indices and UUIDs stand in one list, so one GPU may be in it twice"
                self.report(("devices", "gpus", str(index)), "gpu-twice", message, "See: nvidia-smi -L")
        return tuple(said)

    def _stores(self) -> Iterator[StoreConfig]:
        for index, said in enumerate(self.data.get("secret_stores", ())):
            tokens, kind = ("secret_stores", str(index)), said["type"]
            needed = _STORES[kind]
            for name in sorted(needed - said.keys()):
                self.report(tokens, "store-incomplete", f"a store of type {kind} needs `{name}`")
            for name in sorted(said.keys() - needed - {"type"}):
                self.report((*tokens, name), "store-incomplete", f"a store of type {kind} has no `{name}`")
            path = said.get("path", "")
            if path and kind == "directory" and not path.startswith("/"):
                self.report((*tokens, "path"), "path-invalid", "the directory of a store is an absolute path")
            if kind == "age":
                path = "" if path == "." else path.strip("/")
                if said.get("path", "").startswith("/") or any(part in ("..", ".git") for part in path.split("/")):
                    message = "the path of a store of type age is relative to the root of the repository, without `..`"
                    self.report((*tokens, "path"), "path-invalid", message)
            yield StoreConfig(kind, path, said.get("identity_file", ""), said.get("prefix", ""))

    def _policy(self, said: Mapping[str, Any], tokens: Tokens) -> Policy:
        found = self._converted({key: value for key, value in said.items() if key != "max_resources"}, tokens)
        found["capabilities"] = tuple(name.removeprefix("CAP_") for name in found.get("capabilities", ()))
        for index, name in enumerate(found["capabilities"]):
            if name not in GRANTABLE_CAPABILITIES:
                hint = f"Can be granted: {', '.join(sorted(GRANTABLE_CAPABILITIES))}"
                self.report(
                    (*tokens, "capabilities", str(index)), "capability-not-allowed", f"{name} is never granted", hint
                )
        for index, root in enumerate(found.get("binds", ())):
            if any(part in ("", ".", "..") for part in root.rstrip("/").split("/")[1:]):
                message = "a path must not hold `.`, `..` or empty parts"
                self.report((*tokens, "binds", str(index)), "path-invalid", message)
        if "max_resources" in said:
            ceiling = self._resources(said["max_resources"], (*tokens, "max_resources"))
            left_out = "pids_limit" not in said["max_resources"]
            found["max_resources"] = replace(ceiling, pids_limit=_ANY_PIDS) if left_out else ceiling
        return Policy(**found)

    def _owners(self) -> Iterator[Owner]:
        for name, said in self.data.get("owners", {}).items():
            tokens = ("owners", name, "policy")
            policy = self._policy(said["policy"], tokens) if "policy" in said else None
            total = Total(**self._converted(said.get("total", {}), ("owners", name, "total")))
            members = tuple(said.get("members", ()))
            yield Owner(name, tuple(said["paths"]), policy, members, total, **_credentials(said))

    # -- what only the whole file tells -----------------------------------------------------------------------

    def _check(self, config: ServiceConfig) -> None:
        if find_zone(config.timezone) is None:
            hint = zone_hint(config.timezone)
            self.report(("timezone",), "timezone-unknown", f'unknown time zone "{config.timezone}"', hint)
        for fault in (*faults(config.people, config.owners), *key_faults(self.data)):
            self.report(*fault)
        if config.source.require_signed != "none":
            self._check_signed(config)
        for owner in config.owners:
            if owner.policy is not None:
                self._check_ceiling(owner.name, owner.policy, config.policy)

    def _check_signed(self, config: ServiceConfig) -> None:
        if not any(person.signing_key for person in config.people):
            message = "commits must be signed, and nobody of `people` has a signing_key: none could be applied"
            hint = 'people: {anna: {signing_key: "ssh-ed25519 AAAA..."}}'
            self.report(("source", "require_signed"), "no-signing-key", message, hint)
        if config.allow_rewrite:
            message = "with allow_rewrite an older signed commit could be put back over a newer one"
            self.report(("allow_rewrite",), "signed-rewrite", message, "Remove it, or source.require_signed.")

    def _check_ceiling(self, name: str, own: Policy, top: Policy) -> None:
        """What an owner is granted beyond the ceiling grants nothing: said, so that nobody wonders."""
        beyond = [("networks", item) for item in own.networks if item not in top.networks]
        beyond += [("capabilities", item) for item in own.capabilities if item not in top.capabilities]
        beyond += [("external_volumes", item) for item in own.external_volumes if item not in top.external_volumes]
        beyond += [("gpus", "gpus")] if own.gpus and not top.gpus else []
        beyond += [("exec_in", item) for item in own.exec_in if not top.exec_in]
        for root in own.binds:
            if not any(is_below(root, other) or is_below(other, root) for other in top.binds):
                beyond.append(("binds", root))
        for section, item in beyond:
            message = f"{item} is granted to {name}, but policy.{section} does not list it, so it is not granted"
            hint = "The global policy is the ceiling: add it there too."
            self.report(("owners", name, "policy", section), "beyond-ceiling", message, hint, warning=True)


def _credentials(said: Mapping[str, Any]) -> dict[str, tuple[Credential, ...]]:
    return {name: tuple(Credential(**item) for item in said.get(name, ())) for name in ("deploy_keys", "tokens")}
