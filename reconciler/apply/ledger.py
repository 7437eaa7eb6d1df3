"""In: an action the engine has confirmed. Out: the ledger's rows as they then are. Writes nothing."""

from dataclasses import replace
from datetime import datetime

from ..engine.base import Installed
from ..model.desired import Commit
from ..model.live import StandingJob
from ..model.origin import Origin
from ..model.plan import Action, ActionKind, Plan
from ..schedule.due import carry_cursor

_BY_KEY = frozenset({"dst", "queue", "resources", "retries"})  # mappings of which each key's place is kept


def row_after(action: Action, old: StandingJob | None, made: Installed, revision: str, now: datetime) -> StandingJob:
    """The row of an installed job. `old` is its row before, or that of the job it moved from; None = new.

    A new job owes nothing before now; an edited schedule owes nothing before the edit; anything else keeps its
    cursor and what is owed (rule T4). Healing changes where the job stands, not what it is.
    """
    assert action.job is not None
    if old is None or action.kind is ActionKind.CREATE:
        cursor, anchor = now, now
    elif action.kind is ActionKind.HEAL:
        return replace(old, ref=made.ref, image_id=made.image_id, image_digest=made.image_digest)
    else:
        cursor, anchor = carry_cursor(old, action.job.spec, now)
    return StandingJob(
        name=action.name, spec=action.job.spec, digest=action.digest, revision=revision, path=action.job.path,
        applied_at=now, cursor=cursor, anchor=anchor, ref=made.ref, image_id=made.image_id,
        image_digest=made.image_digest, full_path=action.job.full_path,
    )  # fmt: skip


def origin_of(action: Action, plan: Plan) -> Origin:
    """Where the definition that `action` installs comes from. Of mappings that may be long, only their own place."""
    assert action.job is not None
    lines = action.job.lines.items()
    places = {name: at for name, at in lines if "." not in name or name.partition(".")[0] in _BY_KEY}
    commit = Commit(plan.revision, plan.author, plan.committed_at, plan.subject)
    return Origin(action.digest, commit, action.job.path, places)


def row_marked(action: Action, old: StandingJob, now: datetime) -> StandingJob:
    """The row of a job that policy forbids from now on, or allows again; then nothing before now is owed."""
    if action.kind is ActionKind.FORBID:
        return replace(old, forbidden=action.why)
    cursor, anchor = carry_cursor(old, old.spec, now)
    return replace(old, forbidden="", cursor=cursor, anchor=anchor)
