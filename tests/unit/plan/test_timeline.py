"""Promise: the plan tells how many fires the next day holds, before and after it, at a bounded cost."""

from reconciler.model.job import Schedule, ScheduleKind
from reconciler.plan.timeline import MOST_JOBS, timeline
from tests.kit.fleet import NOW, cron, desired, held, plan_of, row, rows, spec

QUARTER, TEN = cron("*/15 * * * *"), cron("*/10 * * * *")


def test_fires_are_counted_over_the_whole_fleet_with_what_each_change_adds():
    standing = rows(spec("etl", schedule=QUARTER), "report", "same")
    plan = plan_of(desired([spec("etl", schedule=TEN), "same"]), standing)
    times = timeline(plan, standing, NOW)
    assert (times.before, times.after, times.whole) == (98, 145, True)
    assert times.deltas == (("etl", 48), ("report", -1))


def test_most_fires_of_one_instant_are_counted():
    standing = rows(*(spec(f"j{n}") for n in range(7)))
    assert timeline(plan_of(desired([f"j{n}" for n in range(7)]), standing), standing, NOW).at_once == 7


def test_what_does_not_fire_is_not_counted():
    standing = rows(
        spec("suspended", suspend=True), spec("manual", schedule=Schedule(ScheduleKind.MANUAL)),
        row("forbidden", forbidden="image"), row("going", retiring=True), "held",
    )  # fmt: skip
    names = ["suspended", "manual", "going"]
    plan = plan_of(desired([standing[n].spec for n in names], [held("held"), held("forbidden")]), standing)
    times = timeline(plan, standing, NOW)
    assert times.before == 1
    assert dict(times.deltas) == {"forbidden": 1, "going": 1}


def test_a_refused_plan_changes_nothing():
    standing = rows("a", "b")
    times = timeline(plan_of(desired(), standing), standing, NOW)
    assert (times.before, times.after, times.deltas) == (2, 2, ())


def test_a_move_neither_adds_nor_loses_a_fire():
    standing = rows("old")
    plan = plan_of(desired([spec("new", moved_from="old")]), standing)
    times = timeline(plan, standing, NOW)
    assert (times.before, times.after, times.deltas) == (1, 1, ())


def test_of_a_large_fleet_only_changed_jobs_are_computed_unless_all_are_asked_for():
    count = MOST_JOBS + 1
    standing = rows(*(f"j{n}" for n in range(count)))
    want = desired([spec("j0", schedule=TEN), *(f"j{n}" for n in range(1, count))])
    plan = plan_of(want, standing)
    few, every = timeline(plan, standing, NOW), timeline(plan, standing, NOW, everything=True)
    assert (few.whole, few.before, few.after, few.at_once) == (False, 1, 144, 0)
    assert (every.whole, every.before, every.after) == (True, count, count + 143)


def test_more_changes_than_can_be_computed_are_said_to_be_a_lower_bound():
    plan = plan_of(desired([f"j{n}" for n in range(MOST_JOBS + 5)]))
    times = timeline(plan, {}, NOW, everything=False)
    assert times.capped
    assert times.after == MOST_JOBS
