"""However time passes, each slot is launched or recorded exactly once, and none fires early (T3-T8, R2)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model.job import CatchUp, Concurrency, JobSpec, Schedule
from reconciler.model.live import StandingJob
from reconciler.model.run import Disposition, Pause, Phase, RunRecord
from reconciler.schedule.cron import excluded_fires, fires, normalise
from reconciler.schedule.due import carry_cursor, decide
from reconciler.schedule.gates import Gates

START = datetime(2026, 10, 24, 20, 0, tzinfo=UTC)  # a few hours before the clocks of Berlin go back
LEAD = 8.0
TEXTS = ["*/15 * * * *", "30 2 * * *", "0 * * * *", "*/40 * * * *", "5 */2 * * * *", "@every 7m", "0 9 * * mon-fri"]
EXCLUDED = ["", "2026-10-25", "2026-10-24,2026-10-26..2026-10-27,2026-10-29"]


@st.composite
def ticks(draw: st.DrawFn) -> list[tuple[float, str]]:
    """(seconds that pass on the wall clock, what happens then)."""
    step = st.one_of(st.floats(0.01, 90), st.floats(60, 7200), st.floats(-4000, 0), st.floats(7200, 90_000))
    event = st.sampled_from(["", "", "", "pause", "resume", "suspend", "allow", "start", "end", "restart"])
    return draw(st.lists(st.tuples(step, event), min_size=1, max_size=25))


@given(
    st.sampled_from(TEXTS), st.sampled_from(Concurrency), st.sampled_from(CatchUp), ticks(), st.booleans(),
    st.sampled_from(EXCLUDED),
)  # fmt: skip
@settings(max_examples=400, deadline=None)
def test_T5_each_slot_has_exactly_one_disposition(
    text: str, policy: Concurrency, catch_up: CatchUp, passes: list[tuple[float, str]], ahead: bool, exclude: str
) -> None:
    kind, _, every = normalise(text)
    schedule = Schedule(kind, text, "Europe/Berlin", every=every, exclude=exclude)
    spec = JobSpec("a/job", "a", schedule, "busybox", concurrency_policy=policy, catch_up=catch_up)
    job = StandingJob("a/job", spec, "d1", "r1", "a/job.yaml", START, START, START)
    now, begin, pause = START, START, None
    active: tuple[RunRecord, ...] = ()
    accounted: list[datetime] = []
    for seconds, event in passes:
        before, now = now, now + timedelta(seconds=seconds)
        if event == "pause":
            pause = Pause("a/job", now, None, "", "cleo")
        elif event == "resume" and pause is not None and pause.until is None:
            pause = replace(pause, until=max(now, pause.since))
        elif event in ("suspend", "allow"):
            edited = replace(job.spec, suspend=event == "suspend")
            cursor, _ = carry_cursor(job, edited, now)
            if cursor > job.cursor:  # resumed: what lies before it is owed to nobody
                accounted += fires(spec.schedule, job.cursor, cursor, START, 100_000)
                accounted += excluded_fires(spec.schedule, job.cursor, cursor, START, 100_000)
            job = replace(job, spec=edited, cursor=cursor)
        elif event == "start":
            active = (*active, RunRecord(f"r{now}", "a/job", now, 1, "manual", "anna", "d1", "r1", Phase.RUNNING, now))
        elif event == "end":
            active = ()
        gates = Gates(paused=pause, downtime=(before, now) if event == "restart" and before < now else None,
                      clock_stepped=seconds < 0, lead=LEAD if ahead else 0.0)  # fmt: skip
        decision = decide(job, active, now, gates)
        assert decision.cursor >= job.cursor, "a cursor never moves back"
        assert decision.wake_at is None or decision.wake_at > min(now, job.cursor - timedelta(seconds=LEAD))
        for record in decision.slots:
            hidden = record.disposition is Disposition.BLACKOUT
            those, others = (excluded_fires, fires) if hidden else (fires, excluded_fires)
            found = those(spec.schedule, record.first - timedelta(seconds=1), record.last, START, 100_000)
            between = others(spec.schedule, record.first, record.last, START, 1)
            assert not between, "a row reaches over no slot that is told elsewhere"
            assert (len(found), found[0], found[-1]) == (record.count, record.first, record.last)
            accounted += found
        for request in decision.launch:
            assert request.slot <= now + timedelta(seconds=LEAD if ahead else 0)
            assert not job.spec.suspend
            assert pause is None or not pause.covers("a/job", now)
            accounted.append(request.slot)
        job = replace(job, cursor=decision.cursor)
    expected = fires(spec.schedule, begin, job.cursor, START, 10**6)
    expected += excluded_fires(spec.schedule, begin, job.cursor, START, 10**6)
    assert sorted(accounted) == sorted(expected)
