"""Promise: a Saturn Cloud recipe of any generation becomes a job, and each of its fields is kept or noted."""

from pathlib import Path
from typing import Any

import pytest

from reconciler.model.job import Resources
from reconciler.model.service import ServiceConfig
from tests.unit.importers.kit import by_name, check, codes, fields, note, only, run

ROOT = Path(__file__).resolve().parents[3]
# Recipes of other people lie beside some checkouts, not in this repository; the two in OWN are always there.
REAL = sorted(path for path in (ROOT.parent / "shared/data/saturn").rglob("*") if path.suffix in (".json", ".yaml"))
IMAGE = "registry.example.org/ml/pytorch:2.8"


def recipe(**spec: str) -> str:
    """The current schema; each value as it is typed in YAML."""
    said = {
        "name": "train",
        "image": f"{{uri: '{IMAGE}'}}",
        "instance_type": "large",
        "command": "python train.py",
    } | spec
    lines = "".join(f"  {key}: {value}\n" for key, value in said.items() if value)
    return f'schema_version: "2025.10.01"\ntype: job\nspec:\n{lines}state: {{id: abc, status: stopped}}\n'


def flat(job: str = "command: python a.py", more: str = "") -> str:
    return f"name: old_job\nimage_uri: {IMAGE}\n{more}job: {{instance_type: large, {job}}}\nversion: 2022.01.06\n"


def test_a_plain_recipe() -> None:
    found = run("saturn", recipe())
    assert only(found) == {
        "schedule": "manual", "image": IMAGE, "script": "python train.py", "working_dir": "/home/jovyan/workspace",
        "concurrency_policy": "Allow", "retries": 0,
    }  # fmt: skip
    assert note(found, "refused-detail").message.endswith('no size "large" [size-unknown]')


KEPT: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({"description": "'  Two\n    lines '"}, {"description": "Two lines"}),
    ({"schedule": '"*/5 * * * *"'}, {"schedule": "*/5 * * * *", "timezone": "UTC"}),
    ({"schedule": '"@every 4h"'}, {"schedule": "@every 4h", "timezone": None}),
    ({"schedule": "null"}, {"schedule": "manual"}),
    ({"concurrency_policy": "forbid"}, {"concurrency_policy": "Forbid"}),
    ({"retries": "3"}, {"retries": 3}),
    ({"scale": "4"}, {"strategy": {"parallelism": 4}}),
    ({"scale": "1"}, {"strategy": None}),
    ({"command": '["a 1", "b 2", "a 1"]', "scale": "2"},
     {"strategy": {"matrix": {"work": ["a 1", "b 2"]}, "max_parallel": 2}, "command": ['eval "$WORK"']}),
    ({"working_directory": "/work"}, {"working_dir": "/work"}),
    ({"environment_variables": '{A: "5", B: yes, C: ""}'}, {"environment": {"A": "5", "B": "yes", "C": ""}}),
    ({"tags": "{team: ml}"}, {"labels": {"team": "ml"}}),
    ({"image": f"{IMAGE}"}, {"image": IMAGE}),
    ({"config_files": "{.conf/a.ini: {content: x, mode: '0600'}}"},
     {"files": {"/home/jovyan/.conf/a.ini": {"content": "x", "mode": "0600"}}}),
    ({"command": "'a | b'"}, {"script": None, "entrypoint": ["/bin/sh", "-c"], "command": ["a | b"]}),
    ({"command": "'a && b --x'"}, {"script": "a && b --x", "command": None}),
    ({"command": "'echo $HOME'"}, {"command": ["echo $HOME"]}),
    ({"shared_folders": "[{owner: org/anna, name: my data}]"},
     {"volumes": ["my-data:/home/jovyan/shared/anna/my data"]}),
]  # fmt: skip


@pytest.mark.parametrize(("given", "kept"), KEPT, ids=[str(row[0]) for row in KEPT])
def test_a_field_is_kept(given: dict[str, str], kept: dict[str, Any]) -> None:
    found = only(run("saturn", recipe(**given)))
    assert {key: found.get(key) for key in kept} == kept


def test_a_size_of_the_service_file_is_kept() -> None:
    found = run("saturn", recipe(), config=ServiceConfig(sizes={"large": Resources(cpus=2)}))
    assert only(found)["resources"] == {"size": "large"}


