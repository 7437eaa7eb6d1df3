"""Promise: a Compose service with a schedule in its labels becomes a job, `$` means what it meant, the rest is told."""

from typing import Any

import pytest

from reconciler.importers.compose import SCHEDULE_LABELS
from reconciler.model.service import Policy, ServiceConfig
from tests.unit.importers.kit import by_name, note, only, run

GRANTS = ServiceConfig(
    policy=Policy(binds=("/srv",), networks=("shop_back", "edge"), external_volumes=("backups",),
                  capabilities=("CHOWN",), gpus=True)
)  # fmt: skip


def service(lines: str, more: str = "") -> str:
    """Fields at their own indent, below a service that has a schedule."""
    body = "".join(f"    {line}\n" for line in lines.splitlines())
    labels = "    labels: {schedule: '@daily', timezone: UTC}\n"
    return f"name: shop\nservices:\n  job:\n    image: busybox:1.36\n{labels}{body}{more}"


def test_a_plain_service() -> None:
    assert only(run("compose", service(""))) == {"schedule": "@daily", "timezone": "UTC", "image": "busybox:1.36"}


@pytest.mark.parametrize("label", SCHEDULE_LABELS)
@pytest.mark.parametrize("form", ["map", "list", "deploy"])
def test_labels_that_say_when(label: str, form: str) -> None:
    if label.startswith("x-"):
        said = f"    {label}: '0 3 * * *'\n    x-timezone: Asia/Tokyo\n"
    else:
        zone = SCHEDULE_LABELS[label]
        pairs = [(label, "0 3 * * *"), *([(zone, "Asia/Tokyo")] if zone else [])]
        listed = "[" + ", ".join(f"'{key}={value}'" for key, value in pairs) + "]"
        mapped = "{" + ", ".join(f"{key}: '{value}'" for key, value in pairs) + "}"
        said = {"map": f"    labels: {mapped}\n", "list": f"    labels: {listed}\n",
                "deploy": f"    deploy: {{labels: {mapped}}}\n"}[form]  # fmt: skip
    found = only(run("compose", f"services:\n  job:\n    image: a:1\n{said}"))
    assert found["schedule"] == "0 3 * * *"
    assert found.get("timezone") == ("Asia/Tokyo" if SCHEDULE_LABELS[label] else None)


KEPT: list[tuple[str, dict[str, Any]]] = [
    ("image: 'r.example.org/a:${TAG:-1.2}'", {"image": "r.example.org/a:1.2"}),
    ("command: sh -c 'echo $$HOME'", {"command": "sh -c 'echo $HOME'"}),
    ('command: [echo, "${A-x}", "${B:+y}"]', {"command": ["echo", "x", ""]}),
    ("entrypoint: []", {"entrypoint": []}),
    ("environment: {A: NO, B: 1.10, C: ''}", {"environment": {"A": "NO", "B": "1.10", "C": ""}}),
    ("environment: [A=1, B=x=y]", {"environment": {"A": "1", "B": "x=y"}}),
    ("working_dir: /w\nuser: '1:2'", {"working_dir": "/w", "user": "1:2"}),
    ("mem_limit: 512M\ncpus: 0.5\npids_limit: 50\nshm_size: 1gb",
     {"resources": {"memory": "512m", "cpus": 0.5, "pids_limit": 50, "shm_size": "1gb"}}),
    ("deploy: {resources: {limits: {cpus: '2', memory: 1G, pids: 9}}}",
     {"resources": {"cpus": 2, "memory": "1g", "pids_limit": 9}}),
    ("deploy: {resources: {reservations: {devices: [{capabilities: [gpu], count: 2}]}}}", {"resources": {"gpus": 2}}),
    ("volumes: ['/srv/x:/x:ro']",
     {"volumes": [{"type": "bind", "source": "/srv/x", "target": "/x", "read_only": True}]}),
    ("volumes: [{type: bind, source: /srv/x, target: /x}]",
     {"volumes": [{"type": "bind", "source": "/srv/x", "target": "/x"}]}),
    ("volumes: ['out:/out']", {"volumes": [{"source": "backups", "target": "/out", "external": True}]}),
    ("volumes: [{type: tmpfs, target: /t, tmpfs: {size: 64m}}]",
     {"volumes": [{"type": "tmpfs", "target": "/t", "tmpfs": {"size": "64m"}}]}),
    ("tmpfs: /t", {"volumes": [{"type": "tmpfs", "target": "/t"}]}),
    ("tmpfs: ['/t:size=1m,mode=1777']", {"volumes": [{"type": "tmpfs", "target": "/t", "tmpfs": {"size": "1m"}}]}),
    ("networks: [back]", {"networks": ["shop_back"]}),
    ("networks: {front: {aliases: [a]}}", {"networks": ["edge"]}),
    ("network_mode: none", {"networks": ["none"]}),
    ("configs: [{source: ini, target: /a.ini, mode: 0440}]", {"files": {"/a.ini": {"content": "a=1", "mode": "0440"}}}),
    ("stop_grace_period: 1m30s", {"stop_grace_period": "1m30s"}),
    ("read_only: true\ncap_add: [CAP_CHOWN]\ncap_drop: [ALL]", {"read_only": True, "cap_add": ["CHOWN"]}),
    ("pull_policy: if_not_present", {"pull_policy": "missing"}),
    ("<<: {read_only: true, user: '5'}\nuser: '6'", {"read_only": True, "user": "6"}),
]  # fmt: skip
MORE = ("volumes: {out: {name: backups}}\nnetworks: {back: {}, front: {name: edge, external: true}}\n"
        "configs: {ini: {content: 'a=1'}}\n")  # fmt: skip


