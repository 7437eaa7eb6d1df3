"""Promise: slots of a job that git asks for and that could not be installed are accounted for like all others (T5)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model.errors import Permanent
from reconciler.model.run import Disposition
from tests.kit.synced import Synced

REASON = "not installed: cannot pull b:1: no such image"


@pytest.fixture
def synced(tmp_path: Path) -> Iterator[Synced]:
    made = Synced(tmp_path)
    made.world.fail("install", Permanent("cannot pull b:1: no such image", code="image-missing"), name="bad", times=3)
    made.write("bad", "b:1", "*/10 * * * *")
    made.rounds()
    yield made
    made.close()


def rows(synced: Synced) -> list[tuple[str, str, int, Disposition, str]]:
    return [(f"{s.first:%H:%M}", f"{s.last:%H:%M}", s.count, s.disposition, s.reason)
            for s in reversed(synced.history.slots("bad"))]  # fmt: skip


def test_T5_slots_of_a_job_that_could_not_be_installed_are_unavailable(synced: Synced) -> None:
    synced.rounds(minutes=20)
    assert "bad" not in synced.history.standing()
    assert rows(synced) == [("02:10", "02:20", 2, Disposition.UNAVAILABLE, REASON)]


def test_T5_a_restart_in_between_leaves_no_slot_out(synced: Synced) -> None:
    synced.rounds(minutes=20)
    synced.restart()
    synced.rounds(minutes=20)
    assert rows(synced) == [("02:10", "02:40", 4, Disposition.UNAVAILABLE, REASON)]


def test_T4_once_it_is_installed_nothing_from_before_is_owed(synced: Synced) -> None:
    for _ in range(3):
        synced.rounds(minutes=20)
    job = synced.history.standing()["bad"]
    assert job.cursor == job.applied_at == synced.time
    assert rows(synced) == [("02:10", "03:00", 6, Disposition.UNAVAILABLE, REASON)]
    synced.rounds(minutes=20)
    assert len(rows(synced)) == 1, "from here on the run loop decides"


def test_T5_a_suspended_one_is_suspended(synced: Synced) -> None:
    (synced.jobs / "bad.yaml").write_text("schedule: '*/10 * * * *'\nimage: b:1\nsuspend: true\n")
    synced.rounds(minutes=20)
    assert [row[3] for row in rows(synced)] == [Disposition.SUSPENDED]


def test_D3_who_is_no_longer_asked_for_has_no_slots(synced: Synced) -> None:
    (synced.jobs / "bad.yaml").unlink()
    synced.write("good", "a:1")
    for _ in range(2):
        synced.rounds(minutes=20)
    assert rows(synced) == []
