"""Promise: P1. The digest is of what a job means, not of how it was written; stored specs read back exactly."""

import json
from dataclasses import fields, replace

import pytest

from reconciler.model.job import (
    After,
    CodeRepository,
    FileMount,
    JobSpec,
    Mount,
    Packages,
    Parameter,
    Queue,
    Resources,
    Schedule,
    ScheduleKind,
    SecretRef,
    Strategy,
    WaitFor,
)
from reconciler.spec.canonical import digest_of, from_data, to_data

from .kit import Repo, job

SPEC = job(
    "schedule: {cron: '5 4 * * *', timezone: Asia/Tokyo}\ncommand: [a, b]\nenvironment: {A: 1}\nlabels: {t: x}\n"
    "volumes: ['v:/v', {type: tmpfs, target: /t, tmpfs: {size: 1m}}]\nfiles: {/f: {content: x}}\nretries: 2\n"
    "resources: {cpus: 1, memory: 64m}\nstart_deadline: 5m\nmoved_from: old\nuser: '1'\n"
)


def test_a_spec_reads_back_exactly_through_json() -> None:
    assert from_data(json.loads(json.dumps(to_data(SPEC)))) == SPEC


def test_a_record_of_an_older_version_gets_defaults_and_one_of_a_newer_is_read() -> None:
    data = to_data(SPEC)
    del data["read_only"]
    del data["resources"]["pids_limit"]
    assert from_data(data | {"gpus": 2}) == SPEC


@pytest.mark.parametrize("data", [{}, {"name": "a"}, {**to_data(SPEC), "schedule": 5}, {**to_data(SPEC), "image": 5}])
def test_what_is_no_record_is_an_error(data: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_data(data)


SAME = {
    "comments, quotes, order and spaces": (
        "timeout: 1h\nuser: '5'\n",
        "# hello\nuser:   5\n\n'timeout': \"60m\"   # an hour\n",
    ),
    "short and long forms": (
        "volumes: ['v:/v:ro']\nenvironment: {A: 1, B: x}\nretries: 2\ncommand: a b\n",
        "volumes: [{source: v, target: /v, read_only: true}]\nenvironment: [B=x, A=1]\nretries: {limit: 2}\n"
        "command: [a, b]\n",
    ),
    "a default, written out": ("version: 1\n", "timeout: 24h\nretries: 0\nnetworks: [default]\nprotect: false\n"),
    "the order of volumes": ("volumes: ['a:/a', 'b:/b']\n", "volumes: ['b:/b', 'a:/a']\n"),
    "where it moved from": ("version: 1\n", "moved_from: x\n"),
    "the spelling of a schedule": ("schedule: '5 4 * * MON'\n", "schedule: {cron: '5  4 * * mon'}\n"),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_P1_means_the_same(one: str, other: str) -> None:
    assert digest_of(job(one)) == digest_of(job(other))


def test_P1_a_file_taken_in_means_what_it_says_wherever_it_lies() -> None:
    one = Repo({"a.yaml": "schedule: manual\nimage: a\nfiles: {/x: {from: q}}\n", "q": "1"}).desire()
    other = Repo({"a.yaml": "schedule: manual\nimage: a\nfiles: {/x: {content: '1'}}\n"}).desire()
    assert one.jobs["a"].digest == other.jobs["a"].digest


CHANGES: dict[str, object] = {
    "name": "other", "owner": "other", "schedule": Schedule(ScheduleKind.MANUAL), "image": "b", "description": "x",
    "labels": (), "suspend": True, "command": ("a b",), "entrypoint": (), "script": "x",
    "start_script": "x", "packages": Packages(pip=("a",)),
    "working_dir": "/", "user": "2", "environment": (("A", "2"),),
    "resources": Resources(1.0, 65 << 20),
    "mounts": (Mount("volume", "v", "/v"),), "networks": ("none",), "timeout": 1.0, "stop_grace_period": 1.0,
    "concurrency_policy": "Allow",
    "retries": replace(SPEC.retries, backoff=3.0), "start_deadline": None, "catch_up": "none", "on_retire": "stop",
    "protect": True, "history": replace(SPEC.history, keep_failed=1), "pull_policy": "always", "read_only": True,
    "cap_add": ("CHOWN",), "files": (FileMount("/f", "x", 0o400),),
    "queue": Queue(limit=2), "concurrency_group": "g", "priority": 1, "catch_up_limit": 3, "pause_after_failures": 3,
    "hold_on_failure": 60.0, "outputs": "/o", "repositories": (CodeRepository("git@h:c.git", "/c"),),
    "after": (After("x"),), "wait_for": (WaitFor("x"),), "parameters": (Parameter("n", default="1"),),
    "strategy": Strategy((("a", ("1", "2")),), max_parallel=1), "secrets": (SecretRef("s", "/run/secrets/s"),),
    "exec_in": "shop-db-1",
}  # fmt: skip


def test_every_field_is_known_here() -> None:
    assert set(CHANGES) == {field.name for field in fields(JobSpec)} - {"moved_from", "accept"}


@pytest.mark.parametrize("field", CHANGES)
def test_P1_a_change_of_any_field_is_a_change(field: str) -> None:
    assert digest_of(replace(SPEC, **{field: CHANGES[field]})) != digest_of(SPEC)  # type: ignore[arg-type]


def test_P1_the_digest_does_not_change_from_release_to_release() -> None:
    """A change here replaces every standing job of every user on upgrade."""
    plain = JobSpec("a", "default", Schedule(ScheduleKind.MANUAL), "busybox:1.36")
    assert digest_of(plain) == "73403ccec118dde896c01346320316df31b617fd8991f1edbd4cea3d5af32890"
    assert digest_of(SPEC) == "43821c7136dd2294b14d95306f8e740426c329685d49498ca083686295bf40c8"
