"""In: a standing job, its active runs, an instant and what stands in the way. Out: one Decision (rules T4-T8, R2).

Called at least at every `wake_at`; calling it more often changes nothing. The caller records `slots`, moves the
cursor and claims `launch` in one transaction, so that a slot is decided once, whatever dies in between.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from ..model.job import CatchUp, Concurrency, JobSpec, Schedule
from ..model.live import StandingJob
from ..model.run import Decision, Disposition, Pause, Phase, RunRecord, RunRequest, SlotRecord, Trigger
from .blackout import with_blackouts
from .cron import FireWindow, latest_fires, meaning, next_fire, smallest_interval

# A slot seen this late still counts as on time: it is started as `schedule`, and `catch_up: none` does not drop it.
LATENESS_TOLERANCE = timedelta(seconds=60)
LONGEST_DEADLINE = timedelta(hours=12)
BURST = 2  # starts within the smallest interval: one that was late, and one on time
_TICK = timedelta(microseconds=1)
_WAITED = timedelta(hours=1)  # to get ready in, after waiting for another job
_UNSTARTED = (Phase.PENDING, Phase.PREPARING)


@dataclass(frozen=True, slots=True)
class Gates:
    """What stands between a slot and its start.

    `paused`: the pause that covers now, or one that ended since the cursor. `forbidden`: why policy no longer allows
    the job. `downtime`: (from, to) in which nobody decided. `lead`: seconds ahead of its instant that a slot may be
    claimed, so that its run is prepared when it is due. `recent_starts`: seconds on the boot clock since the
    scheduled runs that this process started last (rule T8); a wall clock that runs wild does not move them.
    """

    paused: Pause | None = None
    forbidden: str = ""
    downtime: tuple[datetime, datetime] | None = None
    clock_stepped: bool = False
    lead: float = 0.0
    recent_starts: tuple[float, ...] = ()


def decide(job: StandingJob, active: Sequence[RunRecord], now: datetime, gates: Gates) -> Decision:
    """What to do about `job` now, and when to ask again. `active` are the job's active runs, waiting retries too.

    A cursor later than now (the clock was set back) is no fault: nothing is due until it has been passed.
    """
    return with_blackouts(job, _decide(job, active, now, gates), now)


def _decide(job: StandingJob, active: Sequence[RunRecord], now: datetime, gates: Gates) -> Decision:
    block = blocked(job, now, gates)
    if block is not None:
        return _blocked(job, active, now, gates, *block)
    start, records = _ended_pause(job, now, gates.paused)
    window = latest_fires(job.spec.schedule, start, now, job.anchor)
    if window.last is None:
        return _nothing_due(job, active, now, gates, max(start, job.cursor), records)
    return _due(job, active, now, gates, start, window.last, records)


def carry_cursor(old: StandingJob | None, new_spec: JobSpec, now: datetime) -> tuple[datetime, datetime]:
    """`(cursor, anchor)` of a job that is applied now (rule T4). A cursor never moves back.

    A new job, or an edited schedule, owes nothing before this instant; nor does one that was suspended or forbidden
    and no longer is. Any other edit keeps what is owed.
    """
    if old is None:
        return now, now
    if not same_schedule(old.spec.schedule, new_spec.schedule):
        return max(old.cursor, now), now
    resumed = (old.spec.suspend and not new_spec.suspend) or bool(old.forbidden)
    return (max(old.cursor, now) if resumed else old.cursor), old.anchor


def same_schedule(one: Schedule, other: Schedule) -> bool:
    """Do they fire alike as written? Spaces, letter case and the name of a calendar do not count; all else does."""
    return meaning(one) == meaning(other)


def default_deadline(spec: JobSpec, slot: datetime, anchor: datetime) -> datetime:
    """Until when `slot` may start: `start_deadline`, else the job's next slot, at most 12 h (rule T6)."""
    if spec.start_deadline is not None:
        return slot + timedelta(seconds=spec.start_deadline)
    following = next_fire(spec.schedule, slot, anchor)
    latest = slot + LONGEST_DEADLINE
    if spec.catch_up is CatchUp.ALL:
        return latest  # its next slot does not end it: both will run
    return latest if following is None else min(following, latest)


# -- nothing may fire ------------------------------------------------------------------------------------------


