"""Promise: from a job with packages to one that is pinned: build, push, paste the printed lines, commit, run."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
import yaml

from tests.kit.docker_engine import clean_up
from tests.kit.folders import reachable_folder
from tests.kit.service import ServiceChild, eventually, service_child
from tests.lab.gitrepo import GitRepo
from tests.lab.python_image import PYTHON, ensure_python
from tests.lab.registry import RegistryServer, registry
from tests.lab.wheels import Index, index

pytestmark = [pytest.mark.docker, pytest.mark.timeout(400)]
PASSWORD = "s3cret-canary"
SHOW = "import importlib.metadata as m; print('has', m.metadata('croniter')['Name'])"
LISTED = "packages: {pip: [croniter]}\n"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory, docker_host: str) -> Iterator[Index]:
    with index(tmp_path_factory.mktemp("wheels"), docker_host) as served:
        yield served


class Lab:
    """A service on the private Engine that may push to a registry of its own."""

    def __init__(self, folder: Path, hub: RegistryServer) -> None:
        self.hub, self.jobs, self.code = hub, GitRepo(folder / "jobs"), GitRepo(folder / "code")
        self.service: ServiceChild

    def commit(self, **jobs: str) -> str:
        commit = self.jobs.commit({f"jobs.d/{name}.yaml": text for name, text in jobs.items()})
        eventually(lambda: jobs.keys() <= self.of(commit), f"{commit} is applied")
        return commit

    def of(self, commit: str) -> set[str]:
        return {name for name, job in self.service.standing().items() if job.revision == commit}

    def ran(self, job: str) -> str:
        """The output of a run that succeeds."""
        run_id = self.service.json("run", job, "--wait")["run_id"]
        record = next(run for run in self.service.runs(job) if run.run_id == run_id)
        assert record.phase.value == "succeeded", record
        return self.service.log_of(record)


@pytest.fixture
def lab(docker_host: str, wheels: Index) -> Iterator[Lab]:
    ensure_python(docker_host)
    instance = f"t{secrets.token_hex(4)}"
    with reachable_folder() as folder:
        (folder / "hub").mkdir()
        with registry(folder / "hub", "anna", PASSWORD) as hub:
            made = Lab(folder, hub)
            (folder / "registry.pw").write_text(PASSWORD)
            variables = json.dumps(wheels.variables)
            config = (
                f"registries: {{'{hub.address}': {{username: anna, password_file: {folder}/registry.pw}}}}\n"
                f"packages: {{environment: {variables}}}\npolicy: {{repositories: ['/*']}}\n"
            )
            made.jobs.commit({"jobs.d/hello.yaml": job(LISTED)})
            try:
                with service_child(folder, made.jobs.path, instance=instance, docker_host=docker_host,
                                   config=config) as service:  # fmt: skip
                    made.service = service.start().reachable()
                    eventually(lambda: "hello" in service.standing(), "the job stands")
                    yield made
            finally:
                clean_up(docker_host, instance)
                hub.forget(docker_host)


@pytest.fixture
def client(docker_host: str) -> Iterator[docker.APIClient]:
    client = docker.APIClient(base_url=docker_host, version="1.41", timeout=60)
    yield client
    client.close()


def job(packages: str = "", image: str = f"image: {PYTHON}", more: str = "") -> str:
    return f'schedule: manual\n{image}\n{packages}networks: [none]\n{more}command: [python3, -c, "{SHOW}"]\n'


def test_the_printed_lines_pin_the_image_in_the_job_file_and_a_moved_tag_changes_nothing(
    lab: Lab, client: docker.APIClient
) -> None:
    service, name = lab.service, f"{lab.hub.address}/team/hello:2026-11"
    done = service.run("build", "hello", "--tag", name, "--push")
    assert done.returncode == 0, done
    comment, line = done.stdout.splitlines()
    assert comment == "# in hello.yaml, instead of `image` and `packages`:"
    pinned, _, tag = line.partition("  # ")
    assert tag == name and "packages by pip" in done.stderr.splitlines()
    assert yaml.safe_load(pinned)["image"].startswith(f"{lab.hub.address}/team/hello@sha256:")

    client.remove_image(name)
    lab.commit(hello=job(image=line))
    standing = service.standing()["hello"]
    assert standing.spec.packages.managers == () and standing.image_digest == pinned.rpartition("@")[2]
    assert lab.ran("hello") == "has croniter\n"
    event = service.await_entry("image.built")
    assert (event["job"], event["actor"], event["image"]) == ("hello", "root", name)
    assert event["digest"] == standing.image_digest and event["image_id"] == standing.image_id

    lab.commit(hello=job("packages: {pip: [croniter, 'croniter>1']}\n"))
    moved = service.json("build", "hello", "--tag", name, "--push")
    assert moved["digest"] not in ("", standing.image_digest), "its tag means another image now"
    client.remove_image(name, force=True)
    lab.commit(hello=job(image=line))
    assert service.standing()["hello"].image_id == standing.image_id, "by digest it is the same, pulled anew"


def test_a_list_in_the_code_is_read_from_the_commit_that_its_ref_names_now(lab: Lab, client: docker.APIClient) -> None:
    commit = lab.code.commit({"requirements.txt": "croniter\n"})
    where = f"repositories: [{{url: '{lab.code.path}', target: /tmp/code}}]\n"
    lab.commit(listed=job("packages: {pip: {file: requirements.txt}}\n", more=where))
    built = lab.service.json("build", "listed")
    try:
        assert [line["commit"] for line in built["code"]] == [commit]
        assert built["lines"] == [f"image: {built['name']}  # {built['image_id']}", "pull_policy: never"]
        assert not list((lab.service.state_dir / "code/runs").iterdir()), "its checkout has gone"
        lab.commit(listed=job(image="\n".join(built["lines"])))
        assert lab.ran("listed") == "has croniter\n"
    finally:
        client.remove_image(built["name"], force=True)


def test_what_was_asked_wrongly_ends_with_one_line_a_code_and_a_hint(lab: Lab) -> None:
    lab.commit(bare=job(), broken=job("packages: {pip: [no-such-package-of-ours], install: at_start}\n"))
    asked = {
        ("nothing",): (1, "job-unknown"), ("bare",): (1, "build-nothing"),
        ("hello", "--with-start-script"): (1, "build-nothing"), ("hello", "--push"): (1, "usage"),
        ("hello", "--tag", "No/Name"): (1, "usage"), ("broken",): (1, "packages-failed"),
    }  # fmt: skip
    for words, (exit_code, code) in asked.items():
        done = lab.service.run("build", *words)
        error, hint = done.stderr.splitlines()[-2:]
        assert (done.returncode, error.endswith(f"[{code}]")) == (exit_code, True), done
        assert hint.startswith("  ") and hint.strip()
    failed = lab.service.await_entry("image.build-failed")
    assert (failed["job"], failed["code"], failed["level"]) == ("broken", "packages-failed", "warning")
