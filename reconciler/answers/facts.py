"""What an answer is made of: rows of the ledger, and what was seen beside them. Whoever asks gathers it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ..model.desired import HeldJob
from ..model.event import Event
from ..model.job import JobSpec, ScheduleKind
from ..model.live import StandingJob
from ..model.origin import Origin
from ..model.run import Pause, RunRecord, SlotRecord

NOTHING = datetime.max.replace(tzinfo=UTC)  # events are known since the end of time: none are


@dataclass(frozen=True, slots=True)
class ServiceDefaults:
    """What the service file says for jobs that do not say it."""

    timezone: str = "UTC"
    timeout: float = 86400.0


@dataclass(frozen=True, slots=True)
class Durations:
    """How long a job's runs took, in seconds, by nearest rank; `count` runs were looked at."""

    p50: float
    p95: float
    count: int


@dataclass(frozen=True, slots=True)
class RunFact:
    """A run, its definition, and the end of its log: `last_line` was written at `line_at`. `hint`: what its failure
    smells of, as its events say."""

    run: RunRecord
    spec: JobSpec | None = None
    origin: Origin | None = None
    hint: str = ""
    last_line: str = ""
    line_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that is known about one slot of one job.

    `spec` and `origin`: of the definition that was in force then, None if nobody knows it. `slot`: the ledger's row
    that covers it. `runs`: its attempts. `others`: the runs that are named as its blockers; for a slot to come, the
    job's active runs. `events`: of the service, newest first; `known_since`: how far back they go. `degraded`: what is
    wrong now, a sentence each. `drained`: who said that nothing may start now, "" = nobody.
    `waits`: what a run of the slot that has not started waits for.
    """

    job: str
    at: datetime
    now: datetime
    zone: str
    standing: StandingJob | None = None
    spec: JobSpec | None = None
    origin: Origin | None = None
    slot: SlotRecord | None = None
    runs: tuple[RunFact, ...] = ()
    others: tuple[RunFact, ...] = ()
    durations: Durations | None = None
    pauses: tuple[Pause, ...] = ()
    held: HeldJob | None = None
    events: tuple[Event, ...] = ()
    known_since: datetime = NOTHING
    degraded: tuple[str, ...] = ()
    drained: str = ""
    waits: tuple[str, ...] = ()
    service: ServiceDefaults = ServiceDefaults()

    @property
    def fires(self) -> bool:
        """Does the standing definition ever fire by itself?"""
        return self.standing is not None and self.standing.spec.schedule.kind is not ScheduleKind.MANUAL


def durations(runs: Sequence[RunRecord]) -> Durations | None:
    """Of those that started and ended; None without any."""
    spans = sorted(
        (run.finished_at - run.started_at).total_seconds()
        for run in runs if run.started_at is not None and run.finished_at is not None
    )  # fmt: skip
    return Durations(_rank(spans, 50), _rank(spans, 95), len(spans)) if spans else None


def _rank(ordered: Sequence[float], percent: int) -> float:
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
