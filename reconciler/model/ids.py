"""Names and ids. Everything is derived, nothing is random, so doing a thing twice meets its own name."""

import hashlib
import re
from datetime import UTC, datetime
from typing import NamedTuple

NAME_PART = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")
_RUN_ID = re.compile(r"(?P<job>.+)\.(?P<stamp>\d{8}T\d{6}(?:m\d{3})?Z)(?:\.c(?P<cell>\d+))?\.(?P<attempt>\d+)\Z")

SCHEDULED_STAMP = "%Y%m%dT%H%M%SZ"
WORKSPACE = "WORKSPACE"  # in the names of the volumes of runs
LONGEST_RUN = 150  # characters of a run id in the name of a volume, which is the name of a directory


def is_job_name(name: str) -> bool:
    """True if every part of `a/b/c` is a legal job name part (rule D1)."""
    return bool(name) and all(NAME_PART.match(part) for part in name.split("/"))


def dotted(name: str) -> str:
    """`ml/train-churn` -> `ml.train-churn`: injective, since a part never holds a dot."""
    return name.replace("/", ".")


def undotted(dotted_name: str) -> str:
    """The inverse of `dotted`."""
    return dotted_name.replace(".", "/")


def slot_stamp(slot: datetime) -> str:
    """A slot (aware, millisecond resolution) as it stands in a run id: `20261124T020000Z`.

    Manual runs carry their milliseconds (`20261124T020000m417Z`), so that they never share a slot with a
    scheduled run of the same second.
    """
    slot = slot.astimezone(UTC)
    millis = slot.microsecond // 1000
    return slot.strftime(SCHEDULED_STAMP) if not millis else slot.strftime(f"%Y%m%dT%H%M%Sm{millis:03d}Z")


def parse_stamp(stamp: str) -> datetime:
    """The inverse of `slot_stamp`. Raises ValueError."""
    if "m" in stamp:
        whole, millis = stamp[:-1].split("m")
        base = datetime.strptime(whole + "Z", SCHEDULED_STAMP).replace(tzinfo=UTC)
        return base.replace(microsecond=int(millis) * 1000)
    return datetime.strptime(stamp, SCHEDULED_STAMP).replace(tzinfo=UTC)


class RunKey(NamedTuple):
    """What a run id is made of. `cell` counts from 0; None = the slot has one run only."""

    job: str
    slot: datetime
    attempt: int
    cell: int | None = None


def run_id(job: str, slot: datetime, attempt: int, cell: int | None = None) -> str:
    """`ml.train-churn.20261124T020000Z.1`, or `ml.scan.20261124T020000Z.c3.1` for a cell of a strategy (rule R1)."""
    part = "" if cell is None else f".c{cell}"
    return f"{dotted(job)}.{slot_stamp(slot)}{part}.{attempt}"


def parse_run_id(text: str) -> RunKey:
    """The inverse of `run_id`. Raises ValueError if it is none."""
    match = _RUN_ID.match(text)
    if match is None:
        raise ValueError(f"not a run id: {text!r}")
    cell = None if match["cell"] is None else int(match["cell"])
    return RunKey(undotted(match["job"]), parse_stamp(match["stamp"]), int(match["attempt"]), cell)


def container_name(instance: str, run: str) -> str:
    """Name of a run's container or folder; a create conflict on it means "already launched"."""
    return f"{instance}.{run}"


def standing_name(instance: str, job: str) -> str:
    """Name of a standing job's container. Never equal to a run's: run ids end in an upper-case stamp."""
    return f"{instance}.{dotted(job)}"


def network_name(instance: str, owner: str) -> str:
    """The owner's own bridge: `<instance>.<owner dotted>`."""
    return f"{instance}.{dotted(owner)}"


def volume_name(instance: str, owner: str, volume: str) -> str:
    """The engine's name of an owner's volume. Injective as long as `volume` holds no dot."""
    return f"{instance}.{dotted(owner)}.{volume}"


def workspace_name(instance: str, run: str) -> str:
    """What the names of a run's volumes on an engine of another host begin with, and the name of what fills them."""
    return f"{instance}.{WORKSPACE}-{run if len(run) <= LONGEST_RUN else hashlib.sha256(run.encode()).hexdigest()}"
