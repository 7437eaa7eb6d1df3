"""The configuration with the names that its stores have, and where runs' secrets lie."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from ..daemon.settings import socket_path
from ..engine.process_spawn import job_user
from ..model.errors import ReconcilerError
from ..model.job import JobSpec
from ..model.secret import Secret, StoreConfig
from ..model.service import ServiceConfig
from ..spec.filemodes import numeric_user
from ..workspace.secrets import Reader, Secrets
from ..workspace.stores import open_store

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of our own in it, made with care: see memory_place


def with_secrets(config: ServiceConfig) -> ServiceConfig:
    """Look into every store. The same object if nothing there has changed."""
    if not config.secret_stores:
        return config
    looked = tuple(_looked(store) for store in config.secret_stores)
    return config if looked == config.secret_stores else replace(config, secret_stores=looked)


def unlooked(config: ServiceConfig) -> ServiceConfig:
    """For whoever only checks job files: what cannot be known here is taken to be there."""
    looked = with_secrets(config)
    if looked.secret_stores and not any(store.fault for store in looked.secret_stores):
        return looked
    stores = tuple(replace(store, names=None, short=frozenset(), fault="") for store in config.secret_stores)
    return replace(config, secret_stores=stores or (StoreConfig("directory"),))


def _looked(store: StoreConfig) -> StoreConfig:
    if store.type == "age":
        return store  # its files come with the commit
    try:
        found = open_store(store, os.environ).names()
        return replace(store, names=found.all, short=found.short, fault="")
    except ReconcilerError as error:
        return replace(store, names=frozenset(), short=frozenset(), fault=str(error))


def places(config: ServiceConfig, instance_id: str) -> tuple[Path, ...]:
    """Where secrets of runs may lie: beside the socket, or in the host's shared memory; on no disk."""
    return (socket_path(config).parent / "secrets", SHARED_MEMORY / f"reconciler-{instance_id[:16]}")


def secrets_part(
    config: ServiceConfig, engine: str, instance_id: str, given: Callable[[str, str, Mapping[str, Secret]], None]
) -> Secrets:
    """What makes the secrets of runs on this engine; `given` as of Secrets."""
    reader = _on_host(config) if engine == "process" else _in_container
    return Secrets(places(config, instance_id), reader, given=given)


def _in_container(spec: JobSpec) -> Reader:
    """A service that is not root cannot give a file away; `spec.filemodes` has said what follows."""
    ids = numeric_user(spec.user) if os.geteuid() == 0 else None
    return Reader(*ids) if ids is not None else Reader()


def _on_host(config: ServiceConfig) -> Callable[[JobSpec], Reader]:
    def reader(_spec: JobSpec) -> Reader:
        user = job_user(config.process_user)
        return Reader(user.uid, user.gid, walks=True) if user.switch else Reader()

    return reader
