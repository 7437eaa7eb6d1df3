"""In: orders. Out: standing jobs as files, runs as processes of this host under a tiny supervisor each.

No daemon, no root, no container: docs/engines.md says what that cannot give. Runs belong to their supervisors and not
to the service, which may restart, be killed or be upgraded at any instant. docs/decisions/06* tell why things are so.
"""

import secrets
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from threading import Event as Flag

from ..model.errors import EngineRejected, EngineUnavailable
from ..model.job import JobSpec
from ..model.live import LivePhase, LiveRun, LiveState
from ..model.outputs import OutputPart
from ..spec.argv import final_argv
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
    no_images,
    no_terminals,
)
from .process_files import Layout, reported
from .process_jobs import Jobs
from .process_log import LOG_LIMIT, read_log
from .process_outputs import read as read_outputs
from .process_preview import check, problems, warnings
from .process_proc import ProcessId, Session, boot_id, has_group, kill_members, members, terminate_group, wait_for_end
from .process_runs import Runs
from .process_spawn import job_user, spawn
from .process_stage import fill_folder, path_of, place_outside, working_folder
from .process_watch import Kicks, Watcher

KILL_DEADLINE = 10.0  # seconds from KILL to the end
FIRST_LOOK, LAST_LOOK = 0.02, 0.25  # seconds between two looks of a log's follower
FULL_LOOK = 2.0  # seconds until it looks for the processes, too: a supervisor may have gone without a word


