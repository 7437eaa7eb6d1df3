"""In: run folders and the processes of this host. Out: runs as they are; nothing is believed that cannot be checked."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..model.errors import NotOurs
from ..model.live import LivePhase, LiveRun
from .process_files import Layout
from .process_folder import Folder
from .process_proc import ProcessId, carries, is_alive, kill_members
from .process_watch import Watcher

LOST = "host or supervisor went down"
SWEEP = 1.0  # seconds to end a command that outlived its supervisor

Order = Mapping[str, Any]  # the signed body of order.json


class Runs:
    """Reads runs. Whatever is seen running is handed to the watcher, so a restarted service adopts by looking."""

    def __init__(self, files: Layout, watcher: Watcher, boot: str) -> None:
        self._files = files
        self._watcher = watcher
        self._boot = boot

    def listing(self) -> dict[str, LiveRun]:
        runs: dict[str, LiveRun] = {}
        for run_id in [path.name for path in self._files.runs.iterdir()]:
            try:
                order = self._files.order(run_id)
            except FileNotFoundError:
                continue  # discarded meanwhile
            live = None if order is None else self.live(run_id, order)
            if live is not None:
                runs[run_id] = live
        return runs

    def order(self, run_id: str, ref: str) -> Order | None:
        """The run's order; None if it is absent or another object under the same name. Raises NotOurs."""
        try:
            order = self._files.order(run_id)
        except FileNotFoundError:
            return None
        if order is None:
            raise NotOurs(f"cannot use {run_id}: {self._files.runs / run_id} is not a run of this instance")
        return order if ref in ("", order["ref"]) else None

    def running(self, run_id: str, ref: str) -> tuple[str, ProcessId] | None:
        """Ref and supervisor of a run that is running; None = it is not."""
        order = self.order(run_id, ref)
        supervisor = None if order is None else self._supervisor(self._files.folder(run_id), order["ref"])
        return None if order is None or supervisor is None else (order["ref"], supervisor)

    def watch_child(self, run_id: str, ref: str, pid: int) -> None:
        """Watch a supervisor that we have just started, ended already or not: it must be reaped."""
        folder = self._files.folder(run_id)
        for supervisor in folder.supervisors():
            if supervisor.pid == pid:
                self._watcher.add(run_id, ref, supervisor, folder.log)

    def live(self, run_id: str, order: Order) -> LiveRun | None:
        """What the folder says, checked against the processes; None = void, as good as gone."""
        live = self._live(run_id, order)
        return None if live is None else replace(live, devices=tuple(order.get("devices", ())))

    def _live(self, run_id: str, order: Order) -> LiveRun | None:
        folder, ref, job = self._files.folder(run_id), order["ref"], order["job"]
        claim = folder.claim()
        if claim != "started":
            return LiveRun(run_id, job, ref, LivePhase.CREATED) if claim == "" else None
        started_at, ended = folder.started_at(), folder.ended()
        if ended is None:
            supervisor = self._supervisor(folder, ref)
            if supervisor is not None:
                self._watcher.add(run_id, ref, supervisor, folder.log)
                return LiveRun(run_id, job, ref, LivePhase.RUNNING, started_at=started_at)
            ended = folder.ended()  # it may have ended between the two looks
        if ended is None:
            return self._lost(LiveRun(run_id, job, ref, LivePhase.EXITED, started_at=started_at, error=LOST), order)
        text, at = ended
        code = int(text) if text.isdecimal() else None
        error = "" if code is not None else "its exit code cannot be read"
        return LiveRun(run_id, job, ref, LivePhase.EXITED, code, started_at, at, error=error)

    def _supervisor(self, folder: Folder, ref: str) -> ProcessId | None:
        for process in folder.supervisors():
            if is_alive(process, self._boot) and carries(process.pid, ref):
                return process
        return None

    def _lost(self, run: LiveRun, order: Order) -> LiveRun:
        """No exit code and no supervisor. If the command outlived its supervisor, it ends now: nobody could tell how
        it ended, and a run that is called lost must not go on (rules R1, R2)."""
        if order["boot"] == self._boot and not kill_members(run.ref, None, time.monotonic() + SWEEP):
            return replace(run, phase=LivePhase.RUNNING, error="")
        return run
