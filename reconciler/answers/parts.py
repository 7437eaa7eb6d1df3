"""In: the service's events. Out: which of its parts were well at an instant, as far as events can tell."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from ..model.event import Event, EventName

CLOCK_NEAR = timedelta(minutes=10)  # a step of the clock so shortly before an instant may have to do with it
# (what it is called, events that say it is ill, events that say it is well)
_PARTS = (
    ("engine", {EventName.ENGINE_LOST}, {EventName.ENGINE_RECOVERED, EventName.SERVICE_STARTED}),
    ("ledger", {EventName.STORAGE_DEGRADED}, {EventName.STORAGE_RECOVERED, EventName.SERVICE_STARTED}),
)


def well(events: Sequence[Event], since: datetime, at: datetime) -> tuple[str, ...]:
    """The parts that were well at `at`. `since`: how far back `events` (newest first) go; of what was before them
    nothing is said."""
    found = []
    for name, ill, fine in _PARTS:
        last = next((event for event in events if event.at <= at and event.name in ill | fine), None)
        if last.name in fine if last is not None else since <= at:
            found.append(name)
    stepped = any(e.name is EventName.CLOCK_STEPPED and at - CLOCK_NEAR <= e.at <= at + CLOCK_NEAR for e in events)
    if not stepped and since <= at - CLOCK_NEAR:
        found.append("clock")
    return tuple(found)


def ill(events: Sequence[Event], at: datetime) -> tuple[str, ...]:
    """The parts that were ill at `at`, each a sentence with the event's own words."""
    found = []
    for name, bad, fine in _PARTS:
        last = next((event for event in events if event.at <= at and event.name in bad | fine), None)
        if last is not None and last.name in bad:
            found.append(f"the {name} did not work then: {last.fields.get('error') or last.fields.get('code') or ''}")
    return tuple(text.removesuffix(": ") for text in found)
