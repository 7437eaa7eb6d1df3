"""Promise: each field of a job file means what users of Compose and CronJob expect, in every form it may take."""

import pytest

from reconciler.model.job import (
    CatchUp,
    CodeRepository,
    Concurrency,
    HistoryLimits,
    Mount,
    OnRetire,
    PullPolicy,
    Queue,
    Resources,
    Retries,
    Schedule,
    ScheduleKind,
)
from reconciler.model.service import Limits, Policy, ServiceConfig

from .kit import job, problems

SCHEDULES = {
    "a cron line": ("schedule: '*/15 * * * *'", Schedule(ScheduleKind.CRON, "*/15 * * * *")),
    "extra spaces and capitals mean nothing": ("schedule: '0  8 * * MON'", Schedule(ScheduleKind.CRON, "0 8 * * mon")),
    "a macro is kept": ("schedule: '@daily'", Schedule(ScheduleKind.CRON, "@daily")),
    "an interval": ("schedule: '@every 1h30m'", Schedule(ScheduleKind.EVERY, "@every 1h30m", every=5400.0)),
    "by hand": ("schedule: manual", Schedule(ScheduleKind.MANUAL)),
    "an object with a cron line": ("schedule: {cron: '5 4 * * *'}", Schedule(ScheduleKind.CRON, "5 4 * * *")),
    "an object with an interval": ("schedule: {every: 90s}", Schedule(ScheduleKind.EVERY, "@every 90s", every=90.0)),
    "a zone beside it": (
        "schedule: '5 4 * * *'\ntimezone: Europe/Berlin",
        Schedule(ScheduleKind.CRON, "5 4 * * *", "Europe/Berlin"),
    ),
    "a zone in it": (
        "schedule: {cron: '5 4 * * *', timezone: Europe/Berlin}",
        Schedule(ScheduleKind.CRON, "5 4 * * *", "Europe/Berlin"),
    ),
    "clock changes": (
        "schedule: '5 4 * * *'\ndst: {gap: skip, overlap: twice}",
        Schedule(ScheduleKind.CRON, "5 4 * * *", gap="skip", overlap="twice"),
    ),
    "clock changes in it": (
        "schedule: {cron: '5 4 * * *', dst: {gap: skip}}",
        Schedule(ScheduleKind.CRON, "5 4 * * *", gap="skip"),
    ),
}


@pytest.mark.parametrize(("text", "schedule"), SCHEDULES.values(), ids=SCHEDULES)
def test_T1_schedule(text: str, schedule: Schedule) -> None:
    assert job(text).schedule == schedule


def test_T1_the_zone_is_the_jobs_else_the_services_else_utc() -> None:
    service = ServiceConfig(timezone="America/New_York")
    assert job("schedule: '5 4 * * *'", service).schedule.timezone == "America/New_York"
    assert job("schedule: '5 4 * * *'\ntimezone: Asia/Tokyo", service).schedule.timezone == "Asia/Tokyo"


