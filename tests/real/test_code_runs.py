"""Promise: on Docker, through the whole service, a run finds the code that git has, and what is wrong with code harms
nobody else."""

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.daemon.sync_loop import APPLIED
from reconciler.model.run import FailureClass, Phase, RunRecord
from tests.kit.docker_engine import clean_up
from tests.kit.folders import reachable_folder
from tests.kit.service import ServiceChild, eventually, service_child
from tests.lab.githttp import GitHttp
from tests.lab.gitrepo import GitRepo
from tests.lab.images import ensure_git

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]


class Lab:
    """A service on a private Engine, a server of code, and `jobs` whose files may be changed."""

    def __init__(self, folder: Path, host: str, instance: str, http: GitHttp) -> None:
        self.code = GitRepo(folder / "code")
        self.code.commit({"main.sh": "echo one\n", "data/x": "x\n"})
        self.served = self.code.bare_clone(folder / "served" / "code.git")
        self.http, self.jobs, self.image = http, GitRepo(folder / "jobs"), ensure_git(host)
        self.url = f"{http.url}/code.git"
        self.service: ServiceChild

    def push(self, files: dict[str, str | bytes | None], branch: str = "main") -> str:
        commit = self.code.commit(files)
        self.code.push(f"HEAD:refs/heads/{branch}")
        return commit

    def job(self, script: str, ref: str = "main", more: str = "", url: str = "") -> str:
        return (
            f"schedule: manual\nimage: {self.image}\nnetworks: [none]\nworking_dir: /code\n{more}"
            f"repositories: [{{url: '{url or self.url}', ref: {ref}, target: /code}}]\nscript: |\n  {script}\n"
        )

    def apply(self, **jobs: str) -> None:
        commit = self.jobs.commit({f"jobs.d/{name}.yaml": text for name, text in jobs.items()})
        eventually(lambda: self.service.meta(APPLIED) == commit, f"{commit} is applied")
        eventually(lambda: jobs.keys() <= self.service.standing().keys(), f"{sorted(jobs)} stand")

    def run(self, job: str, *words: str) -> tuple[RunRecord, str]:
        """Run it by hand to its end; its record and its log."""
        run_id = self.service.json("run", job, *words)["run_id"]
        record = eventually(lambda: next((r for r in self.service.runs(job) if r.run_id == run_id and not r.active),
                                         None), f"{job} ends")  # fmt: skip
        return record, self.service.log_of(record) if (self.service.state_dir / record.log).exists() else ""

    def left(self) -> list[str]:
        return [path.name for path in (self.service.state_dir / "code/runs").iterdir()]


@contextlib.contextmanager
def a_lab(host: str, config: str = "", engine: str = "docker") -> Iterator[Lab]:
    instance = f"t{secrets.token_hex(4)}"
    with reachable_folder() as folder:
        (folder / "served").mkdir()
        with GitHttp(folder / "served") as http:
            lab = Lab(folder, host, instance, http)
            policy = f"policy: {{repositories: ['{http.url}/*', '/*', 'ssh://*@127.0.0.1:*/*']}}\n"
            try:
                with service_child(folder, lab.jobs.path, engine, instance=instance, docker_host=host,
                                   config=policy + config) as service:  # fmt: skip
                    lab.service = service
                    lab.jobs.commit({"jobs.d/none.yaml": f"schedule: manual\nimage: {lab.image}\nscript: 'true'\n"})
                    service.start().reachable()
                    yield lab
            finally:
                clean_up(host, instance)


@pytest.fixture(scope="module")
def lab(docker_host: str) -> Iterator[Lab]:
    with a_lab(docker_host) as lab:
        yield lab


def test_a_run_finds_the_commit_that_it_records(lab: Lab) -> None:
    script = "git rev-parse HEAD; git log | grep -c Author; git status -s; echo $RECONCILER_COMMIT; cat main.sh"
    lab.apply(first=lab.job(script))
    run, log = lab.run("first")
    commit = lab.code.head()
    assert run.phase is Phase.SUCCEEDED, log
    assert log.split() == [commit, "1", commit, "echo", "one"]
    assert [(item.target, item.ref, item.commit) for item in run.code] == [("/code", "main", commit)]
    shown = lab.service.cli("show", run.run_id)
    assert commit in shown and lab.url in shown
    assert lab.service.json("show", run.run_id)["code"][0]["commit"] == commit
    eventually(lambda: lab.left() == [], "its checkout is removed")


