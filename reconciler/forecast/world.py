"""In: jobs, how long their runs take, a span of time. Out: what the deciding code of the service makes of it.

Decisions are those of `schedule.due`, turns those of `runs.places`; only the engine is imagined: a run lasts as long as
it is said to, or its timeout. Nothing fails. Time jumps from event to event.
"""

import heapq
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from ..model.evolve import evolve
from ..model.job import Concurrency
from ..model.live import StandingJob
from ..model.run import Disposition, Phase, RunRecord, RunRequest, SlotRecord
from ..model.service import Limits, Total
from ..runs.cells import expand
from ..runs.places import HOLDING, NO_TOTALS, Places, turn
from ..runs.transitions import claimed
from ..schedule.after import awaited, fires, own_instant, triggered
from ..schedule.due import decide
from ..schedule.gates import Gates
from .cells import CellBook
from .figures import Figures
from .span import Span

MOST_RUNS = 1_000_000
_PATIENCE = timedelta(days=30)  # of the cells of a slot that has begun
_END, _BACK, _WAKE, _LOOK = range(4)  # at one instant in this order
Event = tuple[datetime, int, int, str]


def simulate(
    jobs: Mapping[str, StandingJob], span: Span, duration: Callable[[str, int], float], limits: Limits, zone: ZoneInfo,
    gpus: int | None = None, totals: Mapping[str, Total] = NO_TOTALS,
) -> Figures:  # fmt: skip
    """`duration(job, n)`: seconds that the n-th run of a job takes, from 0. Cursors are set to the span's begin.
    `gpus`: how many the host has; None = not known, and none is lacking. `totals`: of owners."""
    return _World(jobs, span, duration, limits, zone, gpus, totals).run()


