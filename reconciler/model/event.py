"""One stream of facts: it feeds history, the server and the log."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class EventName(StrEnum):
    """noun.verb-in-the-past. The reference page is generated from here; `docs` is the sentence shown."""

    SERVICE_STARTED = "service.started"
    SERVICE_STOPPED = "service.stopped"
    SERVICE_RELOADED = "service.reloaded"
    SYNC_FINISHED = "sync.finished"
    SYNC_FAILED = "sync.failed"
    SYNC_RECOVERED = "sync.recovered"
    PLAN_REFUSED = "plan.refused"
    PLAN_APPROVED = "plan.approved"
    REVISION_ACCEPTED = "revision.accepted"
    JOB_INSTALLED = "job.installed"
    JOB_REPLACED = "job.replaced"
    JOB_HEALED = "job.healed"
    JOB_MOVED = "job.moved"
    JOB_RETIRED = "job.retired"
    JOB_HELD = "job.held"
    JOB_FORBIDDEN = "job.forbidden"
    JOB_PERMITTED = "job.permitted"
    JOB_FAILED = "job.apply-failed"
    JOB_STALLED = "job.stalled"
    JOB_PAUSED = "job.paused"
    JOB_RESUMED = "job.resumed"
    RUN_CLAIMED = "run.claimed"
    RUN_DELAYED = "run.delayed"
    RUN_STARTED = "run.started"
    RUN_ADOPTED = "run.adopted"
    RUN_STOPPED = "run.stop-requested"
    RUN_FINISHED = "run.finished"
    RUN_RETRIED = "run.retried"
    RUN_DISCARDED = "run.discarded"
    SLOT_MISSED = "slot.missed"
    SLOT_SKIPPED = "slot.skipped"
    ENGINE_LOST = "engine.lost"
    ENGINE_RECOVERED = "engine.recovered"
    CLOCK_STEPPED = "clock.stepped"
    STORAGE_DEGRADED = "storage.degraded"
    STORAGE_RECOVERED = "storage.recovered"


@dataclass(frozen=True, slots=True)
class Event:
    name: EventName
    at: datetime
    job: str = ""
    run: str = ""
    fields: dict[str, str | int | float | bool | None] = field(default_factory=dict)
