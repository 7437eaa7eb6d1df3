"""The ledger, logs and outputs for people who may not read the state directory: each row only if it is theirs."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..daemon.draining import META as DRAIN
from ..engine.base import Preview
from ..history import rows
from ..history.base import Reader
from ..history.faults import from_os_error
from ..history.logread import LogFollower
from ..history.sqlite import LIST_LIMIT
from ..model.errors import NotAllowed, UsageError
from ..model.event import Event
from ..model.job import JobSpec
from ..model.run import RunRecord
from ..server import api
from ..server.exchange import Handlers, Request, Response
from ..workspace.outputs import place_of, read
from .authority import Authority, Caller
from .owners import owners_data
from .secret_listing import secrets_data

METAS = ("applied_revision", "engine", "held", DRAIN)
PIECE = 1 << 20  # bytes of a log or file in one answer
LARGEST = 1 << 48
_OF_PARTS = ("service.", "sync.", "engine.", "clock.", "storage.")  # events that tell how the service is
_TOLD = ("code", "error")  # fields of those that a member may see


def reading_routes(
    history: Reader, authority: Authority, state_dir: Path, preview: Callable[[JobSpec], Preview]
) -> Handlers:
    """Handlers by (method, path). `preview` is the engine's."""
    reads = _Reads(history)

    def ledger(request: Request) -> Response:
        asked = api.ReadLedger.from_data(request.body)
        _bounded(asked.limit)
        return Response({"rows": reads.answer(asked, authority.caller(request.peer))})

    def found(request: Request, run_id: str) -> RunRecord:
        run = reads.own_run(run_id, authority.caller(request.peer))
        if run is None:
            raise UsageError(f"cannot find run {run_id}: none of yours has this id", code="run-unknown")
        return run

    def log(request: Request) -> Response:
        asked = api.ReadLog.from_data(request.body)
        run = found(request, asked.run_id)
        _bounded(asked.at or 0)
        place = (asked.at, asked.live) if asked.at is not None else None
        follower = LogFollower(state_dir / run.log, tail=asked.tail, place=place) if run.log else None
        with _read_errors(state_dir / run.log):
            data = _piece(follower.read()) if follower is not None else b""
        at, live = (follower.place if follower is not None else None) or (None, True)
        return Response({"run": _run(run), "data": b64encode(data).decode(), "at": at, "live": live})

    def outputs(request: Request) -> Response:
        kept = read(place_of(found(request, api.ReadOutputs.from_data(request.body).run_id), state_dir))
        return Response({"kept": None if kept is None else asdict(kept)})

    def output(request: Request) -> Response:
        asked = api.ReadOutput.from_data(request.body)
        _bounded(asked.at)
        place = place_of(found(request, asked.run_id), state_dir)
        kept = read(place)
        if kept is None or asked.path not in {path for path, _ in kept.files}:
            raise UsageError(f"cannot read {asked.path}: the run has left no such file", code="outputs-absent")
        with _read_errors(place), (place / "data" / asked.path).open("rb") as file:
            executable = bool(Path(file.name).stat().st_mode & 0o100)
            file.seek(asked.at)
            return Response({"data": b64encode(file.read(PIECE)).decode(), "executable": executable})

    def owners(request: Request) -> Response:
        caller = authority.caller(request.peer)
        return Response({"owners": owners_data(caller.config, history, caller.belongs)})

    def secrets(request: Request) -> Response:
        asked, caller = api.ListSecrets.from_data(request.body or {}), authority.caller(request.peer)
        jobs = [job for job in history.standing().values() if caller.has(job.name)]
        if asked.job and asked.job not in {job.name for job in jobs}:
            raise UsageError(f"cannot find job {asked.job!r}", code="job-unknown",
                             hint="'reconciler jobs --all' lists them")  # fmt: skip
        chosen = [job for job in jobs if asked.job in ("", job.name) and asked.owner in ("", job.owner)]
        if asked.owner and not chosen and asked.owner not in {owner.name for owner in caller.config.owners}:
            raise UsageError(f"cannot find owner {asked.owner!r}", code="owner-unknown", hint="reconciler owners")
        return Response({"secrets": secrets_data(caller.config, history, chosen, preview)})

    return {
        ("GET", "/v1/owners"): owners,
        ("POST", "/v1/secrets"): secrets,
        ("POST", "/v1/ledger"): ledger,
        ("POST", "/v1/log"): log,
        ("POST", "/v1/outputs"): outputs,
        ("POST", "/v1/output"): output,
    }


def _bounded(number: int) -> None:
    if not 0 <= number <= LARGEST:
        raise api.ApiError(f"cannot read the request: {number} is no number of bytes or rows")


@contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise from_os_error("read", path, error) from error


def _piece(parts: Iterable[bytes]) -> bytes:
    data = b""
    for part in parts:
        data += part
        if len(data) >= PIECE:
            break
    return data


def _run(run: RunRecord) -> list[Any]:
    return list(rows.run_row(run).values())