VALUES = {
    "a list is arguments": ("command: [sh, -c, 'echo $HOME']", "command", ("sh", "-c", "echo $HOME")),
    "a string is split, and $ means nothing": (
        "command: python -m etl --name 'two words' $HOME",
        "command",
        ("python", "-m", "etl", "--name", "two words", "$HOME"),
    ),
    "backslashes and double quotes are read": (r"""command: 'a "b c" d\ e' """, "command", ("a", "b c", "d e")),
    "an empty list is no arguments": ("command: []", "command", ()),
    "an entrypoint is read like a command": ("entrypoint: /bin/tini --", "entrypoint", ("/bin/tini", "--")),
    "a script is kept as it is": ("script: |\n  a\n  b $C\n", "script", "a\nb $C\n"),
    "environment as a map": ("environment: {B: 2, A: NO}", "environment", (("A", "NO"), ("B", "2"))),
    "environment as a list": ("environment: [B=2, 'A=x=y', C=]", "environment", (("A", "x=y"), ("B", "2"), ("C", ""))),
    "labels as a map": ("labels: {team: data}", "labels", (("team", "data"),)),
    "labels as a list": ("labels: [team=data]", "labels", (("team", "data"),)),
    "resources": (
        "resources: {cpus: 1.5, memory: 1g, pids_limit: 64, shm_size: 64m}",
        "resources",
        Resources(1.5, 1 << 30, 64, 64 << 20),
    ),
    "bytes without a unit": ("resources: {memory: 8388608}", "resources", Resources(memory=8 << 20)),
    "a timeout": ("timeout: 1h30m", "timeout", 5400.0),
    "a grace period may be nothing": ("stop_grace_period: 0s", "stop_grace_period", 0.0),
    "forbid, in small letters": ("concurrency_policy: forbid", "concurrency_policy", Concurrency.FORBID),
    "ALLOW, in capitals": ("concurrency_policy: ALLOW", "concurrency_policy", Concurrency.ALLOW),
    "Replace": ("concurrency_policy: Replace", "concurrency_policy", Concurrency.REPLACE),
    "retries as a number": ("retries: 2", "retries", Retries(limit=2)),
    "retries as an object": (
        "retries: {limit: 3, delay: 5s, backoff: 1.5, max_delay: 1m, on_exit_codes: [75, 1]}",
        "retries",
        Retries(3, 5.0, 1.5, 60.0, (1, 75)),
    ),
    "a long delay lifts the longest wait": (
        "retries: {limit: 1, delay: 1h}",
        "retries",
        Retries(1, 3600.0, 2.0, 3600.0),
    ),
    "a start deadline": ("start_deadline: 30m", "start_deadline", 1800.0),
    "catch up": ("catch_up: none", "catch_up", CatchUp.NONE),
    "on retire": ("on_retire: stop", "on_retire", OnRetire.STOP),
    "protect": ("protect: true", "protect", True),
    "suspend": ("suspend: true", "suspend", True),
    "history": ("history: {keep_success: 3, keep_for: 90d}", "history", HistoryLimits(3, 50, 90 * 86400.0)),
    "pull policy": ("pull_policy: weekly", "pull_policy", PullPolicy.WEEKLY),
    "read only": ("read_only: true", "read_only", True),
    "a user by number": ("user: 999:999", "user", "999:999"),
    "a user that looks like a number": ("user: 0", "user", "0"),
    "working directory": ("working_dir: /work", "working_dir", "/work"),
    "networks": ("networks: [none]", "networks", ("none",)),
    "the own bridge unless said otherwise": ("version: 1", "networks", ("default",)),
    "a queue": (
        "concurrency_policy: queue\nqueue: {limit: 3, timeout: 30m}",
        "queue",
        Queue(3, 1800.0),
    ),
    "a queue of a group": ("concurrency_group: g\nqueue: {timeout: 30m}", "queue", Queue(10, 1800.0)),
    "a group": ("concurrency_group: warehouse", "concurrency_group", "warehouse"),
    "a priority": ("priority: -3", "priority", -3),
    "catching up everything": ("concurrency_policy: Queue\ncatch_up: all\ncatch_up_limit: 5", "catch_up", CatchUp.ALL),
    "an outputs directory": ("outputs: /outputs", "outputs", "/outputs"),
    "code from git": (
        "repositories: [{url: 'git@git.example.org:ml/c.git', target: /c}]",
        "repositories",
        (CodeRepository("git@git.example.org:ml/c.git", "/c"),),
    ),
    "a part of a tag's code": (
        "repositories: [{url: https://git.example.org/c, ref: v1.2, target: /c, subpath: a/b/, depth: 1,"
        " submodules: true}]",
        "repositories",
        (CodeRepository("https://git.example.org/c", "/c", "v1.2", "a/b", 1, True),),
    ),
    "a container kept": ("hold_on_failure: 2h", "hold_on_failure", 7200.0),
    "a pause after failures": ("pause_after_failures: 3", "pause_after_failures", 3),
    "moved from": ("moved_from: old/path", "moved_from", "old/path"),
    "a volume": ("volumes: ['models:/models']", "mounts", (Mount("volume", "models", "/models"),)),
    "a read-only volume": ("volumes: ['models:/models:ro']", "mounts", (Mount("volume", "models", "/models", True),)),
    "a volume in the long form": (
        "volumes: [{source: models, target: /models, read_only: true}]",
        "mounts",
        (Mount("volume", "models", "/models", True),),
    ),
    "a tmpfs": (
        "volumes: [{type: tmpfs, target: /scratch, tmpfs: {size: 64m, mode: 1777}}]",
        "mounts",
        (Mount("tmpfs", "", "/scratch", size=64 << 20, mode=0o1777),),
    ),
}


