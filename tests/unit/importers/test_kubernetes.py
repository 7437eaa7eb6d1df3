"""Promise: a CronJob becomes a job that fires as it did; a field is kept or noted, and what is needed suspends it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.importers.kubernetes import TABLES
from reconciler.model.job import Schedule, ScheduleKind
from reconciler.model.service import Policy, ServiceConfig
from reconciler.schedule.cron import fires
from tests.unit.importers.kit import by_name, codes, note, only, run

HEAD = "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: backup}\n"


def cronjob(spec: str = "", job: str = "", pod: str = "", container: str = "", schedule: str = "0 2 * * *") -> str:
    """Each is flow style, without the braces."""
    inner = f"name: c, image: 'busybox:1.36'{', ' + container if container else ''}"
    template = f"spec: {{containers: [{{{inner}}}]{', ' + pod if pod else ''}}}"
    return (
        HEAD + f"spec: {{schedule: '{schedule}'{', ' + spec if spec else ''}, jobTemplate: {{spec: "
        f"{{template: {{{template}}}{', ' + job if job else ''}}}}}}}\n"
    )


def test_what_is_not_said_is_written_as_it_was() -> None:
    found = run("kubernetes", cronjob())
    assert only(found) == {
        "schedule": "0 2 * * *", "timezone": "UTC", "image": "busybox:1.36", "concurrency_policy": "Allow",
        "retries": {"limit": 6, "delay": "10s", "max_delay": "6m"},
    }  # fmt: skip
    assert codes(found) == {"zone", "written-out", "limit"}


KEPT: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({"spec": "timeZone: Europe/Berlin"}, {"timezone": "Europe/Berlin"}),
    ({"spec": "concurrencyPolicy: Replace"}, {"concurrency_policy": "Replace"}),
    ({"spec": "suspend: true"}, {"suspend": True}),
    ({"spec": "suspend: false"}, {"suspend": None}),
    ({"spec": "startingDeadlineSeconds: 600"}, {"start_deadline": "10m"}),
    ({"spec": "successfulJobsHistoryLimit: 3, failedJobsHistoryLimit: 1"},
     {"history": {"keep_success": 3, "keep_failed": 1}}),
    ({"job": "ttlSecondsAfterFinished: 86400"}, {"history": {"keep_for": "24h"}}),
    ({"job": "backoffLimit: 0"}, {"retries": 0}),
    ({"job": "backoffLimit: 2"}, {"retries": {"limit": 2, "delay": "10s", "max_delay": "6m"}}),
    ({"job": "activeDeadlineSeconds: 3600"}, {"timeout": "1h"}),
    ({"job": "completions: 4, parallelism: 2, completionMode: Indexed"},
     {"strategy": {"parallelism": 4, "max_parallel": 2}}),
    ({"job": "parallelism: 3"}, {"strategy": {"parallelism": 3}}),
    ({"job": "completions: 1, parallelism: 1"}, {"strategy": None}),
    ({"job": "parallelism: 0"}, {"suspend": True}),
    ({"pod": "activeDeadlineSeconds: 60"}, {"timeout": "1m"}),
    ({"pod": "terminationGracePeriodSeconds: 120"}, {"stop_grace_period": "2m"}),
    ({"pod": "securityContext: {runAsUser: 999, runAsGroup: 998}"}, {"user": "999:998"}),
    ({"pod": "securityContext: {runAsUser: 1}", "container": "securityContext: {runAsUser: 2}"}, {"user": "2"}),
    ({"container": "command: [/bin/sh, -c], args: [echo hi]"},
     {"entrypoint": ["/bin/sh", "-c"], "command": ["echo hi"]}),
    ({"container": "args: ['$(A)/x', '$$(A)', '$(B)'], env: [{name: A, value: a}]"},
     {"command": ["a/x", "$(A)", "$(B)"]}),
    ({"container": "env: [{name: A, value: NO}, {name: B, value: '$(A)!'}, {name: C}]"},
     {"environment": {"A": "NO", "B": "NO!", "C": ""}}),
    ({"container": "workingDir: /work"}, {"working_dir": "/work"}),
    ({"container": "imagePullPolicy: Always"}, {"pull_policy": "always"}),
    ({"container": "image: busybox"}, {"pull_policy": "always", "image": "busybox"}),
    ({"container": "image: 'busybox:latest', imagePullPolicy: IfNotPresent"}, {"pull_policy": "missing"}),
    ({"container": "resources: {limits: {cpu: 500m, memory: 1.5Gi}}"}, {"resources": {"cpus": 0.5, "memory": "1536m"}}),
    ({"container": "resources: {limits: {cpu: 2, memory: 1G}}"}, {"resources": {"cpus": 2, "memory": "1000000000"}}),
    ({"container": "securityContext: {readOnlyRootFilesystem: true}"}, {"read_only": True}),
    ({"container": "volumeMounts: [{name: v, mountPath: /s}]",
      "pod": "volumes: [{name: v, emptyDir: {sizeLimit: 1Gi}}]"},
     {"volumes": [{"type": "tmpfs", "target": "/s", "tmpfs": {"size": "1g"}}]}),
    ({"container": "volumeMounts: [{name: v, mountPath: /d/, readOnly: true}]",
      "pod": "volumes: [{name: v, persistentVolumeClaim: {claimName: shop-data}}]"},
     {"volumes": [{"source": "shop-data", "target": "/d", "read_only": True}], "suspend": True}),
]  # fmt: skip


@pytest.mark.parametrize(("given", "kept"), KEPT, ids=[str(row[0]) for row in KEPT])
def test_a_field_is_kept(given: dict[str, str], kept: dict[str, Any]) -> None:
    found = only(run("kubernetes", cronjob(**given)))
    assert {key: found.get(key) for key in kept} == kept


NEEDED = [
    ({"pod": "serviceAccountName: robot"}, "missing-part", "no access to a cluster"),
    ({"pod": "initContainers: [{name: wait, image: b}]"}, "missing-part", '"wait"'),
    ({"pod": "hostNetwork: true"}, "missing-part", "hostNetwork"),
    ({"container": "securityContext: {privileged: true}"}, "missing-part", "privileged"),
    ({"container": "env: [{name: P, valueFrom: {secretKeyRef: {name: db, key: pw}}}]"}, "secret",
     '"pw" of the secret "db"'),
    ({"container": "envFrom: [{secretRef: {name: db}}]"}, "secret", '"db"'),
    ({"container": "env: [{name: N, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]"}, "unresolved",
     "metadata.name"),
    ({"container": "env: [{name: N, valueFrom: {configMapKeyRef: {name: c, key: k}}}]"}, "unresolved", '"k"'),
    ({"container": "envFrom: [{configMapRef: {name: c}}]"}, "unresolved", '"c"'),
    ({"container": "args: ['$(P)'], env: [{name: P, valueFrom: {secretKeyRef: {name: db, key: pw}}}]"}, "unresolved",
     "$(P)"),
    ({"container": "volumeMounts: [{name: v, mountPath: /s}]", "pod": "volumes: [{name: v, secret: {secretName: s}}]"},
     "secret", '"s"'),
    ({"container": "volumeMounts: [{name: v, mountPath: /s}]",
      "pod": "volumes: [{name: v, nfs: {server: x, path: /}}]"},
     "missing-part", "nfs"),
    ({"container": "volumeMounts: [{name: v, mountPath: /x}]", "pod": "volumes: [{name: v, hostPath: {path: /srv/x}}]"},
     "refused-part", "source: /srv/x"),
    ({"container": "volumeMounts: [{name: other, mountPath: /x}]"}, "wrong-value", '"other"'),
    ({"spec": "concurrencyPolicy: Maybe"}, "wrong-value", "Allow, Forbid or Replace"),
    ({"spec": "startingDeadlineSeconds: soon"}, "wrong-value", "a whole number"),
    ({"spec": "timeZone: Mars/Olympus"}, "refused-part", "timezone-unknown"),
    ({"job": "backoffLimit: 101"}, "refused-part", "retries"),
    ({"schedule": "61 * * * *"}, "by-hand", "schedule-invalid"),
    ({"schedule": "@reboot"}, "by-hand", "@reboot"),
    ({"schedule": "@every soon"}, "by-hand", "1h30m"),
    ({"container": "image: 'no such image'"}, "refused-part", "image"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "code", "words"), NEEDED, ids=[str(row[0]) for row in NEEDED])
def test_what_the_job_leaned_on_is_needed(given: dict[str, str], code: str, words: str) -> None:
    found = run("kubernetes", cronjob(**given))
    assert any(n.code == code and words in n.message for n in found.notes), found.notes
    fields = only(found)
    assert fields.get("suspend") is True or fields["schedule"] == "manual"


@pytest.mark.parametrize(
    ("given", "words"),
    [({"pod": "nodeSelector: {a: b}"}, "there is one host"), ({"pod": "imagePullSecrets: [{name: x}]"}, "registries"),
     ({"container": "ports: [{containerPort: 80}]"}, "serves nobody"),
     ({"container": "livenessProbe: {a: b}"}, "exit code"),
     ({"container": "resources: {requests: {cpu: 1}}"}, "nothing is reserved"),
     ({"spec": "frobnicate: 3"}, "frobnicate"),
     ({"job": "template: {metadata: {labels: {a: b}}, spec: {containers: [{image: a}]}}"}, "metadata.labels"),
     ({"job": "podFailurePolicy: {rules: []}, backoffLimitPerIndex: 1"}, "`retries` is per cell")],
    ids=lambda value: str(value),
)  # fmt: skip
def test_what_it_can_do_without_is_noted_and_the_job_fires(given: dict[str, str], words: str) -> None:
    found = run("kubernetes", cronjob(**given))
    assert any(words in n.message and n.kind.value == "not kept" for n in found.notes), found.notes
    assert "suspend" not in only(found)


def test_a_bind_that_policy_allows_is_kept() -> None:
    text = cronjob(
        container="volumeMounts: [{name: v, mountPath: /x}]", pod="volumes: [{name: v, hostPath: {path: /srv/x}}]"
    )
    found = run("kubernetes", text, config=ServiceConfig(policy=Policy(binds=("/srv",))))
    assert only(found)["volumes"] == [{"type": "bind", "source": "/srv/x", "target": "/x"}]
    assert "policy decides" in note(found, "meaning").message
    assert "suspend" not in only(found)


def test_either_day_fires_as_it_did() -> None:
    """`*/2` is no star to robfig's parser: days of month and of week are either-or there."""
    line = only(run("kubernetes", cronjob(schedule="30 2 */10 * 1")))["schedule"]
    assert line == "30 2 1-31/10 * 1"
    days = fires(Schedule(ScheduleKind.CRON, line), datetime(2026, 11, 30, 12, tzinfo=UTC),
                 datetime(2026, 12, 31, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC), 40)  # fmt: skip
    assert [day.day for day in days] == [1, 7, 11, 14, 21, 28]
    assert only(run("kubernetes", cronjob(schedule="30 2 */10 * *")))["schedule"] == "30 2 */10 * *"


