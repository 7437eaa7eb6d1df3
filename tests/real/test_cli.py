"""Promise: with a service, beside it and without it, each command does what its page says, and so do its exit codes."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.kit.folders import reachable_folder
from tests.kit.service import ServiceChild, eventually, service_child
from tests.lab.gitrepo import GitRepo

FAILS = "schedule: manual\nimage: none\nscript: |\n  echo going down\n  exit 3\n"
RETRIED = """
schedule: manual
image: none
script: |
  echo "this is attempt $RECONCILER_ATTEMPT"
  [ "$RECONCILER_ATTEMPT" = 2 ] || exit 75
retries: {limit: 3, delay: 100ms}
"""
LONG = "schedule: manual\nimage: none\nscript: |\n  echo up\n  exec sleep 600\nstop_grace_period: 1s\n"
YEARLY = 'schedule: "0 8 1 1 *"\ntimezone: Europe/Berlin\nimage: none\nscript: echo ok\n'
BROKEN = YEARLY + "time_out: 3m\n"
FILES = {"data/fails": FAILS, "data/retried": RETRIED, "data/long": LONG, "web/yearly": YEARLY}


@pytest.fixture
def folder() -> Iterator[Path]:
    with reachable_folder() as made:
        yield made


@pytest.fixture
def repo(folder: Path) -> GitRepo:
    made = GitRepo(folder / "jobs")
    made.commit({f"jobs.d/{name}.yaml": text for name, text in FILES.items()}, "four jobs")
    return made


@pytest.fixture
def stopped(folder: Path, repo: GitRepo) -> Iterator[ServiceChild]:
    """A service that nobody has started yet."""
    with service_child(folder, repo.path, "process", instance="cli") as service:
        yield service


@pytest.fixture
def service(stopped: ServiceChild) -> ServiceChild:
    """It runs, and everything is applied."""
    stopped.start().reachable()
    eventually(lambda: len(stopped.standing()) == len(FILES), "all jobs stand")
    return stopped


def refused(done: subprocess.CompletedProcess[str], code: str, exit_code: int = 1) -> None:
    assert done.returncode == exit_code, done
    assert done.stderr.startswith("reconciler: cannot "), done.stderr
    assert done.stderr.splitlines()[0].endswith(f"[{code}]"), done.stderr


# -- runs by hand ------------------------------------------------------------------------------------------------------
def test_following_a_run_prints_it_and_exits_with_its_code(service: ServiceChild) -> None:
    done = service.run("run", "data/fails", "--follow")
    assert (done.returncode, done.stdout) == (3, "going down\n")
    assert done.stderr.endswith(": failed, exit 3\n")


def test_R4_following_goes_on_through_retries_to_the_last_attempts_code(service: ServiceChild) -> None:
    done = service.run("run", "data/retried", "--follow")
    assert (done.returncode, done.stdout) == (0, "this is attempt 1\nthis is attempt 2\n")
    first, second = done.stderr.splitlines()
    assert first.endswith(".1: failed, exit 75; retried")
    assert second.endswith(".2: ok")
    listed = service.json("runs", "data/retried")["runs"]
    assert [(run["attempt"], run["phase"]) for run in listed] == [(2, "succeeded"), (1, "failed")]
    assert listed[1]["next_attempt"] == listed[0]["run_id"]


def test_waiting_prints_the_run_as_json(service: ServiceChild) -> None:
    done = service.run("run", "data/fails", "--wait", "-o", "json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["exit_code"] == 3


def test_a_job_stands_for_its_latest_run_and_a_time_for_a_slot(service: ServiceChild) -> None:
    service.run("run", "data/fails", "--wait")
    service.run("run", "data/fails", "--wait")
    latest, first = service.json("runs", "data/fails")["runs"]
    assert service.json("show", "data/fails")["run_id"] == latest["run_id"]
    at = datetime.fromisoformat(first["slot"])
    assert service.json("show", first["run_id"])["run_id"] == first["run_id"]
    assert service.json("show", f"data/fails@{at:%Y-%m-%dT%H:%M:%S}Z")["job"] == "data/fails"
    assert service.cli("logs", "data/fails") == "going down\n"
    said = service.cli("show", "data/fails")
    assert "failed, exit 3" in said
    assert "run.finished" in said


def test_stopping_and_following_meet(service: ServiceChild) -> None:
    follower = subprocess.Popen(service.argv("run", "data/long", "--follow"), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert follower.stdout is not None
    assert follower.stdout.readline() == "up\n"
    refused(service.run("run", "data/long"), "job-active")
    assert "is being stopped" in service.cli("stop", "data/long", "--reason", "not needed")
    _, err = follower.communicate(timeout=60)
    assert follower.returncode not in (0, None)
    assert ": cancelled: stopped by " in err
    assert "not needed" in err
    refused(service.run("stop", "data/long"), "run-ended")


def test_ctrl_c_ends_the_waiting_and_not_the_run(service: ServiceChild) -> None:
    follower = subprocess.Popen(service.argv("run", "data/long", "--follow"), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert follower.stdout is not None
    assert follower.stdout.readline() == "up\n"
    follower.send_signal(signal.SIGINT)
    _, err = follower.communicate(timeout=60)
    assert follower.returncode == 130
    assert "goes on: reconciler logs " in err
    assert service.json("show", "data/long")["phase"] == "running"
    service.cli("stop", "data/long")


def test_R6_a_service_that_stops_leaves_the_run_and_what_follows_it(service: ServiceChild) -> None:
    follower = subprocess.Popen(service.argv("logs", service.json("run", "data/long")["run_id"], "-f"),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert follower.stdout is not None
    assert follower.stdout.readline() == "up\n"
    assert service.stop() == 0
    refused(service.run("stop", "data/long"), "service-not-running")
    refused(service.run("run", "data/fails"), "service-not-running")
    service.start().reachable()
    service.cli("stop", "data/long")
    assert follower.communicate(timeout=60) == ("", "")
    assert follower.returncode == 0


# -- listings and check ------------------------------------------------------------------------------------------------
def test_jobs_shows_the_worst_first_and_check_agrees(service: ServiceChild, repo: GitRepo) -> None:
    assert service.check() == (
        0,
        "RECONCILER OK - 4 jobs, all as they should be | jobs=4 critical=0 warning=0 running=0",
    )
    repo.commit({"jobs.d/web/broken.yaml": BROKEN})
    eventually(lambda: service.check()[0] == 1, "the held file is a warning")
    service.run("run", "data/fails", "--wait")
    assert [job["state"] for job in service.json("jobs")["jobs"]] == ["FAILING", "HELD", *["NEVER RUN"] * 3]
    said = service.cli("jobs").splitlines()
    assert said[0].startswith(f"cli  in step with {repo.head()[:7]} except 1 held (main, read ")
    assert " · process ok · " in said[0]
    assert said[1].startswith("5 jobs: 0 fine · 1 failing · 1 held · 3 never run")
    assert said[4].startswith("data/fails ")
    assert "web/broken.yaml:5:1" in said[5]
    assert 'Held: web/broken: did you mean "timeout"?' in said
    code, line = service.check()
    assert code == 2
    assert line.startswith("RECONCILER CRITICAL - data/fails FAILING: exit 3; web/broken HELD: web/broken.yaml:5:1")


def test_listings_work_without_the_service_and_say_that_nothing_fires(service: ServiceChild) -> None:
    service.run("run", "data/fails", "--wait")
    assert service.stop() == 0
    said = service.cli("jobs").splitlines()
    assert said[1].startswith("! nothing fires: ")
    assert said[1].endswith("[service-not-running]")
    assert service.check()[0] == 2
    assert service.cli("logs", "data/fails") == "going down\n"
    assert "1 slot = 1 ran (1 bad)" in service.cli("runs", "data/fails")
    assert service.cli("runs").splitlines()[1].startswith("data/fails ")


# -- why and explain ---------------------------------------------------------------------------------------------------
def test_why_tells_the_whole_chain_with_a_service_and_without(service: ServiceChild, repo: GitRepo) -> None:
    service.run("run", "data/fails", "--wait")
    said = service.cli("why", "data/fails")
    assert "FAILED, its command failed: exit 3." in said.splitlines()[0]
    assert f"said by    {repo.head()[:7]}  Anna Roth, " in said
    assert 'data/fails.yaml:1   schedule: "manual"' in said
    assert '"four jobs"' in said
    assert "retries.limit: 0   (the default)" in said
    assert 'last log line: "going down"' in said
    found = service.json("why", "data/fails")
    (run,) = found["runs"]
    assert (found["verdict"], run["exit_code"], found["notes"]) == ("failed", 3, [])
    assert found["said"]["revision"] == repo.head()
    assert service.json("why", run["run_id"])["slot"] == found["slot"]
    at = datetime.fromisoformat(found["slot"])
    assert service.json("why", f"data/fails@{at:%Y-%m-%dT%H:%M:%S}Z")["slot"] == found["slot"]
    assert service.stop() == 0
    later = service.json("why", "data/fails")
    assert (later["verdict"], len(later["notes"])) == ("failed", 1)
    assert later["notes"][0].startswith("nothing fires: ")


def test_why_of_a_slot_to_come_says_what_stands_in_its_way(service: ServiceChild) -> None:
    (coming,) = service.json("next", "web/yearly", "--count", "1")
    assert service.json("why", "web/yearly")["slot"] == coming["utc"]
    instant = coming["local"][:16]
    assert service.json("why", "web/yearly", instant)["verdict"] == "will_fire"
    assert "WILL FIRE, nothing that is known stands in its way." in service.cli("why", "web/yearly", instant)
    service.cli("pause", "web/yearly", "--reason", "supplier moves")
    paused = service.json("why", "web/yearly", instant)
    assert (paused["verdict"], paused["can"][0]["do"]) == ("will_not_fire", "reconciler resume web/yearly")
    assert "supplier moves" in paused["headline"]
    service.cli("resume", "web/yearly")
    none = service.json("why", "web/yearly", "03:14")
    assert (none["verdict"], none["slot"], none["after"]) == ("no_slot", None, coming["utc"])


def test_why_names_what_was_mistyped(service: ServiceChild) -> None:
    done = service.run("why", "data/fail")
    refused(done, "job-unknown", 2)
    assert "did you mean 'data/fails'" in done.stderr
    refused(service.run("why", "data/fails", "noon"), "usage", 2)
    refused(service.run("why", "data/fails@02:30", "02:30"), "usage", 2)


def test_explain_reads_a_job_aloud_with_who_said_what(service: ServiceChild) -> None:
    said = service.cli("explain", "web/yearly", "--count", "2").splitlines()
    assert said[0].startswith("web/yearly   0 8 1 1 *   web/yearly.yaml:1 at ")
    assert said[2].split("   (")[0] == "  fires       at 08:00 on day 1 of January, Europe/Berlin"
    assert said[2].endswith("(schedule: web/yearly.yaml:1; timezone: web/yearly.yaml:2)")
    found = service.json("explain", "web/yearly", "--count", "2")
    assert [fire["at"][4:] for fire in found["fires"]] == ["-01-01T07:00:00Z"] * 2
    assert len(found["clock_changes"]) == 2
    assert service.stop() == 0
    assert service.json("explain", "data/retried")["sentences"][0]["text"] == "never by itself, only by hand"


def test_pausing_and_resuming(service: ServiceChild) -> None:
    service.cli("pause", "web/yearly", "--until", "2h", "--reason", "supplier moves")
    (job,) = [job for job in service.json("jobs")["jobs"] if job["state"] == "PAUSED"]
    assert (job["name"], job["next"], job["paused"]["reason"]) == ("web/yearly", None, "supplier moves")
    assert service.check()[0] == 0
    assert "it is paused by " in service.run("next", "web/yearly").stderr
    service.cli("pause", "--all")
    assert {job["state"] for job in service.json("jobs")["jobs"]} == {"PAUSED"}
    only_all = service.run("resume", "data/fails")
    refused(only_all, "not-paused")
    assert only_all.stderr.endswith("  reconciler resume --all\n")
    service.cli("resume", "--all")
    service.cli("resume", "web/yearly")
    refused(service.run("resume", "web/yearly"), "not-paused")
    refused(service.run("pause", "web/nosuch"), "job-unknown")


def test_next_of_a_job_is_in_its_zone_and_in_utc(service: ServiceChild) -> None:
    (found,) = service.json("next", "web/yearly", "--count", "1", "--from", "2026-06-01")
    assert found == {"utc": "2027-01-01T07:00:00Z", "local": "2027-01-01T08:00:00+01:00"}


def test_S6_what_a_job_prints_of_itself_cannot_play_tricks_on_the_terminal(
    service: ServiceChild, repo: GitRepo
) -> None:
    """Names and reasons are escaped; a log is the job's own bytes."""
    refused(service.run("show", "data/\x1b[31mfails"), "job-unknown", 2)
    assert "\x1b" not in service.run("show", "data/\x1b[31mfails").stderr


