"""In: names and ids of containers. Out: what the Engine says of them, and whether they are provably ours (rule P2)."""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from ..model.errors import EngineUnavailable, NotOurs
from ..model.ids import parse_run_id
from ..model.job import JobSpec
from ..model.live import LivePhase, LiveRun
from ..model.service import Policy
from ..model.terminal import Terminal
from ..model.workspace import Bind, Sent
from . import labels
from .base import EngineContext, utc_from_rfc3339
from .docker_client import Clients, translated
from .docker_errors import Absent, Conflict
from .guard import GuardContext, assert_allowed
from .labels import Mark

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

REMOVED_WITHIN = 15.0  # seconds for a removal that is under way


class Remembered(Generic[K, V]):
    """A dict of bounded size for several threads: the oldest entries go first."""

    def __init__(self, limit: int = 4096) -> None:
        self._limit = limit
        self._items: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, key: K, value: V) -> None:
        with self._lock:
            self._items[key] = value
            self._items.move_to_end(key)
            while len(self._items) > self._limit:
                self._items.popitem(last=False)

    def get(self, key: K) -> V | None:
        return self._items.get(key)

    def pop(self, key: K) -> V | None:
        with self._lock:
            return self._items.pop(key, None)


class KeyedLock:
    """One lock per key, kept only while somebody holds or awaits it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, tuple[threading.Lock, int]] = {}

    @contextmanager
    def __call__(self, key: str) -> Iterator[None]:
        with self._counted(key) as lock, lock:
            yield

    @contextmanager
    def at_once(self, key: str) -> Iterator[bool]:
        """The same without waiting: False if somebody else holds it, who goes on holding it."""
        with self._counted(key) as lock:
            taken = lock.acquire(blocking=False)
            try:
                yield taken
            finally:
                if taken:
                    lock.release()

    @contextmanager
    def _counted(self, key: str) -> Iterator[threading.Lock]:
        with self._guard:
            lock, users = self._locks.get(key, (threading.Lock(), 0))
            self._locks[key] = lock, users + 1
        try:
            yield lock
        finally:
            with self._guard:
                users = self._locks[key][1] - 1
                if users:
                    self._locks[key] = lock, users
                else:
                    del self._locks[key]

    def held(self, key: str) -> bool:
        return key in self._locks


@dataclass(frozen=True, slots=True)
class Found:
    """One inspected container. `mark` is set if it is ours."""

    ref: str
    name: str
    mark: Mark | None
    data: Mapping[str, Any]

    @property
    def state(self) -> Mapping[str, Any]:
        state: Mapping[str, Any] = self.data["State"]
        return state

    @property
    def phase(self) -> LivePhase:
        if self.state["Running"] or self.state.get("Restarting"):
            return LivePhase.RUNNING
        never = utc_from_rfc3339(self.state["StartedAt"]) is None
        return LivePhase.CREATED if never else LivePhase.EXITED

    @property
    def going(self) -> bool:
        """Its removal is under way: it still shows, and its name is still taken."""
        return self.state.get("Status") == "removing"


class Core:
    """What every part of the docker engine shares. `owned(ref)` asks the ledger for a full container id."""

    def __init__(self, context: EngineContext, owned: Callable[[str], bool], clients: Clients) -> None:
        self.context, self.owned, self.clients = context, owned, clients

    def recognise(self, marked: Mapping[str, str] | None, name: str, ref: str) -> Mark | None:
        """What an object is if it is ours: our key signed its labels, or the ledger knows its id. Else None.

        Either way it must bear our labels and the name that they derive.
        """
        signed = labels.owned_by_mark(self.context, marked, name)
        if signed is not None:
            return signed
        claim = labels.claimed(self.context, marked, name)
        return claim if claim is not None and self.owned(ref) else None

    def find(self, key: str, thing: str) -> Found | None:
        """Inspect by name or full id; None = absent. Raises EngineUnavailable."""
        try:
            with translated("inspect", thing):
                data = self.clients.ask("GET", f"/containers/{quote(key)}/json")
                name = data["Name"].removeprefix("/")
                if key not in (name, data["Id"]):
                    return None  # the Engine also takes prefixes of ids
                mark = self.recognise(data["Config"]["Labels"], name, data["Id"])
                return Found(data["Id"], name, mark, data)
        except Absent:
            return None

    def find_own(self, key: str, verb: str, thing: str) -> Found | None:
        """The same, but raises NotOurs for an object that is not provably ours."""
        found = self.find(key, thing)
        if found is not None and found.mark is None:
            raise self.not_ours(verb, thing, found)
        return found

    def not_ours(self, verb: str, thing: str, found: Found) -> NotOurs:
        """The error for a foreign container, with what to do about it."""
        hint = self.foreign_hint(found.data["Config"]["Labels"], f"docker rm {found.ref[:12]}")
        return NotOurs(f"cannot {verb} {thing}: container {found.name} ({found.ref[:12]}) is not ours", hint=hint)

    def foreign_hint(self, marked: Mapping[str, str] | None, removal: str) -> str:
        """What to do about a foreign object of our name; one of a lost identity of ours can be taken over."""
        if marked and marked.get(labels.INSTANCE) == self.context.instance:
            return f"If this service has lost its identity: reconciler takeover {self.context.instance}"
        return f"Remove or rename it: {removal}"

    def remove(self, ref: str, thing: str) -> None:
        """Remove by full id, anonymous volumes with it, never by force; returns when it is gone.

        Raises Conflict if it runs, EngineUnavailable if nobody knows.
        """
        try:
            with translated("remove", thing):
                self.clients.command("DELETE", f"/containers/{ref}", {"v": "1"})
        except Absent:
            return
        except Conflict as error:
            if "in progress" not in str(error):
                raise
            self._await_removal(ref, thing)
        except EngineUnavailable:
            if self.find(ref, thing) is not None:
                raise

    def _await_removal(self, ref: str, thing: str) -> None:
        deadline = time.monotonic() + REMOVED_WITHIN
        while self.find(ref, thing) is not None:
            if time.monotonic() > deadline:
                raise EngineUnavailable(f"cannot remove {thing}: the Engine has not finished removing it")
            time.sleep(0.05)

    @property
    def protected(self) -> tuple[str, ...]:
        """Paths of the host that no job may see, also where a link is on the way to them."""
        paths = [path for path in (self.context.state_dir, self.clients.socket_path) if path]
        return tuple(dict.fromkeys([*paths, *map(os.path.realpath, paths)]))

    def check(
        self,
        body: Mapping[str, object],
        spec: JobSpec,
        policy: Policy,
        staged: tuple[tuple[str, str], ...],
        networks: tuple[tuple[str, str], ...],
        devices: tuple[str, ...] = (),
        workspace: tuple[Bind, ...] = (),
        sent: tuple[Sent, ...] = (),
        terminal: Terminal | None = None,
    ) -> None:
        """The second check of rule S2, on the final body. Raises EngineRejected."""
        context = GuardContext(
            self.context.instance, spec.owner, spec.image, dict(networks), staged, self.protected, devices, workspace,
            sent, terminal, spec.exec_in,
        )  # fmt: skip
        assert_allowed(body, policy, context)

    def create_or_find(self, name: str, body: Mapping[str, object], verb: str, thing: str) -> tuple[str, Found | None]:
        """(the id of a new container, None), or ("", ours that holds the name); NotOurs if somebody else's does.

        The Engine reserves a name a moment before the container can be inspected, and frees it a moment after it is
        gone, so this asks more than once. A create that is refused for its name has made nothing.
        """
        deadline = time.monotonic() + self.clients.timeouts.call
        while True:
            try:
                return self.create(name, body, thing), None
            except Conflict:
                found = self.find_own(name, verb, thing)
            if found is not None and not found.going:
                return "", found
            if time.monotonic() > deadline:
                raise EngineUnavailable(f"cannot {verb} {thing}: its name is reserved, but nothing bears it")
            time.sleep(0.02)

    def create(self, name: str, body: Mapping[str, object], thing: str) -> str:
        """Create a container, never started; its full id. Raises Conflict if the name is taken."""
        with translated("create", thing):
            return str(self.clients.ask("POST", "/containers/create", {"name": name}, body)["Id"])


def live_run(found: Found, run_id: str, *, oom: bool = False) -> LiveRun:
    """A run as one inspection shows it."""
    state, phase = found.state, found.phase
    ended = phase is LivePhase.EXITED
    job = found.mark.job if found.mark is not None else parse_run_id(run_id).job
    return LiveRun(
        run_id=run_id,
        job=job,
        ref=found.ref,
        phase=phase,
        exit_code=int(state["ExitCode"]) if ended else None,
        started_at=utc_from_rfc3339(state["StartedAt"]),
        finished_at=utc_from_rfc3339(state["FinishedAt"]) if ended else None,
        oom=ended and (bool(state.get("OOMKilled")) or oom),
        error=str(state.get("Error") or ""),
        devices=labels.devices_of(found.data["Config"]["Labels"]),
    )
