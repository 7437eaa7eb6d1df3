"""In: a reference to a command in another container. Out: what the Engine says of it, now and in its events.

The Engine forgets such a command some minutes after its end, and at once when its container or the Engine goes.
"""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from requests import RequestException
from urllib3.exceptions import HTTPError as TransportError

from .docker_client import translated
from .docker_core import Core
from .docker_errors import Absent
from .docker_events import REPLAY_QUIET, event_time
from .docker_stream import json_lines

_REF = re.compile(r"exec:([0-9a-f]{64}):([0-9a-f]{64})")


class ExecRef(NamedTuple):
    """A command that was made ready in a container, by the full ids of both."""

    container: str
    command: str

    def __str__(self) -> str:
        return f"exec:{self.container}:{self.command}"


def exec_ref(ref: str) -> ExecRef | None:
    """The inverse; None = a reference of another kind."""
    found = _REF.fullmatch(ref)
    return None if found is None else ExecRef(found[1], found[2])


@dataclass(frozen=True, slots=True)
class Seen:
    """`exit_code` None and not `running` = it was never started."""

    running: bool
    exit_code: int | None
    user: str

    @property
    def unstarted(self) -> bool:
        return not self.running and self.exit_code is None


def look(core: Core, ref: ExecRef, thing: str) -> Seen | None:
    """None = the Engine does not know it any more. Raises EngineUnavailable."""
    try:
        with translated("inspect", thing):
            data: Mapping[str, Any] = core.clients.ask("GET", f"/exec/{ref.command}/json")
            if (data["ID"], data["ContainerID"]) != (ref.command, ref.container):
                return None  # the Engine also takes prefixes of ids
            code = data["ExitCode"]
            user = data["ProcessConfig"].get("user") or ""
            return Seen(bool(data["Running"]), None if code is None else int(code), str(user))
    except Absent:
        return None


@dataclass(slots=True)
class ExecPast:
    """What the Engine's event ring still tells of one command. The ring is short and dies with the Engine."""

    created: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None


def past_of(core: Core, ref: ExecRef, thing: str) -> ExecPast:
    """Replay the events of its container up to now. Raises EngineUnavailable."""
    past = ExecPast()
    wanted = {"type": ["container"], "container": [ref.container]}
    params = {"since": "1", "until": f"{time.time():.6f}", "filters": json.dumps(wanted)}
    with translated("read the past of", thing):
        response = core.clients.stream("GET", "/events", params, idle=REPLAY_QUIET)
    try:
        for event in json_lines(response):
            _note(past, ref.command, event)
    except (RequestException, TransportError, OSError):
        return past  # silence: there is no more
    finally:
        response.close()
    return past


def _note(past: ExecPast, command: str, event: Mapping[str, Any]) -> None:
    actor = event.get("Actor")
    attributes = actor.get("Attributes") if isinstance(actor, Mapping) else None
    if not isinstance(attributes, Mapping) or attributes.get("execID") != command:
        return
    action = str(event.get("Action", "")).partition(":")[0]
    if action == "exec_create":
        past.created = True
    elif action == "exec_start":
        past.started_at = event_time(event)
    elif action == "exec_die":
        past.finished_at = event_time(event)
        code = str(attributes.get("exitCode", ""))
        past.exit_code = int(code) if code.isdigit() else None
