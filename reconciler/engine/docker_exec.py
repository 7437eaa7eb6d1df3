"""In: orders for commands in containers that are there, and their references. Out: runs that no listing shows.

A run is an exec of the Engine. It can be started once only, so asking again never runs anything twice; and what it runs
waits for a word that only a living service says, so a start that comes late runs nothing (rule R1).
"""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from ..model.errors import EngineRejected, EngineUnavailable, ReconcilerError
from ..model.ids import parse_run_id
from ..model.live import LivePhase, LiveRun
from . import docker_stop
from .base import LogChunk, Prepared, RunOrder
from .docker_attached import Attached, Unstarted
from .docker_bell import Bell
from .docker_client import translated
from .docker_core import Core, KeyedLock, Remembered
from .docker_errors import Absent, Conflict, from_answer
from .docker_exec_body import NOT_TOLD, Body, mark_of, signal_body
from .docker_exec_look import ExecRef, Seen, exec_ref, look, past_of
from .docker_exec_target import enter, gone_down
from .guard_exec import assert_signal

__all__ = ["Execs", "exec_ref"]

NOT_KNOWN = 126  # what the Engine says, too, if whoever read the output has gone: its events know better
KILLED = 137
LAST_BYTES = 5.0  # seconds in which the rest of the output of an ended command is there
EOF_WITHIN = 0.3  # seconds after the end of the output in which the end of the command shows: it comes before
REST_WITHIN = 2.0  # seconds of silence after the end of a command: what comes later is of others
SETTLES = 0.5  # seconds in which a command that was never told to go has ended
LOST = "exec/lost"
GAP = b"... the service was restarted here: what the command wrote after that was not kept ...\n"
INTERRUPTED = "the service went down around its start: nobody can tell whether its command ran"
NO_CODE = "the service or its connection went down while it ran, and its exit code is no longer known"


