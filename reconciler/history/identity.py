"""Who this instance is: its name, a random id and the key that signs our labels (rule P2), in one small file.

The file lies beside the database, so that losing either is noticed by means of the other.
"""

import hashlib
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from ..model.errors import StateError
from .faults import RESTORE_HINT, from_os_error
from .files import DATABASE, IDENTITY, size_of, write_atomically
from .opening import ensure, open_for_reading

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Identity:
    """`instance_id` is the same as in the database's meta; `key` is 32 secret bytes."""

    instance: str
    instance_id: str
    key: bytes

    def __repr__(self) -> str:  # the key must not reach a log through a traceback or an assertion
        return f"Identity({self.instance!r}, {self.instance_id!r})"


def load_or_create(state_dir: str | Path, instance: str) -> Identity:
    """The identity of `state_dir`; on a first start a new one, and the empty database with it.

    Raises StateError: `instance-changed`, `identity-corrupt`, `identity-lost` (a database with content and no
    identity), `state-lost` (an identity and no database), `state-unreadable`, `disk-full`, `state-io`.
    """
    directory = Path(state_dir)
    identity = read_identity(directory)
    if identity is None:
        return _create(directory, instance)
    if identity.instance != instance:
        raise StateError(
            f"cannot use the state directory {directory}: it belongs to instance {identity.instance!r}, "
            f"and this one is {instance!r}", code="instance-changed",
            hint="give each instance a state directory of its own, or set `instance:` back",
        )  # fmt: skip
    return identity


def read_identity(directory: Path) -> Identity | None:
    """None = there is none. Raises StateError."""
    path = directory / IDENTITY
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise from_os_error("read", path, error) from error
    try:
        found = json.loads(data)
        identity = Identity(found["instance"], found["instance_id"], bytes.fromhex(found["key"]))
        if found["check"] != _check(identity) or len(identity.key) != KEY_BYTES:
            raise ValueError("its checksum does not fit")
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(
            f"cannot use the identity file {path}: it is damaged", code="identity-corrupt", hint=RESTORE_HINT
        ) from error
    return identity


def write_identity(directory: Path, identity: Identity) -> None:
    """Durable when it returns. Raises StateError."""
    content = {
        "instance": identity.instance, "instance_id": identity.instance_id, "key": identity.key.hex(),
        "check": _check(identity),
    }  # fmt: skip
    path = directory / IDENTITY
    try:
        write_atomically(path, json.dumps(content, indent=1).encode() + b"\n", mode=0o600)
    except OSError as error:
        raise from_os_error("write", path, error) from error


def new_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def _check(identity: Identity) -> str:
    text = f"{identity.instance}\n{identity.instance_id}\n{identity.key.hex()}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _create(directory: Path, instance: str) -> Identity:
    """First the database, then the identity: an empty database without one is a first start that was cut short."""
    path = directory / DATABASE
    try:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        if size_of(path) is None:
            ensure(path)
    except OSError as error:
        raise from_os_error("create", directory, error) from error
    if not _is_blank(path):
        raise StateError(
            f"cannot find the identity of instance {instance!r}: {directory / IDENTITY} is missing, its ledger is not",
            code="identity-lost",
            hint=f"restore it from a back-up, or keep what runs under a new key: `reconciler takeover {instance}`",
        )
    identity = Identity(instance, instance_id_of(path), new_key())
    write_identity(directory, identity)
    return identity


def _is_blank(path: Path) -> bool:
    """Has this ledger never recorded anything?"""
    database = open_for_reading(path)
    try:
        tables = ("standing", "runs", "slots", "intents", "events")
        return database.rows(" UNION ALL ".join(f"SELECT * FROM (SELECT 1 FROM {t} LIMIT 1)" for t in tables)) == []  # noqa: S608
    finally:
        database.close()


def instance_id_of(path: Path) -> str:
    """What the database itself says. Raises StateError."""
    database = open_for_reading(path)
    try:
        return str(database.rows("SELECT value FROM meta WHERE key = 'instance_id'")[0][0])
    finally:
        database.close()
