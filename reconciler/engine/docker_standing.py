"""In: standing orders. Out: containers, created and never started, replaced once all is acquired (rule P4).

Replacing: create the new one as `<name>.NEW`, remove the old one by full id, rename. A refused spec leaves the old one
untouched. A crash in between leaves a `.NEW`, which the listing reports as drift and the next install clears away.
"""

from collections.abc import Mapping

from ..model.errors import EngineRejected, EngineUnavailable, NotOurs
from ..model.ids import standing_name
from ..model.live import LivePhase
from . import labels
from .base import Installed, StandingOrder
from .docker_acquire import Acquirer
from .docker_body import Acquired, create_body
from .docker_client import translated
from .docker_core import Core, Found, KeyedLock
from .docker_drift import drift_of
from .docker_errors import Conflict
from .labels import Kind, Mark


class Standing:
    """Standing jobs on one Engine. One installation per job at a time."""

    def __init__(self, core: Core, acquirer: Acquirer) -> None:
        self._core, self._acquirer = core, acquirer
        self.busy = KeyedLock()  # jobs whose container is being changed by this process
        self.leftovers: frozenset[str] = frozenset()  # jobs of which the last listing saw a `.NEW`

    def resolve(self, order: StandingOrder) -> Installed:
        got = self._acquire(order, make=False)
        self._core.check(self._body(order, got), order.spec, order.policy, self._staged(order), got.networks)
        return Installed("", got.image_id, got.image_digest)

    def install(self, order: StandingOrder) -> Installed:
        job = order.spec.name
        name = standing_name(self._core.context.instance, job)
        with self.busy(job):
            got = self._acquire(order, make=True)
            body = self._body(order, got)
            self._core.check(body, order.spec, order.policy, self._staged(order), got.networks)
            try:
                ref, found = self._core.create_or_find(name, body, "install", job)
            except EngineUnavailable as error:
                ref, found = self._look_again(name, order, error), None
            except EngineRejected:
                self._acquirer.recent.clear()
                raise
            if found is not None:
                ref = found.ref if _as_ordered(found, body, order) else self._replace(name, body, job)
            if job in self.leftovers:
                self._clear_leftover(name, job)
        return Installed(ref, got.image_id, got.image_digest)

    def retire(self, job: str) -> None:
        name = standing_name(self._core.context.instance, job)
        with self.busy(job):
            self._clear_leftover(name, job)
            found = self._core.find_own(name, "retire", job)
            if found is not None:
                self._remove(found, job)

    def drift(self, job: str, order: StandingOrder) -> tuple[str, ...]:
        """Sentences on what no longer holds of the fields that we set; () = none, or the container is absent."""
        found = self._core.find(standing_name(self._core.context.instance, job), job)
        if found is None or found.mark is None:
            return ()
        try:
            networks = self._acquirer.networks(order.spec, order.policy, make=False)
        except EngineRejected as error:
            return (str(error),)
        # A moved tag alone is no drift: the image that is there is the one to compare with.
        body = self._body(order, Acquired(str(found.data["Image"]), networks=networks))
        return drift_of(found, body)

    def _acquire(self, order: StandingOrder, *, make: bool) -> Acquired:
        self._acquirer.check_staged(order.spec, order.staged)
        return self._acquirer.acquire(
            order.spec, order.policy, image_id=order.image_id, refresh=order.refresh, make=make
        )

    def _body(self, order: StandingOrder, got: Acquired) -> Mapping[str, object]:
        spec = order.spec
        mark = Mark(Kind.STANDING, spec.owner, spec.name, "", order.digest, order.revision)
        marks = labels.write(self._core.context, mark)
        return create_body(spec, marks, got, spec.environment, self._staged(order))

    def _staged(self, order: StandingOrder) -> tuple[tuple[str, str], ...]:
        """It is never started: where the Engine does not see this host's files, nothing is lost without them."""
        return order.staged if self._core.clients.shares_host else ()

    def _replace(self, name: str, body: Mapping[str, object], job: str) -> str:
        try:
            ref = self._core.create(name + labels.NEW_SUFFIX, body, job)
        except Conflict:
            self._clear_leftover(name, job)
            ref = self._core.create(name + labels.NEW_SUFFIX, body, job)
        try:
            old = self._core.find_own(name, "replace", job)
            if old is not None:
                self._remove(old, job)
            with translated("rename the new container of", job):
                self._core.clients.command("POST", f"/containers/{ref}/rename", {"name": name})
        except Conflict as error:
            self._core.remove(ref, job)
            raise NotOurs(f"cannot install {job}: somebody took the name {name} meanwhile") from error
        except (EngineRejected, NotOurs):
            self._core.remove(ref, job)
            raise
        return ref

    def _remove(self, found: Found, job: str) -> None:
        try:
            self._core.remove(found.ref, job)
        except Conflict as error:
            message = f"cannot remove the standing container of {job}: somebody started it"
            raise EngineRejected(message, code="standing-started", hint=f"docker stop {found.ref[:12]}") from error

    def _clear_leftover(self, name: str, job: str) -> None:
        """Remove what an interrupted replacement left."""
        found = self._core.find(name + labels.NEW_SUFFIX, job)
        if found is not None and found.mark is not None:
            self._core.remove(found.ref, job)

    def _look_again(self, name: str, order: StandingOrder, error: EngineUnavailable) -> str:
        """After an answer that was lost: the container if it was made, else the error goes on."""
        found = self._core.find_own(name, "install", order.spec.name)
        if found is None or found.mark is None or found.mark.digest != order.digest:
            raise error
        return found.ref


def _as_ordered(found: Found, body: Mapping[str, object], order: StandingOrder) -> bool:
    """Is it what would be made now?"""
    same = found.mark is not None and found.mark.digest == order.digest and found.data["Image"] == body["Image"]
    return same and found.phase is LivePhase.CREATED and not drift_of(found, body)
