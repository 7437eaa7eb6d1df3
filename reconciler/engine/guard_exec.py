"""In: the final body of an exec request, its container and the policy. Out: nothing, or EngineRejected (rule S2).

The second, independent check for commands in other containers. What such a command may do is what its container may;
so the container is looked at as well: one that has the host, or is ours, is never entered.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..model.errors import EngineRejected
from ..model.service import Policy
from .guard_parts import Check, GuardContext, every_key, exactly, refuse, require, texts

LABELS_OF_OURS = "io.reconciler."
SIGNALS = ("TERM", "KILL")
HINT = "A job can only run in a plain container of somebody else, as a user that is not more than its own."


@dataclass(frozen=True, slots=True)
class Target:
    """A container as its inspection shows it."""

    name: str
    data: Mapping[str, Any]


def assert_target(name: str, policy: Policy) -> None:
    """Raise EngineRejected (code `guard-refused`) unless policy lists a container of that name."""
    require(any(_glob(pattern, name) for pattern in policy.exec_in), "exec", f"in {name} is not granted")


def assert_entered(body: Mapping[str, object], policy: Policy, target: Target) -> None:
    """Raise EngineRejected (codes `guard-refused`, `exec-target-refused`) unless this may be run in this container."""
    assert_target(target.name, policy)
    _container(target)
    _every_key(body, EXEC, policy)
    for key in ("AttachStdin", "AttachStdout", "AttachStderr", "Cmd"):
        require(key in body, f"exec/{key}", "is missing")
    if _is_root(str(body.get("User", ""))) and not _is_root(str(target.data["Config"].get("User") or "root")):
        _refuse(target, "runs as another user than root, so no job may be root in it")


def assert_signal(body: Mapping[str, object]) -> None:
    """The same for the request that ends such a command: nothing of a job file is in it but its user."""
    _every_key(body, {"Cmd": _signal, "User": _user}, Policy())
    require("Cmd" in body, "exec/Cmd", "is missing")


def _container(target: Target) -> None:
    data = target.data
    host, labels = data["HostConfig"], data["Config"].get("Labels") or {}
    if any(str(key).startswith(LABELS_OF_OURS) for key in labels):
        _refuse(target, "bears labels of the reconciler: a job's container is that job's alone")
    if host.get("Privileged"):
        _refuse(target, "is privileged: who is in it has the host")
    if host.get("PidMode") == "host":
        _refuse(target, "sees the processes of the host")


def _refuse(target: Target, why: str) -> None:
    raise EngineRejected(f"cannot run in {target.name}: it {why}", code="exec-target-refused", hint=HINT)


def _every_key(
    body: Mapping[str, object], table: Mapping[str, Callable[[object, str, Check], None]], policy: Policy
) -> None:
    every_key(body, table, "exec/", Check(policy, GuardContext("", "", "")))


def _argv(value: object, where: str, check: Check) -> None:
    texts(value, where, check)
    shell = isinstance(value, list) and value[:2] == ["sh", "-c"] and len(value) > 4
    require(shell, where, "is not a command behind our gate")


def _signal(value: object, where: str, check: Check) -> None:
    texts(value, where, check)
    plain = isinstance(value, list) and len(value) == 6 and value[:2] == ["sh", "-c"] and value[4] in SIGNALS
    require(plain and isinstance(value, list) and re.fullmatch(r"[0-9a-f]{32}", value[5]) is not None, where,
             "is no signal to a run of ours")  # fmt: skip


def _environment(value: object, where: str, check: Check) -> None:
    texts(value, where, check)
    for item in value if isinstance(value, list) else ():
        require(re.match(r"[^=\0]+=", item) is not None, where, "holds an entry that is not NAME=value")


def _user(value: object, where: str, _check: Check) -> None:
    require(isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)?", value) is not None, where,
             "is not a user or user:group")  # fmt: skip


def _absolute(value: object, where: str, _check: Check) -> None:
    require(isinstance(value, str) and value.startswith("/") and "\0" not in value, where, "is not an absolute path")


def _never(_value: object, where: str, _check: Check) -> None:
    refuse(where, "is a power that is never given")


def _is_root(user: str) -> bool:
    name = user.partition(":")[0]
    return name == "root" or (name.isdecimal() and int(name) == 0)


def _glob(pattern: str, name: str) -> bool:
    """`*` and `?`; a name has no parts, so `**` is nothing else."""
    parts = re.split(r"(\*+|\?)", pattern)
    wild = {"*": ".*", "?": "."}
    return re.fullmatch("".join(wild.get(part[:1]) or re.escape(part) for part in parts), name) is not None


EXEC: Mapping[str, Callable[[object, str, Check], None]] = {
    "AttachStdin": exactly(True),
    "AttachStdout": exactly(True),
    "AttachStderr": exactly(True),
    "Cmd": _argv,
    "Env": _environment,
    "User": _user,
    "WorkingDir": _absolute,
    "Privileged": _never,
    "Tty": _never,
    "DetachKeys": _never,
    "ConsoleSize": _never,
}
