"""Promise: whatever an imported file holds, importing ends soon with valid jobs or notes, never with an exception."""

import random
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.importers.formats import convert
from reconciler.importers.model import FORMATS, MAX_BYTES, Options
from tests.unit.importers.kit import check

QUICK = 10.0  # seconds of CPU for the worst file of 256 KiB
SEEDS = {
    "saturn": """\
schema_version: "2025.10.01"
type: job
spec:
  name: train
  image: {owner: a, name: b, version: "1"}
  instance_type: large
  environment_variables: {A: "1", TOKEN: x}
  extra_packages: {pip: {install: a b}, conda: c}
  git_repositories: [{url: "git@x.org:a/b.git", path: /w, reference: main}]
  secrets: [{name: s, location: S, attachment_type: environment_variable}]
  shared_folders: [{owner: o, name: n, path: /p}]
  config_files: {a: {content: b, mode: "0644"}}
  command: "a | b"
  scale: 2
  schedule: "*/5 * * * *"
  concurrency_policy: Allow
""",
    "kubernetes": """\
apiVersion: batch/v1
kind: CronJob
metadata: {name: x, labels: {a: b}, annotations: {description: d}}
spec:
  schedule: "30 2 */2 * 1"
  timeZone: Europe/Berlin
  startingDeadlineSeconds: 600
  jobTemplate:
    spec:
      completions: 4
      parallelism: 2
      template:
        spec:
          securityContext: {runAsUser: 5}
          volumes: [{name: v, emptyDir: {sizeLimit: 1Gi}}, {name: c, configMap: {name: c, items: [{key: k, path: p}]}}]
          containers:
            - image: busybox
              args: ["$(A)"]
              env: [{name: A, value: b}, {name: B, valueFrom: {secretKeyRef: {name: s, key: k}}}]
              resources: {limits: {cpu: 500m, memory: 1Gi}}
              volumeMounts: [{name: v, mountPath: /v}, {name: c, mountPath: /c, subPath: p}]
""",
    "crontab": "SHELL=/bin/bash\nCRON_TZ=UTC\nMAILTO=a\n# d\n"
               "17 * 1-7 * mon root cd / && run-parts x%in%put\n@daily root a\n0~9 * * * * b c\n",
    "ofelia": '[global]\nx=1\n[job-run "a b"]\n'
              'schedule = @every 1h\nimage = a:1\nvolume = /a:/b\nenvironment = ["A=1"]\n'
              '[job-exec "c"]\nschedule = 0 0 2 * * *\ncontainer = d\ncommand = "e f" ; g\n',
    "compose": """\
x-a: &a {environment: &e {A: "1"}}
services:
  job:
    <<: *a
    image: "a:${T:-1}"
    labels: ["schedule=@daily", "ofelia.job-exec.x.schedule=@hourly", "a=${B}"]
    environment: {<<: *e, C: $D}
    volumes: ["v:/v", {type: tmpfs, target: /t, tmpfs: {size: 1m}}, "./a:/a"]
    configs: [{source: c, target: /c, mode: 0444}]
    networks: {n: {}}
    deploy: {resources: {limits: {cpus: "1", memory: 1g}}, labels: {swarm.cronjob.replicas: "2"}}
configs: {c: {content: x}}
networks: {n: {external: true}}
volumes: {v: {name: w}}
""",
}  # fmt: skip
PIECES = ["", "\n", " ", "\t", ":", ": ", "- ", "[", "]", "{", "}", "&a", "*a", "<<: ", "!x ", "'", '"', "\\", "#",
          "%", "$", "${", "~",
          "null", "true", "-1", "0", "1e999", "9" * 40, "@every 1h", "@reboot", "* * * * *", "\r\n", "\x00",
          "\ud83d".encode("utf-8", "surrogatepass").decode("latin-1"),
          "é", "\u202e", "/", "..", "/proc", "RECONCILER_X", "a" * 300, "=", "[job-run x]", "---\n", "schedule",
          "image", "name"]  # fmt: skip


def whole(format: str, data: bytes) -> None:
    begin = time.process_time()
    found = convert(format, data, "x/y.txt", Options())
    assert time.process_time() - begin < QUICK
    check(found)
    assert found.files or found.notes


