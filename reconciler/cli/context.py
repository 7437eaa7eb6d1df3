"""What a command stands on: the configuration in force, the ledger read-only, the service if it runs."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from ..daemon.settings import Overrides, from_environment, is_hidden, load, socket_path
from ..history.base import Reader
from ..model.errors import ReconcilerError, StateError, Transient, UsageError
from ..model.service import ServiceConfig

AWAY = ("service-not-running", "service-unreachable")  # codes: nobody answers
AWAY_LONG = 30.0  # seconds without the service after which nobody goes on waiting for a run
LOOK_AGAIN = 5.0


def overrides(args: argparse.Namespace) -> Overrides:
    """What this command line says."""
    return Overrides(
        args.config, args.source, args.ref, tuple(args.path) if args.path else None, args.engine, args.state_dir
    )


def stated(args: argparse.Namespace) -> Overrides:
    """What this command line or its environment says, the service file left out."""
    return overrides(args).over(from_environment(os.environ))


def settings(args: argparse.Namespace, *, asking: bool = False) -> ServiceConfig:
    """The configuration in force. Problems of the service file go to standard error; errors end the command. A command
    that is `asking` needs of it only what a service tells to whoever may ask it."""
    config, problems = load(overrides(args), asking=asking)
    for problem in problems:
        print(f"{problem}{f' ({problem.hint})' if problem.hint else ''}", file=sys.stderr)
    if any(problem.is_error for problem in problems):
        raise UsageError("cannot use the service file: see the lines above", code="config-invalid")
    if asking and stated(args).config is None and is_hidden():
        said, _ = service_status(config)
        config = replace(config, **{name: said[name] for name in ("instance", "timezone") if name in said})
    return config


@contextmanager
def ledger(config: ServiceConfig) -> Iterator[Reader]:
    """The ledger, read-only: works beside a running service and without one. Who may not read it gets from the running
    service what is theirs. Raises StateError."""
    history = _opened(config)
    try:
        yield history
    finally:
        history.close()


def _opened(config: ServiceConfig) -> Reader:
    from ..history.sqlite import open_history

    try:
        return open_history(Path(config.state_dir) / "reconciler.db", read_only=True)
    except StateError as error:
        if error.code != "state-unreadable":
            raise
        unreadable = error
    from ..server.remote import RemoteReader

    try:
        ask(config, "GET", "/v1/status", timeout=5.0)
    except ReconcilerError as error:
        if error.code in (*AWAY, "not-permitted"):
            raise unreadable from error
        raise
    return RemoteReader(socket_path(config))


def ask(config: ServiceConfig, method: str, route: str, body: Any = None, timeout: float = 30.0) -> Any:
    """Ask the running service; its refusal becomes an error here, with the same code and hint."""
    from ..server.client import call, refusal

    status, answer = call(socket_path(config), method, route, body, timeout)
    if status >= 400:
        raise refusal(status, answer)
    return answer


def service_runs(config: ServiceConfig) -> bool:
    """Is there a service to ask? A refusal is an answer, too."""
    try:
        ask(config, "GET", "/v1/status", timeout=5.0)
    except ReconcilerError as error:
        return error.code not in AWAY
    return True


def service_status(config: ServiceConfig) -> tuple[dict[str, Any], tuple[str, ...]]:
    """(what the service says of itself, {} = nothing; what is degraded, a sentence each, its own absence included)."""
    try:
        said = ask(config, "GET", "/v1/status", timeout=5.0)
    except ReconcilerError as error:
        word = "nothing fires" if error.code in AWAY else "cannot tell how the service is"
        return {}, (f"{word}: {error} [{error.code}]",)
    return said, tuple(said["degraded"])


class Presence:
    """Is the service still there, for whoever waits for a run? Without it no run is recorded and no log grows."""

    def __init__(self, config: ServiceConfig) -> None:
        self._config = config
        self._seen = self._looked = monotonic()

    def check(self) -> None:
        """Call often. Raises Transient once the service has been away for AWAY_LONG seconds."""
        if monotonic() - self._looked < LOOK_AGAIN:
            return
        if service_runs(self._config):
            self._seen = monotonic()
        self._looked = monotonic()
        if self._looked - self._seen > AWAY_LONG:
            raise Transient(
                "cannot wait any longer: the service is not there", code="service-not-running",
                hint="what runs goes on; look again when the service is back",
            )  # fmt: skip


def now() -> datetime:
    return datetime.now(UTC)


def positive(text: str) -> int:
    """An argparse type: a whole number from 1 to 10,000."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 10000")
    return int(text)


def key(text: str) -> str:
    """An argparse type: an idempotency key. One of nothing is a variable that was not set, and would repeat the run."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the key is empty")
    return text


def instant(text: str, zone: str) -> datetime:
    """ISO 8601, or HH:MM of today; without an offset it is a time in `zone`. Raises UsageError."""
    from zoneinfo import ZoneInfo

    from ..model.years import OUTSIDE, plausible

    here = ZoneInfo(zone)
    try:
        day = f"{now().astimezone(here):%Y-%m-%dT}" if text[2:3] == ":" else ""
        at = datetime.fromisoformat(day + text)
        found = (at if at.tzinfo else at.replace(tzinfo=here)).astimezone(UTC)
    except (ValueError, OverflowError):
        hint = "for example 02:30, 2026-11-24T02:30 or 2026-11-24T01:30:00Z"
        raise UsageError(f"cannot read {text!r} as an instant: not ISO 8601", hint=hint) from None
    if not plausible(found):
        raise UsageError(f"cannot take {text!r}: it {OUTSIDE}")
    return found
