"""What the next step of a run depends on, beside its record and what the engine shows of it."""

from dataclasses import dataclass, field
from datetime import datetime

from ..model.service import Limits


@dataclass(frozen=True, slots=True)
class Context:
    """What else is known. `complete` and `listed_at` (when it was asked for) are of the listing that gave `live`.

    `busy` names the engine call that is under way for this run ("prepare", "launch", "stop", ...), "" = none.
    `no_device` says which devices it needs and cannot lease yet.
    `blocked_by` are the runs that must have ended first. `no_place` says what has no free place for it, and `crowded`
    that as many are ready before it as there are places. `drained`: why nothing may start now, "" = it may.
    `begun`: it is a cell, and one of its slot has started. `cells_full`: as many cells of its slot are at work as may.
    `awaits` is what `wait_for` still waits for, until `awaits_until`. `current_digest` is the job's applied definition.
    """

    complete: bool = False
    listed_at: datetime | None = None
    engine_ok: bool = True
    busy: str = ""
    no_place: str = ""
    no_device: str = ""
    crowded: bool = False
    begun: bool = False
    cells_full: bool = False
    drained: str = ""
    awaits: str = ""
    awaits_until: datetime | None = None
    blocked_by: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    prepare_lead: float = 0.0
    current_digest: str = ""


def seen_after(ctx: Context, known: datetime, now: datetime) -> bool:
    """An instant later than now is of a clock that has been set back since: it says nothing, and holds nothing up."""
    return ctx.engine_ok and ctx.complete and ctx.listed_at is not None and (ctx.listed_at > known or known > now)
