"""The Protocol that every engine fulfils, and the orders it takes. Nothing here knows a concrete engine.

Rules, all in the contract suite: every verb may be repeated; absent on `retire`, `discard` and `stop`, and present
on `prepare` and `launch`, are success; `retire` leaves runs alone; only EngineUnavailable, EngineRejected and NotOurs
are raised; every method may be called from several threads at once; every call has a deadline.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Event as Flag
from typing import Protocol

from ..model.errors import EngineRejected
from ..model.job import JobSpec
from ..model.live import LiveRun, LiveState
from ..model.outputs import OutputPart
from ..model.problem import FieldProblem
from ..model.service import Policy, Registry
from ..model.terminal import Terminal
from ..model.workspace import Bind


@dataclass(frozen=True, slots=True)
class StandingOrder:
    """Install this definition. `image_id` pins the image if an earlier apply resolved it ("" = resolve now)."""

    spec: JobSpec
    digest: str
    revision: str
    path: str
    policy: Policy  # what the owner is granted: the second check (rule S2) is made against it
    staged: tuple[tuple[str, str], ...] = ()  # (host path, target), bound read-only
    refresh: bool = False  # pull although the image is there (pull_policy always, daily, weekly)
    image_id: str = ""  # pinned by an earlier apply; used while the engine still has it, else resolved anew


@dataclass(frozen=True, slots=True)
class Installed:
    """What `install` made. `image_id` is what runs will use; `image_digest` the registry's digest if known."""

    ref: str
    image_id: str = ""
    image_digest: str = ""


@dataclass(frozen=True, slots=True)
class RunOrder:
    """Make this run ready. `environment` is complete: the job's own and the RECONCILER_* ones (rule R9)."""

    run_id: str
    spec: JobSpec
    digest: str
    revision: str
    policy: Policy
    image_id: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    staged: tuple[tuple[str, str], ...] = ()
    devices: tuple[str, ...] = ()  # ids of the GPUs leased to it, and no others
    exact: bool = False  # `image_id` or nothing: an earlier run exactly again
    workspace: tuple[Bind, ...] = ()  # made for this run alone; an engine without mounts shows it below `files/`
    terminal: Terminal | None = None  # a shell for a person instead of the job's command; see `spec.interactive`


@dataclass(frozen=True, slots=True)
class Prepared:
    ref: str
    image_id: str = ""
    image_digest: str = ""


@dataclass(frozen=True, slots=True)
class LogChunk:
    """A piece of a run's output, in order. `cursor` resumes after it (opaque to callers). Not `again`: nothing that
    came before it can be had once more, from whatever cursor."""

    data: bytes
    cursor: str
    again: bool = True


@dataclass(frozen=True, slots=True)
class Usage:
    """What a finished or running run has used, as far as the engine knows."""

    peak_memory: int | None = None  # bytes
    cpu_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class BuildOrder:
    """Make an image that has what the job installs. `spec` has its lists of packages in it; `image_id` and
    `image_digest` are those of the applied job."""

    spec: JobSpec
    revision: str
    policy: Policy
    image_id: str = ""
    image_digest: str = ""
    name: str = ""  # `registry/team/x:tag`; "" = one of ours, of this host alone
    push: bool = False
    start_script: bool = False  # run it once, and keep what it has done
    environment: tuple[tuple[str, str], ...] = ()  # of the start script


