"""In: a base image and the packages of a job. Out: the image that has them, made once per content and found by it.

They are installed in a container of ours, created from typed fields and checked like every other (rule S2): the owner's
own network, no mounts, the job's limits. What it has become is committed as an image that bears our mark, with the base
image's own command, user and variables.
"""

import json
import re
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ..model.disk import on_disk
from ..model.errors import EngineRejected
from ..model.job import JobSpec
from ..model.service import Policy
from ..spec.packages import content_key, install_script, packages_key, report_script
from . import labels
from .docker_body import Acquired, create_body
from .docker_client import translated
from .docker_core import Core, KeyedLock
from .docker_errors import Absent, Conflict
from .docker_images import Image
from .docker_workshop import Workshop, waiting, why
from .labels import Kind, Mark

CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")  # what dpkg and pip need as root
REPOSITORY = "reconciler-environment"
LOG_BYTES = 1 << 20  # kept of what an installation prints: its end
REPORT_BYTES = 1 << 18
ENVIRONMENTS = "environments"  # folder below the state directory: KEY.json, KEY.log
SHORT = 5  # characters of a value that is too common to be masked
_PASSWORD = re.compile(r"://[^/@\s:]*:([^/@\s]+)@")


class Environments:
    """Images with packages on one Engine. One installation per content at a time; others wait for it."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._making = KeyedLock()
        self.workshop = Workshop(core)

    def acquire(
        self, base: Image, spec: JobSpec, policy: Policy, networks: tuple[tuple[str, str], ...], *, make: bool
    ) -> str:
        """The image's id; with `make` False only if it is there, else the base image's. Raises EngineRejected
        (packages-failed), EngineUnavailable."""
        key = content_key(base.image_id, spec.owner, spec.packages)
        found = self._find(key, spec.owner)
        if found or not make:
            return found or base.image_id
        with self._making(key):
            return self._find(key, spec.owner) or self._make(key, base, spec, policy, networks)

    def fits(self, image: Image, spec: JobSpec) -> bool:
        """May a run of `spec` use this very image? One of packages only with these packages of this owner."""
        mark = self._mark(image.labels)
        if mark is None or not spec.packages.in_image:
            return mark is None and not spec.packages.in_image
        return (mark.owner, mark.job) == (spec.owner, packages_key(spec.packages))

    def tidy(self, keep: Collection[str], unused: timedelta) -> tuple[str, ...]:
        """Remove images of ours that are older than `unused` and none of `keep` (ids); those removed. What a container
        still uses stays, but no container that an earlier process has left."""
        self.workshop.sweep()
        client = self._core.clients.get()
        wanted = {"label": [f"{labels.INSTANCE_ID}={self._core.context.instance_id}", f"{labels.KIND}=environment"]}
        with translated("list", "images of packages"):
            rows = client.images(filters=wanted)
            found = [(str(row["Id"]), int(row["Created"])) for row in rows if self._mark(row.get("Labels"))]
        before = (datetime.now(UTC) - unused).timestamp()
        removed = []
        for image_id, created in found:
            if image_id not in keep and created < before:
                with suppress(Absent, Conflict), translated("remove", f"image {image_id[:19]}"):
                    client.remove_image(image_id)
                    removed.append(image_id)
        self._forget({image_id for image_id, _ in found} - set(removed), before)
        return tuple(removed)

    def _forget(self, there: Collection[str], before: float) -> None:
        """What was kept of images that are gone, and old logs of installations."""
        folder = self._place("")
        with on_disk(f"keep {folder}"):
            for path in list(folder.iterdir()):
                with suppress(FileNotFoundError):
                    gone = path.suffix == ".json" and f"sha256:{path.stem}" not in there
                    if gone or (path.suffix != ".json" and path.stat().st_mtime < before):
                        path.unlink()

    def kept(self, image_id: str) -> tuple[str, tuple[str, ...]]:
        """(id of its base, what is installed as the managers tell it) of an image of packages; ("", ()) = unknown."""
        try:
            said = json.loads(self._place(f"{image_id.removeprefix('sha256:')}.json").read_bytes())
            return str(said["base_id"]), tuple(map(str, said["installed"]))
        except (OSError, ValueError, KeyError, TypeError):
            return "", ()

    # -- finding ----------------------------------------------------------------------------------------------
    def _tag(self, key: str) -> str:
        return f"{REPOSITORY}:{self._core.context.instance}-{key[:32]}"

    def _find(self, key: str, owner: str) -> str:
        try:
            with translated("inspect", "the image of its packages"):
                data = self._core.clients.get().inspect_image(self._tag(key))  # type: ignore[no-untyped-call]
                mark = self._mark((data.get("Config") or {}).get("Labels"))
                image_id = str(data["Id"])
        except EngineRejected as error:
            if error.code in ("image-missing", "engine-absent"):
                return ""
            raise
        return image_id if mark is not None and (mark.digest, mark.owner) == (key, owner) else ""

    def _mark(self, marked: Mapping[str, str] | None) -> Mark | None:
        """The mark of an image of packages that this instance has made, else None."""
        mark = labels.read(self._core.context, marked)
        return mark if mark is not None and mark.kind is Kind.ENVIRONMENT else None

    # -- making -----------------------------------------------------------------------------------------------
    def _make(self, key: str, base: Image, spec: JobSpec, policy: Policy, networks: tuple[tuple[str, str], ...]) -> str:
        deadline = time.monotonic() + self._core.clients.timeouts.pull
        name = f"{self._core.context.instance}.{labels.ENVIRONMENT}{key[:32]}"
        builder = replace(waiting(spec), user="0:0", cap_add=CAPABILITIES)
        mark = Mark(Kind.ENVIRONMENT, spec.owner, packages_key(spec.packages), name, key, base.digest)
        marks = labels.write(self._core.context, mark)
        body = create_body(builder, marks, Acquired(base.image_id, networks=networks[:1]), (), ())
        granted = replace(policy, capabilities=CAPABILITIES, max_resources=None)
        self._core.check(body, builder, granted, (), networks[:1])
        with self.workshop.container(name, body, "install packages of", spec.name) as ref:
            self._install(ref, key, spec, deadline)
            report = self.workshop.run(
                ref, report_script(spec.packages), {}, REPORT_BYTES, deadline, user="0:0", folder="/"
            )[1]
            image_id = self.workshop.commit(ref, self._tag(key), base.image_id)
            self._keep(key, image_id, base.image_id, report)
        return image_id

    def _install(self, ref: str, key: str, spec: JobSpec, deadline: float) -> None:
        variables = dict(self._core.context.package_environment())
        code, said = self.workshop.run(
            ref, install_script(spec.packages), variables, LOG_BYTES, deadline, user="0:0", folder="/"
        )
        said = _masked(said, variables.values())
        log = self._place(f"{key[:32]}.log")
        with on_disk(f"keep {log}"):
            log.write_bytes(said)
        if code != 0:
            raise EngineRejected(
                f"cannot install packages of {spec.name}: {why(code, said)}",
                code="packages-failed", hint=f"all that it printed: {log}",
            )  # fmt: skip

    def _keep(self, key: str, image_id: str, base_id: str, report: bytes) -> None:
        """What was really installed, for whoever asks by the image's id."""
        said = {"image_id": image_id, "base_id": base_id, "installed": report.decode("utf-8", "replace").splitlines()}
        half = self._place(f"{key[:32]}.half")
        with on_disk(f"keep {half}"):
            half.write_text(json.dumps(said), encoding="utf-8")
            half.replace(self._place(f"{image_id.removeprefix('sha256:')}.json"))

    def _place(self, name: str) -> Path:
        folder = Path(self._core.context.state_dir, ENVIRONMENTS)
        with on_disk(f"keep {folder}"):
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        return folder / name


def _masked(said: bytes, values: Iterable[str]) -> bytes:
    """Without the values of variables, and without the passwords in addresses among them."""
    found = {part for value in values for part in (value, *_PASSWORD.findall(value)) if len(part) > SHORT}
    for part in sorted(found, key=len, reverse=True):
        said = said.replace(part.encode("utf-8", "surrogatepass"), b"***")
    return said