def test_a_push_is_in_the_next_run_and_nothing_is_applied_for_it(lab: Lab) -> None:
    lab.apply(pushed=lab.job("sh main.sh"))
    applied = eventually(lambda: lab.service.standing().get("pushed"), "it is applied")
    lab.push({"main.sh": "echo two\n"})
    assert lab.run("pushed")[1] == "two\n"
    assert lab.service.standing()["pushed"] == applied


@pytest.mark.parametrize("user", ["", "user: '1234:1234'\n", "user: nobody\n"])
def test_whoever_the_job_is_git_works_and_numbers_may_write(lab: Lab, user: str) -> None:
    name = f"user{len(user)}"
    writes = "" if "nobody" in user else "echo x > new; mkdir -p data/y; git status --porcelain >/dev/null; "
    lab.apply(**{name: lab.job(writes + "git log --format=%s", more=user)})
    run, log = lab.run(name)
    assert run.phase is Phase.SUCCEEDED and "a change" in log, log


def test_code_comes_before_files_and_both_before_the_command(lab: Lab) -> None:
    more = "files: {/code/data/given: {content: 'from the job file'}}\n"
    lab.apply(order=lab.job("cat data/given data/x", more=more))
    run, log = lab.run("order")
    assert run.phase is Phase.SUCCEEDED and log == "from the job filex\n", log


def test_no_container_of_another_job_sees_it_and_nothing_of_it_is_in_a_label(lab: Lab) -> None:
    lab.apply(mounts=lab.job("grep -c /code /proc/self/mountinfo; ls /var/lib 2>/dev/null || true"))
    assert lab.run("mounts")[1].split() == ["1"]


def test_a_ref_that_is_missing_ends_the_run_and_no_other(lab: Lab) -> None:
    lab.apply(missing=lab.job("true", ref="nope"), other=lab.job("echo fine"))
    run, _ = lab.run("missing")
    assert (run.phase, run.failure) == (Phase.FAILED, FailureClass.CODE)
    assert "nope" in run.reason and run.started_at is None
    (slot,) = lab.service.slots("missing")
    assert slot.disposition.value == "unavailable"
    assert [e["code"] for e in lab.service.entries("run.delayed", run=run.run_id)] == ["code-ref-missing"]
    assert lab.run("other")[1] == "fine\n"


def test_a_repository_that_is_not_there_says_so(lab: Lab) -> None:
    lab.apply(absent=lab.job("true", url=f"{lab.http.url}/absent.git"))
    run, _ = lab.run("absent")
    assert run.failure is FailureClass.CODE
    assert [e["code"] for e in lab.service.entries("run.delayed", run=run.run_id)] == ["code-not-found"]


def test_a_server_that_is_down_is_asked_again_until_it_is_back(lab: Lab) -> None:
    lab.apply(down=lab.job("echo back"))
    lab.http.fault = "500"
    try:
        run_id = lab.service.json("run", "down")["run_id"]
        told = lab.service.await_entry("run.delayed", run=run_id)
    finally:
        lab.http.fault = ""
    assert told["code"] == "code-unavailable"
    run = lab.service.await_run("down", "succeeded")
    assert run.run_id == run_id and run.tries >= 1


def test_a_server_that_hangs_delays_nobody_else(lab: Lab) -> None:
    lab.apply(
        hangs=lab.job("true", more="concurrency_policy: Allow\n"),
        free=f"schedule: manual\nimage: {lab.image}\nscript: echo free\n",
    )
    lab.http.fault = "hang"
    try:
        for _ in range(12):  # more than there are workers for code
            lab.service.cli("run", "hangs", "--key", secrets.token_hex(4))
        run, log = lab.run("free")
    finally:
        lab.http.fault = ""
        lab.http.closing.set()
    assert log == "free\n" and run.started_at is not None
    assert (run.started_at - run.claimed_at).total_seconds() < 20
    lab.http.closing.clear()


def test_R6_a_service_that_is_killed_with_a_run_leaves_it_its_code(lab: Lab) -> None:
    lab.apply(
        long=lab.job("i=0; while [ ! -e go ]; do sleep 0.2; i=$((i+1)); [ $i -lt 400 ]; done; git rev-parse HEAD")
    )
    lab.service.cli("run", "long")
    run = lab.service.await_run("long")
    lab.service.kill()
    lab.service.start().reachable()
    place = lab.service.state_dir / "code/runs" / run.run_id / "0"
    (place / "go").touch()
    ended = lab.service.await_run("long", "succeeded")
    assert lab.service.log_of(ended).split() == [ended.code[0].commit]
    eventually(lambda: lab.left() == [], "its checkout is removed")


