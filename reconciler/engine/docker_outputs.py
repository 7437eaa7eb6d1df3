"""In: a run's container. Out: its outputs directory opened for any user, and what it has left there, entry by entry.

The directory is an anonymous volume: it goes with the container, no path of the host is bound, and the Engine reads it
whoever its files belong to. See docs/decisions/0508.
"""

import io
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import PurePosixPath

from requests import RequestException, Response
from urllib3.exceptions import HTTPError

from ..model.errors import EngineUnavailable
from ..model.outputs import OutputPart, PartKind
from .docker_client import translated
from .docker_core import Core
from .docker_errors import Absent

MODE = 0o777  # only this run's container sees it, and only its image knows the number of its user
BLOCK = 256 * 1024
LONGEST = 3600.0  # seconds for all of it: an Engine that trickles must not hold a worker for ever


def open_to_all(core: Core, ref: str, thing: str, target: str, *, read_only: bool) -> None:
    """Let any user of a container that was never started write to `target`. May be repeated. Raises Absent.

    An Engine unpacks nothing at a root that is read-only, and skips the entry `.`: there the directory is named from
    within itself.
    """
    where, name = (target, f"../{PurePosixPath(target).name}") if read_only else ("/", target.lstrip("/"))
    entry = tarfile.TarInfo(f"{name}/")
    entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, MODE, int(time.time())
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.addfile(entry)
    with translated("open the outputs of", thing):
        core.clients.get().put_archive(ref, where, data.getvalue())


def read(core: Core, ref: str, thing: str, target: str) -> Iterator[OutputPart] | None:
    """None = the container is gone."""
    try:
        with translated("read the outputs of", thing):
            params, timeouts = {"path": target}, core.clients.timeouts
            response = core.clients.stream("GET", f"/containers/{ref}/archive", params, idle=timeouts.idle)
    except Absent:
        return None
    return _parts(response, thing)


def _parts(response: Response, thing: str) -> Iterator[OutputPart]:
    with closing(response):
        try:
            with tarfile.open(fileobj=_Pieces(response), mode="r|") as archive:  # type: ignore[call-overload]
                for entry in archive:
                    path = entry.name.partition("/")[2]  # the first part is the directory itself
                    if path:
                        yield _part(archive, entry, path)
                    archive.members = []  # it would remember them all
        except (tarfile.TarError, RequestException, HTTPError, OSError, ValueError) as error:
            raise EngineUnavailable(f"cannot read the outputs of {thing}: the stream broke ({error})") from error


def _part(archive: tarfile.TarFile, entry: tarfile.TarInfo, path: str) -> OutputPart:
    if entry.isdir():
        return OutputPart(path, PartKind.DIRECTORY)
    if entry.islnk():
        return OutputPart(path, PartKind.COPY, source=entry.linkname.partition("/")[2])
    if not entry.isreg():
        return OutputPart(path, PartKind.OTHER)
    return OutputPart(path, PartKind.FILE, entry.size, bool(entry.mode & 0o100), _bytes(archive, entry))


def _bytes(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> Iterator[bytes]:
    file = archive.extractfile(entry)
    while file is not None and (data := file.read(BLOCK)):
        yield data


class _Pieces:
    """The body of an answer as a file that can only be read on, decoded if the Engine has packed it."""

    def __init__(self, response: Response) -> None:
        self._pieces = response.iter_content(BLOCK)
        self._deadline = time.monotonic() + LONGEST
        self._rest = b""

    def read(self, size: int) -> bytes:
        found = [self._rest]
        have = len(self._rest)
        if time.monotonic() > self._deadline:
            raise TimeoutError(f"no end within {LONGEST:.0f} s")
        while have < size and (piece := next(self._pieces, b"")):
            found.append(piece)
            have += len(piece)
        data = b"".join(found)
        self._rest = data[size:]
        return data[:size]
