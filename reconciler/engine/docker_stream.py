"""In: a streaming answer of the Engine. Out: JSON messages or log frames as they arrive; every buffer is bounded."""

import json
import struct
from collections.abc import Iterable, Iterator

from requests import Response

MAX_LINE = 1 << 20  # bytes of one JSON message; longer ones are dropped
MAX_FRAME = 1 << 20  # bytes of one log frame: the Engine splits lines at 16 KiB
_HEADER = struct.Struct(">BxxxL")  # stream (1 = stdout, 2 = stderr), length


class BrokenStream(ValueError):
    """The stream is not what the Engine sends: half a frame, or garbage."""


def json_lines(response: Response) -> Iterator[dict[str, object]]:
    """One JSON object a line; what is none is passed over."""
    buffer = b""
    for piece in response.iter_content(16384):
        *lines, buffer = (buffer + piece).split(b"\n")
        if len(buffer) > MAX_LINE:
            buffer = b""
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if isinstance(message, dict):
                yield message


def frames(response: Response) -> Iterator[bytes]:
    """As `frames_of`, of a streaming answer."""
    return frames_of(response.iter_content(65536))


def frames_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The payloads of a multiplexed stream, stdout and stderr in the order in which they were written.

    Raises BrokenStream if it ends or goes wrong inside a frame.
    """
    buffer = b""
    for piece in pieces:
        buffer += piece
        start = 0
        while len(buffer) - start >= _HEADER.size:
            stream, length = _HEADER.unpack_from(buffer, start)
            if stream > 2 or length > MAX_FRAME:
                raise BrokenStream("not a log frame")
            end = start + _HEADER.size + length
            if end > len(buffer):
                break
            yield buffer[start + _HEADER.size : end]
            start = end
        buffer = buffer[start:]
    if buffer:
        raise BrokenStream("ended inside a log frame")