@pytest.mark.parametrize(("lines", "kept"), KEPT, ids=[row[0] for row in KEPT])
def test_a_field_is_kept(lines: str, kept: dict[str, Any]) -> None:
    text = service(lines, MORE)
    if lines.startswith("image"):
        text = text.replace("    image: busybox:1.36\n", "")
    found = only(run("compose", text, config=GRANTS))
    assert {key: found.get(key) for key in kept} == kept
    assert "suspend" not in found


NEEDED = [
    ("environment: {A: '${PW}'}", "unresolved", "PW"), ("environment: {A: }", "unresolved", "environment.A"),
    ("environment: [HOME]", "unresolved", "HOME"), ("env_file: .env", "unresolved", "env_file"),
    ("command: run $X", "unresolved", "X"), ("build: .", "missing-part", "pushed"),
    ("depends_on: [db]", "missing-part", "depends_on"), ("privileged: true", "missing-part", "privileged"),
    ("network_mode: host", "missing-part", "host"), ("networks: [other]", "refused-part", "shop_other"),
    ("volumes: ['./x:/x']", "missing-part", "beside the Compose file"),
    ("volumes: ['/x']", "missing-part", "anonymous"),
    ("volumes: ['data:/d']", "empty-volume", '"data"'), ("volumes: ['/etc:/e']", "refused-part", "bind-not-allowed"),
    ("configs: [file]", "unresolved", '"file"'), ("mem_limit: lots", "wrong-value", "512m"),
    ("cap_add: [SYS_ADMIN]", "refused-part", "SYS_ADMIN"), ("secrets: [pw]", "secret", '"pw"'),
    ("gpus: all", "missing-part", "gpus"),
    ("deploy: {resources: {reservations: {devices: [{count: all}]}}}", "missing-part", "GPUs"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "code", "words"), NEEDED, ids=[row[0] for row in NEEDED])
def test_what_the_job_leaned_on_is_needed(lines: str, code: str, words: str) -> None:
    found = run("compose", service(lines))
    assert any(n.code == code and words in n.message for n in found.notes), found.notes
    assert only(found)["suspend"] is True


@pytest.mark.parametrize("line",
                         ["ports: ['80:80']", "restart: always", "healthcheck: {test: x}", "logging: {driver: x}",
                                  "dns_search: x", "ulimits: {nofile: 1}", "frobnicate: 1"])  # fmt: skip
def test_what_it_can_do_without_is_noted_and_the_job_fires(line: str) -> None:
    found = run("compose", service(line))
    key = line.partition(":")[0]
    assert any(key in n.message and n.kind.value == "not kept" for n in found.notes), found.notes
    assert "suspend" not in only(found)


def test_swarm_cronjob() -> None:
    labels = ("{swarm.cronjob.enable: 'false', swarm.cronjob.schedule: '0 * * * * *', "
              "swarm.cronjob.skip-running: 'true', swarm.cronjob.replicas: '3', "
              "swarm.cronjob.registry-auth: 'true', team: ops, empty: ''}")  # fmt: skip
    found = run("compose", f"services:\n  j:\n    image: a:1\n    deploy: {{labels: {labels}}}\n")
    assert only(found) == {
        "labels": {"team": "ops", "empty": ""}, "schedule": "0 * * * * *", "suspend": True, "image": "a:1",
        "concurrency_policy": "Forbid", "strategy": {"parallelism": 3},
    }  # fmt: skip
    assert "registry-auth" in note(found, "no-counterpart").message


@pytest.mark.parametrize(
    "labels, kept",
    [("swarm.cronjob.enable: 'true'", {"concurrency_policy": "Replace", "suspend": None}),
     ("swarm.cronjob.skip-running: 'false'", {"concurrency_policy": "Replace", "suspend": True})],
)  # fmt: skip
def test_swarm_cronjob_replaces_and_has_to_be_enabled(labels: str, kept: dict[str, Any]) -> None:
    text = f"services: {{j: {{image: 'a:1', labels: {{swarm.cronjob.schedule: '@daily', {labels}}}}}}}\n"
    found = only(run("compose", text))
    assert {key: found.get(key) for key in kept} == kept


def test_services_without_a_schedule_are_told_one_by_one() -> None:
    text = service("", "  web: {image: nginx}\n  chore: {image: a, labels: {deck-chores.x.command: y}}\n")
    found = run("compose", text)
    assert set(by_name(found)) == {"job"}
    said = [n.message for n in found.notes if n.code == "not-a-job"]
    assert len(said) == 2 and '"web"' in said[0] and "deck-chores" in said[1]


def test_anchors_and_merges_are_resolved() -> None:
    text = """\
        x-base: &base
          image: a:1
          environment: &env {A: "1", B: "2"}
        services:
          one:
            <<: *base
            environment: {<<: *env, B: "3"}
            labels: {schedule: "@daily"}
          two: {<<: [*base], labels: {schedule: "@hourly"}}
        """
    jobs = by_name(run("compose", text))
    assert jobs["one"]["environment"] == {"A": "1", "B": "3"}
    assert jobs["two"]["environment"] == {"A": "1", "B": "2"}


def test_a_build_without_an_image_takes_the_callers() -> None:
    text = service("build: .").replace("    image: busybox:1.36\n", "")
    assert only(run("compose", text, image="r.example.org/a:1"))["image"] == "r.example.org/a:1"
