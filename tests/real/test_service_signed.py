"""Promise: a service that wants signed commits keeps to the last one that it let in, fires on, says what is wrong
everywhere, and takes the next signed commit at once."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model.run import Phase
from tests.kit.folders import reachable_folder
from tests.kit.service import ServiceChild, eventually, service_child
from tests.lab.gitrepo import GitRepo
from tests.lab.signing import SshKey, commit_signed, ssh_key

TICK = 'schedule: "@every 1s"\nimage: none\nscript: echo tick\n'
QUIET = "schedule: manual\nimage: none\nscript: echo quiet\n"


@pytest.fixture
def folder() -> Iterator[Path]:
    with reachable_folder() as made:
        yield made


@pytest.fixture
def anna(folder: Path) -> SshKey:
    return ssh_key(folder / "anna")


@pytest.fixture
def repo(folder: Path, anna: SshKey) -> GitRepo:
    repo = GitRepo(folder / "jobs")
    commit_signed(repo, {"jobs.d/tick.yaml": TICK}, anna)
    return repo


def configured(repo: GitRepo, demand: str, **keys: SshKey) -> str:
    """Lines of the service file; `keys` by person."""
    lines = [f"source: {{url: '{repo.path}', ref: main, require_signed: {demand}}}", "people:"]
    lines += [f"  {name}: {{signing_key: '{key.public}'}}" for name, key in keys.items()]
    return "\n".join((*lines, f"owners: {{all: {{members: [{', '.join(keys)}], paths: ['**']}}}}"))


@pytest.fixture
def service(folder: Path, repo: GitRepo, anna: SshKey) -> Iterator[ServiceChild]:
    """On the process engine; its repository is a work repository, whose history may be rewritten otherwise."""
    with service_child(
        folder, repo.path, "process", instance="sig", config=configured(repo, "head", anna=anna)
    ) as made:
        made.start().reachable()
        eventually(lambda: "tick" in made.standing(), "the signed commit is applied")
        yield made


def fires_on(service: ServiceChild) -> None:
    before = len([run for run in service.runs("tick") if run.phase is Phase.SUCCEEDED])
    eventually(lambda: len([r for r in service.runs("tick") if r.phase is Phase.SUCCEEDED]) > before, "it fires on")


def test_S1_an_unsigned_commit_changes_nothing_and_a_signed_one_on_top_is_taken(
    service: ServiceChild, repo: GitRepo, anna: SshKey
) -> None:
    assert "signed by anna" in service.cli("plan")
    bad = repo.commit({"jobs.d/tick.yaml": None, "jobs.d/evil.yaml": QUIET})
    failed = service.await_entry("sync.failed")
    assert (failed["code"], bad[:7] in failed["error"]) == ("commit-unsigned", True)
    fires_on(service)
    assert service.standing().keys() == {"tick"}
    assert bad[:7] in service.degraded("commit-unsigned")
    assert "commit-unsigned" in service.cli("jobs")
    assert "is not signed" in service.run("plan").stderr
    assert "[commit-unsigned]" in service.run("apply").stderr
    assert "[commit-unsigned]" in service.run("plan", "--ref", "main").stderr
    done = service.run("validate", str(repo.path))
    assert (done.returncode, f"commit {bad[:7]}: it is not signed" in done.stdout) == (1, True), done
    doctor = service.run("doctor")
    assert doctor.returncode == 1 and "[commit-unsigned]" in doctor.stdout
    approved = service.run("approve", bad)
    assert approved.returncode == 1 and "[plan-unknown]" in approved.stderr  # no approval stands in for a signature

    commit_signed(repo, {"jobs.d/tick.yaml": TICK, "jobs.d/more.yaml": QUIET, "jobs.d/evil.yaml": None}, anna)
    service.await_entry("sync.recovered")
    eventually(lambda: service.standing().keys() == {"tick", "more"}, "the signed commit is applied")
    assert service.json("plan")["signed_by"] == "anna"
    assert "signed by `anna`" in service.cli("plan", "-o", "markdown")
    assert "signed by anna" in service.run("doctor").stdout
    fires_on(service)


def test_D7_what_the_last_signed_commit_asks_for_is_still_done(service: ServiceChild, repo: GitRepo) -> None:
    repo.commit({"jobs.d/evil.yaml": QUIET})
    service.await_entry("sync.failed")
    (standing,) = (service.state_dir / "process/jobs").glob("*tick*")
    standing.unlink()
    service.run("apply")  # look at once
    service.await_entry("job.healed", job="tick")
    assert standing.exists()


def test_D5_an_older_signed_commit_is_not_put_back(service: ServiceChild, repo: GitRepo, anna: SshKey) -> None:
    older = repo.head()
    commit_signed(repo, {"jobs.d/more.yaml": QUIET}, anna)
    eventually(lambda: "more" in service.standing(), "the newer commit is applied")
    repo.git("reset", "-q", "--hard", older)
    refused = service.await_entry("plan.refused")
    assert refused["code"] == "history-rewritten"
    assert "more" in service.standing()
    service.cli("approve", older)
    eventually(lambda: "more" not in service.standing(), "a person wanted it so")


def test_S1_a_reload_takes_keys_anew(service: ServiceChild, repo: GitRepo, anna: SshKey, folder: Path) -> None:
    cleo = ssh_key(folder / "cleo")
    commit_signed(repo, {"jobs.d/more.yaml": QUIET}, cleo)
    assert cleo.fingerprint in service.await_entry("sync.failed")["error"]
    service.configure(configured(repo, "range", anna=anna, cleo=cleo))
    service.hang_up()
    eventually(lambda: "more" in service.standing(), "cleo's commit is applied")
    assert f"key       {cleo.fingerprint} of cleo" in service.cli("owners")
    assert service.json("owners")[0]["signing_keys"] == {"anna": [anna.fingerprint], "cleo": [cleo.fingerprint]}

    service.configure(configured(repo, "range", anna=anna))  # cleo leaves: what is applied stays
    service.hang_up()
    service.await_entry("service.reloaded", 2)
    service.cli("apply")
    assert "more" in service.standing() and not service.degraded("commit-signature-unknown")
    commit_signed(repo, {"jobs.d/most.yaml": QUIET}, cleo)
    eventually(lambda: service.degraded("commit-signature-unknown"), "cleo's key is nobody's now")
    commit_signed(repo, {}, anna)
    assert "[commit-signature-unknown]" in service.run("apply").stderr  # it is a range, and cleo's is in it
    assert "most" not in service.standing()


def test_S6_people_who_are_named_for_their_keys_alone_open_no_socket(service: ServiceChild) -> None:
    assert (service.folder / "run/reconciler.sock").stat().st_mode & 0o006 == 0


def test_S1_a_first_start_on_an_unsigned_commit_applies_nothing(folder: Path, anna: SshKey) -> None:
    repo = GitRepo(folder / "jobs")
    repo.commit({"jobs.d/tick.yaml": TICK})
    config = configured(repo, "range", anna=anna)
    with service_child(folder, repo.path, "process", instance="sig", config=config) as service:
        service.start().reachable()
        eventually(lambda: service.degraded("commit-unsigned"), "it says so")
        assert "is not signed" in service.run("plan").stderr
        assert service.standing() == {}
        commit_signed(repo, {}, anna)
        eventually(lambda: "tick" in service.standing(), "a first apply needs a signed head")


def test_S1_files_that_no_commit_has_yet_are_validated_as_ever(service: ServiceChild, repo: GitRepo) -> None:
    (repo.path / "jobs.d/new.yaml").write_text(QUIET)
    done = subprocess.run(
        service.argv("validate"), cwd=repo.path, capture_output=True, text=True, timeout=60,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )  # fmt: skip
    assert (done.returncode, "2 job files" in done.stderr) == (0, True), done
