"""Promise: what the loop has in mind is what the ledger has, also when the disk takes none of a joint write (P6)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reconciler.daemon.cells import Cells
from reconciler.daemon.run_work import RunWork
from reconciler.history.base import History
from reconciler.model.errors import StateError
from reconciler.model.run import Phase
from tests.kit.world import World, cron


class FullAtTheEnd:
    """A ledger that takes each part of a joint write, and then not the whole."""

    def __init__(self, history: History) -> None:
        self._history = history

    def __getattr__(self, name: str) -> Any:
        return getattr(self._history, name)

    @contextmanager
    def together(self) -> Iterator[None]:
        with self._history.together():
            yield
            raise StateError("cannot write the ledger: the disk is full", code="disk-full")


def test_R3_a_stop_that_could_not_be_written_is_asked_for_in_no_record(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.behave("*", duration=60.0)
    world.apply(cron("1 2 * * *", "a"), cron("1 2 * * *", "b"))
    world.tick(65)
    met: list[StateError | None] = []
    ledger: History = FullAtTheEnd(world.history)  # type: ignore[assignment]
    work = RunWork(
        ops=None, pools=world.pools, book=world.book, history=ledger, emit=world.emit,  # type: ignore[arg-type]
        cells=Cells(ledger, world.book), storage=met.append, down=lambda: None, ended=lambda _run, _now: None,
        fire_after=lambda _run, _now: None,
    )  # fmt: skip
    entries = list(world.book.runs.values())
    assert [entry.record.phase for entry in entries] == [Phase.RUNNING] * 2
    assert work.stop_all([(entry, "stopped by anna") for entry in entries], world.time) == 0
    assert isinstance(met[-1], StateError)
    assert {entry.record.run_id: entry.record for entry in entries} == {
        run.run_id: run for run in world.history.active_runs()
    }
    assert not any(entry.unsaved for entry in entries)
    world.history.close()