def blocked(job: StandingJob, now: datetime, gates: Gates) -> tuple[Disposition, str] | None:
    """Why the job may not fire now. The first word of a reason is what a stopped run's slot will be called."""
    if job.retiring:
        return Disposition.UNAVAILABLE, "unavailable: being retired"
    if gates.forbidden or job.forbidden:
        return Disposition.FORBIDDEN, f"forbidden: {gates.forbidden or job.forbidden}"
    if job.spec.suspend:
        return Disposition.SUSPENDED, "suspended in git (suspend: true)"
    if gates.paused is not None and gates.paused.covers(job.name, now):
        return Disposition.PAUSED, _pause_reason(gates.paused)
    return None


def _blocked(
    job: StandingJob, active: Sequence[RunRecord], now: datetime, gates: Gates, disposition: Disposition, reason: str
) -> Decision:
    """Record what is due; stop what was claimed ahead, and end what waits. What already runs goes on."""
    start = job.cursor
    records: tuple[SlotRecord, ...] = ()
    if disposition is Disposition.PAUSED and gates.paused is not None and gates.paused.since > job.cursor:
        records = _missed(job, start, gates.paused.since - _TICK, gates, "then paused")
        start = gates.paused.since - _TICK
    records += _range(job, start, now, disposition, reason)
    cursor = max([job.cursor, *(record.last for record in records)])
    by_hand = disposition in (Disposition.PAUSED, Disposition.SUSPENDED)  # then what a person started goes on
    ours = [run for run in active if run.actor == "scheduler" or not by_hand]
    following = next_fire(job.spec.schedule, cursor, job.anchor)
    until = gates.paused.until if gates.paused is not None and disposition is Disposition.PAUSED else None
    return Decision(
        cursor=cursor,
        wake_at=_earliest(following, until),
        stop=tuple((r.run_id, reason) for r in ours if _claimed_ahead(r, now) and r.stop_requested_at is None),
        slots=records,
        supersede=tuple(run.run_id for run in ours if _waiting(run)),
    )


def _ended_pause(job: StandingJob, now: datetime, pause: Pause | None) -> tuple[datetime, tuple[SlotRecord, ...]]:
    """Resuming owes nothing from before it (rule T4): slots under a pause that ended since the cursor are `paused`."""
    if pause is None or pause.until is None or pause.job not in ("*", job.name) or pause.until <= job.cursor:
        return job.cursor, ()
    end = min(pause.until - _TICK, now)
    return max(job.cursor, end), _range(job, job.cursor, end, Disposition.PAUSED, _pause_reason(pause))


def _pause_reason(pause: Pause) -> str:
    return f"paused by {pause.actor}: {pause.reason}" if pause.reason else f"paused by {pause.actor}"


# -- nothing is due --------------------------------------------------------------------------------------------


def _nothing_due(
    job: StandingJob, active: Sequence[RunRecord], now: datetime, gates: Gates, start: datetime,
    records: tuple[SlotRecord, ...],
) -> Decision:  # fmt: skip
    """Wait for the next slot, or claim it already if it is so near that its run should be prepared."""
    cursor = max([job.cursor, *(record.last for record in records)])
    following = next_fire(job.spec.schedule, start, job.anchor)
    if following is None:
        return Decision(cursor, _retry_at(active, now), slots=records)
    early = following - timedelta(seconds=gates.lead)
    if early > now:
        return Decision(cursor, _earliest(early, _retry_at(active, now)), slots=records)
    if not _free(job, active, now) or _guarded(job, gates) is not None:
        return Decision(cursor, _earliest(following, _retry_at(active, now)), slots=records)
    return _launch(job, following, Trigger.SCHEDULE, gates, records, Decision(following, None))


def _free(job: StandingJob, active: Sequence[RunRecord], now: datetime) -> bool:
    """Nothing active has a say in the next slot; only then may it be claimed ahead of its instant."""
    if any(_waiting(run) for run in active):
        return False
    return job.spec.concurrency_policy is Concurrency.ALLOW or not blockers_of(active, now)


# -- something is due ------------------------------------------------------------------------------------------


