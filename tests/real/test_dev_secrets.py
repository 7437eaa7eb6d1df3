"""Rule S3 in a shell: none of the job's secrets unless they are asked for, and then that is in the journal, by name."""

from collections.abc import Iterator

import pytest

from tests.kit.dev import assert_nothing_left, dev_service, piped
from tests.kit.service import ServiceChild
from tests.lab.gitrepo import GitRepo
from tests.lab.python_image import PYTHON

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

VALUE = "c4n4ry-w0rd"
JOB = f"""
schedule: manual
image: {PYTHON}
user: "0:0"
networks: [none]
working_dir: /code
repositories: [{{url: "REPO", ref: main, target: /code}}]
secrets: [orders-dsn, {{name: token, env: TOKEN}}]
script: cat /run/secrets/orders-dsn
"""
SHOW = "cat main.sh; git log 2>/dev/null; cat /run/secrets/orders-dsn; echo; echo token $TOKEN\n"


@pytest.fixture(scope="module")
def service(docker_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceChild]:
    code = GitRepo(tmp_path_factory.mktemp("code") / "code")
    code.commit({"main.sh": "echo one\n"})
    config = f"policy: {{repositories: ['{code.path}'], secrets: ['*'], secrets_in_env: true}}"
    job = JOB.replace("REPO", str(code.path))
    with dev_service(docker_host, {"ml/train": job}, config, {"orders-dsn": VALUE, "token": f"{VALUE}-2"}) as made:
        yield made


def holding(service: ServiceChild) -> list[str]:
    """Files of the state directory and of the log that hold a value."""
    files = [path for path in service.state_dir.rglob("*") if path.is_file()] + [service.log_path]
    return [str(path) for path in files if VALUE.encode() in path.read_bytes()]


def test_S3_without_asking_there_is_none_and_it_says_which_are_missing(service: ServiceChild) -> None:
    done = piped(service, SHOW)
    assert "It has none of the job's secrets (orders-dsn, token): --with-secrets" in done.stderr
    assert done.stdout.splitlines() == ["echo one", "", "token"], "code it has"
    assert VALUE not in done.stdout + done.stderr
    assert_nothing_left(service)


def test_S3_with_secrets_it_has_them_and_the_journal_has_their_names(service: ServiceChild) -> None:
    done = piped(service, SHOW, "--with-secrets")
    assert done.stdout.splitlines() == ["echo one", VALUE, f"token {VALUE}-2"], done
    assert "secrets" not in done.stderr
    assert_nothing_left(service)
    assert holding(service) == []
    with service.ledger() as history:
        events = [event for event in history.events() if event.job == "Dev/ml/train"]
    closed = next(event for event in events if event.name == "dev.closed")
    mine = {event.name.value: event for event in events if event.run == closed.run}
    assert closed.fields["secrets"] == mine["dev.opened"].fields["secrets"] == "orders-dsn, token"
    assert closed.fields["actor"] == mine["dev.opened"].fields["actor"]
    assert "run.secrets-given" in mine and VALUE not in str(events)
