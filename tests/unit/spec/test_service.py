"""Promise: issue point 10. The service file is read as strictly as a job file, and may be absent."""

import pytest

from reconciler.model.job import Resources
from reconciler.model.service import (
    Credential,
    DeviceConfig,
    GitConfig,
    Limits,
    Owner,
    Person,
    Policy,
    Registry,
    ServiceConfig,
    SourceConfig,
    Total,
)
from reconciler.spec.service import parse_service

WHOLE = b"""
instance: db1
source:
  {url: "ssh://git@git.example.org/ops/jobs.git", ref: main, paths: [jobs.d/common/, jobs.d/db1], poll_interval: 5m}
git:
  known_hosts: /etc/reconciler/known_hosts
  deploy_keys: [{url: "ssh://git@git.example.org/ops/*", key_file: /etc/reconciler/keys/jobs}]
  tokens: [{url: "https://git.example.org/**", token_file: /etc/reconciler/token, username: oauth2}]
  timeout: 30s
engine: docker
docker_host: unix:///opt/docker.sock
engine_paths: separate
process_user: jobs
timezone: Europe/Berlin
state_dir: /srv/state
runtime_dir: /run/reconciler
registries: {registry.example.org: {username: reconciler, password_file: /etc/reconciler/registry.pw}}
sizes: {small: {cpus: 1, memory: 1g}, big: {gpus: 2}}
devices: {gpus: ["1", "0"]}
limits: {max_running: 12, queue_timeout: 30m, max_retired_share: 0.5, prepare_timeout: 10m, run_log_bytes: 1m,
         default_timeout: 1h, groups: {warehouse: 2}, outputs_bytes: 2g, outputs_entries: 50, dev_timeout: 2h,
         code_bytes: 3g, repository_bytes: 1g, checkout_bytes: 0}
policy: {images: ["registry.example.org/**"], binds: [/srv/reports], networks: [shop], capabilities: [CAP_CHOWN, KILL],
         external_volumes: [backup], min_interval: 1m, max_resources: {cpus: 4}, gpus: true,
         repositories: ["https://git.example.org/**"]}
people: {anna: {unix: anna, email: anna@example.org}, cleo: {email: cleo@example.org}}
owners:
  group/ml:
    paths: [ml/**]
    members: [anna, cleo]
    total: {jobs: 40, running: 4, cpus: 32.5, memory: 256g, gpus: 2}
    deploy_keys: [{url: "git@git.example.org:ml/*", key_file: /k}]
    tokens: [{url: "https://git.example.org/ml/*", token_file: /t}]
  group/web: {paths: ["web/*", shared], policy: {networks: [shop]}}
on_invalid: reject
allow_rewrite: true
"""


def test_every_field_of_the_service_file() -> None:
    config, problems = parse_service(WHOLE, "service.yaml")
    assert problems == ()
    assert config == ServiceConfig(
        instance="db1",
        source=SourceConfig("ssh://git@git.example.org/ops/jobs.git", "main", ("jobs.d/common", "jobs.d/db1"), 300.0),
        git=GitConfig(
            "/etc/reconciler/known_hosts",
            (Credential("ssh://git@git.example.org/ops/*", key_file="/etc/reconciler/keys/jobs"),),
            (Credential("https://git.example.org/**", token_file="/etc/reconciler/token", username="oauth2"),),
            30.0,
        ),
        engine="docker",
        docker_host="unix:///opt/docker.sock",
        engine_paths="separate",
        process_user="jobs",
        timezone="Europe/Berlin",
        state_dir="/srv/state",
        runtime_dir="/run/reconciler",
        registries={"registry.example.org": Registry("reconciler", "/etc/reconciler/registry.pw")},
        sizes={"small": Resources(cpus=1.0, memory=1 << 30), "big": Resources(gpus=2)},
        devices=DeviceConfig(("1", "0")),
        limits=Limits(
            12, 1800.0, 0.5, 600.0, 1 << 20, 3600.0, 2 << 30, 50, {"warehouse": 2}, 3 << 30, 1 << 30, 0, 7200.0,
        ),
        policy=Policy(
            ("registry.example.org/**",), ("/srv/reports",), ("shop",), ("CHOWN", "KILL"), ("backup",), 60.0,
            Resources(cpus=4.0, pids_limit=1 << 22), gpus=True, repositories=("https://git.example.org/**",),
        ),
        owners=(
            Owner(
                "group/ml", ("ml/**",), None, ("anna", "cleo"), Total(40, 4, 32.5, 256 << 30, 2),
                (Credential("git@git.example.org:ml/*", key_file="/k"),),
                (Credential("https://git.example.org/ml/*", token_file="/t"),),
            ),
            Owner("group/web", ("web/*", "shared"), Policy(networks=("shop",))),
        ),
        people=(Person("anna", "anna", "anna@example.org"), Person("cleo", email="cleo@example.org")),
        on_invalid="reject",
        allow_rewrite=True,
    )  # fmt: skip


