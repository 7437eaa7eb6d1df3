"""Rule S3: canaries of every store and both deliveries are said aloud by jobs in every form, and are found nowhere."""

import base64
import json
import os
import secrets
import shutil
import urllib.parse
from collections.abc import Iterator

import pyrage
import pytest

from tests.kit.docker_engine import clean_up
from tests.kit.folders import reachable_folder
from tests.kit.service import ServiceChild, eventually, service_child
from tests.kit.standing import api
from tests.lab.dockerd import Handle
from tests.lab.gitrepo import GitRepo
from tests.lab.images import BUSYBOX, ensure_busybox
from tests.real.test_secrets import memory_of

CANARIES = {store: f"c4n4ry-{store}/p+ss w&rd'{secrets.token_hex(6)}\"ab" for store in ("dir", "cred", "age", "env")}
KEY = "\n".join(
    ["-----BEGIN KEY-----", *(f"c4n4ryline{n}{secrets.token_hex(16)}" for n in range(4)), "-----END KEY-----"]
)

# Says what it was given as it is, encoded, cut by the engine's frames, traced by the shell, and one byte at a time.
SAYS = """schedule: manual
image: {image}
user: "1234"
secrets: [dir, cred, age, env, key, {{name: dir, env: TOKEN}}]
script: |
  at="${{RECONCILER_FILES-}}/run/secrets"
  for name in dir cred age env key; do
    value="$(cat "$at/$name")"
    echo "plain $value"; echo "plain $value" >&2
    base64 "$at/$name"; printf 'user:%s' "$value" | base64; base64 "$at/$name" | tr -d '\\n'; echo
    od -An -v -tx1 "$at/$name" | tr -d ' \\n'; echo
    od -An -v -tx1 "$at/$name" | tr -d ' \\n' | tr a-f A-F; echo
    printf '%s' "$value" | sed 's/ /%20/g; s/&/%26/g; s/+/%2B/g; s,/,%2F,g; s/'"'"'/%27/g; s/"/%22/g'; echo
    printf '%s' "$value" | sed 's/"/\\\\"/g'; echo
    rev "$at/$name" || true; echo
    head -c 16380 /dev/zero | tr '\\0' x; echo "$value"
    head -c 65530 /dev/zero | tr '\\0' y; echo "$value"
    head -c 65500 /dev/zero | tr '\\0' z; base64 "$at/$name" | tr -d '\\n'; echo
    printf '%s' "$value" | while IFS= read -r -n1 byte 2>/dev/null; do printf '%s' "$byte"; done; echo
  done
  (set -x; : "$TOKEN"; : "$value")
  env | grep TOKEN
  {then}
"""


def needles() -> dict[str, bytes]:
    """What nobody may find: not by the code under test."""
    found = {}
    for store, text in {**CANARIES, "key": KEY.splitlines()[2]}.items():
        value = text.encode()
        encoded = base64.b64encode(value)
        found |= {
            f"{store}: as it is": value, f"{store}: its middle": value[3:-4], f"{store}: hex": value.hex().encode(),
            f"{store}: HEX": value.hex().upper().encode(), f"{store}: base64": encoded[:-4],
            f"{store}: base64 after one": base64.b64encode(b"u:pq" + value)[8:-4],
            f"{store}: base64 after two": base64.b64encode(b"user:" + value)[8:-4],
            f"{store}: percent": urllib.parse.quote(text, safe="").encode(),
            f"{store}: JSON": json.dumps(text)[1:-1].encode(), f"{store}: backwards": value[::-1],
        }  # fmt: skip
    return found


