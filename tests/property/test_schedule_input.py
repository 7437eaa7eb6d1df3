"""Whatever a schedule or a calendar holds, reading it ends, with fires that are later or with a reason (T1, T3, T4)."""

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model.job import Schedule
from reconciler.schedule.calendars import read_calendar
from reconciler.schedule.cron import fires, latest_fires, normalise, smallest_interval, validate
from reconciler.schedule.dates import days_of, days_text

NOW = datetime(2026, 11, 24, 7, 30, tzinfo=UTC)
WORDS = [
    "*",
    "?",
    "L",
    "W",
    "LW",
    "L-3",
    "15W",
    "31W",
    "fri#2",
    "5L",
    "friL",
    "H",
    "H(0-29)/10",
    "H/7",
    "H(mon-fri)",
    "7",
    "sat-sun",
    "1-5",
    "*/7",
    "22-2",
    "0",
    "29",
    "jan",
    "mon",
    "59",
]
WORDS += ["1,15W", "#", "l", "h(", "5#9", "@daily", ""]
lines = st.one_of(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=7).map(" ".join),
    st.text("0123456789*/-,#LWHh?()@ monfrijan\t\x00é", max_size=40),
)
PARTS = [
    "BEGIN:VCALENDAR", "END:VCALENDAR", "BEGIN:VEVENT", "END:VEVENT", "DTSTART;VALUE=DATE:20261224", "DTSTART:2026",
    "DTEND;VALUE=DATE:20261226", "DURATION:P2D", "RRULE:FREQ=YEARLY", "RRULE:FREQ=YEARLY;COUNT=9999", "RRULE:;;=",
    " folded", "SUMMARY:x", "2026-12-24", "2026-12-24..2027-01-06", "# x", "", "BEGIN:", ":", "STATUS:",
]  # fmt: skip
calendars = st.one_of(
    st.lists(st.sampled_from(PARTS), max_size=25).map("\r\n".join),
    st.lists(st.sampled_from(PARTS), max_size=25).map(lambda parts: "\n".join(["BEGIN:VCALENDAR", *parts])),
    st.text(max_size=80),
)


@given(lines, st.sampled_from(["", "a/job"]), st.sampled_from(["UTC", "Europe/Berlin", "Mars"]))
@settings(max_examples=600, deadline=None)
def test_T1_any_line_fires_later_or_says_why_not(text: str, name: str, zone: str) -> None:
    kind, canonical, every = normalise(text)
    schedule = Schedule(kind, canonical, zone, every=every, seed=name)
    assert normalise(canonical) == (kind, canonical, every)
    errors, warnings = validate(schedule)
    found = fires(schedule, NOW, NOW.replace(year=2068), NOW, 3)
    if errors:
        assert not found
        assert not warnings
        assert all(code and message for code, message, _ in errors)
    elif kind.value != "manual":
        assert found
        assert found[0] > NOW
        interval = smallest_interval(schedule)
        assert interval is not None
        assert interval >= 1
        assert latest_fires(schedule, NOW, found[-1], NOW).count == len(found)


@given(calendars)
@settings(max_examples=600, deadline=None)
def test_T4_any_calendar_has_days_or_problems(text: str) -> None:
    calendar = read_calendar(text)
    assert bool(calendar.days) is not bool(calendar.problems)
    assert days_of(days_text(calendar.days)) == calendar.days
    assert all(0 <= line <= text.count("\n") + 2 and message for line, message in calendar.problems)
