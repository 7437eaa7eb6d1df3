"""However service and engine fail, no slot runs twice, none is forgotten, and nothing is left behind (R1-R5)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model.ids import parse_run_id, run_id
from reconciler.model.job import JobSpec, Retries, Schedule, ScheduleKind
from reconciler.model.live import LivePhase, LiveRun, StandingJob
from reconciler.model.run import Disposition, FailureClass, RunRecord, RunRequest, Trigger
from reconciler.runs import transitions
from reconciler.runs.machine import (
    Adopt,
    Collect,
    Context,
    Discard,
    FindStart,
    Finish,
    GiveUp,
    Kill,
    Launch,
    Prepare,
    Stop,
    next_step,
)
from reconciler.runs.retry import next_attempt

SLOT = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)


class Crashed(Exception):
    """The service was killed here."""


class NoAnswer(Exception):
    """The engine did not answer: it may have done it, may do it yet, or not at all."""


@dataclass
class Box:
    """A container."""

    ref: str
    run_id: str
    phase: LivePhase = LivePhase.CREATED
    ends_at: datetime | None = None
    exit_code: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    ignores_term: bool = False

    def live(self) -> LiveRun:
        return LiveRun(self.run_id, "a/job", self.ref, self.phase, self.exit_code, self.started_at, self.finished_at)


@dataclass
class World:
    """An engine, a ledger, and a clock; `dice` decides what fails. Starts are remembered for ever."""

    dice: random.Random
    spec: JobSpec
    now: datetime = SLOT
    boxes: dict[str, Box] = field(default_factory=dict)  # by run id
    ever: dict[str, Box] = field(default_factory=dict)  # started ones, by ref
    in_flight: list[tuple[datetime, Callable[[], None]]] = field(default_factory=list)
    rows: dict[str, RunRecord] = field(default_factory=dict)
    slots: dict[datetime, list[Disposition]] = field(default_factory=dict)
    faulty: bool = True
    serial: int = 0

    # -- faults -----------------------------------------------------------------------------------------------
    def chance(self, share: float) -> bool:
        return self.faulty and self.dice.random() < share

    def crash_point(self) -> None:
        if self.chance(0.04):
            raise Crashed

    def call(self, effect: Callable[[], None]) -> None:
        """One engine call: it works, fails before, works without an answer, or works much later without one."""
        self.crash_point()
        if self.chance(0.25):
            kind = self.dice.choice(["before", "after", "late"])
            if kind == "after":
                effect()
            if kind == "late":
                self.in_flight.append((self.now + timedelta(seconds=self.dice.uniform(0, 90)), effect))
            self.crash_point()
            raise NoAnswer
        effect()
        self.crash_point()

    def pass_time(self) -> None:
        self.now += timedelta(seconds=self.dice.choice([0.1, 1, 7, 40]))
        for item in [item for item in self.in_flight if item[0] <= self.now]:
            self.in_flight.remove(item)
            item[1]()
        for box in self.boxes.values():
            if box.phase is LivePhase.RUNNING and box.ends_at is not None and box.ends_at <= self.now:
                self.end(box, self.dice.choice([0, 0, 1]))
        if self.chance(0.03):  # somebody prunes what does not run
            self.boxes = {name: box for name, box in self.boxes.items() if box.phase is LivePhase.RUNNING}

    # -- the engine -------------------------------------------------------------------------------------------
    def create(self, run_id: str) -> None:
        if run_id not in self.boxes:
            self.serial += 1
            self.boxes[run_id] = Box(f"c{self.serial}", run_id, ignores_term=self.dice.random() < 0.3)

    def start(self, ref: str) -> None:
        """The engine's own rule: a start of a stopped container runs it again. We must never ask twice."""
        box = next((box for box in self.boxes.values() if box.ref == ref), None)
        if box is None or box.phase is LivePhase.RUNNING:
            return
        assert self.rows[box.run_id].start_requested_at is not None, "no start without its intent on disk"
        self.check_start(box)
        box.phase, box.started_at = LivePhase.RUNNING, self.now
        box.ends_at = self.now + timedelta(seconds=self.dice.choice([1, 20, 10_000]))
        self.ever[ref] = box

    def check_start(self, box: Box) -> None:
        """R1: nothing runs a second time, and two attempts at one slot never at once."""
        assert box.ref not in self.ever, "a container was started twice"
        _, slot, attempt, _ = parse_run_id(box.run_id)
        before = [other for other in self.ever.values() if parse_run_id(other.run_id)[1] == slot]
        assert all(other.phase is LivePhase.EXITED for other in before), "two attempts at one slot run at once"
        assert all(parse_run_id(other.run_id)[2] < attempt for other in before)
        assert len(before) <= self.spec.retries.limit, "more starts than the job allows"

    def end(self, box: Box, code: int) -> None:
        if box.phase is LivePhase.RUNNING:
            box.phase, box.exit_code, box.finished_at = LivePhase.EXITED, code, self.now

    def remove(self, run_id: str) -> None:
        box = self.boxes.get(run_id)
        if box is not None and box.phase is not LivePhase.RUNNING:
            del self.boxes[run_id]

    def find_start(self, run: RunRecord) -> LiveRun | None:
        self.crash_point()
        if self.chance(0.2):
            raise NoAnswer
        box = self.boxes.get(run.run_id)
        if box is not None and box.phase is LivePhase.CREATED:
            del self.boxes[run.run_id]
        gone = self.ever.get(run.ref)
        return gone.live() if gone is not None else None

    # -- the ledger -------------------------------------------------------------------------------------------
    def write(self, run: RunRecord, disposition: Disposition | None = None) -> RunRecord:
        self.crash_point()
        self.rows[run.run_id] = run
        if disposition is not None:
            self.slots.setdefault(run.slot, []).append(disposition)
        self.crash_point()
        return run

    def claim(self, run: RunRecord) -> None:
        self.crash_point()
        self.rows.setdefault(run.run_id, run)
        self.crash_point()

    @property
    def settled(self) -> bool:
        return all(not row.active and row.collected and row.discarded for row in self.rows.values()) and not self.boxes


