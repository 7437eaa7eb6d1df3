"""In: what an object of ours is. Out: its labels with a keyed MAC, and back; a label alone never proves ownership.

An image's LABELs are inherited by its containers, and labels can be copied. So an object counts as ours only if the
MAC over its identity verifies with this instance's key *and* it bears the very name that the identity derives: names
are unique on an engine, which leaves nothing to copy to.
"""

import hmac
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from ..model.ids import container_name, standing_name
from ..model.ids import network_name as network_name
from ..model.ids import volume_name as volume_name
from .base import EngineContext

PREFIX = "io.reconciler."  # every label of ours; images that carry one are refused
INSTANCE = PREFIX + "instance"
INSTANCE_ID = PREFIX + "instance-id"
KIND = PREFIX + "kind"
JOB = PREFIX + "job"
RUN = PREFIX + "run"
DIGEST = PREFIX + "digest"
REVISION = PREFIX + "revision"
OWNER = PREFIX + "owner"
MAC = PREFIX + "mac"
DEVICES = PREFIX + "devices"  # of a run: the ids leased to it, so that a ledger that lost its row can count them
KEYS = (INSTANCE, INSTANCE_ID, KIND, JOB, RUN, DIGEST, REVISION, OWNER, MAC)

ENVIRONMENT = "ENVIRONMENT-"  # upper case in a container's name, as below
NEW_SUFFIX = ".NEW"  # a replacement on its way in; upper case, so never a job's name nor a run's


class Kind(StrEnum):
    STANDING = "standing"
    RUN = "run"
    NETWORK = "network"
    VOLUME = "volume"
    ENVIRONMENT = "environment"  # an image with packages, and the container in which they are installed
    WORKSPACE = "workspace"  # a volume that holds a part of a run's workspace, on an Engine of another host
    UNPACK = "unpack"  # the container that fills those of one run


class Mark(NamedTuple):
    """What one object of ours is. For a network or volume, `digest` holds its name and `job` is empty; a run's volumes
    and what fills them have its `job` and `run` beside. For an image of
    packages `digest` is its content's key, `job` that of the packages alone, `run` the name of the container that it
    was made in, and `revision` the registry's digest of its base.

    A tuple, since a listing makes one for every container.
    """

    kind: Kind
    owner: str
    job: str = ""
    run: str = ""
    digest: str = ""
    revision: str = ""


def write(context: EngineContext, mark: Mark) -> dict[str, str]:
    """Every label key of ours, always all of them: an image's values are overridden."""
    return {
        INSTANCE: context.instance,
        INSTANCE_ID: context.instance_id,
        KIND: mark.kind.value,
        JOB: mark.job,
        RUN: mark.run,
        DIGEST: mark.digest,
        REVISION: mark.revision,
        OWNER: mark.owner,
        MAC: _sign(context, mark.kind.value, mark.owner, mark.job, mark.run, mark.digest),
    }


def devices_of(labels: Mapping[str, str] | None) -> tuple[str, ...]:
    """The ids that a run of ours bears."""
    return tuple(filter(None, (labels or {}).get(DEVICES, "").split(",")))


def claimed(context: EngineContext, labels: Mapping[str, str] | None, name: str) -> Mark | None:
    """What an object called `name` says it is, unproven: for objects that the ledger knows by their full id."""
    try:
        if not labels or labels[INSTANCE] != context.instance:
            return None
        kind, values = Kind(labels[KIND]), [labels[key] for key in (OWNER, JOB, RUN, DIGEST, REVISION)]
    except (KeyError, ValueError):
        return None
    mark = Mark(kind, *values)
    return mark if name in names(context, mark) else None


def read(context: EngineContext, labels: Mapping[str, str] | None) -> Mark | None:
    """The mark behind `labels` if this instance signed it, else None."""
    if not labels or labels.get(INSTANCE_ID) != context.instance_id:
        return None
    get = labels.get
    kind, owner, job, run, digest = get(KIND, ""), get(OWNER, ""), get(JOB, ""), get(RUN, ""), get(DIGEST, "")
    expected = _sign(context, kind, owner, job, run, digest)
    # Compared as bytes: compare_digest raises on text that is not ASCII.
    if not hmac.compare_digest(expected.encode(), get(MAC, "").encode("utf-8", "surrogatepass")):
        return None
    return Mark(Kind(kind), owner, job, run, digest, get(REVISION, ""))


def names(context: EngineContext, mark: Mark) -> tuple[str, ...]:
    """The names an object with this mark may bear; the first is its proper one."""
    if mark.kind is Kind.STANDING:
        proper = standing_name(context.instance, mark.job)
        return proper, proper + NEW_SUFFIX
    if mark.kind is Kind.RUN:
        return (container_name(context.instance, mark.run),)
    if mark.kind is Kind.ENVIRONMENT:
        return (mark.run,)
    return (mark.digest,)


def owned_by_mark(context: EngineContext, labels: Mapping[str, str] | None, name: str) -> Mark | None:
    """The mark of an object called `name` if it is provably ours, else None."""
    mark = read(context, labels)
    return mark if mark is not None and name in names(context, mark) else None


def _sign(context: EngineContext, *parts: str) -> str:
    """HMAC-SHA256 over length-prefixed parts, so that no two identities share a text."""
    message = "".join([f"{len(part)}:{part}" for part in (context.instance_id, *parts)])
    return hmac.digest(context.key, message.encode("utf-8", "surrogatepass"), "sha256").hex()