def test_each_seed_gives_jobs() -> None:
    for format in FORMATS:
        assert convert(format, SEEDS[format].encode(), "x", Options()).files, format


@pytest.mark.parametrize("format", FORMATS)
def test_line_ends_and_a_byte_order_mark_do_not_matter(format: str) -> None:
    plain = convert(format, SEEDS[format].encode(), "x", Options())
    other = convert(format, b"\xef\xbb\xbf" + SEEDS[format].replace("\n", "\r\n").encode(), "x", Options())
    assert [(file.name, file.text) for file in other.files] == [(file.name, file.text) for file in plain.files]


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_mutation_of_a_file(format: str, data: st.DataObject) -> None:
    """Pieces replaced, cut, doubled and swapped, at a few places at once."""
    text = SEEDS[format]
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, max(len(text) - 1, 0)))
        end = min(start + data.draw(st.sampled_from([0, 1, 3, 8, 30])), len(text))
        text = text[:start] + data.draw(st.sampled_from([*PIECES, text[start:end] * 2])) + text[end:]
    whole(format, text.encode("utf-8", "replace"))


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_value_of_any_field(format: str, data: st.DataObject) -> None:
    """One value of the seed becomes another kind of value."""
    lines = SEEDS[format].splitlines()
    number = data.draw(st.integers(0, len(lines) - 1))
    mark = next((mark for mark in (": ", " = ", "=") if mark in lines[number]), ": ")
    key = lines[number].partition(mark)[0]
    value = data.draw(
        st.sampled_from([*PIECES, "[1, [2]]", "{a: {b: c}}", "[]", "{}", "[{}]", "[null]", "''", "{name: [x]}"])
    )
    lines[number] = f"{key}{mark}{value}"
    whole(format, "\n".join(lines).encode("utf-8", "replace"))


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes(format: str, data: bytes) -> None:
    whole(format, data)


def large() -> dict[str, tuple[str, str]]:
    """Files as large as they may be, each against one way of reading."""
    size = MAX_BYTES - 200
    names = random.Random(5)
    return {
        "blanks in a section": ("ofelia", "[job" + " " * size),
        "blanks in a variable": ("crontab", "A = x" + " " * size + "y"),
        "quotes and comments": ("ofelia", '[job-run "a"]\nschedule = @daily\ncommand = "' + " ; x" * (size // 5)),
        "percents": ("crontab", ("* * * * * a" + "%x" * 15_000 + "\n") * 8),
        "quotes": ("crontab", ("* * * * * " + "'" * 31_000 + "\n") * 8),
        "one word": ("crontab", "x" * size),
        "many lines": ("crontab", "* * * * * a\n" * (size // 12)),
        "dollars": ("compose",
                    "services: {a: {image: x, labels: {schedule: '@daily'}, command: '" + "${a-" * (size // 5) + "'}}"),
        "slashes": ("saturn", "job: {command: x}\ngit_repositories: [{url: '" + "a" * size + ":'}]"),
        "blanks in a schedule": ("kubernetes", f"kind: CronJob\nspec: {{schedule: '*{' ' * size}*'}}"),
        "many variables": ("compose", "services: {a: {image: x, labels: {schedule: '@daily'}, environment: {"
                           + ", ".join(f"A{names.randrange(10**9)}: b" for _ in range(9_000)) + "}}}"),
        "many services": ("compose", "services:\n"
                          + "".join(f"  s{n}: {{image: x, labels: {{cron: '@daily'}}}}\n" for n in range(2500))),
        "unknown fields": ("saturn", "job: {command: x}\n" + "".join(f"k{n}: x\n" for n in range(9_900))),
        "a long command": ("saturn", "job: {command: \"" + "a; " * (size // 3) + "\"}"),
    }  # fmt: skip


LARGE = large()


@pytest.mark.parametrize("name", LARGE)
def test_a_file_as_large_as_may_be_ends_soon(name: str) -> None:
    format, text = LARGE[name]
    whole(format, text.encode()[:MAX_BYTES])
