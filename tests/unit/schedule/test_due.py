"""Each slot gets exactly one disposition, and a job fires when rules T4-T8, R2 and R4 say, whatever the clock did."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.model.ids import run_id
from reconciler.model.job import CatchUp, Concurrency, JobSpec, Schedule
from reconciler.model.live import StandingJob
from reconciler.model.run import Decision, Disposition, Pause, Phase, RunRecord, Trigger
from reconciler.schedule.cron import normalise
from reconciler.schedule.deadlines import LATENESS_TOLERANCE, default_deadline
from reconciler.schedule.due import carry_cursor, decide
from reconciler.schedule.gates import Gates

T0 = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)  # on a slot of every schedule below
QUARTER = timedelta(minutes=15)
MINUTE = timedelta(minutes=1)
OPEN = Gates()


def spec(text: str = "*/15 * * * *", **fields: object) -> JobSpec:
    kind, _, every = normalise(text)
    return replace(JobSpec("a/job", "a", Schedule(kind, text, every=every), "busybox"), **fields)


def standing(cursor: datetime = T0, text: str = "*/15 * * * *", **fields: object) -> StandingJob:
    one = spec(text, **fields)
    return StandingJob("a/job", one, "d1", "r1", "a/job.yaml", applied_at=T0, cursor=cursor, anchor=T0)


def run(
    slot: datetime, phase: Phase = Phase.RUNNING, trigger: Trigger = Trigger.SCHEDULE, **fields: object
) -> RunRecord:
    record = RunRecord(run_id("a/job", slot, 1), "a/job", slot, 1, trigger, "scheduler", "d1", "r1", phase, slot)
    return replace(record, **fields)


def slots(decision: Decision) -> list[tuple[datetime, datetime, int, Disposition]]:
    return [(s.first, s.last, s.count, s.disposition) for s in decision.slots]


class TestFiring:
    def test_T5_a_due_slot_is_launched_once(self) -> None:
        job = standing()
        decision = decide(job, (), T0 + QUARTER, OPEN)
        (request,) = decision.launch
        assert (request.slot, request.attempt, request.trigger) == (T0 + QUARTER, 1, Trigger.SCHEDULE)
        assert request.run_id == "a.job.20261124T091500Z.1"
        assert decision.cursor == T0 + QUARTER
        assert decision.wake_at == T0 + 2 * QUARTER
        again = decide(replace(job, cursor=decision.cursor), (), T0 + QUARTER, OPEN)
        assert (again.launch, again.slots, again.wake_at) == ((), (), T0 + 2 * QUARTER)

    def test_T5_nothing_is_due_before_the_instant(self) -> None:
        decision = decide(standing(), (), T0 + QUARTER - timedelta(microseconds=1), OPEN)
        assert decision == Decision(T0, T0 + QUARTER)

    def test_T5_a_manual_job_never_fires(self) -> None:
        assert decide(standing(text="manual"), (), T0 + timedelta(days=99), OPEN) == Decision(T0, None)

    def test_T1_every_counts_from_its_anchor(self) -> None:
        decision = decide(standing(text="@every 40m"), (), T0 + 40 * MINUTE, OPEN)
        assert decision.launch[0].slot == T0 + 40 * MINUTE
        assert decision.wake_at == T0 + 80 * MINUTE

    def test_T7_a_clock_set_back_fires_nothing_again(self) -> None:
        job = standing(cursor=T0 + timedelta(hours=2))
        decision = decide(job, (), T0, replace(OPEN, clock_stepped=True))
        assert decision == Decision(job.cursor, T0 + timedelta(hours=2) + QUARTER)

    def test_T7_a_clock_set_forward_is_a_downtime(self) -> None:
        gates = replace(OPEN, clock_stepped=True)
        decision = decide(standing(), (), T0 + timedelta(hours=2, minutes=5), gates)
        assert decision.launch[0].trigger is Trigger.CATCH_UP
        assert slots(decision) == [(T0 + QUARTER, T0 + timedelta(hours=1, minutes=45), 7, Disposition.MISSED)]
        assert "stepped" in decision.slots[0].reason

    def test_T6_the_deadline_is_that_of_the_launched_slot(self) -> None:
        assert decide(standing(), (), T0 + QUARTER, OPEN).deadline == T0 + 2 * QUARTER


class TestLead:
    """A slot may be claimed a little ahead, so that its run is prepared at its instant."""

    gates = Gates(lead=8.0)

    def test_it_is_claimed_ahead_if_nothing_stands_in_its_way(self) -> None:
        decision = decide(standing(), (), T0 + QUARTER - timedelta(seconds=8), self.gates)
        assert decision.launch[0].slot == T0 + QUARTER
        assert decision.launch[0].trigger is Trigger.SCHEDULE
        assert decision.cursor == T0 + QUARTER
        assert decision.wake_at == T0 + 2 * QUARTER - timedelta(seconds=8)

    def test_it_wakes_as_early_as_it_may_claim(self) -> None:
        assert decide(standing(), (), T0 + MINUTE, self.gates).wake_at == T0 + QUARTER - timedelta(seconds=8)

    def test_R2_an_active_run_is_judged_at_the_instant_not_ahead_of_it(self) -> None:
        decision = decide(standing(), (run(T0),), T0 + QUARTER - timedelta(seconds=8), self.gates)
        assert (decision.launch, decision.slots, decision.wake_at) == ((), (), T0 + QUARTER)

    def test_R2_with_Allow_an_active_run_is_in_nobodys_way(self) -> None:
        job = standing(concurrency_policy=Concurrency.ALLOW)
        assert decide(job, (run(T0),), T0 + QUARTER - timedelta(seconds=8), self.gates).launch

    def test_T5_what_was_claimed_ahead_is_stopped_by_a_pause(self) -> None:
        ahead = run(T0 + QUARTER, Phase.PREPARING)
        now = T0 + QUARTER - timedelta(seconds=3)
        pause = Pause("a/job", now, None, "moving", "cleo")
        decision = decide(standing(cursor=ahead.slot), (ahead,), now, replace(self.gates, paused=pause))
        assert decision.stop == ((ahead.run_id, "paused by cleo: moving"),)
        assert decision.slots == ()


class TestDowntime:
    down = (T0 + 7 * MINUTE, T0 + timedelta(hours=2, minutes=5))

    def test_T6_latest_catches_up_one_and_records_the_rest_as_missed(self) -> None:
        decision = decide(standing(), (), self.down[1], Gates(downtime=self.down))
        assert decision.launch[0].slot == T0 + timedelta(hours=2)
        assert decision.launch[0].trigger is Trigger.CATCH_UP
        assert slots(decision) == [(T0 + QUARTER, T0 + timedelta(hours=1, minutes=45), 7, Disposition.MISSED)]
        assert "not running 2026-11-24T09:07:00Z to 2026-11-24T11:05:00Z" in decision.slots[0].reason

    def test_T6_none_catches_up_nothing(self) -> None:
        decision = decide(standing(catch_up=CatchUp.NONE), (), self.down[1], Gates(downtime=self.down))
        assert decision.launch == ()
        assert slots(decision) == [(T0 + QUARTER, T0 + timedelta(hours=2), 8, Disposition.MISSED)]
        assert decision.cursor == T0 + timedelta(hours=2)

    def test_T6_none_names_none_as_the_reason_beside_a_slot_that_is_on_time(self) -> None:
        decision = decide(standing(catch_up=CatchUp.NONE), (), T0 + timedelta(hours=2), Gates(downtime=self.down))
        assert decision.launch[0].trigger is Trigger.SCHEDULE
        assert all(record.reason.endswith("catch_up: none") for record in decision.slots)

    def test_T6_a_consumed_catch_up_stays_consumed(self) -> None:
        decision = decide(standing(), (), self.down[1], Gates(downtime=self.down))
        again = decide(standing(cursor=decision.cursor), (), self.down[1] + MINUTE, Gates(downtime=self.down))
        assert (again.launch, again.slots) == ((), ())

    def test_T6_months_cap_the_work_and_not_the_jobs_life(self) -> None:
        job = standing(text="* * * * * *")
        now = T0 + timedelta(days=120, seconds=0.5)
        decision = decide(job, (), now, Gates(downtime=(T0, now)))
        assert len(decision.launch) == 1
        assert slots(decision) == [
            (T0 + timedelta(seconds=1), T0 + timedelta(days=120, seconds=-1), 120 * 86400 - 1, Disposition.MISSED)
        ]

    def test_T6_within_the_tolerance_a_slot_is_on_time(self) -> None:
        for late, trigger in ((LATENESS_TOLERANCE, Trigger.SCHEDULE), (LATENESS_TOLERANCE + MINUTE, Trigger.CATCH_UP)):
            assert decide(standing(), (), T0 + QUARTER + late, OPEN).launch[0].trigger is trigger
        on_time = decide(standing(catch_up=CatchUp.NONE), (), T0 + QUARTER + LATENESS_TOLERANCE, OPEN)
        assert on_time.launch[0].trigger is Trigger.SCHEDULE

    def test_T6_several_slots_in_one_late_tick_are_one_run(self) -> None:
        decision = decide(standing(text="*/10 * * * * *"), (), T0 + timedelta(seconds=35), OPEN)
        assert decision.launch[0].slot == T0 + timedelta(seconds=30)
        assert decision.launch[0].trigger is Trigger.SCHEDULE
        assert slots(decision) == [(T0 + timedelta(seconds=10), T0 + timedelta(seconds=20), 2, Disposition.MISSED)]

    def test_T5_slots_outside_the_downtime_have_a_reason_of_their_own(self) -> None:
        down = (T0 + 40 * MINUTE, T0 + 80 * MINUTE)
        decision = decide(standing(), (), T0 + 121 * MINUTE, Gates(downtime=down))
        assert slots(decision) == [
            (T0 + QUARTER, T0 + 2 * QUARTER, 2, Disposition.MISSED),
            (T0 + 3 * QUARTER, T0 + 5 * QUARTER, 3, Disposition.MISSED),
            (T0 + 6 * QUARTER, T0 + 7 * QUARTER, 2, Disposition.MISSED),
        ]
        assert ["not running" in slot.reason for slot in decision.slots] == [False, True, False]


class TestDeadline:
    @pytest.mark.parametrize(
        ("text", "given", "expected"),
        [("*/15 * * * *", None, QUARTER), ("0 9 * * *", None, timedelta(hours=12)),
         ("manual", None, timedelta(hours=12)),
         ("0 9 * * *", 600.0, timedelta(minutes=10)), ("*/15 * * * *", 7200.0, timedelta(hours=2))],
        ids=["until the next slot", "at most 12 h", "by hand 12 h", "as said", "as said, beyond the next slot"],
    )  # fmt: skip
    def test_T6_start_deadline(self, text: str, given: float | None, expected: timedelta) -> None:
        assert default_deadline(spec(text, start_deadline=given), T0, T0) == T0 + expected

    def test_T6_a_slot_later_than_its_deadline_is_missed(self) -> None:
        job = standing(text="0 9 * * *", start_deadline=600.0)
        late = T0 + timedelta(days=1, minutes=10)
        assert decide(job, (), late, OPEN).launch
        decision = decide(job, (), late + timedelta(seconds=1), OPEN)
        assert decision.launch == ()
        assert slots(decision) == [(T0 + timedelta(days=1),) * 2 + (1, Disposition.MISSED)]
        assert "start deadline" in decision.slots[0].reason

    def test_T6_a_daily_job_is_not_started_half_a_day_late(self) -> None:
        decision = decide(standing(text="0 9 * * *"), (), T0 + timedelta(hours=36, seconds=1), OPEN)
        assert [slot.disposition for slot in decision.slots] == [Disposition.MISSED]


class TestConcurrency:
    due = T0 + QUARTER

    def test_R2_Forbid_skips_while_the_run_before_is_active(self) -> None:
        decision = decide(standing(), (run(T0),), self.due, OPEN)
        assert decision.launch == ()
        assert slots(decision) == [(self.due, self.due, 1, Disposition.SKIPPED)]
        assert "a.job.20261124T090000Z.1" in decision.slots[0].reason
        assert decision.cursor == self.due

    @pytest.mark.parametrize("phase", [Phase.PENDING, Phase.PREPARING, Phase.STARTING, Phase.RUNNING, Phase.STOPPING])
    def test_R2_Forbid_counts_a_run_by_hand_in_every_active_phase(self, phase: Phase) -> None:
        manual = run(T0 + MINUTE, phase, Trigger.MANUAL, actor="anna")
        assert decide(standing(), (manual,), self.due, OPEN).launch == ()

    def test_R2_an_ended_run_blocks_nothing(self) -> None:
        assert decide(standing(), (run(T0, Phase.LOST),), self.due, OPEN).launch

    def test_R2_Allow_starts_beside_it(self) -> None:
        decision = decide(standing(concurrency_policy=Concurrency.ALLOW), (run(T0),), self.due, OPEN)
        assert decision.launch[0].replaces == ()
        assert decision.stop == ()

    def test_R2_Replace_stops_what_runs_and_waits_for_it(self) -> None:
        decision = decide(standing(concurrency_policy=Concurrency.REPLACE), (run(T0),), self.due, OPEN)
        assert decision.launch[0].replaces == ("a.job.20261124T090000Z.1",)
        assert decision.stop == (("a.job.20261124T090000Z.1", "replaced by a.job.20261124T091500Z.1"),)

    def test_R2_Replace_does_not_ask_twice(self) -> None:
        stopping = run(T0, Phase.STOPPING, stop_requested_at=T0 + MINUTE, stop_reason="by anna")
        decision = decide(standing(concurrency_policy=Concurrency.REPLACE), (stopping,), self.due, OPEN)
        assert decision.launch[0].replaces == (stopping.run_id,)
        assert decision.stop == ()

    def test_R3_a_run_that_could_not_start_until_now_does_not_block_the_schedule(self) -> None:
        stuck = run(T0, Phase.PREPARING, tries=4, deadline=self.due)
        assert decide(standing(), (stuck,), self.due, OPEN).launch[0].slot == self.due


class TestRetries:
    waiting = run(T0, Phase.PENDING, Trigger.RETRY, retry_at=T0 + 20 * MINUTE)

    def test_R4_a_waiting_retry_ends_when_the_next_slot_is_due(self) -> None:
        decision = decide(standing(), (self.waiting,), T0 + QUARTER, OPEN)
        assert decision.supersede == (self.waiting.run_id,)
        assert decision.launch[0].slot == T0 + QUARTER

    def test_R4_until_then_it_waits_and_is_woken_for(self) -> None:
        soon = replace(self.waiting, retry_at=T0 + 5 * MINUTE)
        decision = decide(standing(), (soon,), T0 + MINUTE, OPEN)
        assert (decision.supersede, decision.wake_at) == ((), T0 + 5 * MINUTE)

    def test_R4_the_next_slot_is_not_claimed_ahead_while_it_waits(self) -> None:
        decision = decide(standing(), (self.waiting,), T0 + QUARTER - timedelta(seconds=4), Gates(lead=8))
        assert (decision.supersede, decision.launch) == ((), ())

    def test_R4_a_retry_that_runs_already_is_a_run_like_any_other(self) -> None:
        running = replace(self.waiting, phase=Phase.RUNNING)
        decision = decide(standing(), (running,), T0 + QUARTER, OPEN)
        assert (decision.supersede, decision.launch) == ((), ())

    def test_R4_one_that_could_not_be_prepared_gives_way_too(self) -> None:
        backing_off = run(T0, Phase.PENDING, tries=3, retry_at=T0 + 16 * MINUTE, deadline=T0 + timedelta(hours=6))
        decision = decide(standing(start_deadline=6 * 3600.0), (backing_off,), T0 + QUARTER, OPEN)
        assert decision.supersede == (backing_off.run_id,)
        assert decision.launch


class TestBlocked:
    """What may not fire is recorded, slot by slot, as what kept it."""

    now = T0 + 50 * MINUTE
    three = (T0 + QUARTER, T0 + 3 * QUARTER, 3)
    pause = Pause("*", T0, None, "supplier moves", "cleo")

    @pytest.mark.parametrize(
        ("job", "gates", "disposition", "words"),
        [(standing(suspend=True), OPEN, Disposition.SUSPENDED, "suspend: true"),
         (standing(), Gates(paused=pause), Disposition.PAUSED, "cleo: supplier moves"),
         (standing(), Gates(forbidden="binds /"), Disposition.FORBIDDEN, "binds /"),
         (replace(standing(), forbidden="image not allowed"), OPEN, Disposition.FORBIDDEN, "image not allowed"),
         (replace(standing(), retiring=True), OPEN, Disposition.UNAVAILABLE, "retired"),
         (standing(suspend=True), Gates(paused=pause, forbidden="x"), Disposition.FORBIDDEN, "x")],
        ids=["suspended", "paused", "forbidden now", "forbidden", "retiring", "forbidden comes first"],
    )  # fmt: skip
    def test_T5_blocked_slots(self, job: StandingJob, gates: Gates, disposition: Disposition, words: str) -> None:
        decision = decide(job, (), self.now, gates)
        assert decision.launch == ()
        assert slots(decision) == [(*self.three, disposition)]
        assert words in decision.slots[0].reason
        assert decision.cursor == T0 + 3 * QUARTER
        assert decision.wake_at == T0 + 4 * QUARTER

    def test_T5_a_pause_wakes_at_its_end(self) -> None:
        pause = replace(self.pause, until=T0 + 55 * MINUTE)
        assert decide(standing(), (), self.now, Gates(paused=pause)).wake_at == T0 + 55 * MINUTE

    def test_T4_resuming_owes_nothing_from_before_it(self) -> None:
        ended = replace(self.pause, until=T0 + 40 * MINUTE)
        decision = decide(standing(), (), T0 + 46 * MINUTE, Gates(paused=ended))
        assert slots(decision) == [(T0 + QUARTER, T0 + 2 * QUARTER, 2, Disposition.PAUSED)]
        assert decision.launch[0].slot == T0 + 3 * QUARTER

    def test_T4_a_slot_at_the_end_of_a_pause_fires(self) -> None:
        ended = replace(self.pause, until=T0 + 2 * QUARTER)
        decision = decide(standing(), (), T0 + 2 * QUARTER, Gates(paused=ended))
        assert slots(decision) == [(T0 + QUARTER, T0 + QUARTER, 1, Disposition.PAUSED)]
        assert decision.launch[0].slot == T0 + 2 * QUARTER

    def test_T4_nothing_due_after_a_pause_is_still_recorded(self) -> None:
        ended = replace(self.pause, until=T0 + 40 * MINUTE)
        decision = decide(standing(), (), T0 + 41 * MINUTE, Gates(paused=ended))
        assert slots(decision) == [(T0 + QUARTER, T0 + 2 * QUARTER, 2, Disposition.PAUSED)]
        assert (decision.cursor, decision.launch, decision.wake_at) == (T0 + 2 * QUARTER, (), T0 + 3 * QUARTER)

    def test_T5_what_was_missed_before_the_pause_is_missed(self) -> None:
        pause = replace(self.pause, since=T0 + 20 * MINUTE)
        decision = decide(standing(), (), self.now, Gates(paused=pause))
        assert slots(decision) == [
            (T0 + QUARTER, T0 + QUARTER, 1, Disposition.MISSED),
            (T0 + 2 * QUARTER, T0 + 3 * QUARTER, 2, Disposition.PAUSED),
        ]

    def test_R4_a_blocked_jobs_waiting_retry_ends_a_persons_goes_on(self) -> None:
        ours = run(T0, Phase.PENDING, Trigger.RETRY)
        theirs = run(T0 + MINUTE, Phase.PENDING, Trigger.RETRY, actor="anna")
        assert decide(standing(), (ours, theirs), T0 + MINUTE, Gates(paused=self.pause)).supersede == (ours.run_id,)
        both = decide(standing(), (ours, theirs), T0 + MINUTE, Gates(forbidden="x")).supersede
        assert both == (ours.run_id, theirs.run_id)

    def test_R6_what_runs_already_goes_on(self) -> None:
        assert decide(standing(suspend=True), (run(T0),), self.now, OPEN).stop == ()


class TestRateGuard:
    """Rule T8: a wall clock that runs wild does not make a job run wild."""

    hourly = standing(text="0 * * * *")

    def test_T8_a_third_start_within_the_interval_waits(self) -> None:
        gates = Gates(recent_starts=(60.0, 900.0))
        decision = decide(self.hourly, (), T0 + timedelta(hours=1), gates)
        assert (decision.launch, decision.slots, decision.cursor) == ((), (), T0)
        assert decision.wake_at == T0 + timedelta(hours=1, seconds=3600 - 900)

    def test_T8_a_late_start_does_not_delay_the_one_on_time(self) -> None:
        assert decide(self.hourly, (), T0 + timedelta(hours=1), Gates(recent_starts=(60.0, 3700.0))).launch

    def test_T8_nor_is_it_claimed_ahead(self) -> None:
        gates = Gates(recent_starts=(60.0, 900.0), lead=8.0)
        assert decide(self.hourly, (), T0 + timedelta(minutes=59, seconds=55), gates).launch == ()


class TestCarryCursor:
    later = T0 + timedelta(hours=3)

    def test_T4_creating_owes_nothing_before_it(self) -> None:
        cursor, anchor = carry_cursor(None, spec(), self.later)
        assert (cursor, anchor) == (self.later, self.later)
        job = replace(standing(cursor=cursor), anchor=anchor)
        assert decide(job, (), self.later, OPEN).launch == ()

    @pytest.mark.parametrize(
        "edited",
        [Schedule(spec().schedule.kind, "*/10 * * * *"),
         Schedule(spec().schedule.kind, "*/15 * * * *", "Europe/Berlin"),
         Schedule(spec().schedule.kind, "*/15 * * * *", gap="skip"),
         Schedule(spec().schedule.kind, "*/15 * * * *", overlap="twice")],
        ids=["expression", "zone", "gap", "overlap"],
    )  # fmt: skip
    def test_T4_editing_the_schedule_owes_nothing_before_the_edit(self, edited: Schedule) -> None:
        assert carry_cursor(standing(), spec(schedule=edited), self.later) == (self.later, self.later)

    def test_T4_editing_anything_else_keeps_what_is_owed(self) -> None:
        assert carry_cursor(standing(), spec(image="busybox:2", timeout=9.0), self.later) == (T0, T0)

    def test_T4_reformatting_the_schedule_is_no_edit(self) -> None:
        assert carry_cursor(standing(text="0 8 * * MON"), spec(" 0  8 * * mon"), self.later) == (T0, T0)

    def test_T4_resuming_in_git_owes_nothing_before_it(self) -> None:
        assert carry_cursor(standing(suspend=True), spec(), self.later) == (self.later, T0)

    def test_T4_suspending_keeps_the_account(self) -> None:
        assert carry_cursor(standing(), spec(suspend=True), self.later) == (T0, T0)

    def test_T4_being_allowed_again_owes_nothing_before_it(self) -> None:
        assert carry_cursor(replace(standing(), forbidden="x"), spec(), self.later) == (self.later, T0)

    def test_T7_a_cursor_never_moves_back(self) -> None:
        ahead = standing(cursor=self.later + QUARTER)
        assert carry_cursor(ahead, spec("*/10 * * * *"), self.later)[0] == self.later + QUARTER
