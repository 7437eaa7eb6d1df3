"""Promise: a replacement is told field by field in the words of a job file; of the environment only names (S3)."""

import pytest

from reconciler.model.job import (
    CatchUp,
    Concurrency,
    FileMount,
    HistoryLimits,
    Location,
    Mount,
    OnRetire,
    Parameter,
    PullPolicy,
    Resources,
    Retries,
    Schedule,
    ScheduleKind,
    SecretRef,
    Strategy,
)  # fmt: skip
from reconciler.plan.changes import field_changes
from tests.kit.fleet import cron, job, spec

GIB = 1024**3


def said(edit: dict[str, object], base: dict[str, object] | None = None) -> list[tuple[str, str, str]]:
    old, new = spec("a", **(base or {})), job(spec("a", **{**(base or {}), **edit}))
    return [(change.field, change.old, change.new) for change in field_changes(old, new)]


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        ({"description": "x"}, [("description", "", "x")]),
        ({"schedule": cron("*/10 * * * *")}, [("schedule", "30 2 * * *", "*/10 * * * *")]),
        ({"schedule": Schedule(ScheduleKind.MANUAL)}, [("schedule", "30 2 * * *", "manual")]),
        ({"schedule": cron("30 2 * * *", "Europe/Berlin")}, [("timezone", "UTC", "Europe/Berlin")]),
        ({"schedule": Schedule(ScheduleKind.CRON, "30 2 * * *", gap="skip")}, [("dst.gap", "after", "skip")]),
        ({"suspend": True}, [("suspend", "false", "true")]),
        ({"image": "busybox:1.38"}, [("image", "busybox:1.37", "busybox:1.38")]),
        ({"command": ("sh", "-c", "x y")}, [("command", "[true]", "[sh, -c, x y]")]),
        ({"command": None}, [("command", "[true]", "the image's own")]),
        ({"working_dir": "/w", "user": "1:1"}, [("working_dir", "none", "/w"), ("user", "none", "1:1")]),
        ({"resources": Resources(cpus=1.5)}, [("resources.cpus", "none", "1.5")]),
        ({"resources": Resources(memory=GIB)}, [("resources.memory", "none", "1g")]),
        ({"networks": ("shop",)}, [("networks", "[default]", "[shop]")]),
        ({"timeout": 5400.0}, [("timeout", "24h", "1h30m")]),
        ({"concurrency_policy": Concurrency.REPLACE}, [("concurrency_policy", "Forbid", "Replace")]),
        ({"retries": Retries(3, on_exit_codes=(75,))},
         [("retries.limit", "0", "3"), ("retries.on_exit_codes", "[]", "[75]")]),
        ({"start_deadline": 60.0}, [("start_deadline", "none", "1m")]),
        ({"catch_up": CatchUp.NONE}, [("catch_up", "latest", "none")]),
        ({"on_retire": OnRetire.STOP, "protect": True}, [("on_retire", "drain", "stop"), ("protect", "false", "true")]),
        ({"history": HistoryLimits(keep_success=5)}, [("history.keep_success", "20", "5")]),
        ({"pull_policy": PullPolicy.DAILY}, [("pull_policy", "missing", "daily")]),
        ({"cap_add": ("CHOWN",)}, [("cap_add", "[]", "[CHOWN]")]),
        ({"labels": (("team", "x"),)}, [("labels.team", "none", "x")]),
        ({"mounts": (Mount("volume", "m", "/m", read_only=True),)}, [("volumes./m", "none", "m:/m:ro")]),
        ({"mounts": (Mount("tmpfs", "", "/t", size=GIB),)}, [("volumes./t", "none", "tmpfs:/t size 1g")]),
        ({"files": (FileMount("/q", "one\ntwo\n"),)}, [("files./q", "none", "inline, 2 lines, mode 0444")]),
        ({"strategy": Strategy((("lr", ("1", "2", "3")), ("depth", ("2", "4"))), max_parallel=2, fail_fast=True)},
         [("strategy", "none", "6 cells, 2 at a time: lr 3 x depth 2, fail_fast")]),
        ({"parameters": (Parameter("n", default="1", enum=("1", "2")), Parameter("since"))},
         [("parameters.n", "none", "string, one of 1 2, default 1"),
          ("parameters.since", "none", "string, to be given")]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_every_field_is_told_in_the_words_of_a_job_file(edit: dict[str, object], told: list[tuple[str, str, str]]):
    assert said(edit) == told


def test_every_field_of_a_spec_is_told():
    """A field added to JobSpec and forgotten here would make a replacement that says nothing."""
    from dataclasses import fields

    from reconciler.model.job import JobSpec
    from reconciler.plan.changes import FIELDS

    known = {field.name.partition(".")[0] for field in FIELDS} | {"timezone", "dst"}
    known |= {
        "accept",
        "name",
        "labels",
        "script",
        "start_script",
        "environment",
        "mounts",
        "files",
        "parameters",
        "secrets",
    }
    assert {field.name for field in fields(JobSpec)} <= known


def test_S3_of_the_environment_only_names_are_told():
    old = {"environment": (("KEPT", "k"), ("TOKEN", "hunter2"), ("OLD", "o"))}
    new = {"environment": (("KEPT", "k"), ("TOKEN", "hunter3"), ("NEW", "n"))}
    assert said(new, old) == [
        ("environment.NEW", "", "added"), ("environment.OLD", "", "removed"), ("environment.TOKEN", "", "changed"),
    ]  # fmt: skip


def test_S3_of_secrets_names_and_places_are_told():
    old = {"secrets": (SecretRef("dsn", "/run/secrets/dsn"), SecretRef("sealed", "/s", sealed="AAAA"))}
    new = {"secrets": (SecretRef("dsn", env="DSN"), SecretRef("sealed", "/s", sealed="BBBB"), SecretRef("new", "/n"))}
    assert said(new, old) == [
        ("secrets.dsn", "/run/secrets/dsn, mode 0400", "variable DSN"),
        ("secrets.new", "none", "/n, mode 0400"),
        ("secrets.sealed", "/s, mode 0400, encrypted file 9b0d08f1", "/s, mode 0400, encrypted file 39da1b3f"),
    ]


def test_a_files_content_is_not_told_only_that_it_is_another():
    old = {"files": (FileMount("/q", "select 1\n"),)}
    new = {"files": (FileMount("/q", "select 2\n"),)}
    assert said(new, old) == [("files./q", "inline, 1 line, mode 0444", "inline, 1 line, mode 0444, other content")]


def test_a_script_is_told_by_its_changed_lines():
    change = field_changes(spec("a", script="one\ntwo\n"), job(spec("a", script="one\nthree\nfour\n")))[0]
    assert (change.old, change.new) == ("2 lines", "3 lines")
    assert change.notes == ("-two", "+three", "+four")


def test_a_long_script_is_only_counted():
    long = "\n".join(str(n) for n in range(5000))
    change = field_changes(spec("a", script=long), job(spec("a", script=long + "\nx")))[0]
    assert (change.old, change.new, change.notes) == ("5000 lines", "5001 lines", ())


def test_a_change_names_its_place_and_whether_it_was_inherited():
    inherited = Location("_defaults.yaml", 2, inherited=True)
    new = job(spec("a", timeout=60.0, retries=Retries(2)), {"timeout": inherited, "retries": 7})
    timeout, retries = field_changes(spec("a"), new)
    assert timeout.where == inherited
    assert retries.where == Location("a.yaml", 7)


def test_a_value_that_nobody_wrote_is_the_default():
    change = field_changes(spec("a", timeout=60.0), job(spec("a"), {"schedule": 1}))[0]
    assert (change.field, change.old, change.new) == ("timeout", "1m", "24h (default)")
