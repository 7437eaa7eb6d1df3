"""Promise (S3): the list of secrets says which are there, for whom and how they come, and nothing of a value."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.app.secret_listing import secrets_data
from reconciler.daemon.rotation import CHANGED
from reconciler.engine.base import Preview
from reconciler.history.sqlite import SqliteHistory, open_history
from reconciler.model.job import SecretRef
from reconciler.model.live import StandingJob
from reconciler.model.problem import FieldProblem
from reconciler.model.secret import StoreConfig
from reconciler.model.service import Owner, Policy, ServiceConfig
from tests.kit.orders import digest, make_spec

CANARY = "c4n4ry-s3cr3t"
AT = datetime(2026, 11, 24, tzinfo=UTC)
ENVIRON = {"S_API_TOKEN": CANARY}


@pytest.fixture
def history(tmp_path: Path) -> Iterator[SqliteHistory]:
    made = open_history(tmp_path / "reconciler.db")
    yield made
    made.close()


@pytest.fixture
def config(tmp_path: Path) -> ServiceConfig:
    store = tmp_path / "store"
    store.mkdir(mode=0o700)
    for name in ("dsn", "of-web", "no-file"):
        (store / name).write_text(CANARY) if name != "no-file" else (store / name).mkdir()
    key = tmp_path / "age.key"
    key.write_text("AGE-SECRET-KEY-1")
    key.chmod(0o600)
    stores = (StoreConfig("directory", str(store)), StoreConfig("age", "sealed", identity_file=str(key)),
              StoreConfig("environment", prefix="S_"))  # fmt: skip
    grant = Policy(secrets=("dsn", "api-*", "gone", "no-file", "in-git"), secrets_in_env=True)
    return ServiceConfig(secret_stores=stores, policy=Policy(secrets_in_env=True),
                         owners=(Owner("ml", ("ml/**",), grant), Owner("web", ("web/**",), Policy())))  # fmt: skip


def standing(name: str, *refs: SecretRef) -> StandingJob:
    spec = make_spec(name, owner=name.partition("/")[0], secrets=refs)
    return StandingJob(name, spec, digest(spec), "9f3c2e1", f"{name}.yaml", AT, AT, AT)


def file(name: str, **more: object) -> SecretRef:
    return replace(SecretRef(name, f"/run/secrets/{name}"), **more)  # type: ignore[arg-type]


def listed(
    config: ServiceConfig, history: SqliteHistory, *jobs: StandingJob, unread: str = ""
) -> dict[str, dict[str, object]]:
    problems = (FieldProblem(f"secrets.{unread}", "secret-unreadable", "the job cannot read it"),) if unread else ()
    rows = secrets_data(config, history, jobs, lambda _spec: Preview(None, problems=problems), ENVIRON)
    assert CANARY not in json.dumps(rows) and str(len(CANARY)) not in [str(v) for row in rows for v in row.values()]
    return {row["secret"]: row for row in rows}


def test_S3_each_secret_has_its_store_and_the_way_it_comes(config: ServiceConfig, history: SqliteHistory) -> None:
    job = standing("ml/a", file("dsn", mode=0o440), SecretRef("api-token", env="TOKEN"), file("in-git", sealed="YQ=="))
    rows = listed(config, history, job)
    directory, age, environment = (store.words for store in config.secret_stores)
    assert {name: (row["state"], row["store"]) for name, row in rows.items()} == {
        "dsn": ("there", directory), "api-token": ("there", environment), "in-git": ("there", age),
    }  # fmt: skip
    assert (rows["dsn"]["file"], rows["dsn"]["mode"], rows["dsn"]["env"]) == ("/run/secrets/dsn", "0440", None)
    assert (rows["api-token"]["file"], rows["api-token"]["mode"], rows["api-token"]["env"]) == (None, None, "TOKEN")
    assert {row["changed"] for row in rows.values()} == {None} and not any(row["why"] for row in rows.values())


def test_S3_what_a_run_would_not_get_says_why(config: ServiceConfig, history: SqliteHistory) -> None:
    jobs = (standing("ml/a", file("gone"), file("no-file"), file("dsn")), standing("web/b", file("of-web")))
    rows = listed(config, history, *jobs, unread="dsn")
    assert {name: row["state"] for name, row in rows.items()} == {
        "gone": "missing", "no-file": "unreadable", "dsn": "unreadable", "of-web": "forbidden",
    }  # fmt: skip
    assert rows["gone"]["why"] == "no store has it" and "plain file" in str(rows["no-file"]["why"])
    assert rows["dsn"]["why"] == "the job cannot read it" and rows["of-web"]["why"] == "web is not granted it"


def test_S3_a_store_or_an_identity_of_no_use_is_named(config: ServiceConfig, history: SqliteHistory) -> None:
    directory, age, _ = config.secret_stores
    Path(directory.path).chmod(0o755)
    Path(age.identity_file).unlink()
    rows = listed(config, history, standing("ml/a", file("dsn"), file("in-git", sealed="YQ=="), file("api-token")))
    assert [row["state"] for row in rows.values()] == ["unreadable", "unreadable", "there"], "another store has that"
    assert "has mode 0755" in str(rows["dsn"]["why"]) and age.identity_file in str(rows["in-git"]["why"])


def test_S3_when_a_value_changed_is_known_from_the_runs(config: ServiceConfig, history: SqliteHistory) -> None:
    history.set_meta(CHANGED, json.dumps({"dsn": "2026-11-24T01:00:00Z"}))
    assert listed(config, history, standing("ml/a", file("dsn")))["dsn"]["changed"] == "2026-11-24T01:00:00Z"
