"""What must hold whatever happens: looked at after each round, more closely once a day, and at the end."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from reconciler.engine.memory_world import MemoryRun
from reconciler.model.ids import parse_run_id
from reconciler.model.job import Concurrency
from reconciler.model.live import StandingJob
from reconciler.model.plan import ActionKind
from reconciler.model.run import Disposition, Phase, RunRecord, SlotRecord, Trigger
from reconciler.schedule.cron import excluded_fires, fires
from reconciler.schedule.due import same_schedule

if TYPE_CHECKING:
    from .service import Service
    from .world import World

MOST_FIRES = 100_000
SEEN_WITHIN = 4 * 3600.0  # seconds: twice the pace of the service's looks, see RELAXED


class Broken(AssertionError):
    """A rule does not hold."""


@dataclass(slots=True)
class Stretch:
    """A job under one schedule: its slots in (checked, cursor] are still to be compared with the ledger."""

    row: StandingJob
    checked: datetime
    since: datetime  # its schedule, or its right to fire, is of then
    alone_from: datetime  # from then on all records of its name are its own: it may have taken that of an earlier job


class Rules:
    """Knows what was seen so far."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.rows: dict[str, StandingJob] = {}
        self.stretches: dict[str, Stretch] = {}
        self.held: dict[str, str] = {}
        self.seen_starts = 0
        self.pruned: set[str] = set()
        self.names: dict[str, str] = {}  # run id -> its job's present name
        self.strangers = dict(world.machine.world.standing)
        self.foreign_runs = dict(world.machine.world.runs)
        self.slots_checked = 0
        self.rows_written = True  # rows of standing jobs, since they were looked at last
        self.followed: Service | None = None

    def dropped(self, run_ids: Iterable[str]) -> None:
        """These were handed out by retention."""
        self.pruned.update(run_ids)

    def moved(self, new: str) -> None:
        """A job takes the name of an earlier one. Ended rows of that give way where both have one for an instant (see
        docs/state.md): of its runs nobody can say any more that the ledger must have them."""
        self.pruned.update(start.run_id for start in self.world.machine.starts if self.names.get(start.run_id) == new)

    # -- after each round -------------------------------------------------------------------------------------
    def after_round(self, service: "Service", loop: str) -> None:
        machine = self.world.machine
        if machine.broken:
            raise Broken(machine.broken[0])
        self._strangers_untouched()
        if self.rows_written or service is not self.followed:
            self.rows_written, self.followed = False, service
            self._rows(service)
        if self.seen_starts < len(machine.starts):
            self._starts(service)
        if loop == "sync":
            self._held(service)

    def _strangers_untouched(self) -> None:
        world = self.world.machine.world
        for name, entry in self.strangers.items():
            if world.standing.get(name) is not entry:
                raise Broken(f"P2: the stranger {name} was touched")
        for run_id, run in self.foreign_runs.items():
            if world.runs.get(run_id) is not run:
                raise Broken(f"P2: the foreign run {run_id} was touched")

    def _held(self, service: "Service") -> None:
        desired = service.fleet.view.desired
        if desired is None:
            return
        self.held = {name: digest for name, digest in self.held.items() if name in desired.held}
        rows = service.history.standing()
        for name in desired.held:
            row = rows.get(name)
            if name in self.held:
                if row is None or row.digest != self.held[name]:
                    raise Broken(f"D2: the held job {name} has changed")
            elif row is not None and not row.retiring:
                self.held[name] = row.digest

    # -- starts -----------------------------------------------------------------------------------------------
    def _starts(self, service: "Service") -> None:
        machine = self.world.machine
        machine.world.settle()
        for start in machine.starts[self.seen_starts :]:
            if sum(1 for other in machine.starts if other.run_id == start.run_id) > 1:
                raise Broken(f"R1: {start.run_id} was started twice")
            record = service.history.run(start.run_id)
            if record is None:
                raise Broken(f"R1: {start.run_id} was started and is not in the ledger")
            self.names[start.run_id] = record.job
            for other in service.history.of_slot(record.job, record.slot):
                if other.run_id != start.run_id and other.cell == record.cell:
                    self._second(start.run_id, other.run_id, machine.world.runs.get(other.run_id), record.trigger)
            self._beside(start.run_id, record)
            self._devices(start.run_id)
            self._places(start.run_id)
        self.seen_starts = len(machine.starts)

    def _second(self, run_id: str, earlier: str, theirs: MemoryRun | None, trigger: Trigger) -> None:
        """Another attempt at one slot: only a retry may start when one has started before."""
        if not any(start.run_id == earlier for start in self.world.machine.starts):
            return
        if trigger is not Trigger.RETRY:
            raise Broken(f"R1: {run_id} was started although {earlier} had been")
        if theirs is not None and _runs(theirs):
            raise Broken(f"R1: {run_id} was started while {earlier} still ran")

    def _beside(self, run_id: str, record: RunRecord) -> None:
        """Other runs of the job that run now; the cells of its own slot may."""
        world = self.world.machine.world
        run = world.runs.get(run_id)
        if run is None or run.order.spec.concurrency_policy is Concurrency.ALLOW:
            return
        for other, theirs in world.runs.items():
            if not _runs(theirs) or other in self.foreign_runs or self.names.get(other) != record.job:
                continue
            if parse_run_id(other).slot != record.slot:
                policy = run.order.spec.concurrency_policy
                raise Broken(f"R2: {run_id} ({policy}) was started while {other} still ran")

    def _devices(self, run_id: str) -> None:
        """What runs has its devices for itself, and as many as it asked for."""
        world = self.world.machine.world
        run = world.runs.get(run_id)
        if run is None or not _runs(run):
            return
        devices, wanted = set(run.order.devices), run.order.spec.resources.gpus or 0
        if len(devices) != wanted:
            raise Broken(f"R2: {run_id} was started with {len(devices)} of {wanted} devices")
        for other, theirs in world.runs.items():
            if other != run_id and _runs(theirs) and devices & set(theirs.order.devices):
                raise Broken(f"R2: {run_id} was started with a device that {other} has")

    def _places(self, run_id: str) -> None:
        """No more at once than `max_running` and the group allow."""
        world, most = self.world.machine.world, self.world.config.limits.max_running
        ours = [run for name, run in world.runs.items() if _runs(run) and name not in self.foreign_runs]
        if most is not None and len(ours) > most:
            raise Broken(f"R2: {run_id} was started as the {len(ours)}th of at most {most}")
        run = world.runs.get(run_id)
        group = run.order.spec.concurrency_group if run is not None else None
        if group and run is not None and _runs(run):
            beside = [r.order.run_id for r in ours if r is not run and r.order.spec.concurrency_group == group]
            if beside:
                raise Broken(f"R2: {run_id} was started beside {beside[0]} of its group")

    # -- slots ------------------------------------------------------------------------------------------------
    def _rows(self, service: "Service") -> None:
        """Follow each job from schedule to schedule."""
        rows = dict(service.history.standing())
        for name, row in rows.items():
            before = self.rows.get(name)
            if before is row:
                continue
            if before is None:
                old = row.spec.moved_from
                if old is not None and old in self.rows and old not in rows and old in self.stretches:
                    stretch = self.stretches.pop(old)
                    before = stretch.row
                    for run_id, job in self.names.items():
                        if job == old:
                            self.names[run_id] = name
                    self.stretches[name] = Stretch(
                        before, stretch.checked, stretch.since, max(self.world.time.wall(), row.cursor)
                    )  # fmt: skip
                else:
                    if row.cursor < row.applied_at:
                        raise Broken(f"T4: the new job {name} owes something from before it")
                    self.stretches[name] = Stretch(row, row.cursor, row.cursor, row.cursor)
                    continue
            if row.cursor < before.cursor:
                raise Broken(f"T7: the cursor of {name} went back from {before.cursor} to {row.cursor}")
            stretch = self.stretches[name]
            edited = row.anchor != before.anchor or not same_schedule(before.spec.schedule, row.spec.schedule)
            if edited or (before.spec.suspend and not row.spec.suspend):
                if row.cursor < row.applied_at:
                    raise Broken(f"T4: {name} owes something from before its edit")
                self._accounted(service, name, stretch, before.cursor)
                self._nothing_dropped(service, name, before, row)
                stretch.checked = stretch.since = row.cursor
            stretch.row = row
        for name in self.rows.keys() - rows.keys():
            self.stretches.pop(name, None)
        self.rows = rows

    def _nothing_dropped(self, service: "Service", name: str, before: StandingJob, row: StandingJob) -> None:
        """What was due before the edit under the old schedule has its record as well (T5)."""
        due = fires(before.spec.schedule, before.cursor, min(row.cursor, row.applied_at), before.anchor, MOST_FIRES)
        missing = [at for at in due if not _covered(self._records(service, name), at)]
        if missing:
            raise Broken(f"T5: {name} was due at {missing[0]} and {len(missing) - 1} more before its edit; no record")

    def _records(self, service: "Service", name: str) -> list[SlotRecord]:
        """Every scheduled slot's record; that of a claimed one is made up here."""
        found = [slot for slot in service.history.slots(name, limit=10_000) if not slot.first.microsecond]
        for run in service.history.active_runs():
            if run.job == name and run.active and not run.slot.microsecond:
                found.append(SlotRecord(name, run.slot, run.slot, 1, Disposition.RAN, "claimed", run.run_id))
        return found

    def _accounted(self, service: "Service", name: str, stretch: Stretch, until: datetime) -> None:
        """Rule T5: each fire has a record, and there are no others."""
        row = stretch.row
        asked = (row.spec.schedule, stretch.checked, until, row.anchor, MOST_FIRES)
        due = [*fires(*asked), *excluded_fires(*asked)]
        if due:
            records = self._records(service, name)
            for at in due:
                if not _covered(records, at):
                    raise Broken(f"T5: {name} was due at {at}, and no record says what became of it")
            known = set(due)
            for record in records:
                for edge in (record.first, record.last):
                    if max(stretch.checked, stretch.alone_from) < edge <= until and edge not in known:
                        raise Broken(f"T5: a record of {name} at {edge}, at which it was not due")
            self.slots_checked += len(due)
        stretch.checked = max(stretch.checked, until)

    def daily(self) -> None:
        service = self.world.service
        if service is not None:
            self._rows(service)
            for name, stretch in self.stretches.items():
                self._accounted(service, name, stretch, stretch.row.cursor)
            for start in self.world.machine.starts:
                young = start.true > self.world.time.true - 3 * 86400.0
                if young and start.run_id not in self.pruned and service.history.run(start.run_id) is None:
                    raise Broken(f"R7: {start.run_id} was started and is no longer in the ledger")

    # -- ends -------------------------------------------------------------------------------------------------
    def hourly(self) -> None:
        """A run's end is seen by looking if by nothing else, and none outlives its time. Only after a span in which
        nothing went wrong: what was lost of an event before must have been found by then."""
        world, service = self.world, self.world.service
        calm = world.time.true - world.trouble_at
        if service is None or calm < SEEN_WITHIN:
            return
        machine, now = world.machine, world.time.wall()
        machine.world.settle()
        for run_id, run in machine.world.runs.items():
            if run_id in self.foreign_runs or run.started_at is None:
                continue
            if run.finished_at is not None:
                if now - run.finished_at < timedelta(seconds=SEEN_WITHIN):
                    continue
                record = service.history.run(run_id)
                if record is not None and record.active:
                    raise Broken(f"R5: {run_id} ended at {run.finished_at}, and the ledger has it {record.phase}")
            elif (now - run.started_at).total_seconds() > self._longest(run):
                raise Broken(f"R4: {run_id} runs since {run.started_at}, longer than it may")

    def _longest(self, run: MemoryRun) -> float:
        return run.order.spec.timeout + run.order.spec.stop_grace_period + SEEN_WITHIN

    # -- the end ----------------------------------------------------------------------------------------------
    def settled(self) -> None:
        """Faults have stopped: all is as git says, and every clock has caught up."""
        service, now = self.world.service, self.world.time.wall()
        if service is None:
            raise Broken("the service does not stay up")
        view = service.fleet.view
        bad = {name: c.message for name, c in service.fleet.conditions.items() if not c.ok}
        if bad:
            raise Broken(f"a condition stays although nothing is wrong: {bad}")
        plan = view.plan
        if plan is None or plan.revision != self.world.repository.id:
            raise Broken("the newest revision is not in force")
        left = [a for a in plan.changes if a.name not in self.strangers]
        if left:
            raise Broken(f"P1: no fixed point: {[(a.kind.value, a.name, a.why) for a in left]}")
        if service.history.open_intents():
            raise Broken(f"P6: an intent stays open: {service.history.open_intents()}")
        waiting = {a.name for a in plan.actions if a.kind is ActionKind.HOLD}
        wanted = self.world.repository.files.keys() - self.strangers.keys()
        rows = service.history.standing()
        for name in wanted:
            if name not in rows:
                raise Broken(f"{name} is in git and is not applied")
        # A job whose new name a stranger has stays where it is.
        waiting |= {self.world.repository.files[name].get("moved_from", "") for name in self.world.repository.files
                    if name in self.strangers}  # fmt: skip
        for name in rows.keys() - wanted - waiting:
            raise Broken(f"{name} is not in git and still applied")
        for name, row in rows.items():
            late = fires(row.spec.schedule, row.cursor, now - timedelta(minutes=1), row.anchor, 10)
            if late:
                raise Broken(f"T5: {name} has not decided about {late[0]}")
        longest = now - timedelta(hours=11)
        for run in service.history.active_runs():
            if run.claimed_at < longest and run.slot < longest:
                raise Broken(f"{run.run_id} is stuck: {run.phase} {run.reason} {run.stop_reason}")

    def at_rest(self) -> None:
        """Nothing is due any more: nothing is left, and what ran is known to have run."""
        service = self.world.service
        if service is None:
            raise Broken("the service does not stay up")
        # A protected job whose file is gone goes on firing, and nothing in git can suspend it.
        firing = {name for name, row in service.history.standing().items() if not row.spec.suspend}
        names = {run.run_id: run.job for run in service.history.active_runs()}
        left = [run for run in service.history.active_runs() if run.job not in firing]
        if left:
            raise Broken(f"{left[0].run_id} never ends: {left[0].phase} {left[0].reason} {left[0]}")
        machine = self.world.machine.world
        runs = [
            run_id for run_id in machine.runs if run_id not in self.foreign_runs and names.get(run_id) not in firing
        ]
        if runs:
            raise Broken(f"{runs} are left in the engine")
        for start in self.world.machine.starts:
            if start.run_id in self.pruned:
                continue
            record = service.history.run(start.run_id)
            if record is None:
                raise Broken(f"R7: {start.run_id} was started and is not in the ledger")
            if record.job in firing and record.active:
                continue
            if record.started_at is None:
                raise Broken(f"R7: {start.run_id} was started, and the ledger does not say so: {record.phase}")
            if record.phase in (Phase.CANCELLED, Phase.FAILED) and record.exit_code is None:
                raise Broken(f"R7: {start.run_id} ran and is {record.phase} without an exit code: {record.reason}")
        self._what_ran(service)
        for name, stretch in self.stretches.items():  # what was claimed has come to an end as well
            stretch.checked = stretch.since
            self._accounted(service, name, stretch, stretch.row.cursor)

    def _what_ran(self, service: "Service") -> None:
        """A slot is called `ran` or `lost` exactly if one of its attempts was started."""
        started = {start.run_id for start in self.world.machine.starts}
        for name in service.history.standing():
            runs = service.history.runs(name, limit=10_000)
            ran = {run.slot for run in runs if run.run_id in started}
            had = {run.slot for run in runs}
            for slot in service.history.slots(name, limit=10_000):
                if slot.count == 1 and slot.first in had and slot.run_id and slot.run_id not in self.pruned:
                    says = slot.disposition in (Disposition.RAN, Disposition.LOST)
                    did = slot.first in ran
                    if says != did and not (did and slot.disposition is Disposition.SUPERSEDED):
                        raise Broken(f"T5: the slot of {slot.run_id} is {slot.disposition} and it "
                                     f"{'ran' if did else 'did not run'}")  # fmt: skip


def _covered(records: list[SlotRecord], at: datetime) -> bool:
    return any(record.first <= at <= record.last for record in records)


def _runs(run: MemoryRun) -> bool:
    return run.started_at is not None and run.finished_at is None