def _due(
    job: StandingJob, active: Sequence[RunRecord], now: datetime, gates: Gates, start: datetime, slot: datetime,
    records: tuple[SlotRecord, ...],
) -> Decision:  # fmt: skip
    """At least one slot is due, `slot` being the latest: start it, or say why not. Earlier ones are missed."""
    following = next_fire(job.spec.schedule, slot, job.anchor)
    ended = Decision(slot, _ahead_of(following, gates), supersede=tuple(run.run_id for run in active if _waiting(run)))
    late = now - slot > LATENESS_TOLERANCE
    if now > default_deadline(job.spec, slot, job.anchor):
        return _with(ended, (*records, *_missed(job, start, slot, gates, "start deadline passed")))
    if late and job.spec.catch_up is CatchUp.NONE:
        return _with(ended, (*records, *_missed(job, start, slot, gates, "catch_up: none")))
    postponed = _guarded(job, gates)
    if postponed is not None:
        cursor = max([job.cursor, *(record.last for record in records)])
        return Decision(cursor, now + timedelta(seconds=postponed), slots=records)
    owed: tuple[datetime, ...] = ()
    if job.spec.catch_up is CatchUp.ALL:
        owed, older = _owed(job, start, slot, now, gates)
        records += older
    else:
        none = job.spec.catch_up is CatchUp.NONE
        why = "catch_up: none" if none else "only the latest slot is caught up"
        records += _missed(job, start, slot - timedelta(seconds=1), gates, why)
    blockers = blockers_of(active, now)
    if job.spec.concurrency_policy is Concurrency.QUEUE and (owed or blockers):
        return _queue(job, (*owed, slot), active, now, records, ended)
    if blockers and job.spec.concurrency_policy is Concurrency.FORBID:
        reason = f"{blockers[0].run_id} was still {blockers[0].phase} (concurrency_policy: Forbid)"
        skipped = SlotRecord(job.name, slot, slot, 1, Disposition.SKIPPED, reason)
        return _with(ended, (*records, skipped))
    trigger = Trigger.CATCH_UP if late else Trigger.SCHEDULE
    replaced = blockers if job.spec.concurrency_policy is Concurrency.REPLACE else ()
    launched = _launch(job, slot, trigger, gates, records, ended, replaced)
    if not owed:
        return launched
    requests = tuple(RunRequest(job.name, at, 1, Trigger.CATCH_UP) for at in owed)
    return replace(launched, launch=(*requests, *launched.launch), deadline=now + LONGEST_DEADLINE)


def _owed(
    job: StandingJob, after: datetime, slot: datetime, now: datetime, gates: Gates
) -> tuple[tuple[datetime, ...], tuple[SlotRecord, ...]]:
    """`catch_up: all`: the slots before `slot` that are still to run, oldest first; the others, older ones, missed."""
    found: list[datetime] = []
    until, why = slot - _TICK, ""
    while (window := latest_fires(job.spec.schedule, after, until, job.anchor)).last is not None:
        if len(found) >= job.spec.catch_up_limit - 1:
            why = f"catch_up_limit: {job.spec.catch_up_limit}"
        elif now > default_deadline(job.spec, window.last, job.anchor):
            why = "start deadline passed"
        if why:
            break
        found.append(window.last)
        until = window.last - _TICK
    return tuple(reversed(found)), _missed(job, after, until, gates, why) if why else ()


def _queue(
    job: StandingJob, slots: Sequence[datetime], active: Sequence[RunRecord], now: datetime,
    records: tuple[SlotRecord, ...], ended: Decision,
) -> Decision:  # fmt: skip
    """They wait for their turn, as far as the queue has room. Waiting has its own bound: the run machine's."""
    queue = job.spec.queue
    waiting = sum(1 for run in active if run.phase in _UNSTARTED and not _waiting(run))
    free = max(0, queue.limit + (not blockers_of(active, now)) - waiting)
    taken, left = slots[:free], slots[free:]
    if left:
        reason = f"{waiting + len(taken)} are waiting already (queue.limit: {queue.limit})"
        records += (SlotRecord(job.name, left[0], left[-1], len(left), Disposition.SKIPPED, reason),)
    late = [now - slot > LATENESS_TOLERANCE for slot in taken]
    requests = tuple(
        RunRequest(job.name, slot, 1, Trigger.CATCH_UP if behind else Trigger.SCHEDULE)
        for slot, behind in zip(taken, late, strict=True)
    )
    patience = max(LONGEST_DEADLINE, timedelta(seconds=2 * (queue.timeout or 0.0)))
    return replace(ended, launch=requests, deadline=now + patience, slots=records)


