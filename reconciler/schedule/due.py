"""In: a standing job, its active runs, an instant and what stands in the way. Out: one Decision (rules T4-T8, R2).

Called at least at every `wake_at`; calling it more often changes nothing. The caller records `slots`, moves the
cursor and claims `launch` in one transaction, so that a slot is decided once, whatever dies in between.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from ..model.job import CatchUp, Concurrency, JobSpec, Schedule
from ..model.live import StandingJob
from ..model.run import Decision, Disposition, Pause, RunRecord, RunRequest, SlotRecord, Trigger
from .blackout import with_blackouts
from .cron import FireWindow, latest_fires, meaning, next_fire, smallest_interval
from .deadlines import LATENESS_TOLERANCE, LONGEST_DEADLINE, default_deadline, with_waiting
from .gates import Gates, claimed_ahead, retry_at
from .holding import blockers_of, replaced_ids, waiting_of
from .queueing import owed_before, queue_up
from .reckoning import TICK, missed, slot_range

BURST = 2  # starts within the smallest interval: one that was late, and one on time


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
    return _due(job, active, now, gates, start, window, records)


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


def forgone(job: StandingJob, until: datetime) -> tuple[SlotRecord, ...]:
    """What was due by `until`, was not decided, and no longer is owed: the schedule is edited, or the job goes. Every
    slot has its record (rule T5), although nothing of it will run (rule T4)."""
    missed_all = (Disposition.MISSED, "its job was changed before it was decided")
    records = slot_range(job, job.cursor, until, *(blocked(job, until, Gates()) or missed_all))
    return with_blackouts(job, Decision(until, None, slots=records), until).slots


def same_schedule(one: Schedule, other: Schedule) -> bool:
    """Do they fire alike as written? Spaces, letter case and the name of a calendar do not count; all else does."""
    return meaning(one) == meaning(other)


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
        records = missed(job, start, gates.paused.since - TICK, gates, "then paused")
        start = gates.paused.since - TICK
    records += slot_range(job, start, now, disposition, reason)
    cursor = max([job.cursor, *(record.last for record in records)])
    by_hand = disposition in (Disposition.PAUSED, Disposition.SUSPENDED)  # then what a person started goes on
    ours = [run for run in active if run.actor == "scheduler" or not by_hand]
    following = next_fire(job.spec.schedule, cursor, job.anchor)
    until = gates.paused.until if gates.paused is not None and disposition is Disposition.PAUSED else None
    return Decision(
        cursor=cursor,
        wake_at=_earliest(following, until),
        stop=tuple((r.run_id, reason) for r in ours if claimed_ahead(r, now) and r.stop_requested_at is None),
        slots=records,
        supersede=tuple(run.run_id for run in waiting_of(ours)),
    )


def _ended_pause(job: StandingJob, now: datetime, pause: Pause | None) -> tuple[datetime, tuple[SlotRecord, ...]]:
    """Resuming owes nothing from before it (rule T4): slots under a pause that ended since the cursor are `paused`."""
    if pause is None or pause.until is None or pause.job not in ("*", job.name) or pause.until <= job.cursor:
        return job.cursor, ()
    end = min(pause.until - TICK, now)
    return max(job.cursor, end), slot_range(job, job.cursor, end, Disposition.PAUSED, _pause_reason(pause))


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
        return Decision(cursor, retry_at(active, now), slots=records)
    early = following - timedelta(seconds=gates.lead)
    if early > now:
        return Decision(cursor, _earliest(early, retry_at(active, now)), slots=records)
    if not _free(job, active, now, gates) or _guarded(job, gates) is not None:
        return Decision(cursor, _earliest(following, retry_at(active, now)), slots=records)
    return _launch(job, following, Trigger.SCHEDULE, gates, records, Decision(following, None))


def _free(job: StandingJob, active: Sequence[RunRecord], now: datetime, gates: Gates) -> bool:
    """Nothing active has a say in the next slot; only then may it be claimed ahead of its instant."""
    if waiting_of(active):
        return False
    return job.spec.concurrency_policy is Concurrency.ALLOW or not blockers_of(active, now, gates.begun)


# -- something is due ------------------------------------------------------------------------------------------


def _due(
    job: StandingJob, active: Sequence[RunRecord], now: datetime, gates: Gates, start: datetime, due: FireWindow,
    records: tuple[SlotRecord, ...],
) -> Decision:  # fmt: skip
    """At least one slot is due: start the latest, or say why not. Earlier ones are missed."""
    slot = due.last
    assert slot is not None
    following = next_fire(job.spec.schedule, slot, job.anchor)
    ended = Decision(slot, _ahead_of(following, gates), supersede=tuple(run.run_id for run in waiting_of(active)))
    late = now - slot > LATENESS_TOLERANCE
    if now > default_deadline(job.spec, slot, job.anchor):
        return _with(ended, (*records, *missed(job, start, slot, gates, "start deadline passed")))
    if late and job.spec.catch_up is CatchUp.NONE:
        return _with(ended, (*records, *missed(job, start, slot, gates, "catch_up: none")))
    postponed = _guarded(job, gates)
    if postponed is not None:
        cursor = max([job.cursor, *(record.last for record in records)])
        return Decision(cursor, now + max(timedelta(seconds=postponed), TICK), slots=records)
    owed: tuple[datetime, ...] = ()
    if job.spec.catch_up is CatchUp.ALL and job.spec.concurrency_policy in (Concurrency.QUEUE, Concurrency.ALLOW):
        owed, older = owed_before(job, start, slot, now, gates)
        records += older
    elif due.count > 1 or due.capped:
        none = job.spec.catch_up is CatchUp.NONE
        why = "catch_up: none" if none else "only the latest slot is caught up"
        records += missed(job, start, slot - timedelta(seconds=1), gates, why)
    blockers = blockers_of(active, now, gates.begun)
    if job.spec.concurrency_policy is Concurrency.QUEUE and (owed or blockers):
        return queue_up(job, (*owed, slot), active, now, gates, records, ended)
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


def _launch(
    job: StandingJob, slot: datetime, trigger: Trigger, gates: Gates, records: tuple[SlotRecord, ...],
    ended: Decision, replaced: Sequence[RunRecord] = (),
) -> Decision:  # fmt: skip
    request = RunRequest(job.name, slot, 1, trigger, replaces=replaced_ids(replaced))
    following = next_fire(job.spec.schedule, slot, job.anchor)
    return Decision(
        cursor=slot,
        wake_at=_ahead_of(following, gates),
        launch=(request,),
        deadline=with_waiting(job.spec, slot, default_deadline(job.spec, slot, job.anchor)),
        stop=tuple((r.run_id, f"replaced by {request.run_id}") for r in replaced if r.stop_requested_at is None),
        slots=records,
        supersede=ended.supersede,
    )


def _guarded(job: StandingJob, gates: Gates) -> float | None:
    """Rule T8: seconds to wait before another scheduled start, None = none. Only a wild clock gets here."""
    if len(gates.recent_starts) < BURST:
        return None
    interval = smallest_interval(job.spec.schedule)
    within = sorted(age for age in gates.recent_starts if interval is not None and age < interval)
    if interval is None or len(within) < BURST:
        return None
    return interval - within[BURST - 1]


# -- parts -----------------------------------------------------------------------------------------------------


def _with(decision: Decision, records: tuple[SlotRecord, ...]) -> Decision:
    return Decision(decision.cursor, decision.wake_at, slots=records, supersede=decision.supersede)


def _ahead_of(slot: datetime | None, gates: Gates) -> datetime | None:
    return None if slot is None else slot - timedelta(seconds=gates.lead)


def _earliest(*instants: datetime | None) -> datetime | None:
    return min((at for at in instants if at is not None), default=None)