class _Reads:
    """Each method is a read of `Reader`, with the rows of others left out. Rows are those of the database."""

    def __init__(self, history: Reader) -> None:
        self._history = history

    def answer(self, asked: api.ReadLedger, caller: Caller) -> Any:
        known: dict[str, Callable[[api.ReadLedger, Caller], Any]] = {
            "meta": self._meta, "standing": self._standing, "spec": self._spec, "origin": self._origin,
            "run": self._one_run, "last_success": self._last_success, "cells": self._cells,
            "active_runs": self._active_runs, "runs": self._runs, "of_slot": self._of_slot, "slots": self._slots,
            "pauses": self._pauses, "events": self._events,
        }  # fmt: skip
        if asked.read not in known:
            raise UsageError(f"cannot read {asked.read!r}: the ledger has no such thing", code="bad-request")
        return known[asked.read](asked, caller)

    def own_run(self, run_id: str, caller: Caller) -> RunRecord | None:
        run = self._history.run(run_id)
        return run if run is not None and caller.has(run.job) else None

    def _meta(self, asked: api.ReadLedger, caller: Caller) -> str | None:
        if asked.key not in METAS:
            raise NotAllowed(f"cannot read {asked.key!r}: only the service itself may")
        found = self._history.get_meta(asked.key)
        if asked.key != "held" or not found:
            return found
        return json.dumps({name: row for name, row in json.loads(found).items() if caller.has(name)})

    def _standing(self, asked: api.ReadLedger, caller: Caller) -> list[Any]:
        del asked
        return [[*rows.standing_row(job), *rows.spec_row(job.digest, job.spec)[1:]]
                for job in self._history.standing().values() if caller.has(job.name)]  # fmt: skip

    def _known(self, asked: api.ReadLedger, caller: Caller, job: str) -> bool:
        """A definition is theirs by its job's name, or because a run of theirs had it: jobs may have moved."""
        if caller.has(job):
            return True
        run = self.own_run(asked.run, caller)
        return run is not None and run.digest == asked.digest

    def _spec(self, asked: api.ReadLedger, caller: Caller) -> Any:
        found = self._history.spec(asked.digest)
        if found is None or not self._known(asked, caller, found.name):
            return None
        return rows.spec_row(asked.digest, found)[1:]

    def _origin(self, asked: api.ReadLedger, caller: Caller) -> Any:
        spec, found = self._history.spec(asked.digest), self._history.origin(asked.digest)
        if spec is None or found is None or not self._known(asked, caller, spec.name):
            return None
        return rows.origin_row(found)

    def _one_run(self, asked: api.ReadLedger, caller: Caller) -> Any:
        run = self.own_run(asked.run, caller)
        return None if run is None else _run(run)

    def _last_success(self, asked: api.ReadLedger, caller: Caller) -> str | None:
        return rows.optional_text(self._history.last_success(asked.job)) if caller.has(asked.job) else None

    def _cells(self, asked: api.ReadLedger, caller: Caller) -> list[Any]:
        if asked.slot is None or not caller.has(asked.job):
            return []
        return [[c.cell, c.phase, c.started] for c in self._history.cells(asked.job, asked.slot)]

    def _active_runs(self, asked: api.ReadLedger, caller: Caller) -> list[Any]:
        del asked
        return [_run(run) for run in self._history.active_runs() if caller.has(run.job)]

    def _runs(self, asked: api.ReadLedger, caller: Caller) -> list[Any]:
        if asked.job:
            return [_run(run) for run in self._listed(asked, asked.limit)] if caller.has(asked.job) else []
        limit = max(1, asked.limit)
        while True:  # of all jobs: until enough of them are theirs
            found = self._listed(asked, limit)
            own = [run for run in found if caller.has(run.job)][: asked.limit]
            if len(own) >= asked.limit or len(found) < limit or limit >= LIST_LIMIT:
                return [_run(run) for run in own]
            limit = min(LIST_LIMIT, limit * 8)

    def _listed(self, asked: api.ReadLedger, limit: int) -> Sequence[RunRecord]:
        return self._history.runs(
            asked.job or None, limit=limit, before=asked.before, failed=asked.failed, fold=asked.fold
        )

    def _of_slot(self, asked: api.ReadLedger, caller: Caller) -> list[Any]:
        if asked.slot is None or not caller.has(asked.job):
            return []
        return [_run(run) for run in self._history.of_slot(asked.job, asked.slot)]

    def _slots(self, asked: api.ReadLedger, caller: Caller) -> list[Any]:
        if not caller.has(asked.job):
            return []
        found = self._history.slots(asked.job, limit=asked.limit, before=asked.before)
        return [rows.ended_slot_row(slot) for slot in found]

    def _pauses(self, asked: api.ReadLedger, caller: Caller) -> list[Any]:
        del asked
        return [rows.pause_row(pause) for pause in self._history.pauses() if pause.job == "*" or caller.has(pause.job)]

    def _events(self, asked: api.ReadLedger, caller: Caller) -> list[Any]:
        job = None if asked.all_jobs else asked.job
        found = self._history.events(job=job, run=asked.run or None, limit=asked.limit)
        seen = (_visible(event, caller) for event in found)
        return [rows.event_row(event) for event in seen if event is not None]


def _visible(event: Event, caller: Caller) -> Event | None:
    """Events of the whole service tell a member how its parts were, and nothing else."""
    if caller.owners is None or (event.job and event.job != "*" and caller.has(event.job)):
        return event
    if event.job or not event.name.startswith(_OF_PARTS):
        return None
    return Event(event.name, event.at, fields={key: event.fields[key] for key in _TOLD if key in event.fields})
