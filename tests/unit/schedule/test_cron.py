"""Every form of a schedule is read as documented, or refused with a message and a hint; fires follow rules T1-T3."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from reconciler.model.job import Schedule, ScheduleKind
from reconciler.schedule.cron import FireWindow, fires, latest_fires, next_fire, normalise, smallest_interval, validate

START = datetime(2026, 11, 24, 7, 30, tzinfo=UTC)


def schedule(text: str, zone: str = "UTC", gap: str = "after", overlap: str = "once", seed: str = "") -> Schedule:
    kind, _, every = normalise(text)
    return Schedule(kind, text, zone, gap, overlap, every, seed=seed)


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def following(text: str, count: int, after: datetime = START, zone: str = "UTC", **rule: str) -> list[str]:
    found = fires(schedule(text, zone, **rule), after, after + timedelta(days=20000), START, count)
    return [hit.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M" + (":%S" if hit.second else "")) for hit in found]


READ = [
    ("every minute", "* * * * *", ["2026-11-24 07:31", "2026-11-24 07:32"]),
    ("a step", "*/20 * * * *", ["2026-11-24 07:40", "2026-11-24 08:00"]),
    ("a list and a range", "0 6,9-10 * * *", ["2026-11-24 09:00", "2026-11-24 10:00", "2026-11-25 06:00"]),
    ("a step in a range", "10-40/15 8 * * *", ["2026-11-24 08:10", "2026-11-24 08:25", "2026-11-24 08:40"]),
    ("a step after one value goes on to the end", "5/25 8 * * *", ["2026-11-24 08:05", "2026-11-24 08:30"]),
    ("names of days in any case", "0 8 * * Mon-FRI", ["2026-11-24 08:00", "2026-11-25 08:00"]),
    ("names of months", "0 0 1 jan,Mar *", ["2027-01-01 00:00", "2027-03-01 00:00"]),
    ("7 is Sunday", "0 0 * * 7", ["2026-11-29 00:00", "2026-12-06 00:00"]),
    ("a range that ends on 7", "0 0 * * 6-7", ["2026-11-28 00:00", "2026-11-29 00:00", "2026-12-05 00:00"]),
    ("sat-sun is the weekend", "0 0 * * sat-sun", ["2026-11-28 00:00", "2026-11-29 00:00", "2026-12-05 00:00"]),
    ("a range of one value is that value", "0 3-3 * * *", ["2026-11-25 03:00", "2026-11-26 03:00"]),
    ("a range of one weekday is that day", "0 0 * * 7-7", ["2026-11-29 00:00", "2026-12-06 00:00"]),
    ("leading seconds", "15,45 30 7 * * *", ["2026-11-24 07:30:15", "2026-11-24 07:30:45", "2026-11-25 07:30:15"]),
    ("a leap day", "0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00"]),
    ("a leap day that is a Sunday", "0 0 29 2 */7", ["2032-02-29 00:00", "2060-02-29 00:00"]),
    ("both days restricted: either counts", "0 0 13 * fri", ["2026-11-27 00:00", "2026-12-04 00:00", "2026-12-11 00:00",
                                                            "2026-12-13 00:00"]),
    ("a step of days is a star: both count", "0 0 */10 * sun", ["2027-01-31 00:00", "2027-02-21 00:00"]),
    ("a star in the weekday: both count", "0 0 13 * */5", ["2026-12-13 00:00", "2027-06-13 00:00"]),
    ("the first Sunday by a star", "0 0 1-7 * */7", ["2026-12-06 00:00", "2027-01-03 00:00"]),
    ("the last day", "0 0 L * *", ["2026-11-30 00:00", "2026-12-31 00:00", "2027-01-31 00:00", "2027-02-28 00:00"]),
    ("days before the last", "0 0 L-3 2 *", ["2027-02-25 00:00", "2028-02-26 00:00"]),
    ("a day before the last that February lacks", "0 0 L-28 2 *", ["2028-02-01 00:00", "2032-02-01 00:00"]),
    ("the nearest workday, back to Friday", "0 0 28W * *", ["2026-11-27 00:00", "2026-12-28 00:00"]),
    ("the nearest workday, on to Monday", "0 0 15w * *", ["2026-12-15 00:00", "2027-01-15 00:00", "2027-02-15 00:00",
                                                         "2027-03-15 00:00", "2027-04-15 00:00", "2027-05-14 00:00"]),
    ("the first is a Saturday: not back into the other month", "0 0 1W 5 *", ["2027-05-03 00:00"]),
    ("the last is a Sunday: not on into the other month", "0 0 31W 1 *", ["2027-01-29 00:00"]),
    ("31W leaves out months of 30 days", "0 0 31W * *", ["2026-12-31 00:00", "2027-01-29 00:00", "2027-03-31 00:00"]),
    ("the last workday", "0 0 LW * *", ["2026-11-30 00:00", "2026-12-31 00:00", "2027-01-29 00:00"]),
    ("the workday nearest to one before the last", "0 0 L-1W 1 *", ["2027-01-29 00:00"]),
    ("the second Friday", "0 0 * * fri#2", ["2026-12-11 00:00", "2027-01-08 00:00"]),
    ("the fifth Monday, where there is one", "0 0 * * 1#5", ["2026-11-30 00:00", "2027-03-29 00:00"]),
    ("the last Friday", "0 0 * * 5L", ["2026-11-27 00:00", "2026-12-25 00:00", "2027-01-29 00:00"]),
    ("the last Friday by name", "0 0 * * FriL", ["2026-11-27 00:00", "2026-12-25 00:00"]),
    ("7L is the last Sunday", "0 0 * * 7L", ["2026-11-29 00:00", "2026-12-27 00:00"]),
    ("special days in a list", "0 0 1,15W,L * *", ["2026-11-30 00:00", "2026-12-01 00:00", "2026-12-15 00:00"]),
    ("a special weekday beside a plain one", "0 0 * * sun,fri#2", ["2026-11-29 00:00", "2026-12-06 00:00",
                                                                   "2026-12-11 00:00", "2026-12-13 00:00"]),
    ("L and a weekday: either counts", "0 0 L * wed", ["2026-11-25 00:00", "2026-11-30 00:00", "2026-12-02 00:00"]),
    ("a question mark is a star", "0 0 ? * wed", ["2026-11-25 00:00", "2026-12-02 00:00"]),
    ("a question mark as the weekday", "0 0 13 * ?", ["2026-12-13 00:00", "2027-01-13 00:00"]),
    ("@hourly", "@hourly", ["2026-11-24 08:00", "2026-11-24 09:00"]),
    ("@daily", "@daily", ["2026-11-25 00:00", "2026-11-26 00:00"]),
    ("@midnight", "@Midnight", ["2026-11-25 00:00", "2026-11-26 00:00"]),
    ("@weekly is Sunday", "@weekly", ["2026-11-29 00:00", "2026-12-06 00:00"]),
    ("@monthly", "@monthly", ["2026-12-01 00:00", "2027-01-01 00:00"]),
    ("@yearly", "@yearly", ["2027-01-01 00:00", "2028-01-01 00:00"]),
    ("@annually", "@annually", ["2027-01-01 00:00"]),
    ("spaces do not count", "  0\t 8  * * *  ", ["2026-11-24 08:00"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), [row[1:] for row in READ], ids=[row[0] for row in READ])
def test_T1_reads(text: str, expected: list[str]) -> None:
    assert validate(schedule(text))[0] == []
    assert following(text, len(expected)) == expected


def test_T1_what_fires_alike_has_one_canonical_text() -> None:
    table = {
        "0  8 * * MON-Fri": "0 8 * * mon-fri",
        "h h(1-4) lw,15w,l-3 JUL fril,THU#2": "H H(1-4) LW,15W,L-3 jul friL,thu#2",
        "@every 36h": "@every 36h", "@Every  1W": "@every 1w", "@HOURLY": "@hourly",
    }  # fmt: skip
    assert {text: normalise(text)[1] for text in table} == table
    assert all(normalise(text)[1] == text for text in table.values())


REFUSED = [
    ("an empty line", " ", "schedule-invalid", "empty"),
    ("too few fields", "0 8 * *", "schedule-invalid", "has 4"),
    ("a field of years", "0 0 8 * * * 2027", "schedule-unsupported", "has 7"),
    ("a year as the sixth field", "0 8 1 1 * 2027", "schedule-invalid", "day of week '2027'"),
    ("a minute of 60", "60 * * * *", "schedule-invalid", "from 0 to 59"),
    ("a day of 0", "0 0 0 * *", "schedule-invalid", "from 1 to 31"),
    ("a step of 0", "*/0 * * * *", "schedule-invalid", "step of 0"),
    ("an empty list element", "1,,2 * * * *", "schedule-invalid", "cannot be read"),
    ("a backward range", "0 22-2 * * *", "schedule-invalid", "backwards"),
    ("a backward range of days", "0 0 * * fri-mon", "schedule-invalid", "backwards"),
    ("a name of another field", "0 mon * * *", "schedule-invalid", "hour 'mon'"),
    ("an unknown name", "0 0 * * mo", "schedule-invalid", "day of week 'mo'"),
    ("H without a job", "H 1 * * *", "schedule-invalid", "no job here"),
    ("R", "R 1 * * *", "schedule-unsupported", "`R`"),
    ("a bare W", "0 0 W * *", "schedule-unsupported", "`W` needs a day"),
    ("a workday of day 0", "0 0 0W * *", "schedule-invalid", "1W to 31W"),
    ("a workday of day 32", "0 0 32W * *", "schedule-invalid", "1W to 31W"),
    ("a range of workdays", "0 0 1W-5W * *", "schedule-unsupported", "not read like this"),
    ("L-0", "0 0 L-0 * *", "schedule-invalid", "L-1 to L-30"),
    ("L-31", "0 0 L-31 * *", "schedule-invalid", "L-1 to L-30"),
    ("L as a weekday", "0 0 * * L", "schedule-unsupported", "`L` needs a weekday"),
    ("croniter's L5", "0 0 * * L5", "schedule-unsupported", "`L` follows"),
    ("L of an hour", "0 L * * *", "schedule-unsupported", "`L`"),
    ("an eighth weekday", "0 0 * * 8L", "schedule-invalid", "is no value"),
    ("a sixth Friday", "0 0 * * fri#6", "schedule-invalid", "first to a fifth"),
    ("a Friday number 0", "0 0 * * fri#0", "schedule-invalid", "first to a fifth"),
    ("# as a day of month", "0 0 3#2 * *", "schedule-unsupported", "`#`"),
    ("a question mark as an hour", "0 ? * * *", "schedule-unsupported", "`?`"),
    ("a question mark with a step", "0 0 ?/2 * *", "schedule-unsupported", "`?`"),
    ("31W in months of 30", "0 0 31W 4,6 *", "schedule-never", "never fires"),
    ("L-29 in February", "0 0 L-29 2 *", "schedule-never", "never fires"),
    ("a random value", "0~30 0 * * *", "schedule-unsupported", "`~`"),
    ("@reboot", "@reboot", "schedule-unsupported", "`@reboot`"),
    ("an unknown macro", "@hourli", "schedule-invalid", "unknown macro"),
    ("a zone in the line", "CRON_TZ=UTC 0 0 * * *", "schedule-unsupported", "zone inside"),
    ("other digits than ASCII ones", "\u0661 * * * *", "schedule-invalid", "ASCII"),
    ("a control character", "0 0 * * *\x07", "schedule-invalid", "ASCII"),
    ("a line of a kilobyte", "0,1" * 400 + " * * * *", "schedule-invalid", "longer than"),
    ("30 February", "0 0 30 2 *", "schedule-never", "never fires"),
    ("31 in months of 30", "0 0 31 4,6,9,11 *", "schedule-never", "never fires"),
    ("@every without a duration", "@every", "schedule-invalid", "no interval"),
    ("@every of nothing", "@every 0s", "schedule-invalid", "no interval"),
    ("@every of half a second", "@every 500ms", "schedule-invalid", "no interval"),
    ("@every of a broken second", "@every 1.5s", "schedule-invalid", "no interval"),
    ("@every backwards", "@every -5m", "schedule-invalid", "no interval"),
    ("@every of a century", "@every 40000d", "schedule-invalid", "no interval"),
]


@pytest.mark.parametrize(("text", "code", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_T1_refuses(text: str, code: str, words: str) -> None:
    errors, warnings = validate(schedule(text))
    assert [error[0] for error in errors] == [code]
    assert words in errors[0][1]
    assert warnings == []
    assert next_fire(schedule(text), START, START) is None
    assert latest_fires(schedule(text), START, START + timedelta(days=9), START) == FireWindow()
    assert smallest_interval(schedule(text)) in (None, schedule(text).every)


def test_T1_every_unsupported_form_comes_with_a_hint() -> None:
    for _, text, code, _ in REFUSED:
        for error in validate(schedule(text))[0]:
            assert error[2] or code == "schedule-invalid", text


SPREAD = [
    ("one minute of all", "H * * * *", "minute", range(60), 1),
    ("one of a range", "H(10-19) * * * *", "minute", range(10, 20), 1),
    ("every so many", "H/15 * * * *", "minute", range(60), 4),
    ("every so many in a range", "H(0-29)/10 * * * *", "minute", range(30), 3),
    ("an hour of the night", "0 H(1-4) * * *", "hour", range(1, 5), 1),
    ("a day that every month has", "0 0 H * *", "day", range(1, 29), 1),
    ("a month", "0 0 1 H *", "month", range(1, 13), 1),
    ("a second", "H 0 * * * *", "second", range(60), 1),
]


@pytest.mark.parametrize(("text", "unit", "allowed", "count"), [row[1:] for row in SPREAD], ids=[r[0] for r in SPREAD])
def test_T1_H_is_spread_by_the_jobs_name(text: str, unit: str, allowed: range, count: int) -> None:
    seen = set()
    for name in (f"team/job-{number}" for number in range(200)):
        one = schedule(text, seed=name)
        assert validate(one)[0] == []
        found = fires(one, START, START + timedelta(days=800), START, 40)
        values = {getattr(hit, unit) for hit in found}
        assert len(values) == count
        assert values <= set(allowed)
        assert fires(schedule(text, seed=name), START, START + timedelta(days=800), START, 40) == found
        seen |= values
    assert len(seen) > 0.7 * len(allowed), "jobs are spread over nearly all of the range"


def test_T1_minute_and_hour_of_H_are_independent() -> None:
    """Else jobs would lie on a line, and bunch up."""
    jobs = [schedule("H H * * *", seed=f"job-{number}") for number in range(300)]
    pairs = {(hit.hour, hit.minute) for job in jobs if (hit := next_fire(job, START, START))}
    assert len(pairs) > 240


def test_T1_H_of_a_weekday_takes_names() -> None:
    found = {next_fire(schedule("0 0 * * H(mon-fri)", seed=f"job-{n}"), START, START) for n in range(60)}
    assert {hit.isoweekday() for hit in found if hit} == {1, 2, 3, 4, 5}


WARNED = [
    ("a step that does not divide", "*/7 * * * *", ["schedule-uneven-step"]),
    ("a star minute in some hours", "* */12 * * *", ["schedule-every-minute"]),
    ("a star second in some minutes", "* 5 * * * *", ["schedule-every-second"]),
    ("both days", "0 0 13 * fri", ["schedule-day-or"]),
    ("a step of days and a weekday", "0 0 */2 * sun", ["schedule-uneven-step", "schedule-day-and"]),
    ("7 for Sunday", "0 0 * * 7", ["schedule-sunday-7"]),
    ("day 31", "0 0 31 * *", ["schedule-short-months"]),
    ("day 29 of February", "0 0 29 2 *", ["schedule-short-months"]),
    ("day 30 of months that have it", "0 0 30 4,6 *", []),
    ("a step after one value", "5/15 * * * *", ["schedule-open-step"]),
    ("a step beyond the field", "*/90 * * * *", ["schedule-large-step"]),
    ("the nearest workday to day 31", "0 0 31W * *", ["schedule-short-months"]),
    ("so many days before the last", "0 0 L-29 * *", ["schedule-short-months"]),
    ("the last day", "0 0 L * *", []),
    ("the last workday", "0 0 LW * *", []),
    ("31W beside the first", "0 0 1,31W * *", []),
    ("a numbered weekday", "0 0 * * 5L", ["schedule-weekday-number"]),
    ("a named weekday", "0 0 * * friL,mon#1", []),
    ("a fifth weekday", "0 0 * * fri#5", ["schedule-short-months"]),
    ("L and a weekday", "0 0 L * fri", ["schedule-day-or"]),
    ("a usual line", "30 2 * * mon-fri", []),
    ("every minute", "* * * * *", []),
    ("every second", "* * * * * *", []),
    ("a quarter", "*/15 8-17 1-7 * *", []),
    ("@daily", "@daily", []),
]


@pytest.mark.parametrize(("text", "codes"), [row[1:] for row in WARNED], ids=[row[0] for row in WARNED])
def test_T1_warns_of_what_dialects_read_differently(text: str, codes: list[str]) -> None:
    errors, warnings = validate(schedule(text))
    assert errors == []
    assert [warning[0] for warning in warnings] == codes
    assert all(message and hint for _, message, hint in warnings)


@pytest.mark.parametrize(
    ("zone", "hint"),
    [("Europe/Berlni", "Europe/Berlin"), ("europe/berlin", "Europe/Berlin"), ("Europe", "Europe/"), ("", "IANA"),
     ("localtime", "not the same"), ("right/Europe/Berlin", "not the same"), ("../../etc/passwd", "IANA"),
     ("UTC+1\0", "")],
)  # fmt: skip
def test_T1_an_unknown_zone_is_an_error(zone: str, hint: str) -> None:
    errors, _ = validate(schedule("0 8 * * *", zone))
    assert [error[0] for error in errors] == ["timezone-unknown"]
    assert hint in errors[0][2]
    assert next_fire(schedule("0 8 * * *", zone), START, START) is None


def test_T1_manual_never_fires() -> None:
    manual = schedule("manual")
    assert (manual.kind, validate(manual)) == (ScheduleKind.MANUAL, ([], []))
    assert next_fire(manual, START, START) is None
    assert smallest_interval(manual) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("  @EVERY  1h30m ", (ScheduleKind.EVERY, "@every 1h30m", 5400.0)),
     ("@every 2d", (ScheduleKind.EVERY, "@every 2d", 172800.0)),
     ("@every x", (ScheduleKind.EVERY, "@every x", 0.0)),
     ("Manual", (ScheduleKind.MANUAL, "manual", 0.0)),
     ("0  8 * * MON", (ScheduleKind.CRON, "0 8 * * mon", 0.0)),
     ("@Daily", (ScheduleKind.CRON, "@daily", 0.0))],
)  # fmt: skip
def test_T1_normalise_keeps_the_meaning_and_drops_the_form(text: str, expected: object) -> None:
    assert normalise(text) == expected


class TestEvery:
    """`@every` counts from its anchor."""

    every = schedule("@every 40m")

    def test_T1_a_restart_shifts_nothing(self) -> None:
        expected = [START + timedelta(minutes=40 * k) for k in (1, 2, 3)]
        assert fires(self.every, START, START + timedelta(hours=2), START, 9) == expected
        assert next_fire(self.every, START + timedelta(minutes=41), START) == expected[1]

    def test_T1_the_first_is_one_interval_after_the_anchor(self) -> None:
        assert next_fire(self.every, START - timedelta(days=3), START) == START + timedelta(minutes=40)
        assert latest_fires(self.every, START - timedelta(days=3), START, START).count == 0

    def test_T1_it_fires_on_whole_seconds(self) -> None:
        anchor = START + timedelta(seconds=0.7)
        assert next_fire(self.every, anchor, anchor) == START + timedelta(minutes=40)

    def test_T6_a_window_is_counted_by_arithmetic(self) -> None:
        window = latest_fires(self.every, START, START + timedelta(minutes=81), START)
        assert window == FireWindow(START + timedelta(minutes=40), START + timedelta(minutes=80), 2)


class TestDST:
    """Rule T2 by name; the oracle of Debian's own loop is in tests/property."""

    gap = at("2026-03-28T12:00", "Europe/Berlin")
    fold = at("2026-10-24T12:00", "Europe/Berlin")

    def test_T2_a_fixed_time_in_the_gap_runs_once_right_after_it(self) -> None:
        expected = ["2026-03-29 03:00", "2026-03-30 02:30"]
        assert following("30 2 * * *", 2, self.gap, "Europe/Berlin") == expected

    def test_T2_two_fixed_times_in_the_gap_are_one_run(self) -> None:
        found = following("0,30 2,3 * * *", 3, self.gap, "Europe/Berlin")
        assert found == ["2026-03-29 03:00", "2026-03-29 03:30", "2026-03-30 02:00"]

    def test_T2_gap_skip_leaves_it_out(self) -> None:
        assert following("30 2 * * *", 1, self.gap, "Europe/Berlin", gap="skip") == ["2026-03-30 02:30"]

    def test_T2_a_fixed_time_in_the_repeated_hour_runs_once(self) -> None:
        found = fires(schedule("30 2 * * *", "Europe/Berlin"), self.fold, self.fold + timedelta(days=2), START, 9)
        assert found == [datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 26, 1, 30, tzinfo=UTC)]

    def test_T2_overlap_twice_runs_it_in_both(self) -> None:
        line = schedule("30 2 * * *", "Europe/Berlin", overlap="twice")
        found = fires(line, self.fold, self.fold + timedelta(days=1), START, 9)
        assert found == [datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)]

    def test_T2_wildcard_hours_follow_elapsed_time(self) -> None:
        for start in (self.gap, self.fold):
            found = fires(schedule("0 * * * *", "Europe/Berlin"), start, start + timedelta(hours=30), START, 99)
            assert found == [start + timedelta(hours=k) for k in range(1, 31)]

    def test_T2_a_wildcard_minute_follows_elapsed_time_too(self) -> None:
        line = schedule("*/30 2 * * *", "Europe/Berlin")
        assert latest_fires(line, self.gap, self.gap + timedelta(hours=23), START).count == 0
        assert latest_fires(line, self.fold, self.fold + timedelta(hours=23), START).count == 4

    def test_T2_a_day_that_a_zone_leaves_out_is_not_made_up(self) -> None:
        found = following("0 12 * * *", 2, at("2011-12-29T11:00", "Pacific/Apia"), "Pacific/Apia")
        assert found == ["2011-12-29 12:00", "2011-12-31 12:00"]

    def test_T2_midnight_in_the_gap_is_the_first_instant_of_the_day(self) -> None:
        start = at("2018-11-03T12:00", "America/Sao_Paulo")
        assert following("0 0 * * *", 2, start, "America/Sao_Paulo") == ["2018-11-04 01:00", "2018-11-05 00:00"]


