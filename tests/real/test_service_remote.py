"""Promise: with its Docker Engine on another host the service gives a run what it would find here, once, and leaves
nothing there; what it cannot give is said in the plan."""

import contextlib
import random
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from reconciler.daemon.sync_loop import APPLIED
from reconciler.model.run import Disposition, FailureClass, Phase, RunRecord
from tests.kit.docker_engine import clean_up
from tests.kit.firing import assert_fired_exactly_once, witness_volume, witnessed_job
from tests.kit.service import ServiceChild, eventually, service_child
from tests.kit.standing import run_containers, unpackers, volumes
from tests.lab.gitrepo import GitRepo
from tests.lab.images import ensure_busybox, ensure_git, image_with_tar

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]
KILLS, LONGEST = 10, 4.0  # seconds that the service lives at most after it is ready
SHOWN = """cd /code; git log --format='%H %an %s'; git status -s; echo $RECONCILER_COMMIT
  find . -path ./.git -prune -o -print | sort | while read -r p; do
    if [ -L "$p" ]; then echo "$p -> $(readlink "$p")"; else stat -c '%n %A %u:%g' "$p"; fi
    if [ -f "$p" ]; then md5sum "$p"; fi; done
  stat -c '%n %A %u:%g' /etc/app.ini /opt/new/place.txt .git/HEAD; cat /etc/app.ini; sh bin/run; grep -c . /etc/passwd
  echo changed > own.txt; cat own.txt; echo x 2>/dev/null >> /opt/new/place.txt || echo read-only
"""
FILES = """files:
  /etc/app.ini: {content: "a = 1\\n", mode: "0400"}
  /opt/new/place.txt: {content: "placed\\n"}
  /code/data/given: {content: "from the job file\\n"}
"""


class Lab:
    """A service in a folder that the Engine at `host` may or may not see, and code for its jobs."""

    def __init__(self, folder: Path, service: ServiceChild, jobs: GitRepo, code: GitRepo) -> None:
        self.folder, self.service, self.jobs, self.code = folder, service, jobs, code
        self.client = docker.APIClient(base_url=service.docker_host, version="1.41", timeout=60)

    def job(self, image: str, script: str, more: str = "") -> str:
        url = f"repositories: [{{url: '{self.code.path}', ref: main, target: /code}}]\n"
        return f"schedule: manual\nimage: {image}\nnetworks: [none]\n{url}{more}script: |\n  {script}\n"

    def apply(self, **jobs: str) -> str:
        return self.jobs.commit({f"jobs.d/{name}.yaml": text for name, text in jobs.items()})

    def run(self, job: str) -> tuple[RunRecord, str]:
        return self.ended(job, self.service.json("run", job)["run_id"])

    def ended(self, job: str, run_id: str) -> tuple[RunRecord, str]:
        def look() -> RunRecord | None:
            return next((r for r in self.service.runs(job) if r.run_id == run_id and not r.active), None)

        record = eventually(look, f"{job} ends")
        return record, self.service.log_of(record) if (self.service.state_dir / record.log).exists() else ""

    def nothing_left(self) -> bool:
        instance = self.service.instance
        left = [name for name in volumes(self.client, instance) if ".WORKSPACE-" in name]
        left += [str(row["Names"]) for row in unpackers(self.client, instance)]
        return not (left or run_containers(self.service.docker_host, instance) or self.service.open_runs())


@contextlib.contextmanager
def a_lab(folder: Path, host: str, config: str = "") -> Iterator[Lab]:
    instance = f"t{secrets.token_hex(4)}"
    folder = folder / instance
    folder.mkdir()
    folder.chmod(0o711)
    ensure_busybox(host)
    jobs, code = GitRepo(folder / "jobs"), GitRepo(folder / "code")
    (folder / "code" / "bin").mkdir()
    (folder / "code" / "bin" / "run").write_text("echo code runs\n")
    (folder / "code" / "bin" / "run").chmod(0o755)
    (folder / "code" / "latest").symlink_to("data/naïve name.txt")
    (folder / "code" / "out").symlink_to("/etc/shadow")
    code.commit({"data/naïve name.txt": "text\n", f"deep/{'d' * 120}/{'e' * 120}/f": "far down\n", "empty": ""})
    jobs.commit({"jobs.d/none.yaml": "schedule: manual\nimage: busybox:local\nscript: 'true'\n"})
    policy = f"policy: {{repositories: ['{folder}/*']}}\n"
    try:
        with service_child(folder, jobs.path, instance=instance, docker_host=host, config=policy + config) as service:
            service.start().reachable()
            lab = Lab(folder, service, jobs, code)
            yield lab
            lab.client.close()
    finally:
        clean_up(host, instance)


@pytest.fixture
def far(hidden: Path, remote: str) -> Iterator[Lab]:
    with a_lab(hidden, remote) as lab:
        yield lab


def applied(lab: Lab, **jobs: str) -> None:
    commit = lab.apply(**jobs)
    eventually(lambda: lab.service.meta(APPLIED) == commit and set(jobs) <= lab.service.standing().keys(), "applied")


