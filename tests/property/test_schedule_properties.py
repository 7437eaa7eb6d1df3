"""Whatever the line, zone and instant: next is later, counting equals walking, croniter agrees in UTC (T1, T3, T8)."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model.job import Schedule, ScheduleKind
from reconciler.schedule.cron import (
    excluded_fires,
    fires,
    latest_excluded,
    latest_fires,
    next_fire,
    nominal,
    normalise,
    smallest_interval,
    validate,
)  # fmt: skip
from reconciler.schedule.dates import days_of, days_text, merged
from reconciler.schedule.zones import stretch
from tests.unit.schedule.oracle import changes

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Antarctica/Troll", "Pacific/Apia",
         "America/Santiago", "Asia/Amman", "Africa/Casablanca", "America/Nuuk"]  # fmt: skip
ONE_VALUE_RANGE = re.compile(r"\b(\d+)-\1\b")
ANCHOR = datetime(2019, 5, 5, 5, 5, 5, tzinfo=UTC)


def part(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    step = st.tuples(st.one_of(st.just("*"), span), st.integers(1, high)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    one = st.one_of(number.map(str), span, step)
    return st.one_of(st.just("*"), one, st.lists(one, min_size=2, max_size=3).map(",".join))


lines = st.tuples(part(0, 59), part(0, 23), part(1, 31), part(1, 12), part(0, 6)).map(" ".join)
seconds = st.tuples(part(0, 59), lines).map(" ".join)
instants = st.datetimes(datetime(1975, 1, 1), datetime(2060, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    if draw(st.integers(0, 5)) == 0:
        return Schedule(ScheduleKind.EVERY, "@every", every=float(draw(st.integers(1, 10**6))))
    text = draw(st.one_of(lines, seconds))
    return Schedule(ScheduleKind.CRON, text, draw(st.sampled_from(ZONES)), draw(st.sampled_from(["after", "skip"])),
                    draw(st.sampled_from(["once", "twice"])))  # fmt: skip


@given(schedules(), instants)
@settings(max_examples=400, deadline=None)
def test_T3_next_is_strictly_later_and_whole_seconds(schedule: Schedule, after: datetime) -> None:
    at = after
    for _ in range(5):
        hit = next_fire(schedule, at, ANCHOR)
        if hit is None:
            assert validate(schedule)[0] or at.year > 2010, "only what is an error, or beyond the horizon, never fires"
            return
        assert hit > at
        assert hit.microsecond == 0
        assert next_fire(schedule, hit - timedelta(microseconds=1), ANCHOR) == hit, "nothing in between was left out"
        at = hit


@given(schedules(), instants, st.integers(0, 40 * 86400))
@settings(max_examples=400, deadline=None)
def test_T6_counting_a_window_equals_walking_it(schedule: Schedule, after: datetime, length: int) -> None:
    until = after + timedelta(seconds=length)
    walked = fires(schedule, after, until, ANCHOR, 3000)
    if len(walked) == 3000:
        until = walked[-1]
    window = latest_fires(schedule, after, until, ANCHOR)
    assert window.count == len(walked)
    assert (window.first, window.last) == ((walked[0], walked[-1]) if walked else (None, None))


@given(st.one_of(lines, seconds), instants)
@settings(max_examples=300, deadline=None)
def test_T1_croniter_agrees_where_there_is_no_dst(text: str, after: datetime) -> None:
    """Except that croniter reads `3-3` as every value; the oracle of Debian's loop covers that form."""
    schedule = Schedule(ScheduleKind.CRON, text)
    if validate(schedule)[0] or ONE_VALUE_RANGE.search(text):
        return
    naive = after.replace(tzinfo=None, microsecond=0)
    theirs = croniter(text, naive, second_at_beginning=True, implement_cron_bug=True, max_years_between_matches=50)
    for hit in fires(schedule, naive.replace(tzinfo=UTC), naive.replace(tzinfo=UTC) + timedelta(days=9000), ANCHOR, 4):
        assert theirs.get_next(datetime) == hit.replace(tzinfo=None)


@given(schedules(), instants)
@settings(max_examples=300, deadline=None)
def test_T8_no_two_fires_are_closer_than_the_smallest_interval(schedule: Schedule, after: datetime) -> None:
    """On an even clock; the change of an offset may shorten a distance once, by as much as it shifts."""
    even = Schedule(schedule.kind, schedule.expression, "UTC", every=schedule.every)
    smallest = smallest_interval(even)
    walked = fires(even, after, after + timedelta(days=4000), ANCHOR, 60)
    assert all((later - earlier).total_seconds() >= (smallest or 0) for earlier, later in pairwise(walked))