def test_a_reader_that_goes_away_is_no_error(service: ServiceChild) -> None:
    for _ in range(2):
        service.run("run", "data/fails", "--wait")
    pipe = subprocess.Popen(service.argv("runs", "--limit", "10000"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert pipe.stdout is not None
    pipe.stdout.close()
    assert pipe.wait(60) == 0
    assert pipe.stderr is not None
    assert pipe.stderr.read() == b""
    pipe.stderr.close()


# -- plan and apply ----------------------------------------------------------------------------------------------------
def test_plan_exits_0_1_and_2(service: ServiceChild, repo: GitRepo) -> None:
    assert service.run("plan").returncode == 0
    repo.git("checkout", "-q", "-b", "next")
    changed = repo.commit({"jobs.d/web/yearly.yaml": YEARLY.replace("0 8", "0 9")})
    done = service.run("plan", "--ref", "next", "-o", "json")
    assert done.returncode == 2, done
    found = json.loads(done.stdout)
    assert (found["revision"], [action["kind"] for action in found["actions"]]) == (changed, ["replace"])
    repo.commit({"jobs.d/web/broken.yaml": BROKEN})
    assert service.run("plan", "--ref", "next").returncode == 1
    refused(service.run("plan", "--ref", "nosuch"), "ref-not-found")
    assert service.run("plan").returncode == 0, "the service's own plan is of its own branch"


def test_a_plan_right_after_a_commit_is_of_that_commit(service: ServiceChild, repo: GitRepo) -> None:
    for hour in range(9, 14):
        changed = repo.commit({"jobs.d/web/yearly.yaml": YEARLY.replace("0 8", f"0 {hour}")})
        done = service.run("plan", "-o", "json")
        assert (json.loads(done.stdout)["revision"], done.stderr) == (changed, "")


def test_apply_works_by_itself_when_no_service_does(stopped: ServiceChild) -> None:
    plan = stopped.run("plan", "-o", "json")
    assert plan.returncode == 2
    assert not stopped.state_dir.exists(), "a plan makes nothing"
    refused(stopped.run("apply", "0000000000000000"), "plan-changed")
    done = stopped.json("apply", json.loads(plan.stdout)["digest"])
    assert (done["applied"], done["failed"], done["refused"]) == (4, 0, False)
    assert stopped.run("plan").returncode == 0
    assert stopped.cli("apply").startswith("0 applied, 0 failed, 4 unchanged: in step with ")


def test_D4_a_refused_plan_is_approved_by_its_digest_without_a_service(stopped: ServiceChild, repo: GitRepo) -> None:
    stopped.cli("apply")
    repo.commit({f"jobs.d/{name}.yaml": None for name in FILES}, "all gone")
    done = stopped.run("apply", "-o", "json")
    assert done.returncode == 1
    (refusal,) = json.loads(done.stdout)["refusals"]
    assert refusal["code"] in ("jobs-directory-missing", "jobs-directory-empty")
    assert stopped.run("plan").returncode == 1
    digest = refusal["hint"].split()[-1]
    refused(stopped.run("approve", "0000000000000000"), "plan-unknown")
    stopped.cli("approve", digest, "--reason", "we move")
    assert stopped.json("apply", digest)["applied"] == 4
    assert stopped.standing() == {}


def test_the_recorded_engine_stays_when_nobody_names_one(stopped: ServiceChild) -> None:
    stopped.cli("apply")
    stopped.engine = ""
    stopped.file.write_text(stopped.file.read_text().replace("engine: process\n", ""))
    assert stopped.cli("apply").startswith("0 applied, 0 failed, 4 unchanged")
    assert stopped.meta("engine") == "process"


def test_a_plan_is_never_made_against_another_instances_state(stopped: ServiceChild) -> None:
    stopped.cli("apply")
    stopped.instance = "other"
    stopped.configure()
    refused(stopped.run("plan"), "instance-changed")
    refused(stopped.run("apply"), "instance-changed")


def test_P6_lost_state_is_said_by_every_command_and_taken_over_by_one(stopped: ServiceChild) -> None:
    stopped.cli("apply")
    (stopped.state_dir / "reconciler.db").write_bytes(b"")
    for words in (["jobs"], ["runs"], ["plan"], ["apply"]):
        refused(stopped.run(*words), "state-lost")
    assert "[state-lost]" in stopped.check()[1]
    assert stopped.run("doctor").returncode == 1
    said = stopped.cli("takeover", "cli")
    assert "The ledger is new: nothing from before now is owed." in said
    assert "4 standing jobs and 0 runs of it found on engine process" in said
    assert stopped.run("plan").returncode in (0, 2)
    stopped.cli("apply")
    assert len(stopped.standing()) == len(FILES)


def test_P6_a_takeover_goes_on_with_the_engine_whose_jobs_lie_there_although_the_ledger_is_lost(
    folder: Path, repo: GitRepo
) -> None:
    state = folder / "state"

    def typed(*words: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "reconciler", *words, "--state-dir", str(state)]
        return subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=60, check=False)

    assert typed("apply", "--source", str(repo.path), "--engine", "process").returncode == 0
    (state / "reconciler.db").write_bytes(b"")
    done = typed("takeover", "local")
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 standing jobs and 0 runs of it found on engine process" in done.stdout
    (state / "identity.json").unlink()
    (engine,) = [row for row in json.loads(typed("doctor", "-o", "json").stdout) if row["what"] == "engine"]
    assert engine["found"].endswith("has lost its identity [identity-lost]")


# -- doctor ------------------------------------------------------------------------------------------------------------
def test_doctor_finds_nothing_wrong_with_a_service_that_is_well(service: ServiceChild) -> None:
    found = {row["what"]: row["level"] for row in service.json("doctor")}
    assert found == dict.fromkeys(("python", "git", "sqlite", "disk", "ledger", "source", "engine", "service"), "ok")


def test_doctor_on_a_machine_that_has_nothing_yet_only_warns(stopped: ServiceChild) -> None:
    found = {row["what"]: row["level"] for row in stopped.json("doctor")}
    assert found["state"] == "warning"
    assert found["service"] == "warning"
    assert not stopped.state_dir.exists()


def test_validate_reads_the_commit_of_a_repository_and_the_files_of_a_directory(
    stopped: ServiceChild, repo: GitRepo
) -> None:
    (repo.path / "jobs.d/web/yearly.yaml").write_text(BROKEN)
    done = stopped.run("validate", str(repo.path))
    assert (done.returncode, done.stderr) == (0, f"4 job files at {repo.head()[:7]}: 4 fine\n")
    done = stopped.run("validate", str(repo.path / "jobs.d"))
    assert done.returncode == 1
    assert done.stdout.startswith(f"{repo.path}/jobs.d/web/yearly.yaml:5:1: ")