class ProcessEngine:
    """The Engine Protocol over processes. `process_user` is who jobs run as if the service is root; of one run's
    output `log_limit` bytes are kept; `adopts`: a takeover makes ours what lies in our place. Raises EngineRejected
    (no such user) or EngineUnavailable (state directory)."""

    name = "process"
    shares_host = True
    terminals = False

    def __init__(
        self, context: EngineContext, process_user: str = "nobody", log_limit: int = LOG_LIMIT, *, adopts: bool = False
    ) -> None:
        self._user = job_user(process_user)
        self._kicks = Kicks()
        with reported("use the state directory"):
            self._boot = boot_id()
            outside = place_outside(self._user, Path(context.state_dir), context.instance_id)
            self._files = Layout(context, outside, adopts=adopts)
            self._files.create()
            self._files.sweep()
        self._watcher = Watcher(self._kicks.send, self._boot, log_limit)
        self._jobs = Jobs(self._files, self._kicks.send)
        self._runs = Runs(self._files, self._watcher, self._boot)

    def ping(self) -> str:
        with reported("use the state directory"):
            self._files.create()
        return f"process engine, jobs run as {self._user.name}"

    def observe(self) -> LiveState:
        with reported("list jobs and runs"):
            jobs, taken = self._jobs.listing()
            return LiveState(self.name, jobs, self._runs.listing(), True, taken)

    # -- standing jobs ----------------------------------------------------------------------------------------

    def inspect_drift(self, job: str, order: StandingOrder) -> tuple[str, ...]:
        with reported(f"read {job}"):
            return self._jobs.drift(job, order)

    def resolve(self, order: StandingOrder) -> Installed:
        self._jobs.check(order)
        return Installed("", order.image_id)

    def install(self, order: StandingOrder) -> Installed:
        self._jobs.check(order)
        with reported(f"install {order.spec.name}"):
            return Installed(self._jobs.install(order), order.image_id)

    def retire(self, job: str) -> None:
        with reported(f"retire {job}"):
            self._jobs.retire(job)

    # -- a run's life -----------------------------------------------------------------------------------------

    def prepare(self, order: RunOrder) -> Prepared:
        argv = check(order.spec, path_of(order.environment))
        run_id, folder = order.run_id, self._files.folder(order.run_id)
        with reported(f"prepare {run_id}"):
            known = self._runs.order(run_id, "")
            mine = known is None or tuple(known.get("devices", ())) == order.devices
            if known is not None and folder.claim() != "void" and (mine or folder.claim()):
                return Prepared(known["ref"], order.image_id)
            if known is not None:
                self._files.remove(run_id, known["ref"])
            body = {
                "run_id": run_id,
                "job": order.spec.name,
                "ref": secrets.token_hex(8),
                "digest": order.digest,
                "revision": order.revision,
                "argv": list(argv),
                "working_dir": working_folder(order, folder.path),
                "boot": self._boot,
                "devices": list(order.devices),
            }
            try:
                self._files.build(body, lambda draft: fill_folder(draft, folder.path, order, self._user))
            except FileExistsError:  # another thread was faster
                return self.prepare(order)
        self._kicks.send(run_id)
        return Prepared(str(body["ref"]), order.image_id)

    def launch(self, run_id: str, ref: str) -> LiveRun:
        with reported(f"start {run_id}"):
            order, folder = self._runs.order(run_id, ref), self._files.folder(run_id)
            if order is not None and not folder.claim():
                pid = spawn(folder, order["ref"], order["working_dir"], order["argv"], self._user)
                self._runs.watch_child(run_id, order["ref"], pid)
            live = None if order is None else self._runs.live(run_id, order)
        if live is None:
            raise EngineRejected(f"cannot start {run_id}: it is gone", code="run-gone", hint="Prepare it again.")
        if live.phase is LivePhase.CREATED:
            raise EngineUnavailable(f"cannot start {run_id}: its supervisor ended before the command began")
        return live

    def find_start(self, run_id: str, ref: str) -> LiveRun | None:
        with reported(f"look for {run_id}"):
            order = self._runs.order(run_id, ref)
            if order is None:
                return None
            folder = self._files.folder(run_id)
            if order["boot"] != self._boot and not folder.claim():
                folder.mark_unknown()  # a start may have been lost with the host: never guessed
            if folder.make_void():
                self._files.remove(run_id, order["ref"])
                return None
            return self._runs.live(run_id, order)

    def inspect(self, run_id: str, ref: str) -> LiveRun | None:
        with reported(f"read {run_id}"):
            order = self._runs.order(run_id, ref)
            return None if order is None else self._runs.live(run_id, order)

    def stop(self, run_id: str, ref: str, grace: float) -> None:
        with reported(f"stop {run_id}"):
            running = self._runs.running(run_id, ref)
            if running is None:
                return
            own_ref, supervisor = running
            session = Session(supervisor.pid)
            terminate_group(supervisor.pid, members(own_ref, supervisor.pid))
            if not wait_for_end(supervisor, self._boot, time.monotonic() + grace):
                self._kill(run_id, own_ref, supervisor)
            kill_members(own_ref, None, time.monotonic() + KILL_DEADLINE, session)

    def kill(self, run_id: str, ref: str) -> None:
        with reported(f"kill {run_id}"):
            running = self._runs.running(run_id, ref)
            if running is not None:
                self._kill(run_id, *running)

    def _kill(self, run_id: str, ref: str, supervisor: ProcessId) -> None:
        """KILL everything but the supervisor, which then writes 137, until it has."""
        deadline = time.monotonic() + KILL_DEADLINE
        while time.monotonic() < deadline:
            kill_members(ref, supervisor.pid, deadline)
            if wait_for_end(supervisor, self._boot, min(deadline, time.monotonic() + 0.05)):
                return
        raise EngineUnavailable(f"cannot kill {run_id}: it is still there {KILL_DEADLINE:.0f} s after KILL")

    def outputs(self, run_id: str, ref: str, target: str) -> Iterator[OutputPart] | None:  # noqa: ARG002 - its own place
        with reported(f"read the outputs of {run_id}"):
            if self._runs.order(run_id, ref) is None:
                return None
            return read_outputs(self._files.folder(run_id).path / "outputs", self._user.uid)

    def attach(self, run_id: str, ref: str) -> Line:  # noqa: ARG002  whoever asks is told the same
        raise no_terminals(self.name)

    def published(self, run_id: str, ref: str, port: int) -> int | None:  # noqa: ARG002
        return None

    def resize(self, run_id: str, ref: str, rows: int, columns: int) -> None:
        """Nothing here has a terminal."""

    def discard(self, run_id: str, ref: str) -> None:
        with reported(f"discard {run_id}"):
            order = self._runs.order(run_id, ref)
            if order is None:
                return
            folder = self._files.folder(run_id)
            live = None if folder.make_void() else self._runs.live(run_id, order)
            if live is not None and live.phase is LivePhase.RUNNING:
                raise EngineRejected(
                    f"cannot discard {run_id}: it is running", code="run-active", hint="Stop it first."
                )
            if any(p.boot == self._boot and has_group(p.pid) for p in folder.supervisors()):
                kill_members(order["ref"], None, time.monotonic() + KILL_DEADLINE)
            self._files.remove(run_id, order["ref"])

    # -- what a run says --------------------------------------------------------------------------------------

    def usage(self, run_id: str, ref: str) -> Usage:
        with reported(f"read {run_id}"):
            absent = self._runs.order(run_id, ref) is None
            return Usage() if absent else Usage(cpu_seconds=self._files.folder(run_id).cpu_seconds())

    def logs(self, run_id: str, ref: str, cursor: str = "", follow: bool = True) -> Iterator[LogChunk]:
        """A cursor is a position in the log file."""
        position, pause, idle = int(cursor or 0), Flag(), 0.0
        folder = self._files.folder(run_id)
        while True:
            seen = folder.sight()
            with reported(f"read the log of {run_id}"):
                order = self._runs.order(run_id, ref)
                if order is None:
                    return
                live = self._runs.live(run_id, order)  # before reading: what is read after the end is complete
                chunks, position = read_log(folder.log, position)
            yield from chunks
            if chunks:
                idle = 0.0
            elif not follow or live is None or live.phase is not LivePhase.RUNNING:
                return
            else:
                look_at = time.monotonic() + FULL_LOOK
                while True:
                    idle = min(LAST_LOOK, idle + FIRST_LOOK)
                    pause.wait(idle)
                    if folder.sight() != seen or time.monotonic() >= look_at:
                        break

    def events(self, stop: Flag) -> Iterator[str]:
        feed = self._kicks.subscribe()
        try:
            while not stop.is_set():
                yield from self._kicks.receive(feed, 0.25)
        finally:
            self._kicks.unsubscribe(feed)

    # -- the rest ---------------------------------------------------------------------------------------------

    def preview(self, spec: JobSpec) -> Preview:
        return Preview(final_argv(spec), tuple(warnings(spec)), tuple(problems(spec)))

    def build(self, order: BuildOrder, say: Callable[[str], None]) -> Built:  # noqa: ARG002
        raise no_images(self.name, order.spec.name)

    def tidy(self, images: Collection[str], unused: float) -> tuple[str, ...]:  # noqa: ARG002
        """Nothing is ever made for packages."""
        return ()

    def close(self) -> None:
        """Stop watching. What runs goes on."""
        self._watcher.close()
        self._files.close()
