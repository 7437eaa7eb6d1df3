"""A calendar file says exactly the days that it means; what is not read is a problem with its line, never silence."""

import pytest

from reconciler.schedule.calendars import LAST_REPEAT, MAX_EVENTS, MAX_LINES, MAX_PROBLEMS, Calendar, read_calendar
from reconciler.schedule.dates import days_of, days_text

HEAD = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//example.org//x//EN\r\n"


def event(*lines: str) -> str:
    body = "".join(line + "\r\n" for line in ("UID:1@example.org", "DTSTAMP:20260101T000000Z", *lines))
    return f"{HEAD}BEGIN:VEVENT\r\n{body}END:VEVENT\r\nEND:VCALENDAR\r\n"


def days(text: str) -> str:
    calendar = read_calendar(text)
    assert calendar.problems == ()
    return days_text(calendar.days)


READ = [
    ("a date a line", "2026-12-24\n2026-12-31\n", "2026-12-24,2026-12-31"),
    ("comments and empty lines", "# feast days\n\n2026-12-24   # Christmas Eve\n", "2026-12-24"),
    ("a range with both ends", "2026-12-24..2027-01-06\n", "2026-12-24..2027-01-06"),
    ("in any order, twice, touching", "2026-12-25\n2026-12-24\n2026-12-25..2026-12-26", "2026-12-24..2026-12-26"),
    ("a byte order mark and Windows lines", "\ufeff2026-12-24\r\n2026-12-26\r\n", "2026-12-24,2026-12-26"),
    ("an event without an end lasts one day", event("DTSTART;VALUE=DATE:20261224"), "2026-12-24"),
    ("DTEND is the day after", event("DTSTART;VALUE=DATE:20261224", "DTEND;VALUE=DATE:20261227"),
     "2026-12-24..2026-12-26"),
    ("a DTEND on its own day", event("DTSTART;VALUE=DATE:20261224", "DTEND;VALUE=DATE:20261224"), "2026-12-24"),
    ("a duration in days", event("DTSTART;VALUE=DATE:20261224", "DURATION:P3D"), "2026-12-24..2026-12-26"),
    ("a duration in weeks", event("DTSTART;VALUE=DATE:20261221", "DURATION:P1W"), "2026-12-21..2026-12-27"),
    ("a date without VALUE", event("DTSTART:20261224"), "2026-12-24"),
    ("folded lines", event("DTSTART;VALUE=DA", " TE:202612", "\t24", "SUMMARY:Christ", " mas"), "2026-12-24"),
    ("texts of any kind", event("DTSTART;VALUE=DATE:20261224", 'SUMMARY;LANGUAGE=de;X-A="b:c;d":Heilig:abend',
                                "X-ANYTHING:1", "CATEGORIES:Holidays", "TRANSP:TRANSPARENT"), "2026-12-24"),
    ("small letters", event("dtstart;value=date:20261224").replace("BEGIN", "begin"), "2026-12-24"),
    ("a zone's definition is passed over", f"{HEAD}BEGIN:VTIMEZONE\r\nTZID:Europe/Berlin\r\nBEGIN:STANDARD\r\n"
     "DTSTART:19701025T030000\r\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n"
     "BEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20261224\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n", "2026-12-24"),
    ("an alarm is passed over", event("DTSTART;VALUE=DATE:20261224", "BEGIN:VALARM", "TRIGGER:-PT15M", "END:VALARM"),
     "2026-12-24"),
    ("yearly, a number of times", event("DTSTART;VALUE=DATE:20261224", "RRULE:FREQ=YEARLY;COUNT=2"),
     "2026-12-24,2027-12-24"),
    ("yearly, until a day", event("DTSTART;VALUE=DATE:20261224", "RRULE:FREQ=YEARLY;UNTIL=20281223"),
     "2026-12-24,2027-12-24"),
    ("every other year, in the words of others", event(
        "DTSTART;VALUE=DATE:20261224", "RRULE:FREQ=YEARLY;INTERVAL=2;BYMONTH=12;BYMONTHDAY=24;COUNT=2;WKST=MO"),
     "2026-12-24,2028-12-24"),
    ("29 February in leap years alone", event("DTSTART;VALUE=DATE:20280229", "RRULE:FREQ=YEARLY;COUNT=2"),
     "2028-02-29,2032-02-29"),
    ("days that repeat over the end of the year", event(
        "DTSTART;VALUE=DATE:20261231", "DURATION:P2D", "RRULE:FREQ=YEARLY;COUNT=2"),
     "2026-12-31..2027-01-01,2027-12-31..2028-01-01"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), [row[1:] for row in READ], ids=[row[0] for row in READ])
def test_T4_a_calendar_says(text: str, expected: str) -> None:
    assert days(text) == expected
    assert read_calendar(text.replace("\r\n", "\n")) == read_calendar(text)


def test_T4_a_feast_that_repeats_for_ever_does_so_until_a_year_that_is_far_away() -> None:
    found = days(event("DTSTART;VALUE=DATE:20261224", "RRULE:FREQ=YEARLY"))
    assert len(days_of(found)) == LAST_REPEAT - 2026 + 1
    assert found.endswith(f"{LAST_REPEAT}-12-24")


