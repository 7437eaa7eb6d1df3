"""In every phase, with everything the engine may show, the run state machine asks for what rules R1-R5 say."""

from dataclasses import replace

import pytest

from reconciler.model.job import Queue
from reconciler.model.live import LivePhase, LiveRun
from reconciler.model.run import Disposition, FailureClass, Phase, RunRecord
from reconciler.model.service import Limits
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
    Renew,
    Step,
    Stop,
    Wait,
    next_step,
)

from .kit import HOUR, MINUTE, SECOND, SLOT, exited, listed, live, run, running, spec

CREATED = live(LivePhase.CREATED)
AWAY = Context(engine_ok=False)


def step(
    record: RunRecord, seen: LiveRun | None = None, at: object = SLOT, ctx: Context | None = None, **job: object
) -> Step:
    return next_step(record, seen, spec(**job), at, ctx or Context())


class TestBeforeTheStart:
    def test_R3_a_due_run_is_prepared(self) -> None:
        assert step(run()) == Prepare()

    def test_R3_a_run_ahead_of_its_slot_is_prepared_within_the_lead(self) -> None:
        ctx = Context(prepare_lead=8.0)
        assert step(run(), at=SLOT - 9 * SECOND, ctx=ctx) == Wait(SLOT - 8 * SECOND, "is not due yet")
        assert step(run(), at=SLOT - 8 * SECOND, ctx=ctx) == Prepare()

    def test_R3_prepared_ahead_it_waits_for_its_instant(self) -> None:
        ready = run(Phase.PREPARING, prepared_at=SLOT - 5 * SECOND, ref="c1")
        waits = step(ready, CREATED, SLOT - SECOND)
        assert isinstance(waits, Wait)
        assert waits.until == SLOT
        assert step(ready, CREATED, SLOT) == Launch()

    def test_R1_an_interrupted_preparation_is_repeated(self) -> None:
        assert step(run(Phase.PREPARING), CREATED) == Prepare()
        assert step(run(Phase.PREPARING)) == Prepare()

    def test_P6_what_was_pruned_before_its_start_is_prepared_again(self) -> None:
        ready = run(Phase.PREPARING, prepared_at=SLOT, ref="c1")
        assert step(ready, None, SLOT + MINUTE, listed(SLOT + SECOND)) == Prepare()
        assert step(ready, None, SLOT + MINUTE, listed(SLOT)) == Launch(), "an older listing proves nothing"
        assert step(ready, None, SLOT + MINUTE, Context(listed_at=SLOT + SECOND)) == Launch(), "nor does half a listing"

    def test_R1_what_has_started_already_is_adopted_and_never_started_again(self) -> None:
        for phase in (Phase.PENDING, Phase.PREPARING):
            for seen in (live(), exited(0)):
                assert step(run(phase), seen) == Adopt()

    def test_R4_a_failed_preparation_backs_off(self) -> None:
        waiting = run(tries=2, retry_at=SLOT + 2 * SECOND, failure=FailureClass.IMAGE, reason="no such image")
        waits = step(waiting, at=SLOT + SECOND)
        assert waits == Wait(SLOT + 2 * SECOND, "tries again: no such image")
        assert step(waiting, at=SLOT + 2 * SECOND) == Prepare()

    def test_R3_it_is_given_up_at_its_deadline_with_the_last_failure(self) -> None:
        waiting = run(tries=2, retry_at=SLOT + 2 * HOUR, failure=FailureClass.IMAGE, reason="no such image")
        given_up = step(waiting, at=SLOT + HOUR)
        assert isinstance(given_up, GiveUp)
        assert given_up.disposition is Disposition.UNAVAILABLE
        assert given_up.outcome.phase is Phase.FAILED
        assert given_up.outcome.failure is FailureClass.IMAGE
        assert "no such image" in given_up.outcome.reason

    def test_T5_a_dead_engine_makes_the_slot_unavailable(self) -> None:
        waits = step(run(), ctx=AWAY)
        assert isinstance(waits, Wait)
        assert waits.until == SLOT + HOUR
        given_up = step(run(), at=SLOT + HOUR, ctx=AWAY)
        assert isinstance(given_up, GiveUp)
        assert given_up.disposition is Disposition.UNAVAILABLE
        assert given_up.outcome.failure is FailureClass.ENGINE

    def test_R3_a_preparation_that_hangs_has_a_deadline_of_its_own(self) -> None:
        hanging = run(Phase.PREPARING, retry_at=SLOT, deadline=SLOT + 9 * HOUR)
        ctx = Context(busy="prepare", limits=Limits(prepare_timeout=1800.0))
        assert step(hanging, at=SLOT + MINUTE, ctx=ctx) == Wait(SLOT + 30 * MINUTE, "prepare is under way")
        given_up = step(hanging, at=SLOT + 30 * MINUTE, ctx=ctx)
        assert isinstance(given_up, GiveUp)
        assert given_up.disposition is Disposition.UNAVAILABLE

    def test_R3_a_hanging_preparation_ends_at_the_start_deadline_at_the_latest(self) -> None:
        hanging = run(Phase.PREPARING, retry_at=SLOT, deadline=SLOT + MINUTE)
        assert isinstance(step(hanging, at=SLOT + MINUTE, ctx=Context(busy="prepare")), GiveUp)

    def test_R3_a_run_claimed_without_a_deadline_has_one_too(self) -> None:
        endless = run(deadline=None, tries=40, retry_at=SLOT)
        assert step(endless, at=SLOT + 11 * HOUR) == Prepare()
        assert isinstance(step(endless, at=SLOT + 12 * HOUR), GiveUp)

    def test_T4_an_owed_slot_runs_with_the_new_definition(self) -> None:
        newer = Context(current_digest="d2")
        assert step(run(), ctx=newer) == Renew()
        assert step(run(Phase.PREPARING, tries=1), ctx=newer) == Renew()
        assert step(run(tries=3, retry_at=SLOT + HOUR), ctx=newer) == Renew(), "a fix does not wait for the back-off"
        assert step(run(Phase.PREPARING, prepared_at=SLOT), ctx=newer) == Launch(), "what is ready goes ahead"
        assert step(run(), ctx=Context(current_digest="d1")) == Prepare()


