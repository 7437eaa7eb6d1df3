r"""Promise: a crontab's lines fire when they did and run what they ran; `%`, variables and users are told."""

from typing import Any

import pytest

from tests.unit.importers.kit import by_name, codes, note, only, run

IMAGE = "registry.example.org/ops/tools:1"


def test_a_line_without_an_image_is_suspended() -> None:
    found = run("crontab", "30 2 * * 1-5 /usr/local/bin/backup.sh --full\n")
    assert only(found) == {
        "schedule": "30 2 * * 1-5", "suspend": True, "image": "debian:stable-slim",
        "script": "/usr/local/bin/backup.sh --full", "concurrency_policy": "Allow",
    }  # fmt: skip
    assert codes(found) == {"image-assumed", "zone", "written-out", "limit"}


def test_with_an_image_it_fires() -> None:
    found = run("crontab", "30 2 * * * backup\n", image=IMAGE, timezone="Europe/Berlin")
    assert only(found) == {"schedule": "30 2 * * *", "timezone": "Europe/Berlin", "image": IMAGE, "script": "backup",
                           "concurrency_policy": "Allow"}  # fmt: skip


LINES: list[tuple[str, dict[str, Any]]] = [
    ("@daily x", {"schedule": "@daily"}),
    ("@MIDNIGHT x", {"schedule": "@midnight"}),
    ("@reboot x", {"schedule": "manual"}),
    ("@fortnightly x", {"schedule": "manual"}),
    ("0 0 1-7 * 1 x", {"schedule": "0 0 1-7 * 1"}),
    ("0 0 */2 * mon,fri x", {"schedule": "0 0 */2 * mon,fri"}),
    ("  5\t4   *  *  * x", {"schedule": "5 4 * * *"}),
    ("-*/15 * * * * x", {"schedule": "*/15 * * * *"}),
    ("0~30 3 * * * x", {"schedule": "H(0-30) 3 * * *"}),
    ("~ ~ * * * x", {"schedule": "H H * * *"}),
    ("22-2 * * * * x", {"schedule": "manual"}),
    ("99 * * * * x", {"schedule": "manual"}),
    ("30 2 30 2 * x", {"schedule": "manual"}),
    ("* * * * * a && b", {"script": "a && b"}),
    ("* * * * * a > /dev/null 2>&1", {"script": "a > /dev/null 2>&1"}),
    ("* * * * * a; b", {"entrypoint": ["/bin/sh", "-c"], "command": ["a; b"]}),
    ("* * * * * a | b", {"command": ["a | b"]}),
    ("* * * * * a &", {"command": ["a &"]}),
    ("* * * * * echo $X", {"command": ["echo $X"]}),
    (r"* * * * * date +\%F", {"script": "date +%F"}),
    (r"* * * * * mail a%Joe,%%100\%%bye", {"command": ["{ mail a\n} <<'INPUT'\nJoe,\n\n100%\nbye\nINPUT"]}),
    ("* * * * * cat%INPUT%x", {"command": ["{ cat\n} <<'INPUT_'\nINPUT\nx\nINPUT_"]}),
    ("* * * * * cat%", {"command": ["{ cat\n} </dev/null"]}),
]


@pytest.mark.parametrize(("line", "kept"), LINES, ids=[line for line, _ in LINES])
def test_a_line(line: str, kept: dict[str, Any]) -> None:
    found = only(run("crontab", line + "\n", image=IMAGE))
    assert {key: found.get(key) for key in kept} == kept