def test_hostile_code_harms_nobody(lab: Lab) -> None:
    (lab.code.path / "out").symlink_to("/etc")
    (lab.code.path / "data/host").symlink_to("../../../../etc/passwd")
    lab.push({"hooks/post-checkout": "#!/bin/sh\ntouch /tmp/canary\n", ".gitattributes": "* filter=x\n"}, "hostile")
    lab.code.git("rm", "-q", "--cached", "out", "data/host")
    (lab.code.path / "out").unlink()
    (lab.code.path / "data/host").unlink()
    lab.apply(hostile=lab.job("ls -A . data; exit 0", ref="hostile"))
    run, log = lab.run("hostile")
    assert run.phase is Phase.SUCCEEDED and "out" not in log.split() and "host" not in log.split()
    told = lab.service.await_entry("code.trimmed", run=run.run_id)
    assert told["count"] == 2 and told["links"] == "/code/data/host, /code/out"


@pytest.mark.parametrize("user", ["", "user: '1234:1234'\n"])
def test_a_run_has_the_submodules_of_its_commit(lab: Lab, user: str) -> None:
    name, root = f"modules{len(user)}", lab.code.path.parent
    lib, app = GitRepo(root / f"lib-{name}"), GitRepo(root / f"app-{name}")
    commit = lib.commit({"lib.sh": "echo lib\n"})
    app.commit({".gitmodules": f'[submodule "lib"]\n\tpath = vendor/lib\n\turl = ../lib-{name}.git\n'})
    app.git("update-index", "--add", "--cacheinfo", f"160000,{commit},vendor/lib")
    app.git("commit", "-q", "-m", "with a library")
    for repo in (lib, app):
        repo.bare_clone(lab.served.parent / f"{repo.path.name}.git")
    script = "git status --porcelain; git -C vendor/lib rev-parse HEAD; sh vendor/lib/lib.sh; touch vendor/lib/mine"
    job = lab.job(script, more=user, url=f"{lab.http.url}/{app.path.name}.git")
    lab.apply(**{name: job.replace("target: /code}", "target: /code, submodules: true}")})
    run, log = lab.run(name)
    assert run.phase is Phase.SUCCEEDED and log.split("\n") == [commit, "lib", ""], log


def test_a_branch_is_tried_before_it_is_merged(lab: Lab) -> None:
    lab.apply(tried=lab.job("cat main.sh"))
    before = lab.code.head()
    commit = lab.push({"main.sh": "echo tried\n"}, "feature/x")
    lab.code.git("reset", "-q", "--hard", before)
    run, log = lab.run("tried", "--ref", "feature/x")
    assert log == "echo tried\n" and (run.code[0].ref, run.code[0].commit) == ("feature/x", commit)
    assert lab.run("tried")[1] != log
    wrong = lab.service.run("run", "tried", "--ref", "/other=main")
    assert wrong.returncode != 0 and "it has no code at /other" in wrong.stderr


def test_on_the_process_engine_too(docker_host: str) -> None:
    """It finds it below `files/`, as its own user, and begins in it."""
    with a_lab(docker_host, engine="process") as lab:
        script = "git rev-parse HEAD; cat data/given; echo; cat main.sh; touch new; id -u; stat -c %u . new; pwd"
        more = "files: {/code/data/given: {content: 'from the job file'}}\n"
        lab.apply(here=lab.job(script, more=more))
        run, log = lab.run("here")
        assert run.phase is Phase.SUCCEEDED, log
        commit, given, echoed, user, owner, made, place = log.split("\n")[:7]
        assert (commit, given, echoed) == (lab.code.head(), "from the job file", "echo one")
        assert user == owner == made and place.endswith("/0")
        where = place
        eventually(lambda: not Path(where).exists(), "its checkout is removed")
        lab.apply(clash=lab.job("true", more="files: {/code/main.sh/x: {content: y}}\n"))
        lab.service.json("run", "clash")
        assert lab.service.await_entry("run.delayed")["code"] == "bad-target"
