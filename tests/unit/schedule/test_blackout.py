"""A slot on an excluded day is recorded as `blackout`, once, at its time, and stands in no other's way (T4, T5)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from reconciler.model.job import CatchUp, JobSpec, Schedule, ScheduleKind
from reconciler.model.live import StandingJob
from reconciler.model.run import Decision, Disposition, Pause
from reconciler.schedule.due import carry_cursor, decide
from reconciler.schedule.gates import Gates

BEFORE = datetime(2026, 12, 23, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
OPEN = Gates()


def standing(cursor: datetime = BEFORE, exclude: str = "2026-12-24..2026-12-26", **fields: object) -> StandingJob:
    schedule = Schedule(ScheduleKind.CRON, "0 8 * * *", exclude=exclude)
    spec = replace(JobSpec("a/job", "a", schedule, "busybox"), **fields)
    return StandingJob("a/job", spec, "d1", "r1", "a/job.yaml", applied_at=BEFORE, cursor=cursor, anchor=BEFORE)


def at(day: int, month: int = 12) -> datetime:
    return datetime(2026 if month == 12 else 2027, month, day, 8, 0, tzinfo=UTC)


def told(decision: Decision) -> list[tuple[datetime, datetime, int, Disposition]]:
    return [(slot.first, slot.last, slot.count, slot.disposition) for slot in decision.slots]


def test_T5_it_waits_for_the_excluded_slot_and_records_it_at_its_time() -> None:
    waiting = decide(standing(), (), BEFORE, OPEN)
    assert (waiting.cursor, waiting.wake_at, waiting.slots) == (BEFORE, at(24), ())
    decision = decide(standing(), (), at(24), OPEN)
    assert told(decision) == [(at(24), at(24), 1, Disposition.BLACKOUT)]
    assert (decision.launch, decision.cursor, decision.wake_at) == ((), at(24), at(25))
    assert "exclude" in decision.slots[0].reason
    again = decide(standing(cursor=decision.cursor), (), at(24) + timedelta(hours=1), OPEN)
    assert again.slots == ()


def test_T5_the_slot_after_the_excluded_days_fires() -> None:
    decision = decide(standing(cursor=at(26)), (), at(27), OPEN)
    assert [request.slot for request in decision.launch] == [at(27)]
    assert decision.slots == ()


def test_T5_after_a_downtime_the_excluded_slots_cut_the_missed_ones() -> None:
    decision = decide(standing(cursor=at(22)), (), at(29) + timedelta(minutes=5), OPEN)
    assert told(decision) == [
        (at(23), at(23), 1, Disposition.MISSED),
        (at(24), at(26), 3, Disposition.BLACKOUT),
        (at(27), at(28), 2, Disposition.MISSED),
    ]
    assert [request.slot for request in decision.launch] == [at(29)]
    assert decision.cursor == at(29)


def test_T5_an_owed_slot_is_not_passed_by_an_excluded_one() -> None:
    """The rate guard postpones the slot of the 23rd until after the 24th: it stays owed, and the 24th waits with it."""
    busy = replace(OPEN, recent_starts=(1.0, 2.0))
    decision = decide(standing(cursor=at(22)), (), at(23) + timedelta(minutes=1), busy)
    assert (decision.cursor, decision.slots, decision.launch) == (at(22), (), ())


def test_T5_a_paused_job_tells_its_excluded_slots_as_such() -> None:
    pause = Pause("a/job", at(22), None, "", "cleo")
    decision = decide(standing(cursor=at(22)), (), at(28), replace(OPEN, paused=pause))
    assert told(decision) == [
        (at(23), at(23), 1, Disposition.PAUSED),
        (at(24), at(26), 3, Disposition.BLACKOUT),
        (at(27), at(28), 2, Disposition.PAUSED),
    ]


def test_T5_catch_up_never_reaches_for_an_excluded_slot() -> None:
    now = at(24) + timedelta(minutes=5)
    decision = decide(standing(cursor=at(22), catch_up=CatchUp.LATEST, start_deadline=3 * 86400.0), (), now, OPEN)
    assert [request.slot for request in decision.launch] == [at(23)]
    assert (decision.cursor, told(decision)) == (at(24), [(at(24), at(24), 1, Disposition.BLACKOUT)])


def test_T4_an_edited_calendar_owes_nothing_from_before() -> None:
    old = standing(cursor=at(22))
    edited = standing(exclude="2026-12-25").spec
    assert carry_cursor(old, edited, at(24)) == (at(24), at(24))
    renamed = replace(old.spec, schedule=replace(old.spec.schedule, calendars=(("x.ics", "2026-12-26"),)))
    assert carry_cursor(old, renamed, at(24)) == (at(22), BEFORE), "a calendar by another name says the same"


def test_T5_years_of_excluded_slots_cost_one_row_each_time() -> None:
    job = standing(exclude="1990-01-01..2036-12-31")
    decision = decide(job, (), BEFORE + 3000 * DAY, OPEN)
    assert told(decision) == [(at(24), (at(24) + 2999 * DAY), 3000, Disposition.BLACKOUT)]
