"""In: an image, and the configuration that it is to have. Out: the same layers under that configuration, and a name.

An image inherits the labels of what it was made from, and no commit takes one away. So it goes once through `save` and
`load`, the Engine's own formats, and its configuration is exchanged on the way; the layers pass by as they are.
"""

import io
import json
import tarfile
import time
from collections.abc import Iterator, Mapping
from typing import Any, cast

from requests import RequestException, Response
from urllib3.exceptions import HTTPError as TransportError

from ..model.errors import EngineRejected, EngineUnavailable
from . import docker_errors
from .docker_client import HINT_AWAY, Clients, raise_for_status, translated
from .docker_stream import json_lines

INDEX = frozenset({"manifest.json", "repositories", "index.json", "oci-layout"})  # of the archive as it comes
CONFIG, BLOCK, PIECE = "configuration.json", 512, 1 << 18
LARGEST = 1 << 20  # bytes of a configuration, and of an index
LEFT_OUT = frozenset({"container", "container_config", "docker_version", "parent", "id"})  # what it was made in


def rewrite(clients: Clients, image_id: str, config: Mapping[str, Any], history: tuple[str, ...], name: str) -> None:
    """Make the image `name` (with a tag) of the layers of `image_id`. `history`: what is said of its last layers, the
    lowest first. Raises EngineRejected (disk-full), EngineUnavailable."""
    client = clients.get()
    deadline = time.monotonic() + clients.timeouts.pull
    with translated("read", f"the layers of {name}"):
        saved = clients.stream("GET", f"/images/{image_id}/get", {}, idle=clients.timeouts.pull)
    pieces = exchanged(cast("io.BufferedIOBase", _Reader(saved)), config, history, name)
    try:
        with translated("write", f"the image {name}"):
            response = client.post(
                f"{client.base_url}/v{client.api_version}/images/load", params={"quiet": "1"},
                data=_until(deadline, name, pieces),
                headers={"Content-Type": "application/x-tar"}, stream=True,
                timeout=(clients.timeouts.connect, clients.timeouts.pull),
            )  # fmt: skip
            raise_for_status(response)
            _check_loaded(response, name)
    except tarfile.TarError as error:
        message = f"cannot read the layers of {name}: the Engine's answer cannot be read"
        raise EngineUnavailable(message, hint=HINT_AWAY) from error
    finally:
        saved.close()


def exchanged(
    saved: io.BufferedIOBase, config: Mapping[str, Any], history: tuple[str, ...], name: str
) -> Iterator[bytes]:
    """An archive of one image -> the same with this configuration, under this name, piece by piece."""
    small: dict[str, bytes] = {}
    with tarfile.open(fileobj=saved, mode="r|") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is None:
                if member.name not in INDEX:
                    yield member.tobuf(tarfile.PAX_FORMAT)
                continue
            data = file.read(LARGEST) if member.size <= LARGEST else b""
            if data[:1] in (b"{", b"["):
                small[member.name] = data
            if member.name in INDEX:
                continue
            yield member.tobuf(tarfile.PAX_FORMAT)
            yield data
            while piece := file.read(PIECE):
                yield piece
            yield bytes(-member.size % BLOCK)
    yield from _index(small, config, history, name)


def _index(
    small: Mapping[str, bytes], config: Mapping[str, Any], history: tuple[str, ...], name: str
) -> Iterator[bytes]:
    """The new configuration, and the index that tells of it."""
    (image,) = json.loads(small["manifest.json"])
    old = json.loads(small[image["Config"]])
    new = {key: value for key, value in old.items() if key not in LEFT_OUT}
    new |= {"config": dict(config), "history": _history(old.get("history") or [], history)}
    told = [{"Config": CONFIG, "RepoTags": [name], "Layers": image["Layers"]}]
    for path, value in ((CONFIG, new), ("manifest.json", told)):
        data = json.dumps(value, sort_keys=True).encode()
        member = tarfile.TarInfo(path)
        member.size = len(data)
        yield member.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % BLOCK)
    yield bytes(2 * BLOCK)


def _history(old: list[dict[str, Any]], said: tuple[str, ...]) -> list[dict[str, Any]]:
    """Its last entries tell what was done, and not that a container waited."""
    at = len(old) - len(said)
    return [
        entry if number < at else {"created": entry.get("created"), "created_by": said[number - at]}
        for number, entry in enumerate(old)
    ]


class _Reader:
    """An answer's body as a file that is read from its beginning to its end."""

    def __init__(self, response: Response) -> None:
        self._pieces = response.iter_content(PIECE)
        self._rest = b""

    def read(self, count: int) -> bytes:
        parts, missing = [], count
        while missing:
            if not self._rest:
                self._rest = next(self._pieces, b"")
                if not self._rest:
                    break
            parts.append(self._rest[:missing])
            self._rest = self._rest[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)


def _until(deadline: float, name: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        if time.monotonic() > deadline:
            raise EngineUnavailable(f"cannot write the image {name}: the Engine has not taken it in time",
                                    hint=HINT_AWAY)  # fmt: skip
        if piece:  # an empty chunk would be the end
            yield piece


def _check_loaded(response: Response, name: str) -> None:
    try:
        for line in json_lines(response):
            if line.get("error"):
                words = str(line["error"])
                found = docker_errors.from_answer("write", f"the image {name}", 500, words)
                raise EngineRejected(str(found), code=found.code if isinstance(found, EngineRejected) else None,
                                     hint=found.hint)  # fmt: skip
    except (RequestException, TransportError, OSError) as error:
        reason = docker_errors.short(error)
        raise EngineUnavailable(f"cannot write the image {name}: {reason}", hint=HINT_AWAY) from error
    finally:
        response.close()
