"""In: a container and the body it should come from. Out: sentences on the fields of ours that no longer hold (rule P1).

Only what we set is compared, never the Engine's read-back of its own defaults.
"""

from collections.abc import Mapping

from ..model.live import LivePhase
from . import labels
from .docker_core import Found

STARTED = "its container was started by hand"
NOT_COMPARED = (labels.REVISION, labels.MAC)  # a new revision with the same digest is no change


def drift_of(found: Found, body: Mapping[str, object]) -> tuple[str, ...]:
    config, host = found.data["Config"], found.data["HostConfig"]
    sentences = [] if found.phase is LivePhase.CREATED else [STARTED]
    plain = ("User", "WorkingDir", "Entrypoint", "Cmd", "StopSignal", "StopTimeout")
    changed = [key for key in plain if key in body and _plain(config.get(key)) != _plain(body[key])]
    sentences += [f"{key} is no longer as applied" for key in changed]
    wanted_env = body["Env"]
    if isinstance(wanted_env, list) and not set(wanted_env) <= set(config.get("Env") or ()):
        sentences.append("Env is no longer as applied")
    wanted_labels = body["Labels"]
    if isinstance(wanted_labels, Mapping):
        kept = config.get("Labels") or {}
        if any(kept.get(key) != value for key, value in wanted_labels.items() if key not in NOT_COMPARED):
            sentences.append("its labels are no longer as applied")
    wanted_host = body["HostConfig"]
    if isinstance(wanted_host, Mapping):
        sentences += [
            f"{key} is no longer as applied"
            for key, value in wanted_host.items()
            if not _same(key, host.get(key), value)
        ]
    return tuple(sentences)


def _same(key: str, actual: object, wanted: object) -> bool:
    if key == "CapAdd":  # some Engines read capabilities back with their prefix
        return _capabilities(actual) == _capabilities(wanted)
    return _plain(actual) == _plain(wanted)


def _capabilities(value: object) -> set[str]:
    return {str(name).removeprefix("CAP_") for name in value} if isinstance(value, list) else set()


def _plain(value: object) -> object:
    """A value without empty parts: an Engine shows an unset field as null, "", 0 or []."""
    if isinstance(value, Mapping):
        parts = {key: _plain(item) for key, item in value.items()}
        return {key: item for key, item in parts.items() if item not in (None, "", 0, False, [], {})} or None
    if isinstance(value, list):
        return [_plain(item) for item in value] or None
    return value or None
