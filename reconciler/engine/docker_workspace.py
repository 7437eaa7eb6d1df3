"""In: what a run is to find, on this host. Out: the same in volumes of an Engine of another host.

A directory is a volume of its own. All single files of a run lie in one more volume, and each is bound from there: an
Engine of API 1.41 mounts no part of a volume. Volumes are made and filled before the run's container, and go with it.
See docs/decisions/0953.
"""

import json
import os
import stat
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from ..model.disk import on_disk
from ..model.errors import EngineRejected, NotOurs
from ..model.ids import WORKSPACE, container_name, workspace_name
from ..model.workspace import Sent
from . import docker_stop, labels
from .base import RunOrder
from .docker_client import translated
from .docker_core import Core, Found, KeyedLock
from .docker_errors import Absent
from .docker_unpack import PLACE, unpack
from .labels import Kind, Mark

FILES = "files"  # the part that holds the single files, by number


@dataclass(frozen=True, slots=True)
class _Part:
    """One thing that is sent: `path` here, `target` there; `name` in the archive, as `volume/number` for a file."""

    name: str
    path: str
    target: str
    read_only: bool

    @property
    def volume(self) -> str:
        return self.name.partition("/")[0]


class Workspaces:
    """Runs' volumes on one Engine that does not share this host's files."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.busy = KeyedLock()  # runs whose volumes are being looked at or changed: held by whoever calls
        self._guard = threading.Lock()
        self._mine: set[str] = set()  # runs that this process has sent something for and not removed: never tidied

    def there(self, order: RunOrder) -> tuple[Sent, ...] | None:
        """What was sent for a run whose container exists, so that it is whole; None = some of it is gone."""
        parts = _parts(order)
        with self._guard:
            self._mine.add(order.run_id)
        places = {name: str(row["Mountpoint"]) for name, row in self._volumes(order.run_id).items()} if parts else {}
        whole = {self._volume_name(order.run_id, part) for part in parts} <= places.keys()
        return self._sent(order.run_id, parts, places) if whole else None

    def send(self, order: RunOrder, image_id: str) -> tuple[Sent, ...]:
        """Make the volumes anew and fill them. Raises EngineRejected, EngineUnavailable, NotOurs, StateError."""
        parts, run_id = _parts(order), order.run_id
        if not parts:
            return ()
        with self._guard:
            self._mine.add(run_id)
        self._clear(run_id)
        volumes = {part.volume: self._volume_name(run_id, part) for part in parts}
        places = {name: self._make(name, order) for name in volumes.values()}
        into = tuple(Sent(name, f"{PLACE}/{volume}", read_only=False) for volume, name in volumes.items())
        files = {part.name: part.path for part in parts if part.volume == FILES}
        unpack(self._core, order, image_id, into, [(part.name, part.path) for part in parts], files)
        return self._sent(run_id, parts, places)

    def remove(self, run_id: str) -> None:
        """All that was sent for a run, which has ended or never starts. Raises EngineUnavailable, EngineRejected."""
        self._clear(run_id)
        with self._guard:
            self._mine.discard(run_id)

    def tidy(self) -> tuple[str, ...]:
        """Remove what a crash has left: of runs that this process has nothing to do with and that have no container. It
        waits for no run: who makes one ready may be at it for as long as a pull and an unpacking take."""
        gone = []
        for run_id in sorted({run for run, _ in self._listed("")}):
            # Rejected: who uses a volume of it will have ended the next time.
            with self.busy.at_once(run_id) as free, suppress(EngineRejected):
                if free and run_id not in self._mine and not self._has_container(run_id):
                    self._clear(run_id)
                    gone.append(run_id)
        return tuple(gone)

    # -- one run ----------------------------------------------------------------------------------------------
    def _sent(self, run_id: str, parts: list[_Part], places: dict[str, str]) -> tuple[Sent, ...]:
        found = []
        for part in parts:
            source = self._volume_name(run_id, part)
            if part.volume == FILES:
                source = f"{_clean(places[source], source)}/{PurePosixPath(part.name).name}"
            found.append(Sent(source, part.target, part.read_only))
        return tuple(found)

    def _volume_name(self, run_id: str, part: _Part) -> str:
        return f"{workspace_name(self._core.context.instance, run_id)}-{part.volume}"

    def _has_container(self, run_id: str) -> bool:
        return self._core.find(container_name(self._core.context.instance, run_id), run_id) is not None

    def _clear(self, run_id: str) -> None:
        name = workspace_name(self._core.context.instance, run_id)
        found = self._core.find(name, run_id)
        if found is not None and found.mark is not None and found.mark.kind is Kind.UNPACK:
            docker_stop.kill(self._core, found, run_id)
            self._core.remove(found.ref, run_id)
        for volume in self._volumes(run_id):
            try:
                with translated("remove a volume of", run_id):
                    self._core.clients.command("DELETE", f"/volumes/{quote(volume)}")
            except Absent:
                continue

    # -- volumes ----------------------------------------------------------------------------------------------
    def _make(self, name: str, order: RunOrder) -> str:
        """The Engine's path of a new volume. One that is there after all is somebody else's."""
        spec = order.spec
        marks = labels.write(self._core.context, Mark(Kind.WORKSPACE, spec.owner, spec.name, order.run_id, name))
        with translated("make a volume for", order.run_id):
            made = self._core.clients.ask("POST", "/volumes/create", body={"Name": name, "Labels": marks})
            bears, place = made.get("Labels"), str(made["Mountpoint"])
        if labels.owned_by_mark(self._core.context, bears, name) is None:
            raise NotOurs(f"cannot prepare {order.run_id}: a volume {name} exists that is not ours",
                          hint=f"Remove or rename it: docker volume rm {name}")  # fmt: skip
        return place

    def _volumes(self, run_id: str) -> dict[str, Any]:
        """Those of one run that are provably ours, by name."""
        return {str(row["Name"]): row for run, row in self._listed(run_id) if run == run_id and "Mountpoint" in row}

    def _listed(self, run_id: str) -> list[tuple[str, Any]]:
        """(run, row) of each volume that is provably ours and holds a part of a run's workspace; of all runs if
        `run_id` is "", and then of the containers that fill them, too."""
        said = [f"{labels.INSTANCE_ID}={self._core.context.instance_id}"]
        said += [f"{labels.RUN}={run_id}"] if run_id else []
        with translated("list", "volumes of runs"):
            asked = {"filters": json.dumps({"label": [*said, f"{labels.KIND}={Kind.WORKSPACE}"]})}
            rows = [(row["Name"], row) for row in self._core.clients.ask("GET", "/volumes", asked)["Volumes"] or ()]
            if not run_id:
                asked = {"all": "1", "filters": json.dumps({"label": [*said, f"{labels.KIND}={Kind.UNPACK}"]})}
                fills = self._core.clients.ask("GET", "/containers/json", asked)
                rows += [(row["Names"][0].removeprefix("/"), row) for row in fills]
            found = [(labels.owned_by_mark(self._core.context, row.get("Labels"), name), row) for name, row in rows]
        return [(mark.run, row) for mark, row in found if mark is not None]


def was_sent_for(run: Found) -> bool:
    """Does its container have anything that was sent?"""
    mounts = run.data["HostConfig"].get("Mounts") or ()
    return any(f".{WORKSPACE}-" in str(mount.get("Source")) for mount in mounts)


def _parts(order: RunOrder) -> list[_Part]:
    """Directories are numbered, and single files within their own part. Raises StateError."""
    wanted = [(bind.source, bind.target, bind.read_only) for bind in order.workspace]
    wanted += [(path, target, True) for path, target in order.staged]
    found: list[_Part] = []
    for path, target, read_only in wanted:
        with on_disk(f"send {path}"):
            is_directory = stat.S_ISDIR(os.lstat(path).st_mode)
        name = str(len(found)) if is_directory else f"{FILES}/{len(found)}"
        found.append(_Part(name, path, target, read_only if is_directory else True))
    return sorted(found, key=lambda part: part.volume == FILES)


def _clean(place: str, volume: str) -> str:
    """The Engine's path of a volume, if it has the form that every Engine gives it."""
    path = PurePosixPath(place)
    if path.parts[-2:] != (volume, "_data") or str(path) != place or ".." in path.parts or not path.is_absolute():
        raise EngineRejected(f"cannot send files: the Engine keeps the volume {volume} in an unknown way ({place})",
                             code="unpack-failed", hint="Put the files into the job's code, or its image.")  # fmt: skip
    return place
