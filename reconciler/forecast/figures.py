"""What a simulation counts: per job, per hour of the week, and at its busiest."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from ..model.job import JobSpec
from ..model.run import Disposition, Phase, RunRecord, SlotRecord, Trigger

HOURS = 7 * 24
SHOWN = 200  # slots that came to nothing, kept one by one


@dataclass(slots=True)
class JobFigures:
    """Seconds and counts of one job. `overlaps`: starts beside another run of the job."""

    fires: int = 0
    ran: int = 0
    caught_up: int = 0
    timed_out: int = 0
    overlaps: int = 0
    busy: float = 0.0
    waited: int = 0
    longest_wait: float = 0.0
    left_out: Counter[str] = field(default_factory=Counter)  # disposition -> slots

    @property
    def trouble(self) -> int:
        """Slots that came to nothing, or to a time-out."""
        return self.left_out.total() + self.timed_out


@dataclass(slots=True)
class Peak:
    """The most of something, and when it was first reached."""

    value: float = 0.0
    at: datetime | None = None

    def see(self, value: float, at: datetime) -> None:
        if value > self.value:
            self.value, self.at = value, at


@dataclass(slots=True)
class Figures:
    """The whole fleet. `starts` and `most` are by hour of the week in `zone`, Monday 00:00 first."""

    zone: ZoneInfo
    jobs: dict[str, JobFigures] = field(default_factory=dict)
    starts: list[int] = field(default_factory=lambda: [0] * HOURS)
    most: list[int] = field(default_factory=lambda: [0] * HOURS)
    running: Peak = field(default_factory=Peak)
    waiting: Peak = field(default_factory=Peak)
    cpus: Peak = field(default_factory=Peak)
    memory: Peak = field(default_factory=Peak)
    left_out: list[SlotRecord] = field(default_factory=list)
    capped: bool = False
    _now_running: int = 0
    _now_cpus: float = 0.0
    _now_memory: int = 0
    _offset: timedelta | None = None
    _offset_until: datetime | None = None

    def of(self, job: str) -> JobFigures:
        found = self.jobs.get(job)
        if found is None:
            found = self.jobs[job] = JobFigures()
        return found

    def started(self, run: RunRecord, spec: JobSpec, at: datetime, *, beside: bool, first: bool) -> None:
        """`beside` another slot's run of its job; `first` of its slot's cells: slots are counted, not cells."""
        job = self.of(run.job)
        job.ran += first
        job.overlaps += beside and first
        job.caught_up += first and run.trigger is Trigger.CATCH_UP
        waited = (at - max(run.slot, run.claimed_at)).total_seconds()
        if waited > 0:
            job.waited += 1
            job.longest_wait = max(job.longest_wait, waited)
        self._now_running += 1
        self._now_cpus += spec.resources.cpus or 0.0
        self._now_memory += spec.resources.memory or 0
        self.running.see(self._now_running, at)
        self.cpus.see(round(self._now_cpus, 3), at)
        self.memory.see(self._now_memory, at)
        hour = self._hour(at)
        self.starts[hour] += 1
        self.most[hour] = max(self.most[hour], self._now_running)

    def ended(self, run: RunRecord, spec: JobSpec, phase: Phase, at: datetime) -> None:
        job = self.of(run.job)
        if run.started_at is not None:
            job.busy += (at - run.started_at).total_seconds()
        job.timed_out += phase is Phase.TIMED_OUT
        self._now_running -= 1
        self._now_cpus -= spec.resources.cpus or 0.0
        self._now_memory -= spec.resources.memory or 0

    def slot(self, record: SlotRecord) -> None:
        """One that came to nothing, or a range of such."""
        job = self.of(record.job)
        job.fires += record.count
        if record.disposition is not Disposition.RAN:
            job.left_out[record.disposition.value] += record.count
            if len(self.left_out) < SHOWN:
                self.left_out.append(record)

    def _hour(self, at: datetime) -> int:
        """Of the week. The zone's offset is asked for once an hour of simulated time."""
        if self._offset is None or self._offset_until is None or not at < self._offset_until:
            self._offset = at.astimezone(self.zone).utcoffset() or timedelta()
            self._offset_until = at.replace(minute=0, second=0, microsecond=0) + timedelta(minutes=30)
            if at.minute >= 30:
                self._offset_until += timedelta(minutes=30)
        here = at + self._offset
        return here.weekday() * 24 + here.hour
