"""Promise: a command enters another container only as policy and that container allow, whoever asks (rule S2)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from reconciler.engine import labels
from reconciler.engine.docker_body import Acquired, create_body
from reconciler.engine.docker_exec_body import exec_body, mark_of, signal_body
from reconciler.engine.guard import GuardContext, assert_allowed
from reconciler.engine.guard_exec import EXEC, assert_entered, assert_signal
from reconciler.engine.guard_target import Target
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


PROTECTED = ("/srv/state", "/srv/engine.socket")


def target(
    name: str = "shop-db-1", user: str = "", marked: Mapping[str, str] | None = None,
    mounts: Sequence[Mapping[str, object]] = (), devices: tuple[str, ...] = (), **host: Any,
) -> Target:  # fmt: skip
    config, host = {"User": user, "Labels": marked}, {"PidMode": "", "CapAdd": None, "Devices": [], **host}
    return Target(name, {"Config": config, "HostConfig": host, "Mounts": mounts}, devices)


def bound(source: str, place: str = "/data") -> Target:
    return target(mounts=[{"Type": "bind", "Source": source, "Destination": place, "RW": False}])


def refused(body: Mapping[str, object], policy: Policy = POLICY, found: Target | None = None) -> str:
    with pytest.raises(EngineRejected) as caught:
        assert_entered(body, policy, found or target(), PROTECTED)
    assert caught.value.hint
    return caught.value.code


def test_what_is_built_is_allowed() -> None:
    body = exec_body(ORDER, MARK)
    assert_entered(body, POLICY, target(), PROTECTED)
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
    assert_entered(exec_body(ORDER, MARK), Policy(exec_in=globs), target(), PROTECTED)


NEVER = {
    "a privileged one": target(Privileged=True),
    "one with the host's processes": target(PidMode="host"),
    "one with another's processes": target(PidMode="container:0123abcd"),
    "one with a device": target(Devices=[{"PathOnHost": "/dev/sda"}]),
    "one that may make devices": target(DeviceCgroupRules=["b 8:* rwm"]),
    "one with all powers": target(CapAdd=["ALL"]),
    "one with a great power": target(CapAdd=["CHOWN", "cap_sys_admin"]),
    "one with the host's root": bound("/"),
    "one with the state": bound("/srv/state"),
    "one with a part of it": bound("/srv/state/git"),
    "one with what holds it": bound("/srv"),
    "one with what holds it, written oddly": bound("/srv/x/../"),
    "one with the Engine's socket": bound("/srv/engine.socket", "/e"),
    "one with where an Engine's socket is": bound("/var/run"),
    "one with an Engine's socket elsewhere": bound("/run/user/1000/docker.sock", "/e"),
    "one with an Engine's socket of another name": bound("/run/user/1000/e", "/run/podman/podman.sock"),
    "one with the Engine's files": bound("/var/lib/docker/volumes"),
    "one with the host's root in a volume": target(devices=("/",)),
    "one with a disk in a volume": target(devices=("/dev/sda1",)),
    "one of this reconciler": target(marked={"io.reconciler.instance": "db1"}),
    "one of another reconciler": target(marked={"io.reconciler.kind": "run"}),
}


@pytest.mark.parametrize("found", NEVER.values(), ids=NEVER)
def test_S2_is_never_entered(found: Target) -> None:
    assert refused(exec_body(ORDER, MARK), POLICY, found) == "exec-target-refused"


PLAIN = {
    "binds of its own": bound("/srv/shop"),
    "one whose name only begins so": bound("/srv/state-of-the-shop"),
    "a volume of the Engine": target(mounts=[{"Type": "volume", "Source": "/var/lib/docker/volumes/x/_data"}]),
    "a volume from elsewhere": target(devices=(":/exports/shop", "/srv/shop")),
    "powers that a job may have": target(CapAdd=["CAP_CHOWN", "SETUID"]),
    "processes of its own": target(PidMode="private"),
    "no mounts that are told": Target("shop-db-1", {"Config": {}, "HostConfig": {}, "Mounts": None}),
}


@pytest.mark.parametrize("found", PLAIN.values(), ids=PLAIN)
def test_a_plain_one_is_entered(found: Target) -> None:
    assert_entered(exec_body(ORDER, MARK), POLICY, found, PROTECTED)


USERS = [
    ("root", "postgres", False), ("0", "70", False), ("0:0", "70", False), ("00:70", "70:70", False),
    (None, "70", True), ("70", "", True), ("root", "", True), ("0", "root", True), ("0", "0:0", True),
    ("71:71", "70", True), ("www", "70", True), ("www:www", "70", True), ("70", "70", True), ("70:70", "70:70", True),
    ("71", "70", False), ("70", "70:70", False), ("postgres:root", "postgres", False), ("70:0", "70:70", False),
    ("70:00", "70", False), ("71", "70:0", True), ("70:root", "70:root", True), ("70:0", "root", True),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "own", "allowed"), USERS)
def test_S2_nobody_is_root_where_the_container_is_not(asked: str | None, own: str, allowed: bool) -> None:
    body = exec_body(replace(ORDER, spec=replace(SPEC, user=asked)), MARK)
    if allowed:
        assert_entered(body, POLICY, target(user=own), PROTECTED)
    else:
        assert refused(body, POLICY, target(user=own)) == "exec-target-refused"


def test_S2_a_group_that_was_added_to_the_container_is_its_own() -> None:
    body = exec_body(replace(ORDER, spec=replace(SPEC, user="postgres:root")), MARK)
    assert refused(body, POLICY, target(user="postgres", GroupAdd=["70"])) == "exec-target-refused"
    assert_entered(body, POLICY, target(user="postgres", GroupAdd=["70", "0"]), PROTECTED)


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
