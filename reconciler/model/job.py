"""A job as it is after defaults: tuples only, hashable, comparable.

Durations are seconds (float), sizes are bytes (int), zones are IANA names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import prod


class ScheduleKind(StrEnum):
    CRON = "cron"
    EVERY = "every"
    AT = "at"
    SEVERAL = "several"
    MANUAL = "manual"


class Concurrency(StrEnum):
    FORBID = "Forbid"
    ALLOW = "Allow"
    REPLACE = "Replace"
    QUEUE = "Queue"


class CatchUp(StrEnum):
    NONE = "none"
    LATEST = "latest"
    ALL = "all"


class OnRetire(StrEnum):
    DRAIN = "drain"
    STOP = "stop"


class PullPolicy(StrEnum):
    MISSING = "missing"
    ALWAYS = "always"
    NEVER = "never"
    DAILY = "daily"
    WEEKLY = "weekly"


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a job is due. `expression` is the text as typed (macros kept), or the times of `at`; `every` is set for
    `@every`.

    `start` and `end` are a date (whole days, both included) or a time in the zone, `exclude` days in their canonical
    text (`schedule.dates`). `seed` is the job's name if `H` or a jitter needs it. `calendars`: path and last day of
    each file that `exclude` was read from; it means nothing for when a job is due. SEVERAL has `parts`, whose fires
    count together, and of the rest only the zone and a text to show.
    """

    kind: ScheduleKind
    expression: str = ""
    timezone: str = "UTC"
    gap: str = "after"  # or "skip"
    overlap: str = "once"  # or "twice"
    every: float = 0.0  # seconds, kind EVERY only
    start: str = ""
    end: str = ""
    exclude: str = ""
    jitter: float = 0.0  # seconds
    seed: str = ""
    calendars: tuple[tuple[str, str], ...] = ()
    parts: tuple["Schedule", ...] = ()

    def __hash__(self) -> int:
        """Schedules are looked up all the time: hash what tells nearly all apart."""
        return hash((self.expression, self.timezone, self.exclude, self.seed))


@dataclass(frozen=True, slots=True)
class Resources:
    """Limits; None = no limit of ours. `cpus` is a number of cores, the rest bytes or a count."""

    cpus: float | None = None
    memory: int | None = None
    pids_limit: int = 512
    shm_size: int | None = None
    gpus: int | None = None  # whole devices, leased by id; None = none (of a ceiling: any number)


@dataclass(frozen=True, slots=True)
class Mount:
    """One volume line. `source` of a named volume is the job's word for it, not the engine's name."""

    type: str  # volume | bind | tmpfs
    source: str
    target: str
    read_only: bool = False
    external: bool = False
    size: int | None = None  # tmpfs only, bytes
    mode: int | None = None  # tmpfs only


@dataclass(frozen=True, slots=True)
class FileMount:
    """A file of the same commit, or inline content, bound read-only at `target`."""

    target: str
    content: str
    mode: int = 0o444
    origin: str = ""  # path in the repository, or "" for inline content


@dataclass(frozen=True, slots=True)
class SecretRef:
    """A secret by its name: a file at `target`, or the variable `env`; never both. `sealed`: base64 of the encrypted
    file of the same commit that holds it, "" = it is in a store of the service."""

    name: str
    target: str = ""
    env: str = ""
    mode: int = 0o400
    sealed: str = ""


@dataclass(frozen=True, slots=True)
class CodeRepository:
    """A git repository of which each run has a checkout of its own at `target`. `ref`: a branch, a tag, a full name or
    a commit; `subpath`: the directory of it that is shown, without `.git`; "" = all, with it. `depth`: how many commits
    of history come along; 0 = all. `submodules`: those of the commit are laid out, too."""

    url: str
    target: str
    ref: str = "HEAD"
    subpath: str = ""
    depth: int = 0
    submodules: bool = False


@dataclass(frozen=True, slots=True)
class Retries:
    limit: int = 0
    delay: float = 30.0
    backoff: float = 2.0
    max_delay: float = 600.0
    on_exit_codes: tuple[int, ...] = ()  # empty = any failure


