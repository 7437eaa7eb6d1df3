"""In: a container that only waits, and a script. Out: what the script printed, and the image that the container became.

The variables of a script reach it through `exec`, so that none of them is in the image.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from requests import RequestException
from urllib3.exceptions import HTTPError as TransportError
from urllib3.exceptions import ReadTimeoutError

from ..model.errors import EngineRejected, NotOurs, ReconcilerError
from ..model.job import JobSpec
from . import docker_stop, labels
from .docker_client import raise_for_status, translated
from .docker_core import Core
from .docker_stream import frames

WAITING = "exec sleep 100000"
NO_COMMAND = ["the-base-image-has-no-command"]
SAID = 300  # characters of the line that tells why


def waiting(spec: JobSpec) -> JobSpec:
    """The definition of a container of the job's owner that waits within the job's limits, without mounts."""
    bare = JobSpec(spec.name, spec.owner, spec.schedule, spec.image)
    return replace(bare, entrypoint=(), command=("sh", "-c", WAITING),
                   resources=replace(spec.resources, gpus=None, shm_size=None))  # fmt: skip


class Workshop:
    """Works in containers of ours that have been checked like every other."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._open: set[str] = set()  # names of those that work now

    @contextmanager
    def container(self, name: str, body: Mapping[str, object], verb: str, thing: str) -> Iterator[str]:
        """A running container of this name, which goes at the end. What an earlier process left of it goes first."""
        self._open.add(name)
        ref = ""
        try:
            ref, left = self._core.create_or_find(name, body, verb, thing)
            if left is not None:
                self._end(left.ref, thing)
                ref, left = self._core.create_or_find(name, body, verb, thing)
            with translated("start a container for", thing):
                self._core.clients.command("POST", f"/containers/{ref}/start")
            yield ref
        finally:
            with suppress(ReconcilerError):
                if ref:
                    self._end(ref, thing)
            self._open.discard(name)

    def sweep(self) -> None:
        """Remove what a process that died has left at work. Raises EngineUnavailable."""
        filters = {"label": [f"{labels.INSTANCE_ID}={self._core.context.instance_id}", f"{labels.KIND}=environment"]}
        with translated("list", "containers of installations"):
            rows = self._core.clients.get().containers(all=True, filters=filters)
            found = [(str(row["Id"]), str((row["Names"] or [""])[0]).removeprefix("/")) for row in rows]
        for ref, name in found:
            if name not in self._open:
                with suppress(EngineRejected, NotOurs):  # somebody's own container of such an image has its labels
                    self._end(ref, name)

    def run(
        self, ref: str, script: str, variables: Mapping[str, str], most: int, deadline: float, *, user: str = "",
        folder: str | None = None,
    ) -> tuple[int | None, bytes]:  # fmt: skip
        """(exit code, the end of what it printed: at most `most` bytes). None = it was not done at `deadline`, which is
        of the monotonic clock."""
        client = self._core.clients.get()
        said = bytearray()
        with translated("work in", ref[:12]):
            made = client.exec_create(
                ref, ["sh", "-eu", "-c", script], environment=dict(variables), user=user, workdir=folder,
            )  # fmt: skip
            response = client.post(
                f"{client.base_url}/v{client.api_version}/exec/{made['Id']}/start", stream=True,
                json={"Detach": False, "Tty": False},
                timeout=(self._core.clients.timeouts.connect, max(1.0, deadline - time.monotonic())),
            )  # fmt: skip
            try:
                raise_for_status(response)
                for piece in frames(response):
                    said += piece
                    if len(said) > 2 * most:
                        del said[:-most]
                    if time.monotonic() > deadline:
                        return None, bytes(said[-most:])
            except (RequestException, TransportError) as error:
                if not any(isinstance(cause, ReadTimeoutError) for cause in (error, *error.args)):
                    raise
                return None, bytes(said[-most:])  # silent until the time was up: no fault of the Engine's
            finally:
                response.close()
            while (code := client.exec_inspect(made["Id"])["ExitCode"]) is None:  # its output ends a moment earlier
                if time.monotonic() > deadline:
                    return None, bytes(said[-most:])
                time.sleep(0.05)
        return int(code), bytes(said[-most:])

    def commit(self, ref: str, name: str, base_id: str) -> str:
        """The container as the image `name`, which starts what its base starts; its id."""
        client = self._core.clients.get(timeout=self._core.clients.timeouts.pull)
        with translated("keep", f"the image {name}"):
            base: Mapping[str, Any] = client.inspect_image(base_id)["Config"] or {}  # type: ignore[no-untyped-call]
            entrypoint, command = base.get("Entrypoint") or [], base.get("Cmd") or []
            if not entrypoint and not command:
                command = NO_COMMAND  # an empty CMD would mean the container's own, which only waits
            changes = [f"ENTRYPOINT {json.dumps(entrypoint)}", f"CMD {json.dumps(command)}",
                       f"USER {base.get('User') or '0:0'}"]  # fmt: skip
            repository, _, tag = name.rpartition(":")
            made = client.commit(ref, repository=repository, tag=tag, changes=changes)
            return str(made["Id"])

    def _end(self, ref: str, thing: str) -> None:
        """Only if it is provably ours (rule P2)."""
        found = self._core.find_own(ref, "remove", thing)
        if found is not None:
            docker_stop.kill(self._core, found, thing)
            self._core.remove(ref, thing)


def why(code: int | None, said: bytes) -> str:
    """`exit 1: ERROR: no such package`: how a script failed, with the line that most likely tells why."""
    lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().lstrip().startswith(("error", "e:"))]
    last = (errors or lines or ["it printed nothing"])[-1].strip()[:SAID]
    return f"{'the time is up' if code is None else f'exit {code}'}: {last}"
