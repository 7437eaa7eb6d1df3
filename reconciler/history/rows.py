"""Rows of the ledger <-> the model's frozen values. No I/O; bad content raises ValueError, KeyError or TypeError."""

import json
import sqlite3
import zlib
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from ..model.desired import Commit
from ..model.errors import InvariantBroken
from ..model.event import Event, EventName
from ..model.job import JobSpec, Location
from ..model.live import StandingJob
from ..model.origin import Origin
from ..model.run import CodeAt, Disposition, FailureClass, Pause, Phase, RunRecord, SlotRecord, Trigger
from ..spec.canonical import from_data, to_data

Row = tuple[Any, ...] | sqlite3.Row

RUN_COLUMNS = tuple(RunRecord.__dataclass_fields__)
_run_values = attrgetter(*RUN_COLUMNS)
_RUN_INSTANTS = frozenset(
    {"claimed_at", "deadline", "retry_at", "prepared_at", "start_requested_at", "started_at", "stop_requested_at",
     "finished_at", "replays", "hold_until"}
)  # fmt: skip
_RUN_LISTS = ("replaces", "parameters", "devices", "code")  # kept as JSON
NO_CELL = -1  # a UNIQUE of SQLite takes each NULL for another value
_RUN_READERS = {"trigger": Trigger, "phase": Phase, "failure": FailureClass, "collected": bool, "discarded": bool}
_EVENT_NAMES = frozenset(EventName)
STANDING_COLUMNS = ("name", "digest", "revision", "path", "applied_at", "cursor", "anchor", "ref", "image_id",
                    "image_digest", "forbidden", "retiring", "full_path")  # fmt: skip
ORIGIN_COLUMNS = ("digest", "revision", "author", "committed_at", "subject", "path", "places")


def _utc(value: datetime) -> datetime:
    if value.tzinfo is UTC:
        return value
    if value.tzinfo is None:
        raise InvariantBroken(f"an instant without a zone reached the ledger: {value!r}")
    return value.astimezone(UTC)


def slot_text(slot: datetime) -> str:
    """A slot at its millisecond, as in run ids."""
    return _utc(slot).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def instant_text(value: datetime) -> str:
    return _utc(value).isoformat(timespec="microseconds").replace("+00:00", "Z")


def optional_text(value: datetime | None) -> str | None:
    return None if value is None else instant_text(value)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def optional_instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _tuples(value: Any) -> Any:
    """Lists at any depth as tuples."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def run_row(run: RunRecord) -> dict[str, Any]:
    """Column -> value; the keys are RUN_COLUMNS."""
    row: dict[str, Any] = dict(zip(RUN_COLUMNS, _run_values(run), strict=True))
    for name in _RUN_INSTANTS:
        if row[name] is not None:
            row[name] = instant_text(row[name])
    row["slot"] = slot_text(run.slot)
    for name in _RUN_LISTS:
        row[name] = json.dumps(row[name]) if row[name] else "[]"
    row["cell"] = NO_CELL if run.cell is None else run.cell
    row["collected"], row["discarded"] = int(run.collected), int(run.discarded)
    return row


def run_from(row: Row) -> RunRecord:
    """`row` holds RUN_COLUMNS in order."""
    values: dict[str, Any] = dict(zip(RUN_COLUMNS, row, strict=True))
    for name in _RUN_INSTANTS:
        if values[name] is not None:
            values[name] = instant(values[name])
    for name, reader in _RUN_READERS.items():
        values[name] = reader(values[name])
    values["slot"] = instant(values["slot"])
    for name in _RUN_LISTS:
        values[name] = () if values[name] == "[]" else _tuples(json.loads(values[name]))
    if values["code"]:
        values["code"] = tuple(CodeAt(*item) for item in values["code"])
    values["cell"] = None if values["cell"] == NO_CELL else values["cell"]
    return RunRecord(**values)


def spec_row(digest: str, spec: JobSpec) -> tuple[str, str, int]:
    """(digest, body, crc). SQLite notices no flipped bit inside a text, and this text is what will be executed."""
    body = json.dumps(to_data(spec), separators=(",", ":"), sort_keys=True)
    return digest, body, zlib.crc32(body.encode())


def spec_from(body: str, crc: int) -> JobSpec:
    if zlib.crc32(body.encode()) != crc:
        raise ValueError("a stored job definition does not match its checksum")
    return from_data(json.loads(body))


def standing_row(job: StandingJob) -> tuple[Any, ...]:
    """Values in the order of STANDING_COLUMNS."""
    return (
        job.name, job.digest, job.revision, job.path, instant_text(job.applied_at), instant_text(job.cursor),
        instant_text(job.anchor), job.ref, job.image_id, job.image_digest, job.forbidden, int(job.retiring),
        job.full_path,
    )  # fmt: skip


def standing_from(row: Row) -> StandingJob:
    """`row` holds STANDING_COLUMNS, then the spec's body and crc."""
    values: dict[str, Any] = dict(zip(STANDING_COLUMNS, row[:-2], strict=True))
    for name in ("applied_at", "cursor", "anchor"):
        values[name] = instant(values[name])
    values["retiring"] = bool(values["retiring"])
    return StandingJob(spec=spec_from(row[-2], row[-1]), **values)


def slot_from(row: Row) -> SlotRecord:
    """`row` is job, first, last, count, disposition, reason, run_id, decided."""
    job, first, last, count, disposition, reason, run_id, decided = row
    return SlotRecord(
        job, instant(first), instant(last), count, Disposition(disposition), reason, run_id, optional_instant(decided)
    )


def origin_row(origin: Origin) -> tuple[Any, ...]:
    """In the order of ORIGIN_COLUMNS."""
    places = {name: [at.path, at.line, at.inherited] for name, at in origin.places.items()}
    commit = origin.commit
    return (origin.digest, commit.id, commit.author, commit.at, commit.subject, origin.path,
            json.dumps(places, separators=(",", ":")))  # fmt: skip


def origin_from(row: Row) -> Origin:
    """`row` holds ORIGIN_COLUMNS in order."""
    digest, revision, author, at, subject, path, places = row
    found = {str(name): Location(str(place[0]), int(place[1]), bool(place[2])) for name, place in
             json.loads(places).items()}  # fmt: skip
    return Origin(digest, Commit(revision, author, at, subject), path, found)


def ended_slot_row(slot: SlotRecord) -> tuple[Any, ...]:
    """The inverse of `slot_from`."""
    return (slot.job, slot_text(slot.first), slot_text(slot.last), slot.count, slot.disposition, slot.reason,
            slot.run_id, optional_text(slot.decided_at))  # fmt: skip


def pause_row(pause: Pause) -> tuple[Any, ...]:
    """The inverse of `pause_from`."""
    return pause.job, instant_text(pause.since), optional_text(pause.until), pause.reason, pause.actor


def event_row(event: Event) -> tuple[Any, ...]:
    """The inverse of `event_from`."""
    return event.name.value, instant_text(event.at), event.job, event.run, json.dumps(event.fields)


def pause_from(row: Row) -> Pause:
    job, since, until, reason, actor = row
    return Pause(job, instant(since), optional_instant(until), reason, actor)


def event_from(row: Row) -> Event | None:
    """`row` is name, at, job, run, fields. None for a name that only a newer release knows."""
    name, at, job, run, fields = row
    if name not in _EVENT_NAMES:
        return None
    return Event(EventName(name), instant(at), job, run, json.loads(fields))
