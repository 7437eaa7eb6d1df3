"""A service on a private Engine with jobs to open shells in, sessions without a terminal, and what must not be left."""

import contextlib
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from reconciler.history.identity import read_identity
from tests.kit.docker_engine import clean_up
from tests.kit.folders import reachable_folder
from tests.kit.service import PATIENCE, ROOT, ServiceChild, eventually, service_child
from tests.kit.standing import run_containers
from tests.lab.gitrepo import GitRepo
from tests.lab.python_image import ensure_python


@contextlib.contextmanager
def dev_service(
    docker_host: str, jobs: Mapping[str, str], config: str = "", store: Mapping[str, str] | None = None
) -> Iterator[ServiceChild]:
    """`jobs`: files by name; `store`: secrets by name, in a store that is configured."""
    ensure_python(docker_host)
    instance = f"t{secrets.token_hex(4)}"
    with reachable_folder() as folder:
        place = folder / "store"
        place.mkdir(mode=0o700)
        for name, value in (store or {}).items():
            (place / name).write_text(value)
        config += f"\nsecret_stores: [{{type: directory, path: {place}}}]\n" if store else ""
        repo = GitRepo(folder / "jobs")
        repo.commit({f"jobs.d/{name}.yaml": text for name, text in jobs.items()}, "jobs")
        try:
            with service_child(folder, repo.path, "docker", instance=instance, docker_host=docker_host,
                               config=config) as made:  # fmt: skip
                made.start().reachable()
                eventually(lambda: len(made.standing()) == len(jobs), "the jobs stand")
                yield made
        finally:
            clean_up(docker_host, instance)


def piped(service: ServiceChild, commands: str, *words: str, job: str = "ml/train") -> subprocess.CompletedProcess[str]:
    """A session without a terminal."""
    return subprocess.run(service.argv("dev", job, *words), input=commands, capture_output=True, text=True,
                          timeout=2 * PATIENCE, cwd=ROOT)  # fmt: skip


def assert_nothing_left(service: ServiceChild) -> None:
    """Of no shell: neither container nor record, file or secret."""
    eventually(lambda: run_containers(service.docker_host, service.instance) == {}, "its container is gone")
    with service.ledger() as history:
        eventually(lambda: history.trials() == [], "its record is gone")
    assert [path.name for path in service.state_dir.rglob("*") if "Dev" in path.name] == []
    code = service.state_dir / "code/runs"
    assert not code.exists() or list(code.iterdir()) == []
    identity = read_identity(service.state_dir)
    assert identity is not None
    memory = Path("/dev/shm") / f"reconciler-{identity.instance_id[:16]}"
    assert not memory.exists() or list(memory.iterdir()) == []


@contextlib.contextmanager
def client(service: ServiceChild, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`reconciler dev` on pipes, which is ended when the block ends, however that is."""
    child = subprocess.Popen(service.argv("dev", *words), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, cwd=ROOT)  # fmt: skip
    try:
        yield child
    finally:
        child.kill()
        child.communicate(timeout=PATIENCE)
