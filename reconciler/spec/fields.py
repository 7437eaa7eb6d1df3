"""In: one value of a job file, as the schema lets it through. Out: the same in one form, typed; or what is wrong.

Short and long forms become one here, so that defaults can be merged by key whichever form each file chose.
"""

import re
import shlex
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from posixpath import normpath
from typing import Any, TypeVar

from ..model.job import After, Concurrency, Mount, WaitFor
from .durations import parse_duration, parse_size

E = TypeVar("E", bound=StrEnum)
Tokens = tuple[str, ...]
Report = Callable[..., None]  # (tokens, code, message, hint, warning=False); tokens are relative to the field

LONGEST_HOLD = 30 * 86400.0  # seconds
MIN_MEMORY = 6 << 20  # the Docker Engine's own bound
_VOLUME_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}\Z")
_SHELL_WORDS = frozenset({"|", "||", "&", "&&", ";", ">", ">>", "<", "2>", "2>&1"})
_CLOSED_TARGETS = ("/proc", "/sys", "/dev", "/run/secrets")
RESERVED_LABELS = "io.reconciler."
RESERVED_VARIABLES = "RECONCILER_"


def key_values(value: Any, report: Report) -> dict[str, str]:
    """A map, or a list of `KEY=value`, as a map."""
    if isinstance(value, dict):
        return value
    found: dict[str, str] = {}
    for index, item in enumerate(value):
        key, _, text = item.partition("=")
        if key in found:
            report((str(index),), "duplicate-key", f'"{key[:80]}" is in the list twice', "Keep one of the two.")
        found[key] = text
    return found


def labels(value: Any, report: Report) -> dict[str, str]:
    found = key_values(value, report)
    for key in found:
        if key.startswith(RESERVED_LABELS):
            report((key,), "label-reserved", f"labels that begin with {RESERVED_LABELS} are the reconciler's own")
    return found


def environment(value: Any, report: Report) -> dict[str, str]:
    found = key_values(value, report)
    for key in found:
        if key.startswith(RESERVED_VARIABLES):
            message = f"variables that begin with {RESERVED_VARIABLES} are set by the reconciler"
            report((key,), "variable-reserved", message, "Choose another name.")
    return found


def argv(value: Any, report: Report) -> tuple[str, ...]:
    """Compose's rule: a list is arguments, a string is split like a command line, and no shell ever sees it."""
    if isinstance(value, list):
        return tuple(value)
    try:
        words = _split(value)
    except ValueError:
        report((), "quotes-open", "a quote or backslash at the end is not closed", "Or write it as a list.")
        return ()
    if not _SHELL_WORDS.isdisjoint(words):
        hint = "Use `script:` for pipes and redirections."
        report((), "not-a-shell", "no shell sees this: |, &&, ; and > are plain arguments", hint, warning=True)
    return words


@lru_cache(maxsize=1024)
def _split(text: str) -> tuple[str, ...]:
    return tuple(shlex.split(text))


def duration(value: Any, report: Report) -> float:
    try:
        return parse_duration(value)
    except ValueError as error:
        report((), "value-invalid", f"the duration is {error}")
        return 0.0


def positive_duration(value: Any, report: Report) -> float:
    seconds = duration(value, report)
    if seconds <= 0:
        report((), "value-out-of-range", "the duration must be more than nothing")
    return seconds


def hold(value: Any, report: Report) -> float:
    seconds = duration(value, report)
    if seconds > LONGEST_HOLD:
        report((), "value-out-of-range", "a container is kept for 30 days at most", "Copy out what you need.")
    return seconds


def size(value: Any, report: Report, *tokens: str) -> int:
    try:
        return parse_size(value)
    except ValueError as error:
        report(tokens, "value-invalid", f"the size is {error}")
        return 0


def resources(value: Any, report: Report) -> dict[str, Any]:
    """`cpus`, `memory`, `pids_limit`, `shm_size` in cores, bytes and counts; `size` stays a name."""
    found = dict(value)
    for key in ("memory", "shm_size"):
        if key in found:
            found[key] = size(found[key], report, key)
            if found[key] < (MIN_MEMORY if key == "memory" else 1):
                report((key,), "value-out-of-range", f"{key} must be at least {'6m' if key == 'memory' else '1 byte'}")
    return found


def retries(value: Any, report: Report) -> dict[str, Any]:
    if isinstance(value, int):
        return {"limit": value}
    found = dict(value)
    for key in ("delay", "max_delay"):
        if key in found:
            found[key] = duration(found[key], lambda _, *rest, key=key: report((key,), *rest))
    if "on_exit_codes" in found:
        found["on_exit_codes"] = tuple(sorted(set(found["on_exit_codes"])))
    return found


def history(value: Any, report: Report) -> dict[str, Any]:
    found = dict(value)
    if "keep_for" in found:
        found["keep_for"] = duration(found["keep_for"], lambda _, *rest: report(("keep_for",), *rest))
    return found


@lru_cache(maxsize=64)
def member(kind: type[E], value: str) -> E:
    """`kind(value)`, without an enum's own slow call."""
    return kind(value)


def concurrency(value: Any, report: Report) -> Concurrency:  # noqa: ARG001
    found: Concurrency = member(Concurrency, value.capitalize())
    return found


def queue(value: Any, report: Report) -> dict[str, Any]:
    """`limit` as a count, `timeout` in seconds."""
    found = dict(value)
    if "timeout" in found:
        found["timeout"] = positive_duration(found["timeout"], lambda _, *rest: report(("timeout",), *rest))
    return found


