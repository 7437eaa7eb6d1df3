"""In: orders. Out: standing jobs and runs as containers of a Docker Engine (20.10 or later).

A standing job is a container that is created and never started; a run is a container of its own. Building an engine
asks nothing of the Engine: one that is away shows as EngineUnavailable on use. Every method may be called from several
threads. What is here is the Protocol; the parts stand in `docker_*.py`.
"""

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from datetime import timedelta
from threading import Event as Flag

from ..model.errors import EngineRejected, EngineUnavailable
from ..model.ids import container_name
from ..model.job import JobSpec
from ..model.live import LivePhase, LiveRun, LiveState
from ..model.outputs import OutputPart
from . import docker_lean as docker_lean  # before anything that imports requests
from . import labels
from .base import (
    BuildOrder,
    Built,
    EngineContext,
    Installed,
    Line,
    LogChunk,
    Prepared,
    Preview,
    RunOrder,
    StandingOrder,
    Usage,
)
from .docker_acquire import Acquirer
from .docker_bell import Bell
from .docker_build import Builder
from .docker_client import DEFAULT_TIMEOUTS, Clients, Timeouts, translated
from .docker_core import Core
from .docker_events import kicks
from .docker_exec import Execs, exec_ref
from .docker_listing import Known, Sources, read_listing
from .docker_logs import read_logs
from .docker_preview import preview_of
from .docker_runs import Runs
from .docker_standing import Standing
from .docker_usage import UsageSampler


class DockerEngine:
    """The Engine Protocol on Docker. `owned(ref)` asks the ledger whether a full container id is ours (rule P2).

    `docker_host` is unix:///path or tcp://host:port; "" = DOCKER_HOST, else the local socket. `engine_paths` as in the
    service file.
    """

    name = "docker"

    def __init__(
        self,
        context: EngineContext,
        *,
        owned: Callable[[str], bool],
        docker_host: str = "",
        engine_paths: str = "",
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        self._clients = Clients(docker_host, timeouts, engine_paths)
        self._core = Core(context, owned, self._clients)
        self._acquirer = acquirer = Acquirer(self._core)
        self._standing = Standing(self._core, acquirer)
        self._runs = Runs(self._core, acquirer)
        self._bell = Bell()
        self._execs = Execs(self._core, self._bell)  # runs whose reference is an `exec_ref`
        self._usage = UsageSampler(self._core)
        self._known = Known()

    @property
    def shares_host(self) -> bool:
        return self._clients.shares_host

    @property
    def terminals(self) -> bool:
        """Only by way of a unix socket: see `docker_terminal`."""
        return self._clients.local

    def ping(self) -> str:
        self._clients.forget_version()  # so that it is asked again: the Engine may have been upgraded
        version = self._clients.version()
        return f"Docker Engine {version.engine} (API {version.api}) at {self._clients.url}"

    def observe(self) -> LiveState:
        context = self._core.context
        wanted = json.dumps({"label": [f"{labels.INSTANCE}={context.instance}"]})
        try:
            with translated("list", "containers"):
                rows = self._clients.ask("GET", "/containers/json", {"all": "1", "filters": wanted})
                if not isinstance(rows, list):
                    raise TypeError("a listing is a list")
        except EngineUnavailable as error:
            if error.code == "engine-version":
                self._clients.forget_version()
            raise
        sources = Sources(
            context,
            self._core.recognise,
            self._runs.ended,
            self._runs.started_at,
            self._standing.busy.held,
            self._known,
        )
        state, self._standing.leftovers = read_listing(rows, sources)
        for run in state.runs.values():
            if run.phase is LivePhase.RUNNING:
                self._usage.sample(run.ref)
        return state

    def inspect_drift(self, job: str, order: StandingOrder) -> tuple[str, ...]:
        return self._standing.drift(job, order)

    def resolve(self, order: StandingOrder) -> Installed:
        return self._standing.resolve(order)

    def install(self, order: StandingOrder) -> Installed:
        return self._standing.install(order)

    def retire(self, job: str) -> None:
        self._standing.retire(job)

    def prepare(self, order: RunOrder) -> Prepared:
        return self._execs.prepare(order) if order.spec.exec_in else self._runs.prepare(order)

    def launch(self, run_id: str, ref: str) -> LiveRun:
        if (elsewhere := exec_ref(ref)) is not None:
            return self._execs.launch(run_id, elsewhere)
        live = self._runs.launch(run_id, ref)
        self._usage.sample(ref)
        return live

    def find_start(self, run_id: str, ref: str) -> LiveRun | None:
        if (elsewhere := exec_ref(ref)) is not None:
            return self._execs.find_start(run_id, elsewhere)
        return self._runs.find_start(run_id, ref)

    def stop(self, run_id: str, ref: str, grace: float) -> None:
        if (elsewhere := exec_ref(ref)) is not None:
            return self._execs.stop(run_id, elsewhere, grace)
        self._usage.sample(ref)
        return self._runs.stop(run_id, ref, grace)

    def kill(self, run_id: str, ref: str) -> None:
        if (elsewhere := exec_ref(ref)) is not None:
            return self._execs.kill(run_id, elsewhere)
        self._usage.sample(ref)
        return self._runs.kill(run_id, ref)

    def inspect(self, run_id: str, ref: str) -> LiveRun | None:
        if (elsewhere := exec_ref(ref)) is not None:
            return self._execs.inspect(run_id, elsewhere)
        return self._runs.inspect(run_id, ref)

    def usage(self, run_id: str, ref: str) -> Usage:
        return self._usage.usage(run_id, ref)

    def logs(self, run_id: str, ref: str, cursor: str = "", follow: bool = True) -> Iterator[LogChunk]:
        if (elsewhere := exec_ref(ref)) is not None:
            return self._execs.logs(run_id, elsewhere, cursor, follow)
        return read_logs(self._core, ref or container_name(self._core.context.instance, run_id), run_id, cursor, follow)

    def outputs(self, run_id: str, ref: str, target: str) -> Iterator[OutputPart] | None:
        if exec_ref(ref) is not None:
            return None
        return self._runs.outputs(run_id, ref, target)

    def attach(self, run_id: str, ref: str) -> Line:
        return self._runs.attach(run_id, ref)

    def published(self, run_id: str, ref: str, port: int) -> int | None:
        return self._runs.published(run_id, ref, port)

    def resize(self, run_id: str, ref: str, rows: int, columns: int) -> None:
        self._runs.resize(run_id, ref, rows, columns)

    def discard(self, run_id: str, ref: str) -> None:
        if (elsewhere := exec_ref(ref)) is not None:
            return self._execs.discard(run_id, elsewhere)
        return self._runs.discard(run_id, ref)

    def events(self, stop: Flag) -> Iterator[str]:
        return self._bell.beside(kicks(self._core, stop, self._runs.note_oom))

    def preview(self, spec: JobSpec) -> Preview:
        return preview_of(spec, shares_host=self.shares_host)

    def build(self, order: BuildOrder, say: Callable[[str], None]) -> Built:
        return Builder(self._core, self._acquirer).build(order, say)

    def tidy(self, images: Collection[str], unused: float) -> tuple[str, ...]:
        left: tuple[str, ...] = ()
        with suppress(EngineRejected):  # a proxy before the Engine may show no volumes
            left = self._runs.tidy()
        return (*self._acquirer.environments.tidy(images, timedelta(seconds=unused)), *left)

    def close(self) -> None:
        self._execs.close()
        self._clients.close()
