"""Bad input gives one line with a code and a hint, exit 1 or 2, never a traceback; and commands start quickly.

To readers of `plan` and `check` the exit code 2 says something else: there a wrong command line is 1 and 3.
"""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from reconciler.cli.context import instant
from reconciler.cli.main import COMMANDS, command, main
from reconciler.cli.next import Asked, excluded, fires, lines
from reconciler.cli.plan import with_options
from reconciler.model.job import Schedule, ScheduleKind

JOB = 'schedule: "30 2 * * *"\nimage: busybox\nscript: echo ok\n'
BROKEN = 'schedule: "30 2 * * *"\nimage: busybox\nparameter: 3\n'


@pytest.fixture(autouse=True)
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to stand in, with state that does not exist."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECONCILER_STATE_DIR", str(tmp_path / "state"))
    return tmp_path


BAD = [
    (["nosuch"], 2, "usage", "reconciler --help"),
    (["validat"], 2, "usage", "did you mean 'validate'?"),
    (["--nosuch"], 2, "usage", "reconciler --help"),
    (["jobs", "--nosuch"], 2, "usage", "reconciler jobs --help"),
    (["jobs", "-o", "yaml"], 2, "usage", "reconciler jobs --help"),
    (["logs"], 2, "usage", "reconciler logs --help"),
    (["runs", "--limit", "x"], 2, "usage", "reconciler runs --help"),
    (["runs", "--limit", "0"], 2, "usage", "reconciler runs --help"),
    (["runs", "--limit", "99999999999999999999"], 2, "usage", ""),
    (["jobs"], 1, "state-absent", "--state-dir"),
    (["runs", "a"], 1, "state-absent", "--state-dir"),
    (["show", "a"], 1, "state-absent", ""),
    (["logs", "a"], 1, "state-absent", ""),
    (["next", "a"], 1, "state-absent", ""),
    (["run", "a"], 1, "service-not-running", "reconciler serve"),
    (["run", "a", "--key", ""], 2, "usage", ""),
    (["stop", "a"], 1, "service-not-running", "reconciler serve"),
    (["discard", "a"], 1, "service-not-running", "reconciler serve"),
    (["pause", "a"], 1, "service-not-running", "reconciler serve"),
    (["pause", "--all", "--until", "2h"], 1, "service-not-running", ""),
    (["resume", "--all"], 1, "service-not-running", ""),
    (["pause"], 2, "usage", "reconciler pause --help"),
    (["pause", "a", "--all"], 2, "usage", ""),
    (["pause", "a", "--until", "yesterday"], 2, "usage", "2h"),
    (["resume"], 2, "usage", ""),
    (["next"], 2, "usage", ""),
    (["next", "a", "--cron", "* * * * *"], 2, "usage", ""),
    (["next", "--cron", "61 * * * *"], 2, "schedule-invalid", ""),
    (["next", "--cron", ""], 2, "schedule-invalid", ""),
    (["next", "--cron", "30 2 30 2 *"], 2, "", ""),
    (["next", "--cron", "H 2 * * *"], 2, "schedule-invalid", "--name"),
    (["next", "a", "--name", "b"], 2, "usage", ""),
    (["next", "--cron", "\udcff"], 2, "schedule-invalid", ""),
    (["next", "--cron", "* * * * *", "--timezone", "Mars"], 2, "timezone-unknown", "IANA"),
    (["next", "--cron", "* * * * *", "--timezone", "../../etc/passwd"], 2, "timezone-unknown", ""),
    (["next", "--cron", "* * * * *", "--from", "x"], 2, "usage", "2026-11-24"),
    (["next", "--cron", "* * * * *", "--from", "0001-01-01", "--timezone", "Asia/Tokyo"], 2, "usage", ""),
    (["next", "--cron", "0 0 1 1 *", "--from", "9999-06-01", "--timezone", "Asia/Tokyo"], 2, "usage", ""),
    (["validate", "nosuch"], 1, "source-not-found", "--source URL"),
    (["init", "/dev/null/jobs"], 1, "io-error", "owner"),
    (["validate", "--nosuch"], 1, "usage", "reconciler validate --help"),
    (["validate", "--source", "nosuch"], 1, "source-not-found", ""),
    (["validate", "--source", "ext::sh -c id"], 1, "protocol-not-allowed", ""),
    (["validate", "--config", "nosuch.yaml"], 1, "config-missing", ""),
    (["plan", "--source", "nosuch"], 1, "source-not-found", ""),
    (["plan", "--source", ".", "--engine", "kubernetes"], 1, "engine-unknown", ""),
    (["apply", "--source", "nosuch", "--engine", "memory"], 1, "source-not-found", ""),
    (["approve", "1234567", "--source", "nosuch"], 1, "source-not-found", ""),
    (["serve", "--engine", "kubernetes"], 2, "engine-unknown", ""),
    (["init", "/dev/null/x"], 1, "io-error", ""),
    (["check", "--nosuch"], 3, "usage", "reconciler check --help"),
    (["check", "Not A Name"], 3, "usage", ""),
]


