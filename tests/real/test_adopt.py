"""Promise: a real container becomes a job file that the validator takes, and is itself left alone."""

import subprocess
import sys
from pathlib import Path

import docker
import pytest

from tests.kit.service import ROOT
from tests.lab.images import BUSYBOX, ensure_busybox


def cli(*words: str, host: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    config = cwd / "service.yaml"
    config.write_text(f"docker_host: {host}\nstate_dir: {cwd / 'state'}\n")
    argv = [sys.executable, "-m", "reconciler", words[0], "--config", str(config), *words[1:]]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=cwd, env={"PYTHONPATH": str(ROOT),
                          "PATH": "/usr/bin:/bin"}, check=False)  # fmt: skip


@pytest.mark.timeout(120)
def test_a_running_container_becomes_a_job_file(docker_host: str, tmp_path: Path) -> None:
    ensure_busybox(docker_host)
    client = docker.APIClient(base_url=docker_host, version="1.41", timeout=30)
    made = client.create_container(
        BUSYBOX, ["sh", "-c", "echo hi; sleep 300"], name="to-be-adopted", user="65534", environment={"MODE": "x"},
        host_config=client.create_host_config(mem_limit="64m", network_mode="none"),
    )["Id"]  # fmt: skip
    try:
        client.start(made)
        done = cli("adopt", "to-be-adopted", "ops/hello", "--into", "jobs.d", host=docker_host, cwd=tmp_path)
        assert done.returncode == 0, done
        text = (tmp_path / "jobs.d/ops/hello.yaml").read_text()
        for line in (f"image: {BUSYBOX}", "user: 65534", "networks: [none]", "MODE: x", "memory: 67108864"):
            assert line in text, text
        assert cli("validate", "jobs.d", host=docker_host, cwd=tmp_path).returncode == 0
        again = cli("adopt", "to-be-adopted", "ops/hello", "--into", "jobs.d", host=docker_host, cwd=tmp_path)
        assert again.returncode == 2 and "[file-exists]" in again.stderr
        absent = cli("adopt", "no-such-container", "ops/x", "--into", "jobs.d", host=docker_host, cwd=tmp_path)
        assert absent.returncode == 1 and "[engine-absent]" in absent.stderr, absent
        assert client.inspect_container(made)["State"]["Running"]
    finally:
        client.remove_container(made, force=True)
        client.close()
