"""What is printed can be read: durations, sizes and instants in words, tables, nothing unprintable (rule S6)."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.cli.output import (
    colour_wanted,
    count,
    fitting,
    iso,
    local,
    plain,
    print_json,
    print_table,
    size,
    took,
    working,
)

NOW = datetime(2026, 11, 25, 8, 13, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "-"), (0.04, "0.0s"), (9.94, "9.9s"), (9.96, "10s"), (59.4, "59s"), (59.6, "1m00s"), (242, "4m02s"),
     (3599.4, "59m59s"), (9600, "2h40m"), (86399.6, "1d0h"), (273600, "3d4h")],
)  # fmt: skip
def test_a_duration_in_words(seconds: float | None, said: str) -> None:
    assert took(seconds) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [(None, "-"), (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (409_000_000, "409 MB"), (9_960_000, "10 MB"),
     (999_600, "1.0 MB"), (2_000_000_000, "2.0 GB"), (5 * 10**12, "5.0 TB"), (10**16, "10000.0 TB")],
)  # fmt: skip
def test_a_size_in_words(number: int | None, said: str) -> None:
    assert size(number) == said


@pytest.mark.parametrize(
    ("at", "said"),
    [(NOW, "09:13"), (NOW + timedelta(seconds=5), "09:13:05"), (NOW + timedelta(days=1), "Thu 09:13"),
     (NOW - timedelta(days=6), "Thu 09:13"), (NOW - timedelta(days=7), "18 Nov 2026 09:13"),
     (NOW + timedelta(hours=15), "Thu 00:13"), (None, "-")],
)  # fmt: skip
def test_an_instant_as_people_of_its_zone_say_it(at: datetime | None, said: str) -> None:
    assert local(at, "Europe/Berlin", NOW) == said


def test_an_instant_for_programs_is_utc_with_milliseconds_only_if_there_are_any() -> None:
    assert iso(NOW) == "2026-11-25T08:13:00Z"
    assert iso(NOW + timedelta(milliseconds=7)) == "2026-11-25T08:13:00.007Z"
    assert iso(None) is None


def test_one_is_singular() -> None:
    assert [count(n, "job") for n in (0, 1, 2)] == ["0 jobs", "1 job", "2 jobs"]


def test_S6_what_comes_from_jobs_cannot_move_the_cursor_or_reorder_text() -> None:
    assert plain("a\x1b[2Jb\u202ec\nd") == "a\ufffd[2Jb\ufffdc\ufffdd"


def test_a_table_in_a_pipe_is_plain_aligned_and_without_trailing_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("JOB", "STATE"), [("web/backup", ("FAILING: \x1b[31m", "red")), ("a", "")])
    assert capsys.readouterr().out.splitlines() == ["JOB         STATE", "web/backup  FAILING: \ufffd[31m", "a"]


SCREEN = ("JOB", "SCHEDULE", "LAST", "LAST 10", "TOOK", "NEXT", "STATE")
LONG_ROW = ("web/backup-shopdb", "30 2 * * *", "failed 02:52, exit 1", ".......xxx", "11m", "Thu 02:30",
            "FAILING since Mon, 3 in a row")  # fmt: skip


@pytest.mark.parametrize(
    ("width", "kept"),
    [(200, SCREEN), (112, SCREEN), (100, ("JOB", "SCHEDULE", "LAST", "NEXT", "STATE")),
     (80, ("JOB", "LAST", "NEXT", "STATE")),
     (60, ("JOB", "STATE")), (20, ("JOB", "STATE"))],
)  # fmt: skip
def test_a_narrow_terminal_loses_what_is_worth_least_never_names_and_states(width: int, kept: tuple[str, ...]) -> None:
    assert tuple(SCREEN[place] for place in fitting(SCREEN, [LONG_ROW], width)) == kept


def test_on_a_narrow_terminal_every_word_that_stays_is_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    print_table(SCREEN, [LONG_ROW])
    said = capsys.readouterr().out
    assert "web/backup-shopdb" in said
    assert "FAILING since Mon, 3 in a row" in said
    assert "\u2026" not in said


def test_a_coloured_table_keeps_its_cells(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    print_table(("JOB", "STATE"), [("web/backup", ("FAILING " * 20, "red"))])
    said = capsys.readouterr().out
    assert "\x1b[31m" in said
    assert said.count("FAILING") == 20
    assert said.count("web/backup") == 1


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True)],
)
def test_colour_in_a_pipe_only_if_forced(
    environment: dict[str, str], wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert colour_wanted() is wanted


def test_progress_is_silent_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with working("reading"):
        pass
    assert capsys.readouterr() == ("", "")


def test_json_is_readable_and_keeps_letters(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"who": "Jürgen"})
    assert capsys.readouterr().out == '{\n  "who": "Jürgen"\n}\n'
