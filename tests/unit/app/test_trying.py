"""Promise: what is tried is read as a commit's, and no client can bring an encrypted secret by a name of its choice."""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock

import pytest

from reconciler.app.reading import read_file, read_once
from reconciler.app.trying import alone, read_trial
from reconciler.model.errors import Permanent, Transient
from reconciler.model.job import SecretRef
from reconciler.model.live import StandingJob
from reconciler.model.secret import StoreConfig
from reconciler.model.service import Owner, Policy, ServiceConfig, SourceConfig
from tests.kit.orders import make_spec

NOW = datetime(2026, 11, 24, tzinfo=UTC)
JOB = "schedule: manual\nimage: busybox:1.36\nsecrets: [mine]\n"


def config(path: str) -> ServiceConfig:
    owners = (Owner("ml", ("ml/**",), Policy(secrets=("mine",))),)
    return ServiceConfig(secret_stores=(StoreConfig("age", path, identity_file="/k"),), owners=owners)


def sent(**files: str) -> dict[str, str]:
    return {name: base64.b64encode(text.encode()).decode() for name, text in files.items()}


def standing(name: str, data: bytes, secret: str, age: int = 0) -> dict[str, StandingJob]:
    ref = SecretRef(secret, f"/run/secrets/{secret}", sealed=base64.b64encode(data).decode())
    at = NOW - timedelta(days=age)
    return {name: StandingJob(name, make_spec(name, secrets=(ref,)), "d", "r", f"{name}.yaml", at, at, at)}


@pytest.mark.parametrize(
    ("path", "file"),
    [("jobs.d/secrets", "jobs.d/secrets/mine.age"), ("jobs.d/secrets", "./jobs.d//secrets/mine.age"),
     ("./jobs.d/secrets", "./jobs.d/secrets/mine.age"), ("a//b", "a//b/mine.age"), ("", "mine.age")],
)  # fmt: skip
def test_S1_an_encrypted_file_of_the_client_is_never_taken(path: str, file: str) -> None:
    files = sent(**{"ml/a.yaml": JOB, file: "the file of somebody else's secret"})
    with pytest.raises(Permanent, match="asks for the secret mine, and no store has it") as caught:
        read_trial(config(path), {}, "ml/a.yaml", files)
    assert caught.value.code == "try-invalid" and "a job in force" in caught.value.hint
    spec = read_trial(config(path), standing("b", b"ours", "mine"), "ml/a.yaml", files).spec
    assert [base64.b64decode(ref.sealed) for ref in spec.secrets] == [b"ours"]


def test_a_trial_has_the_newest_encrypted_file_in_force_and_no_other_name() -> None:
    jobs = {**standing("b", b"new", "mine"), **standing("a", b"old", "mine", age=3)}
    (ref,) = read_trial(config("s"), jobs, "ml/a.yaml", sent(**{"ml/a.yaml": JOB})).spec.secrets
    assert base64.b64decode(ref.sealed) == b"new"
    with pytest.raises(Permanent, match="no store has it"):
        read_trial(config("s"), standing("b", b"x", "theirs"), "ml/a.yaml", sent(**{"ml/a.yaml": JOB}))


def test_only_the_file_itself_and_the_defaults_above_it_are_read_whatever_else_is_sent() -> None:
    job = "schedule: manual\nimage: none\nfiles: {/x: {from: other.yaml}}\nscript: id\n"
    broken = {f"ml/{n}.yaml": "][" for n in range(300)}
    files = {"ml/a.yaml": job, "ml/other.yaml": "x: [", "ml/_defaults.yaml": "environment: {A: b}\n", **broken,
             "_defaults.yaml": "environment: {B: c}\n", "other/_defaults.yaml": "]["}  # fmt: skip
    spec = read_trial(ServiceConfig(), {}, "ml/a.yaml", sent(**files)).spec
    assert ([file.content for file in spec.files], dict(spec.environment)) == (["x: ["], {"A": "b", "B": "c"})


def test_one_is_read_at_a_time_and_another_waits_no_longer_than_it_may() -> None:
    turn = Lock()
    with alone(turn), pytest.raises(Transient) as caught, alone(turn, 0.01):
        pass
    assert caught.value.code == "service-busy"
    with alone(turn, 0.01):
        pass


def test_what_it_says_of_other_jobs_is_no_matter_where_they_are_not_looked_at() -> None:
    text = "schedule: manual\nimage: a\ncommand: x\nwait_for: [{job: data/etl}]\nafter: [{job: data/load}]\n"
    assert read_trial(ServiceConfig(), {}, "ml/x.yaml", sent(**{"ml/x.yaml": text})).spec.name == "ml/x"
    with pytest.raises(Permanent, match="leads back to the job itself"):
        read_trial(ServiceConfig(), {}, "ml/x.yaml", sent(**{"ml/x.yaml": text.replace("data/etl", "ml/x")}))


def test_one_file_is_validated_whatever_it_says_of_other_jobs(tmp_path: Path) -> None:
    file = tmp_path / "jobs.d/x.yaml"
    file.parent.mkdir()
    file.write_text("schedule: manual\nimage: a\ncommand: x\nwait_for: [{job: data/etl}]\n")
    assert read_file(ServiceConfig(), file).problems == ()
    whole = read_once(ServiceConfig(source=SourceConfig(f"dir:{tmp_path}")))
    assert [problem.code for problem in whole.problems] == ["link-unknown"], "where all jobs are, it is known"