@pytest.mark.parametrize(("text", "field", "value"), VALUES.values(), ids=VALUES)
def test_field(text: str, field: str, value: object) -> None:
    assert getattr(job(text), field) == value


def test_a_bind_in_both_forms_where_policy_allows_it() -> None:
    service = ServiceConfig(policy=Policy(binds=("/srv",)))
    short = job("volumes: ['/srv/x/:/x:ro']", service).mounts
    assert short == job("volumes: [{type: bind, source: /srv/x, target: /x, read_only: true}]", service).mounts
    assert short == (Mount("bind", "/srv/x", "/x", True),)


def test_a_size_of_the_service_file_and_what_counts_more() -> None:
    service = ServiceConfig(sizes={"small": Resources(cpus=1.0, memory=1 << 30)})
    assert job("resources: {size: small}", service).resources == Resources(1.0, 1 << 30)
    assert job("resources: {size: small, cpus: 2}", service).resources == Resources(2.0, 1 << 30)


def test_the_service_gives_the_timeout_that_a_job_does_not() -> None:
    assert job("version: 1", ServiceConfig(limits=Limits(default_timeout=60.0))).timeout == 60.0


def test_a_file_with_content_and_one_of_the_same_commit() -> None:
    text = "files:\n  /b: {content: 'x', mode: 0440}\n  /a: {from: query.sql}\n"
    spec = job(text, path="data/a.yaml", **{"data/query.sql": "select 1"})
    assert [(f.target, f.content, f.mode, f.origin) for f in spec.files] == [
        ("/b", "x", 0o440, ""),
        ("/a", "select 1", 0o444, "jobs.d/data/query.sql"),
    ]


def repository(
    url: str = "https://git.example.org/c", ref: str = "main", target: str = "/c", subpath: str = "a"
) -> str:
    return f"repositories: [{{url: '{url}', ref: {ref}, target: {target}, subpath: {subpath}}}]"