def test_a_zone_in_the_line() -> None:
    found = only(run("kubernetes", cronjob(schedule="CRON_TZ=Asia/Tokyo 0 6 * * ?")))
    assert (found["schedule"], found["timezone"]) == ("0 6 * * ?", "Asia/Tokyo")


def test_the_callers_zone_counts_where_the_file_has_none() -> None:
    assert only(run("kubernetes", cronjob(), timezone="Europe/Berlin"))["timezone"] == "Europe/Berlin"


CONFIG = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data: {LEVEL: debug, app.ini: "a = 1\\n", other: x}
---
"""


def test_a_config_map_of_the_same_file_is_taken_in() -> None:
    pod = "volumes: [{name: v, configMap: {name: c, defaultMode: 0555, items: [{key: app.ini, path: sub/app.ini}]}}]"
    container = ("env: [{name: L, valueFrom: {configMapKeyRef: {name: c, key: LEVEL}}}], "
                 "envFrom: [{prefix: P_, configMapRef: {name: c}}], "
                 "volumeMounts: [{name: v, mountPath: /etc/app}]")  # fmt: skip
    found = run("kubernetes", CONFIG + cronjob(pod=pod, container=container))
    fields = only(found)
    assert fields["files"] == {"/etc/app/sub/app.ini": {"content": "a = 1\n", "mode": "0555"}}
    assert fields["environment"] == {"L": "debug", "P_LEVEL": "debug", "P_app.ini": "a = 1\n", "P_other": "x"}
    assert "suspend" not in fields


def test_one_key_mounted_as_a_file() -> None:
    found = only(run("kubernetes", CONFIG + cronjob(
        pod="volumes: [{name: v, configMap: {name: c}}]",
        container="volumeMounts: [{name: v, mountPath: /etc/app.ini, subPath: app.ini}]",
    )))  # fmt: skip
    assert found["files"] == {"/etc/app.ini": {"content": "a = 1\n"}}


def test_several_documents_lists_and_old_versions() -> None:
    item = HEAD.replace("\n", ", ").replace("backup", "one") + "spec: {schedule: '@daily'}"
    text = (
        f"apiVersion: v1\nkind: List\nitems:\n  - {{{item}}}\n---\n"
        + cronjob().replace("batch/v1", "batch/v1beta1")
        + "---\nkind: Job\napiVersion: batch/v1\nmetadata: {generateName: by-hand-}\n"
        "spec: {template: {spec: {containers: "
        "[{image: 'a:1'}]}}}\n---\nkind: Service\napiVersion: v1\nmetadata: {name: web}\n---\n"
    )
    found = run("kubernetes", text)
    jobs = by_name(found)
    assert set(jobs) == {"one", "backup", "by-hand"}
    assert jobs["by-hand"]["schedule"] == "manual"
    assert (jobs["one"]["schedule"], jobs["one"]["suspend"]) == ("@daily", True)  # it has no image
    assert 'Service "web"' in note(found, "not-a-job").message


def test_names_of_two_namespaces_get_numbers_and_are_told() -> None:
    one = cronjob().replace("{name: backup}", "{name: Backup.DB, namespace: a}")
    found = run("kubernetes", one + "---\n" + one.replace("namespace: a", "namespace: b"), folder="web")
    assert [file.name for file in found.files] == ["web/backup-db", "web/backup-db-2"]
    assert [n.code for n in found.notes].count("name") == 2  # type: ignore[comparison-overlap]


def test_every_row_of_the_table_that_is_not_kept_is_noted() -> None:
    """Whatever stands in the field: something is said of it, or it says nothing of the job."""
    prefixes = {"spec.": "spec", "spec.jobTemplate.spec.": "job", "pod.": "pod", "container.": "container"}
    for table in TABLES:
        part = prefixes.get(table.prefix)
        for field in table.fields if part else ():
            if field.read is None and not field.silent:
                found = run("kubernetes", cronjob(**{str(part): f"{field.key}: {{a: b}}"}))
                assert any(f"{table.prefix}{field.key}" in n.message for n in found.notes), field.key
