"""In: the final body of an exec request, its container and the policy. Out: nothing, or EngineRejected (rule S2).

The second, independent check for commands in other containers. What such a command may do is what its container may;
so the container is looked at as well, by guard_target.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from ..model.service import Policy
from .guard_parts import Check, GuardContext, every_key, exactly, refuse, require, texts
from .guard_target import Target, assert_enterable

SIGNALS = ("TERM", "KILL")


def assert_target(name: str, policy: Policy) -> None:
    """Raise EngineRejected (code `guard-refused`) unless policy lists a container of that name."""
    require(any(_glob(pattern, name) for pattern in policy.exec_in), "exec", f"in {name} is not granted")


def assert_entered(
    body: Mapping[str, object], policy: Policy, target: Target, protected: Sequence[str]
) -> None:  # fmt: skip
    """Raise EngineRejected (codes `guard-refused`, `exec-target-refused`) unless this may be run in this container.
    `protected`: paths of this host that no job may see."""
    assert_target(target.name, policy)
    _every_key(body, EXEC, policy)
    for key in ("AttachStdin", "AttachStdout", "AttachStderr", "Cmd"):
        require(key in body, f"exec/{key}", "is missing")
    assert_enterable(target, str(body.get("User", "")), protected)


def assert_signal(body: Mapping[str, object]) -> None:
    """The same for the request that ends such a command: nothing of a job file is in it but its user."""
    _every_key(body, {"Cmd": _signal, "User": _user}, Policy())
    require("Cmd" in body, "exec/Cmd", "is missing")


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
