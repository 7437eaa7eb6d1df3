"""In: the service file, the stores and jobs. Out: which secrets each job names, and whether it would get them.

Names alone: nothing of a value, neither its size nor what it is recognised by (rule S3).
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..daemon.rotation import CHANGED
from ..engine.base import Preview
from ..history.base import Reader
from ..model.errors import ReconcilerError
from ..model.job import JobSpec, SecretRef
from ..model.live import StandingJob
from ..model.secret import StoreConfig
from ..model.service import ServiceConfig
from ..spec.admission import may_have_secret
from ..workspace.stores import open_store, read_identity

THERE, MISSING, FORBIDDEN, UNREADABLE = "there", "missing", "forbidden", "unreadable"
Found = tuple[str, str, str]  # state, the store's words, why it is not there


def secrets_data(
    config: ServiceConfig, history: Reader, jobs: Iterable[StandingJob], preview: Callable[[JobSpec], Preview],
    environ: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """A row for each secret of each job, by job and in the order of its file. `preview`: what the engine says of it.
    `changed`: when a run was given another value than the one before, ISO 8601 in UTC; None = nobody knows of it."""
    changed: dict[str, str] = json.loads(history.get_meta(CHANGED) or "{}")
    rows = []
    for job in sorted(jobs, key=lambda job: job.name):
        if not job.spec.secrets:
            continue
        unread = {p.field: p.message for p in preview(job.spec).problems if p.severity == "error"}
        for ref in job.spec.secrets:
            state, store, why = _looked(ref, job.owner, config, os.environ if environ is None else environ)
            if state == THERE and (said := unread.get(f"secrets.{ref.name}", "")):
                state, why = UNREADABLE, said
            rows.append({
                "job": job.name, "owner": job.owner, "secret": ref.name, "state": state, "store": store, "why": why,
                "file": ref.target or None, "mode": f"{ref.mode:04o}" if ref.target else None, "env": ref.env or None,
                "changed": changed.get(ref.name),
            })  # fmt: skip
    return rows


def _looked(ref: SecretRef, owner: str, config: ServiceConfig, environ: Mapping[str, str]) -> Found:
    """As a run of the job would find it now, but that nothing is read."""
    if not may_have_secret(config, owner, ref.name):
        return FORBIDDEN, "", f"{owner} is not granted it"
    if ref.sealed:
        return _sealed([store for store in config.secret_stores if store.type == "age"])
    broken: Found | None = None
    for store in config.secret_stores:
        if store.type == "age":
            continue
        try:
            if open_store(store, environ).has(ref.name):
                return THERE, store.words, ""
        except ReconcilerError as error:
            broken = broken or (UNREADABLE, store.words, str(error))
    return broken or (MISSING, "", "no store has it")


def _sealed(stores: list[StoreConfig]) -> Found:
    """Its file came with the commit; any identity may fit."""
    words, why = ", ".join(store.words for store in stores), "no store of type age is left"
    for store in stores:
        try:
            read_identity(store.identity_file)
        except ReconcilerError as error:
            why = str(error)
        else:
            return THERE, words, ""
    return UNREADABLE, words, why
