"""In: an order for a command in another container. Out: the command, ready in that container, which must be running."""

import time
from datetime import datetime
from urllib.parse import quote

from ..model.errors import EngineRejected
from ..model.live import WENT_DOWN
from .base import RunOrder, utc_from_rfc3339
from .docker_client import translated
from .docker_core import Core, Found
from .docker_errors import Absent, Conflict
from .docker_exec_body import exec_body, mark_of
from .docker_exec_look import ExecRef
from .guard_exec import assert_entered, assert_target
from .guard_target import Target

FOLLOWS = 1.0  # seconds in which a container is seen to end after the commands in it


def enter(core: Core, order: RunOrder) -> tuple[ExecRef, str]:
    """(the command, never started, and the id of the container's image). Raises EngineRejected (exec-target-missing,
    exec-target-refused, guard-refused, image-missing), EngineUnavailable."""
    name, thing = order.spec.exec_in, order.run_id
    found = core.find(name, name)
    if found is None or found.name != name:
        raise _missing(order, "there is no such container")
    body = exec_body(order, mark_of(core.context, thing))
    assert_target(found.name, order.policy)
    try:
        target = Target(found.name, found.data, _devices(core, found))
    except Absent as error:  # an anonymous volume goes with its container
        raise _missing(order, "it has just ended") from error
    assert_entered(body, order.policy, target, core.protected)
    if not found.state["Running"] or found.state.get("Restarting"):
        raise _missing(order, "it does not run")
    if found.state.get("Paused"):
        raise _missing(order, "it is paused")
    image_id = str(found.data["Image"])
    if order.exact and order.image_id and order.image_id != image_id:
        raise EngineRejected(
            f"cannot run in {name} as it was: it is of another image than {order.image_id[:19]}", code="image-missing",
            hint="an exact repetition needs the container of then",
        )  # fmt: skip
    try:
        with translated("create", thing):
            made = core.clients.ask("POST", f"/containers/{found.ref}/exec", body=body)
            return ExecRef(found.ref, str(made["Id"])), image_id
    except (Absent, Conflict) as error:
        raise _missing(order, "it has just ended") from error


def gone_down(core: Core, ref: ExecRef, since: datetime | None) -> str:
    """Why a command in it was killed, if that was the end of its container, or of its container then; else ""."""
    deadline = time.monotonic() + FOLLOWS
    while True:
        found = core.find(ref.container, "its container")
        if found is None or not found.state["Running"] or _begun_after(found, since):
            return f"the container that it ran in {WENT_DOWN} or was restarted"
        if time.monotonic() > deadline:
            return ""
        time.sleep(0.1)


def _devices(core: Core, found: Found) -> tuple[str, ...]:
    """What its volumes are mounted from: the Engine's own driver takes a directory or a disk of the host, too. Raises
    Absent if one is no longer there, EngineUnavailable."""
    devices = []
    for mount in found.data.get("Mounts") or ():
        if mount.get("Type") != "volume" or mount.get("Driver") not in ("local", "", None):
            continue
        with translated("inspect volume", str(mount.get("Name"))):
            volume = core.clients.ask("GET", f"/volumes/{quote(str(mount['Name']), safe='')}")
            devices.append(str((volume.get("Options") or {}).get("device", "")))
    return tuple(device for device in devices if device)


def _begun_after(found: Found, since: datetime | None) -> bool:
    began = utc_from_rfc3339(found.state["StartedAt"])
    return since is not None and began is not None and began > since


def _missing(order: RunOrder, why: str) -> EngineRejected:
    name = order.spec.exec_in
    hint = f"It is tried again until the start deadline. See: docker ps -a --filter name={name}"
    return EngineRejected(f"cannot run in {name}: {why}", code="exec-target-missing", hint=hint)
