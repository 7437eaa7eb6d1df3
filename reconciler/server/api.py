"""What the service is asked and what it answers, as values; the same on the socket and on any later listener.

Routes (app fills in the handlers): GET /v1/status, /v1/plan, /v1/owners; POST /v1/jobs/run, /v1/jobs/backfill,
/v1/try, /v1/try/forget, /v1/dev, /v1/dev/attach, /v1/dev/resize, /v1/dev/notebook, /v1/runs/replay, /v1/runs/stop,
/v1/runs/discard, /v1/pause, /v1/resume, /v1/drain, /v1/sync, /v1/apply, /v1/approve; those of `building`; and POST
/v1/ledger, /v1/log, /v1/outputs, /v1/output, /v1/secrets, which only read. An error is `Failure`, with a status from
400 on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from .building import BuildId, BuildImage, BuildState, BuiltImage, CodeLine
from .shapes import ApiError, LongText, Shape

__all__ = [
    "ApiError",
    "Applied",
    "ApplyPlan",
    "Approve",
    "BuildId",
    "BuildImage",
    "BuildState",
    "BuiltImage",
    "CellRow",
    "CodeLine",
    "DevAttach",
    "DevNotebook",
    "DevOpen",
    "DevOpened",
    "DevResize",
    "DiscardRun",
    "Done",
    "Drain",
    "Failure",
    "ListSecrets",
    "Notebook",
    "OneRun",
    "PauseJob",
    "ReadLedger",
    "ReadLog",
    "ReadOutput",
    "ReadOutputs",
    "RefusalLine",
    "ResultLine",
    "ResumeJob",
    "RunAccepted",
    "RunJob",
    "Shape",
    "Status",
    "StopRun",
    "TryFile",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class CellRow(Shape):
    """The values of one cell; `where` says in messages where they were written."""

    values: Mapping[str, str] = field(default_factory=dict)
    where: str = ""


@dataclass(frozen=True, slots=True)
class RunJob(Shape):
    """POST /v1/jobs/run. `parameters` by name, each the text as typed. The same `key` again is answered with the run
    that it started the first time. `rows` are cells instead of the job's strategy; `resume`, the id of a run or
    `latest`, takes only those cells of its slot again that have not succeeded. `max_parallel` is for these two; 0 = not
    said. `refs`: the code that it is to have instead of the job's, each `REF` or `TARGET=REF`."""

    job: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    key: str = ""
    refs: tuple[str, ...] = ()
    rows: tuple[CellRow, ...] = ()
    resume: str = ""
    max_parallel: int = 0


@dataclass(frozen=True, slots=True)
class TryFile(Shape):
    """POST /v1/try. `path` of a job file relative to its jobs directory; `files` has it, the `_defaults.yaml` above it
    and what it takes in, by path, each in base64."""

    path: str
    files: Mapping[str, LongText]
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DevOpen(Shape):
    """POST /v1/dev. A shell in the environment of a job, for `seconds` (None = as long as may be). `tty`: the client
    has a terminal. `jupyter`: a notebook instead."""

    job: str
    tty: bool
    seconds: int | None = None
    secrets: bool = False
    jupyter: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict)
    refs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DevOpened(Shape):
    """The answer to it. `without`: the job's secrets that the shell does not have, by name."""

    run_id: str
    seconds: int
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DevAttach(Shape):
    """POST /v1/dev/attach. The connection becomes the terminal's: see `relay`."""

    run_id: str


@dataclass(frozen=True, slots=True)
class DevNotebook(Shape):
    """POST /v1/dev/notebook. Where the notebook of a run is reached."""

    run_id: str


@dataclass(frozen=True, slots=True)
class Notebook(Shape):
    """The answer to it. `url`: on this host alone, with its token; "" = it is not there yet."""

    url: str


@dataclass(frozen=True, slots=True)
class DevResize(Shape):
    """POST /v1/dev/resize. The client's terminal has another size."""

    run_id: str
    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class OneRun(Shape):
    """POST /v1/try/forget, /v1/runs/replay."""

    run_id: str


