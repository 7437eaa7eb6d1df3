"""Promise: Ofelia's ini, label files and labels become jobs; what ran in another container does not fire."""

from typing import Any

import pytest

from reconciler.model.service import Policy, ServiceConfig
from tests.unit.importers.kit import by_name, codes, note, only, run

GRANTS = ServiceConfig(policy=Policy(binds=("/srv",), networks=("shop_default",), external_volumes=("pgdata",)))


def section(lines: str, kind: str = "job-run") -> str:
    return f'[{kind} "dump"]\nschedule = @daily\nimage = postgres:17\n{lines}\n'


def test_a_job_run_and_what_is_written_of_its_defaults() -> None:
    found = run("ofelia", section("command = pg_dump shop"))
    assert only(found) == {
        "schedule": "@daily", "timezone": "UTC", "image": "postgres:17", "command": "pg_dump shop",
        "concurrency_policy": "Allow", "pull_policy": "always",
    }  # fmt: skip
    assert codes(found) == {"zone", "written-out", "limit"}


KEPT: list[tuple[str, dict[str, Any]]] = [
    ("schedule = 0 30 2 * * *", {"schedule": "0 30 2 * * *"}),
    ("schedule = 30 2 * * *", {"schedule": "30 2 * * *"}),
    ("schedule = @every 1.5h", {"schedule": "@every 1h30m", "timezone": None}),
    ("schedule = @every 500ms", {"schedule": "@every 1s"}),
    ("no-overlap = true", {"concurrency_policy": "Forbid"}),
    ("no-overlap", {"concurrency_policy": "Forbid"}),
    ("pull = false", {"pull_policy": "missing"}),
    ("max-runtime = 2h", {"timeout": "2h"}),
    ("user = 999", {"user": "999"}),
    ("dir = /work", {"working_dir": "/work"}),
    ('command = sh -c "a # b; c"  ; a comment', {"command": 'sh -c "a # b; c"'}),
    ("command = `a b`", {"command": "a b"}),
    ("entrypoint = /bin/tini --", {"entrypoint": "/bin/tini --"}),
    ("environment = A=1\nenvironment = B=x=y", {"environment": {"A": "1", "B": "x=y"}}),
    ("volume = /srv/a:/a:ro\nvolume = pgdata:/data",
     {"volumes": [{"type": "bind", "source": "/srv/a", "target": "/a", "read_only": True},
                  {"external": True, "source": "pgdata", "target": "/data"}]}),
    ("network = shop_default", {"networks": ["shop_default"]}),
    ("delete = false\ntty = true", {}),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "kept"), KEPT, ids=[row[0] for row in KEPT])
def test_a_field_is_kept(lines: str, kept: dict[str, Any]) -> None:
    text = section(lines) if "schedule" not in lines else f'[job-run "dump"]\nimage = a:1\n{lines}\n'
    found = only(run("ofelia", text, config=GRANTS))
    assert {key: found.get(key) for key in kept} == kept
    assert "suspend" not in found


NEEDED = [
    (section("volume = /etc:/etc"), "refused-part", "bind-not-allowed"),
    (section("network = web"), "refused-part", "network-not-allowed"),
    (section("command = echo ${WHO:-me}"), "unresolved", "${WHO}"),
    (section("environment = HOME"), "unresolved", "HOME"),
    (section("volumes-from = x"), "missing-part", "volumes-from"),
    (section("container = x"), "elsewhere", '"x"'),
    (section("no-overlap = perhaps"), "wrong-value", "true or false"),
    (section("", "job-exec"), "elsewhere", "not named"),
    ('[job-local "l"]\nschedule = @daily\ncommand = x\ndir = /t', "elsewhere", "where Ofelia runs"),
    ('[job-run "x"]\nimage = a:1', "by-hand", "no schedule"),
    ('[job-run "x"]\nschedule = @daily', "image-assumed", "no image"),
    ('[job-run "x"]\nschedule = @daily\nschedule = @hourly\nimage = a:1', "wrong-value", "schedule"),
]


@pytest.mark.parametrize(("text", "code", "words"), NEEDED, ids=[row[0].replace("\n", "|") for row in NEEDED])
def test_what_the_job_leaned_on_is_needed(text: str, code: str, words: str) -> None:
    found = run("ofelia", text)
    assert any(n.code == code and words in n.message for n in found.notes), found.notes
    kept = only(found)
    assert kept.get("suspend") is True or kept["schedule"] == "manual"


