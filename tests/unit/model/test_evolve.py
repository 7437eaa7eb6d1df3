"""Promise: a record that evolves is what `dataclasses.replace` makes of it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from reconciler.model.evolve import evolve
from reconciler.model.run import Phase, RunRecord, Trigger

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUN = RunRecord("a.1", "a", NOW, 1, Trigger.SCHEDULE, "scheduler", "d", "r", Phase.PENDING, NOW)


def test_the_named_fields_change_and_the_others_stay() -> None:
    changes = {"phase": Phase.RUNNING, "started_at": NOW, "hold_until": NOW, "run_id": "b.1"}
    assert evolve(RUN, **changes) == replace(RUN, **changes)
    assert evolve(RUN) == RUN


def test_a_field_that_is_not_there_is_refused() -> None:
    with pytest.raises(KeyError):
        evolve(RUN, phases=Phase.RUNNING)