class TestQueue:
    full = Context(no_place="a place (limits.max_running)", crowded=True, limits=Limits(queue_timeout=600.0))

    def test_T6_a_full_house_makes_it_wait(self) -> None:
        waits = step(run(), ctx=self.full)
        assert waits == Wait(SLOT + 10 * MINUTE, "waits for a place (limits.max_running)", place=True)

    def test_T6_waiting_has_its_own_bound(self) -> None:
        given_up = step(run(), at=SLOT + 10 * MINUTE, ctx=self.full)
        assert isinstance(given_up, GiveUp)
        assert given_up.disposition is Disposition.MISSED
        assert "max_running" in given_up.outcome.reason

    def test_T6_the_start_deadline_bounds_it_too(self) -> None:
        soon = run(deadline=SLOT + MINUTE)
        assert step(soon, ctx=self.full) == Wait(SLOT + MINUTE, "waits for a place (limits.max_running)", place=True)
        given_up = step(soon, at=SLOT + MINUTE, ctx=self.full)
        assert isinstance(given_up, GiveUp)
        assert given_up.disposition is Disposition.MISSED

    def test_R2_what_is_ready_waits_for_its_place(self) -> None:
        """Being ready is no place: the limit holds at the start."""
        ready = run(Phase.PREPARING, prepared_at=SLOT, retry_at=SLOT)
        waits = step(ready, ctx=self.full)
        assert isinstance(waits, Wait) and waits.until == SLOT + 10 * MINUTE
        assert isinstance(step(ready, at=SLOT + 10 * MINUTE, ctx=self.full), GiveUp)
        assert step(ready, ctx=Context()) == Launch()

    def test_R2_whoever_is_next_in_line_gets_ready(self) -> None:
        next_one = Context(no_place="a place (limits.max_running)", crowded=False)
        assert step(run(), ctx=next_one) == Prepare()

    def test_T6_a_job_may_bound_its_own_waiting(self) -> None:
        impatient = replace(spec(), queue=Queue(timeout=60.0))
        given_up = next_step(run(), None, impatient, SLOT + MINUTE, self.full)
        assert isinstance(given_up, GiveUp)
        assert "queue.timeout" in given_up.outcome.reason

    def test_a_drain_starts_nothing(self) -> None:
        drained = Context(drained="drained by anna")
        for record in (run(), run(Phase.PREPARING, prepared_at=SLOT)):
            waits = step(record, ctx=drained)
            assert isinstance(waits, Wait)
            assert waits.why == "drained by anna"
        assert isinstance(step(run(deadline=SLOT + MINUTE), at=SLOT + MINUTE, ctx=drained), GiveUp)

    def test_R2_Replace_waits_for_what_it_replaces(self) -> None:
        for record in (run(), run(Phase.PREPARING, prepared_at=SLOT)):
            waits = step(record, ctx=Context(blocked_by=("a.job.x.1",)))
            assert isinstance(waits, Wait)
            assert "a.job.x.1" in waits.why
        assert step(run(), ctx=Context()) == Prepare()

    def test_R2_what_cannot_be_replaced_in_time_is_missed(self) -> None:
        given_up = step(run(), at=SLOT + HOUR, ctx=Context(blocked_by=("a.job.x.1",)))
        assert isinstance(given_up, GiveUp)
        assert given_up.disposition is Disposition.MISSED


