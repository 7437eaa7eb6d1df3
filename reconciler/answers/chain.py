"""The answer to `why`: one causal chain, from the commit to what one can do. Frozen; renderers only show it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ..model.desired import Commit
from .facts import Durations
from .settings import Setting


class Verdict(StrEnum):
    """What became of a slot, or will."""

    OK = "ok"
    RUNNING = "running"
    WAITING = "waiting"
    RETRYING = "retrying"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    OOM = "out of memory"
    LOST = "lost"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    MISSED = "missed"
    UNAVAILABLE = "unavailable"
    SUSPENDED = "suspended"
    PAUSED = "paused"
    FORBIDDEN = "forbidden"
    SUPERSEDED = "superseded"
    BLACKOUT = "blackout"
    DUE = "due"
    FORGOTTEN = "not recorded"
    WILL_FIRE = "will fire"
    MAY_NOT_FIRE = "may not fire"
    WILL_NOT_FIRE = "will not fire"
    NO_SLOT = "no slot"


@dataclass(frozen=True, slots=True)
class Said:
    """Who said that the job is due then. `line` 0 = not known; `note` says if that is not today's definition."""

    commit: Commit
    path: str
    line: int
    schedule: str
    applied_at: datetime | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """The ledger's row holds `count` slots that ended alike."""

    first: datetime
    last: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Blocker:
    """What stood in the way. `since`: when it started, or was claimed; `until` None = it still does. `usual`: p95 of
    the job's runs in seconds, of `sample` runs."""

    run_id: str
    attempt: int
    phase: str
    since: datetime
    until: datetime | None = None
    usual: float | None = None
    sample: int = 0
    last_line: str = ""
    line_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of the slot. `late` and `took` in seconds."""

    run_id: str
    attempt: int
    cell: int | None
    trigger: str
    actor: str
    phase: str
    started_at: datetime | None
    late: float | None
    took: float | None
    exit_code: int | None
    failure: str
    reason: str
    hint: str = ""
    last_line: str = ""
    cause: str = ""  # the run or the backfill that asked for it


@dataclass(frozen=True, slots=True)
class Next:
    """What happens by itself."""

    at: datetime
    what: str


@dataclass(frozen=True, slots=True)
class Can:
    """A command, or an edit of a file; and what it is good for."""

    do: str
    why: str


@dataclass(frozen=True, slots=True)
class Chain:
    """`slot` None = the instant `asked` is none; then `before` and `after` are the nearest. `headline` goes on from the
    verdict. `rules`: the settings that decided. `notes`: what else one must know. `usual`: how long a slot to come will
    probably take."""

    job: str
    zone: str
    now: datetime
    asked: datetime
    slot: datetime | None
    verdict: Verdict
    headline: str
    said: Said | None = None
    decided_at: datetime | None = None
    span: Span | None = None
    rules: tuple[Setting, ...] = ()
    blockers: tuple[Blocker, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    not_it: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    usual: Durations | None = None
    next: tuple[Next, ...] = ()
    can: tuple[Can, ...] = ()
    before: datetime | None = None
    after: datetime | None = None
