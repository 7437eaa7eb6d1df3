"""In: a live spec and a desired job of another owner. Out: which volumes and network the job leaves, and which it gets.

Named volumes and the default network belong to the owner, not to the job (rule S1): with another owner the same words
of a job file mean other objects. Nothing is copied and nothing is removed, so the plan must say it.
"""

from collections.abc import Iterator
from dataclasses import replace

from ..model.ids import network_name, volume_name
from ..model.job import DesiredJob, JobSpec, Mount
from ..model.plan import FieldChange
from . import words
from .changes import place

DEFAULT = "default"


def with_belongings(
    changes: tuple[FieldChange, ...], old: JobSpec, new: DesiredJob, instance: str
) -> tuple[FieldChange, ...]:
    """`changes`, and if the owner is another one, those of the network and of each volume that is the owner's."""
    if old.owner == new.spec.owner:
        return changes
    found = (*_network(old, new, instance), *_volumes(old, new, instance))
    told = {change.field for change in found}
    return (*(change for change in changes if change.field not in told), *found)


def _network(old: JobSpec, new: DesiredJob, instance: str) -> Iterator[FieldChange]:
    left, got = (network_name(instance, s.owner) if DEFAULT in s.networks else "" for s in (old, new.spec))
    if left or got:
        notes = (f"! what listens on {left} is not reached from there",) if left and got else ()
        yield FieldChange("networks.default", left or "none", got or "none", place(new, "networks"), notes)


def _volumes(old: JobSpec, new: DesiredJob, instance: str) -> Iterator[FieldChange]:
    before, after = ({m.target: m for m in s.mounts} for s in (old, new.spec))
    for target in sorted(before.keys() | after.keys()):
        left, got = before.get(target), after.get(target)
        kept, taken = _name(left, instance, old.owner), _name(got, instance, new.spec.owner)
        if not (kept or taken):
            continue
        notes = (f"! {kept} is no longer used by this job; it stays, and so does what is in it",) if kept else ()
        where = place(new, f"volumes.{target}") if got else None
        yield FieldChange(f"volumes.{target}", _shown(left, kept), _shown(got, taken), where, notes)


def _name(mount: Mount | None, instance: str, owner: str) -> str:
    """The engine's name of the owner's volume; "" if it is none of the owner's."""
    if mount is None or mount.type != "volume" or mount.external:
        return ""
    return volume_name(instance, owner, mount.source)


def _shown(mount: Mount | None, name: str) -> str:
    """In the words of a job file, but with the engine's `name` of a volume that is the owner's."""
    if mount is None:
        return "none"
    return words.volume(replace(mount, source=name) if name else mount)