@dataclass(frozen=True, slots=True)
class Built:
    """The image. `digest`: of the registry that it was pushed to, "" = it was not. `base_digest` "" = unknown."""

    name: str
    image_id: str
    digest: str = ""
    base_id: str = ""
    base_digest: str = ""
    installed: tuple[str, ...] = ()  # as the managers tell it, see `spec.packages.report_script`


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be run, for the plan: the final argv, what this engine cannot honour, and what it would refuse."""

    argv: tuple[str, ...] | None  # None = the image's own command
    warnings: tuple[str, ...] = ()
    problems: tuple[FieldProblem, ...] = ()


class Line(Protocol):
    """The standard streams of a run that has a terminal, both ways. Nothing here waits: whoever uses it polls `fileno`.
    One that breaks reads as ended."""

    def fileno(self) -> int: ...

    def receive(self) -> tuple[tuple[int, bytes], ...] | None:
        """What has come, each with its stream (1 = stdout, 2 = stderr); () = nothing yet, None = it has ended."""

    def send(self, data: bytes) -> int:
        """Pass on to its standard input; how many bytes were taken. -1 = nobody reads them any more."""

    def end_input(self) -> None:
        """Nothing more will be sent. On a terminal it means nothing."""

    def close(self) -> None: ...


class Engine(Protocol):
    """A machine that holds standing jobs and runs. `terminals`: can runs have one?

    `find_start(ref)` answers the one question recovery must ask (rule R1): did a start of this object ever take
    effect? It returns the run as last seen, or None if it provably never started.
    """

    name: str

    @property
    def terminals(self) -> bool: ...

    @property
    def shares_host(self) -> bool:
        """Does it see the files of this host? If not, it fetches what `staged` and `workspace` of an order name by
        reading them here, and no secret may be among that."""

    def ping(self) -> str:
        """One line on the engine ("Docker Engine 20.10.24"). Raises EngineUnavailable."""

    def observe(self) -> LiveState:
        """List what is ours, in one cheap listing. Raises EngineUnavailable; never returns half a list as complete."""

    def inspect_drift(self, job: str, order: StandingOrder) -> tuple[str, ...]:
        """Compare the standing object's fields that we set with the order (rule P1); () = none or absent."""

    def resolve(self, order: StandingOrder) -> Installed:
        """Acquire without changing anything live: image (pulled if policy says), networks, mounts (rule P4)."""

    def install(self, order: StandingOrder) -> Installed:
        """Make the standing object match the order, replacing an older one of ours. Acquires first."""

    def retire(self, job: str) -> None:
        """Remove the standing object, never a run, never a named volume."""

    def prepare(self, order: RunOrder) -> Prepared:
        """Create the run, not started. Present already = success; one that was never started and has other devices
        than the order is made anew."""

    def launch(self, run_id: str, ref: str) -> LiveRun:
        """Start it. Started or ended already = success. Raises EngineUnavailable if the result is unknown."""

    def find_start(self, run_id: str, ref: str) -> LiveRun | None:
        """After a crash: remove a never-started run without force, and tell whether it ever started."""

    def stop(self, run_id: str, ref: str, grace: float) -> None:
        """TERM to the whole group, then KILL after `grace` seconds. Returns when it has ended or was absent."""

    def kill(self, run_id: str, ref: str) -> None:
        """KILL at once."""

    def inspect(self, run_id: str, ref: str) -> LiveRun | None:
        """One run, in full; None = absent."""

    def usage(self, run_id: str, ref: str) -> Usage:
        """Best effort; never raises for an absent run."""

    def logs(self, run_id: str, ref: str, cursor: str = "", follow: bool = True) -> Iterator[LogChunk]:
        """Output from `cursor` on, both streams in order. With `follow`, until the run has ended or the stream
        breaks (the caller looks again: an end of stream is not an end of run)."""

    def outputs(self, run_id: str, ref: str, target: str) -> Iterator[OutputPart] | None:
        """What an ended run has left in its outputs directory (`target` in the container), in the order of names;
        None = the run is gone. What comes is the job's: names are not to be trusted. Raises while it is read, too."""

    def attach(self, run_id: str, ref: str) -> Line:
        """Connect to the streams of a run that was prepared with a terminal; before its start nothing is lost. Raises
        EngineRejected if it is gone, or the engine has no terminals."""

    def published(self, run_id: str, ref: str, port: int) -> int | None:
        """The port of the host's loopback at which this one of a running run is reached; None = at none."""

    def resize(self, run_id: str, ref: str, rows: int, columns: int) -> None:
        """Its terminal has this size from now on. A run that is not running is success."""

    def discard(self, run_id: str, ref: str) -> None:
        """Remove a run that has ended, with its anonymous volumes."""

    def events(self, stop: Flag) -> Iterator[str]:
        """Kicks: yields a run id, job name or "" whenever something may have changed, until `stop` is set. Gaps are
        allowed; the listing is the truth. Ends quietly when the stream breaks."""

    def preview(self, spec: JobSpec) -> Preview:
        """Final argv and warnings for the plan. Needs no engine to answer."""

    def build(self, order: BuildOrder, say: Callable[[str], None]) -> Built:
        """Make an image, and push it if that is asked; `say` is told each step. One that is there already is success.
        An engine without images refuses (`build-unsupported`)."""

    def tidy(self, images: Collection[str], unused: float) -> tuple[str, ...]:
        """Remove what was made for packages, is `unused` seconds old and none of `images` (ids of images in use), and
        what a crash has left of runs that are not there; what was removed."""

    def close(self) -> None: ...


def no_terminals(engine: str) -> EngineRejected:
    """What an engine answers whose runs have no terminal."""
    return EngineRejected(f"cannot open a shell: {engine}, as it is configured, has no terminals",
                          code="dev-unsupported", hint="it needs Docker at a unix socket; reconciler run JOB --follow "
                          "needs none")  # fmt: skip


@dataclass(frozen=True, slots=True)
class EngineContext:
    """What every engine needs to know about us. `key` signs our labels (rule P2), 32 bytes.

    `registries()` gives the logins as they are now, by host, and `package_environment()` the variables for installing
    packages: a reload of the service file may change them.
    """

    instance: str
    instance_id: str
    key: bytes
    state_dir: str
    registries: Callable[[], Mapping[str, Registry]] = dict
    package_environment: Callable[[], Mapping[str, str]] = dict


def no_images(engine: str, job: str) -> EngineRejected:
    """What an engine without images answers to `build`."""
    return EngineRejected(f"cannot build an image of {job}: the {engine} engine has no images",
                          code="build-unsupported", hint="build it on a host with engine docker")  # fmt: skip


def utc_from_rfc3339(text: str) -> datetime | None:
    """Docker's `2026-11-24T02:00:00.123456789Z` to aware UTC; its zero time and "" to None."""
    if not text or text.startswith("0001-01-01"):
        return None
    head, _, tail = text.rstrip("Z").partition(".")
    base = datetime.fromisoformat(head + "+00:00")
    return base.replace(microsecond=int((tail + "000000")[:6])) if tail else base