class TestStarting:
    """The intent is on disk; whether the engine was asked is not known (rule R1)."""

    intent = run(Phase.STARTING, start_requested_at=SLOT, prepared_at=SLOT, ref="c1")

    @pytest.mark.parametrize("seen", [None, CREATED], ids=["absent", "created"])
    def test_R1_it_is_never_started_again_but_asked_about(self, seen: LiveRun | None) -> None:
        assert step(self.intent, seen) == FindStart()
        assert step(self.intent, seen, SLOT + 9 * HOUR, listed(SLOT + 8 * HOUR)) == FindStart(), "whatever the time"

    @pytest.mark.parametrize("seen", [live(), exited(0), exited(137)], ids=["running", "ended", "killed"])
    def test_R1_what_has_started_is_adopted(self, seen: LiveRun) -> None:
        assert step(self.intent, seen) == Adopt()

    def test_R1_while_the_call_is_under_way_it_waits(self) -> None:
        assert isinstance(step(self.intent, CREATED, ctx=Context(busy="launch")), Wait)

    def test_R1_while_the_engine_is_away_it_waits(self) -> None:
        assert isinstance(step(self.intent, ctx=AWAY), Wait)

    def test_R1_a_stop_does_not_skip_the_question(self) -> None:
        stopped = replace(self.intent, stop_requested_at=SLOT, stop_reason="by anna")
        assert step(stopped, CREATED) == FindStart()


class TestRunning:
    def test_R4_it_runs_until_its_timeout(self) -> None:
        assert step(running(), live(), SLOT + MINUTE, timeout=600.0) == Wait(SLOT + 10 * MINUTE + SECOND, "runs")

    def test_R4_then_it_is_stopped_with_its_grace_period(self) -> None:
        stop = step(running(), live(), SLOT + 10 * MINUTE + SECOND, timeout=600.0, stop_grace_period=45.0)
        assert stop == Stop(45.0, "timeout of 600 s")

    def test_R3_a_stop_asked_for_while_it_starts_is_carried_out(self) -> None:
        asked = running(stop_requested_at=SLOT, stop_reason="by anna")
        assert step(asked, live(), SLOT + SECOND) == Stop(29.0, "by anna")

    def test_R4_after_a_restart_the_rest_of_the_grace_period_is_given(self) -> None:
        asked = running(Phase.STOPPING, stop_requested_at=SLOT + MINUTE, stop_reason="timeout of 60 s")
        assert step(asked, live(), SLOT + MINUTE + 10 * SECOND) == Stop(20.0, "timeout of 60 s")

    def test_R4_the_kill_comes_although_the_engines_stop_hangs(self) -> None:
        asked = running(Phase.STOPPING, stop_requested_at=SLOT, stop_reason="by anna")
        ctx = Context(busy="stop")
        assert step(asked, live(), SLOT + 39 * SECOND, ctx) == Wait(SLOT + 40 * SECOND, "stop is under way")
        assert step(asked, live(), SLOT + 40 * SECOND, ctx) == Kill()
        assert isinstance(step(asked, live(), SLOT + HOUR, Context(busy="kill")), Wait)

    def test_R4_a_stop_that_failed_is_followed_by_a_kill_once_the_grace_is_over(self) -> None:
        asked = running(Phase.STOPPING, stop_requested_at=SLOT, stop_reason="by anna")
        assert step(asked, live(), SLOT + 30 * SECOND) == Kill()

    def test_T7_a_clock_set_back_does_not_stretch_the_grace_period(self) -> None:
        asked = running(Phase.STOPPING, stop_requested_at=SLOT + HOUR, stop_reason="by anna")
        assert step(asked, live(), SLOT) == Stop(30.0, "by anna")

    @pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.STOPPING])
    def test_R2_what_the_engine_does_not_show_is_lost(self, phase: Phase) -> None:
        lost = step(running(phase), None, SLOT + HOUR, listed(SLOT + 2 * SECOND))
        assert isinstance(lost, Finish)
        assert (lost.outcome.phase, lost.disposition) == (Phase.LOST, Disposition.LOST)
        elsewhere = step(running(phase), None, SLOT + HOUR, listed(SLOT + 2 * SECOND), exec_in="shop-db-1")
        assert isinstance(elsewhere, Finish) and "shop-db-1 or the engine was restarted" in elsewhere.outcome.reason

    @pytest.mark.parametrize(
        "ctx",
        [Context(), Context(listed_at=SLOT + HOUR), listed(SLOT + SECOND), listed(SLOT + HOUR, engine_ok=False),
         listed(SLOT + HOUR, busy="inspect")],
        ids=["no listing", "half a listing", "a listing from before the start", "engine away", "a look is under way"],
    )  # fmt: skip
    def test_R2_it_is_not_lost_on_the_word_of(self, ctx: Context) -> None:
        assert isinstance(step(running(), None, SLOT + 2 * HOUR, ctx), Wait)
        assert isinstance(step(running(), CREATED, SLOT + 2 * HOUR, ctx), Wait)

    def test_R2_a_clock_set_back_does_not_keep_what_is_gone(self) -> None:
        before = SLOT - HOUR
        assert isinstance(step(running(), None, before, listed(before)), Finish)