class TestBounds:
    """Searches and counts are bounded and cheap, whatever is asked."""

    def test_T3_the_last_years_of_the_calendar_end_quietly(self) -> None:
        assert next_fire(schedule("0 0 * * *", "Europe/Berlin"), datetime(9999, 12, 31, tzinfo=UTC), START) is None
        assert next_fire(schedule("@every 1d"), datetime(9999, 12, 31, tzinfo=UTC), START) is None

    @pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Australia/Lord_Howe"])
    def test_T3_a_search_in_the_last_year_of_the_calendar_ends(self, zone: str) -> None:
        late = datetime(9999, 6, 1, tzinfo=UTC)
        assert next_fire(schedule("0 0 1 1 *", zone), late, START) is None
        assert next_fire(schedule("0 12 1 7 *", zone), late, START) == at("9999-07-01T12:00", zone)
        assert latest_fires(schedule("0 12 1 5 *", zone), datetime(9998, 6, 1, tzinfo=UTC), late, START).count == 1

    def test_T3_the_first_years_of_the_calendar_do_not_crash(self) -> None:
        first = datetime(1, 1, 1, tzinfo=UTC)
        assert next_fire(schedule("0 0 * * *", "Europe/Berlin"), first, START) is not None

    def test_T6_a_year_of_every_second_is_counted(self) -> None:
        until = START + timedelta(days=365)
        window = latest_fires(schedule("* * * * * *", "Europe/Berlin"), START, until, START)
        assert window == FireWindow(START + timedelta(seconds=1), until, 365 * 86400)

    def test_T6_more_than_ten_years_are_capped_and_say_so(self) -> None:
        window = latest_fires(schedule("0 0 * * *"), datetime(1990, 1, 1, tzinfo=UTC), START, START)
        assert window.capped
        assert window.count == 3660
        assert window.last == datetime(2026, 11, 24, tzinfo=UTC)

    def test_T3_an_exact_fire_is_not_its_own_next(self) -> None:
        hit = datetime(2026, 11, 24, 8, tzinfo=UTC)
        assert next_fire(schedule("0 8 * * *"), hit, START) == hit + timedelta(days=1)
        assert next_fire(schedule("0 8 * * *"), hit - timedelta(microseconds=1), START) == hit

    def test_T6_fires_stop_at_the_limit(self) -> None:
        assert len(fires(schedule("* * * * *"), START, START + timedelta(days=99), START, 7)) == 7