def carry_out(world: World, run: RunRecord) -> None:
    """One step of one run, as the service would."""
    sees = not world.chance(0.2)
    box = world.boxes.get(run.run_id)
    ctx = Context(complete=sees, listed_at=world.now, engine_ok=not world.chance(0.1))
    step = next_step(run, box.live() if sees and box is not None else None, world.spec, world.now, ctx)
    match step:
        case Prepare():
            prepare(world, run)
        case Launch():
            launch(world, run)
        case FindStart():
            old, fresh = transitions.after_find_start(run, world.find_start(run), world.now)
            if fresh is not None:
                world.claim(fresh)
            world.write(old)
        case Adopt():
            assert box is not None
            world.write(transitions.started(run, box.live(), world.now))
        case Stop(reason=reason):
            world.write(transitions.stopping(run, reason, world.now))
            world.call(lambda: world.end(box, 143) if box is not None and not box.ignores_term else None)
        case Kill():
            world.call(lambda: world.end(box, 137) if box is not None else None)
        case Collect():
            world.crash_point()
            world.write(transitions.collected(run, 10, None, None))
        case Discard():
            assert run.collected, "nothing is thrown away before it was kept"
            world.call(lambda: world.remove(run.run_id))
            world.write(transitions.discarded(run))
        case Finish(outcome=outcome, disposition=disposition):
            following = next_attempt(run, outcome, world.spec, world.now)
            if following is not None:
                world.claim(following)
            claimed = world.rows.get(run_id(run.job, run.slot, run.attempt + 1))
            if following is None and claimed is not None and claimed.active:  # before a crash; then it was to end
                world.write(transitions.stop_requested(claimed, run.stop_reason, world.now))
                following = claimed
            world.write(transitions.finished(run, outcome, world.now), None if following else disposition)
        case GiveUp(outcome=outcome, disposition=disposition):
            world.write(transitions.given_up(run, outcome, world.now), disposition)


def prepare(world: World, run: RunRecord) -> None:
    world.write(run := transitions.preparing(run, world.now))
    try:
        world.call(lambda: world.create(run.run_id))
    except NoAnswer:
        world.write(transitions.failed_before_start(run, FailureClass.ENGINE, "no answer", world.now))
        return
    box = world.boxes.get(run.run_id)
    if box is not None:
        world.write(transitions.prepared(run, box.ref, "i1", "", world.now))


def launch(world: World, run: RunRecord) -> None:
    intent = world.write(transitions.starting(run, world.now))
    world.call(lambda: world.start(intent.ref))
    box = world.ever.get(intent.ref)
    if box is None:  # the engine says for certain that there is nothing of that name
        world.write(transitions.failed_before_start(intent, FailureClass.ENGINE, "it is gone", world.now))
    else:
        world.write(transitions.started(intent, box.live(), world.now))


def drive(world: World, rounds: int) -> bool:
    """Let the service live, die and live again. True once everything has ended and nothing is left."""
    for _ in range(rounds):
        for name in list(world.rows):
            if world.chance(0.01):
                row = world.rows[name]
                world.rows[name] = transitions.stop_requested(row, "stopped by anna", world.now)
            try:
                carry_out(world, world.rows[name])
            except (Crashed, NoAnswer):
                continue
        world.pass_time()
        if world.settled and not world.in_flight:
            return True
    return False


@given(st.integers(0, 2**40), st.integers(0, 2))
@settings(max_examples=600, deadline=None)
def test_R1_R5_any_failures_any_crashes(seed: int, retries: int) -> None:
    spec = JobSpec("a/job", "a", Schedule(ScheduleKind.CRON, "0 2 * * *"), "busybox", timeout=300.0,
                   retries=Retries(limit=retries, delay=5.0))  # fmt: skip
    job = StandingJob("a/job", spec, "d1", "r1", "a/job.yaml", SLOT, SLOT, SLOT)
    world = World(random.Random(seed), spec)
    for minute in (0, 1):
        request = RunRequest("a/job", SLOT + timedelta(minutes=minute), 1, Trigger.SCHEDULE)
        claim = transitions.claimed(request, job, request.slot + timedelta(minutes=20), SLOT, f"logs/{request.run_id}")
        world.rows[claim.run_id] = claim
    drive(world, 60)
    world.faulty = False
    assert drive(world, 2000), "every claimed run ends, is kept and is removed"
    assert {slot: len(found) for slot, found in world.slots.items()} == {
        SLOT: 1, SLOT + timedelta(minutes=1): 1,
    }, "every slot has exactly one disposition"  # fmt: skip
    for row in world.rows.values():
        ran = row.started_at is not None
        assert ran == any(box.run_id == row.run_id for box in world.ever.values()), "what ran is known to have run"
    for slot, (disposition,) in world.slots.items():
        ran = any(parse_run_id(box.run_id)[1] == slot for box in world.ever.values())
        assert ran == (disposition in (Disposition.RAN, Disposition.LOST)), disposition
