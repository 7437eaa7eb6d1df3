"""Promise (S1, S3): `reconciler secrets` shows names, stores and changes to those whose jobs they are, and no value."""

import json
from collections.abc import Iterator

import pytest

from tests.kit.folders import reachable_folder
from tests.kit.people import ANNA, EVE, needs_root, run_as
from tests.kit.service import ServiceChild, eventually, service_child
from tests.lab.gitrepo import GitRepo

pytestmark = needs_root
CANARY = "c4n4ry-s3cr3t"
JOB = "schedule: manual\nimage: none\nscript: 'true'\nsecrets: [{}]\n"
CONFIG = """
people: {{anna: {{unix: {anna}}}}}
policy: {{secrets_in_env: true}}
owners:
  group/ml: {{paths: [ml/**], members: [anna], policy: {{secrets: [dsn, token], secrets_in_env: true}}}}
  group/web: {{paths: ["**"], policy: {{secrets: [web-key]}}}}
secret_stores:
  - {{type: directory, path: {store}}}
"""


@pytest.fixture
def service() -> Iterator[ServiceChild]:
    with reachable_folder() as folder:
        store = folder / "store"
        store.mkdir(mode=0o700)
        for name in ("dsn", "token", "web-key"):
            (store / name).write_text(CANARY)
        repo = GitRepo(folder / "jobs")
        repo.commit({"jobs.d/ml/train.yaml": JOB.format("dsn, {name: token, env: TOKEN}"),
                     "jobs.d/web/report.yaml": JOB.format("web-key"),
                     "jobs.d/web/plain.yaml": JOB.format("")})  # fmt: skip
        with service_child(folder, repo.path, "process", instance="keys",
                           config=CONFIG.format(anna=ANNA, store=store)) as made:  # fmt: skip
            made.start().reachable()
            eventually(lambda: len(made.standing()) == 3, "all jobs stand")
            yield made


def states(rows: list[dict[str, str]]) -> dict[str, str]:
    return {f"{row['job']} {row['secret']}": row["state"] for row in rows}


ALL = {"ml/train dsn": "there", "ml/train token": "there", "web/report web-key": "there"}
OF_ML = {name: state for name, state in ALL.items() if name.startswith("ml/")}


def test_S3_names_are_listed_and_a_rotation_shows_once_a_run_has_the_new_value(service: ServiceChild) -> None:
    rows = service.json("secrets")
    assert states(rows) == ALL and {row["changed"] for row in rows} == {None}
    assert (
        states(service.json("secrets", "ml/train")) == states(service.json("secrets", "--owner", "group/ml")) == OF_ML
    )
    (service.folder / "store/token").unlink()
    lines = service.cli("secrets").splitlines()
    assert lines[0].split() == ["JOB", "SECRET", "STATE", "FROM", "AS", "CHANGED"]
    assert "directory" in lines[1] and "/run/secrets/dsn 0400" in lines[1] and "$TOKEN" in lines[2]
    assert lines[-1] == "! ml/train token: no store has it"

    (service.folder / "store/token").write_text(CANARY)
    for value in (CANARY, f"another-{CANARY}"):
        (service.folder / "store/dsn").write_text(value)
        service.cli("run", "ml/train", "--wait")
    changed = {row["secret"]: row["changed"] for row in service.json("secrets", "ml/train")}
    assert changed["dsn"] is not None and changed["token"] is None
    said = service.cli("secrets") + service.cli("secrets", "-o", "json")
    versions = json.loads(service.meta("secret_versions") or "{}")
    assert len(versions) == 2
    for hidden in (CANARY, *versions.values()):
        assert hidden not in said


def test_S1_a_member_sees_the_secrets_of_the_own_jobs_alone(service: ServiceChild) -> None:
    words = (["secrets", "-o", "json"], ["secrets", "web/report"], ["secrets", "--owner", "group/web", "-o", "json"])
    own, other, empty = run_as(ANNA, *([w[0], "--config", str(service.file), *w[1:]] for w in words))
    assert states(json.loads(own.out)) == OF_ML
    assert other.code == 1 and other.err.splitlines()[0].endswith("[job-unknown]")
    assert json.loads(empty.out) == []
    (stranger,) = run_as(EVE, ["secrets", "--config", str(service.file)])
    assert stranger.code == 1 and "[not-permitted]" in stranger.err
    done = service.run("secrets", "--owner", "group/wet")
    assert done.returncode == 1 and "[owner-unknown]" in done.stderr