WRONG = {
    "a schedule is missing": ("schedule: ", "/schedule", "value-missing"),
    "no usable cron line": ("schedule: '75 * * * *'", "/schedule", None),
    "an expression that never fires": ("schedule: '0 0 30 2 *'", "/schedule", None),
    "a schedule of two kinds": ("schedule: {cron: '* * * * *', every: 5m}", "/schedule", "schedule-invalid"),
    "a schedule of no kind": ("schedule: {timezone: UTC}", "/schedule", "schedule-invalid"),
    "an unknown zone": ("schedule: '* * * * *'\ntimezone: Europe/Berln", "/timezone", "timezone-unknown"),
    "an unknown zone in the schedule": (
        "schedule: {cron: '* * * * *', timezone: X/Y}",
        "/schedule/timezone",
        "timezone-unknown",
    ),
    "two zones": (
        "schedule: {cron: '5 4 * * *', timezone: Asia/Tokyo}\ntimezone: UTC",
        "/timezone",
        "said-twice",
    ),
    "a queue where nothing waits": ("queue: {limit: 3}", "/queue", "queue-unused"),
    "an endless wait of nothing": ("concurrency_policy: Queue\nqueue: {timeout: 0s}", "/queue/timeout", None),
    "every slot under Forbid": ("catch_up: all", "/catch_up", "catch-up-conflict"),
    "every slot under Replace": ("catch_up: all\nconcurrency_policy: Replace", "/catch_up", "catch-up-conflict"),
    "a limit of nothing": ("catch_up_limit: 3", "/catch_up_limit", "catch-up-limit-unused"),
    "a priority beyond all": ("priority: 1000", "/priority", None),
    "an open quote": ("command: echo 'a", "/command", "quotes-open"),
    "a script beside a command": ("script: a\ncommand: b", "/script", "script-and-command"),
    "a script beside an entrypoint": ("script: a\nentrypoint: b", "/script", "script-and-command"),
    "an image with capital letters": ("image: Busybox", "/image", "image-invalid"),
    "an image id": ("image: " + "a" * 64, "/image", "image-invalid"),
    "an image of an id's digest alone": ("image: sha256:" + "a" * 64, "/image", "image-invalid"),
    "an empty part in an image": ("image: a//b", "/image", "image-invalid"),
    "a reserved variable": ("environment: {RECONCILER_SLOT: x}", "/environment/RECONCILER_SLOT", "variable-reserved"),
    "a variable twice in a list": ("environment: [A=1, A=2]", "/environment/1", "duplicate-key"),
    "a variable from the host": ("environment: [A]", "/environment/0", "value-invalid"),
    "a reserved label": ("labels: {io.reconciler.job: x}", "/labels/io.reconciler.job", "label-reserved"),
    "outputs in a place of the system": ("outputs: /proc/x", "/outputs", "target-invalid"),
    "code by a helper": (repository("ext::sh -c x"), "/repositories/0/url", "protocol-not-allowed"),
    "code with a password": (repository("https://a:b@git.example.org/c"), "/repositories/0/url", "url-password"),
    "code by a URL that is an option": (repository("--upload-pack=x"), "/repositories/0/url", "url-invalid"),
    "code by a host that is an option": (repository("ssh://-oProxyCommand=x/y"), "/repositories/0/url", "url-invalid"),
    "code over plain http": (repository("http://git.example.org/c"), "/repositories/0/url", "protocol-not-allowed"),
    "code from plain files": (repository("dir:/srv/c"), "/repositories/0/url", "url-invalid"),
    "code by a relative path": (repository("../c"), "/repositories/0/url", "url-invalid"),
    "code of several refs": (repository(ref="'+refs/heads/*:refs/x'"), "/repositories/0/ref", "ref-invalid"),
    "code of a ref that is an option": (repository(ref="--exec"), "/repositories/0/ref", "ref-invalid"),
    "code in a place of the system": (repository(target="/proc/x"), "/repositories/0/target", "target-invalid"),
    "code of a part that climbs": (repository(subpath="a/../.."), "/repositories/0/subpath", "subpath-invalid"),
    "code of git's own part": (repository(subpath="a/.GIT"), "/repositories/0/subpath", "subpath-invalid"),
    "code where a file is": (
        repository(target="/x") + "\nfiles: {/x: {content: y}}",
        "/repositories/0/target",
        "target-twice",
    ),
    "outputs at the root": ("outputs: /", "/outputs", "target-invalid"),
    "outputs that climb": ("outputs: /a/../b", "/outputs", "target-invalid"),
    "outputs where a volume is": ("outputs: /a\nvolumes: ['v:/a']", "/outputs", "target-twice"),
    "a container kept for ever": ("hold_on_failure: 52w", "/hold_on_failure", "value-out-of-range"),
    "too little memory": ("resources: {memory: 4m}", "/resources/memory", "value-out-of-range"),
    "an unknown size": ("resources: {size: smal}", "/resources/size", "size-unknown"),
    "a timeout of nothing": ("timeout: 0s", "/timeout", "value-out-of-range"),
    "a timeout of a century": ("timeout: 36500d", "/timeout", "value-invalid"),
    "a longest wait below the first": (
        "retries: {limit: 1, delay: 1m, max_delay: 1s}",
        "/retries/max_delay",
        "value-out-of-range",
    ),
    "no network and another": ("networks: [none, default]", "/networks", "network-none"),
    "a volume over the root": ("volumes: ['a:/']", "/volumes/0", "target-invalid"),
    "a volume over /proc": ("volumes: ['a:/proc/x']", "/volumes/0", "target-invalid"),
    "a volume over secrets": ("volumes: ['a:/run/secrets']", "/volumes/0", "target-invalid"),
    "a target that climbs": ("volumes: ['a:/x/../y']", "/volumes/0", "target-invalid"),
    "an option of SELinux": ("volumes: ['a:/x:z']", "/volumes/0", "volume-option"),
    "an odd volume name": ("volumes: ['a b:/x']", "/volumes/0", "volume-name"),
    "a relative bind": ("volumes: ['./a:/x']", "/volumes/0", "bind-source"),
    "a home bind": ("volumes: ['~/a:/x']", "/volumes/0", "bind-source"),
    "a bind that climbs": ("volumes: ['/srv/../etc:/x']", "/volumes/0", "bind-source"),
    "a tmpfs with a source": ("volumes: [{type: tmpfs, source: a, target: /x}]", "/volumes/0/source", "volume-option"),
    "a volume without a source": ("volumes: [{target: /x}]", "/volumes/0", "field-missing"),
    "an external bind": (
        "volumes: [{type: bind, source: /a, target: /x, external: true}]",
        "/volumes/0/external",
        "volume-option",
    ),
    "options of another kind": ("volumes: [{source: a, target: /x, tmpfs: {}}]", "/volumes/0/tmpfs", "volume-option"),
    "two mounts at one target": ("volumes: ['a:/x', 'b:/x']", "/volumes/1", "target-twice"),
    "a file where a volume is": ("volumes: ['a:/x']\nfiles: {/x: {content: y}}", "/files/~1x", "target-twice"),
    "a file of two sources": ("files: {/x: {content: a, from: b}}", "/files/~1x", "file-source"),
    "a file of no source": ("files: {/x: {mode: 0444}}", "/files/~1x", "file-source"),
    "a file from outside": ("files: {/x: {from: ../../../etc/passwd}}", "/files/~1x/from", "from-outside"),
    "a file by absolute path": ("files: {/x: {from: /etc/passwd}}", "/files/~1x/from", "from-outside"),
    "a file that is not there": ("files: {/x: {from: nothing.sql}}", "/files/~1x/from", "from-missing"),
    "another's name": ("name: b", "/name", "name-disagrees"),
    "another's owner": ("owner: group/ml", "/owner", "owner-disagrees"),
    "moved from itself": ("moved_from: a", "/moved_from", "moved-from-itself"),
}


