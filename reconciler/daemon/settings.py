"""Command line, environment and service file -> ServiceConfig, in that order of precedence."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..model.errors import UsageError
from ..model.problem import SpecProblem
from ..model.service import DEFAULT_STATE_DIR, ServiceConfig, SourceConfig
from ..spec.service import parse_service

SYSTEM_FILE = "/etc/reconciler/reconciler.yaml"
MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Overrides:
    """What a command line may say; None = not said. `paths` replaces all configured paths."""

    config: str | None = None
    source: str | None = None
    ref: str | None = None
    paths: tuple[str, ...] | None = None
    engine: str | None = None
    state_dir: str | None = None

    def over(self, other: "Overrides") -> "Overrides":
        """Self where it says something, else `other`."""
        said = {name: getattr(self, name) for name in self.__slots__ if getattr(self, name) is not None}
        return replace(other, **said)


def from_environment(environ: Mapping[str, str]) -> Overrides:
    """RECONCILER_CONFIG, _SOURCE, _REF, _PATH (colon-separated), _ENGINE, _STATE_DIR; empty = not said."""

    def said(name: str) -> str | None:
        return environ.get(f"RECONCILER_{name}") or None

    paths = said("PATH")
    return Overrides(
        said("CONFIG"), said("SOURCE"), said("REF"), tuple(paths.split(":")) if paths else None, said("ENGINE"),
        said("STATE_DIR"),
    )  # fmt: skip


def default_state_dir(environ: Mapping[str, str], uid: int) -> str:
    """/var/lib/reconciler for root and under systemd, else the user's own state directory."""
    if environ.get("STATE_DIRECTORY"):
        return environ["STATE_DIRECTORY"].split(":")[0]
    if uid == 0:
        return DEFAULT_STATE_DIR
    base = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME", "/")) / ".local/state")
    return str(Path(base) / "reconciler")


def load(
    said: Overrides, environ: Mapping[str, str] | None = None, *, asking: bool = False, system_file: str = SYSTEM_FILE
) -> tuple[ServiceConfig, tuple[SpecProblem, ...]]:
    """The configuration in force and what is wrong with the service file. Raises UsageError if the file named
    cannot be read; a missing default file is simply absent. For whoever is only `asking` the system's own service, a
    system file that is not theirs to read says that there is one, and where it listens."""
    environ = os.environ if environ is None else environ
    said = said.over(from_environment(environ))
    path = said.config or system_file
    hidden = asking and said.config is None and is_hidden(path)
    data = None if hidden else _read(path, required=said.config is not None)
    config, problems = parse_service(data, path)
    installed = hidden or (data is not None and path == system_file)
    return _override(config, said, environ, installed=installed), problems


def is_hidden(path: str = SYSTEM_FILE) -> bool:
    """It may be there, and this user may not read it."""
    try:
        with Path(path).open("rb"):
            return False
    except PermissionError:
        return True
    except OSError:
        return False


def _read(path: str, *, required: bool) -> bytes | None:
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        if not required:
            return None
        raise UsageError(f"cannot read service file {path}: it does not exist", code="config-missing") from None
    except OSError as error:
        raise UsageError(f"cannot read service file {path}: {error.strerror}", code="config-unreadable") from error
    if len(data) > MAX_BYTES:
        raise UsageError(f"cannot read service file {path}: larger than 1 MiB", code="config-unreadable")
    return data


def _override(config: ServiceConfig, said: Overrides, environ: Mapping[str, str], *, installed: bool) -> ServiceConfig:
    source = config.source
    if said.source is not None:
        source = replace(source, url=said.source)
    if said.ref is not None:
        source = replace(source, ref=said.ref)
    if said.paths is not None:
        source = replace(source, paths=said.paths)
    if said.engine is not None and said.engine not in ("docker", "process", "memory", "auto"):
        raise UsageError(
            f"cannot use engine {said.engine!r}: it is none of auto, docker, process, memory", code="engine-unknown"
        )
    state_dir = said.state_dir or config.state_dir
    if not said.state_dir and not installed and config.state_dir == DEFAULT_STATE_DIR:
        # No file has named one, and none speaks for the system's own service: then it is this user's.
        state_dir = default_state_dir(environ, os.geteuid())
    source = _absolute(source)
    return replace(
        config,
        source=source,
        allow_rewrite=config.allow_rewrite or _amended(source),
        engine=said.engine or config.engine,
        state_dir=str(Path(state_dir).absolute()),
        runtime_dir=config.runtime_dir or environ.get("RUNTIME_DIRECTORY", "").split(":")[0],
    )


def _amended(source: SourceConfig) -> bool:
    """A work repository, amended by hand all day (rule D5). Where commits must be signed, none may be put back."""
    return source.require_signed == "none" and (Path(source.url) / ".git").exists()


def _absolute(source: SourceConfig) -> SourceConfig:
    """A relative path means this directory now, not wherever the service may stand later."""
    is_path = "://" not in source.url and ":" not in source.url.split("/", 1)[0]
    return replace(source, url=str(Path(source.url).absolute())) if is_path else source


def socket_path(config: ServiceConfig) -> Path:
    """Where the service listens: its runtime directory; /run/reconciler for the system's own; else the state's."""
    if not config.runtime_dir and config.state_dir == DEFAULT_STATE_DIR:
        return Path("/run/reconciler/reconciler.sock")
    return Path(config.runtime_dir or config.state_dir) / "reconciler.sock"
