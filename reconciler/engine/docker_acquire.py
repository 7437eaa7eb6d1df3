"""In: a spec and its policy. Out: everything it needs, looked up or made, before anything live is touched (rule P4).

The Engine's own create checks the image and little else: networks, volumes and bind sources are checked here.
"""

import os
import re
import stat
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from ..model.errors import EngineRejected, NotOurs
from ..model.job import JobSpec, Mount
from ..model.service import Policy
from ..spec import elsewhere
from ..spec.filemodes import fault, unreadable_secrets
from . import labels
from .docker_body import Acquired, engine_volume
from .docker_client import translated
from .docker_core import Core, KeyedLock
from .docker_empty import empty_image
from .docker_environments import Environments
from .docker_errors import Absent, Conflict
from .docker_images import Images
from .docker_recent import Recent
from .guard import GuardContext, assert_network
from .guard_exec import assert_target
from .labels import Kind, Mark

_OBJECT_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,250}")


class Acquirer:
    """Looks up or makes what one container needs. Networks and volumes that are made carry our mark."""

    def __init__(self, core: Core) -> None:
        self._core, self._context, self._clients = core, core.context, core.clients
        self.recent = Recent()
        self.images = Images(core.context, core.clients, self.recent)
        self.environments = Environments(core)
        self._making = KeyedLock()

    def acquire(
        self, spec: JobSpec, policy: Policy, *, image_id: str = "", refresh: bool = False, make: bool = True,
        exact: bool = False,
    ) -> Acquired:  # fmt: skip
        """`image_id` pins the image, with `exact` no other will do; with `make` False
        nothing is created but an image that policy pulls.

        Raises EngineRejected, NotOurs, EngineUnavailable.
        """
        if spec.exec_in:
            assert_target(spec.exec_in, policy)
            return Acquired(empty_image(self._clients, self.recent))
        for mount in spec.mounts:
            self._mount(mount, spec, policy, make)
        networks = self.networks(spec, policy, make=make)
        pinned = self.images.pinned(image_id, spec.image) if image_id and not refresh else None
        if pinned is not None and self.environments.fits(pinned, spec):
            mark = labels.read(self._context, pinned.labels)
            return Acquired(pinned.image_id, mark.revision if mark is not None else pinned.digest, networks)
        if exact:
            raise EngineRejected(
                f"cannot use {spec.image} as it was: the Engine no longer has {image_id[:19]}", code="image-missing",
                hint="pull it by its digest, which `reconciler show` tells of the run, if a registry still has it",
            )  # fmt: skip
        if pinned is not None and spec.packages.in_image and labels.KIND not in pinned.labels:
            image = pinned  # the base stays as it was applied; what is new are its packages
        else:
            image = self.images.acquire(spec.image, spec.pull_policy, refresh=refresh)
        if not spec.packages.in_image:
            return Acquired(image.image_id, image.digest, networks)
        own = self._own_network(spec.owner, make)
        out = ((own, labels.network_name(self._context.instance, spec.owner)),) if own is not None else ()
        return Acquired(self.environments.acquire(image, spec, policy, out, make=make), image.digest, networks)

    def networks(self, spec: JobSpec, policy: Policy, *, make: bool) -> tuple[tuple[str, str], ...]:
        """(mode for the body, name) of each network; an own one that is not there yet is left out unless `make`."""
        if spec.exec_in or spec.networks in ((), ("none",)):
            return ()
        context = GuardContext(self._context.instance, spec.owner, spec.image)
        found = []
        for name in spec.networks:
            if name == "default":
                own = self._own_network(spec.owner, make)
                found += [(own, labels.network_name(self._context.instance, spec.owner))] if own else []
            else:
                assert_network(name, policy, context)
                found.append((self._foreign_network(name), name))
        return tuple(found)

    def check_staged(self, spec: JobSpec, staged: tuple[tuple[str, str], ...]) -> None:
        """Could the job read its files, as they lie on this host? A start would not tell (rule P4)."""
        places = {target: path for path, target in staged}
        for file in spec.files:
            try:
                status = Path(places[file.target]).lstat()
            except (KeyError, OSError):
                continue  # the Engine says it
            found = fault(spec, file, status.st_uid, status.st_gid)
            if found is not None and found.severity == "error":
                raise EngineRejected(f"cannot use files: {found.message}", code=found.code, hint=found.hint)
        self.check_secrets(spec)
        for problem in unreadable_secrets(spec, os.geteuid(), os.getegid()):
            if problem.severity == "error":
                raise EngineRejected(f"cannot give secrets: {problem.message}", code=problem.code, hint=problem.hint)

    def check_secrets(self, spec: JobSpec) -> None:
        """No secret leaves this host."""
        for problem in () if self._clients.shares_host else elsewhere.refused(spec):
            raise EngineRejected(f"cannot give secrets: {problem.message}", code=problem.code, hint=problem.hint)

    # -- networks ---------------------------------------------------------------------------------------------

    def _own_network(self, owner: str, make: bool) -> str | None:
        name = _object_name(labels.network_name(self._context.instance, owner), "network")
        ref = self._recent_network(name, owner)
        if ref is not None or not make:
            return ref
        with self._making(f"network {name}"):
            return self._recent_network(name, owner) or self._make_network(name, owner)

    def _recent_network(self, name: str, owner: str) -> str | None:
        return self.recent.get(f"network {name}", lambda: self._find_own_network(name, owner))

    def _find_own_network(self, name: str, owner: str) -> str | None:
        found = self._networks_called(name)
        if not found:
            return None
        mark = self._core.recognise(found[0].get("Labels"), name, str(found[0]["Id"]))
        if len(found) > 1 or mark is None or (mark.kind, mark.owner) != (Kind.NETWORK, owner):
            hint = self._core.foreign_hint(found[0].get("Labels"), f"docker network rm {name}")
            raise NotOurs(f"cannot use network {name}: a network of that name exists that is not ours", hint=hint)
        return str(found[0]["Id"])

    def _make_network(self, name: str, owner: str) -> str:
        marks = labels.write(self._context, Mark(Kind.NETWORK, owner, digest=name))
        try:
            with translated("create network", name):
                made = self._clients.get().create_network(name, driver="bridge", check_duplicate=True, labels=marks)
                return str(made["Id"])
        except Conflict:
            ref = self._find_own_network(name, owner)
            if ref is None:
                raise
            return ref

    def _foreign_network(self, name: str) -> str:
        """The mode under which a network of that exact name or full id is joined."""
        if name == "bridge":
            return name
        ref = self.recent.get(f"network {name}", lambda: self._one_network(name))
        if ref is None:
            hint = "Create it first, or remove it from `networks`: docker network ls"
            raise EngineRejected(f"cannot join {name}: no such network", code="network-missing", hint=hint)
        return ref

    def _one_network(self, name: str) -> str | None:
        found = self._networks_called(name)
        if len(found) > 1:
            hint = "Name it by its full id: docker network ls --no-trunc"
            raise EngineRejected(f"cannot join {name}: {len(found)} networks have that name", code="network-ambiguous",
                                 hint=hint)  # fmt: skip
        return str(found[0]["Id"]) if found else None

    def _networks_called(self, name: str) -> list[dict[str, Any]]:
        """Networks of exactly that name, else the one with exactly that id: the Engine's filters match parts."""
        with translated("look up network", name):
            rows = list(self._clients.ask("GET", "/networks"))
            named = [row for row in rows if row["Name"] == name]
            return named or [row for row in rows if row["Id"] == name]

    # -- mounts -----------------------------------------------------------------------------------------------

    def _mount(self, mount: Mount, spec: JobSpec, policy: Policy, make: bool) -> None:
        if mount.type == "bind":
            self._bind(mount.source, policy)
        elif mount.type == "volume" and mount.source:
            name = _object_name(engine_volume(mount, self._context.instance, spec.owner), "volume")
            if mount.external:
                self._external_volume(name)
            elif "." in mount.source:
                raise EngineRejected(f"cannot use volume {mount.source}: its name holds a dot", code="volume-name",
                                     hint="Use letters, digits, `-` and `_`.")  # fmt: skip
            else:
                self._own_volume(name, spec.owner, make)

    def _external_volume(self, name: str) -> None:
        if self.recent.get(f"volume {name}", lambda: self._volume(name)) is None:
            hint = f"Create it first: docker volume create {name}"
            raise EngineRejected(f"cannot use volume {name}: no such volume", code="volume-missing", hint=hint)

    def _own_volume(self, name: str, owner: str, make: bool) -> None:
        """A foreign volume of our name is never used: its contents are somebody else's."""
        with self._making(f"volume {name}"):
            marked = self.recent.get(f"volume {name}", lambda: self._volume(name))
            if marked is None and make:
                with translated("create volume", name):
                    marks = labels.write(self._context, Mark(Kind.VOLUME, owner, digest=name))
                    marked = self._clients.get().create_volume(name, driver="local", labels=marks)
        if marked is None:
            return
        mark = self._core.recognise(marked.get("Labels"), name, name)
        if mark is None or (mark.kind, mark.owner) != (Kind.VOLUME, owner):
            hint = self._core.foreign_hint(marked.get("Labels"), "or use it with `external: true` where policy allows")
            raise NotOurs(f"cannot use volume {name}: a volume of that name exists that is not ours", hint=hint)

    def _volume(self, name: str) -> dict[str, Any] | None:
        try:
            with translated("inspect volume", name):
                found = dict(self._clients.ask("GET", f"/volumes/{quote(name)}"))
                return found if found["Name"] == name else None
        except Absent:
            return None

    def _bind(self, source: str, policy: Policy) -> None:
        """It must exist and hold no symlink below the granted root. Not checkable on an Engine of another host."""
        roots = [root for root in policy.binds if PurePosixPath(source).is_relative_to(root)]
        if not roots:
            raise EngineRejected(f"cannot bind {source}: not granted", code="bind-denied",
                                 hint="The service file's policy lists what may be bound.")  # fmt: skip
        if not self._clients.shares_host:
            return
        root = PurePosixPath(max(roots, key=len))
        path = root
        for part in ("", *PurePosixPath(source).relative_to(root).parts):
            path = path / part
            mode = _mode(path)
            if mode is None:
                raise EngineRejected(f"cannot bind {source}: {path} does not exist", code="bind-missing",
                                     hint="Create it on the host first; it is never made by us.")  # fmt: skip
            if part and stat.S_ISLNK(mode):
                raise EngineRejected(f"cannot bind {source}: {path} is a symbolic link", code="bind-symlink",
                                     hint="Name the real path; links could lead out of what is granted.")  # fmt: skip
        final = _mode(PurePosixPath(os.path.realpath(path))) or 0
        if not (stat.S_ISDIR(final) or stat.S_ISREG(final)):
            raise EngineRejected(f"cannot bind {source}: neither a directory nor a regular file", code="bind-denied",
                                 hint="Sockets and devices are never bound.")  # fmt: skip


def _mode(path: PurePosixPath) -> int | None:
    """The file type of a path itself, links not followed; None = it cannot be seen."""
    try:
        return os.lstat(path).st_mode
    except OSError:
        return None


def _object_name(name: str, kind: str) -> str:
    if not _OBJECT_NAME.fullmatch(name):
        raise EngineRejected(f"cannot use {kind} {name!r}: not a name that the Engine takes", code=f"{kind}-name")
    return name