def _launch(
    job: StandingJob, slot: datetime, trigger: Trigger, gates: Gates, records: tuple[SlotRecord, ...],
    ended: Decision, replaced: Sequence[RunRecord] = (),
) -> Decision:  # fmt: skip
    request = RunRequest(job.name, slot, 1, trigger, replaces=tuple(run.run_id for run in replaced))
    following = next_fire(job.spec.schedule, slot, job.anchor)
    return Decision(
        cursor=slot,
        wake_at=_ahead_of(following, gates),
        launch=(request,),
        deadline=_with_waiting(job.spec, slot, default_deadline(job.spec, slot, job.anchor)),
        stop=tuple((r.run_id, f"replaced by {request.run_id}") for r in replaced if r.stop_requested_at is None),
        slots=records,
        supersede=ended.supersede,
    )


def _with_waiting(spec: JobSpec, slot: datetime, deadline: datetime) -> datetime:
    """What waits for another job may start as late as that takes: waiting has its own bound (rule T6)."""
    longest = max((wait.within for wait in spec.wait_for), default=None)
    return deadline if longest is None else max(deadline, slot + timedelta(seconds=longest) + _WAITED)


def _guarded(job: StandingJob, gates: Gates) -> float | None:
    """Rule T8: seconds to wait before another scheduled start, None = none. Only a wild clock gets here."""
    interval = smallest_interval(job.spec.schedule)
    within = sorted(age for age in gates.recent_starts if interval is not None and age < interval)
    if interval is None or len(within) < BURST:
        return None
    return interval - within[BURST - 1]


# -- parts -----------------------------------------------------------------------------------------------------


def _waiting(run: RunRecord) -> bool:
    """It waits for its next attempt, or for its next try to prepare: the next slot ends it (rule R4)."""
    return run.phase is Phase.PENDING and (run.trigger is Trigger.RETRY or run.tries > 0)


def _claimed_ahead(run: RunRecord, now: datetime) -> bool:
    return run.phase in _UNSTARTED and run.slot > now


def blockers_of(active: Sequence[RunRecord], now: datetime) -> tuple[RunRecord, ...]:
    """Active runs, scheduled or by hand, that hold the job's place (rule R2).

    Neither a waiting one nor one that is to be given up at this very instant: its deadline is our slot.
    """
    return tuple(
        run
        for run in active
        if run.active
        and not _waiting(run)
        and not (run.phase in _UNSTARTED and run.deadline is not None and run.deadline <= now)
    )


def _missed(job: StandingJob, after: datetime, until: datetime, gates: Gates, why: str) -> tuple[SlotRecord, ...]:
    """Ranges of missed slots in (after, until], cut where the downtime begins and ends."""
    cause = "the clock was stepped" if gates.clock_stepped else "decided late"
    parts = [(until, f"{cause}; {why}")]
    if gates.downtime is not None:
        begin, end = gates.downtime
        down = f"not running {_stamp(begin)} to {_stamp(end)}; {why}"
        parts = [(min(begin - _TICK, until), parts[0][1]), (min(end, until), down), *parts]
    found: tuple[SlotRecord, ...] = ()
    for edge, reason in parts:
        if edge > after:
            found += _range(job, after, edge, Disposition.MISSED, reason)
            after = edge
    return found


def _range(
    job: StandingJob, after: datetime, until: datetime, disposition: Disposition, reason: str
) -> tuple[SlotRecord, ...]:
    """The slots in (after, until] as one record, or none."""
    window: FireWindow = latest_fires(job.spec.schedule, after, until, job.anchor)
    if window.first is None or window.last is None:
        return ()
    return (SlotRecord(job.name, window.first, window.last, window.count, disposition, reason),)


def _with(decision: Decision, records: tuple[SlotRecord, ...]) -> Decision:
    return Decision(decision.cursor, decision.wake_at, slots=records, supersede=decision.supersede)


def _ahead_of(slot: datetime | None, gates: Gates) -> datetime | None:
    return None if slot is None else slot - timedelta(seconds=gates.lead)


def _retry_at(active: Sequence[RunRecord], now: datetime) -> datetime | None:
    return _earliest(
        *(run.retry_at for run in active if run.phase is Phase.PENDING and run.retry_at and run.retry_at > now)
    )


def _earliest(*instants: datetime | None) -> datetime | None:
    return min((at for at in instants if at is not None), default=None)


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
