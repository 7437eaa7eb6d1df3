"""structlog's output: coloured lines on a terminal, native journal entries under systemd, JSON lines elsewhere."""

import json
import os
import socket
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, TextIO

from .lean import structlog

_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3}
_SOCKET = "/run/systemd/journal/socket"


def configure(stream: TextIO | None = None, *, verbose: bool = False, colour: bool | None = None,
              mask: Callable[[Any], Any] = lambda event: event) -> None:  # fmt: skip
    """Set structlog up for this process. `stream` defaults to standard error; `mask` sees every entry before it is
    shown."""
    stream = stream or sys.stderr
    level = 10 if verbose else 20
    shared: list[Any] = [structlog.contextvars.merge_contextvars, structlog.processors.add_log_level,
                         lambda _logger, _method, event: mask(event)]  # fmt: skip
    if os.environ.get("JOURNAL_STREAM") and os.path.exists(_SOCKET):  # noqa: PTH110
        processors: list[Any] = [*shared, _finite, JournalRenderer(_SOCKET)]
    elif colour if colour is not None else stream.isatty():
        processors = [*shared, structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False), console_line]
    else:
        processors = [
            *shared,
            structlog.processors.TimeStamper(fmt="iso"),
            _finite,
            structlog.processors.JSONRenderer(),
        ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )


def console_line(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    """`21:04:05 run.finished  hello  verdict=succeeded took=0.3s`, coloured by level."""
    level = event.pop("level", "info")
    colour = {"error": "\x1b[31m", "warning": "\x1b[33m"}.get(level, "\x1b[36m")
    head = f"\x1b[2m{event.pop('timestamp', '')}\x1b[0m {colour}{event.pop('event', ''):<20}\x1b[0m"
    who = str(event.pop("run", "") or event.pop("job", ""))
    event.pop("job", None)
    rest = " ".join(f"{key}={_short(_plain(value))}" for key, value in event.items() if value not in (None, ""))
    return f"{head} {_plain(who)}  {rest}".rstrip()


def _plain(value: object) -> str:
    return "".join(c if c.isprintable() else "?" for c in str(value))


def _short(text: str) -> str:
    """Enough of a commit id or a digest for a person's eye."""
    return text[:12] if len(text) in (40, 64) and not set(text) - set("0123456789abcdef") else text


def _finite(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """NaN and infinities are not JSON."""
    for key, value in event.items():
        if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
            event[key] = None
    return event


class JournalRenderer:
    """Sends each entry to journald with its own fields (JOB, RUN, ...), so that `journalctl JOB=etl` finds it.

    Falls back to `<priority>json` lines, which journald reads from standard error as well.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
        priority = _PRIORITY.get(str(event.pop("level", "info")), 6)
        entry = journal_entry(event, priority)
        try:
            self._socket.sendto(entry, self._path)
        except OSError:
            return f"<{priority}>" + json.dumps({k: str(v) for k, v in event.items()})
        raise structlog.DropEvent


def journal_entry(event: Mapping[str, Any], priority: int) -> bytes:
    """The datagram of journald's native protocol for one event."""
    message = str(event.get("event", ""))
    rest = " ".join(
        f"{key}={_plain(value)}" for key, value in event.items() if key != "event" and value not in (None, "")
    )
    fields = {"MESSAGE": f"{message} {rest}".rstrip(), "PRIORITY": str(priority), "SYSLOG_IDENTIFIER": "reconciler",
              "EVENT": message}  # fmt: skip
    fields |= {_field(key): str(value) for key, value in event.items() if key != "event" and value not in (None, "")}
    out = bytearray()
    for key, value in fields.items():
        data = value.encode("utf-8", "replace")
        if b"\n" in data:
            out += key.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
        else:
            out += key.encode() + b"=" + data + b"\n"
    return bytes(out)


def _field(key: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in key.upper()).strip("_") or "FIELD"