@dataclass(frozen=True, slots=True)
class Backfill(Shape):
    """POST /v1/jobs/backfill. Every slot of the schedule in [begin, end]. With `dry_run` nothing is claimed, and the
    answer has the slots alone."""

    job: str
    begin: datetime
    end: datetime
    max_parallel: int = 1
    excluded: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict)
    key: str = ""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Slots(Shape):
    """The answer to a dry run: ISO 8601 in UTC, oldest first."""

    slots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunAccepted(Shape):
    """The answer to it. The run is claimed: it is on disk and will be started or accounted for. `repeated`: it was
    claimed before, with the same key."""

    run_id: str
    job: str
    slot: datetime
    repeated: bool = False
    cells: int = 0  # that were claimed with it; 0 = its slot has this one run


@dataclass(frozen=True, slots=True)
class StopRun(Shape):
    """POST /v1/runs/stop. `whole_slot`: with it every other cell of its slot."""

    run_id: str
    reason: str = ""
    whole_slot: bool = False


@dataclass(frozen=True, slots=True)
class DiscardRun(Shape):
    """POST /v1/runs/discard. Of a failed run whose container is kept."""

    run_id: str


@dataclass(frozen=True, slots=True)
class PauseJob(Shape):
    """POST /v1/pause. `job` is a name or `*`; without `until` (or with an empty one) until resumed."""

    job: str
    until: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ResumeJob(Shape):
    """POST /v1/resume."""

    job: str


@dataclass(frozen=True, slots=True)
class Drain(Shape):
    """POST /v1/drain. Start nothing any more; with `end`, start again."""

    end: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ApplyPlan(Shape):
    """POST /v1/apply. With `digest`, exactly that plan or nothing. POST /v1/sync takes no body and answers alike."""

    digest: str = ""


@dataclass(frozen=True, slots=True)
class Approve(Shape):
    """POST /v1/approve. `digest` is a plan's digest or the commit id of a rewritten history."""

    digest: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ReadLedger(Shape):
    """POST /v1/ledger. One read of `history.base.Reader`, by the name `read`, with what it takes. The answer's `rows`
    are as `history.rows` has them. With `digest` (a definition's), `run` is a run that had it. `all_jobs`: of events,
    whatever `job` says."""

    read: str
    job: str = ""
    run: str = ""
    key: str = ""
    digest: str = ""
    slot: datetime | None = None
    before: datetime | None = None
    limit: int = 50
    failed: bool = False
    fold: bool = False
    all_jobs: bool = False


@dataclass(frozen=True, slots=True)
class ReadLog(Shape):
    """POST /v1/log. What has come of a run's log since `at` and `live` of the answer before; at first its last `tail`
    lines, or all. The answer has the run's row, too."""

    run_id: str
    tail: int | None = None
    at: int | None = None
    live: bool = True


@dataclass(frozen=True, slots=True)
class ReadOutputs(Shape):
    """POST /v1/outputs. What was kept of a run's outputs."""

    run_id: str


@dataclass(frozen=True, slots=True)
class ReadOutput(Shape):
    """POST /v1/output. A piece of one file of them, from byte `at`."""

    run_id: str
    path: str
    at: int = 0


@dataclass(frozen=True, slots=True)
class ListSecrets(Shape):
    """POST /v1/secrets. Of one job, of an owner's jobs, or of all that whoever asks may see."""

    job: str = ""
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Done(Shape):
    """The answer to pause, resume, stop, sync and approve: one sentence for the person who asked."""

    message: str


@dataclass(frozen=True, slots=True)
class ResultLine(Shape):
    """One action of an applied plan."""

    kind: str
    name: str
    ok: bool
    error: str = ""
    error_code: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class RefusalLine(Shape):
    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Applied(Shape):
    """The answer to apply."""

    revision: str
    applied: int
    failed: int
    unchanged: int
    refused: bool = False
    results: tuple[ResultLine, ...] = ()
    refusals: tuple[RefusalLine, ...] = ()


@dataclass(frozen=True, slots=True)
class Status(Shape):
    """The answer to GET /v1/status. `degraded` lists what does not work now, a sentence each."""

    instance: str
    version: str
    pid: int
    started_at: datetime
    engine: str
    engine_ok: bool
    revision: str = ""  # applied; "" = none yet
    ref: str = ""
    synced_at: datetime | None = None  # the last pass that read the repository
    jobs: int = 0
    running: int = 0
    failed: int = 0  # changes that could not be applied and are tried again
    held: int = 0  # jobs that wait for a person
    degraded: tuple[str, ...] = ()
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Failure(Shape):
    """Every answer with a status of 400 and above."""

    error: str
    code: str
    hint: str = ""
