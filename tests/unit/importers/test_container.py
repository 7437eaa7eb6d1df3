"""Promise: a container becomes a valid job that makes its like, and what cannot be kept is said; nothing is guessed."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.importers.container import adopt
from reconciler.importers.model import Imported, Options
from reconciler.model.service import Policy, ServiceConfig
from reconciler.spec.document import Document, read_document
from reconciler.spec.yamlread import read_yaml

BASE = {"Config": {"Env": ["PATH=/bin", "LANG=C"], "Cmd": ["postgres"], "Entrypoint": ["entry.sh"], "User": "",
                   "WorkingDir": "/"}}  # fmt: skip
ALLOWS = ServiceConfig(policy=Policy(binds=("/srv",), networks=("shop",), capabilities=("CHOWN",),
                                     external_volumes=("data",)))  # fmt: skip


def container(config: dict[str, Any] | None = None, host: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    own = {**BASE["Config"], "Image": "postgres:17", **(config or {})}
    return {"Name": "/db-1", "Config": own, "HostConfig": {"NetworkMode": "bridge", **(host or {})}, "Mounts": [],
            "NetworkSettings": {"Networks": {"bridge": {}}}, **more}  # fmt: skip


def adopted(found: dict[str, Any], policy: ServiceConfig = ALLOWS) -> tuple[dict[str, Any], Imported]:
    made = adopt(found, BASE, "db", Options(policy, folder="web"))
    (file,) = made.files
    assert file.name == "web/db"
    root, problems = read_yaml(file.text.encode(), "db.yaml")
    assert root is not None and not problems
    document = read_document(file.text.encode(), "db.yaml", "job")
    assert isinstance(document, Document), document
    return dict(document.data), made


def test_what_the_image_says_is_not_repeated() -> None:
    assert adopted(container())[0] == {"schedule": "manual", "image": "postgres:17"}


def test_every_part_that_has_a_counterpart_is_kept() -> None:
    data, made = adopted(
        container(
            {"Env": ["PATH=/bin", "LANG=de", "MODE=fast"], "Cmd": ["backup", "--all"], "User": "999:999",
             "WorkingDir": "/w"},
            {"Memory": 512 << 20, "NanoCpus": 1_500_000_000, "PidsLimit": 100, "ShmSize": 1 << 30,
             "CapAdd": ["CAP_CHOWN"], "ReadonlyRootfs": True, "Tmpfs": {"/run": ""}},
            Mounts=[
                {"Type": "bind", "Source": "/srv/in", "Destination": "/in", "RW": False},
                {"Type": "volume", "Name": "data", "Source": "/var/lib/x", "Destination": "/data", "RW": True},
            ],
            NetworkSettings={"Networks": {"shop": {}}},
        )
    )  # fmt: skip
    assert data == {
        "schedule": "manual", "image": "postgres:17", "command": ["backup", "--all"], "user": "999:999",
        "working_dir": "/w", "environment": {"LANG": "de", "MODE": "fast"}, "networks": ["shop"], "read_only": True,
        "cap_add": ["CHOWN"],
        "resources": {"cpus": 1.5, "memory": "536870912", "pids_limit": 100, "shm_size": "1073741824"},
        "volumes": [
            {"type": "bind", "source": "/srv/in", "target": "/in", "read_only": True},
            {"source": "data", "target": "/data", "external": True},
            {"type": "tmpfs", "target": "/run"},
        ],
    }  # fmt: skip
    assert {note.code for note in made.notes} == {"meaning"}, made.notes


@pytest.mark.parametrize(
    ("config", "host", "said"),
    [
        ({}, {"Privileged": True}, "privileged"),
        ({}, {"PidMode": "host"}, "PidMode"),
        ({}, {"NetworkMode": "container:abc"}, "shared the network"),
        ({}, {"Devices": [{"PathOnHost": "/dev/x"}]}, "devices"),
        ({}, {"PortBindings": {"80/tcp": []}}, "ports"),
        ({}, {"RestartPolicy": {"Name": "always"}}, "restart: always"),
        ({"Tty": True}, {}, "terminal"),
        ({"Image": f"sha256:{'a' * 64}"}, {}, "without a name"),
    ],
)
def test_what_has_none_is_said(config: dict[str, Any], host: dict[str, Any], said: str) -> None:
    made = adopt(container(config, host), BASE, "db", Options(ALLOWS))
    assert any(said in note.message for note in made.notes), made.notes


def test_S1_what_policy_does_not_grant_is_left_out_and_said() -> None:
    mounts = [{"Type": "bind", "Source": "/etc", "Destination": "/etc2", "RW": True}]
    data, made = adopted(container(Mounts=mounts), ServiceConfig())
    assert "volumes" not in data and any("/etc" in note.message for note in made.notes)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
                    max_leaves=8)  # fmt: skip
KEYS = ["Config", "HostConfig", "Mounts", "NetworkSettings", "Name", "Env", "Cmd", "Entrypoint", "Image", "User",
        "Memory", "CapAdd", "Tmpfs", "RestartPolicy", "Networks"]  # fmt: skip
INNER = st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), INNER | JSON, max_size=6))
def test_S4_no_answer_of_an_engine_breaks_it(found: dict[str, Any]) -> None:
    made = adopt({**container(), **found}, found, "db", Options(ALLOWS))
    assert len(made.files) <= 1 and json.dumps([note.message for note in made.notes]) is not None


def test_a_secret_value_is_not_in_the_file(tmp_path: Path) -> None:
    made = adopt(container({"Env": ["API_TOKEN=0123456789abcdef0123456789"]}), BASE, "db", Options(ALLOWS))
    assert any("API_TOKEN" in note.message for note in made.notes), made.notes
    assert all("0123456789abcdef" not in text for text in (*(f.text for f in made.files), *map(str, made.notes)))