class ParameterType(StrEnum):
    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value that a run may be given. `default` and `enum` are texts as typed; no default = it must be given."""

    name: str
    type: ParameterType = ParameterType.STRING
    default: str | None = None
    enum: tuple[str, ...] = ()  # empty = any value of its type
    description: str = ""


@dataclass(frozen=True, slots=True)
class Queue:
    """How many due slots may wait for a turn, and how long each; `timeout` None = limits.queue_timeout."""

    limit: int = 10
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class After:
    """Another job whose outcome fires this one. `on`: success, failure or any."""

    job: str
    on: str = "success"


@dataclass(frozen=True, slots=True)
class WaitFor:
    """A slot waits until `job` has succeeded for its own latest slot; at most `within` seconds."""

    job: str
    within: float = 3600.0


@dataclass(frozen=True, slots=True)
class Strategy:
    """Several runs for each slot: a cell for each point of `matrix`, or `parallelism` equal ones; neither = one run.

    Axes stand in file order; the last one varies fastest. `max_parallel` 0 = all at once.
    """

    matrix: tuple[tuple[str, tuple[str, ...]], ...] = ()
    parallelism: int = 0
    max_parallel: int = 0
    fail_fast: bool = False

    @property
    def cells(self) -> int:
        """How many runs a slot has; 0 = one that is no cell."""
        return prod(len(values) for _, values in self.matrix) if self.matrix else self.parallelism

    @property
    def axes(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.matrix)


class Install(StrEnum):
    IMAGE = "image"  # once, into an image of their own
    AT_START = "at_start"  # in each run, before its command


@dataclass(frozen=True, slots=True)
class Packages:
    """What a run needs beside what its image has, by manager, each as that manager writes it."""

    apt: tuple[str, ...] = ()
    conda: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    cran: tuple[str, ...] = ()
    install: Install = Install.IMAGE
    files: tuple[tuple[str, str], ...] = ()  # (manager, path in the code): lists that are read before each run

    @property
    def managers(self) -> tuple[str, ...]:
        read = dict(self.files)
        return tuple(name for name in ("apt", "conda", "pip", "cran") if getattr(self, name) or name in read)

    @property
    def in_image(self) -> bool:
        """Is it known now what is in the image? With `files` only for a run, which has read them."""
        return bool(self.managers) and self.install is Install.IMAGE and not self.files


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    keep_success: int = 20
    keep_failed: int = 50
    keep_for: float = 90 * 86400.0


@dataclass(frozen=True, slots=True)
class JobSpec:
    """Everything a job file says, after `_defaults.yaml` and the service's defaults.

    `command`, `entrypoint`: None = the image's own. `script` replaces both (see `argv`). `image` is "" with `exec_in`.
    `start_deadline` None = until the next slot, at most 12 h.
    """

    name: str
    owner: str
    schedule: Schedule
    image: str
    description: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    suspend: bool = False
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    script: str | None = None
    working_dir: str | None = None
    user: str | None = None
    environment: tuple[tuple[str, str], ...] = ()
    resources: Resources = Resources()
    mounts: tuple[Mount, ...] = ()
    networks: tuple[str, ...] = ("default",)  # "default" = the owner's own bridge; ("none",) = no network
    timeout: float = 86400.0
    stop_grace_period: float = 30.0
    concurrency_policy: Concurrency = Concurrency.FORBID
    retries: Retries = Retries()
    start_deadline: float | None = None
    catch_up: CatchUp = CatchUp.LATEST
    on_retire: OnRetire = OnRetire.DRAIN
    protect: bool = False
    history: HistoryLimits = HistoryLimits()
    pull_policy: PullPolicy = PullPolicy.MISSING
    read_only: bool = False
    cap_add: tuple[str, ...] = ()
    files: tuple[FileMount, ...] = ()
    parameters: tuple[Parameter, ...] = ()  # by name
    strategy: Strategy = Strategy()
    moved_from: str | None = None
    accept: tuple[str, ...] = ()  # rules of lint that do not count here; means nothing for what a job does
    queue: Queue = Queue()
    concurrency_group: str = ""  # "" = none
    priority: int = 0  # the highest is first in line
    catch_up_limit: int = 20  # of `catch_up: all`
    after: tuple[After, ...] = ()
    wait_for: tuple[WaitFor, ...] = ()
    pause_after_failures: int = 0  # failed slots in a row; 0 = never
    outputs: str = ""  # a directory in the container whose contents are kept after the run; "" = none
    packages: Packages = Packages()
    start_script: str | None = None  # runs before the command, in the same container
    secrets: tuple[SecretRef, ...] = ()
    repositories: tuple[CodeRepository, ...] = ()
    hold_on_failure: float = 0.0  # seconds that the container of a failed run is kept; 0 = not
    exec_in: str = ""  # name of a running container that the command runs in; "" = a container of its own

    @property
    def env(self) -> dict[str, str]:
        return dict(self.environment)


@dataclass(frozen=True, slots=True)
class Location:
    """Where a value was written: file, 1-based line; `inherited` if it came from a `_defaults.yaml`."""

    path: str
    line: int
    inherited: bool = False


@dataclass(frozen=True, slots=True)
class DesiredJob:
    """A valid job of one revision. Equality is by digest: re-formatting a file changes nothing.

    `path` is relative to the jobs directory, `full_path` to the repository.
    """

    spec: JobSpec
    digest: str
    path: str
    lines: Mapping[str, Location] = field(default_factory=dict, compare=False, hash=False)  # field name -> place
    full_path: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        return self.spec.name
