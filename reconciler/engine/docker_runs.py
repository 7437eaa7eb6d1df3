"""In: run orders, names and ids. Out: runs, created once, started at most once, removed when told (rule R1).

A start is asked for without any look before it only if this very process made the container. Asking twice could run a
job twice, since an Engine starts an ended container again: whoever does not know looks, and `find_start` decides.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from ..model.errors import EngineRejected, EngineUnavailable
from ..model.ids import container_name, parse_run_id
from ..model.live import LivePhase, LiveRun
from ..model.outputs import OutputPart
from ..model.workspace import Sent
from . import docker_outputs, docker_recovery, docker_stop, docker_terminal, labels
from .base import Line, Prepared, RunOrder
from .docker_acquire import Acquirer
from .docker_body import Acquired, create_body
from .docker_client import translated
from .docker_core import Core, Found, KeyedLock, Remembered, live_run
from .docker_errors import Absent, Conflict
from .docker_workspace import Workspaces, was_sent_for
from .labels import Kind, Mark

MISSING = ("image-missing", "network-missing")


class Runs:
    """Runs on one Engine. What is remembered only saves questions: nothing of it is needed after a restart."""

    def __init__(self, core: Core, acquirer: Acquirer) -> None:
        self._core, self._acquirer = core, acquirer
        self._workspaces = Workspaces(core)
        self._starting = KeyedLock()
        self._fresh: Remembered[str, bool] = Remembered()  # made here, no start asked for yet
        self._asked: Remembered[str, bool] = Remembered()  # a start was asked for, and its result is unknown
        self._started_at: Remembered[str, datetime] = Remembered()
        self._ended: Remembered[str, LiveRun] = Remembered()
        self._oom: Remembered[str, bool] = Remembered()  # an `oom` event was seen

    def prepare(self, order: RunOrder) -> Prepared:
        with self._workspaces.busy(order.run_id):
            try:
                return self._prepare(order)
            except EngineRejected as error:
                if error.code not in MISSING:
                    raise
                self._acquirer.recent.clear()  # what was there a moment ago is gone
                return self._prepare(order)

    def _prepare(self, order: RunOrder) -> Prepared:
        spec, name = order.spec, container_name(self._core.context.instance, order.run_id)
        got = self._acquirer.acquire(spec, order.policy, image_id=order.image_id, exact=order.exact)
        sent: tuple[Sent, ...] = ()
        if not self._core.clients.shares_host:
            sent = self._sent(order, name, got)
            order = replace(order, staged=(), workspace=())
        mark = Mark(Kind.RUN, spec.owner, spec.name, order.run_id, order.digest, order.revision)
        marks = labels.write(self._core.context, mark)
        body = create_body(spec, marks, got, order.environment, order.staged, order.devices, order.workspace, sent,
                           order.terminal)  # fmt: skip
        self._core.check(body, spec, order.policy, order.staged, got.networks, order.devices, order.workspace, sent,
                         order.terminal)  # fmt: skip
        image_id = got.image_id
        try:
            ref, found = self._core.create_or_find(name, body, "prepare", order.run_id)
            if found is not None and _made_for_others(found, order):
                self._core.remove(found.ref, order.run_id)
                ref, found = self._core.create_or_find(name, body, "prepare", order.run_id)
        except EngineUnavailable:
            ref, found = "", self._core.find_own(name, "prepare", order.run_id)
            if found is None:
                raise
        if found is None:
            self._fresh.put(ref, True)
        else:  # present already is success, after a name that was taken or an answer that was lost
            ref, image_id = found.ref, str(found.data["Image"])
            if found.phase is not LivePhase.CREATED:
                return Prepared(ref, image_id)
        self._join(ref, order.run_id, got)
        if spec.outputs:
            try:
                docker_outputs.open_to_all(self._core, ref, order.run_id, spec.outputs, read_only=spec.read_only)
            except Absent as error:
                raise _gone(order.run_id) from error
        return Prepared(ref, image_id, got.image_digest if image_id == got.image_id else "")

    def _sent(self, order: RunOrder, name: str, got: Acquired) -> tuple[Sent, ...]:
        """What the run finds in the place of binds. It was sent if its container is there, unless somebody has pruned
        volumes: what was never started is then made anew."""
        self._acquirer.check_secrets(order.spec)
        if not (order.staged or order.workspace):
            return ()
        found = self._core.find_own(name, "prepare", order.run_id)
        if found is not None:
            sent = self._workspaces.there(order)
            if sent is not None or found.phase is not LivePhase.CREATED:
                return sent or ()
            self._core.remove(found.ref, order.run_id)
        return self._workspaces.send(order, got.image_id)

    def _join(self, ref: str, run_id: str, got: Acquired) -> None:
        """Join the networks after the first: a create request takes one only."""
        for network, name in got.networks[1:]:
            try:
                with translated(f"join {name} with", run_id):
                    self._core.clients.get().connect_container_to_network(ref, network)
            except Absent as error:
                if error.code == "network-missing":
                    raise
                raise _gone(run_id) from error
            except EngineRejected as error:
                if "already exists" not in str(error):
                    raise

    def launch(self, run_id: str, ref: str) -> LiveRun:
        with self._starting(ref):
            if self._fresh.pop(ref) is None:
                found = self._core.find_own(ref, "start", run_id)
                if found is None:
                    raise _gone(run_id)
                if found.phase is not LivePhase.CREATED:
                    return self._live(found, run_id)
                if self._asked.get(ref):
                    raise EngineUnavailable(f"cannot start {run_id}: an earlier request may still be under way")
            return self._start(run_id, ref)

    def _start(self, run_id: str, ref: str) -> LiveRun:
        self._asked.put(ref, True)
        try:
            with translated("start", run_id):
                clients = self._core.clients
                clients.command("POST", f"/containers/{ref}/start", timeout=clients.timeouts.start)
        except Absent as error:
            self._asked.pop(ref)
            if error.code == "network-missing":
                self._acquirer.recent.clear()
                self._core.remove(ref, run_id)  # bound for ever to a network that is gone: it must be made anew
                raise
            raise _gone(run_id) from error
        except EngineRejected:
            self._asked.pop(ref)
            raise
        except EngineUnavailable:
            found = self._core.find(ref, run_id)
            if found is None or found.phase is LivePhase.CREATED:
                raise
            return self._live(found, run_id)
        try:
            found = self._core.find(ref, run_id)
        except EngineUnavailable:
            found = None  # it has started: that is what was asked
        if found is None or found.phase is LivePhase.CREATED:
            return LiveRun(run_id, parse_run_id(run_id).job, ref, LivePhase.RUNNING)
        return self._live(found, run_id)

    def find_start(self, run_id: str, ref: str) -> LiveRun | None:
        with self._starting(ref):
            self._fresh.pop(ref)
            found = docker_recovery.find_start(self._core, run_id, ref)
        if found is None:
            self._take_away(run_id)
        return found

    def stop(self, run_id: str, ref: str, grace: float) -> None:
        docker_stop.stop(self._core, self._find(run_id, ref, "stop"), run_id, grace)

    def kill(self, run_id: str, ref: str) -> None:
        docker_stop.kill(self._core, self._find(run_id, ref, "stop"), run_id)

    def inspect(self, run_id: str, ref: str) -> LiveRun | None:
        """What is just being removed is gone: its log can no longer be relied on."""
        found = self._find(run_id, ref, "inspect")
        return None if found is None or found.going else self._live(found, run_id)

    def attach(self, run_id: str, ref: str) -> Line:
        found = self._find(run_id, ref, "attach to")
        if found is None:
            raise _gone(run_id)
        return docker_terminal.attach(self._core, found, run_id)

    def published(self, run_id: str, ref: str, port: int) -> int | None:
        found = self._find(run_id, ref, "look up the port of")
        return docker_terminal.published(found, port) if found is not None else None

    def resize(self, run_id: str, ref: str, rows: int, columns: int) -> None:
        found = self._find(run_id, ref, "resize the terminal of")
        if found is not None and found.phase is LivePhase.RUNNING:
            docker_terminal.resize(self._core, found.ref, run_id, rows, columns)

    def outputs(self, run_id: str, ref: str, target: str) -> Iterator[OutputPart] | None:
        found = self._find(run_id, ref, "read the outputs of")
        if found is None or found.going:
            return None
        return docker_outputs.read(self._core, found.ref, run_id, target)

    def discard(self, run_id: str, ref: str) -> None:
        found = self._find(run_id, ref, "discard")
        try:
            if found is not None:
                self._core.remove(found.ref, run_id)
        except Conflict as error:
            message = f"cannot discard {run_id}: it is running"
            raise EngineRejected(message, code="run-active", hint="Stop it first.") from error
        if found is None or was_sent_for(found):
            self._take_away(run_id)

    def tidy(self) -> tuple[str, ...]:
        """What a crash has left of runs that have no container."""
        return self._workspaces.tidy()

    def _take_away(self, run_id: str) -> None:
        """What was sent for it."""
        if not self._core.clients.shares_host:
            with self._workspaces.busy(run_id):
                self._workspaces.remove(run_id)

    # -- for the listing and the event stream -----------------------------------------------------------------

    def ended(self, run_id: str, ref: str) -> LiveRun | None:
        """An ended run in full: inspected once, then remembered. Raises EngineUnavailable."""
        known = self._ended.get(ref)
        if known is None:
            found = self._core.find(ref, run_id)
            if found is None or found.phase is not LivePhase.EXITED:
                return None
            known = self._live(found, run_id)
            self._ended.put(ref, known)
        return known

    def started_at(self, ref: str) -> datetime | None:
        return self._started_at.get(ref)

    def note_oom(self, ref: str) -> None:
        self._oom.put(ref, True)

    def _find(self, run_id: str, ref: str, verb: str) -> Found | None:
        return self._core.find_own(ref or container_name(self._core.context.instance, run_id), verb, run_id)

    def _live(self, found: Found, run_id: str) -> LiveRun:
        live = live_run(found, run_id, oom=bool(self._oom.get(found.ref)))
        if live.started_at is not None:
            self._started_at.put(found.ref, live.started_at)
        return live


def _made_for_others(found: Found, order: RunOrder) -> bool:
    """It was made by an earlier try, whose lease has ended since, and was never started."""
    bears = labels.devices_of(found.data["Config"]["Labels"])
    return found.phase is LivePhase.CREATED and bears != order.devices


def _gone(run_id: str) -> EngineRejected:
    return EngineRejected(f"cannot start {run_id}: it is gone", code="run-gone", hint="Prepare it again.")
