"""One stream of facts to the log and to history. A full disk loses no run: it only makes the stream poorer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from threading import get_ident

from ..history.base import History
from ..model.errors import StateError
from ..model.event import Event, EventName
from ..runs.trial import is_trial
from .lean import structlog
from .masks import Masks

log = structlog.get_logger()

_ERRORS = {
    EventName.SYNC_FAILED, EventName.JOB_FAILED, EventName.JOB_STALLED, EventName.SLOT_MISSED, EventName.ENGINE_LOST,
    EventName.STORAGE_DEGRADED, EventName.PLAN_REFUSED, EventName.JOB_FORBIDDEN,
}  # fmt: skip
_WARNINGS = {EventName.JOB_HELD, EventName.SLOT_SKIPPED, EventName.RUN_DELAYED, EventName.CLOCK_STEPPED,
             EventName.RUN_RETRIED, EventName.IMAGE_FAILED}  # fmt: skip
_BAD_VERDICTS = {"failed", "timed_out", "lost", "oom"}
_NOTHING_RAN = {"missed", "unavailable"}  # of a slot that a run was made ready for

MOST_HELD = 500  # events that wait for the end of a round


def level_of(name: EventName, verdict: object = "", disposition: object = "") -> str:
    """`error`, `warning` or `info`; `verdict` is how a run ended, `disposition` what became of its slot."""
    if name in _ERRORS or verdict in _BAD_VERDICTS or disposition in _NOTHING_RAN:
        return "error"
    return "warning" if name in _WARNINGS else "info"


class EventStream:
    """Callable: takes an Event, logs it at the right level and stores it."""

    def __init__(self, history: History, now: Callable[[], datetime], masks: Masks | None = None) -> None:
        self._history, self._masks = history, masks or Masks()
        self._joint: dict[int, list[Event]] = {}  # thread -> what is stored when its block ends
        self.now = now

    @contextmanager
    def together(self) -> Iterator[None]:
        """This thread's events inside the block are stored at its end, at once: one flush of the disk for a burst. They
        are logged as they come. What dies inside loses them, as it would between an act and its event."""
        held = self._joint[get_ident()] = []
        try:
            yield
        except Exception:
            self._store(held)
            raise
        finally:
            del self._joint[get_ident()]
        self._store(held)

    def __call__(self, event: Event) -> None:
        event = replace(event, fields=self._masks.anything(event.fields))
        said = {"job": event.job, "run": event.run, **event.fields}
        bound = log.bind(**{key: value for key, value in said.items() if value not in ("", None)})
        level = level_of(event.name, event.fields.get("verdict"), event.fields.get("disposition"))
        if is_trial(event.job):
            level = "info"  # whoever tries something sees how it ends: nobody is to be woken by it
        getattr(bound, level)(event.name.value)
        held = self._joint.get(get_ident())
        if held is None:
            self._store([event])
            return
        held.append(event)
        if len(held) >= MOST_HELD:
            self._store(held)
            held.clear()

    def _store(self, events: list[Event]) -> None:
        if not events:
            return
        try:
            self._history.add_events(events)
        except StateError as error:
            for event in events:
                log.error("event.unrecorded", code=error.code, event_name=event.name.value)

    def emit(self, name: EventName, job: str = "", run: str = "", **fields: str | int | float | bool | None) -> None:
        """Build and send an event of this instant."""
        self(Event(name, self.now(), job, run, fields))
