"""In: a job whose packages are known. Out: an image that has them, nobody's but its user's: without a label of ours.

It is the very image of packages that the job's runs use where there is one (`docker_environments`), with what a start
script does if that is asked for, and then with the configuration of the base image and the labels that tell its origin.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from docker.errors import APIError
from requests import RequestException
from urllib3.exceptions import HTTPError as TransportError

from ..model.errors import EngineRejected, EngineUnavailable
from ..model.job import Install, JobSpec
from ..spec.argv import START_SCRIPT, script_argv
from . import docker_errors, labels
from .base import BuildOrder, Built
from .docker_acquire import Acquirer
from .docker_body import Acquired, create_body
from .docker_client import HINT_AWAY, raise_for_status, translated
from .docker_core import Core
from .docker_environments import LOG_BYTES, REPOSITORY
from .docker_images import Image
from .docker_reference import Reference, parse, registry_digest
from .docker_rewrite import rewrite
from .docker_stream import json_lines
from .docker_workshop import waiting, why
from .labels import Kind, Mark

OURS = "reconciler-build"  # the beginning of names that nobody has chosen
OCI = "org.opencontainers.image."
NO_LOGIN = {"X-Registry-Auth": "e30="}  # {}: the Engine wants the header in any case
_ODD = re.compile(r"[^a-z0-9]+")


class Builder:
    """One build; another needs another."""

    def __init__(self, core: Core, acquirer: Acquirer) -> None:
        self._core, self._acquirer = core, acquirer
        self._environments, self._images = acquirer.environments, acquirer.images

    def build(self, order: BuildOrder, say: Callable[[str], None]) -> Built:
        """Raises EngineRejected (image-missing, packages-failed, build-script-failed, push-refused, registry-auth,
        registry-unavailable), EngineUnavailable."""
        packages = replace(order.spec.packages, install=Install.IMAGE)
        spec = replace(order.spec, packages=packages, mounts=())  # nothing of a volume gets into an image
        base, pinned = self._base(order)
        say(f"base {spec.image} is {base.image_id[:19]}")
        if packages.managers:
            say(f"packages by {', '.join(packages.managers)}")
        found = self._acquirer.acquire(spec, order.policy, image_id=order.image_id if pinned else base.image_id)
        image_id = found.image_id
        history: tuple[str, ...] = ("packages",) if packages.managers else ()
        if order.start_script:
            say("the start script runs")
            image_id = self._after_script(order, spec, found)
            history += (START_SCRIPT,)
        name = order.name or own_name(spec, image_id, order.revision)
        reference = parse(name)
        say(f"writing {reference.lookup}")
        made = self._renamed(order, base, image_id, history, reference.lookup)
        if order.start_script:
            with translated("remove", "the image of its start script"):
                self._core.clients.get().remove_image(image_id, noprune=True)
        digest = ""
        if order.push:
            say(f"pushing {reference.lookup} to {reference.registry}")
            digest = self._push(reference)
        return Built(reference.lookup, made, digest, base.image_id, base.digest,
                     self._environments.kept(found.image_id)[1])  # fmt: skip

    def _base(self, order: BuildOrder) -> tuple[Image, bool]:
        """The image that the packages are put into, and whether it is the one that was applied."""
        spec = order.spec
        applied = self._images.pinned(order.image_id, spec.image) if order.image_id else None
        if applied is not None and labels.KIND in applied.labels:
            base_id = self._environments.kept(applied.image_id)[0]
            applied = self._images.pinned(base_id, spec.image) if base_id else None
        if applied is not None and labels.KIND not in applied.labels:
            return replace(applied, digest=order.image_digest), True
        return self._images.acquire(spec.image, spec.pull_policy), False

    # -- the start script ---------------------------------------------------------------------------------------
    def _after_script(self, order: BuildOrder, spec: JobSpec, found: Acquired) -> str:
        """The image with what the script has done, as the job's user, with the job's network and variables."""
        clients, context = self._core.clients, self._core.context
        deadline = time.monotonic() + clients.timeouts.pull
        script = order.spec.start_script or ""
        key = hashlib.sha256(json.dumps([found.image_id, spec.owner, script, spec.name]).encode()).hexdigest()
        name = f"{context.instance}.{labels.ENVIRONMENT}{key[:32]}"
        builder = replace(waiting(spec), user=spec.user, cap_add=spec.cap_add)
        marks = labels.write(context, Mark(Kind.ENVIRONMENT, spec.owner, START_SCRIPT, name, key, found.image_digest))
        body = create_body(builder, marks, replace(found, networks=found.networks[:1]), (), ())
        self._core.check(body, builder, order.policy, (), found.networks[:1])
        workshop = self._environments.workshop
        with workshop.container(name, body, "run the start script of", spec.name) as ref:
            code, said = workshop.run(
                ref, script_argv(script)[-1], dict(order.environment), LOG_BYTES, deadline, folder=spec.working_dir
            )
            if code != 0:
                raise EngineRejected(
                    f"cannot run the start script of {spec.name}: {why(code, said)}", code="build-script-failed",
                    hint="in a build it has no code, files, secrets or volumes; without --with-start-script it is "
                    "left to the job",
                )  # fmt: skip
            return workshop.commit(ref, f"{REPOSITORY}:{context.instance}-{key[:32]}", found.image_id)

    # -- the image and its name ---------------------------------------------------------------------------------
    def _renamed(self, order: BuildOrder, base: Image, image_id: str, history: tuple[str, ...], name: str) -> str:
        """The image of this name, with the base's configuration; its id."""
        said = tuple(f"reconciler build {order.spec.name}: {what}" for what in history)
        rewrite(self._core.clients, image_id, self._config(order, base), said, name)
        with translated("inspect", f"the image {name}"):
            made, like = self._inspect(name), self._inspect(image_id)
            if (made.get("RootFS") or {}).get("Layers") != (like.get("RootFS") or {}).get("Layers"):
                raise EngineUnavailable(f"cannot make {name}: the Engine has another image of this name")
            if any(key.startswith(labels.PREFIX) for key in (made.get("Config") or {}).get("Labels") or {}):
                raise EngineRejected(f"cannot make {name}: it has kept labels of ours", code="image-labels")
            return str(made["Id"])

    def _config(self, order: BuildOrder, base: Image) -> dict[str, Any]:
        """What the base image says of command, user and variables, with our word on its origin."""
        with translated("inspect", order.spec.image):
            config = dict(self._inspect(base.image_id).get("Config") or {})
        said = {key: value for key, value in (config.get("Labels") or {}).items() if key != f"{OCI}base.digest"}
        said |= {f"{OCI}revision": order.revision, f"{OCI}title": order.spec.name, f"{OCI}base.name": order.spec.image}
        if base.digest:
            said[f"{OCI}base.digest"] = base.digest
        return {**config, "Labels": said}

    def _inspect(self, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._core.clients.ask("GET", f"/images/{quote(name, safe='/:@')}/json")
        return found

    # -- push -----------------------------------------------------------------------------------------------------
    def _push(self, reference: Reference) -> str:
        """The digest that its registry knows it by."""
        client, timeouts, name = self._core.clients.get(), self._core.clients.timeouts, reference.lookup
        deadline = time.monotonic() + timeouts.pull
        login = self._images.login(reference) or NO_LOGIN
        with translated("push", name):
            response = client.post(
                f"{client.base_url}/v{client.api_version}/images/{quote(reference.repository, safe='/:')}/push",
                params={"tag": reference.tag}, headers=login, stream=True,
                timeout=(timeouts.connect, 2 * timeouts.idle),
            )  # fmt: skip
            try:
                raise_for_status(response)
            except APIError as error:
                raise docker_errors.from_push(name, str(error.explanation or error)) from error
        try:
            for line in json_lines(response):
                if line.get("error"):
                    raise docker_errors.from_push(name, str(line["error"]))
                if time.monotonic() > deadline:
                    message = f"cannot push {name}: not done after {timeouts.pull:.0f} s"
                    hint = "Build it again: layers that have arrived are kept."
                    raise EngineRejected(message, code="registry-unavailable", hint=hint)
        except (RequestException, TransportError, OSError) as error:
            raise EngineUnavailable(f"cannot push {name}: {docker_errors.short(error)}", hint=HINT_AWAY) from error
        finally:
            response.close()
        with translated("inspect", f"the image {name}"):
            digest = registry_digest(reference.repository, self._inspect(name).get("RepoDigests"))
        if not digest:
            raise EngineUnavailable(f"cannot push {name}: the Engine does not tell its digest", hint=HINT_AWAY)
        return digest


def own_name(spec: JobSpec, image_id: str, revision: str) -> str:
    """`reconciler-build/OWNER/JOB:KEY`; the key is of the content, so that it never means two things."""
    parts = [_ODD.sub("-", part.lower()).strip("-") or "x" for part in (*spec.owner.split("/"), *spec.name.split("/"))]
    key = hashlib.sha256(f"{image_id} {revision} {spec.owner} {spec.name} {spec.image}".encode()).hexdigest()[:32]
    return f"{OURS}/{'/'.join(parts)}:{key}"