@pytest.mark.parametrize("data", [None, b"allow_rewrite: false\n"])
def test_every_field_may_be_absent(data: bytes | None) -> None:
    assert parse_service(data, "x") == (ServiceConfig(), ())


def test_the_root_of_the_repository_as_jobs_directory() -> None:
    for path in ("''", ".", "/"):
        config, problems = parse_service(f"source: {{paths: [{path}]}}".encode(), "x")
        assert (config.source.paths, len(problems)) == ((("",), 0) if path != "/" else (("jobs.d",), 1))


WRONG = {
    "an unknown key": ("instanse: a", "unknown-key", "/instanse"),
    "an unknown engine": ("engine: podman", "value-unknown", "/engine"),
    "an unknown zone": ("timezone: Europe/Berln", "timezone-unknown", "/timezone"),
    "a relative state directory": ("state_dir: state", "value-invalid", "/state_dir"),
    "an instance with a dot": ("instance: a.b", "value-invalid", "/instance"),
    "a path that climbs": ("source: {paths: [a/../b]}", "path-invalid", "/source/paths/0"),
    "a bind that climbs": ("policy: {binds: [/a/../b]}", "path-invalid", "/policy/binds/0"),
    "a capability that is never granted": (
        "policy: {capabilities: [SYS_ADMIN]}",
        "capability-not-allowed",
        "/policy/capabilities/0",
    ),
    "a timeout of nothing": ("git: {timeout: 0s}", "value-out-of-range", "/git/timeout"),
    "a size without memory to start": ("sizes: {s: {memory: 1m}}", "value-out-of-range", "/sizes/s/memory"),
    "a GPU twice": ("devices: {gpus: ['0', '0']}", "gpu-twice", "/devices/gpus/1"),
    "an index beside a UUID": (
        "devices: {gpus: ['0', GPU-6a7f1c3e-0d4b-4c56-9f0e-1b2c3d4e5f60]}",
        "gpu-twice",
        "/devices/gpus/1",
    ),
    "a GPU by another word": ("devices: {gpus: [all]}", "value-invalid", "/devices/gpus/0"),
    "a member whom nobody knows": (
        "people: {anna: {unix: anna}}\nowners: {a: {paths: ['**'], members: [ana]}}",
        "person-unknown",
        "/owners/a/members/0",
    ),
    "a member without people": (
        "owners: {a: {paths: ['**'], members: [anna]}}",
        "person-unknown",
        "/owners/a/members/0",
    ),
    "a total of nothing": (
        "owners: {a: {paths: ['**'], total: {memory: 0}}}",
        "value-out-of-range",
        "/owners/a/total/memory",
    ),
    "a total that is not counted": (
        "owners: {a: {paths: ['**'], total: {volumes: 1}}}",
        "unknown-key",
        "/owners/a/total/volumes",
    ),
    "a member twice": (
        "people: {anna: {unix: anna}}\nowners: {a: {paths: ['**'], members: [anna, anna]}}",
        "person-twice",
        "/owners/a/members/1",
    ),
    "an account of two people": ("people: {a: {unix: x}, b: {unix: x}}", "account-twice", "/people/b/unix"),
    "a person of whom nothing is said": ("people: {anna: {}}", "value-empty", "/people/anna"),
    "a signing key that is none": ("people: {a: {signing_key: x}}", "signing-key-invalid", "/people/a/signing_key"),
    "an e-mail of two words": ("people: {anna: {email: an na@x}}", "value-invalid", "/people/anna/email"),
    "an account that is none": ("people: {anna: {unix: 'a:b'}}", "value-invalid", "/people/anna/unix"),
    "an owner with two slashes": ("owners: {a/b/c: {paths: ['**']}}", "value-invalid", "/owners/a~1b~1c"),
    "an owner that climbs": ("owners: {a/..: {paths: ['**']}}", "value-invalid", "/owners/a~1.."),
    "owners with one name in the engine": (
        "owners: {group/ml: {paths: [a/**]}, group.ml: {paths: [b/**]}}",
        "owner-clash",
        "/owners/group.ml",
    ),
    "an owner without paths": ("owners: {a: {}}", "field-missing", "/owners/a"),
    "a share above one": ("limits: {max_retired_share: 30}", "value-out-of-range", "/limits/max_retired_share"),
    "a token without its file": ("git: {tokens: [{url: x}]}", "field-missing", "/git/tokens/0"),
    "an anchor": ("policy: &a {}", "anchor", ""),
    "an empty file": ("", "empty-file", ""),
}


