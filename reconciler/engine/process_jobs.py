"""In: standing orders. Out: one signed JSON file per standing job (rule P2: what is not signed by us is foreign)."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..model.errors import EngineRejected, NotOurs
from ..model.ids import dotted, undotted
from ..model.live import LiveJob
from ..spec.argv import final_argv
from .base import StandingOrder
from .process_files import Layout
from .process_preview import check
from .process_stage import path_of

_FUNCTION = ("job", "digest", "owner", "argv")  # what makes it this very job; revision and path only tell whence


class Jobs:
    """Standing jobs on disk. `changed` is told the name of what was written or removed."""

    def __init__(self, files: Layout, changed: Callable[[str], None]) -> None:
        self._files = files
        self._changed = changed

    def listing(self) -> tuple[dict[str, LiveJob], dict[str, str]]:
        """Ours by name, and names of ours that foreign files hold."""
        mine: dict[str, LiveJob] = {}
        taken: dict[str, str] = {}
        for name, body in self._files.sealed.read_all(self._files.jobs):
            if body is None:
                taken[undotted(name.removesuffix(".json"))] = str(self._files.jobs / name)
            else:
                mine[body["job"]] = LiveJob(body["job"], body["digest"], body["revision"], body["owner"], body["ref"])
        return mine, taken

    def drift(self, job: str, order: StandingOrder) -> tuple[str, ...]:
        try:
            body = self._files.sealed.read(self._path(job))
        except FileNotFoundError:
            return ()
        if body is None:
            return ()
        wanted = _body(order)
        return tuple(f"{field} is not the ordered one" for field in _FUNCTION if body.get(field) != wanted[field])

    def check(self, order: StandingOrder) -> None:
        """Could this host run it? Raises EngineRejected."""
        check(order.spec, path_of(order.spec.environment))
        for source, target in order.staged:
            if not Path(source).is_file():
                raise EngineRejected(f"cannot install {order.spec.name}: {target} is not staged", code="file-missing")

    def install(self, order: StandingOrder) -> str:
        """Write what is not there yet; return the ref, which changes only with the job itself."""
        path, wanted = self._path(order.spec.name), _body(order)
        try:
            body = self._files.sealed.read(path)
            if body is None:
                raise NotOurs(f"cannot install {order.spec.name}: {path} is not a file of this instance")
        except FileNotFoundError:
            body = {}
        ref = str(body.get("ref", ""))
        if any(body.get(field) != wanted[field] for field in _FUNCTION):
            ref = f"process:{secrets.token_hex(8)}"
        if body != (sealed := {**wanted, "ref": ref, "instance_id": body.get("instance_id")}):
            self._files.sealed.write(path, {key: value for key, value in sealed.items() if key != "instance_id"})
            self._changed(order.spec.name)
        return ref

    def retire(self, job: str) -> None:
        path = self._path(job)
        try:
            if self._files.sealed.read(path) is None:
                raise NotOurs(f"cannot retire {job}: {path} is not a file of this instance")
        except FileNotFoundError:
            return
        path.unlink(missing_ok=True)
        self._changed(job)

    def _path(self, job: str) -> Path:
        return self._files.jobs / f"{dotted(job)}.json"


def _body(order: StandingOrder) -> dict[str, Any]:
    return {
        "job": order.spec.name,
        "digest": order.digest,
        "revision": order.revision,
        "owner": order.spec.owner,
        "path": order.path,
        "argv": list(final_argv(order.spec) or ()),
    }
