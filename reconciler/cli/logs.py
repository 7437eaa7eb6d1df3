"""Print a run's output. RUN is a run id, JOB (its latest run) or JOB@02:30. With -f, until the run has ended."""

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..history.base import Reader
from ..model.errors import Permanent, Transient, UsageError
from ..model.run import RunRecord
from ..model.service import ServiceConfig

if TYPE_CHECKING:
    from ..history.logread import LogFollower
    from ..server.remote import RemoteReader

PAUSE = 0.2  # seconds between two looks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from .context import positive

    parser.add_argument("run", help="a run id, JOB or JOB@02:30")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the run has ended")
    parser.add_argument("-n", "--tail", type=positive, metavar="N", help="only the last N lines")


def run(args: argparse.Namespace) -> int:
    from .context import ledger, now, settings
    from .find import find_run

    config = settings(args, asking=True)
    with ledger(config) as history:
        record = find_run(history, config, args.run, now())
        if not args.follow:
            log = _log_of(history, config, record.run_id, args.tail)
            while (seen := log.look()) is not None and _write(seen[1]):
                pass
            if not log.there:
                raise UsageError(f"cannot print the log of {record.run_id}: {_no_log(record)}", code="log-absent",
                                 hint=f"see: reconciler show {record.run_id}")  # fmt: skip
            return 0
    follow_run(config, record.run_id, tail=args.tail)
    return 0


def _no_log(record: RunRecord) -> str:
    if record.started_at is None:
        return f"it has not started ({record.phase.value}{f': {record.reason}' if record.reason else ''})"
    return "it printed nothing, or its log has aged out"


def follow_run(config: ServiceConfig, run_id: str, *, tail: int | None = None) -> RunRecord | None:
    """Print what is there and what comes, until the run has ended and its log is complete; its last state.

    None = history has dropped it meanwhile. Raises Transient if the service goes away for long.
    """
    from .context import Presence, ledger

    presence = Presence(config)
    with ledger(config) as history:
        log = _log_of(history, config, run_id, tail)
        while True:
            try:
                seen = log.look()
            except Transient:  # the service is away for a moment
                presence.check()
                time.sleep(PAUSE)
                continue
            if seen is None:
                return None
            record, parts = seen
            if _write(parts):
                continue
            if not record.active and (record.collected or record.started_at is None):
                return record
            presence.check()
            time.sleep(PAUSE)


def _write(parts: Iterable[bytes]) -> bool:
    """False = there was nothing."""
    wrote = False
    for data in parts:
        sys.stdout.buffer.write(data)
        wrote = True
    sys.stdout.buffer.flush()
    return wrote


def _log_of(history: Reader, config: ServiceConfig, run_id: str, tail: int | None) -> "_Local | _Remote":
    from ..server.remote import RemoteReader

    if isinstance(history, RemoteReader):
        return _Remote(history, run_id, tail)
    return _Local(history, Path(config.state_dir), run_id, tail)


class _Local:
    """A run and its log, from the state directory."""

    def __init__(self, history: Reader, state_dir: Path, run_id: str, tail: int | None) -> None:
        self._history, self._state_dir, self._run_id, self._tail = history, state_dir, run_id, tail
        self._follower: LogFollower | None = None

    @property
    def there(self) -> bool:
        return self._follower is not None

    def look(self) -> tuple[RunRecord, Iterable[bytes]] | None:
        """The run as it is, and what its log has had since the last look; None = history has dropped it."""
        from ..history.logread import LogFollower

        record = self._history.run(self._run_id)
        if record is None:
            return None
        if self._follower is None and record.log and (path := self._state_dir / record.log).exists():
            self._follower = LogFollower(path, tail=self._tail)
        return record, self._follower.read() if self._follower is not None else ()


class _Remote:
    """The same, from the service."""

    def __init__(self, history: "RemoteReader", run_id: str, tail: int | None) -> None:
        self._log = history.log(run_id, tail)

    @property
    def there(self) -> bool:
        return self._log.there

    def look(self) -> tuple[RunRecord, Iterable[bytes]] | None:
        try:
            data, record = self._log.read()
        except Permanent as error:
            if error.code == "run-unknown":
                return None
            raise
        return record, (data,) if data else ()
