"""The ledger by way of the service's socket, for people who may not read the state directory (rule S1).

In: the socket; out: what `history.base.Reader` has, without the rows of others; logs and outputs likewise.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ..history import rows
from ..model.event import Event
from ..model.job import JobSpec
from ..model.live import StandingJob
from ..model.origin import Origin
from ..model.outputs import Kept
from ..model.run import CellState, Pause, Phase, RunRecord, SlotRecord
from .client import ServiceUnreachable, call, refusal


class RemoteLog:
    """A run's log as it grows. `read` gives what has come since the last time, and the run as it is by now."""

    def __init__(self, path: Path, run_id: str, tail: int | None) -> None:
        self._path, self._run_id, self._tail = path, run_id, tail
        self._at: int | None = None
        self._live = True

    @property
    def there(self) -> bool:
        """Was there anything of it at the last look?"""
        return self._at is not None

    def read(self) -> tuple[bytes, RunRecord]:
        """A piece, b"" = nothing new. Raises as `call`."""
        body = {"run_id": self._run_id, "tail": self._tail, "at": self._at, "live": self._live}
        found = _asked(self._path, "/v1/log", body)
        self._at, self._live = found["at"], found["live"]
        return base64.b64decode(found["data"]), rows.run_from(tuple(found["run"]))


class RemoteReader:
    """Fulfils `history.base.Reader`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._run_of: dict[str, str] = {}  # a definition's digest -> a run that had it

    def _read(self, read: str, **asked: Any) -> Any:
        for name in ("slot", "before"):
            if asked.get(name) is not None:
                asked[name] = asked[name].isoformat()
        return _asked(self._path, "/v1/ledger", {"read": read, **asked})["rows"]

    def _runs(self, found: Sequence[Any]) -> list[RunRecord]:
        runs = [rows.run_from(tuple(row)) for row in found]
        self._run_of.update((run.digest, run.run_id) for run in runs)
        return runs

    # -- Reader -----------------------------------------------------------------------------------------------
    def get_meta(self, key: str) -> str | None:
        found = self._read("meta", key=key)
        return None if found is None else str(found)

    def standing(self) -> Mapping[str, StandingJob]:
        found = (rows.standing_from(tuple(row)) for row in self._read("standing"))
        return {job.name: job for job in found}

    def spec(self, digest: str) -> JobSpec | None:
        found = self._read("spec", digest=digest, run=self._run_of.get(digest, ""))
        return None if found is None else rows.spec_from(*found)

    def origin(self, digest: str) -> Origin | None:
        found = self._read("origin", digest=digest, run=self._run_of.get(digest, ""))
        return None if found is None else rows.origin_from(tuple(found))

    def run(self, run_id: str) -> RunRecord | None:
        found = self._read("run", run=run_id)
        return None if found is None else self._runs([found])[0]

    def last_success(self, job: str) -> datetime | None:
        return rows.optional_instant(self._read("last_success", job=job))

    def cells(self, job: str, slot: datetime) -> Sequence[CellState]:
        found = self._read("cells", job=job, slot=slot)
        return [CellState(cell, Phase(phase), bool(started)) for cell, phase, started in found]

    def active_runs(self) -> Sequence[RunRecord]:
        return self._runs(self._read("active_runs"))

    def runs(self, job: str | None = None, *, limit: int = 50, before: datetime | None = None,
             failed: bool = False, fold: bool = False) -> Sequence[RunRecord]:  # fmt: skip
        return self._runs(self._read("runs", job=job or "", limit=limit, before=before, failed=failed, fold=fold))

    def of_slot(self, job: str, slot: datetime) -> Sequence[RunRecord]:
        return self._runs(self._read("of_slot", job=job, slot=slot))

    def slots(self, job: str, *, limit: int = 50, before: datetime | None = None) -> Sequence[SlotRecord]:
        return [rows.slot_from(tuple(row)) for row in self._read("slots", job=job, limit=limit, before=before)]

    def pauses(self) -> Sequence[Pause]:
        return [rows.pause_from(tuple(row)) for row in self._read("pauses")]

    def events(self, *, job: str | None = None, run: str | None = None, limit: int = 100) -> Sequence[Event]:
        found = self._read("events", job=job or "", all_jobs=job is None, run=run or "", limit=limit)
        events = (rows.event_from(tuple(row)) for row in found)
        return [event for event in events if event is not None]

    def close(self) -> None:
        """Nothing is kept open."""

    # -- what lies beside the ledger --------------------------------------------------------------------------
    def log(self, run_id: str, tail: int | None = None) -> RemoteLog:
        return RemoteLog(self._path, run_id, tail)

    def outputs(self, run_id: str) -> Kept | None:
        """What was kept of a run's outputs; None = nothing was collected."""
        said = _asked(self._path, "/v1/outputs", {"run_id": run_id})["kept"]
        if said is None:
            return None
        files = tuple((str(path), int(size)) for path, size in said["files"])
        return Kept(files, said["entries"], said["left_out"], said["why"], tuple(said["skipped"]),
                    said["skipped_in_all"])  # fmt: skip

    def output(self, run_id: str, path: str) -> Iterator[tuple[bytes, bool]]:
        """One file of them in pieces, each with whether it may be executed."""
        at = 0
        while True:
            found = _asked(self._path, "/v1/output", {"run_id": run_id, "path": path, "at": at})
            data = base64.b64decode(found["data"])
            if data or not at:
                yield data, bool(found["executable"])
            if not data:
                return
            at += len(data)


def _asked(path: Path, route: str, body: Mapping[str, Any]) -> Any:
    """The answer's data. Raises as `call`, and the service's refusal."""
    status, answer = call(path, "POST", route, body)
    if status >= 400:
        raise refusal(status, answer)
    if not isinstance(answer, dict):
        raise ServiceUnreachable("cannot read the service's answer: client and service may be of different releases")
    return answer
