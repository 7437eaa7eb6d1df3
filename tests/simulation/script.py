"""What happens to the service in a month: faults, commits and people, at times and of kinds that the dice say."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from .faults import Killed

if TYPE_CHECKING:
    from .world import World

HOUR = 3600.0
FAULT_EVERY, COMMIT_EVERY, PERSON_EVERY = 20 * HOUR, 30 * HOUR, 30 * HOUR


class Script:
    """Plans the next of each sort when one has happened. After `most` of them nothing happens any more."""

    def __init__(self, world: "World", most: int | None = None) -> None:
        self.world, self.dice, self.most = world, world.dice, most
        self.happened = 0
        self.over = False
        self.pauses: set[str] = set()

    def begin(self) -> None:
        for every, act in ((FAULT_EVERY, self.fault), (COMMIT_EVERY, self.commit), (PERSON_EVERY, self.person)):
            self._again(every, act)
        self.world.time.after(24 * HOUR, self._daily)
        self.world.time.after(HOUR, self._hourly)

    def end(self) -> None:
        self.over = True

    def _again(self, every: float, act: Callable[[], None]) -> None:
        def happen() -> None:
            if not self.over and self.happened != self.most:
                self.happened += 1
                self._again(every, act)
                act()

        self.world.time.after(self.dice.expovariate(1.0 / every), happen)

    def _daily(self) -> None:
        if not self.over:
            self.world.time.after(24 * HOUR, self._daily)
            self.world.rules.daily()

    def _hourly(self) -> None:
        """Goes on when faults have stopped."""
        self.world.time.after(HOUR, self._hourly)
        self.world.rules.hourly()

    def _for(self, seconds: float, begin: Callable[[], None], end: Callable[[], None]) -> None:
        begin()
        self.world.trouble_at = max(self.world.trouble_at, self.world.time.true + seconds)
        self.world.time.after(seconds, lambda: None if self.over else end())

    # -- faults -----------------------------------------------------------------------------------------------
    def fault(self) -> None:
        kinds = (
            self.storm, self.away, self.engine_restart, self.kill_soon, self.kill_soon, self.kill_soon, self.kill_now,
            self.reboot, self.step_clock, self.sleep, self.prune, self.no_git, self.slow_git, self.full_disk,
            self.deaf, self.slow, self.kill_and_prune,
        )  # fmt: skip
        self.world.faults += 1
        self.world.trouble_at = max(self.world.trouble_at, self.world.time.true)
        for kind in self.dice.sample(kinds, self.dice.choice((1, 1, 1, 2, 3))):
            self.world.note(f"FAULT {kind.__name__}")
            kind()

    def _setting(self, name: str, value: object, calm: object, longest: float) -> None:
        fates = self.world.fates
        seconds = self.dice.uniform(1.0, longest) if self.dice.random() < 0.5 else self.dice.uniform(1.0, 60.0)
        self._for(seconds, lambda: setattr(fates, name, value), lambda: setattr(fates, name, calm))

    def storm(self) -> None:
        self._setting("engine_share", self.dice.choice((0.05, 0.2, 0.6)), 0.0, 6 * HOUR)

    def away(self) -> None:
        self._setting("engine_away", True, False, 2 * HOUR)

    def engine_restart(self) -> None:
        """The engine goes down with what runs, and comes back."""
        if self.dice.random() < 0.6:
            self.world.machine.world.crash()
        self._setting("engine_away", True, False, 120.0)

    def kill_soon(self) -> None:
        fates = self.world.fates
        fates.kill_in, fates.kill_after = self.dice.choice((1, 2, 3, 5, 8, 13, 30)), self.dice.random() < 0.5

    def kill_now(self) -> None:
        if self.world.service is not None:
            raise Killed

    def kill_and_prune(self) -> None:
        self.prune()
        self.kill_soon()

    def reboot(self) -> None:
        world = self.world
        world.machine.world.crash()
        world.time.booted = world.time.true
        world.boots += 1
        self.kill_now()

    def step_clock(self) -> None:
        """Forward or back; a step back is never longer than what was gone forward before, plus two days."""
        size = self.dice.choice((3.0, 45.0, 600.0, 2 * HOUR, 30 * HOUR))
        self.world.time.offset += size * self.dice.choice((-1, 1)) * self.dice.uniform(0.5, 1.0)
        self.world.machine.clock_stepped()
        self.world.wake_soon()

    def sleep(self) -> None:
        self.world.asleep_until = self.world.time.true + self.dice.choice((30.0, 600.0, 9 * HOUR))
        self.world.trouble_at = max(self.world.trouble_at, self.world.asleep_until)

    def prune(self) -> None:
        self.world.machine.prune()

    def no_git(self) -> None:
        self._setting("git_away", True, False, 24 * HOUR)

    def slow_git(self) -> None:
        self._setting("git_slow", True, False, 12 * HOUR)

    def full_disk(self) -> None:
        self._setting("disk_share", self.dice.choice((0.1, 0.5, 1.0)), 0.0, HOUR)

    def deaf(self) -> None:
        self._setting("deaf", True, False, 12 * HOUR)

    def slow(self) -> None:
        self._setting("slow_share", self.dice.choice((0.1, 0.5)), 0.0, 12 * HOUR)

    # -- people -----------------------------------------------------------------------------------------------
    def commit(self) -> None:
        for _ in range(self.dice.choice((1, 1, 2))):
            self.world.note(f"COMMIT {self.world.repository.edit()}")
        self._look()
        if any(job["image"].startswith("missing") for job in self.world.repository.files.values()):
            self.world.time.after(self.dice.uniform(600.0, 6 * HOUR), self._mend)

    def _mend(self) -> None:
        if not self.over:
            self.world.note("COMMIT mend")
            self.world.repository.mend()
            self._look()

    def _look(self) -> None:
        """A push kicks, mostly."""
        if self.dice.random() < 0.8:
            self.world.kick()

    def person(self) -> None:
        act = self.dice.choice((self.run, self.run, self.stop, self.pause, self.resume, self.approve, self.drain))
        self.world.note(f"PERSON {act.__name__}")
        act()

    def _job(self) -> str:
        service = self.world.service
        names = sorted(service.fleet.view.standing) if service is not None else []
        return self.dice.choice(names) if names else "none"

    def run(self) -> None:
        job = self._job()
        self.world.ask(lambda operators: operators.run_job(job, "anna"))

    def stop(self) -> None:
        service = self.world.service
        if service is not None:
            active = [run.run_id for run in service.history.active_runs() if run.active]
            if active:
                run_id = self.dice.choice(active)
                self.world.ask(lambda operators: operators.stop_run(run_id, "anna", "by hand"))

    def pause(self) -> None:
        job = "*" if self.dice.random() < 0.2 else self._job()
        until = self.world.in_wall(self.dice.uniform(60.0, 60 * HOUR)) if self.dice.random() < 0.5 else None
        self.world.ask(lambda operators: operators.pause(job, until, "", "anna"))

    def resume(self) -> None:
        service = self.world.service
        if service is not None:
            for pause in list(service.history.pauses()):
                job = pause.job
                self.world.ask(lambda operators, job=job: operators.resume(job, "anna"))

    def drain(self) -> None:
        """For a while; a reboot may end it first."""
        self.world.ask(lambda operators: operators.drain("anna", "new kernel"))
        self.world.time.after(self.dice.uniform(60.0, 12 * HOUR), self._end_drain)

    def _end_drain(self) -> None:
        if not self.over:
            self.world.ask(lambda operators: operators.end_drain("anna"))

    def end_pauses(self) -> None:
        self.world.ask(lambda operators: operators.end_drain("anna"))
        self.resume()

    def approve(self) -> None:
        """Whatever waits: a plan that retires much, a history that was rewritten."""
        service = self.world.service
        if service is None or service.fleet.view.plan is None:
            return
        plan = service.fleet.view.plan
        digests = [plan.digest] if plan.refused or plan.needs_approval else []
        if plan.refused:
            digests.append(plan.revision)
        for digest in digests:
            self.world.ask(lambda operators, digest=digest: operators.approve(digest, "anna", "looked at"))
