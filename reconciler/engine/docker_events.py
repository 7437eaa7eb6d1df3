"""In: the Engine's event stream. Out: kicks (a run id, a job name, or ""), and what once happened to one container."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event as Flag

from requests import RequestException, Response
from urllib3.exceptions import HTTPError as TransportError

from ..model.ids import is_job_name
from . import labels
from .docker_client import cut, translated
from .docker_core import Core
from .docker_stream import json_lines

ACTIONS = ("start", "die", "destroy", "oom", "pause", "unpause", "update", "rename")
RENEW_AFTER = 600.0  # seconds: a stream over a dead connection would otherwise be silent for ever
PAUSE = 2.0  # seconds between two looks at whether a stream has ended by itself; each is a wake-up of an idle service
REPLAY_QUIET = 3.0  # seconds of silence after which a replay has ended
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def kicks(core: Core, stop: Flag, note_oom: Callable[[str], None]) -> Iterator[str]:
    """Yields whenever something of ours may have changed, until `stop` is set or the stream breaks. Raises nothing
    after the stream has begun. Names are hints: anybody can put our labels on a container."""
    label = f"{labels.INSTANCE}={core.context.instance}"
    filters = {"type": ["container"], "label": [label], "event": list(ACTIONS)}
    with translated("watch", "the Engine's events"):
        response = core.clients.stream("GET", "/events", {"filters": json.dumps(filters)}, idle=None)
    done = Flag()
    threading.Thread(target=_cut_when, args=(response, stop, done), name="docker events", daemon=True).start()
    try:
        for event in json_lines(response):
            ref, action, attributes = _parts(event)
            if action == "oom":
                note_oom(ref)
            yield _name(attributes)
            if stop.is_set():
                return
    except (RequestException, TransportError, OSError, ValueError, AttributeError):
        return  # broken or cut: a gap, which the next listing closes
    finally:
        done.set()
        response.close()


def _cut_when(response: Response, stop: Flag, done: Flag) -> None:
    """Cut the stream when `stop` is set or it has grown old: its reader blocks in a read without a deadline."""
    waited = 0.0
    while waited < RENEW_AFTER and not stop.wait(PAUSE):
        if done.is_set():
            return
        waited += PAUSE
    cut(response)


def _name(attributes: Mapping[str, object]) -> str:
    run, job = str(attributes.get(labels.RUN, "")), str(attributes.get(labels.JOB, ""))
    if not is_job_name(job):
        return ""
    return run if run and len(run) <= 255 else job


def _parts(event: Mapping[str, object]) -> tuple[str, str, Mapping[str, object]]:
    actor = event.get("Actor")
    actor = actor if isinstance(actor, Mapping) else {}
    attributes = actor.get("Attributes")
    return str(actor.get("ID", "")), str(event.get("Action", "")), attributes if isinstance(attributes, Mapping) else {}


@dataclass(slots=True)
class Past:
    """What the Engine's event ring still tells of one container. The ring is short and dies with the Engine."""

    created: bool = False
    destroyed: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None


def past_of(core: Core, ref: str, thing: str) -> Past:
    """Replay the events of one container up to its removal. Raises EngineUnavailable."""
    past = Past()
    # From the epoch on: the replay does not depend on anybody's clock.
    params = {"since": "1", "filters": json.dumps({"type": ["container"], "container": [ref]})}
    with translated("read the past of", thing):
        response = core.clients.stream("GET", "/events", params, idle=REPLAY_QUIET)
    try:
        for event in json_lines(response):
            _, action, attributes = _parts(event)
            _note(past, action, attributes, event_time(event))
            if past.destroyed:
                break
    except (RequestException, TransportError, OSError):
        return past  # silence: there is no more
    finally:
        response.close()
    return past


def _note(past: Past, action: str, attributes: Mapping[str, object], at: datetime | None) -> None:
    if action == "create":
        past.created = True
    elif action == "start":
        past.started_at = at
    elif action == "die":
        past.finished_at = at
        code = str(attributes.get("exitCode", ""))
        past.exit_code = int(code) if code.isdigit() else None
    elif action == "destroy":
        past.destroyed = True


def event_time(event: Mapping[str, object]) -> datetime:
    """When it happened, by the Engine's clock."""
    nano = event.get("timeNano")
    return _EPOCH + timedelta(microseconds=nano // 1000 if isinstance(nano, int) else 0)
