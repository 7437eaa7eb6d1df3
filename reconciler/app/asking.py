"""In: the ledger and a question. Out: the facts that its answer is made of, by a bounded number of indexed reads."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from ..answers.facts import Facts, RunFact, ServiceDefaults, durations
from ..answers.instants import choose, final, latest_trouble, windows
from ..answers.rules import blockers_of
from ..history.base import History
from ..history.logread import last_line
from ..model.desired import HeldJob
from ..model.errors import StateError, UsageError
from ..model.event import EventName
from ..model.live import StandingJob
from ..model.run import RunRecord, SlotRecord
from ..model.service import ServiceConfig
from ..schedule.cron import latest_fires, next_fire

RECENT = 200  # runs and slots of a job that are looked at without being asked for by their instant
ATTEMPTS = 40  # runs of one slot that are read at first
MOST = 2000  # of them in all; events of the service
EVENTS_KEPT = timedelta(days=90)  # history keeps the service's own events that long
ON_TIME = timedelta(seconds=60)  # a slot that has been due for longer is worth a question
_MS = timedelta(milliseconds=1)


class Asker:
    """One question about one job. `degraded`: what the service says is wrong, its own absence included."""

    def __init__(
        self, history: History, config: ServiceConfig, job: str, now: datetime, *,
        held: HeldJob | None = None, degraded: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self._history, self._config, self._job, self._now = history, config, job, now
        self._held, self._degraded = held, degraded
        self._standing: StandingJob | None = history.standing().get(job)
        self._recent: Sequence[RunRecord] = history.runs(job, limit=RECENT)
        self.zone = self._zone()

    def _zone(self) -> str:
        """The zone in which people speak of this job's slots; of a retired one, that of its last definition."""
        if self._standing is not None:
            return self._standing.spec.schedule.timezone
        spec = self._history.spec(self._recent[0].digest) if self._recent else None
        return spec.schedule.timezone if spec is not None else self._config.timezone

    # -- which slot -------------------------------------------------------------------------------------------
    def slot(self, said: str | None) -> datetime:
        """The instant that is meant: a slot, or what was said if that is none. Without words, the latest slot that is
        overdue or did not end well, else the latest, else the next. Raises UsageError."""
        if said is not None:
            return self._meant(said)
        job = self._standing
        if job is not None:
            overdue = latest_fires(job.spec.schedule, job.cursor, self._now - ON_TIME, job.anchor).last
            if overdue is not None:
                return overdue
        past = [run for run in self._recent if run.slot <= self._now]
        found = latest_trouble(past, self._history.slots(self._job, limit=RECENT), RECENT)
        if found is None and job is not None:
            found = next_fire(job.spec.schedule, max(self._now, job.cursor), job.anchor)
        return found or self._now

    def _meant(self, said: str) -> datetime:
        try:
            found = windows(said, self.zone, self._now)
        except ValueError as error:
            hint = "for example 02:30, 11-24T02:30, 2026-11-24T02:30 or 2026-11-24T01:30:00Z"
            raise UsageError(f"cannot read {said!r}: {error}", hint=hint) from None
        job = self._standing
        schedule, anchor = (job.spec.schedule, job.anchor) if job is not None else (None, self._now)
        for window in found:
            recorded = [run.slot for run in self._history.runs(self._job, before=window.end, limit=1)]
            for row in self._history.slots(self._job, before=window.end, limit=1):
                recorded += [row.first, row.last]
            at = choose([window], recorded, schedule, anchor)
            if at is not None:
                return at
        return found[0].begin

    # -- what is known of it ----------------------------------------------------------------------------------
    def facts(self, at: datetime) -> Facts:
        runs = self._runs_at(at)
        row = self._row_at(at, runs)
        digest = self._digest(at, runs)
        events = self._history.events(job="", limit=MOST)
        known_since = events[-1].at if len(events) >= MOST else self._now - EVENTS_KEPT
        ended = [run for run in self._recent if run.slot != at]
        return Facts(
            job=self._job, at=at, now=self._now, zone=self.zone, standing=self._standing,
            spec=self._history.spec(digest) if digest else None,
            origin=self._history.origin(digest) if digest else None, slot=row,
            runs=self._told(runs), others=tuple(self._fact(run, log=run.active) for run in self._others(at, row, runs)),
            durations=durations(ended), pauses=tuple(self._history.pauses()), held=self._held,
            events=tuple(events), known_since=known_since, degraded=self._degraded,
            service=ServiceDefaults(self._config.timezone, self._config.limits.default_timeout),
        )  # fmt: skip

    def now_facts(self) -> Facts:
        """Of the job as it stands, without a slot."""
        job = self._standing
        digest = job.digest if job is not None else ""
        return Facts(
            job=self._job, at=self._now, now=self._now, zone=self.zone, standing=job,
            spec=job.spec if job is not None else None, origin=self._history.origin(digest) if digest else None,
            durations=durations(self._recent), pauses=tuple(self._history.pauses()), held=self._held,
            degraded=self._degraded,
            service=ServiceDefaults(self._config.timezone, self._config.limits.default_timeout),
        )  # fmt: skip

    def _runs_at(self, at: datetime) -> list[RunRecord]:
        """All attempts of the slot, by cell and attempt."""
        for limit in (ATTEMPTS, MOST):
            read = self._history.runs(self._job, before=at + _MS, limit=limit)
            found = [run for run in read if run.slot == at]
            if len(found) < limit:
                break
        return sorted(found, key=lambda run: (run.cell or 0, run.attempt))

    def _row_at(self, at: datetime, runs: Sequence[RunRecord]) -> SlotRecord | None:
        """The row that covers the slot. A run by hand within a range of other slots is not one of them."""
        rows = self._history.slots(self._job, before=at + _MS, limit=RECENT)
        found = next((row for row in rows if row.first <= at <= row.last), None)
        return None if found is not None and found.count > 1 and runs else found

    def _digest(self, at: datetime, runs: Sequence[RunRecord]) -> str:
        """The definition that was in force at the slot; "" if nobody knows it."""
        if runs:
            return runs[0].digest
        job = self._standing
        if job is not None and (job.applied_at <= at or at > self._now):
            return job.digest
        names = (EventName.JOB_INSTALLED, EventName.JOB_REPLACED, EventName.JOB_MOVED)
        for event in self._history.events(job=self._job, limit=MOST):
            if event.name in names and event.at <= at:
                return str(event.fields.get("digest") or "")
        return ""

    def _others(self, at: datetime, row: SlotRecord | None, runs: Sequence[RunRecord]) -> Iterable[RunRecord]:
        """The runs that stand, or stood, in its way."""
        if row is None and not runs:
            active = [run for run in self._history.active_runs() if run.job == self._job and run.active]
            return [run for run in active if run.slot != at]
        reasons = [row.reason] if row is not None else []
        waits = [run for run in runs if run.active and run.started_at is None]
        named = [name for reason in reasons for name in blockers_of(reason)]
        named += [name for run in waits for name in run.replaces]
        ours = {run.run_id for run in runs}
        found = (self._history.run(name) for name in dict.fromkeys(named) if name not in ours)
        return [run for run in found if run is not None]

    def _told(self, runs: Sequence[RunRecord]) -> tuple[RunFact, ...]:
        """The last attempts that ended badly, or that run, show the end of their logs."""
        last = {run.run_id for run in final(runs) if run.phase.bad or (run.started_at is not None and run.active)}
        return tuple(self._fact(run, log=run.run_id in last, hint=run.phase.bad) for run in runs)

    def _fact(self, run: RunRecord, *, log: bool, hint: bool = False) -> RunFact:
        spec, origin = self._history.spec(run.digest), self._history.origin(run.digest)
        made = RunFact(run, spec, origin, self._hint(run) if hint else "")
        line = self._last_line(run) if log else None
        return made if line is None else replace(made, last_line=line[0], line_at=line[1])

    def _hint(self, run: RunRecord) -> str:
        said = [event.fields.get("hint") for event in self._history.events(run=run.run_id, limit=20)]
        return next((str(hint) for hint in said if hint), "")

    def _last_line(self, run: RunRecord) -> tuple[str, datetime] | None:
        try:
            return last_line(Path(self._config.state_dir) / run.log) if run.log else None
        except StateError:  # the log is for others to read: the chain is whole without it
            return None
