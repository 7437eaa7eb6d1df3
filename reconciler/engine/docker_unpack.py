"""In: a run's new volumes and what belongs into them. Out: the volumes, filled, or an error that says why not.

A container of ours from the job's own image runs `tar`, whose standard input is the archive that this host makes. It
sees the volumes and nothing else, and reaches nobody. The image is the job's, so what its `tar` has made is not
trusted: a file that is to be bound by its path over there is read back first.
"""

import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from docker.errors import APIError
from requests import RequestException
from urllib3.exceptions import HTTPError as TransportError

from ..model.disk import on_disk
from ..model.errors import EngineRejected, EngineUnavailable, ReconcilerError
from ..model.ids import workspace_name
from ..model.job import JobSpec
from ..model.outputs import PartKind
from ..model.workspace import Sent
from . import docker_outputs, docker_stop, labels
from .base import RunOrder
from .docker_body import Acquired, create_body
from .docker_client import translated
from .docker_core import Core
from .docker_stream import BrokenStream, frames
from .labels import Kind, Mark
from .packing import BLOCK, Archive

PLACE = "/to"
TAR = ("-x", "-p", "-f", "-", "-C", PLACE)
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER")  # what root needs to set owners and modes
SAID = 300  # characters of the line that tells why
NOT_RUN = (126, 127)  # docker-init: there is no such command, or it cannot be executed
NO_TAR = "The image needs a `tar`: runs on an Engine of another host get their code and files through it."
SAYS_NO = (404, 409, 500)  # of a path: it is not there, or leads nowhere (a 500, by what the Engine makes of it)
LOOPS = ("too many links", "too many levels")  # how Engines say that a link leads to itself
AGAIN = "It is tried again until the run's deadline."


def unpack(
    core: Core, order: RunOrder, image_id: str, into: tuple[Sent, ...], parts: Sequence[tuple[str, str]],
    files: Mapping[str, str],
) -> None:  # fmt: skip
    """Fill the volumes `into`, each mounted below PLACE, with `parts`, as an Archive has them. Of `files` (name -> path
    here), the last of them, it is made sure that they lie there as they were sent. Raises EngineRejected
    (unpack-failed, unpack-no-tar, disk-full), EngineUnavailable, StateError."""
    timeouts, thing = core.clients.timeouts, order.run_id
    deadline = time.monotonic() + timeouts.pull
    name = workspace_name(core.context.instance, thing)
    ref, left = core.create_or_find(name, _body(core, order, image_id, into), "prepare", thing)
    if left is not None:  # another process of this instance is at it, or was a moment ago
        raise EngineUnavailable(f"cannot prepare {thing}: its workspace is being unpacked already")
    archive = Archive(parts)
    try:
        whole = _feed(core, ref, thing, archive, deadline)
        # It has all or its input has ended, so it is about to end: one that does not would hold a worker for nothing.
        if not docker_stop.ended_within(core, ref, thing, timeouts.idle):
            raise _failed(thing, f"its tar does not {'end' if whole else 'take all that is sent'}")
        found = core.find(ref, thing)
        if found is None:
            raise EngineUnavailable(f"cannot prepare {thing}: what unpacks its workspace was removed")
        if found.state["ExitCode"] != 0:
            raise _why(thing, int(found.state["ExitCode"]), _said(core, ref))
        if not whole:
            raise _failed(thing, "it ended before it had taken all")
        if files:  # sent last: with them there, all is
            _read_back(core, ref, thing, files)
        else:
            _look_for(core, ref, thing, archive.last)
    finally:
        with suppress(ReconcilerError):  # the next try clears it away, or the next tidying
            docker_stop.kill(core, core.find(ref, thing), thing)
            core.remove(ref, thing)


def _body(core: Core, order: RunOrder, image_id: str, into: tuple[Sent, ...]) -> Mapping[str, object]:
    spec = order.spec
    mark = Mark(Kind.UNPACK, spec.owner, spec.name, order.run_id, workspace_name(core.context.instance, order.run_id))
    unpacker = replace(
        JobSpec(spec.name, spec.owner, spec.schedule, spec.image), user="0:0", entrypoint=("tar",), command=TAR,
        resources=replace(spec.resources, gpus=None, shm_size=None), cap_add=CAPABILITIES, read_only=True,
        networks=("none",), working_dir="/",
    )  # fmt: skip
    made = create_body(unpacker, labels.write(core.context, mark), Acquired(image_id), (), (), (), sent=into)
    body = {**made, "OpenStdin": True, "StdinOnce": True}
    core.check(body, unpacker, replace(order.policy, capabilities=CAPABILITIES), (), (), sent=into)
    return body


