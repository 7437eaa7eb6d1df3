"""In: the service file and the ledger. Out: each owner: members, jobs, what it uses and is granted."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from ..history.base import Reader
from ..model.job import JobSpec, Resources
from ..model.service import DEFAULT_OWNER, Owner, Policy, ServiceConfig, Total
from ..runs.places import HOLDING
from ..spec.admission import effective_policy
from ..spec.people import public_keys

OF_RUNS = ("cpus", "memory", "gpus")


def owners_data(config: ServiceConfig, history: Reader, belongs: Callable[[str], bool]) -> list[dict[str, Any]]:
    """Stable keys, in the order of the service file; only owners that `belongs` lets through. Of `total`, `allowed`
    None = not limited. Of `grants`, None = not restricted."""
    owners = config.owners or (Owner(DEFAULT_OWNER),)
    specs: dict[str, list[JobSpec]] = {owner.name: [] for owner in owners}
    for run in history.active_runs():
        spec = history.spec(run.digest) if run.phase in HOLDING else None
        if spec is not None and spec.owner in specs:
            specs[spec.owner].append(spec)
    jobs: dict[str, list[str]] = {owner.name: [] for owner in owners}
    for job in history.standing().values():
        jobs.setdefault(job.owner, []).append(job.name)
    return [
        {
            "name": owner.name, "members": list(owner.members), "signing_keys": _keys(config, owner),
            "paths": list(owner.paths),
            "jobs": sorted(jobs[owner.name]), "running": len(specs[owner.name]),
            "total": _total(owner.total, len(jobs[owner.name]), specs[owner.name]),
            "grants": grants(config, owner.name),
        }
        for owner in owners if belongs(owner.name)
    ]  # fmt: skip


def _keys(config: ServiceConfig, owner: Owner) -> dict[str, list[str]]:
    """Fingerprints of the members' keys, by name; who has none is left out."""
    people = {person.name: person for person in config.people}
    return {name: [key.fingerprint for key in public_keys(people[name])]
            for name in owner.members if people[name].signing_key}  # fmt: skip


def _total(total: Total, jobs: int, running: list[JobSpec]) -> dict[str, dict[str, Any]]:
    used: dict[str, Any] = {"jobs": jobs, "running": len(running)}
    for name in OF_RUNS:
        used[name] = sum(getattr(spec.resources, name) or 0 for spec in running)
    used["cpus"] = round(used["cpus"], 9)
    return {name: {"used": used[name], "allowed": getattr(total, name)} for name in used}


def grants(config: ServiceConfig, owner: str) -> dict[str, Any]:
    """What the owner's jobs may ask for; None = not restricted."""
    policy = effective_policy(config, owner)
    return {field.name: _plain(getattr(policy, field.name)) for field in fields(Policy)}


def _plain(value: Any) -> Any:
    if isinstance(value, Resources):
        return {field.name: getattr(value, field.name) for field in fields(Resources)
                if getattr(value, field.name) is not None}  # fmt: skip
    return list(value) if isinstance(value, tuple) else value
