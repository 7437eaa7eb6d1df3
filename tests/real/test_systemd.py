"""Promise: the installed unit, under a real systemd, is ready at once and survives what a service must survive. What
happens to the service leaves runs alone (rule R6), and a reboot loses no state and no slot.

The engine is `process`: its runs live in the unit's own control group, which is the hard case.
"""

import json
import os
import re
import sys
import sysconfig
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.lab.dockerd import Handle
from tests.lab.systemd_box import Box, Done, build_wheel, systemd_box

pytestmark = [pytest.mark.systemd, pytest.mark.timeout(180)]

UNIT = "reconciler"
PROGRAM = "/opt/reconciler/bin/reconciler"  # /usr/local is the host's here: no link in it
ROOT = Path(__file__).resolve().parents[2]

# The steps of docs/install.md; packages come from the tests' own environment instead of an index.
INSTALL = """
{python} -m venv /opt/reconciler
/opt/reconciler/bin/pip install --quiet --disable-pip-version-check --no-index --no-deps /opt/wheels/{wheel}
echo /opt/packages > $(/opt/reconciler/bin/python -c 'import site; print(site.getsitepackages()[0])')/packages.pth
cd /opt/reconciler/share/reconciler/systemd
install -D -m 644 reconciler.sysusers /etc/sysusers.d/reconciler.conf && systemd-sysusers reconciler.conf
install -D -m 644 reconciler.tmpfiles /etc/tmpfiles.d/reconciler.conf && systemd-tmpfiles --create reconciler.conf
install -m 644 reconciler.service /etc/systemd/system/reconciler.service
systemctl daemon-reload
"""
WITHOUT_DOCKER = "[Service]\nEnvironment=RECONCILER_ENGINE=process\nSupplementaryGroups=\n"
SERVICE_FILE = "instance: box\nsource: {{url: /srv/jobs.git, ref: main}}\ntimezone: {zone}\n"
TICK = """
schedule: "@every 1s"
image: none
script: echo tick $RECONCILER_SLOT
history: {keep_success: 10000}
"""
# Runs until somebody says how it shall end: no test waits for a clock.
TOLD = """
schedule: manual
image: none
script: |
  echo up
  until [ -e /srv/end/NAME ]; do sleep 0.1; done
  exit $(cat /srv/end/NAME)
"""
JOBS = {"tick": TICK} | {
    name: TOLD.replace("NAME", name) for name in ("failing", "killed", "stopped", "hung", "rebooted", "unplugged")
}
REPOSITORY = """
git init -q --bare -b main /srv/jobs.git
cd /srv/work && git init -q -b main && git add .
git -c user.name=Anna -c user.email=anna@example.org commit -qm Jobs
git push -q /srv/jobs.git main
mkdir /srv/end
"""