def after(value: Any, report: Report) -> tuple[After, ...]:
    return tuple(After(**item) for item in _once(value, report))


def wait_for(value: Any, report: Report) -> tuple[WaitFor, ...]:
    """`within` in seconds."""
    found = []
    for index, item in enumerate(_once(value, report)):
        if "within" in item:
            place = str(index)
            within = positive_duration(item["within"], lambda _, *rest, p=place: report((p, "within"), *rest))
            item = {**item, "within": within}
        found.append(WaitFor(**item))
    return tuple(found)


def _once(items: Any, report: Report) -> list[dict[str, Any]]:
    """Each item names another job."""
    seen: set[str] = set()
    for index, item in enumerate(items):
        if item["job"] in seen:
            report((str(index), "job"), "job-twice", f'"{item["job"]}" is in the list twice', "Keep one of the two.")
        seen.add(item["job"])
    return list(items)


def outputs(value: Any, report: Report) -> str:
    check_target(value, (), report)
    return str(value)


def capabilities(value: Any, report: Report) -> tuple[str, ...]:  # noqa: ARG001
    return tuple(sorted({name.removeprefix("CAP_") for name in value}))


def networks(value: Any, report: Report) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(value))
    if len(names) > 1 and "none" in names:
        report((), "network-none", "`none` means no network at all, so it must stand alone")
    return names


def files(value: Any, report: Report) -> dict[str, Any]:
    """By target: a map with either `content` or `from`, and `mode` as a number."""
    found = {}
    for target, file in value.items():
        check_target(target, (target,), report)
        if ("content" in file) == ("from" in file):
            report((target,), "file-source", "a file needs either `content` or `from`")
        found[target] = {**file, "mode": int(file.get("mode", "0444"), 8)}
    return found


# -- volumes ---------------------------------------------------------------------------------------------------


def volumes(value: Any, report: Report) -> tuple[Mount, ...]:
    """Compose's short and long form, in file order."""
    return tuple(
        _short(item, str(index), report) if isinstance(item, str) else _long(item, str(index), report)
        for index, item in enumerate(value)
    )


def _short(text: str, index: str, report: Report) -> Mount:
    source, target, *rest = text.split(":")
    options = rest[0].split(",") if rest else []
    unknown = [option for option in options if option not in ("ro", "rw")]
    if unknown:
        report((index,), "volume-option", f'the option "{unknown[0]}" is not known', "Known are ro and rw.")
    kind = "bind" if source.startswith(("/", ".", "~")) else "volume"
    return _checked(Mount(kind, source, target.rstrip("/") or "/", "ro" in options), (index,), report)


def _long(item: dict[str, Any], index: str, report: Report) -> Mount:
    kind = item.get("type", "volume")
    options = item.get("tmpfs", {})
    if kind != "tmpfs" and "tmpfs" in item:
        report((index, "tmpfs"), "volume-option", "`tmpfs` belongs to a volume of `type: tmpfs`")
    if kind == "tmpfs" and "source" in item:
        report((index, "source"), "volume-option", "a tmpfs has no source")
    if kind != "tmpfs" and "source" not in item:
        report((index,), "field-missing", f"a {kind} needs a source", "For scratch space use `type: tmpfs`.")
    if kind != "volume" and item.get("external"):
        report((index, "external"), "volume-option", "only a named volume can be external")
    mount = Mount(
        type=kind,
        source=item.get("source", ""),
        target=item["target"].rstrip("/") or "/",
        read_only=item.get("read_only", False),
        external=item.get("external", False),
        size=size(options["size"], report, index, "tmpfs", "size") if "size" in options else None,
        mode=int(options["mode"], 8) if "mode" in options else None,
    )
    return _checked(mount, (index,), report)


def _checked(mount: Mount, tokens: Tokens, report: Report) -> Mount:
    check_target(mount.target, tokens, report)
    if mount.type == "bind" and mount.source:
        if not mount.source.startswith("/") or mount.source.startswith("//"):
            report(tokens, "bind-source", "the host path of a bind must be absolute",
                   "A file of the repository goes into `files:`.")  # fmt: skip
        elif normpath(mount.source) != mount.source and normpath(mount.source) + "/" != mount.source:
            report(tokens, "bind-source", "the host path of a bind must not hold `.`, `..` or empty parts")
        return mount if mount.source == "/" else _without_slash(mount)
    if mount.type == "volume" and mount.source and _VOLUME_NAME.match(mount.source) is None:
        hint = "A host path begins with a slash."
        report(tokens, "volume-name", "the name of a volume is letters, digits and _ . -, at most 128", hint)
    return mount


def _without_slash(mount: Mount) -> Mount:
    source = mount.source.rstrip("/")
    return mount if source == mount.source else Mount(mount.type, source, mount.target, mount.read_only)


@lru_cache(maxsize=4096)
def target_fault(target: str) -> str:
    if target == "/":
        return "nothing can be mounted over the root of the container"
    if not target.startswith("/") or target.startswith("//"):
        return "the target must be an absolute path"
    if normpath(target) != target:
        return "the target must not hold `.`, `..`, empty parts or a slash at its end"
    if any(target == root or target.startswith(root + "/") for root in _CLOSED_TARGETS) and target != "/dev/shm":  # noqa: S108
        return "this target belongs to the system"
    return ""


def check_target(target: str, tokens: Tokens, report: Report) -> None:
    """Reports a place in the container where nothing can be mounted."""
    fault = target_fault(target)
    if fault:
        report(tokens, "target-invalid", fault, "Use an absolute path such as /data.")