@pytest.mark.parametrize(("text", "pointer", "code"), WRONG.values(), ids=WRONG)
def test_refused(text: str, pointer: str, code: str | None) -> None:
    found = [p for p in problems(text) if p.is_error and p.pointer == pointer]
    assert found, problems(text)
    assert code is None or code in [p.code for p in found]
    assert all(p.line >= 1 and p.column >= 1 and p.path == "a.yaml" for p in found)


def test_a_missing_schedule_and_image_are_said_with_what_to_write() -> None:
    from .kit import Repo

    state = Repo({"a.yaml": "description: x\n"}).desire()
    assert [(p.code, bool(p.hint)) for p in state.problems] == [
        ("schedule-missing", True),
        ("image-missing", True),
    ] or [p.code for p in state.problems] == ["image-missing", "schedule-missing"]


WARNED = {
    "a pipe without a shell": ("command: a | b", "not-a-shell"),
    "two commands without a shell": ("command: a && b", "not-a-shell"),
    "a script for another interpreter": ("script: |\n  #!/usr/bin/env python3\n  print(1)\n", "shebang"),
    "a cron line that dialects read differently": ("schedule: '0 0 */2 * mon'", None),
}


@pytest.mark.parametrize(("text", "code"), WARNED.values(), ids=WARNED)
def test_warned_but_accepted(text: str, code: str | None) -> None:
    found = problems(text)
    assert {p.severity for p in found} == {"warning"}
    assert code in (None, found[0].code)
    assert job(text)


def test_a_shell_script_may_name_its_shell() -> None:
    assert problems("script: |\n  #!/bin/sh\n  true\n") == []