def _feed(core: Core, ref: str, thing: str, archive: Archive, deadline: float) -> bool:
    """Start it and send. False if it has not taken all: it has ended, which its exit code may explain, or is stuck."""
    with translated("send the workspace of", thing), core.clients.attached(ref) as connection:
        core.clients.command("POST", f"/containers/{ref}/start", timeout=core.clients.timeouts.start)
        for piece in _joined(archive):
            if time.monotonic() > deadline:
                raise _failed(thing, "the time is up")
            if not _taken(connection, piece):
                return False
    return True


def _taken(connection: socket.socket, piece: bytes) -> bool:
    """Over TLS an end shows in nothing being taken any more. A tar that does not read looks the same: neither tells
    anything of the Engine."""
    try:
        connection.sendall(piece)
    except (BrokenPipeError, ConnectionResetError, TimeoutError):
        return False
    return True


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Fewer and longer pieces."""
    held = bytearray()
    for piece in pieces:
        held += piece
        if len(held) >= BLOCK:
            yield bytes(held)
            held.clear()
    yield bytes(held)


def _look_for(core: Core, ref: str, thing: str, last: str) -> None:
    """An archive that breaks off between two entries is a good one to a tar: what was sent last must have arrived.
    Its name may be any bytes; what the Engine says of it is said of what the tar has made, and not of the Engine."""
    params, timeouts = {"path": os.fsencode(f"{PLACE}/{last}")}, core.clients.timeouts
    with translated("look into the workspace of", thing):
        try:
            core.clients.stream("GET", f"/containers/{ref}/archive", params, idle=timeouts.idle).close()
        except APIError as error:
            if error.status_code not in SAYS_NO:
                raise
            if not any(words in str(error.explanation) for words in LOOPS):  # a link that leads to itself is there
                raise _failed(thing, "its tar does not leave all that is sent") from error


def _read_back(core: Core, ref: str, thing: str, files: Mapping[str, str]) -> None:
    """Nothing runs there any more, so what is seen now is what will be bound: a link would be followed by the Engine,
    on its own host and with all its rights."""
    left = dict(files)
    folder = next(iter(files)).partition("/")[0]
    for part in docker_outputs.read(core, ref, thing, f"{PLACE}/{folder}") or ():
        path = left.get(f"{folder}/{part.path}")
        if path is None:
            break
        with on_disk(f"send {path}"):
            wanted = Path(path).read_bytes()
        if part.kind is not PartKind.FILE or part.size != len(wanted) or b"".join(part.data) != wanted:
            break
        del left[f"{folder}/{part.path}"]
    if left:
        raise _failed(thing, "its tar does not leave files as they are sent")


def _said(core: Core, ref: str) -> str:
    """The last line of what it said on its errors; what cannot be read is no matter."""
    params = {"stdout": "0", "stderr": "1", "tail": "20"}
    try:
        with translated("read the log of", ref[:12]):
            response = core.clients.stream("GET", f"/containers/{ref}/logs", params, idle=core.clients.timeouts.idle)
        with response:
            text = b"".join(frames(response)).decode("utf-8", "replace")
    except (ReconcilerError, RequestException, TransportError, OSError, BrokenStream):
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:SAID] if lines else ""


def _why(thing: str, code: int, said: str) -> EngineRejected:
    if "no space left" in said.lower() or "quota exceeded" in said.lower():
        message = f"cannot prepare {thing}: the Engine's disk is full ({said})"
        return EngineRejected(message, code="disk-full", hint="Free space on the Engine's disk: `docker system df`.")
    if code in NOT_RUN:
        message = f"cannot prepare {thing}: its image has no tar to unpack its code and files with"
        return EngineRejected(message, code="unpack-no-tar", hint=NO_TAR)
    return _failed(thing, f"tar ended with {code}: {said or 'it said nothing'}")


def _failed(thing: str, why: str) -> EngineRejected:
    return EngineRejected(f"cannot unpack the workspace of {thing}: {why}", code="unpack-failed", hint=AGAIN)