class Execs:
    """Runs in other containers of one Engine. What is remembered only saves questions, but for the output."""

    def __init__(self, core: Core, bell: Bell) -> None:
        self._core, self._bell = core, bell
        self._busy = KeyedLock()
        self._lock = threading.Lock()
        self._closed = False
        self._attached: dict[str, Attached] = {}  # started by this process
        self._untold: Remembered[str, bool] = Remembered()  # made by this process, and its command never let go
        self._killed: Remembered[str, bool] = Remembered()
        self._ended: Remembered[str, LiveRun] = Remembered()
        self._discarded: Remembered[str, bool] = Remembered()  # the Engine shows them for some minutes more

    def prepare(self, order: RunOrder) -> Prepared:
        """A new one each time: what was made before and never started is harmless."""
        ref, image_id = enter(self._core, order)
        self._untold.put(str(ref), True)
        return Prepared(str(ref), image_id)

    def launch(self, run_id: str, ref: ExecRef) -> LiveRun:
        with self._busy(str(ref)):
            seen = self._look(run_id, ref)
            if seen is None:
                raise _gone(run_id)
            if not seen.unstarted:
                return self._live(run_id, ref, seen)
            try:
                attached = self._begin(run_id, ref)
            except Absent as error:
                raise _gone(run_id) from error
            except Conflict as error:  # started by a request of an earlier process, or its container has stopped
                seen = look(self._core, ref, run_id)
                if seen is None or seen.unstarted:
                    raise _gone(run_id) from error
                return self._live(run_id, ref, seen)
            self._untold.pop(str(ref))
            try:
                with translated("start", run_id):
                    attached.let_go()
            except EngineUnavailable:
                attached.close()
                raise
            with self._lock:
                self._attached[str(ref)] = attached
        return LiveRun(run_id, parse_run_id(run_id).job, str(ref), LivePhase.RUNNING, started_at=attached.started_at)

    def find_start(self, run_id: str, ref: ExecRef) -> LiveRun | None:
        """What was never started is used up: its command is not let go, and a start that comes late is refused."""
        with self._busy(str(ref)):
            seen = look(self._core, ref, run_id)
            if seen is not None and seen.unstarted:
                if self._use_up(run_id, ref):
                    return None
                seen = look(self._core, ref, run_id)
            untold = self._untold.get(str(ref)) is not None
            if seen is None:
                return None if untold else self._past(run_id, ref)
            if seen.running and str(ref) not in self._attached:
                docker_stop.over_within(lambda: self._runs(run_id, ref), SETTLES)
                seen = look(self._core, ref, run_id) or seen
            return None if untold else self._live(run_id, ref, seen)

    def inspect(self, run_id: str, ref: ExecRef) -> LiveRun | None:
        known = self._ended.get(str(ref))
        if known is not None:
            return known
        seen = self._look(run_id, ref)
        return None if seen is None else self._live(run_id, ref, seen)

    def stop(self, run_id: str, ref: ExecRef, grace: float) -> None:
        """TERM to all of its processes, then KILL; what is left of them when its command has ended goes, too."""
        if not self._runs(run_id, ref):
            return
        with suppress(EngineUnavailable):  # perhaps delivered: wait as if it was, KILL follows
            self._signal(run_id, ref, "TERM")
        if docker_stop.over_within(lambda: self._runs(run_id, ref), grace):
            with suppress(ReconcilerError):
                self._signal(run_id, ref, "KILL")
            return
        self.kill(run_id, ref)

    def kill(self, run_id: str, ref: ExecRef) -> None:
        if not self._runs(run_id, ref):
            return
        self._killed.put(str(ref), True)
        self._signal(run_id, ref, "KILL")
        within = docker_stop.DIES_WITHIN
        if not docker_stop.over_within(lambda: self._runs(run_id, ref), within):
            raise EngineUnavailable(f"cannot stop {run_id}: it still runs {within:.0f} s after KILL",
                                    hint="End it in its container: its processes bear RECONCILER_RUN_ID.")  # fmt: skip

    def logs(self, run_id: str, ref: ExecRef, cursor: str, follow: bool) -> Iterator[LogChunk]:
        attached = self._attached.get(str(ref))
        if attached is None:
            seen = None if cursor == LOST or self._closed else self._look(run_id, ref)
            if seen is not None and not seen.unstarted:
                yield LogChunk(GAP, LOST, again=False)
            return
        ended = not follow and not attached.finished and not self._runs(run_id, ref)
        patience = None if follow else LAST_BYTES if ended else 0.0
        position = cursor.removeprefix("exec/")
        for data, behind in attached.read(int(position) if position.isdecimal() else 0, patience):
            yield LogChunk(data, f"exec/{behind}")

    def discard(self, run_id: str, ref: ExecRef) -> None:
        if self._runs(run_id, ref):
            message = f"cannot discard {run_id}: it is running"
            raise EngineRejected(message, code="run-active", hint="Stop it first.")
        with self._lock:
            attached = self._attached.pop(str(ref), None)
        self._discarded.put(str(ref), True)
        self._ended.pop(str(ref))
        if attached is not None:
            attached.close()

    def close(self) -> None:
        """What runs goes on."""
        with self._lock:
            self._closed = True
            attached, self._attached = list(self._attached.values()), {}
        for each in attached:
            each.close()

    # -- the start --------------------------------------------------------------------------------------------

    def _begin(self, run_id: str, ref: ExecRef) -> Attached:
        """Start what waits at its gate. Raises EngineRejected if it provably was not started by this."""
        clients = self._core.clients
        with translated("start", run_id):
            stream = clients.hijack(f"/exec/{ref.command}/start", {"Detach": False, "Tty": False},
                                    timeout=clients.timeouts.start)  # fmt: skip
        attached = Attached(stream, lambda: self._is_over(run_id, ref), lambda: self._bell.ring(run_id), _now)
        try:
            with translated("start", run_id):
                try:
                    attached.await_gate()
                except Unstarted as error:
                    raise _refusal(run_id, str(error)) from error
        except BaseException:
            attached.close()
            raise
        return attached

    def _use_up(self, run_id: str, ref: ExecRef) -> bool:
        """False = somebody else did. Raises EngineUnavailable."""
        try:
            self._begin(run_id, ref).close()
        except Conflict as error:
            seen = look(self._core, ref, run_id)
            if seen is not None and seen.unstarted:  # its container is paused
                raise EngineUnavailable(f"cannot recover {run_id}: {error}") from error
            return False
        except EngineRejected:
            return look(self._core, ref, run_id) is not None  # it cannot be started at all
        return True

    # -- what there is ----------------------------------------------------------------------------------------

    def _look(self, run_id: str, ref: ExecRef) -> Seen | None:
        return None if self._discarded.get(str(ref)) else look(self._core, ref, run_id)

    def _runs(self, run_id: str, ref: ExecRef) -> bool:
        seen = look(self._core, ref, run_id)
        return seen is not None and seen.running

    def _is_over(self, run_id: str, ref: ExecRef) -> bool:
        """Its output has ended: did it? Asked by the thread that has read it, which nobody waits for."""
        try:
            return docker_stop.over_within(lambda: self._runs(run_id, ref), EOF_WITHIN)
        except ReconcilerError:
            return False

    def _live(self, run_id: str, ref: ExecRef, seen: Seen) -> LiveRun:
        attached = self._attached.get(str(ref))
        phase = LivePhase.RUNNING if seen.running else LivePhase.CREATED if seen.unstarted else LivePhase.EXITED
        started_at = attached.started_at if attached is not None else None
        live = LiveRun(run_id, parse_run_id(run_id).job, str(ref), phase, started_at=started_at)
        if phase is not LivePhase.EXITED:
            return live
        if attached is not None:
            attached.await_end(REST_WITHIN)
        whole = attached is not None and not attached.broken
        finished_at = attached.finished_at if attached is not None and whole else None
        live = replace(live, exit_code=seen.exit_code, finished_at=finished_at)
        if not whole or seen.exit_code == NOT_KNOWN:
            live = self._as_told(live, ref, sure=whole)
        if attached is None and live.exit_code == NOT_TOLD:
            return self._lost(run_id, ref, INTERRUPTED)
        if live.finished_at is None:
            live = replace(live, finished_at=_now())
        if live.exit_code == KILLED and not self._killed.get(str(ref)):
            live = replace(live, error=gone_down(self._core, ref, live.started_at))
        self._ended.put(str(ref), live)
        return live

    def _as_told(self, live: LiveRun, ref: ExecRef, *, sure: bool) -> LiveRun:
        """With what the events know of its end. `sure`: somebody has read its output to the end."""
        past = past_of(self._core, ref, live.run_id)
        began = live.started_at or past.started_at
        if past.exit_code is not None:
            ended = live.finished_at or past.finished_at
            return replace(live, exit_code=past.exit_code, started_at=began, finished_at=ended)
        unsure = live.exit_code == NOT_KNOWN and not sure
        return replace(live, exit_code=None if unsure else live.exit_code, error=NO_CODE if unsure else "",
                       started_at=began)  # fmt: skip

    def _past(self, run_id: str, ref: ExecRef) -> LiveRun | None:
        """Of what the Engine has forgotten, by its events alone; None = they show that it never started."""
        past = past_of(self._core, ref, run_id)
        if past.created and past.started_at is None:
            return None
        if past.exit_code is None or past.exit_code == NOT_TOLD:
            return self._lost(run_id, ref, INTERRUPTED if past.exit_code else NO_CODE)
        return LiveRun(run_id, parse_run_id(run_id).job, str(ref), LivePhase.EXITED, past.exit_code, past.started_at,
                       past.finished_at)  # fmt: skip

    def _lost(self, run_id: str, ref: ExecRef, why: str) -> LiveRun:
        live = LiveRun(run_id, parse_run_id(run_id).job, str(ref), LivePhase.EXITED, error=why)
        self._ended.put(str(ref), live)
        return live

    def _signal(self, run_id: str, ref: ExecRef, name: str) -> None:
        """By a command beside it in its container, as its own user. A container that is gone has ended it."""
        seen = look(self._core, ref, run_id)
        if seen is None:
            return
        body: Body = signal_body(name, mark_of(self._core.context, run_id), seen.user)
        assert_signal(body)
        try:
            with translated("stop", run_id):
                made = self._core.clients.ask("POST", f"/containers/{ref.container}/exec", body=body)["Id"]
                self._core.clients.begin(f"/exec/{made}/start", {"Detach": True, "Tty": False})
        except (Absent, Conflict):
            return


def _refusal(run_id: str, words: str) -> ReconcilerError:
    """The Engine has answered that it could not start it, in the stream itself."""
    if "has already run" in words or "is already running" in words:
        return Conflict(f"cannot start {run_id}: {words}")
    if '"sh"' in words:
        return EngineRejected(f"cannot start {run_id}: the container has no sh", code="command-missing",
                              hint="A job in another container needs a shell there.")  # fmt: skip
    return from_answer("start", run_id, 400, words)


def _gone(run_id: str) -> EngineRejected:
    return EngineRejected(f"cannot start {run_id}: it is gone", code="run-gone", hint="Prepare it again.")


def _now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)