def test_the_input_reaches_the_command_as_cron_gave_it() -> None:
    import subprocess

    job = only(run("crontab", r"* * * * * read a; cat; echo $a%1%two \%%" + "\n"))
    done = subprocess.run([*job["entrypoint"], *job["command"]], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "two %\n\n1\n"


def test_variables_hold_for_the_lines_below() -> None:
    found = run("crontab", """\
        PATH=/opt/bin:/bin
        * * * * * one
        SHELL = /bin/bash
        MAILTO=ops@example.org
        "QUOTED NAME"='x y'
        GREETING = " hi "
        CRON_TZ=Europe/Berlin
        * * * * * two
        """, image=IMAGE)  # fmt: skip
    jobs = by_name(found)
    assert jobs["one"]["environment"] == {"PATH": "/opt/bin:/bin"}
    assert "timezone" not in jobs["one"]
    assert jobs["two"]["environment"] == {"PATH": "/opt/bin:/bin", "GREETING": " hi "}
    assert (jobs["two"]["timezone"], jobs["two"]["entrypoint"]) == ("Europe/Berlin", ["/bin/bash", "-c"])
    assert "MAILTO" in note(found, "no-counterpart").message
    assert "QUOTED NAME" in note(found, "refused-part").message


def test_mail_that_was_switched_off_is_no_loss() -> None:
    assert "no-counterpart" not in codes(run("crontab", 'MAILTO=""\n@daily x\n'))


def test_random_delay_is_jitter() -> None:
    found = run("crontab", "RANDOM_DELAY=15\n@daily x\nSTART_HOURS_RANGE=3-22\n@daily y\n", image=IMAGE)
    jobs = by_name(found)
    assert jobs["x"]["schedule"] == {"cron": "@daily", "jitter": "15m"}
    assert jobs["y"]["suspend"] is True


SYSTEM = "17 *\t* * *\troot\tcd / && run-parts /etc/cron.hourly\n25 6 * * * backup /opt/b.sh\n"


@pytest.mark.parametrize(
    ("path", "options", "text"),
    [("in.txt", {}, SYSTEM), ("/etc/crontab", {}, SYSTEM.replace("root", "www-data")),
     ("x/cron.d/a", {}, SYSTEM), ("a", {"system": True}, SYSTEM)],
)  # fmt: skip
def test_the_column_of_the_user(path: str, options: dict[str, Any], text: str) -> None:
    found = run("crontab", text, path, image=IMAGE, **options)
    jobs = by_name(found)
    assert jobs["b"]["script"] == "/opt/b.sh"
    assert jobs["b"]["suspend"] is True
    assert any(n.code == "host-user" and n.message == "it ran as backup" for n in found.notes)
    assert jobs["cron-hourly"]["script"] == "cd / && run-parts /etc/cron.hourly"


def test_a_users_crontab_has_no_such_column() -> None:
    assert only(run("crontab", "* * * * * root x\n", system=False))["script"] == "root x"


NAMES = [
    ("/usr/local/bin/Backup_DB.sh -v", "backup_db"), ("cd /srv && ./run.py", "run"),
    ("FOO=1 nice -n 10 report", "report"),
    ("python3 -u /srv/jobs/etl.py --x", "etl"), ("/usr/bin/php /var/www/occ cron", "occ"), ("[ -x /a ] && /a/b", "b"),
    ("test -e /x || sync-all", "sync-all"), ("'/opt/my tool.sh'", "my-tool"), ("flock -n /tmp/l /opt/x.sh", "l"),
    ("; ; ;", "job"), ("$X", "x"), ("été.sh", "ete"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "name"), NAMES, ids=[row[0] for row in NAMES])
def test_a_job_is_named_by_its_program(command: str, name: str) -> None:
    assert [file.name for file in run("crontab", f"* * * * * {command}\n").files] == [name]


def test_the_comment_right_above_describes() -> None:
    found = by_name(run("crontab",
                        "# m h dom mon dow command\n# Nightly dump,\n# of all shops\n"
                        "* * * * * a\n\n# far\n\n* * * * * b\n"
                        "# 5 5 * * * off\n* * * * * c\n"))  # fmt: skip
    assert found["a"]["description"] == "Nightly dump, of all shops"
    assert "description" not in found["b"]
    assert "description" not in found["c"]


def test_odd_lines_are_told_by_their_number_and_the_others_read() -> None:
    text = b"what is this\n* * * * *\n1 5 cron.daily nice run-parts\n\xff\xfe * * * * bad\n# \xff fine\n@daily ok\r\n"
    found = run("crontab", text + b"@daily bell\x07\n")
    assert [file.name for file in found.files] == ["ok"]
    assert [n.line for n in found.notes if n.code == "unreadable"] == [1, 2, 3, 4, 7]  # type: ignore[comparison-overlap]
    assert "anacrontab" in next(n.hint for n in found.notes if n.line == 3)


def test_equal_programs_get_numbers() -> None:
    found = run("crontab", "* * * * * a 1\n* * * * * a 2\n", taken=frozenset({"a-2"}))
    assert [file.name for file in found.files] == ["a", "a-3"]
