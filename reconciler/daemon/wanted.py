"""Accounts for the slots of jobs that git asks for and that could not be installed: each is *unavailable* (rule T5).

Such a job has no row among the standing ones, so its cursor is kept here, in one small value of the ledger. It begins
with the first failure and ends with the installation, so that nothing from before is owed (rule T4).
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ..apply.outcome import Result
from ..history.base import History
from ..model.event import EventName
from ..model.job import JobSpec
from ..model.plan import ActionKind, Plan
from ..model.run import Disposition
from ..schedule.cron import next_fire
from ..schedule.cursor import not_installed
from .events import EventStream

WANTED = "wanted"  # meta
PATIENCE = timedelta(seconds=15)  # slots of a job that fires every second are recorded together


@dataclass(frozen=True, slots=True)
class _Absent:
    """Up to when a job's slots are recorded, what `@every` counts from, and why it is not there."""

    cursor: datetime
    anchor: datetime
    why: str


class Wanted:
    """Belongs to the sync loop's thread."""

    def __init__(self, history: History, emit: EventStream) -> None:
        self._history, self._emit = history, emit
        self._absent: dict[str, _Absent] | None = None  # None = not read yet
        self._specs: dict[str, JobSpec] = {}

    def tried(self, results: Iterable[Result], now: datetime) -> None:
        """Actions were carried out: who could not be installed is absent from now on, or still, or no longer."""
        absent = self._read()
        for result in results:
            name, job = result.action.name, result.action.job
            if result.action.kind is not ActionKind.CREATE or job is None:
                continue
            old = absent.get(name)
            if not result.ok:
                absent[name] = replace(old, why=result.error) if old else _Absent(now, now, result.error)
                self._specs[name] = job.spec
            elif old is not None:
                self._installed(name, absent)
        self._write(absent)

    def account(self, plan: Plan, now: datetime) -> None:
        """Record what fell due up to now. Who is no longer asked for is forgotten."""
        absent = self._read()
        if not absent:
            return
        asked = {a.name: a.job.spec for a in plan.changes if a.kind is ActionKind.CREATE and a.job is not None}
        standing = self._history.standing()
        for name in list(absent):
            if name in asked:
                self._specs[name] = asked[name]
                self._record(name, absent, asked[name], now)
            elif name in standing:
                self._installed(name, absent)
            else:
                del absent[name]
        self._write(absent)

    def next_at(self, now: datetime) -> datetime | None:
        """When to account again."""
        fires = (next_fire(self._specs[n].schedule, a.cursor, a.anchor) for n, a in self._read().items()
                 if n in self._specs)  # fmt: skip
        return min((max(at, now + PATIENCE) for at in fires if at is not None), default=None)

    def _installed(self, name: str, absent: dict[str, _Absent]) -> None:
        """What fell due before its installation is still ours to record."""
        if (row := self._history.standing().get(name)) is not None:
            self._record(name, absent, row.spec, row.applied_at)
        del absent[name]

    def _record(self, name: str, absent: dict[str, _Absent], spec: JobSpec, until: datetime) -> None:
        old = absent[name]
        for slot in not_installed(name, spec, old.cursor, old.anchor, until, old.why):
            self._history.set_cursor(name, slot.last, [slot])
            absent[name] = replace(old, cursor=slot.last)
            if slot.disposition is Disposition.UNAVAILABLE:
                self._emit.emit(EventName.SLOT_MISSED, job=name, slot=f"{slot.last:%Y-%m-%dT%H:%M:%SZ}",
                                count=slot.count, disposition=slot.disposition.value, reason=slot.reason)  # fmt: skip

    def _read(self) -> dict[str, _Absent]:
        if self._absent is None:
            rows = json.loads(self._history.get_meta(WANTED) or "{}")
            self._absent = {
                name: _Absent(datetime.fromisoformat(row[0]), datetime.fromisoformat(row[1]), row[2])
                for name, row in rows.items()
            }
        return dict(self._absent)

    def _write(self, absent: dict[str, _Absent]) -> None:
        if absent != self._absent:
            rows = {name: (a.cursor.isoformat(), a.anchor.isoformat(), a.why) for name, a in absent.items()}
            self._history.set_meta(WANTED, json.dumps(rows))
            self._absent = absent
            self._specs = {name: spec for name, spec in self._specs.items() if name in absent}
