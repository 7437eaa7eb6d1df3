"""`pull_policy: always | daily | weekly`: now and then ask the registry; what it finds shows as a change (rule P4)."""

import json
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from ..engine.base import Engine, StandingOrder
from ..history.base import History
from ..model.errors import ReconcilerError
from ..model.job import PullPolicy
from ..model.live import StandingJob
from .lean import structlog

log = structlog.get_logger()

REFRESHED = "refreshed"  # meta: image reference -> when it was asked for last
EVERY = {
    PullPolicy.ALWAYS: timedelta(hours=1),
    PullPolicy.DAILY: timedelta(days=1),
    PullPolicy.WEEKLY: timedelta(days=7),
}


class Refresher:
    """One image at a time, in a thread of its own: a pull may take minutes, and a commit must not wait for it."""

    def __init__(self, engine: Callable[[], Engine], history: History, kick: Callable[[], None]) -> None:
        self._engine, self._history, self._kick = engine, history, kick
        self._asked = {
            image: datetime.fromisoformat(at) for image, at in json.loads(history.get_meta(REFRESHED) or "{}").items()
        }
        self._lock = threading.Lock()
        self._images: dict[str, str] = {}
        self._thread: threading.Thread | None = None
        self._standing: Mapping[str, StandingJob] | None = None  # what was looked through last, ...
        self._pulled: tuple[str, ...] = ()  # ... and who of it is refreshed at all

    @property
    def images(self) -> Mapping[str, str]:
        """Image reference -> the id that was found. A new mapping whenever something was."""
        with self._lock:
            return self._images

    def look(
        self, standing: Mapping[str, StandingJob], order_of: Callable[[StandingJob], StandingOrder], now: datetime
    ) -> None:
        """Start refreshing the image that is due for longest, if none is being refreshed."""
        if self._thread is not None and self._thread.is_alive():
            return
        if standing is not self._standing:
            self._standing = standing
            self._pulled = tuple(name for name, job in standing.items() if job.spec.pull_policy in EVERY)
        due = [(self._due_at(standing[name]), name) for name in self._pulled]
        ready = sorted(pair for pair in due if pair[0] <= now)
        if not ready:
            return
        job = standing[ready[0][1]]
        self._asked[job.spec.image] = now
        self._history.set_meta(REFRESHED, json.dumps({image: at.isoformat() for image, at in self._asked.items()}))
        self._thread = threading.Thread(
            target=self._refresh, args=(job.spec.image, order_of(job)), name="refresh", daemon=True
        )
        self._thread.start()

    def _due_at(self, job: StandingJob) -> datetime:
        """An apply pulls, too: the period counts from the later of the two."""
        last = max(job.applied_at, self._asked.get(job.spec.image, job.applied_at))
        return last + EVERY[job.spec.pull_policy]

    def _refresh(self, image: str, order: StandingOrder) -> None:
        try:
            found = self._engine().resolve(order)
        except ReconcilerError as error:
            log.warning("image.refresh-failed", image=image, code=error.code, error=str(error), hint=error.hint)
            return
        with self._lock:
            if self._images.get(image) == found.image_id:
                return
            self._images = {**self._images, image: found.image_id}
        self._kick()