class _World:
    def __init__(
        self, jobs: Mapping[str, StandingJob], span: Span, duration: Callable[[str, int], float], limits: Limits,
        zone: ZoneInfo, gpus: int | None, totals: Mapping[str, Total],
    ) -> None:  # fmt: skip
        self.jobs = {name: evolve(job, cursor=span.begin, applied_at=span.begin) for name, job in jobs.items()}
        self.span, self.duration = span, duration
        self.figures = Figures(zone)
        self.places = Places((), limits, totals)
        self.gpus, self.free_gpus = gpus, gpus
        self.first = ""  # who waits for more GPUs than are free: they are kept for it
        self.patience = limits.queue_timeout
        self.heap: list[Event] = []
        self.order = self.runs = 0
        self.down: tuple[datetime, datetime] | None = None
        self.wakes: dict[str, datetime] = {}  # of several wake-ups of a job, this one counts
        self.looks: dict[str, datetime] = {}  # when a waiting run is looked at for the last time
        self.active: dict[str, dict[str, RunRecord]] = {}
        self.waiting: dict[str, RunRecord] = {}
        self.cells = CellBook()
        self.unseen: list[RunRecord] = []  # ended while nobody looked
        self.nth: dict[str, int] = {}
        self.success: dict[str, datetime] = {}
        self.followers: dict[str, list[str]] = {}
        for name, job in self.jobs.items():
            for link in job.spec.after:
                self.followers.setdefault(link.job, []).append(name)

    def run(self) -> Figures:
        for name in self.jobs:
            self._wake(name, self.span.begin)
        for begin, end in self.span.downtime:
            self._at(begin, _BACK, "")
            self._at(end, _BACK, "")
        while self.heap and self.heap[0][0] <= self.span.end:
            at, kind, _, name = heapq.heappop(self.heap)
            self._happen(at, kind, name)
            if self.runs >= MOST_RUNS or self.order >= 10 * MOST_RUNS:
                self.figures.capped = True
                break
        return self.figures

    def _at(self, at: datetime, kind: int, name: str) -> None:
        self.order += 1
        heapq.heappush(self.heap, (at, kind, self.order, name))

    def _wake(self, name: str, at: datetime) -> None:
        self.wakes[name] = at
        self._at(at, _WAKE, name)

    def _happen(self, now: datetime, kind: int, name: str) -> None:
        if kind == _END:
            self._ended(name, now)
        elif kind == _BACK:
            self._up_or_down(now)
        elif self.down is not None:
            return  # nobody decides; all of it is decided when the service is back
        elif kind == _WAKE:
            if self.wakes.get(name) == now:
                self._decide(name, now, None)
        else:
            self._serve(now)

    def _up_or_down(self, now: datetime) -> None:
        here = next(((begin, end) for begin, end in self.span.downtime if begin <= now < end), None)
        if here is not None:
            self.down = here
            return
        gone, self.down = self.down, None
        for run in self.unseen:
            self._fire_after(run, now)
        self.unseen.clear()
        for name in self.jobs:
            self._decide(name, now, gone)
        self._serve(now)

    # -- slots ------------------------------------------------------------------------------------------------
    def _decide(self, name: str, now: datetime, downtime: tuple[datetime, datetime] | None) -> None:
        job = self.jobs[name]
        active = self.active.get(name)
        decision = decide(
            job, tuple(active.values()) if active else (), now, Gates(downtime=downtime, begun=self.cells.begun(name))
        )
        if decision.cursor != job.cursor:
            job = self.jobs[name] = evolve(job, cursor=decision.cursor)
        for slot in decision.slots:
            self.figures.slot(slot)
        for run_id, _ in decision.stop:
            self._stop(name, run_id, now)
        for request in decision.launch:
            self._claim(job, request, decision.deadline, now)
        if decision.launch:
            self._serve(now)
        if decision.wake_at is not None:
            self._wake(name, max(decision.wake_at, now))
        else:
            self.wakes.pop(name, None)

    def _claim(self, job: StandingJob, request: RunRequest, deadline: datetime | None, now: datetime) -> None:
        self.figures.of(job.name).fires += 1
        of_job = self.active.setdefault(job.name, {})
        for each in expand(request, job.spec):
            run = claimed(each, job, deadline, now, "")
            of_job[run.run_id] = self.waiting[run.run_id] = run
            self.cells.add(run)

    def _stop(self, name: str, run_id: str, now: datetime) -> None:
        """Replace: it ends at once, with every cell of its slot. What waits is superseded."""
        run = self.active.get(name, {}).get(run_id)
        if run is None:
            return
        cells = self.cells.of(run)
        ids = sorted(cells.open, key=lambda each: each not in self.waiting) if cells is not None else [run_id]
        for each in ids:
            if (found := self.active.get(name, {}).get(each)) is not None:
                self._stop_one(found, now)

    def _stop_one(self, run: RunRecord, now: datetime) -> None:
        if self.waiting.pop(run.run_id, None) is not None:
            self._drop(run)
            self._nothing(run, Disposition.SUPERSEDED, "replaced")
        else:
            self._over(run, Phase.CANCELLED, now)

    # -- turns ------------------------------------------------------------------------------------------------
    def _serve(self, now: datetime) -> None:
        """Start what may start, in the order of turns; what waits too long is missed."""
        if not self.waiting:
            return
        self.first = ""
        self.places.new_round()
        order = sorted(self.waiting.values(), key=lambda run: turn(run, self.jobs[run.job].spec))
        for run in order:
            job = self.jobs[run.job]
            why, until = self._hindered(run, job, now)
            if not why:
                self._start(run, job, now)
            elif until <= now:
                del self.waiting[run.run_id]
                self.looks.pop(run.run_id, None)
                self._drop(run)
                self._nothing(run, Disposition.MISSED, f"waited for {why}")
            elif self.looks.get(run.run_id) != until:
                self.looks[run.run_id] = until
                self._at(until, _LOOK, "")
        self.figures.waiting.see(len(self.waiting), now)

    def _hindered(self, run: RunRecord, job: StandingJob, now: datetime) -> tuple[str, datetime]:
        """(what it waits for, until when); ("", now) = it may start."""
        spec = job.spec
        patience = self.patience if spec.queue.timeout is None else spec.queue.timeout
        until = max(run.claimed_at, run.slot) + timedelta(seconds=patience)
        cells = self.cells.of(run)
        if cells is not None and cells.begun:
            until = run.claimed_at + _PATIENCE
        elif run.deadline is not None:
            until = min(until, run.deadline)
        others = self.active[run.job]
        if run.replaces and any(name in others for name in run.replaces):
            return "what it replaces", until
        if len(others) > 1 and spec.concurrency_policy is Concurrency.QUEUE:
            mine = run.slot
            if any(o.slot < mine or o.phase in HOLDING for o in others.values() if o.slot != mine):
                return "its turn", until
        if spec.wait_for:
            words, bound = awaited(spec, run.slot, self.jobs.get, self.success.get)
            if words:
                return words, bound or until
        if cells is not None and cells.full(run.max_parallel):
            return "cells of its slot (strategy.max_parallel)", until
        lacking = self.places.lacking(spec)
        if lacking:
            self.places.waits(spec)
        lacking = lacking or self._lacks_gpus(run, spec.resources.gpus or 0)
        return (lacking, until) if lacking else ("", now)

    def _lacks_gpus(self, run: RunRecord, wanted: int) -> str:
        if not wanted or self.gpus is None or self.free_gpus is None or (wanted <= self.free_gpus and not self.first):
            return ""
        self.first = self.first or (run.run_id if wanted <= self.gpus else "")
        return f"{wanted} GPUs"

    def _start(self, run: RunRecord, job: StandingJob, now: datetime) -> None:
        del self.waiting[run.run_id]
        spec, nth = job.spec, self.nth.get(run.job, 0)
        self.nth[run.job] = nth + 1
        self.runs += 1
        self.looks.pop(run.run_id, None)
        takes = self.duration(run.job, nth)
        phase = Phase.TIMED_OUT if takes > spec.timeout else Phase.SUCCEEDED
        started = evolve(run, phase=Phase.RUNNING, started_at=now, reason=phase.value)
        self.places.passed(run, started, spec)
        if self.free_gpus is not None:
            self.free_gpus -= spec.resources.gpus or 0
        others = self.active[run.job]
        others[run.run_id] = started
        beside = len(others) > 1 and any(o.phase in HOLDING for o in others.values() if o.slot != run.slot)
        self.figures.started(run, spec, now, beside=beside, first=self.cells.started(run))
        self._at(now + timedelta(seconds=min(takes, spec.timeout)), _END, run.run_id + "\n" + run.job)

    # -- ends -------------------------------------------------------------------------------------------------
    def _ended(self, name: str, now: datetime) -> None:
        run_id, _, job = name.partition("\n")
        run = self.active.get(job, {}).get(run_id)
        if run is not None:
            self._over(run, Phase(run.reason), now)

    def _over(self, run: RunRecord, phase: Phase, now: datetime) -> None:
        spec = self.jobs[run.job].spec
        self.places.freed(spec)
        if self.free_gpus is not None:
            self.free_gpus += spec.resources.gpus or 0
        self.figures.ended(run, spec, phase, now)
        self._drop(run)
        cells = self.cells.of(run)
        closed = self.cells.closed(run, phase)
        if closed is None:
            if phase.bad and spec.strategy.fail_fast and cells is not None and cells.open:
                self._stop(run.job, min(cells.open), now)
            if self.down is None:
                self._serve(now)
            return
        phase = closed
        if phase is Phase.SUCCEEDED:
            self.success[run.job] = max(run.slot, self.success.get(run.job, run.slot))
        if run.job in self.followers:
            ended = evolve(run, phase=phase)
            if self.down is not None:
                self.unseen.append(ended)
            else:
                self._fire_after(ended, now)
        if self.down is None:
            self._serve(now)

    def _drop(self, run: RunRecord) -> None:
        of_job = self.active[run.job]
        del of_job[run.run_id]
        if not of_job:
            del self.active[run.job]

    def _nothing(self, run: RunRecord, disposition: Disposition, reason: str) -> None:
        """It was counted when it was claimed; what came of it is counted now. Of a slot's cells the last one counts,
        if none has started."""
        cells = self.cells.of(run)
        if cells is not None and (self.cells.closed(run, Phase.CANCELLED) is None or cells.begun):
            return
        self.figures.of(run.job).fires -= 1
        self.figures.slot(SlotRecord(run.job, run.slot, run.slot, 1, disposition, reason))

    def _fire_after(self, cause: RunRecord, now: datetime) -> None:
        for name in self.followers.get(cause.job, ()):
            job = self.jobs[name]
            if not any(link.job == cause.job and fires(link, cause.phase) for link in job.spec.after):
                continue
            active = self.active.get(name, {})
            nth = 0
            while any(run.slot == own_instant(now, nth) for run in active.values()):
                nth += 1
            found = triggered(job, cause, tuple(active.values()), own_instant(now, nth), now, Gates())
            if found.refused:
                slot = found.request.slot
                self.figures.slot(SlotRecord(name, slot, slot, 1, Disposition.SKIPPED, found.refused))
                continue
            for run_id in found.request.replaces:
                self._stop(name, run_id, now)
            self._claim(job, found.request, found.deadline, now)