def test_a_job_exec_does_not_fire_in_another_container() -> None:
    """Even with an image from the caller: a new container is not the one that was meant."""
    found = run("ofelia", '[job-exec "flush"]\nschedule = @daily\ncontainer = nginx\ncommand = touch /x\n', image="a:1")
    fields = only(found)
    assert fields["command"] == "touch /x"
    assert fields["suspend"] is True
    assert note(found, "elsewhere").hint == "exec_in: nginx"


JOB_EXEC = '[job-exec "flush"]\nschedule = @daily\ncontainer = nginx\ncommand = touch /x\nuser = www\n'


def test_a_job_exec_goes_on_in_its_container_where_policy_lists_it() -> None:
    config = ServiceConfig(policy=Policy(exec_in=("ngin?",)))
    found = run("ofelia", JOB_EXEC, config=config)
    assert only(found) == {
        "schedule": "@daily", "timezone": "UTC", "exec_in": "nginx", "command": "touch /x", "user": "www",
        "concurrency_policy": "Allow",
    }  # fmt: skip
    assert "elsewhere" not in codes(found)


def test_what_only_a_container_of_its_own_has_is_left_out_of_a_job_exec() -> None:
    config = ServiceConfig(policy=Policy(exec_in=("nginx",)))
    found = run("ofelia", JOB_EXEC + "volume = data:/data\n", config=config)
    fields = only(found)
    assert fields["exec_in"] == "nginx" and "volumes" not in fields and fields["suspend"] is True
    assert "exec-in-conflict" in note(found, "refused-part").message


def test_a_job_local_fires_where_the_caller_says_an_image() -> None:
    assert "suspend" not in only(run("ofelia", '[job-local "l"]\nschedule = @daily\ncommand = x', image="a:1"))


def test_settings_of_the_whole_and_other_kinds_are_told() -> None:
    found = run("ofelia",
                "[global]\nslack-webhook = https://x\n[job-compose \"c\"]\nschedule = @daily\n[job-service-run s]\n"
                "schedule = @daily\nimage = a:1\nmail-only-on-error = true\nnonsense = 1\n]]]\n")  # fmt: skip
    assert set(by_name(found)) == {"s"}
    said = {n.line: n.code.value for n in found.notes}
    assert {2: said[2], 3: said[3], 8: said[8], 9: said[9], 10: said[10]} == {
        2: "no-counterpart", 3: "not-a-job", 8: "no-counterpart", 9: "unknown-field", 10: "unreadable",
    }  # fmt: skip
    assert any(n.line == 5 and "swarm" in n.message for n in found.notes)


def test_a_file_of_labels() -> None:
    found = run("ofelia",
                "# labels\nofelia.enabled=true\n"
                "ofelia.job-run.ping.image=busybox\nofelia.job-run.ping.schedule=@daily\n"
                'ofelia.job-run.ping.environment=["A=1", "B=2"]\nofelia.slack-webhook=x\nother=1\n')  # fmt: skip
    assert only(found)["environment"] == {"A": "1", "B": "2"}
    assert [n.line for n in found.notes if n.kind.value == "not kept"] == [6, 7]


def test_labels_of_a_compose_file() -> None:
    found = run("ofelia", """\
        services:
          db:
            image: postgres:17
            environment: {PGUSER: shop}
            command: postgres
            labels:
              ofelia.enabled: "true"
              ofelia.job-exec.dump.schedule: "@daily"
              ofelia.job-exec.dump.command: pg_dump shop
          ofelia:
            image: ofelia
            labels: [ofelia.job-exec.x.schedule=@daily, ofelia.job-exec.x.container=db, "ofelia.job-exec.x.command=y"]
        """)  # fmt: skip
    jobs = by_name(found)
    assert set(jobs) == {"dump", "x"}
    assert (jobs["dump"]["image"], jobs["dump"]["command"]) == ("postgres:17", "pg_dump shop")
    assert jobs["dump"]["environment"] == {"PGUSER": "shop"}
    assert jobs["dump"]["suspend"] is jobs["x"]["suspend"] is True
    assert {n.hint for n in found.notes if n.code == "elsewhere"} == {"exec_in: db"}


def test_labels_of_a_service_whose_container_policy_lists() -> None:
    text = """\
        services:
          db:
            image: postgres:17
            container_name: shop-db
            labels: [ofelia.job-exec.dump.schedule=@daily, "ofelia.job-exec.dump.command=pg_dump shop"]
        """
    fields = only(run("ofelia", text, config=ServiceConfig(policy=Policy(exec_in=("shop-*",)))))
    assert (fields["exec_in"], fields["command"]) == ("shop-db", "pg_dump shop")
    assert not fields.keys() & {"image", "suspend"}
