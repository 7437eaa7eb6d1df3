"""A month of one service in virtual time: what happens next happens at once, and what goes wrong is the seed's."""

import random
import shutil
from collections import deque
from datetime import timedelta
from pathlib import Path
from typing import Any

from reconciler.engine.base import RunOrder
from reconciler.engine.memory_world import Behaviour, MemoryRun
from reconciler.history.sqlite import open_history
from reconciler.model.errors import ReconcilerError
from reconciler.model.job import JobSpec, Schedule, ScheduleKind
from reconciler.model.live import StandingJob
from reconciler.model.run import RunRecord
from reconciler.model.service import DeviceConfig, Limits, Policy, ServiceConfig, SourceConfig

from .faults import Fates, Killed
from .machine import Machine
from .repository import Repository
from .rules import Broken, Rules
from .script import Script
from .service import DATABASE, NEVER, OWN_PACE, RELAXED, Service
from .timeline import BASE, Timeline

DAY = 86400.0
SPINNING = 200  # rounds of one loop without time passing
ROWS = frozenset({"put_standing", "move_standing", "drop_standing", "set_cursor", "claim", "rewind"})
GPUS = ("0", "1")
FOREIGN_RUN = "a.20260901T000000Z.1"


class World:
    """`live(days)` runs it with faults, `settle()` without; both raise Broken at the first rule that does not hold."""

    def __init__(
        self, seed: int, path: Path, *, template: Path | None = None, own_pace: bool | None = None,
        most: int | None = None,
    ) -> None:  # fmt: skip
        self.seed, self.path = seed, path
        self.dice = random.Random(seed)
        self.time = Timeline()
        self.fates = Fates(random.Random(self.dice.random()))
        self.trace: deque[str] | list[str] | None = None
        self.machine = Machine(self.time, self.fates, self.note)
        self.repository = Repository(self.dice)
        self.local = self.dice.random() < 0.5
        slow = self.dice.random() < 0.003 if own_pace is None else own_pace
        self.pace = OWN_PACE if slow else RELAXED
        self.config = ServiceConfig(
            state_dir=str(path), source=SourceConfig(poll_interval=60.0 if slow else 6 * 3600.0),
            limits=Limits(
                max_running=self.dice.choice((None, None, 1, 2)), queue_timeout=1800.0, prepare_timeout=600.0,
            ),
            policy=Policy(gpus=True), devices=DeviceConfig(GPUS),
        )  # fmt: skip
        self.last_alive = None
        self.asleep_until = 0.0
        self.trouble_at = 0.0  # until when something goes wrong, or is down
        self.inside = 0  # sync rounds under way
        self.boots = 1
        self.deaths = self.steps = self.faults = 0
        path.mkdir(parents=True, exist_ok=True)
        if template is not None:
            shutil.copy(template, path / DATABASE)
        else:
            open_history(path / DATABASE).close()
        self._plant_strangers()
        self.rules = Rules(self)
        self.script = Script(self, most)
        self.service: Service | None = None
        self._feed: dict[str, None] = {}
        self.machine.world._feeds.append(self._feed)
        self.birth()

    def _plant_strangers(self) -> None:
        world = self.machine.world
        world.plant_foreign("stranger")
        if self.dice.random() < 0.2:
            world.plant_foreign("ml/f")
        spec = JobSpec("a", "default", Schedule(ScheduleKind.MANUAL), "app:1")
        run = MemoryRun(RunOrder(FOREIGN_RUN, spec, "d", "r", Policy()), "foreign", "another-instance",
                        Behaviour(duration=None))  # fmt: skip
        run.started_at = run.finished_at = BASE
        world.runs[FOREIGN_RUN] = run

    def note(self, text: str) -> None:
        if self.trace is not None:
            self.trace.append(f"{self.time.true / DAY:9.5f} {self.time.wall():%m-%d %H:%M:%S} {text}")

    def wrote(self, name: str, arguments: tuple[Any, ...]) -> None:
        """A write to the ledger took effect (or is part of a transaction that may still be undone)."""
        if name in ROWS:
            self.rules.rows_written = True
        if name == "move_standing":
            self.rules.moved(arguments[1].name)
        if self.trace is not None and name not in ("add_events", "end_intent", "prune"):
            self.note(f"  ledger {name} {_short(arguments)}")
        elif self.trace is not None and name == "add_events":
            for event in arguments[0]:
                self.note(f"  event {event.name.value} {event.job} {event.run} {_short(tuple(event.fields.items()))}")

    # -- life and death ---------------------------------------------------------------------------------------
    def birth(self) -> None:
        if self.service is None:
            self.note("the service starts")
            try:
                self.service = Service(self)
            except Killed:
                self.death()

    def death(self, down: float | None = None) -> None:
        """It is killed; systemd starts it again, or somebody does so much later."""
        self.deaths += 1
        self.fates.kill_in = 0
        self.inside = 0
        if self.service is not None:
            self.service.die()
        self.service = None
        if down is None:
            down = self.dice.uniform(0.1, 10.0) if self.dice.random() < 0.8 else self.dice.uniform(10.0, 2 * DAY)
        self.note(f"the service is dead for {down:.0f} s")
        self.trouble_at = max(self.trouble_at, self.time.true + down)
        self.time.after(down, self.birth)

    def close(self) -> None:
        if self.service is not None:
            self.service.die()
            self.service = None

    # -- time -------------------------------------------------------------------------------------------------
    def live(self, days: float) -> None:
        self.script.begin()
        self.advance(days * DAY)
        self.rules.daily()

    def advance(self, seconds: float) -> None:
        end = self.time.true + seconds
        while self.time.true < end:
            try:
                self._until(end)
            except Killed:
                self.death()

    def pass_inside(self, seconds: float) -> None:
        """Time passes while the sync loop waits for an answer: everything else goes on."""
        self._until(self.time.true + seconds)

    def _until(self, end: float) -> None:
        time = self.time
        while True:
            service = self.service
            runs = NEVER if service is None else max(service.runs_at.at, self.asleep_until)
            sync = NEVER if service is None or self.inside else max(service.sync_at.at, self.asleep_until)
            planned = time.next_at()
            soonest = min(runs, sync, NEVER if planned is None else planned)
            if soonest > end:
                time.true = max(time.true, end)
                return
            time.true = max(time.true, soonest)
            what = time.take()
            if what is not None:
                what()
            elif service is not None and runs <= time.true and (sync > time.true or self.dice.random() < 0.5):
                self._round(service, "run")
            elif service is not None:
                self._round(service, "sync")
            self._hand_on()

    def _round(self, service: Service, loop: str) -> None:
        self.steps += 1
        if loop == "run":
            service.step_runs()
            tempo = service.runs_at
        else:
            self.inside += 1
            service.step_sync()
            self.inside -= 1
            tempo = service.sync_at
        if tempo.steps > SPINNING:
            raise Broken(f"the {loop} loop spins: {tempo.steps} rounds without time passing")
        self.rules.after_round(service, loop)

    def _hand_on(self) -> None:
        """The engine's events, unless they are lost."""
        if not self._feed:
            return
        names = list(self._feed)
        self._feed.clear()
        if self.service is None or self.fates.deaf:
            return
        for name in names:
            self.service.heard(name)

    # -- the end ----------------------------------------------------------------------------------------------
    def settle(self) -> None:
        """Faults stop. Within a day everything is as git says; once nothing is due any more, nothing is left."""
        self.note("-- faults stop")
        self.script.end()
        self.fates.mend()
        self.asleep_until, self.trouble_at = 0.0, self.time.true
        if self.time.offset < 0:
            self.time.offset = 0.0
            self.machine.clock_stepped()
        self.advance(1.0)
        if self.service is None:
            self.birth()
        self.repository.mend()
        self.script.end_pauses()
        self.calm(0.5)
        self.rules.settled()
        self.repository.suspend_all()
        self.kick()
        self.calm(2.5)
        self.rules.at_rest()

    def calm(self, days: float) -> None:
        """Days without faults; a person approves whatever plan waits for it."""
        for _ in range(4):
            self.kick()
            self.advance(60.0)
            self.script.approve()
        self.advance(days * DAY)
        self.rules.daily()

    def kick(self) -> None:
        if self.service is not None:
            self.service.sync.look()
            self.service.sync_at.kick()
            self.service.runs_at.kick()

    def wake_soon(self) -> None:
        """A loop never waits for more than 15 s on a clock that may step."""
        if self.service is not None:
            for tempo in (self.service.runs_at, self.service.sync_at):
                if tempo.waits:
                    continue
                tempo.at = min(tempo.at, self.time.true + self.dice.uniform(0.0, 15.0))

    def ask(self, call: Any) -> None:
        """An operator's request; an expected refusal is an answer, too."""
        if self.service is not None:
            try:
                call(self.service.operators)
            except ReconcilerError as error:
                self.note(f"operator is told: {error}")

    def in_wall(self, seconds: float) -> Any:
        return self.time.wall() + timedelta(seconds=seconds)


def _short(values: tuple[Any, ...]) -> str:
    """Arguments of a write, in less than they are."""
    said = []
    for value in values:
        if isinstance(value, RunRecord):
            why = value.reason or value.stop_reason
            said.append(f"{value.run_id} {value.phase} {why} {'kept' * value.collected} {'gone' * value.discarded}")
        elif isinstance(value, StandingJob):
            said.append(f"{value.name} {value.digest[:8]} cursor={value.cursor} {'retiring' * value.retiring}")
        else:
            said.append(str(value))
    return " ".join(said)[:260]
