"""In: a run's container and a cursor. Out: its output from there on, each piece with the cursor that resumes after it.

The Engine can resume at a time, not at a position, and the times of stdout and stderr may be a little out of order. So
a cursor is `anchor/count/newest`: skip `count` frames of those written at or after `anchor` ("" = all), as long as they
are no newer than `newest` (which matters only if the Engine has rotated some away meanwhile).
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from requests import RequestException, Response
from urllib3.exceptions import HTTPError as TransportError

from ..model.live import LivePhase
from .base import LogChunk, utc_from_rfc3339
from .docker_client import translated
from .docker_core import Core
from .docker_errors import Absent
from .docker_stream import BrokenStream, frames

_STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ")
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
REORDERED = 2.0  # seconds by which times may be out of order


class Position:
    """Counts frames since an anchor, which follows the newest frame at a distance of REORDERED seconds or more."""

    def __init__(self, anchor: str = "", count: int = 0, newest: str = "") -> None:
        self.anchor, self.count, self.newest = anchor, count, newest
        self._next, self._next_count = "", 0

    @classmethod
    def parse(cls, cursor: str) -> "Position":
        """The position behind a cursor; an unreadable one starts at the beginning."""
        anchor, _, rest = cursor.partition("/")
        count, _, newest = rest.partition("/")
        return cls(anchor, int(count), newest) if count.isdigit() else cls()

    def __str__(self) -> str:
        return f"{self.anchor}/{self.count}/{self.newest}"

    def pass_frame(self, stamp: str) -> None:
        """Count one frame written at `stamp`. Stamps have a fixed width, so text order is time order."""
        if stamp >= self.anchor:
            self.count += 1
        if not self._next and stamp > self.newest:  # all earlier frames are older: the count begins at this one
            self._next, self._next_count = stamp, 0
        if self._next and stamp >= self._next:
            self._next_count += 1
        self.newest = max(self.newest, stamp)
        if self._next and _seconds(stamp) - _seconds(self._next) > REORDERED:
            self.anchor, self.count = self._next, self._next_count
            self._next, self._next_count = "", 0


def read_logs(core: Core, ref: str, thing: str, cursor: str, follow: bool) -> Iterator[LogChunk]:
    """Frames after `cursor`. With `follow` it looks again after a silence, and ends when the run has ended.

    Raises EngineUnavailable if the Engine cannot be asked; a stream that breaks ends quietly.
    """
    position = Position.parse(cursor)
    while True:
        silent = False
        response = _open(core, ref, thing, position, follow)
        if response is None:
            return
        try:
            yield from _resume(response, position)
        except (RequestException, TransportError, OSError, BrokenStream):
            silent = True
        finally:
            response.close()
        found = core.find(ref, thing) if follow and silent else None
        if found is None:
            return
        follow = found.phase is LivePhase.RUNNING  # it ended meanwhile: read the rest once


def _open(core: Core, ref: str, thing: str, position: Position, follow: bool) -> Response | None:
    timeouts = core.clients.timeouts
    params = {"stdout": "1", "stderr": "1", "timestamps": "1", "follow": "1" if follow else "0"}
    if position.anchor:
        params["since"] = _unix(position.anchor)
    try:
        with translated("read the log of", thing):
            # Asked for directly: docker's own `logs` inspects first, rounds `since`, and waits for ever.
            response = core.clients.stream("GET", f"/containers/{ref}/logs", params, idle=timeouts.idle)
    except Absent:
        return None
    return response


def _resume(response: Response, position: Position) -> Iterator[LogChunk]:
    """Skip what was passed on before, then pass on the rest frame by frame (the Engine's are 16 KiB at most)."""
    skip, newest = position.count, position.newest
    for frame in frames(response):
        stamp, data = _split(frame)
        if skip and stamp <= newest:
            skip -= 1
            continue
        skip = 0
        position.pass_frame(stamp)
        yield LogChunk(data, str(position))


def _split(frame: bytes) -> tuple[str, bytes]:
    """(time stamp, payload). Raises BrokenStream."""
    match = _STAMP.match(frame)
    if match is None:
        raise BrokenStream("a log frame without its time")
    return match[0][:-1].decode("ascii"), frame[match.end() :]


def _seconds(stamp: str) -> float:
    moment = utc_from_rfc3339(stamp)
    return 0.0 if moment is None else (moment - _EPOCH) / timedelta(seconds=1)


def _unix(stamp: str) -> str:
    """`seconds.nanoseconds`, exact: a float would round it."""
    moment = datetime.fromisoformat(stamp[:19] + "+00:00")
    return f"{(moment - _EPOCH) // timedelta(seconds=1)}.{stamp[20:29]}"