NEEDED = [
    ({"image": "community/saturncloud/saturn-python:2023.09.01"}, "platform-image", "catalogue"),
    ({"image": "{owner: saturncloud, name: saturn, version: 2022.05.01}"}, "platform-image",
     "saturncloud/saturn:2022.05.01"),
    ({"image": "{tag_id: 1}"}, "image-assumed", "names no image"),
    ({"token_scope": "'job:{self}:dask:write'"}, "missing-part", "token"),
    ({"dask_cluster": "{num_workers: 3}"}, "missing-part", "cluster"),
    ({"start_dind": "true"}, "missing-part", "Docker Engine"),
    ({"extra_packages": "{bioconductor: {install: x}}"}, "missing-part", "bioconductor"),
    ({"shared_folders": "[{name: d, path: /d}]"}, "empty-volume", '"d"'),
    ({"schedule": '"61 * * * *"'}, "by-hand", "schedule-invalid"),
    ({"concurrency_policy": "Maybe"}, "wrong-value", "Allow, Forbid or Replace"),
    ({"git_repositories": "{url: x}"}, "wrong-value", "a list"),
    ({"environment_variables": "{A: [1]}"}, "wrong-value", "text"),
    ({"command": ""}, "missing-part", "command"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "code", "words"), NEEDED, ids=[str(row[0]) for row in NEEDED])
def test_what_the_job_leaned_on_is_needed(given: dict[str, str], code: str, words: str) -> None:
    found = run("saturn", recipe(**{"schedule": '"@daily"', **given}))
    assert any(n.code == code and words in n.message for n in found.notes), found.notes
    kept = only(found)
    assert kept.get("suspend") is True or kept["schedule"] == "manual"


def test_what_the_platform_reports_is_no_loss() -> None:
    assert codes(run("saturn", recipe(status="running", start_dind="false", tags="null", secrets="[]"))) == {
        "refused-detail", "written-out", "limit",
    }  # fmt: skip


@pytest.mark.parametrize("policy, retries, kept", [("", "", ("Allow", 3)), ("Forbid", "1", ("Forbid", 1))])
def test_the_flat_schema_and_its_own_defaults(policy: str, retries: str, kept: tuple[str, int]) -> None:
    job = "command: python a.py" + (f", concurrency_policy: {policy}" if policy else "")
    found = only(run("saturn", flat(job + (f", backoff_limit: {retries}" if retries else ""))))
    assert (found["concurrency_policy"], found["retries"], found["image"]) == (*kept, IMAGE)


def test_a_set_of_recipes_gives_its_jobs_and_tells_the_others() -> None:
    text = (
        "images: []\nresources:\n  - {name: server, jupyter_server: {instance_type: a}}\n"
        f"  - {{name: a-job, image_uri: '{IMAGE}', job: {{command: x, schedule: '@daily'}}}}\n"
        f"templates:\n  - {{title: t, resource: {{name: b-job, image_uri: '{IMAGE}', job: {{command: y}}}}}}\n"
    )
    found = run("saturn", text)
    assert set(by_name(found)) == {"a-job", "b-job"}
    assert "server: a recipe of jupyter_server" in note(found, "not-a-job").message


def test_json_with_characters_beyond_the_first_plane() -> None:
    found = run(
        "saturn", '{"name": "x", "image_uri": "a.io/b:1", "description": "\\ud83d\\ude00 ok", "job": {"command": "c"}}'
    )
    assert only(found)["description"] == "\U0001f600 ok"


def test_an_image_of_the_callers_stands_for_those_of_the_catalogue() -> None:
    found = run("saturn", recipe(image="org/saturn:1", schedule='"@daily"'), image=IMAGE)
    assert only(found)["image"] == IMAGE
    assert "suspend" not in only(found)
    assert 'image "org/saturn:1"' in note(found, "meaning").message


OWN = {"current.yaml": recipe(schedule='"@daily"').encode(), "flat.yaml": flat().encode()}


@pytest.mark.parametrize("name", [*OWN, *map(str, REAL)])
def test_real_recipes_become_valid_jobs(name: str) -> None:
    """Recipes as people and the product wrote them, broken by the official schemas or not."""
    data = OWN.get(name) or Path(name).read_bytes()
    found = run("saturn", data, path=name)
    check(found)
    is_job = b'"job":' in data or b"type: job" in data or b"\njob:" in data
    assert bool(found.files) or not is_job or "schema.json" in name
    unknown = [
        n.message for n in found.notes if n.code in ("unreadable", "unknown-field", "wrong-value", "refused-job")
    ]
    assert unknown == [] or "schema.json" in name
    for file in found.files:
        assert {"schedule", "image"} <= fields(file.text).keys()
