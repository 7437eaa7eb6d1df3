"""What a job file says of its schedule, and its calendars, is what the spec means; all else is a problem (T1, T4)."""

from dataclasses import replace

import pytest

from reconciler.model.job import Schedule, ScheduleKind
from reconciler.schedule.calendars import MAX_LINES
from reconciler.spec.canonical import digest_of, from_data, to_data
from tests.unit.spec.kit import Repo, job, problems

CRON, AT = ScheduleKind.CRON, ScheduleKind.AT
ICS = """BEGIN:VCALENDAR
VERSION:2.0
BEGIN:VEVENT
DTSTART;VALUE=DATE:20261225
DURATION:P2D
END:VEVENT
END:VCALENDAR
"""

SCHEDULES = {
    "excluded days, merged and in order": (
        "schedule: {cron: '0 8 * * *', exclude: [2026-12-26, 2026-12-24..2026-12-25, 2026-12-31]}",
        Schedule(CRON, "0 8 * * *", exclude="2026-12-24..2026-12-26,2026-12-31"),
    ),
    "bounds": (
        "schedule: {every: 36h, start: 2026-12-01 06:00, end: 2027-03-31}",
        Schedule(ScheduleKind.EVERY, "@every 36h", every=129600.0, start="2026-12-01T06:00", end="2027-03-31"),
    ),
    "one time": ("schedule: {at: 2026-12-01T03:00}", Schedule(AT, "2026-12-01T03:00")),
    "times in order": (
        "schedule: {at: [2027-03-01T03:00:00, 2026-12-01T03:00:30], timezone: Europe/Berlin}",
        Schedule(AT, "2026-12-01T03:00:30,2027-03-01T03:00", "Europe/Berlin"),
    ),
    "a jitter knows the job's name": (
        "schedule: {cron: '0 8 * * *', jitter: 5m}", Schedule(CRON, "0 8 * * *", jitter=300.0, seed="a")
    ),
    "so does H": ("schedule: 'h 1 * * *'", Schedule(CRON, "H 1 * * *", seed="a")),
    "a list": (
        "schedule: ['0 8 * * mon-fri', {cron: '0 10 * * sat', timezone: Asia/Tokyo}, '@every 1h']\n"
        "timezone: Europe/Berlin",
        Schedule(ScheduleKind.SEVERAL, "0 8 * * mon-fri; 0 10 * * sat; @every 1h", "Europe/Berlin", parts=(
            Schedule(CRON, "0 8 * * mon-fri", "Europe/Berlin"),
            Schedule(CRON, "0 10 * * sat", "Asia/Tokyo"),
            Schedule(ScheduleKind.EVERY, "@every 1h", "Europe/Berlin", every=3600.0),
        )),
    ),
    "a list of one, or of the same twice, is that one": (
        "schedule: ['@daily', '@DAILY']", Schedule(CRON, "@daily")
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "schedule"), SCHEDULES.values(), ids=SCHEDULES)
def test_T1_a_schedule_says(text: str, schedule: Schedule) -> None:
    spec = job(text)
    assert spec.schedule == schedule
    assert from_data(to_data(spec)) == spec


WRONG = {
    "a day that there is not": ("{cron: '@daily', exclude: [2026-02-30]}", "/schedule/exclude/0", "date-invalid"),
    "a range backwards": ("{cron: '@daily', exclude: [2027-01-01..2026-01-01]}", "/schedule/exclude/0", "date-invalid"),
    "a day in another form": ("{cron: '@daily', exclude: [24.12.2026]}", "/schedule/exclude/0", "date-invalid"),
    "a calendar that is not there": ("{cron: '@daily', exclude: [x.ics]}", "/schedule/exclude/0", "calendar-missing"),
    "a calendar outside": ("{cron: '@daily', exclude: [../../x]}", "/schedule/exclude/0", "calendar-outside"),
    "a calendar by absolute path": ("{cron: '@daily', exclude: [/etc/x]}", "/schedule/exclude/0", "calendar-outside"),
    "a time with a zone": ("{at: '2026-12-01T03:00Z'}", "/schedule/at", "date-invalid"),
    "a day instead of a time": ("{at: [2026-12-01T03:00, 2026-12-02]}", "/schedule/at/1", "date-invalid"),
    "a start that is no date": ("{cron: '@daily', start: soon}", "/schedule/start", "date-invalid"),
    "an end before the start": (
        "{cron: '@daily', start: 2027-01-01, end: 2026-01-01}", "/schedule/end", "schedule-window"),
    "everything excluded": (
        "{cron: '@daily', exclude: [1970-01-01..2199-12-31]}", "/schedule/exclude", "schedule-never"),
    "an absurd jitter": ("{cron: '@daily', jitter: 400d}", "/schedule/jitter", "value-out-of-range"),
    "an absurd interval": ("{every: 99999d}", "/schedule", "schedule-invalid"),
    "a time and a line": ("{cron: '@daily', at: 2026-12-01T03:00}", "/schedule", "schedule-invalid"),
    "manual in a list": ("[manual, '@daily']", "/schedule/0", "schedule-invalid"),
    "manual with days": ("{cron: manual, exclude: [2026-12-24]}", "/schedule", "schedule-invalid"),
    "a line of a list": ("['@daily', '61 * * * *']", "/schedule/1", "schedule-invalid"),
    "a zone of a list": ("['@daily', {cron: '@daily', timezone: Mars}]", "/schedule/1/timezone", "timezone-unknown"),
    "an empty list": ("[]", "/schedule", "value-empty"),
    "a key of a list that is none": ("[{crom: '@daily'}]", "/schedule/0/crom", "unknown-key"),
    "a list in a list": ("[['@daily']]", "/schedule/0", "wrong-type"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "pointer", "code"), WRONG.values(), ids=WRONG)
