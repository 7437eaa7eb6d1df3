"""What the service's events say of its parts at an instant: nothing is called well that nobody saw."""

from datetime import datetime, timedelta

import pytest

from reconciler.answers.parts import ill, well
from reconciler.model.event import Event, EventName
from tests.unit.answers.kit import DAY, HOUR, LONG_AGO, SLOT

ALL = ("engine", "ledger", "clock")


def event(name: EventName, before: timedelta, **fields: str) -> Event:
    return Event(name, SLOT - before, fields=dict(fields))


LOST, BACK = EventName.ENGINE_LOST, EventName.ENGINE_RECOVERED
TABLE = [
    ("no trouble was ever told", [], LONG_AGO, ALL),
    ("but events do not reach back that far", [], SLOT + HOUR, ()),
    ("the engine was away", [event(LOST, HOUR)], LONG_AGO, ("ledger", "clock")),
    ("it was back again", [event(BACK, HOUR), event(LOST, 2 * HOUR)], LONG_AGO, ALL),
    ("it was lost only later", [event(LOST, -HOUR)], LONG_AGO, ALL),
    ("a new process found it well", [event(EventName.SERVICE_STARTED, HOUR), event(LOST, 2 * HOUR)], LONG_AGO, ALL),
    ("its last word is known though older ones are not", [event(BACK, HOUR)], SLOT, ("engine", "ledger")),
    ("the ledger was full", [event(EventName.STORAGE_DEGRADED, HOUR)], LONG_AGO, ("engine", "clock")),
    ("the clock was stepped at that time", [event(EventName.CLOCK_STEPPED, timedelta(minutes=5))], LONG_AGO,
     ("engine", "ledger")),
    ("the clock was stepped the day before", [event(EventName.CLOCK_STEPPED, DAY)], LONG_AGO, ALL),
]  # fmt: skip


@pytest.mark.parametrize(("events", "since", "fine"), [r[1:] for r in TABLE], ids=[r[0] for r in TABLE])
def test_which_parts_were_well(events: list[Event], since: datetime, fine: tuple[str, ...]) -> None:
    assert well(events, since, SLOT) == fine


def test_what_was_ill_is_told_in_its_own_words() -> None:
    events = [event(LOST, HOUR, error="cannot reach Docker Engine: connection refused")]
    assert ill(events, SLOT) == ("the engine did not work then: cannot reach Docker Engine: connection refused",)
    assert ill(events, SLOT - DAY) == ()
    assert ill([event(EventName.STORAGE_DEGRADED, HOUR)], SLOT) == ("the ledger did not work then",)