START = "DTSTART;VALUE=DATE:20261224"
REFUSED = [
    ("an empty file", "\n# nothing yet\n", 0, "names no day"),
    ("an empty calendar", HEAD + "END:VCALENDAR\r\n", 0, "names no day"),
    ("a day that there is not", "2026-12-24\n2026-02-30\n", 2, "no day of the calendar"),
    ("another form of date", "24.12.2026\n", 1, "is no date"),
    ("a range that runs backwards", "2027-01-06..2026-12-24", 1, "ends before it begins"),
    ("a year out of reach", "9999-01-01", 1, "within the years"),
    ("any other text", "<html>\n", 1, "is no date"),
    ("an event with a time", event("DTSTART:20261224T090000Z"), 7, "DTSTART must be a whole day"),
    ("an event with a time in a zone", event("DTSTART;TZID=Europe/Berlin:20261224T090000"), 7, "must be a whole day"),
    ("an event without a start", event("SUMMARY:x"), 4, "no DTSTART"),
    ("an end before the start", event(START, "DTEND;VALUE=DATE:20261223"), 4, "must last from 1"),
    ("an end and a duration", event(START, "DTEND;VALUE=DATE:20261225", "DURATION:P1D"), 4, "both DTEND and DURATION"),
    ("a duration of hours", event(START, "DURATION:PT24H"), 8, "whole days"),
    ("a duration of years", event(START, "DURATION:P99999D"), 4, "must last from 1"),
    ("a day that there is not, in an event", event("DTSTART;VALUE=DATE:20260230"), 7, "no day of the calendar"),
    ("a rule that is not yearly", event(START, "RRULE:FREQ=WEEKLY"), 4, "FREQ=YEARLY"),
    ("a rule by weekday", event(START, "RRULE:FREQ=YEARLY;BYDAY=4TH;BYMONTH=12"), 4, "BYDAY"),
    ("a rule for another month", event(START, "RRULE:FREQ=YEARLY;BYMONTH=11"), 4, "BYMONTH"),
    ("a count of nothing", event(START, "RRULE:FREQ=YEARLY;COUNT=0"), 4, "COUNT"),
    ("an endless interval", event(START, "RRULE:FREQ=YEARLY;INTERVAL=99999"), 4, "INTERVAL"),
    ("count and until", event(START, "RRULE:FREQ=YEARLY;COUNT=2;UNTIL=20301231"), 4, "both COUNT and UNTIL"),
    ("two rules", event(START, "RRULE:FREQ=YEARLY;COUNT=2", "RRULE:FREQ=YEARLY;COUNT=3"), 9, "two RRULEs"),
    ("single dates that repeat", event(START, "RDATE;VALUE=DATE:20270101"), 8, "RDATE is not read"),
    ("dates taken out again", event(START, "RRULE:FREQ=YEARLY", "EXDATE;VALUE=DATE:20271224"), 9, "EXDATE is not read"),
    ("one instance moved", event(START, "RECURRENCE-ID;VALUE=DATE:20271224"), 8, "RECURRENCE-ID is not read"),
    ("a cancelled event", event(START, "STATUS:CANCELLED"), 8, "cancelled"),
    ("an unknown property", event(START, "FREEBUSY:x"), 8, "FREEBUSY is not read"),
    ("a task", HEAD + "BEGIN:VTODO\r\nDUE;VALUE=DATE:20261224\r\nEND:VTODO\r\nEND:VCALENDAR\r\n", 4, "VTODO"),
    ("no end", HEAD + "BEGIN:VEVENT\r\n" + START, 5, "ends within VEVENT"),
    ("a wrong end", HEAD + "END:VEVENT\r\n", 4, "closes nothing"),
    ("a line without a colon", event(START, "nonsense"), 8, "no line of a calendar"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_T4_a_calendar_is_refused(text: str, line: int, words: str) -> None:
    calendar = read_calendar(text)
    assert calendar.days == ()
    assert next((at, words in message) for at, message in calendar.problems) == (line, True), calendar.problems


def test_T4_what_is_too_large_is_refused_without_much_ado() -> None:
    for text, words in (
        ("2026-12-24\n" * 1_000_000, f"more than {MAX_LINES:,} lines"),
        ("".join(f"{year}-{month:02}-{day:02}\n" for year in range(1970, 2190) for month in range(1, 13)
                 for day in range(1, 28, 3))[: 11 * MAX_LINES - 11], "separate days"),
        (HEAD + f"BEGIN:VEVENT\r\n{START}\r\nEND:VEVENT\r\n" * (MAX_EVENTS + 1), f"more than {MAX_EVENTS:,} events"),
        (HEAD + f"BEGIN:VEVENT\r\n{START}\r\nRRULE:FREQ=YEARLY\r\nEND:VEVENT\r\n" * MAX_EVENTS, "more than"),
        ("x\n" * 1000, "is no date"),
        (HEAD + "X" * 200_000, "no line"),
        (HEAD + 'SUMMARY;A="' * 20_000, "no line"),
        (HEAD + "BEGIN:VALARM\r\n" * 10_000, "is not read"),
    ):  # fmt: skip
        calendar = read_calendar(text)
        assert calendar == Calendar((), calendar.problems)
        assert 1 <= len(calendar.problems) <= MAX_PROBLEMS
        assert any(words in message for _, message in calendar.problems), (words, calendar.problems)