class TestTheEnd:
    def test_R5_its_log_is_collected_before_the_verdict(self) -> None:
        at = SLOT + 10 * MINUTE
        assert step(running(), exited(0), at) == Collect()
        finish = step(running(collected=True), exited(0), at)
        assert isinstance(finish, Finish)
        assert (finish.outcome.phase, finish.disposition) == (Phase.SUCCEEDED, Disposition.RAN)

    def test_R5_a_log_that_does_not_end_holds_the_place_only_so_long(self) -> None:
        at = SLOT + 10 * MINUTE
        assert isinstance(step(running(), exited(0), at + 19 * SECOND, Context(busy="collect")), Wait)
        assert isinstance(step(running(), exited(0), at + 20 * SECOND, Context(busy="collect")), Finish)

    def test_R2_a_run_that_ended_while_the_engine_went_away_is_finished(self) -> None:
        assert isinstance(step(running(), exited(3), SLOT + HOUR, AWAY), Finish)

    @pytest.mark.parametrize("phase", [phase for phase in Phase if not phase.active])
    def test_R5_it_is_discarded_only_after_it_was_collected(self, phase: Phase) -> None:
        ended = running(phase)
        assert step(ended, exited(0)) == Collect()
        assert step(replace(ended, collected=True), exited(0)) == Discard()
        assert isinstance(step(replace(ended, collected=True, discarded=True)), Wait)

    def test_R5_nothing_is_discarded_while_the_engine_is_away_or_busy(self) -> None:
        ended = running(Phase.FAILED, collected=True)
        for ctx in (AWAY, Context(busy="discard")):
            assert isinstance(step(ended, exited(0), ctx=ctx), Wait)

    def test_R1_what_a_late_call_left_behind_is_removed(self) -> None:
        done = running(Phase.CANCELLED, collected=True, discarded=True)
        assert step(done, CREATED) == Discard()
        assert step(done, live()) == Stop(30.0, "its record has ended")


class TestStopRequests:
    """A stop in each phase before the start ends it there, and its slot is called after the reason."""

    @pytest.mark.parametrize("phase", [Phase.PENDING, Phase.PREPARING])
    @pytest.mark.parametrize(
        ("reason", "disposition"),
        [("stopped by anna", Disposition.SKIPPED), ("replaced by a.job.x.1", Disposition.SUPERSEDED),
         ("paused by cleo: moving", Disposition.PAUSED), ("suspended in git", Disposition.SUSPENDED),
         ("forbidden: image", Disposition.FORBIDDEN), ("unavailable: being retired", Disposition.UNAVAILABLE)],
    )  # fmt: skip
    def test_R3_cancelled_before_the_start(self, phase: Phase, reason: str, disposition: Disposition) -> None:
        asked = run(phase, stop_requested_at=SLOT, stop_reason=reason, tries=1, retry_at=SLOT + HOUR)
        given_up = step(asked, ctx=replace(AWAY, busy="prepare"))
        assert isinstance(given_up, GiveUp)
        assert (given_up.outcome.phase, given_up.disposition) == (Phase.CANCELLED, disposition)
        assert given_up.outcome.reason == reason