@pytest.mark.parametrize("user", ["", "user: '1234:1234'\n"], ids=["root", "a number"])
def test_a_run_sees_there_what_it_sees_here(far: Lab, hidden: Path, docker_host: str, user: str) -> None:
    seen = []
    with a_lab(hidden, docker_host) as near:
        for lab in (near, far):
            image = ensure_git(lab.service.docker_host)
            applied(lab, shown=lab.job(image, SHOWN, FILES + user))
            first, second = lab.run("shown"), lab.run("shown")
            for run, log in (first, second):
                assert run.phase is Phase.SUCCEEDED, log
                assert run.code[0].commit == lab.code.head()
                assert "code runs" in log and "read-only" in log and "latest -> data/naïve name.txt" in log
                seen.append(log.replace(lab.code.head(), "COMMIT"))
            eventually(lab.nothing_left, "nothing is left there")
            assert list((lab.service.state_dir / "code/runs").iterdir()) == []
    assert len(set(seen)) == 1, "\n---\n".join(dict.fromkeys(seen))


def test_a_service_that_dies_while_it_sends_leaves_nothing_and_the_run_runs_once(far: Lab) -> None:
    slow = '#!/bin/sh\nsleep 3\nexec busybox tar "$@"\n'
    image = image_with_tar(far.client, far.folder, f"{far.service.instance}-slow:1", slow)
    applied(far, slow=far.job(image, "cat bin/run", "working_dir: /code\n"))
    run_id = far.service.json("run", "slow")["run_id"]
    eventually(lambda: [u for u in unpackers(far.client, far.service.instance) if u["State"] == "running"], "it sends")
    far.service.kill()
    assert volumes(far.client, far.service.instance)
    far.service.start().reachable()
    run, log = far.ended("slow", run_id)
    assert (run.phase, log) == (Phase.SUCCEEDED, "echo code runs\n"), run.reason
    assert len(far.service.slots("slow")) == len(far.service.runs("slow")) == 1
    eventually(far.nothing_left, "nothing is left there")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [20261127])
def test_kills_at_any_moment_of_sending_lose_nothing_and_leave_nothing(far: Lab, seed: int) -> None:
    witness = witness_volume(far.service.docker_host, far.service.instance)
    more = f"networks: [none]\nconcurrency_policy: Allow\nstart_deadline: 5m\n{FILES}"
    more += f"repositories: [{{url: '{far.code.path}', ref: main, target: /code}}]\n"
    finds = "test -s /code/bin/run -a -s /etc/app.ini"
    text = witnessed_job("*/5 * * * * *", "busybox:local", "/witness/starts", more, finds)
    applied(far, sent=text)
    eventually(lambda: any(run.started_at for run in far.service.runs("sent")), "the first run")
    chance = random.Random(seed)
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.0, LONGEST))  # the point at which it dies
        far.service.kill()
        far.service.start()
    assert_fired_exactly_once(far.service, "sent", witness, {Disposition.RAN, Disposition.MISSED})
    assert {run.phase for run in far.service.runs("sent") if not run.active} == {Phase.SUCCEEDED}
    far.service.cli("pause", "--all")
    eventually(far.nothing_left, "nothing is left there")


def test_a_run_that_outlives_the_service_keeps_what_was_sent(far: Lab) -> None:
    image = ensure_git(far.service.docker_host)
    applied(far, long=far.job(image, "until [ -e /tmp/go ]; do sleep 0.1; done; cat /code/bin/run", FILES))
    run_id = far.service.json("run", "long")["run_id"]
    (row,) = eventually(
        lambda: [
            r for r in run_containers(far.service.docker_host, far.service.instance).values() if r.state == "running"
        ],
        "it runs",
    )
    far.service.kill()
    far.service.start().reachable()
    eventually(lambda: far.service.entries("run.adopted", run=run_id), "it is adopted")
    assert len(volumes(far.client, far.service.instance)) == 2
    far.client.exec_start(far.client.exec_create(row.ref, ["touch", "/tmp/go"])["Id"])
    assert far.ended("long", run_id)[1] == "echo code runs\n"
    eventually(far.nothing_left, "nothing is left there")


def test_an_image_whose_tar_fails_ends_the_run_and_no_other(far: Lab) -> None:
    broken = image_with_tar(far.client, far.folder, f"{far.service.instance}-no:1", "#!/bin/sh\nexit 127\n")
    applied(far, broken=far.job(broken, "true"), fine=far.job("busybox:local", "cat /code/bin/run"))
    run, _ = far.run("broken")
    assert (run.phase, run.failure) == (Phase.FAILED, FailureClass.CODE) and "no tar" in run.reason
    assert {e["code"] for e in far.service.entries("run.delayed", run=run.run_id)} == {"unpack-no-tar"}
    assert far.run("fine")[1] == "echo code runs\n"
    eventually(far.nothing_left, "nothing is left there")


def test_a_secret_is_a_problem_of_the_plan_and_never_leaves(hidden: Path, remote: str) -> None:
    store = hidden / f"secrets-{secrets.token_hex(4)}"
    store.mkdir(mode=0o700)
    (store / "token").write_text("s3cret-value")
    config = f"secret_stores: [{{type: directory, path: {store}}}]\n"
    with a_lab(hidden, remote, config) as lab:
        lab.apply(held="schedule: manual\nimage: busybox:local\nsecrets:\n  - token\nscript: 'true'\n")
        shown = eventually(lambda: lab.service.run("plan").stdout, "there is a plan")
        assert "held.yaml:3:1: the secret token does not leave this host" in shown, shown
        eventually(lambda: [e for e in lab.service.entries() if e.get("code") == "engine-remote"], "it is refused")
        assert "held" not in lab.service.standing()
