"""Rule S3: a file that is tried has the encrypted secret that is in force, and none that came with it."""

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest

from reconciler.history.identity import read_identity
from reconciler.server.client import call
from tests.kit.folders import reachable_folder
from tests.kit.service import ServiceChild, eventually, service_child
from tests.lab.gitrepo import GitRepo

JOB = "schedule: manual\nimage: none\nsecrets: [{name}]\nscript: wc -c < $RECONCILER_FILES/run/secrets/{name}\n"
CONFIG = """
secret_stores: [{{type: age, path: jobs.d/secrets, identity_file: {key}}}]
owners:
  ml: {{paths: ["ml/**"], policy: {{secrets: [mine, other]}}}}
  rest: {{paths: ["**"], policy: {{secrets: [theirs]}}}}
"""


@pytest.fixture
def service() -> Iterator[ServiceChild]:
    with reachable_folder() as folder:
        identity = pyrage.x25519.Identity.generate()
        (folder / "age.key").write_text(f"{identity}\n")
        (folder / "age.key").chmod(0o400)
        repo = GitRepo(folder / "jobs")
        files = {f"jobs.d/secrets/{name}.age": pyrage.encrypt(value, [identity.to_public()])
                 for name, value in (("mine", b"c4n4ry-mine"), ("theirs", b"c4n4ry-of-theirs"))}  # fmt: skip
        repo.commit({"jobs.d/ml/a.yaml": JOB.format(name="mine"), "jobs.d/b.yaml": JOB.format(name="theirs"), **files})
        config = CONFIG.format(key=folder / "age.key")
        try:
            with service_child(folder, repo.path, "process", instance="tries-sealed", config=config) as made:
                made.start().reachable()
                eventually(lambda: len(made.standing()) == 2, "the jobs stand")
                known = read_identity(made.state_dir)
                assert known is not None
                yield made
        finally:
            shutil.rmtree(Path("/dev/shm") / f"reconciler-{known.instance_id[:16]}", ignore_errors=True)


def test_a_trial_has_its_encrypted_secret_from_a_job_in_force(service: ServiceChild, tmp_path: Path) -> None:
    work = tmp_path / "jobs.d/ml/new.yaml"
    work.parent.mkdir(parents=True)
    work.write_text(JOB.format(name="mine"))
    done = service.run("try", str(work))
    assert (done.returncode, done.stdout) == (0, "11\n"), done
    work.write_text(JOB.format(name="other"))
    done = service.run("try", str(work))
    assert done.returncode != 0 and "no store has it" in done.stderr and "a job in force" in done.stderr, done


def test_S1_a_copy_of_anothers_secret_under_a_granted_name_is_not_opened(service: ServiceChild) -> None:
    stolen = (service.folder / "jobs/jobs.d/secrets/theirs.age").read_bytes()
    sent = {"ml/new.yaml": JOB.format(name="other").encode(), "jobs.d/secrets/other.age": stolen}
    files = {name: base64.b64encode(data).decode() for name, data in sent.items()}
    body = {"path": "ml/new.yaml", "files": files}
    code, answer = call(service.folder / "run/reconciler.sock", "POST", "/v1/try", body, 10.0)
    assert (code, answer["code"]) == (409, "try-invalid") and "no store has it" in answer["error"], answer
