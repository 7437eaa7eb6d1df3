"""One attempt at one slot: what was asked, how far it got, how it ended."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from .ids import run_id


class Phase(StrEnum):
    """Rule R3. The first five are active; the rest are final."""

    PENDING = "pending"  # claimed; waits for its instant, a free place, or the run it replaces
    PREPARING = "preparing"  # image, files, container
    STARTING = "starting"  # the intent to start is on disk
    RUNNING = "running"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"
    OOM = "oom"

    @property
    def active(self) -> bool:
        return self in ACTIVE

    @property
    def bad(self) -> bool:
        return self in (Phase.FAILED, Phase.TIMED_OUT, Phase.LOST, Phase.OOM)


ACTIVE = frozenset({Phase.PENDING, Phase.PREPARING, Phase.STARTING, Phase.RUNNING, Phase.STOPPING})


class Trigger(StrEnum):
    SCHEDULE = "schedule"
    CATCH_UP = "catch-up"
    MANUAL = "manual"
    RETRY = "retry"
    AFTER = "after"  # another job's outcome
    BACKFILL = "backfill"
    TRY = "try"  # of a job file that is not applied
    REPLAY = "replay"  # of an earlier run, exactly
    DEV = "dev"  # a shell in the environment of a job


class FailureClass(StrEnum):
    """Why a run ended badly, in the field's words; all up to SECRET happen before the command started."""

    NONE = ""
    IMAGE = "image"  # could not be pulled or is not there
    ENGINE = "engine"  # away, hung, or refused for a passing reason
    REJECTED = "rejected"  # the engine or our guard refused the container
    DISK = "disk"  # full, or the run took too much of it: then its command had started
    CODE = "code"  # a repository could not be taken: unreachable, refused, no such ref, too big
    PACKAGES = "packages"  # could not be installed
    START_SCRIPT = "start_script"  # its own exit code, before the command
    SECRET = "secret"  # noqa: S105 - is not there, not allowed, or cannot be given
    EXIT = "exit"  # the command's own exit code
    TIMEOUT = "timeout"
    OOM = "oom"
    STOPPED = "stopped"  # by an operator, Replace or on_retire
    HOST = "host"  # the host or the engine went down under it
    UNKNOWN = "unknown"


class CodeAt(NamedTuple):
    """The code of a run at one of its targets. `commit` "" = what `ref` stands for is not known yet."""

    target: str
    url: str
    ref: str
    commit: str = ""


class Disposition(StrEnum):
    """Rule T5: how a slot ended. Exactly one per slot."""

    RAN = "ran"
    LOST = "lost"
    SKIPPED = "skipped"
    MISSED = "missed"
    UNAVAILABLE = "unavailable"
    SUSPENDED = "suspended"
    PAUSED = "paused"
    FORBIDDEN = "forbidden"
    SUPERSEDED = "superseded"
    BLACKOUT = "blackout"  # on a day that the schedule excludes


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What is asked of the engine. `actor` is who: `scheduler`, or a user name for manual runs."""

    job: str
    slot: datetime
    attempt: int
    trigger: Trigger
    actor: str = "scheduler"
    replaces: tuple[str, ...] = ()  # run ids that must have ended first (concurrency_policy: Replace)
    cell: int | None = None
    cells: int = 0
    parameters: tuple[tuple[str, str], ...] = ()
    key: str = ""
    replays: datetime | None = None
    cause: str = ""
    max_parallel: int = 0
    code: tuple[CodeAt, ...] = ()  # refs that somebody asked for

    @property
    def run_id(self) -> str:
        return run_id(self.job, self.slot, self.attempt, self.cell)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One row of the run ledger (rule R7). Instants are aware UTC; None = not reached.

    `tries` counts failures before the command started (they use no `retries`); `retry_at` is when the next
    step may be taken (back-off before the start, or the next attempt after a failure).
    `stop_reason` is set once we asked it to end; `deadline` is when a pending slot is given up.
    """

    run_id: str
    job: str
    slot: datetime
    attempt: int
    trigger: Trigger
    actor: str
    digest: str
    revision: str
    phase: Phase
    claimed_at: datetime
    deadline: datetime | None = None
    replaces: tuple[str, ...] = ()
    retry_at: datetime | None = None
    tries: int = 0
    ref: str = ""
    image_id: str = ""
    image_digest: str = ""
    prepared_at: datetime | None = None
    start_requested_at: datetime | None = None
    started_at: datetime | None = None
    stop_requested_at: datetime | None = None
    stop_reason: str = ""
    finished_at: datetime | None = None
    exit_code: int | None = None
    failure: FailureClass = FailureClass.NONE
    reason: str = ""
    peak_memory: int | None = None  # bytes
    cpu_seconds: float | None = None
    log: str = ""  # path below the state directory
    log_bytes: int = 0
    collected: bool = False  # logs are complete on disk
    discarded: bool = False  # the engine holds nothing of it any more
    superseded_by: str = ""  # run id of the next attempt
    unstarted: int = 0  # earlier attempts at this slot that provably never started: they used no `retries`
    cell: int | None = None  # of a strategy, from 0; None = the slot has one run only
    cells: int = 0  # how many the slot has; 0 = no strategy
    parameters: tuple[
        tuple[str, str], ...
    ] = ()  # as delivered, by name: defaults, then what was given, then the cell's
    key: str = ""  # idempotency key that a caller gave
    replays: datetime | None = None  # the scheduled slot whose work a backfill does again; its own slot is another
    cause: str = ""  # the run id (after) or backfill that asked for it; of a dev run its terminal
    devices: tuple[str, ...] = ()  # ids of whole devices leased to it until its container has gone
    max_parallel: int = 0  # cells of its slot that may run at once; 0 = all
    hold_until: datetime | None = None  # its container is kept that long for debugging
    code: tuple[CodeAt, ...] = ()  # the commits that it has; before it is prepared, refs that somebody asked for

    @property
    def active(self) -> bool:
        return self.phase.active


@dataclass(frozen=True, slots=True)
class CellState:
    """Where a cell stands: the phase of its last attempt, and whether any attempt has ever started."""

    cell: int
    phase: Phase
    started: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    phase: Phase
    exit_code: int | None
    failure: FailureClass
    reason: str
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class SlotRecord:
    """One slot, or a range of adjacent slots of one disposition and reason. `decided_at` is when that was decided, of a
    range's last slot; None if nobody wrote it down, or its run tells (see `run_id`)."""

    job: str
    first: datetime
    last: datetime
    count: int
    disposition: Disposition
    reason: str
    run_id: str = ""
    decided_at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Decision:
    """What now, and when next, for one job."""

    cursor: datetime
    wake_at: datetime | None
    launch: tuple[RunRequest, ...] = ()
    deadline: datetime | None = None  # of the launched request
    stop: tuple[tuple[str, str], ...] = ()  # (run id, why)
    slots: tuple[SlotRecord, ...] = ()
    supersede: tuple[str, ...] = ()  # run ids of waiting retries that end now


@dataclass(frozen=True, slots=True)
class Pause:
    """An operator's pause. `job` is a job name or `*`; `until` None = until resumed."""

    job: str
    since: datetime
    until: datetime | None
    reason: str
    actor: str

    def covers(self, job: str, at: datetime) -> bool:
        return self.job in ("*", job) and self.since <= at and (self.until is None or at < self.until)