@pytest.fixture(params=["process", pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.timeout(300)])])
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceChild]:
    instance, host = f"t{secrets.token_hex(4)}", ""
    if request.param == "docker":
        handle: Handle = request.getfixturevalue("private_docker")
        host = handle.docker_host
        ensure_busybox(host)
    with reachable_folder() as folder:
        for name in ("store", "credentials"):
            (folder / name).mkdir(mode=0o700)
        (folder / "store/dir").write_text(CANARIES["dir"])
        (folder / "store/key").write_text(KEY)
        (folder / "credentials/cred").write_text(CANARIES["cred"])
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder / "credentials"))
        monkeypatch.setenv("T_SECRET_ENV", CANARIES["env"])
        identity = pyrage.x25519.Identity.generate()
        (folder / "age.key").write_text(f"{identity}\n")
        (folder / "age.key").chmod(0o400)
        repo = GitRepo(folder / "jobs")
        image = BUSYBOX if host else "none"
        repo.commit({
            "jobs.d/says.yaml": SAYS.format(image=image, then="true"),
            "jobs.d/fails.yaml": SAYS.format(image=image, then='echo "$TOKEN"; exit 7'),
            "jobs.d/sleeps.yaml": SAYS.format(image=image, then="sleep 600"),
            "jobs.d/secrets/age.age": pyrage.encrypt(CANARIES["age"].encode(), [identity.to_public()]),
            "jobs.d/broken.yaml": f"schedule: manual\nimage: {image}\nsecrets: [none]\n",
        }, "canaries")  # fmt: skip
        config = (
            f"secret_stores: [{{type: directory, path: {folder}/store}}, {{type: credentials}},"
            f" {{type: age, path: jobs.d/secrets, identity_file: {folder}/age.key}},"
            " {type: environment, prefix: T_SECRET_}]\npolicy: {secrets_in_env: true}\n"
        )
        try:
            with service_child(folder, repo.path, request.param, instance=instance, docker_host=host, config=config
                               ) as made:  # fmt: skip
                made.start("--verbose").reachable()
                eventually(lambda: len(made.standing()) == 3, "the jobs stand")
                place = memory_of(made)
                yield made
        finally:
            if host:
                clean_up(host, instance)
            shutil.rmtree(place, ignore_errors=True)


def files_of(service: ServiceChild, running: str = "") -> Iterator[tuple[str, bytes]]:
    """All that the service has written. What an engine keeps of a run that goes on is that engine's."""
    yield "log", service.log_path.read_bytes()
    for path in service.state_dir.rglob("*"):
        inside = running and path.is_relative_to(service.state_dir / "process") and running in str(path)
        if path.is_file() and not inside:
            yield str(path), path.read_bytes()


def answers(service: ServiceChild, run_id: str) -> Iterator[tuple[str, bytes]]:
    """What every command says."""
    commands = [("plan",), ("plan", "-o", "json"), ("validate", str(service.folder / "jobs")), ("jobs", "--all"),
                ("jobs", "-o", "json"), ("check",), ("doctor",), ("runs", "says"), ("why", "fails")]  # fmt: skip
    for job in ("says", "fails", "sleeps"):
        commands += [("show", job), ("show", job, "-o", "json"), ("explain", job), ("logs", job)]
    for words in (*commands, ("logs", run_id)):
        done = service.run(*words)
        yield " ".join(words), (done.stdout + done.stderr).encode()
    yield "status", json.dumps(service.status()).encode()


def assert_nowhere(places: Iterator[tuple[str, bytes]]) -> int:
    looked = 0
    for place, data in places:
        looked += 1
        found = [name for name, needle in needles().items() if needle in data]
        assert found == [], (place, found, data[:2000])
    return looked


def test_S3_canaries_are_said_in_every_form_and_found_nowhere(service: ServiceChild) -> None:
    assert service.run("run", "says", "--wait").returncode == 0
    assert service.run("run", "fails", "--wait").returncode == 7
    service.cli("run", "sleeps")
    running = service.await_run("sleeps")
    eventually(lambda: "TOKEN" in service.run("logs", running.run_id).stdout, "it has said all")
    service.kill()
    service.start("--verbose").reachable()
    log = service.log_of(service.runs("says")[-1])
    assert log.count("plain ***") >= 10 and "TOKEN=***" in log, log[:2000]
    assert log.count("x***\n") == 5 == log.count("y***\n"), "across the engine's cuts"
    assert assert_nowhere(answers(service, running.run_id)) > 20
    assert assert_nowhere(files_of(service, running.run_id)) > 5
    if service.docker_host:
        with api(service.docker_host) as client:
            ours = [row for row in client.containers(all=True) if row["Names"][0].startswith(f"/{service.instance}.")]
            standing = [client.inspect_container(row["Id"]) for row in ours if row["State"] == "created"]
        assert len(standing) == 3
        assert_nowhere((str(each["Name"]), json.dumps(each).encode()) for each in standing)
    service.cli("stop", "sleeps")
    eventually(lambda: not service.open_runs(), "all runs are discarded")
    assert_nowhere(files_of(service))
    assert not any(memory_of(service).iterdir())
    assert os.environ["T_SECRET_ENV"] == CANARIES["env"], "the test itself knows it"
