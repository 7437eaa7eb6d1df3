"""The Protocol of the ledger. Writers belong to the service; readers may be other processes (read-only)."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from ..model.event import Event
from ..model.job import JobSpec
from ..model.live import StandingJob
from ..model.origin import Origin
from ..model.run import CellState, Pause, RunRecord, SlotRecord


class Reader(Protocol):
    """What may be read of the ledger, by the service or by whoever asks it. Raises StateError, as `History`; over the
    service's socket also what `server.client.call` raises."""

    def get_meta(self, key: str) -> str | None: ...
    def standing(self) -> Mapping[str, StandingJob]: ...
    def spec(self, digest: str) -> JobSpec | None: ...
    def origin(self, digest: str) -> Origin | None: ...
    def run(self, run_id: str) -> RunRecord | None: ...
    def last_success(self, job: str) -> datetime | None:
        """The latest slot for which a run of `job` has succeeded."""

    def cells(self, job: str, slot: datetime) -> Sequence[CellState]:
        """Where each cell of a slot stands; none for a slot without a strategy."""

    def active_runs(self) -> Sequence[RunRecord]:
        """Active ones, waiting retries included, and ended ones not yet collected or discarded."""

    def runs(self, job: str | None = None, *, limit: int = 50, before: datetime | None = None,
             failed: bool = False, fold: bool = False) -> Sequence[RunRecord]:  # fmt: skip
        """Newest slot first; within a slot by cell, attempts newest first. `fold`: only one of
        the cells of a slot, one that is active or else the worst; `limit` then counts slots."""

    def of_slot(self, job: str, slot: datetime) -> Sequence[RunRecord]:
        """All runs of one slot: by cell, attempts oldest first."""

    def slots(self, job: str, *, limit: int = 50, before: datetime | None = None) -> Sequence[SlotRecord]: ...
    def pauses(self) -> Sequence[Pause]: ...
    def events(self, *, job: str | None = None, run: str | None = None, limit: int = 100) -> Sequence[Event]: ...
    def close(self) -> None: ...


class History(Reader, Protocol):
    """Every method is one transaction, durable when it returns. Raises StateError (codes `disk-full`,
    `state-corrupt`, `state-busy`, `state-error`)."""

    def together(self) -> AbstractContextManager[None]:
        """Writes of this thread inside the block are one transaction, durable when the block has ended; reads see what
        was before. Other writers wait meanwhile: nothing slow belongs in it."""

    # -- meta: engine choice, applied revision, schema version ------------------------------------------------
    def set_meta(self, key: str, value: str) -> None: ...

    # -- standing jobs ----------------------------------------------------------------------------------------
    def put_standing(self, job: StandingJob) -> None:
        """Insert or update; the spec is stored under its digest too."""

    def move_standing(self, old: str, new: StandingJob) -> None:
        """Rename a job with its runs, slots and cursor (moved_from), in one transaction."""

    def drop_standing(self, name: str) -> None:
        """After the engine has confirmed that it is gone. Runs, slots and events stay."""

    def set_cursor(self, name: str, cursor: datetime, slots: Iterable[SlotRecord] = ()) -> None:
        """Advance the cursor and record slots in one transaction. Adjacent slots of one disposition and reason
        become one range row."""

    def rewind(self, name: str, to: datetime, kept: Iterable[SlotRecord] = ()) -> None:
        """Set a cursor (and an anchor) that lies after `to` back to it, because a person says so. What was recorded
        after `to` without a run is forgotten; `kept` is recorded in place of a range that reached beyond it."""

    def put_origin(self, origin: Origin) -> None:
        """Where the definition of this digest comes from; kept as long as the definition is."""

    # -- intents (rule P6) ------------------------------------------------------------------------------------
    def begin_intent(self, kind: str, name: str, at: datetime, detail: str = "") -> int: ...
    def end_intent(self, intent: int) -> None: ...
    def open_intents(self) -> Sequence[tuple[int, str, str, str]]:
        """(id, kind, name, detail) of what was begun and never confirmed."""

    # -- runs -------------------------------------------------------------------------------------------------
    def claim(self, run: RunRecord, cursor: datetime | None = None, slots: Iterable[SlotRecord] = (), *,
              current: bool = False) -> bool:  # fmt: skip
        """Insert the claim row; UNIQUE (job, slot, cell, attempt), and attempt 1 makes the slot's own row, still open.
        In the same transaction advance the cursor and record other slots. False = claimed before.

        `current`: only if the job still stands with the run's digest and is not being retired. If it does not, the
        answer is False and nothing at all is recorded: the caller decided by a definition that has gone."""

    def claim_alone(self, run: RunRecord, spec: JobSpec) -> bool:
        """As `claim`, of a run whose definition stands for no job: it is stored with it."""

    def trials(self) -> Sequence[RunRecord]:
        """Runs of files that were tried, whoever's; active ones too."""

    def forget(self, run: RunRecord) -> None:
        """Drop the row of an ended run and of its slot, as if it had never been."""

    def update_run(self, run: RunRecord, slot: SlotRecord | None = None) -> None:
        """Write the whole row; `slot` closes the slot's row in the same transaction."""

    def keyed(self, job: str, key: str) -> RunRecord | None:
        """The first run that was asked for with this idempotency key, as long as history keeps it."""

    def run_env(self, job: str, slot: datetime) -> tuple[datetime | None, datetime | None]:
        """(previous slot that ran, previous slot that succeeded) before `slot`, for rule R9."""

    # -- operators --------------------------------------------------------------------------------------------
    def put_pause(self, pause: Pause) -> None: ...
    def drop_pause(self, job: str) -> bool: ...
    def approve(self, plan_digest: str, actor: str, at: datetime, why: str) -> None: ...
    def approvals(self) -> Mapping[str, str]:
        """Plan digest (or commit id) -> actor."""

    def spend_approval(self, digest: str) -> None:
        """It has served: what comes back later needs another one."""

    # -- events, retention, health ----------------------------------------------------------------------------
    def add_events(self, events: Iterable[Event]) -> None: ...
    def prune(self, now: datetime) -> Sequence[RunRecord]:
        """Drop rows that age out by each job's HistoryLimits and return the runs whose log files may go."""
