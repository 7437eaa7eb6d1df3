"""Promise (S1): a member acts on and reads the jobs of their owners through the socket, and of no others."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.folders import reachable_folder
from tests.kit.people import ANNA, EVE, TOM, Said, argv_as, needs_root, run_as
from tests.kit.service import ServiceChild, eventually, service_child
from tests.lab.gitrepo import GitRepo

pytestmark = needs_root

SAYS = "schedule: manual\nimage: none\nscript: |\n  echo to the owner\n  exit 3\n"
LONG = "schedule: manual\nimage: none\nscript: |\n  echo up\n  exec sleep 600\nstop_grace_period: 1s\n"
YEARLY = 'schedule: "0 8 1 1 *"\nimage: none\nscript: echo ok\n'
LEAVES = "schedule: manual\nimage: none\nscript: echo 42 > $RECONCILER_OUTPUTS/answer\noutputs: /outputs\n"
FILES = {"ml/says": SAYS, "ml/long": LONG, "ml/yearly": YEARLY, "ml/leaves": LEAVES, "web/says": SAYS}
PEOPLE = f"""
people: {{anna: {{unix: {ANNA}}}, tom: {{unix: {TOM}}}}}
owners:
  group/ml: {{paths: [ml/**], members: [anna]}}
  group/web: {{paths: ["**"], members: [tom]}}
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with reachable_folder() as made:
        yield made


@pytest.fixture
def service(folder: Path) -> Iterator[ServiceChild]:
    repo = GitRepo(folder / "jobs")
    repo.commit({f"jobs.d/{name}.yaml": text for name, text in FILES.items()}, "five jobs")
    with service_child(folder, repo.path, "process", instance="teams", config=PEOPLE) as made:
        made.start().reachable()
        eventually(lambda: len(made.standing()) == len(FILES), "all jobs stand")
        yield made


def typed(service: ServiceChild, account: str, *commands: str) -> list[Said]:
    """Each of them is one command line without blanks in its words."""
    words = [line.split() for line in commands]
    return run_as(account, *([w[0], "--config", str(service.file), *w[1:]] for w in words))


def said(service: ServiceChild, account: str, *commands: str) -> list[str]:
    """What commands print that succeed."""
    done = typed(service, account, *commands)
    assert {one.code for one in done} == {0}, done
    return [one.out for one in done]


def refused(done: Said, code: str, hint: str = "") -> None:
    assert done.code in (1, 2), done
    assert done.err.splitlines()[0].endswith(f"[{code}]"), done
    assert hint in done.err


def test_S1_a_member_sees_the_jobs_and_runs_of_the_own_owner_and_no_others(service: ServiceChild) -> None:
    for name in ("web/says", "ml/says"):
        service.run("run", name)
        service.await_run(name, "failed")
    eventually(lambda: not service.open_runs(), "both are collected")
    jobs, runs, shown, log, why, read = said(
        service, ANNA, "jobs -o json", "runs -o json", "show ml/says", "logs ml/says", "why ml/says",
        "explain ml/yearly",
    )  # fmt: skip
    assert sorted(job["name"] for job in json.loads(jobs)["jobs"]) == ["ml/leaves", "ml/long", "ml/says", "ml/yearly"]
    assert [run["job"] for run in json.loads(runs)["runs"]] == ["ml/says"]
    assert "failed, exit 3" in shown
    assert log == "to the owner\n"
    assert "exit 3" in why
    assert "ml/yearly" in read
    (other,) = service.runs("web/says")
    of_run = [f"{command} {other.run_id}" for command in ("show", "logs", "logs -f", "outputs")]
    of_job = [f"{command} web/says" for command in ("runs", "why", "explain", "logs")]
    done = typed(service, ANNA, *of_run, *of_job)
    for one in done[: len(of_run)]:
        refused(one, "run-unknown")
    for one in done[len(of_run) :]:
        refused(one, "job-unknown")


def test_S1_a_member_runs_waits_follows_and_is_recorded_by_name(service: ServiceChild) -> None:
    followed, waited = typed(service, ANNA, "run ml/says --follow", "run ml/says --wait")
    assert (followed.code, followed.out, waited.code) == (3, "to the owner\n", 3)
    assert {run.actor for run in service.runs("ml/says")} == {"anna"}


def test_S1_a_member_follows_a_log_as_it_grows_and_stops_the_run(service: ServiceChild) -> None:
    words = ["run", "--config", str(service.file), "ml/long", "--follow"]
    follower = subprocess.Popen(argv_as(ANNA, words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert follower.stdout is not None
    assert follower.stdout.readline() == "up\n"
    (stopped,) = said(service, ANNA, "stop ml/long --reason enough")
    assert "is being stopped" in stopped
    assert follower.wait(60) != 0
    follower.communicate()
    (run,) = service.runs("ml/long")
    assert run.stop_reason == "stopped by anna: enough"


def test_S1_a_member_fetches_what_a_run_has_left(service: ServiceChild, folder: Path) -> None:
    target = folder / "fetched"
    target.mkdir()
    target.chmod(0o777)
    service.run("run", "ml/leaves")
    service.await_run("ml/leaves", "succeeded")
    eventually(lambda: not service.open_runs(), "its outputs are kept")
    assert "1 file" in said(service, ANNA, f"outputs ml/leaves --to {target}")[0]
    assert (target / "answer").read_text() == "42\n"


def test_S1_pause_resume_and_backfill_are_the_members_own(service: ServiceChild) -> None:
    span = "--from 2025-01-01T00:00 --to 2025-02-01T00:00"
    paused, jobs, resumed, slots = said(
        service, ANNA, "pause ml/yearly --reason holidays", "jobs -o json", "resume ml/yearly",
        f"backfill ml/yearly {span} --dry-run",
    )  # fmt: skip
    service.cli("pause", "ml/yearly", "--reason", "an incident")
    refused(typed(service, ANNA, "resume ml/yearly")[0], "not-allowed", "ask an administrator")
    service.cli("resume", "ml/yearly")
    assert "paused" in paused
    assert [job["paused"]["actor"] for job in json.loads(jobs)["jobs"] if job["paused"]] == ["anna"]
    assert "resumed" in resumed
    assert slots.strip() == "2025-01-01T08:00:00Z"


OF_OTHERS = ("run web/says", "pause web/says", "resume web/says", "run elsewhere",
             "backfill web/says --from 2025-01-01T00:00 --to 2025-02-01T00:00")  # fmt: skip
OF_ADMINISTRATORS = ("pause --all", "resume --all", "drain --no-wait", "approve 0123456789", "apply")


def test_S1_S6_orders_for_others_and_for_all_are_refused_and_say_who_may(service: ServiceChild) -> None:
    *orders, unseen = typed(service, ANNA, *OF_OTHERS)
    for done in orders:
        refused(done, "not-allowed", "ask one of its members: tom")
    refused(unseen, "job-unknown")
    for done in typed(service, ANNA, *OF_ADMINISTRATORS):
        refused(done, "not-allowed")
    refused(typed(service, TOM, "run ml/says")[0], "not-allowed", "ask one of its members: anna")
    assert service.run("run", "web/says").returncode == 0
    assert [run.actor for run in service.runs("web/says")] == ["root"]


def test_S1_a_member_builds_for_the_own_owner_under_a_listed_name(service: ServiceChild, folder: Path) -> None:
    GitRepo(folder / "jobs").commit({"jobs.d/ml/packed.yaml": SAYS + "packages: {pip: [pandas]}\n"}, "a sixth job")
    eventually(lambda: "ml/packed" in service.standing(), "it stands")
    foreign, named, unnamed = typed(
        service, ANNA, "build web/says", "build ml/packed --tag postgres:17", "build ml/packed"
    )
    refused(foreign, "not-allowed", "ask one of its members: tom")
    refused(named, "not-allowed", "policy.push")
    refused(unnamed, "build-unsupported")  # may, but on this engine nobody can
    grant = "policy: {push: ['registry.example.org/**']}\n"
    service.configure(PEOPLE + grant)
    service.hang_up()
    eventually(lambda: service.entries("service.reloaded"), "the service has taken the grant")
    listed, still = typed(
        service, ANNA, "build ml/packed --tag registry.example.org/ml/x:1", "build ml/packed --tag postgres:17"
    )
    refused(listed, "build-unsupported")
    refused(still, "not-allowed", "policy.push")
    assert service.run("build", "ml/packed", "--tag", "postgres:17").stderr.count("[build-unsupported]") == 1
    assert {entry["actor"] for entry in service.entries("image.build-failed")} == {"anna", "root"}


def test_S6_who_belongs_to_nobody_is_turned_away_and_so_is_who_no_longer_does(service: ServiceChild) -> None:
    ordered, listed = typed(service, EVE, "run web/says", "jobs")
    refused(ordered, "not-permitted")
    refused(listed, "state-unreadable")
    service.configure()
    service.hang_up()
    socket = service.folder / "run/reconciler.sock"
    eventually(lambda: socket.stat().st_mode & 0o777 == 0o660, "nobody but the administrators may connect")
    refused(typed(service, ANNA, "run ml/says")[0], "not-permitted")


def test_S1_owners_are_listed_with_what_they_use_and_a_member_sees_the_own_one(service: ServiceChild) -> None:
    service.configure(PEOPLE.replace("paths: [ml/**],", "paths: [ml/**], total: {jobs: 9, running: 2},"))
    service.hang_up()
    service.run("run", "ml/long")
    service.await_run("ml/long")
    ml, web = service.json("owners")
    assert (ml["name"], ml["members"], ml["paths"], ml["running"]) == ("group/ml", ["anna"], ["ml/**"], 1)
    assert ml["jobs"] == ["ml/leaves", "ml/long", "ml/says", "ml/yearly"]
    assert ml["total"]["jobs"] == {"used": 4, "allowed": 9}
    assert ml["total"]["running"] == {"used": 1, "allowed": 2}
    assert (web["jobs"], web["running"], web["grants"]["images"]) == (["web/says"], 0, None)
    eventually(lambda: service.entries("service.reloaded"), "the service has taken the totals")
    text, own = said(service, ANNA, "owners", "owners -o json")
    assert json.loads(own) == [ml]
    assert "4 of 9 jobs, 1 of 2 running" in text
    assert "web" not in text
    assert [job["name"] for job in service.json("jobs", "--owner", "group/web")["jobs"]] == ["web/says"]
    done = service.run("jobs", "--owner", "group/wet")
    assert done.stderr.splitlines()[0].endswith("[owner-unknown]"), done
    assert "did you mean 'group/web'?" in done.stderr


def test_S1_a_job_that_is_handed_to_another_owner_takes_its_history_and_its_readers_along(
    service: ServiceChild, folder: Path
) -> None:
    service.run("run", "ml/says")
    service.await_run("ml/says", "failed")
    eventually(lambda: not service.open_runs(), "its log is kept")
    repo = GitRepo(folder / "jobs")
    repo.commit({"jobs.d/ml/says.yaml": None, "jobs.d/web/moved.yaml": SAYS + "moved_from: ml/says\n"}, "hand it over")
    eventually(lambda: "web/moved" in service.standing(), "it has moved")
    assert "ml/says" not in service.standing()
    assert said(service, TOM, "logs web/moved", "show web/moved")[0] == "to the owner\n"
    for done in typed(service, ANNA, "logs web/moved", "runs ml/says"):
        refused(done, "job-unknown")
    refused(typed(service, ANNA, "run web/moved")[0], "not-allowed", "ask one of its members: tom")