def test_T8_the_smallest_interval_is_reached() -> None:
    table = {
        "0 0 * * *": 86400, "*/7 * * * *": 240, "0 9-17 * * *": 3600, "0 0 * * mon,wed": 2 * 86400,
        "0 9,10 1 * *": 3600, "55 23 1 * *": 28 * 86400, "50 23,0 * * *": 3600, "0 0 29 2 *": 1461 * 86400,
        "0 0 1,31 * *": 86400, "*/20 59 * * * *": 20, "0 0 13 * */5": 28 * 86400,
    }  # fmt: skip
    found = {text: smallest_interval(Schedule(normalise(text)[0], text)) for text in table}
    assert found == {text: float(value) for text, value in table.items()}


def test_T2_changes_of_offset_are_found_wherever_zoneinfo_has_them() -> None:
    for zone in ZONES[1:]:
        for year in (1979, 2007, 2011, 2018, 2023, 2026, 2050):
            for change in changes(zone, year):
                hour = int(change.timestamp())
                starts = {stretch(zone, at).start for at in range(hour - 3600, hour + 1, 60)}
                inside = [at for at in starts if hour - 3600 < at <= hour]
                assert inside, (zone, change)
                assert all(stretch(zone, at).offset != stretch(zone, at).before for at in inside)


# -- excluded days, bounds, jitter, and several as one ---------------------------------------------------------

day_sets = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 20)), min_size=1, max_size=8
).map(lambda pairs: ",".join(days_text(merged([(a + 18000, a + 18000 + b)])) for a, b in pairs))  # fmt: skip
in_2019 = st.datetimes(datetime(2019, 3, 1), datetime(2020, 6, 1)).map(lambda at: at.replace(tzinfo=UTC))


@st.composite
def narrowed(draw: st.DrawFn) -> Schedule:
    text = draw(
        st.sampled_from(["*/30 * * * *", "30 2 * * *", "0 0 * * *", "15 1-3 * * *", "0 8 * * mon-fri", "0 0 L * *"])
    )
    exclude = days_text(days_of(draw(st.one_of(st.just(""), day_sets))))
    begin, end = sorted(draw(st.lists(in_2019, min_size=2, max_size=2)))
    return Schedule(
        ScheduleKind.CRON, text, draw(st.sampled_from(ZONES)), exclude=exclude,
        start=draw(st.sampled_from(["", begin.strftime("%Y-%m-%d"), begin.strftime("%Y-%m-%dT%H:%M")])),
        end=draw(st.sampled_from(["", end.strftime("%Y-%m-%d"), end.strftime("%Y-%m-%dT%H:%M")])),
        jitter=draw(st.sampled_from([0.0, 600.0])), seed="a/job",
    )  # fmt: skip


either = st.one_of(
    narrowed(),
    st.lists(narrowed(), min_size=2, max_size=3).map(
        lambda parts: Schedule(ScheduleKind.SEVERAL, "", parts[0].timezone, parts=tuple(parts))
    ),
)


@given(either, in_2019, st.integers(0, 90 * 86400))
@settings(max_examples=300, deadline=None)
def test_T5_what_fires_and_what_is_excluded_are_apart_and_together_all_there_is(
    schedule: Schedule, after: datetime, length: int
) -> None:
    until = after + timedelta(seconds=length)
    shown, hidden = fires(schedule, after, until, ANCHOR, 9999), excluded_fires(schedule, after, until, ANCHOR, 9999)
    assert not set(shown) & set(hidden)
    assert all(earlier < later for earlier, later in pairwise(shown))
    parts = schedule.parts or (schedule,)
    bare = {hit for part in parts for hit in fires(replace(part, exclude=""), after, until, ANCHOR, 9999)}
    assert set(shown) | set(hidden) == bare
    for part in parts:
        by = min(fires(replace(part, exclude="", start="", end=""), after, after + timedelta(days=60), ANCHOR, 1))
        late = by - nominal(part, by)
        days = days_of(part.exclude)
        for hit in fires(part, after, until, ANCHOR, 9999):
            local = (hit - late).astimezone(ZoneInfo(part.timezone)).date()
            assert not any(first <= (local - date(1970, 1, 1)).days <= last for first, last in days)


@given(either, in_2019, st.integers(0, 90 * 86400))
@settings(max_examples=300, deadline=None)
def test_T6_counting_equals_walking_with_days_left_out(schedule: Schedule, after: datetime, length: int) -> None:
    until = after + timedelta(seconds=length)
    for walk, count in ((fires, latest_fires), (excluded_fires, latest_excluded)):
        found = walk(schedule, after, until, ANCHOR, 9999)
        window = count(schedule, after, until, ANCHOR)
        assert (window.count, window.capped) == (len(found), False)
        assert (window.first, window.last) == ((found[0], found[-1]) if found else (None, None))