@pytest.fixture(scope="module")
def box(private_docker: Handle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A machine on which the service was installed as docs/install.md says, enabled and started."""
    wheels = tmp_path_factory.mktemp("wheels")
    wheel = build_wheel(wheels)
    mounts = {"/opt/packages": Path(sysconfig.get_path("purelib")), "/opt/wheels": wheels}
    with systemd_box(private_docker, f"reconciler-box-{os.getpid()}", mounts=mounts) as machine:
        python = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
        machine.sh(INSTALL.format(python=python, wheel=wheel.name))
        machine.write("/etc/systemd/system/reconciler.service.d/engine.conf", WITHOUT_DOCKER)
        machine.write("/etc/reconciler/reconciler.yaml", SERVICE_FILE.format(zone="Europe/Berlin"))
        for name, text in JOBS.items():
            machine.write(f"/srv/work/jobs.d/{name}.yaml", text)
        machine.sh(REPOSITORY)
        machine.sh("systemctl daemon-reload && systemctl enable --now reconciler")
        yield machine


def ask(box: Box, *words: str) -> Any:
    """What a `reconciler ... -o json` says; None if it fails."""
    done = box.run(PROGRAM, *words, "-o", "json", check=False)
    return json.loads(done.output) if done.code == 0 else None


def runs(box: Box, job: str) -> list[dict[str, Any]]:
    """The job's runs, newest first."""
    return (ask(box, "runs", job, "--limit", "1000") or {"runs": []})["runs"]


def active(box: Box) -> bool:
    return box.show(UNIT, "ActiveState") == "active"


def start_run(box: Box, job: str) -> str:
    """Start a job by hand and wait until it runs; its id."""
    box.wait_for(f"{job} is installed", lambda: job in box.run(PROGRAM, "jobs", "--all", check=False).output)
    run_id = str(ask(box, "run", job)["run_id"])
    box.wait_for(f"{run_id} runs", lambda: runs(box, job)[0]["phase"] == "running")
    return run_id


def end_run(box: Box, job: str, code: int) -> None:
    box.write(f"/srv/end/{job}", f"{code}\n")


def await_end(box: Box, job: str) -> dict[str, Any]:
    """The job's only run, once it has ended."""
    box.wait_for(f"the run of {job} has ended", lambda: runs(box, job)[0]["finished_at"])
    (run,) = runs(box, job)
    return run


def supervisors(box: Box, job: str) -> list[str]:
    """Process ids of what runs the job's script."""
    return box.run("pgrep", "-f", f"[/]srv/end/{job} ", check=False).output.split()  # brackets: not this command itself


def await_tick(box: Box) -> None:
    """A slot that was due after this call has run well."""
    before = runs(box, "tick")
    newest = before[0]["slot"] if before else ""
    box.wait_for(
        "tick fires again", lambda: any(r["slot"] > newest and r["phase"] == "succeeded" for r in runs(box, "tick"))
    )


def test_the_unit_is_clean_and_as_shut_as_the_documentation_says(box: Box) -> None:
    assert box.sh("systemd-analyze verify /etc/systemd/system/reconciler.service") == ""
    said = re.search(r"overall exposure of \*\*(\d+\.\d)\*\*", (ROOT / "docs/install.md").read_text())
    assert said is not None
    shown = box.sh("systemd-analyze security --no-pager reconciler.service | tail -1")
    found = re.search(r"Overall exposure level for reconciler\.service: (\d+\.\d)", shown)
    assert found is not None, shown
    assert float(found[1]) <= float(said[1]) <= 4.0


def test_it_is_ready_says_how_it_stands_and_fires(box: Box) -> None:
    assert active(box)
    assert box.show(UNIT, "Type") == "notify"
    assert box.show(UNIT, "StatusText") != ""
    await_tick(box)
    assert box.sh("stat -c '%U %a' /var/lib/reconciler") == "reconciler 750"
    owners = box.sh("ps -o user= -C reconciler | sort -u").split()
    assert owners == ["reconcil+"] or owners == ["reconciler"]


def test_ready_waits_for_neither_git_nor_the_engine(box: Box) -> None:
    box.sh("mv /srv/jobs.git /srv/gone.git")
    try:
        box.sh("systemctl restart reconciler")  # returns when READY was sent
        assert active(box)
        await_tick(box)  # rule D2, unreadable: jobs keep firing
    finally:
        box.sh("mv /srv/gone.git /srv/jobs.git")


def test_reload_reads_the_service_file_again_in_the_same_process(box: Box) -> None:
    pid = box.show(UNIT, "MainPID")
    box.write("/etc/reconciler/reconciler.yaml", SERVICE_FILE.format(zone="Europe/Vienna"))
    box.sh("systemctl reload reconciler")
    box.wait_for("it says that it has reloaded", lambda: "service.reloaded" in box.journal(UNIT))
    assert box.show(UNIT, "MainPID") == pid
    await_tick(box)


def test_R6_kill_9_it_comes_back_and_adopts_the_run(box: Box) -> None:
    start_run(box, "killed")
    pids, restarts = supervisors(box, "killed"), int(box.show(UNIT, "NRestarts"))
    main = box.show(UNIT, "MainPID")
    box.sh(f"kill -9 {main}")
    box.wait_for("systemd has restarted it", lambda: int(box.show(UNIT, "NRestarts")) == restarts + 1 and active(box))
    assert pids
    assert supervisors(box, "killed") == pids
    end_run(box, "killed", 7)
    run = await_end(box, "killed")
    assert (run["phase"], run["exit_code"], run["attempt"]) == ("failed", 7, 1)
    await_tick(box)


def test_R6_a_run_that_ends_while_the_service_is_stopped_keeps_its_exit_code(box: Box) -> None:
    start_run(box, "stopped")
    pids = supervisors(box, "stopped")
    box.sh("systemctl stop reconciler")
    assert box.show(UNIT, "ActiveState") == "inactive"
    assert pids
    assert supervisors(box, "stopped") == pids
    end_run(box, "stopped", 5)
    box.wait_for("the run has ended by itself", lambda: not supervisors(box, "stopped"))
    assert runs(box, "stopped")[0]["phase"] == "running"  # read by root meanwhile, which must not spoil the state
    box.sh("systemctl start reconciler")
    run = await_end(box, "stopped")
    assert (run["phase"], run["exit_code"]) == ("failed", 5)
    await_tick(box)


def test_a_service_that_hangs_is_ended_by_the_watchdog_and_its_run_goes_on(box: Box) -> None:
    box.write("/etc/systemd/system/reconciler.service.d/watchdog.conf", "[Service]\nWatchdogSec=6\nTimeoutAbortSec=1\n")
    box.sh("systemctl daemon-reload && systemctl restart reconciler")
    start_run(box, "hung")
    pids, restarts = supervisors(box, "hung"), int(box.show(UNIT, "NRestarts"))
    box.sh(f"kill -STOP {box.show(UNIT, 'MainPID')}")
    box.wait_for("the watchdog bites", lambda: int(box.show(UNIT, "NRestarts")) == restarts + 1 and active(box), 40)
    assert "watchdog" in box.run("journalctl", "-q", "--no-pager", "-u", UNIT).output.lower()
    assert supervisors(box, "hung") == pids
    end_run(box, "hung", 0)
    assert await_end(box, "hung")["phase"] == "succeeded"
    box.sh("rm /etc/systemd/system/reconciler.service.d/watchdog.conf && systemctl daemon-reload")


def test_a_failed_run_is_one_line_at_priority_err_with_job_and_run(box: Box) -> None:
    run_id = start_run(box, "failing")
    end_run(box, "failing", 3)
    await_end(box, "failing")
    of_job = ["journalctl", "-q", "--no-pager", "-o", "json", "-u", UNIT, "-p", "err", "JOB=failing"]
    (entry,) = [json.loads(line) for line in box.run(*of_job).output.splitlines()]
    assert entry["RUN"] == run_id
    assert "3" in entry["MESSAGE"]


def assert_slots_are_accounted(box: Box, since: str) -> None:
    """Every second from `since` to the newest run of tick is a run or stands in a slot row."""
    listing = ask(box, "runs", "tick", "--limit", "10000")
    slots = {run["slot"] for run in listing["runs"]}
    at, newest = datetime.fromisoformat(since), datetime.fromisoformat(max(slots))
    ranges = [(datetime.fromisoformat(s["first"]), datetime.fromisoformat(s["last"])) for s in listing["slots"]]
    lost = []
    while at <= newest:
        if at.isoformat().replace("+00:00", "Z") not in slots and not any(a <= at <= b for a, b in ranges):
            lost.append(at)
        at += timedelta(seconds=1)
    assert lost == []


@pytest.mark.parametrize(
    ("job", "cut"), [pytest.param("rebooted", False, id="in order"), pytest.param("unplugged", True, id="a power cut")]
)
def test_a_reboot_keeps_the_state_and_accounts_for_every_run_and_slot(box: Box, job: str, cut: bool) -> None:
    await_tick(box)
    before = {run["run_id"] for run in runs(box, "tick") if run["phase"] == "succeeded"}
    first = min(run["slot"] for run in runs(box, "tick"))
    start_run(box, job)
    box.cut_power() if cut else box.reboot()
    box.wait_for("the service is up by itself", lambda: active(box))
    run = await_end(box, job)
    # What cannot be known is never guessed (rule R1); a shutdown in order may leave its TERM's exit code behind.
    ended = (run["phase"], run["exit_code"])
    assert ended == ("lost", None) or (not cut and ended == ("failed", 143))
    assert run["attempt"] == 1
    assert before <= {run["run_id"] for run in runs(box, "tick") if run["phase"] == "succeeded"}
    await_tick(box)
    assert not [run for run in runs(box, "tick")[1:] if run["finished_at"] is None]
    assert_slots_are_accounted(box, first)


def test_the_group_may_list_and_others_may_not(box: Box) -> None:
    def as_nobody(group: str) -> Done:
        who = ["setpriv", "--reuid=nobody", f"--regid={group}", "--clear-groups", "env", "HOME=/tmp"]
        return box.run(*who, PROGRAM, "jobs", "--all", check=False)

    assert "tick" in as_nobody("reconciler").output
    assert as_nobody("nogroup").code != 0


CREDENTIALS = "[Service]\nLoadCredential=plain:/srv/plain.txt\nLoadCredentialEncrypted=sealed:/srv/sealed.cred\n"
STORES = "secret_stores: [{type: credentials}, {type: directory, path: /etc/reconciler/secrets}]\n"
SECRETS = """
schedule: manual
image: none
secrets: [plain, sealed, kept]
script: |
  for name in plain sealed kept; do
    file=$RECONCILER_FILES/run/secrets/$name
    echo "$name $(cat $file) $(wc -c < $file) $(stat -L -c '%U %a' $file) $(stat -L -f -c %T $file)"
  done
"""


def test_S3_credentials_of_systemd_and_files_of_the_installed_directory_reach_a_run(box: Box) -> None:
    """An encrypted one, too; as the steps of docs/secrets.md say."""
    box.write("/srv/plain.txt", "c4n4ry-plain", 0o600)
    box.write("/srv/sealed.txt", "c4n4ry-sealed", 0o600)
    box.sh("systemd-creds encrypt --name=sealed /srv/sealed.txt /srv/sealed.cred && rm /srv/sealed.txt")
    box.write("/srv/kept.txt", "c4n4ry-kept-there", 0o600)
    box.sh("install -o reconciler -m 400 /srv/kept.txt /etc/reconciler/secrets/kept")
    assert box.sh("stat -c '%U %a' /etc/reconciler/secrets /etc/reconciler/secrets/kept").split("\n") == [
        "reconciler 700", "reconciler 400",
    ]  # fmt: skip
    box.write("/etc/systemd/system/reconciler.service.d/credentials.conf", CREDENTIALS)
    box.write("/etc/reconciler/reconciler.yaml", SERVICE_FILE.format(zone="Europe/Vienna") + STORES)
    box.write("/srv/work/jobs.d/creds.yaml", SECRETS)
    box.sh("cd /srv/work && git add . && git -c user.name=A -c user.email=a@example.org commit -qm Secrets && "
           "git push -q /srv/jobs.git main")  # fmt: skip
    box.sh("systemctl daemon-reload && systemctl restart reconciler")
    box.wait_for("the job stands", lambda: "creds" in box.run(PROGRAM, "jobs", "--all", check=False).output)
    done = box.run(PROGRAM, "run", "creds", "--wait", check=False)
    assert done.code == 0, done.output
    assert box.run(PROGRAM, "logs", "creds").output.splitlines() == [
        "plain *** 12 reconciler 400 tmpfs", "sealed *** 13 reconciler 400 tmpfs", "kept *** 17 reconciler 400 tmpfs",
    ]  # fmt: skip
    box.wait_for("nothing is left", lambda: box.sh("ls /run/reconciler/secrets") == "")
    found = box.run("grep", "-rl", "c4n4ry-", "/var/lib/reconciler", "/var/log", "/run/log", check=False)
    assert found.output == "", found
    assert "c4n4ry-" not in box.journal(UNIT)
