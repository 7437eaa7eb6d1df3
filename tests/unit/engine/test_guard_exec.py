"""Promise: a command enters another container only as policy and that container allow, whoever asks (rule S2)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from reconciler.engine import labels
from reconciler.engine.docker_body import Acquired, create_body
from reconciler.engine.docker_exec_body import exec_body, mark_of, signal_body
from reconciler.engine.guard import GuardContext, assert_allowed
from reconciler.engine.guard_exec import EXEC, Target, assert_entered, assert_signal
from reconciler.engine.labels import Kind, Mark
from reconciler.model.errors import EngineRejected
from reconciler.model.job import Resources
from reconciler.model.service import Policy
from tests.kit.orders import engine_context, make_spec, run_order

CONTEXT = engine_context("/state", "db1")
SPEC = make_spec(script="vacuumdb", image="", exec_in="shop-db-1", user="70", working_dir="/srv")
ORDER = replace(run_order(SPEC), environment=(("A", "b=c"), ("E", "")))
MARK = mark_of(CONTEXT, ORDER.run_id)
POLICY = Policy(exec_in=("shop-*",))
# The keys of the exec request in the Engine API.
API_EXEC = {"AttachStdin", "AttachStdout", "AttachStderr", "ConsoleSize", "DetachKeys", "Tty", "Env", "Cmd",
            "Privileged", "User", "WorkingDir"}  # fmt: skip


def target(name: str = "shop-db-1", user: str = "", marked: Mapping[str, str] | None = None, **host: Any) -> Target:
    return Target(name, {"Config": {"User": user, "Labels": marked}, "HostConfig": {"PidMode": "", **host}})


def refused(body: Mapping[str, object], policy: Policy = POLICY, found: Target | None = None) -> str:
    with pytest.raises(EngineRejected) as caught:
        assert_entered(body, policy, found or target())
    assert caught.value.hint
    return caught.value.code


def test_what_is_built_is_allowed() -> None:
    body = exec_body(ORDER, MARK)
    assert_entered(body, POLICY, target())
    assert body["Env"] == ["A=b=c", "E=", f"RECONCILER_EXEC={MARK}"]


def test_every_key_of_the_API_is_decided() -> None:
    assert set(EXEC) == API_EXEC


WORSE: dict[str, dict[str, object]] = {
    "all powers": {"Privileged": True}, "no powers, but said": {"Privileged": False}, "a terminal": {"Tty": True},
    "keys to leave it": {"DetachKeys": "x"}, "a console": {"ConsoleSize": [1, 1]}, "an unknown key": {"Runtime": "x"},
    "a command without its gate": {"Cmd": ["vacuumdb"]}, "no command": {"Cmd": ["sh", "-c", "x", "reconciler"]},
    "a command as text": {"Cmd": "sh -c x y z"}, "a variable without a name": {"Env": ["=x"]},
    "a variable that is none": {"Env": ["x"]}, "a user of another form": {"User": "a b"},
    "a relative directory": {"WorkingDir": "srv"}, "input that is not attached": {"AttachStdin": False},
    "an attached number": {"AttachStdout": 1},
}  # fmt: skip


@pytest.mark.parametrize("more", WORSE.values(), ids=WORSE)
def test_S2_is_refused(more: dict[str, object]) -> None:
    assert refused({**exec_body(ORDER, MARK), **more}) == "guard-refused"


@pytest.mark.parametrize("key", ["AttachStdin", "AttachStdout", "AttachStderr", "Cmd"])
def test_S2_what_makes_it_ours_must_be_there(key: str) -> None:
    body = exec_body(ORDER, MARK)
    del body[key]
    assert refused(body) == "guard-refused"


@pytest.mark.parametrize("globs", [(), ("shop",), ("shop-db",), ("*-2",), ("shop-db-1?",), ("SHOP-*",)])
def test_S2_the_name_is_compared_whole(globs: tuple[str, ...]) -> None:
    assert refused(exec_body(ORDER, MARK), Policy(exec_in=globs)) == "guard-refused"


@pytest.mark.parametrize("globs", [("shop-db-1",), ("*",), ("shop-??-?",), ("no", "sh*1"), ("**",)])
def test_S2_a_glob_that_matches_is_enough(globs: tuple[str, ...]) -> None:
    assert_entered(exec_body(ORDER, MARK), Policy(exec_in=globs), target())


NEVER = {
    "a privileged one": target(Privileged=True),
    "one with the host's processes": target(PidMode="host"),
    "one of this reconciler": target(marked={"io.reconciler.instance": "db1"}),
    "one of another reconciler": target(marked={"io.reconciler.kind": "run"}),
}


@pytest.mark.parametrize("found", NEVER.values(), ids=NEVER)
def test_S2_is_never_entered(found: Target) -> None:
    assert refused(exec_body(ORDER, MARK), POLICY, found) == "exec-target-refused"


USERS = [
    ("root", "postgres", False), ("0", "70", False), ("0:0", "70", False), ("00:70", "70:70", False),
    (None, "70", True), ("70", "", True), ("root", "", True), ("0", "root", True), ("0", "0:0", True),
    ("71", "70", True),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "own", "allowed"), USERS)
def test_S2_nobody_is_root_where_the_container_is_not(asked: str | None, own: str, allowed: bool) -> None:
    body = exec_body(replace(ORDER, spec=replace(SPEC, user=asked)), MARK)
    if allowed:
        assert_entered(body, POLICY, target(user=own))
    else:
        assert refused(body, POLICY, target(user=own)) == "exec-target-refused"


def test_S2_a_signal_is_nothing_but_a_signal() -> None:
    assert_signal(signal_body("TERM", MARK, ""))
    assert_signal(signal_body("KILL", MARK, "70:70"))
    for body in (signal_body("HUP", MARK, ""), signal_body("TERM", "x; rm", ""), {"User": "0"},
                 {**signal_body("TERM", MARK, ""), "Privileged": True}):  # fmt: skip
        with pytest.raises(EngineRejected) as caught:
            assert_signal(body)
        assert caught.value.code == "guard-refused"


# -- what only stands for it -----------------------------------------------------------------------------------------

GUARD = GuardContext("db1", "default", "", exec_in="shop-db-1")


def standing(kind: Kind = Kind.STANDING, **fields: object) -> Mapping[str, object]:
    spec = replace(SPEC, **fields)  # type: ignore[arg-type]
    marks = labels.write(CONTEXT, Mark(kind, spec.owner, spec.name, "", "d" * 64, "r"))
    return create_body(spec, marks, Acquired("sha256:" + "0" * 64), (), ())


def test_S2_its_standing_container_needs_no_image_and_no_limits_of_the_policy() -> None:
    assert_allowed(standing(), replace(POLICY, images=(), max_resources=Resources(cpus=1.0)), GUARD)


def test_S2_and_is_nothing_that_could_run() -> None:
    cases = [(standing(Kind.RUN), POLICY), (standing(cap_add=("CHOWN",)), replace(POLICY, capabilities=("CHOWN",))),
             (standing(), Policy())]  # fmt: skip
    for body, policy in cases:
        with pytest.raises(EngineRejected) as caught:
            assert_allowed(body, policy, GUARD)
        assert caught.value.code == "guard-refused"
