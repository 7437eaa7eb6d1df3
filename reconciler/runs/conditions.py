"""In: a job's ledger rows. Out: its status line: state, streak, last ten marks, next slot; worst first (rule P7)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ..model.desired import HeldJob
from ..model.job import ScheduleKind
from ..model.live import StandingJob
from ..model.run import Disposition, Pause, Phase, RunRecord, SlotRecord, Trigger

MARKS = 10


class State(StrEnum):
    """The word of a job's status line, worst first."""

    FORBIDDEN = "FORBIDDEN"
    FAILING = "FAILING"
    MISSED = "MISSED"
    AHEAD = "AHEAD"
    RETRYING = "RETRYING"
    PAUSED = "PAUSED"
    HELD = "HELD"
    SUSPENDED = "SUSPENDED"
    NEVER_RUN = "NEVER RUN"
    OK = "OK"


_ORDER = {state: place for place, state in enumerate(State)}
_NOT_RUN = frozenset({Disposition.MISSED, Disposition.SKIPPED, Disposition.UNAVAILABLE, Disposition.SUPERSEDED})
_DROPPED = frozenset({Disposition.MISSED, Disposition.UNAVAILABLE})


@dataclass(frozen=True, slots=True)
class JobStatus:
    """One job. `marks`: oldest first, `.` ok, `x` bad, `-` missed or skipped. `streak`: bad slots in a row, the latest
    included, beginning with `since`. `last`: the latest attempt that ended; `running`: how many run now."""

    name: str
    owner: str
    state: State
    why: str
    marks: str = ""
    streak: int = 0
    since: datetime | None = None
    last: RunRecord | None = None
    last_slot: SlotRecord | None = None
    running: int = 0
    held: str = ""
    apply_failed: bool = False  # `held` says why its change could not be made; it is tried again

    @property
    def order(self) -> tuple[int, str]:
        """Sorts worst first, then by name."""
        return _ORDER[self.state], self.name


@dataclass(frozen=True, slots=True)
class _Mark:
    at: datetime
    sign: str


def summarise(
    standing: StandingJob | None,
    runs: Sequence[RunRecord],
    slots: Sequence[SlotRecord],
    pauses: Iterable[Pause],
    held: HeldJob | None,
    now: datetime,
    silent_until: datetime | None = None,
) -> JobStatus:
    """The status of one job from its rows (any order). `standing` or `held` must be given. `silent_until`: when it
    fires again, if it waits for a clock that was set back."""
    if standing is None and held is None:
        raise ValueError("a job is standing, or held, or both")
    name = standing.name if standing is not None else held.name if held is not None else ""
    owner = standing.owner if standing is not None else held.owner if held is not None else ""
    marks = _marks(runs, slots)
    streak, since = _streak(marks)
    ended = [run for run in runs if not run.active and (run.started_at is not None or run.phase.bad)]
    pause = next((pause for pause in pauses if pause.covers(name, now)), None)
    last_slot = max(slots, key=lambda slot: slot.last, default=None)
    state, why = _state(standing, runs, marks, streak, pause, held, last_slot)
    if silent_until is not None and state not in (State.FORBIDDEN, State.PAUSED, State.SUSPENDED):
        state, why = (
            State.AHEAD,
            (
                f"the clock was set back: silent until {silent_until:%Y-%m-%d %H:%M:%S} UTC; to fire from now on: "
                f"reconciler resume {name}"
            ),
        )
    return JobStatus(
        name=name,
        owner=owner,
        state=state,
        why=why,
        marks="".join(mark.sign for mark in marks)[-MARKS:],
        streak=streak,
        since=since,
        last=max(ended, key=lambda run: (run.slot, run.attempt), default=None),
        last_slot=last_slot,
        running=sum(run.phase in (Phase.STARTING, Phase.RUNNING, Phase.STOPPING) for run in runs),
        held=_held(held),
        apply_failed=held is not None and held.apply_failed,
    )


def but_for(failed: int, held: int) -> str:
    """What an instance is in step with its commit but for: ` except 1 that fails to apply and 2 held`, or nothing."""
    said = [f"{failed} that {'fails' if failed == 1 else 'fail'} to apply"] if failed else []
    said += [f"{held} held"] if held else []
    return f" except {' and '.join(said)}" if said else ""


def worst_first(statuses: Iterable[JobStatus]) -> list[JobStatus]:
    return sorted(statuses, key=lambda status: status.order)


