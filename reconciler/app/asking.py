"""In: the ledger and a question. Out: the facts that its answer is made of, by a bounded number of indexed reads."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from ..answers.facts import Facts, RunFact, ServiceDefaults, durations
from ..answers.instants import Window, busy, choose, day_of, final, is_slot, latest_trouble, windows
from ..answers.rules import blockers_of
from ..daemon.draining import stored
from ..history.base import Reader
from ..history.logread import last_line
from ..model.desired import HeldJob
from ..model.errors import StateError, UsageError
from ..model.event import EventName
from ..model.job import Concurrency, JobSpec
from ..model.live import StandingJob
from ..model.run import Phase, RunRecord, SlotRecord
from ..model.service import Limits, ServiceConfig
from ..runs.places import HOLDING, Places, turn
from ..schedule.after import awaited
from ..schedule.cron import latest_fires, next_fire

RECENT = 200  # runs and slots of a job that are looked at without being asked for by their instant
ATTEMPTS = 40  # runs of one slot that are read at first
MOST = 2000  # of them in all; events of the service
EVENTS_KEPT = timedelta(days=90)  # history keeps the service's own events that long
ON_TIME = timedelta(seconds=60)  # a slot that has been due for longer is worth a question
SHOWN = 3  # runs in one sentence
_MS = timedelta(milliseconds=1)


class Asker:
    """One question about one job. `degraded`: what the service says is wrong, its own absence included."""

    def __init__(
        self, history: Reader, config: ServiceConfig, job: str, now: datetime, *,
        held: HeldJob | None = None, degraded: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self._history, self._config, self._job, self._now = history, config, job, now
        self._held, self._degraded = held, degraded
        self._standing: StandingJob | None = history.standing().get(job)
        drain = stored(history)
        self._drained = drain.words if drain is not None else ""
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
        today = day_of(self._now, self.zone)
        meant: Window | None = None  # the nearest day on which it fires, though not then: no other day is meant
        for window in found:
            recorded = [run.slot for run in self._history.runs(self._job, before=window.end, limit=1)]
            for row in self._history.slots(self._job, before=window.end, limit=1):
                recorded += [row.first, row.last]
            at = choose([window], recorded, schedule, anchor)
            other_day = meant is not None and not meant.holds(window.begin)
            if at is not None and other_day and schedule is not None:
                to_come = window.begin > self._now and today.holds(window.begin)
                at = at if to_come or not is_slot(schedule, at, anchor) else None
            if at is not None:
                return at
            if meant is None and schedule is not None and busy(day_of(window.begin, self.zone), schedule, anchor):
                meant = day_of(window.begin, self.zone)
        return found[0].begin

    # -- what is known of it ----------------------------------------------------------------------------------
    def facts(self, at: datetime) -> Facts:
        """Everything about one slot."""
        runs = self._runs_at(at)
        row = self._row_at(at, runs)
        digest = self._digest(at, runs)
        active = [run for run in self._history.active_runs() if run.active]
        events = self._history.events(job="", limit=MOST)
        return replace(
            self.now_facts(), at=at, slot=row, runs=self._told(runs),
            spec=self._history.spec(digest) if digest else None,
            origin=self._history.origin(digest) if digest else None,
            others=tuple(self._fact(run, log=run.active) for run in self._others(row, runs, active)),
            waits=tuple(self._waits(runs, active)), durations=durations([r for r in self._recent if r.slot != at]),
            events=tuple(events), known_since=events[-1].at if len(events) >= MOST else self._now - EVENTS_KEPT,
        )  # fmt: skip

    def now_facts(self) -> Facts:
        """Of the job as it stands, without a slot."""
        job, limits = self._standing, self._config.limits
        return Facts(
            job=self._job, at=self._now, now=self._now, zone=self.zone, standing=job,
            spec=job.spec if job is not None else None,
            origin=self._history.origin(job.digest) if job is not None else None,
            durations=durations(self._recent), pauses=tuple(self._history.pauses()), held=self._held,
            degraded=self._degraded, drained=self._drained,
            service=ServiceDefaults(self._config.timezone, limits.default_timeout),
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

    def _others(
        self, row: SlotRecord | None, runs: Sequence[RunRecord], active: Sequence[RunRecord]
    ) -> list[RunRecord]:
        """The runs that stand, or stood, in its way."""
        ours = {run.run_id for run in runs}
        beside = [run for run in active if run.job == self._job and run.run_id not in ours]
        if row is None and not runs:
            return beside
        named = list(blockers_of(row.reason)) if row is not None else []
        for run in runs:
            if run.active and run.started_at is None:
                named += run.replaces
                if self._policy is Concurrency.QUEUE:
                    named += [other.run_id for other in beside if other.slot < run.slot]
        found = (self._history.run(name) for name in dict.fromkeys(named) if name not in ours)
        return [run for run in found if run is not None]

    @property
    def _policy(self) -> Concurrency | None:
        return self._standing.spec.concurrency_policy if self._standing is not None else None

    def _waits(self, runs: Sequence[RunRecord], active: Sequence[RunRecord]) -> Iterator[str]:
        """What a due run that has not started waits for, beside those before it."""
        job = self._standing
        run = next((one for one in runs if one.phase in (Phase.PENDING, Phase.PREPARING)), None)
        if job is None or run is None or run.slot > self._now:
            return
        words, until = awaited(job.spec, run.slot, self._history.standing().get, self._history.last_success)
        if words:
            yield f"it waits for {words}{f', until {until:%Y-%m-%dT%H:%M:%SZ}' if until is not None else ''} (wait_for)"
        most = self._config.limits.max_running
        if most is not None and sum(one.phase in HOLDING for one in active) >= most:
            yield f"all {most} places are taken (limits.max_running)"
        yield from self._owner_lacks(run, job.spec, active)
        if job.spec.resources.gpus and not run.devices and run.reason.startswith("waits for "):
            leased = [f"{one.run_id} has {', '.join(one.devices)}" for one in active if one.devices]
            yield f"it {run.reason} (resources.gpus){'; ' + '; '.join(leased[:SHOWN]) if leased else ''}"

    def _owner_lacks(self, mine: RunRecord, spec: JobSpec, active: Sequence[RunRecord]) -> Iterator[str]:
        """What its owner's total leaves for it, who has the rest, and who is before it in line."""
        totals = self._config.totals
        if spec.owner not in totals:
            return
        found = ((run, self._history.spec(run.digest)) for run in active if run.slot <= self._now)
        ours = [(run, replace(other, concurrency_group="")) for run, other in found
                if other is not None and other.owner == spec.owner]  # fmt: skip
        places = Places(ours, Limits(), totals)
        ahead = [
            (run, other) for run, other in ours if run.phase not in HOLDING and turn(run, other) < turn(mine, spec)
        ]
        for _, other in ahead:
            places.waits(other)
        lacking = places.lacking(replace(spec, concurrency_group=""))
        if lacking:
            holding = [run.run_id for run, _ in ours if run.phase in HOLDING]
            who = ", ".join(holding[:SHOWN]) + (", ..." if len(holding) > SHOWN else "")
            first = f"; {ahead[0][0].run_id} is before it" if ahead else ""
            yield f"it waits for {lacking}; taken by {who}{first}"

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
