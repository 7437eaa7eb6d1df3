"""What exists: what the engine shows, and what the ledger says was applied."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from .job import JobSpec

# An engine that knows that the host, or itself, ended a run by going down says so with these words in `LiveRun.error`.
WENT_DOWN = "went down"


class LivePhase(StrEnum):
    """What the engine shows of a run."""

    CREATED = "created"  # never started
    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True, slots=True)
class LiveJob:
    """A standing job as the engine shows it. `ref` is the engine's full id of the object."""

    name: str
    digest: str
    revision: str
    owner: str
    ref: str
    image_id: str = ""
    drift: tuple[str, ...] = ()  # fields of ours that no longer hold, each a sentence


@dataclass(frozen=True, slots=True)
class LiveRun:
    """A run as the engine shows it."""

    run_id: str
    job: str
    ref: str
    phase: LivePhase
    exit_code: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    oom: bool = False
    error: str = ""  # the engine's own words on why it could not start
    devices: tuple[str, ...] = ()  # ids of the devices it was given


@dataclass(frozen=True, slots=True)
class LiveState:
    """One listing. If it is not `complete`, nothing may be retired or called lost on its account.

    `taken` maps names of ours to foreign objects that hold them (rule P2): a plan error, never touched.
    """

    engine: str
    jobs: Mapping[str, LiveJob]
    runs: Mapping[str, LiveRun]
    complete: bool = True
    taken: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StandingJob:
    """The ledger's row of an applied job: the last good spec, and where its clock stands.

    `cursor`: every slot at or before it is accounted for. `forbidden`: today's policy no longer allows it;
    it does not fire. `retiring`: its retirement has begun and is not yet confirmed by the engine. `full_path`: its file
    in the repository, "" if an earlier release applied it; `path` is relative to the jobs directory.
    """

    name: str
    spec: JobSpec
    digest: str
    revision: str
    path: str
    applied_at: datetime
    cursor: datetime
    anchor: datetime  # `@every` counts from here; survives restarts and edits of other fields
    ref: str = ""
    image_id: str = ""
    image_digest: str = ""
    forbidden: str = ""
    retiring: bool = False
    full_path: str = ""

    @property
    def owner(self) -> str:
        return self.spec.owner