@pytest.mark.parametrize(("words", "exit_code", "code", "hint"), BAD, ids=[" ".join(map(repr, row[0])) for row in BAD])
def test_bad_input_gets_one_line_with_a_code_and_a_hint(
    words: list[str], exit_code: int, code: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == exit_code
    out, err = capsys.readouterr()
    assert out == ""
    first, *rest = err.splitlines()
    assert first.startswith("reconciler: cannot ")
    assert first.endswith(f"[{code}]" if code else "]")
    assert len(rest) <= 1
    assert hint in "".join(rest)


def test_a_broken_service_file_shows_every_line_and_then_the_code(
    nothing_here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (nothing_here / "service.yaml").write_text("instance: DB 1\nengin: docker\n")
    assert main(["jobs", "--config", "service.yaml"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("service.yaml:1:")
    assert lines[1].startswith("service.yaml:2:")
    assert lines[-1].endswith("[config-invalid]")


def test_check_calls_state_that_is_not_there_critical(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 2
    out, err = capsys.readouterr()
    assert out.startswith("RECONCILER CRITICAL - ")
    assert "[state-absent]" in out
    assert err == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_file_that_says_what_it_does(name: str) -> None:
    module, parser = command(name)
    assert (module.__doc__ or "").strip()
    assert f"reconciler {name}" in parser.format_help()


def test_without_a_command_the_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    said = capsys.readouterr().out
    assert all(f"\n  {name} " in said for name in COMMANDS)


# -- validate ----------------------------------------------------------------------------------------------------------
@pytest.fixture
def tree(nothing_here: Path) -> Path:
    for name, text in {
        "jobs.d/_defaults.yaml": "timezone: Europe/Berlin\n",
        "jobs.d/web/backup.yaml": JOB,
        "jobs.d/web/vacuum.yaml": BROKEN,
        "jobs.d/web/note.txt": "x",
        "jobs.d/data/query.sql": "select 1",
        "jobs.d/data/report.yaml": JOB + "files: {/app/query.sql: {from: query.sql}}\n",
        "jobs.d/data/odd.yaml": JOB + "files: {/app/query.sql: {from: qwery.sql}}\n",
    }.items():
        path = nothing_here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return nothing_here


@pytest.mark.parametrize(
    ("words", "code", "places"),
    [
        ([], 1, ["jobs.d/data/odd.yaml:4:32", "jobs.d/web/vacuum.yaml:3:1"]),
        (["."], 1, ["jobs.d/data/odd.yaml:4:32", "jobs.d/web/vacuum.yaml:3:1"]),
        (["jobs.d"], 1, ["jobs.d/data/odd.yaml:4:32", "jobs.d/web/vacuum.yaml:3:1"]),
        (["jobs.d/web"], 1, ["jobs.d/web/vacuum.yaml:3:1"]),
        (["jobs.d/web/vacuum.yaml"], 1, ["jobs.d/web/vacuum.yaml:3:1"]),
        (["jobs.d/web/backup.yaml"], 0, []),
        (["jobs.d/data/report.yaml"], 0, []),
        (["jobs.d/data/odd.yaml"], 1, ["jobs.d/data/odd.yaml:4:32"]),
        (["jobs.d/_defaults.yaml"], 0, []),
    ],
    ids=["this directory", "said", "its jobs directory", "a folder", "a broken file", "a good file",
         "a file that takes in another", "a file that misses another", "defaults"],
)  # fmt: skip
def test_validate_names_files_as_they_are_seen_from_here(
    words: list[str], code: int, places: list[str], tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", *words]) == code
    out = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in out if not line.startswith(" ")] == places


def test_validate_of_one_file_sees_broken_defaults_above_it(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "jobs.d/_defaults.yaml").write_text("timezone: Mars\n")
    assert main(["validate", "jobs.d/web/backup.yaml"]) == 1
    assert "timezone" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["jobs.d"], ["jobs.d/web/link.yaml"]], ids=["here", "a directory", "the file"])
def test_validate_names_links_and_huge_files_as_well(
    words: list[str], tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "jobs.d/web/link.yaml").symlink_to(tree / "jobs.d/web/backup.yaml")
    assert main(["validate", *words]) == 1
    assert "jobs.d/web/link.yaml:1:1: this is a symbolic link" in capsys.readouterr().out


def test_validate_for_GitHub_gives_annotations(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "jobs.d/web", "-o", "github"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("::error file=jobs.d/web/vacuum.yaml,line=3,col=1,title=unknown-key::")
    assert err == ""


def test_validate_sums_up(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["validate"])
    assert capsys.readouterr().err == "4 job files: 2 fine, 2 broken (2 problems), 1 other file ignored\n"


def test_validate_of_a_directory_without_any_file_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate"]) == 1
    first, hint = capsys.readouterr().out.splitlines()
    assert first == ".:1:1: there is no job file below this jobs directory"
    assert "reconciler init" in hint


def test_a_suspicious_cron_line_is_shown_with_its_next_fires(
    nothing_here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (nothing_here / "jobs.d/web").mkdir(parents=True)
    (nothing_here / "jobs.d/a.yaml").write_text(JOB)
    (nothing_here / "jobs.d/web/a.yaml").write_text(JOB.replace("30 2 * * *", "17 3 1 * mon"))
    assert main(["validate"]) == 0
    hint = capsys.readouterr().out.splitlines()[-1]
    assert " It fires next on " in hint
    assert hint.count(" 03:17") == 4
    assert hint.endswith(" (UTC).")


def test_strict_makes_warnings_errors(nothing_here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (nothing_here / "a.yaml").write_text(JOB.replace("30 2 * * *", "30 2 */2 * mon"))
    assert main(["validate", "a.yaml"]) == 0
    assert "warning: " in capsys.readouterr().out
    assert main(["validate", "a.yaml", "--strict"]) == 1


# -- init --------------------------------------------------------------------------------------------------------------
def test_what_init_makes_is_valid_and_is_never_overwritten(
    nothing_here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "jobs repo", "--github"]) == 0
    assert "cd 'jobs repo'" in capsys.readouterr().out
    made = nothing_here / "jobs repo/jobs.d/hello.yaml"
    made.write_text(JOB)
    assert main(["init", "jobs repo"]) == 0
    assert f"kept     {Path('jobs repo/jobs.d/hello.yaml')}" in capsys.readouterr().out
    assert made.read_text() == JOB
    assert main(["validate", "--strict", "jobs repo"]) == 0


# -- next --------------------------------------------------------------------------------------------------------------
def test_T2_next_shows_the_hour_that_comes_twice_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["next", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin", "--from", "2026-10-24",
                 "--count", "3"]) == 0  # fmt: skip
    assert capsys.readouterr().out.splitlines() == [
        "Sat 2026-10-24 02:30:00 CEST  Europe/Berlin   2026-10-24T00:30:00Z",
        "Sun 2026-10-25 02:30:00 CEST  Europe/Berlin   2026-10-25T00:30:00Z",
        "Mon 2026-10-26 02:30:00 CET   Europe/Berlin   2026-10-26T01:30:00Z",
    ]


def test_next_says_what_dialects_read_differently(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["next", "--cron", "0 0 */2 * mon", "--count", "1"]) == 0
    assert capsys.readouterr().err.startswith("! ")


def test_T1_next_spreads_H_by_the_name_it_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["next", "--cron", "H H(1-4) * * *", "--from", "2026-10-24", "--count", "1", "--name"]
    assert main([*asked, "ml/train"]) == 0
    said = capsys.readouterr().out
    assert main([*asked, "ml/train"]) == 0
    assert capsys.readouterr().out == said
    assert main([*asked, "ml/score"]) == 0
    assert capsys.readouterr().out != said


def test_T5_next_says_which_slots_are_on_an_excluded_day() -> None:
    start = datetime(2026, 12, 23, tzinfo=UTC)
    schedule = Schedule(ScheduleKind.CRON, "0 8 * * *", exclude="2026-12-24..2026-12-25")
    asked = Asked(schedule)
    found = fires(asked, start, 2)
    rows = sorted([(at, False) for at in found] + [(at, True) for at in excluded(asked, start, found)])
    assert lines(asked, rows) == [
        "Wed 2026-12-23 08:00:00 UTC",
        "Thu 2026-12-24 08:00:00 UTC   excluded, does not fire",
        "Fri 2026-12-25 08:00:00 UTC   excluded, does not fire",
        "Sat 2026-12-26 08:00:00 UTC",
    ]
    over = Asked(Schedule(ScheduleKind.AT, "2026-12-24T08:00,2026-12-01T08:00", exclude="2026-12-24"))
    assert lines(over, [(at, True) for at in excluded(over, start, [])])[-1] == "nothing fires within a year"
    assert lines(over, []) == ["never"]


def test_next_of_manual_is_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["next", "--cron", "manual"]) == 0
    assert capsys.readouterr().out == "by hand only\n"


# -- speed -------------------------------------------------------------------------------------------------------------
HEAVY = {"git", "docker", "requests", "urllib3", "sqlite3", "structlog", "rich", "watchfiles", "jsonschema", "asyncio",
         "http.client", "croniter"}  # fmt: skip


def imported(*words: str) -> set[str]:
    """Modules that a command loads, in a process of its own."""
    program = (
        "import sys; from reconciler.cli.main import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=60)
    return set(done.stderr.splitlines())


def test_help_loads_no_more_than_the_parser() -> None:
    loaded = imported("--help")
    assert not loaded & {*HEAVY, "yaml", "zoneinfo", "dataclasses"}
    assert {name for name in loaded if name.startswith("reconciler.")} <= {
        "reconciler.cli", "reconciler.cli.main", "reconciler.model", "reconciler.model.errors",
    }  # fmt: skip


def test_validating_plain_files_loads_nothing_heavy(tree: Path) -> None:
    assert not imported("validate", "jobs.d/web/backup.yaml") & HEAVY


def test_listings_load_neither_docker_nor_git(tree: Path) -> None:
    assert not imported("jobs") & {"docker", "requests", "git", "watchfiles", "structlog", "jsonschema"}


def test_a_closed_output_is_no_traceback() -> None:
    ours = f"{sys.executable} -m reconciler"
    done = subprocess.run(
        ["/bin/sh", "-c", f"{ours} schema >&- && {ours} version >&- 2>&-"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_apply_of_a_source_that_cannot_be_read_leaves_no_state_behind(nothing_here: Path) -> None:
    assert main(["apply", "--source", str(nothing_here)]) == 1
    assert not (nothing_here / "state").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [([], "reconciler apply 0123456789abcdef"), (["-o", "json"], "reconciler apply 0123456789abcdef"),
     (["--source", "my jobs", "--path", "a", "--path", "b", "--state-dir", ".try"],
      "reconciler apply --source 'my jobs' --state-dir .try --path a --path b 0123456789abcdef")],
)  # fmt: skip
def test_the_command_that_a_plan_ends_with_is_the_one_to_type_here(words: list[str], said: str) -> None:
    args = command("plan")[1].parse_args(words)
    assert with_options("Apply exactly this:  reconciler apply 0123456789abcdef\n", args).endswith(f"  {said}\n")


def test_a_time_of_day_is_one_of_today_in_that_zone() -> None:
    here = datetime.now(ZoneInfo("Asia/Tokyo"))
    found = instant("02:30", "Asia/Tokyo").astimezone(ZoneInfo("Asia/Tokyo"))
    assert (found.hour, found.minute) == (2, 30)
    assert abs(found.date() - here.date()) <= timedelta(days=1)  # midnight may pass between the two
