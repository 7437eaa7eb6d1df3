"""In: an image reference and a pull policy. Out: an image id that the Engine has, pulled if that is allowed (rule P4).

With policy `never`, or `missing` and the image present, no registry is contacted. A failed pull is an error, never
a silent use of what happens to be there.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from docker import auth
from docker.errors import APIError
from requests import RequestException, Response
from urllib3.exceptions import HTTPError as TransportError
from urllib3.exceptions import ReadTimeoutError

from ..model.errors import EngineRejected, EngineUnavailable
from ..model.job import PullPolicy
from . import docker_errors, labels
from .base import EngineContext
from .docker_client import HINT_AWAY, Clients, raise_for_status, translated
from .docker_core import KeyedLock
from .docker_recent import Recent
from .docker_reference import HUB, Reference, parse, registry_digest
from .docker_stream import json_lines


@dataclass(frozen=True, slots=True)
class Image:
    image_id: str
    digest: str = ""  # the registry's, "" = unknown
    labels: Mapping[str, str] = field(default_factory=dict, compare=False)


class Images:
    """Image acquisition; one pull per reference at a time, others wait for it."""

    def __init__(self, context: EngineContext, clients: Clients, recent: Recent) -> None:
        self._context, self._clients, self._recent = context, clients, recent
        self._pulling = KeyedLock()

    def pinned(self, image_id: str, image: str) -> Image | None:
        """This very image while the Engine has it, whatever its labels are."""
        return self._recent.get(f"pinned {image_id}", lambda: self._read(parse(image_id), image))

    def acquire(self, image: str, policy: PullPolicy, *, refresh: bool = False) -> Image:
        """The image for `image`; `refresh` pulls in any case but `never`.

        Raises EngineRejected (image-missing, image-labels, registry-auth, registry-unavailable, disk-full).
        """
        reference = parse(image)
        pull_anyway = (refresh or policy is PullPolicy.ALWAYS) and policy is not PullPolicy.NEVER
        found = None if pull_anyway else self._look(reference, image)
        if found is not None:
            return found
        if policy is PullPolicy.NEVER or reference.image_id:
            hint = "pull_policy is `never`: pull the image by hand, or use `missing`."
            raise EngineRejected(f"cannot use {image}: the Engine has no such image", code="image-missing", hint=hint)
        with self._pulling(reference.lookup):
            found = None if pull_anyway else self._look(reference, image)  # somebody else may have pulled it
            if found is None:
                self._pull(reference, image)
                self._recent.forget(f"image {reference.lookup}")
                found = self._look(reference, image)
        if found is None:
            raise EngineRejected(f"cannot use {image}: it is not there after the pull", code="image-missing")
        return found

    def _look(self, reference: Reference, image: str) -> Image | None:
        return self._recent.get(f"image {reference.lookup}", lambda: self._inspect(reference, image))

    def _inspect(self, reference: Reference, image: str) -> Image | None:
        """The image if the Engine has it. Raises EngineRejected if it carries labels of ours."""
        found = self._read(reference, image)
        if found is not None and any(str(key).startswith(labels.PREFIX) for key in found.labels):
            message = f"cannot use {image}: the image carries labels that begin with {labels.PREFIX}"
            raise EngineRejected(
                message, code="image-labels", hint="Was it committed from a job's container? Build it."
            )
        return found

    def _read(self, reference: Reference, image: str) -> Image | None:
        try:
            with translated("inspect image", image):
                data = self._clients.ask("GET", f"/images/{quote(reference.lookup, safe='/:@')}/json")
                image_id = str(data["Id"])
                carried = (data.get("Config") or {}).get("Labels") or {}
                digest = reference.digest or registry_digest(reference.repository, data.get("RepoDigests"))
        except EngineRejected as error:
            if error.code in ("image-missing", "engine-absent"):
                return None
            raise
        return Image(image_id, digest, carried)

    def _pull(self, reference: Reference, image: str) -> None:
        deadline = time.monotonic() + self._clients.timeouts.pull
        with translated("pull", image):
            response = self._request(reference, image)
        try:
            for line in json_lines(response):
                if line.get("error"):
                    raise docker_errors.from_pull(image, str(line["error"]))
                if time.monotonic() > deadline:
                    raise _slow(image, f"not done after {self._clients.timeouts.pull:.0f} s")
        except (RequestException, TransportError, OSError) as error:
            if any(isinstance(cause, ReadTimeoutError) for cause in (error, *error.args)):
                raise _slow(image, "no progress") from error
            reason = docker_errors.short(error)
            raise EngineUnavailable(f"cannot pull {image}: {reason}", hint=HINT_AWAY) from error
        finally:
            response.close()  # ends the pull in the Engine, if it is still under way

    def _request(self, reference: Reference, image: str) -> Response:
        client, timeouts = self._clients.get(), self._clients.timeouts
        params = {"fromImage": reference.repository, "tag": reference.digest or reference.tag}
        # Asked for directly: docker's own `pull` waits for ever, and looks into the user's configuration for logins.
        response = client.post(
            f"{client.base_url}/v{client.api_version}/images/create",
            params=params, headers=self.login(reference), stream=True, timeout=(timeouts.connect, 2 * timeouts.idle),
        )  # fmt: skip
        try:
            raise_for_status(response)
        except APIError as error:
            raise docker_errors.from_pull(image, str(error.explanation or error)) from error
        return response

    def login(self, reference: Reference) -> dict[str, str]:
        """The header that logs in to its registry, as the service file has it now; the password is read now, so that
        it can be rotated. Raises EngineRejected (registry-auth)."""
        for host, registry in self._context.registries().items():
            if host == reference.registry or (host in HUB and reference.registry in HUB):
                try:
                    password = Path(registry.password_file).read_text().rstrip("\r\n")
                except (OSError, UnicodeDecodeError) as error:
                    raise EngineRejected(
                        f"cannot log in to {host}: the password file cannot be read",
                        code="registry-auth", hint=f"Check that the service may read {registry.password_file}.",
                    ) from error  # fmt: skip
                login = {"username": registry.username, "password": password, "serveraddress": host}
                return {"X-Registry-Auth": auth.encode_header(login).decode("ascii")}
        return {}


def _slow(image: str, why: str) -> EngineRejected:
    hint = "The image is pulled again later; layers that arrived are kept."
    return EngineRejected(f"cannot pull {image}: {why}", code="registry-unavailable", hint=hint)
