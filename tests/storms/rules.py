"""What must hold when the storm is over and all is calm: the ledger, the Engine and the witness tell the same story."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from reconciler.daemon.log_pump import GAP
from reconciler.model.run import Disposition, FailureClass, Phase, RunRecord, SlotRecord, Trigger
from reconciler.schedule.cron import fires
from tests.kit.service import scheduled
from tests.kit.standing import api, standing

from .script import ENDS, FAILS_WITH, STARTS
from .world import Broken, World

SERIAL = ("strict", "queued", "replaced", "failing", "giving", "follower")  # never two runs at once
ALWAYS = ("R1", "R2", "P2")  # rules that hold before all is calm, too
BAD_ENTRIES = ("service.broken", "run.unaccounted", "run.definition-lost", "loop.failed")


class Story:
    """All that is known in the end."""

    def __init__(self, world: World) -> None:
        self.world, service = world, world.service
        self.rows = service.standing()  # before the slots: a pause goes on being recorded
        self.runs = {name: service.runs(name) for name in world.ever}
        self.slots = {name: service.slots(name) for name in world.ever}
        self.starts, self.ends = _witness(world, STARTS), _witness(world, ENDS)
        self.by_id = {run.run_id: run for runs in self.runs.values() for run in runs}
        self.crashed = bool(world.crashes)
        self.pruned = world.storm.has("prune")

    def check(self, which: tuple[str, ...] = ("",)) -> None:
        """Raises Broken for the first rule that does not hold, of those whose names begin so."""
        for name in sorted(vars(Story)):
            if name.startswith(tuple(f"rule_{each}" for each in which)):
                for what in getattr(self, name)():
                    raise Broken(f"{name.removeprefix('rule_')}: {what}")

    # -- runs -----------------------------------------------------------------------------------------------------
    def rule_R1_no_run_starts_twice(self) -> Iterator[str]:
        for run_id, count in self.starts.items():
            if count > 1:
                yield f"{run_id} was started {count} times"

    def rule_R7_the_ledger_has_every_start(self) -> Iterator[str]:
        for run_id in self.starts:
            if run_id not in self.by_id:
                yield f"{run_id} was started, and the ledger does not have it"
            elif self.by_id[run_id].started_at is None:
                yield f"{run_id} was started, and the ledger does not say so: {self.by_id[run_id]}"

    def rule_R1_only_a_retry_starts_a_slot_again(self) -> Iterator[str]:
        for runs in self.runs.values():
            for slot, attempts in _by_slot(runs).items():
                begun = [run for run in attempts if run.started_at is not None or run.run_id in self.starts]
                for run in begun[1:]:
                    if run.trigger is not Trigger.RETRY:
                        yield f"{slot}: {run.run_id} was started although {begun[0].run_id} had been"
                if len(begun) > 1 and not runs[0].job.startswith("failing"):
                    yield f"{slot}: {[run.run_id for run in begun]} were started without `retries`"

    def rule_R2_runs_of_one_job_do_not_overlap(self) -> Iterator[str]:
        for name, runs in self.runs.items():
            if name.partition("-")[0] not in SERIAL:
                continue
            spans = sorted((r.started_at, r.finished_at, r.run_id) for r in runs if r.started_at and r.finished_at)
            for (_, end, one), (start, _, other) in itertools.pairwise(spans):
                if start < end:
                    yield f"{other} began at {start} while {one} ran until {end}"

    def rule_R5_every_end_has_its_code_and_its_log(self) -> Iterator[str]:
        for run in self.by_id.values():
            if run.active or not run.collected or not run.discarded:
                yield f"{run.run_id} is not done with: {run}"
            elif run.started_at is None:
                if run.run_id in self.starts or run.exit_code is not None:
                    yield f"{run.run_id} never started, and has an end: {run}"
            else:
                yield from self._end_of(run)

    def _end_of(self, run: RunRecord) -> Iterator[str]:
        code = FAILS_WITH if run.job.startswith("failing") else 0
        said, ended = self.world.service.log_of(run), run.run_id in self.ends
        whole = f"started {run.run_id}\n" + ("" if code else f"ended {run.run_id}\n")
        by_itself = run.exit_code == code and run.phase is (Phase.FAILED if code else Phase.SUCCEEDED)
        if by_itself:
            if not ended or run.run_id not in self.starts:
                yield f"{run.run_id} ended by itself, and its command did not say so"
            gap = self.pruned and said.endswith(GAP.decode())
            if said != whole and not gap and not self._in_a_crash(run):
                yield f"{run.run_id} left the log {said!r}"
        elif run.phase is Phase.LOST:
            if not (self.crashed or self.pruned):
                yield f"{run.run_id} is lost: {run.reason}"
        elif run.failure is FailureClass.STOPPED or run.stop_requested_at is not None:
            if not run.job.startswith("replaced"):
                yield f"{run.run_id} was stopped: {run}"
        elif not self.crashed:
            yield f"{run.run_id} ended in a way of its own: {run}"

    def _in_a_crash(self, run: RunRecord) -> bool:
        """The Engine died beneath it: what it wrote just then is the Engine's to lose, with nobody to tell."""
        start, end = run.started_at, run.finished_at
        return any(
            start is None or end is None or (start <= until and since <= end) for since, until in self.world.crashes
        )

    def rule_R1_a_key_starts_one_run(self) -> Iterator[str]:
        for name, runs in self.runs.items():
            slots = Counter((run.key, run.slot) for run in runs if run.key)
            keys = Counter(key for key, _ in slots)
            yield from (f"{name}: the key {key} has {count} slots" for key, count in keys.items() if count > 1)

    # -- slots ----------------------------------------------------------------------------------------------------
    def rule_T5_every_slot_has_one_disposition(self) -> Iterator[str]:
        for name, slots in self.slots.items():
            first, last = self._span(name, slots)
            rows, row = scheduled(slots), self.rows.get(name)
            runs = self.runs[name]
            spec = row.spec if row is not None else self._last_spec(runs)
            if first is None or last is None or spec is None:
                continue
            anchor = row.anchor if row is not None else first
            for at in fires(spec.schedule, first, last, anchor, 10_000):
                holding = [each for each in rows if each.first <= at <= each.last]
                if len(holding) != 1:
                    yield f"{name} at {at}: {holding or 'no record'}"

    def _span(self, name: str, slots: Sequence[SlotRecord]) -> tuple[datetime | None, datetime | None]:
        """(first, last] in which it is owed a record: since it was applied; of a job that has gone, what it has."""
        row, rows = self.rows.get(name), scheduled(slots)
        if row is not None:
            return row.applied_at, row.cursor
        return (rows[0].first, rows[-1].last) if rows else (None, None)

    def _last_spec(self, runs: Sequence[RunRecord]) -> object:
        with self.world.service.ledger() as history:
            return history.spec(runs[-1].digest) if runs else None

    def rule_T5_a_slot_is_called_ran_if_it_was_started(self) -> Iterator[str]:
        for name, slots in self.slots.items():
            attempts = _by_slot(self.runs[name])
            for slot in slots:
                begun = [run.run_id for run in attempts.get(slot.first, ()) if run.run_id in self.starts]
                said = slot.disposition in (Disposition.RAN, Disposition.LOST)
                again = attempts.get(slot.first, [None])[-1]
                gave_up = slot.disposition is Disposition.SUPERSEDED and again is not None and again.run_id not in begun
                if begun and not said and not gave_up:
                    yield f"{name} at {slot.first} is {slot.disposition} ({slot.reason}), and {begun} ran"
                if said and not begun and not self.crashed:  # a crash may come before the command's first word
                    yield f"{name} at {slot.first} is {slot.disposition} ({slot.reason}), and nothing of it ran"

    def rule_after_each_end_fires_once(self) -> Iterator[str]:
        causes = Counter(run.cause for run in self.runs.get("follower", ()) if run.cause and run.attempt == 1)
        yield from (f"{cause} fired follower {count} times" for cause, count in causes.items() if count > 1)

    # -- what there is --------------------------------------------------------------------------------------------
    def rule_P2_nothing_foreign_is_touched(self) -> Iterator[str]:
        foreign = self.world.foreign
        yield from foreign.touched(self.world.proxy.requests)
        if not self.crashed:
            yield from (f"{ref} is gone" for ref in foreign.missing())

    def rule_P6_the_engine_has_what_the_ledger_says(self) -> Iterator[str]:
        live = standing(self.world.host, self.world.instance)
        if live.keys() != self.rows.keys() or len(live) != len(self.world.versions):
            yield f"the Engine has {sorted(live)}, the ledger {sorted(self.rows)}, git {sorted(self.world.versions)}"
        for name, row in self.rows.items():
            if name in live and (live[name].ref, live[name].digest) != (row.ref, row.digest):
                yield f"{name} is {live[name]} in the Engine and {row.ref} {row.digest} in the ledger"
        with api(self.world.host) as client:
            names = [name for each in client.containers(all=True) for name in each["Names"]]
        extra = [n for n in names if n.startswith(f"/{self.world.instance}.") and n.endswith(".NEW")]
        yield from (f"{name} is left over" for name in extra)

    def rule_D2_what_is_held_keeps_its_version(self) -> Iterator[str]:
        for name, (digest, since) in self.world.kept_at.items():
            row = self.rows.get(name)
            mended = row.applied_at if row is not None else None
            for run in self.runs[name]:
                held = run.slot > since and run.started_at is not None and run.started_at < self.world.mended_at
                if held and run.digest != digest:
                    yield f"{run.run_id} ran {run.digest} and not {digest} (mended {mended})"

    def rule_nothing_broke_inside(self) -> Iterator[str]:
        service = self.world.service
        if not service.alive:
            yield "the service has ended"
        for entry in service.entries():
            if entry.get("event") in BAD_ENTRIES:
                yield str(entry)
        if "Traceback" in service.log_path.read_text(errors="replace"):
            yield f"a traceback: {service.tail()}"


def _by_slot(runs: Sequence[RunRecord]) -> dict[datetime, list[RunRecord]]:
    found: dict[datetime, list[RunRecord]] = {}
    for run in sorted(runs, key=lambda run: run.attempt):
        found.setdefault(run.slot, []).append(run)
    return found


def _witness(world: World, path: str) -> Counter[str]:
    """How often each run has written its line."""
    with api(world.host) as client:
        volumes = client.volumes()["Volumes"] or []
    mine = [v for v in volumes if v["Name"].startswith(f"{world.instance}.") and v["Name"].endswith("witness")]
    if not mine:
        return Counter()
    file = Path(mine[0]["Mountpoint"], Path(path).name)
    return Counter(line.split()[2] for line in file.read_text().splitlines()) if file.exists() else Counter()
