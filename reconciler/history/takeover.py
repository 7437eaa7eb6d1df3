"""After a loss: make a state directory usable again, so that what an instance left running can be adopted.

In: a directory in any condition; out: an identity and a ledger that belong together. Only what is lost or damaged is
replaced, and nothing is deleted: it is moved into a directory beside.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..model.errors import StateError
from .faults import from_os_error
from .files import DATABASE, IDENTITY, sidecars, size_of, sync_directory
from .identity import Identity, instance_id_of, new_key, read_identity, write_identity
from .lock import InstanceLock
from .opening import create, open_for_writing

TAKEOVER_FROM = "takeover_from"  # meta: the instance whose objects may be adopted without proof by our key


@dataclass(frozen=True, slots=True)
class Takeover:
    """`aside` holds what was replaced, None = nothing was."""

    identity: Identity
    kept_ledger: bool
    kept_key: bool
    aside: Path | None


def takeover(state_dir: str | Path, instance: str, now: datetime) -> Takeover:
    """Repeatable: cut short, it is simply made again. Raises AlreadyRunning, StateError."""
    directory = Path(state_dir)
    with InstanceLock(directory):
        identity = _usable_identity(directory, instance)
        ledger_id = _usable_ledger(directory, identity)
        aside = _set_aside(directory, now, identity=identity is None, ledger=ledger_id is None)
        made = identity or Identity(instance, ledger_id or new_key()[:16].hex(), new_key())
        if ledger_id is None:
            create(directory / DATABASE, {"instance_id": made.instance_id})
        if identity is None:
            write_identity(directory, made)
        database = open_for_writing(directory / DATABASE)
        try:
            with database.write() as connection:
                connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (TAKEOVER_FROM, instance))
        finally:
            database.close()
    return Takeover(made, ledger_id is not None, identity is not None, aside)


def _usable_identity(directory: Path, instance: str) -> Identity | None:
    """None if it is lost or damaged. Raises StateError `instance-changed` rather than take a healthy one's name."""
    try:
        found = read_identity(directory)
    except StateError as error:
        if error.code != "identity-corrupt":
            raise
        return None
    if found is not None and found.instance != instance:
        raise StateError(
            f"cannot take over {instance!r} in {directory}: the directory belongs to instance {found.instance!r}",
            code="instance-changed", hint="name that one, or give --state-dir another directory",
        )  # fmt: skip
    return found


def _usable_ledger(directory: Path, identity: Identity | None) -> str | None:
    """The instance id of a ledger that opens and belongs to `identity`; None if it is lost or damaged."""
    path = directory / DATABASE
    try:
        if not size_of(path):
            return None
        open_for_writing(path).close()
        found = instance_id_of(path)
    except StateError as error:
        if error.code in ("state-lost", "state-corrupt", "state-mismatch"):
            return None
        raise
    except OSError as error:
        raise from_os_error("read", path, error) from error
    return found if identity is None or identity.instance_id == found else None


def _set_aside(directory: Path, now: datetime, *, identity: bool, ledger: bool) -> Path | None:
    """The database goes before its log: should this be cut short, a log alone is still `state-lost`."""
    database = directory / DATABASE
    names = [*([database, *sidecars(database)] if ledger else []), *([directory / IDENTITY] if identity else [])]
    present = [path for path in names if path.exists()]
    if not present:
        return None
    aside = directory / f"replaced-{now.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"
    try:
        aside.mkdir(mode=0o700)
        for path in present:
            path.rename(aside / path.name)
        sync_directory(aside)
        sync_directory(directory)
    except OSError as error:
        raise from_os_error("set aside", directory, error) from error
    return aside