def test_T1_bad_input_is_a_problem_where_it_was_written(text: str, pointer: str, code: str) -> None:
    found = problems(f"image: a\nschedule: {text}\n")
    assert [(p.pointer, p.code, p.line) for p in found] == [(pointer, code, 2)], found


def repo(exclude: str = "calendars/de.ics, 2026-12-24", **files: str) -> Repo:
    text = f"image: a\nschedule: {{cron: '0 8 * * *', exclude: [{exclude}]}}\n"
    other = text.replace(exclude, "2026-01-01")
    return Repo({"data/report.yaml": text, "data/calendars/de.ics": ICS, "other.yaml": other, **files})


def test_T4_a_calendar_of_the_same_commit_counts_by_what_it_says() -> None:
    one = repo()
    state = one.desire()
    schedule = state.jobs["data/report"].spec.schedule
    assert schedule.exclude == "2026-12-24..2026-12-26"
    assert schedule.calendars == (("jobs.d/data/calendars/de.ics", "2026-12-26"),)
    assert state.ignored == (), "a calendar that is used is no stray file"
    written = repo(exclude="2026-12-24..2026-12-26").desire().jobs["data/report"]
    assert written.digest == state.jobs["data/report"].digest


def test_T4_only_jobs_that_name_an_edited_calendar_are_read_again() -> None:
    one = repo()
    first = one.desire()
    one.asked.clear()
    one.files["data/calendars/de.ics"] = ICS.replace("P2D", "P3D")
    second = one.desire()
    assert one.asked == [one.blob(one.files["data/report.yaml"]), one.blob(one.files["data/calendars/de.ics"])]
    assert first.jobs["data/report"].digest != second.jobs["data/report"].digest
    one.asked.clear()
    assert one.desire() == second
    assert one.asked == []


def test_T4_a_comment_in_a_calendar_changes_nothing() -> None:
    one = repo(exclude="days.txt", **{"data/days.txt": "2026-12-24\n"})
    first = one.desire()
    one.files["data/days.txt"] = "# feast days\n2026-12-24  # Christmas Eve\n"
    assert one.desire().jobs["data/report"].digest == first.jobs["data/report"].digest


def test_T4_a_calendar_of_the_defaults_is_beside_them() -> None:
    one = Repo({"_defaults.yaml": "schedule: {cron: '0 8 * * *', exclude: [de.ics]}\n", "de.ics": ICS,
                "deep/er/a.yaml": "image: a\n"})  # fmt: skip
    assert one.desire().jobs["deep/er/a"].spec.schedule.exclude == "2026-12-25..2026-12-26"


BROKEN = [
    (ICS.replace("DURATION:P2D", "RRULE:FREQ=DAILY"), "de.ics:3: RRULE"),
    (ICS.replace("20261225", "20261225T080000"), "de.ics:4: DTSTART"),
    ("2026-12-24\nsoon\n", "de.ics:2: 'soon'"),
    ("2026-12-24\n" * (MAX_LINES + 1), f"de.ics: has more than {MAX_LINES:,} lines"),
    ("", "de.ics: names no day"),
]


@pytest.mark.parametrize(("text", "words"), BROKEN, ids=[words for _, words in BROKEN])
def test_T4_a_calendar_that_cannot_be_read_holds_its_jobs_and_says_the_line(text: str, words: str) -> None:
    one = repo()
    one.files["data/calendars/de.ics"] = text
    state = one.desire()
    (problem,) = state.held["data/report"].problems
    assert (problem.code, problem.line, problem.pointer) == ("calendar-invalid", 2, "/schedule/exclude/0")
    assert words in problem.message
    assert "other" in state.jobs


def test_T4_a_calendar_that_is_no_text_is_a_problem() -> None:
    one = repo()
    one.files["data/calendars/de.ics"] = b"\xff\xfe\x00"
    assert [p.code for p in one.desire().problems] == ["calendar-invalid"]


def test_T4_a_schedule_of_before_has_the_digest_it_had() -> None:
    """Fields that came later change no digest; a stored one has none of them."""
    spec = job("schedule: '@every 36h'")
    data = to_data(spec)
    for name in ("start", "end", "exclude", "jitter", "seed", "calendars", "parts"):
        del data["schedule"][name]
    assert from_data(data) == spec
    assert digest_of(spec) == digest_of(replace(spec, schedule=replace(spec.schedule, calendars=(("x", "y"),))))