@pytest.mark.parametrize(("text", "code", "pointer"), WRONG.values(), ids=WRONG)
def test_refused(text: str, code: str, pointer: str) -> None:
    config, problems = parse_service(text.encode(), "service.yaml")
    assert config == ServiceConfig()
    assert [(p.code, p.pointer) for p in problems] == [(code, pointer)]
    assert problems[0].path == "service.yaml"


def test_all_problems_come_at_once() -> None:
    _, problems = parse_service(b"timezone: X\nsource: {paths: [..]}\npolicy: {binds: [/a/../b]}\n", "x")
    assert {p.code for p in problems} == {"timezone-unknown", "path-invalid"}
    assert len(problems) == 3


def test_a_member_whom_nobody_knows_is_told_with_line_and_the_nearest_name() -> None:
    text = b"people:\n  anna: {unix: anna}\nowners:\n  ml:\n    paths: [ml/**]\n    members:\n      - ana\n"
    _, (problem,) = parse_service(text, "x")
    assert (problem.line, problem.column) == (7, 9)
    assert (problem.message, problem.hint) == ('"ana" is none of `people`', 'did you mean "anna"?')


def test_a_grant_beyond_the_ceiling_is_pointed_out() -> None:
    text = (
        b"policy: {networks: [a], binds: [/srv/x]}\n"
        b"owners: {t: {paths: ['**'], policy: {networks: [a, b], binds: [/srv, /etc]}}}\n"
    )
    config, problems = parse_service(text, "x")
    assert config.owners
    assert [(p.severity, p.code, p.pointer) for p in problems] == [
        ("warning", "beyond-ceiling", "/owners/t/policy/networks"),
        ("warning", "beyond-ceiling", "/owners/t/policy/binds"),
    ]


@pytest.mark.parametrize(
    "text", ["source: {url: [s3cret]}", "git: {tokens: [{url: x, token: s3cret}]}", "docker_host: s3cret"]
)
def test_S3_a_problem_never_shows_an_address_or_token(text: str) -> None:
    _, problems = parse_service(text.encode(), "x")
    assert problems
    assert all("s3cret" not in f"{p}{p.hint}" for p in problems)