def _state(
    standing: StandingJob | None, runs: Sequence[RunRecord], marks: Sequence[_Mark], streak: int, pause: Pause | None,
    held: HeldJob | None, last_slot: SlotRecord | None,
) -> tuple[State, str]:  # fmt: skip
    """What an operator has said comes before what the runs say; a broken file after it."""
    if standing is not None and standing.forbidden:
        return State.FORBIDDEN, standing.forbidden
    if pause is not None:
        return State.PAUSED, f"by {pause.actor}: {pause.reason}" if pause.reason else f"by {pause.actor}"
    if standing is not None and standing.spec.suspend:
        return State.SUSPENDED, "suspend: true"
    retry = _waiting_retry(runs)
    if retry is not None:
        return State.RETRYING, _retry_words(retry, runs)
    if streak:
        latest = max((run for run in runs if run.phase.bad), key=lambda run: (run.slot, run.attempt))
        said = latest.reason or latest.failure.value
        return State.FAILING, said if latest.cell is None else f"cell {latest.cell}: {said}"
    if marks and marks[-1].sign == "-" and last_slot is not None and last_slot.disposition in _DROPPED:
        return State.MISSED, last_slot.reason
    if held is not None:
        return State.HELD, _held(held)
    if not marks and not any(run.active for run in runs):
        manual = standing is not None and standing.spec.schedule.kind is ScheduleKind.MANUAL
        after = f", or for {standing.spec.after[0].job}" if standing is not None and standing.spec.after else ""
        return State.NEVER_RUN, f"waits for {'a run by hand' if manual else 'its first slot'}{after}"
    return State.OK, ""


def _marks(runs: Sequence[RunRecord], slots: Sequence[SlotRecord]) -> list[_Mark]:
    """One mark a slot, oldest first. The last attempt speaks for its slot; a waiting one lets the one before speak. Of
    several cells the worst speaks, once all have ended."""
    last: dict[tuple[datetime, int | None], RunRecord] = {}
    going_on = {run.slot for run in runs if run.active and run.cell is not None}
    for run in runs:
        if run.active or run.slot in going_on or (run.phase is Phase.CANCELLED and run.superseded_by):
            continue
        key = (run.slot, run.cell)
        if key not in last or run.attempt > last[key].attempt:
            last[key] = run
    final: dict[datetime, str] = {}
    for (slot, _), run in last.items():
        final[slot] = max(_sign(run), final.get(slot, "."), key=".-x".index)
    marks = [_Mark(slot, sign) for slot, sign in final.items()]
    for record in slots:
        if record.disposition in _NOT_RUN and record.first not in final:
            marks += [_Mark(record.last, "-")] * min(record.count, MARKS)
    return sorted(marks, key=lambda mark: mark.at)


def _sign(run: RunRecord) -> str:
    if run.phase is Phase.SUCCEEDED:
        return "."
    return "x" if run.phase.bad else "-"


def _streak(marks: Sequence[_Mark]) -> tuple[int, datetime | None]:
    """(how many, since when) of the bad marks at the end.

    A missed or skipped slot neither ends nor lengthens the streak, unless it is the latest.
    """
    count, since = 0, None
    for mark in reversed(marks if marks and marks[-1].sign == "x" else ()):
        if mark.sign == ".":
            break
        if mark.sign == "x":
            count, since = count + 1, mark.at
    return count, since


def failures_in_a_row(runs: Sequence[RunRecord]) -> int:
    """Slots that have failed for good, the latest included, since the last success. `runs` in any order."""
    return _streak(_marks(runs, ()))[0]


def _waiting_retry(runs: Sequence[RunRecord]) -> RunRecord | None:
    return next((run for run in runs if run.active and (run.trigger is Trigger.RETRY or run.tries > 0)), None)


def _retry_words(retry: RunRecord, runs: Sequence[RunRecord]) -> str:
    if retry.tries > 0:
        return f"attempt {retry.attempt} could not start yet, {retry.tries} tries: {retry.reason}"
    before = next((run for run in runs if run.slot == retry.slot and run.attempt == retry.attempt - 1), None)
    return f"attempt {retry.attempt}" + (f": {before.reason} in {before.attempt}" if before is not None else "")


def _held(held: HeldJob | None) -> str:
    if held is None:
        return ""
    return str(held.problems[0]) if held.problems else held.path
