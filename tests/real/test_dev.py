"""Promise: `reconciler dev` is a shell in exactly the environment of a job's runs, by way of the service alone, and
nothing but its line in the journal outlives it."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model.errors import Permanent
from reconciler.server.client import upgrade
from tests.kit.dev import assert_nothing_left, client, dev_service, piped
from tests.kit.folders import reachable_folder
from tests.kit.people import ANNA, TOM, argv_as, needs_root, run_as
from tests.kit.pty_session import PtySession, pty_session
from tests.kit.service import PATIENCE, ROOT, ServiceChild, eventually, service_child
from tests.kit.standing import run_containers
from tests.lab.gitrepo import GitRepo
from tests.lab.python_image import PYTHON

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

JOB = f"""
schedule: manual
image: {PYTHON}
working_dir: /work
user: "0:0"
environment: {{LEVEL: high}}
parameters: {{epochs: {{type: integer, default: 3}}}}
volumes: ["models:/models"]
networks: [none]
resources: {{memory: 256m}}
start_script: echo ready > /tmp/ready
script: |
  PROBE
"""
PROBE = (
    'python3 -c \'import os; e = os.environ; print(os.getcwd(), os.getuid(), os.getgid(), e["LEVEL"], e["EPOCHS"], '
    'e["RECONCILER_JOB"], os.path.exists("/models"), open("/tmp/ready").read().strip(), '
    'sorted(k for k in e if k.startswith("RECONCILER")))\''
)


@pytest.fixture(scope="module")
def service(docker_host: str) -> Iterator[ServiceChild]:
    with dev_service(docker_host, {"ml/train": JOB.replace("PROBE", PROBE)}) as made:
        yield made


def test_R8_a_shell_finds_what_a_run_of_the_job_finds(service: ServiceChild) -> None:
    ran = service.run("run", "ml/train", "--follow")
    assert ran.returncode == 0, ran
    done = piped(service, f"{PROBE}\n")
    assert done.returncode == 0, done
    phase, said = done.stdout.splitlines()
    assert (phase, said) == ("[reconciler] start_script", ran.stdout.splitlines()[-1])
    assert_nothing_left(service)


def test_commands_on_standard_input_are_carried_out_and_their_exit_code_is_the_shells(service: ServiceChild) -> None:
    done = piped(service, "echo out\necho err >&2\nexit 3\necho not reached\n")
    assert done.returncode == 3, done
    assert (done.stdout.splitlines()[1:], done.stderr) == (["out"], "err\n")
    assert_nothing_left(service)
    with service.ledger() as history:
        events = [event for event in history.events() if event.job == "Dev/ml/train"]
    closed = next(event for event in events if event.name == "dev.closed")
    opened = next(event for event in events if event.name == "dev.opened" and event.run == closed.run)
    assert (opened.fields["actor"], opened.fields["secrets"]) == (closed.fields["actor"], "")
    assert str(closed.fields["since"]) <= str(closed.fields["until"])


def test_more_than_any_buffer_goes_both_ways(service: ServiceChild) -> None:
    lines = "".join(f"echo {n:08d}{'x' * 90}\n" for n in range(20_000))
    done = piped(service, lines)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == [line.removeprefix("echo ") for line in lines.splitlines()]


def test_a_terminal_has_its_size_its_keys_and_is_left_as_it_was(service: ServiceChild) -> None:
    with pty_session(service.argv("dev", "ml/train"), ROOT, rows=31, columns=97) as session:
        at = session.wait_for("# ")
        size = "import os; print('size', *os.get_terminal_size())"
        session.type(f'python3 -c "{size}"\r')
        at = session.wait_for("size 97 31", at)
        assert not session.canonical
        session.resize(40, 120)
        eventually(lambda: _asks(session, f'python3 -c "{size}"', "size 120 40"), "it has heard of its new size")
        session.type("python3 -c 'import time; print(1234 * 2); time.sleep(600)'\r")
        session.wait_for("2468", at)
        session.type("\x03")
        session.wait_for("KeyboardInterrupt", at)
        session.type("exit 7\r")
        assert session.wait() == 7, session.shown
        assert session.canonical
    assert_nothing_left(service)


def _asks(session: PtySession, command: str, answer: str) -> bool:
    before = len(session.shown)
    session.type(f"{command}; echo do''ne\r")
    session.wait_for("done", before)
    return answer in session.shown[before:]


def test_a_second_client_is_refused_and_so_is_a_shell_for_too_long(service: ServiceChild) -> None:
    with pty_session(service.argv("dev", "ml/train"), ROOT) as session:
        session.wait_for("# ")
        with service.ledger() as history:
            (run,) = history.trials()
        with pytest.raises(Permanent) as caught:
            upgrade(service.folder / "run/reconciler.sock", "/v1/dev/attach", {"run_id": run.run_id})
        assert caught.value.code == "dev-taken"
        session.type("exit\r")
        assert session.wait() == 0
    for words, code in ((("--for", "9h"), "dev-too-long"), (("--for", "soon"), "usage"), ((), "job-unknown")):
        done = piped(service, "", *words, job="ml/train" if words else "ml/none")
        assert done.returncode and done.stderr.splitlines()[0].endswith(f"[{code}]"), done
    assert_nothing_left(service)


def test_it_ends_when_its_time_is_up(service: ServiceChild) -> None:
    done = piped(service, "sleep 600\n", "--for", "3s")
    assert done.returncode != 0 and "timed out: timeout of 3 s" in done.stderr, done
    assert_nothing_left(service)


def test_ending_the_command_ends_the_shell(service: ServiceChild) -> None:
    with client(service, "ml/train") as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write("echo up; sleep 600\n")
        child.stdin.flush()
        assert [child.stdout.readline() for _ in range(2)][1] == "up\n"
        child.terminate()
        assert child.wait(PATIENCE) == 143
    assert_nothing_left(service)


def test_when_its_client_is_killed_all_of_it_goes(service: ServiceChild) -> None:
    with pty_session(service.argv("dev", "ml/train"), ROOT) as session:
        session.wait_for("# ")
        session.child.kill()
        session.child.wait(PATIENCE)
        assert run_containers(service.docker_host, service.instance), "it may come back for a while"
        eventually(lambda: not run_containers(service.docker_host, service.instance), "the container has gone", 90)
    assert_nothing_left(service)
    closed = [entry for entry in service.entries("dev.closed") if entry["verdict"] == "cancelled"]
    assert closed


def test_R6_a_service_that_is_restarted_finds_the_shell_and_so_does_its_client(service: ServiceChild) -> None:
    with pty_session(service.argv("dev", "ml/train"), ROOT) as session:
        session.wait_for("# ")
        session.type("X=41\r")
        at = session.wait_for("# ", len(session.shown))
        service.kill()
        eventually(lambda: session.canonical, "keys are this command's while there is no connection")
        session.wait_for("Ctrl-C leaves", at)
        service.start().reachable()
        session.type("echo got $((X + 1))\r")
        session.wait_for("got 42", at)
        session.type("exit 4\r")
        assert session.wait() == 4, session.shown
    assert_nothing_left(service)


def test_a_person_can_leave_a_service_that_hangs(service: ServiceChild) -> None:
    with pty_session(service.argv("dev", "ml/train"), ROOT) as session:
        at = session.wait_for("# ")
        session.type("echo ~~\r")
        session.wait_for("~~\r\n", at)
        assert service.child is not None
        service.child.send_signal(signal.SIGSTOP)
        try:
            session.type("\r~.")
            assert session.wait() == 130, session.shown
            assert session.canonical
        finally:
            service.child.send_signal(signal.SIGCONT)
    assert_nothing_left(service)


# -- who may ---------------------------------------------------------------------------------------------------

PEOPLE = f"""
people: {{anna: {{unix: {ANNA}}}, tom: {{unix: {TOM}}}}}
owners:
  group/ml: {{paths: [ml/**], members: [anna]}}
  group/web: {{paths: ["**"], members: [tom]}}
"""


@needs_root
def test_S1_a_member_who_has_no_access_to_docker_has_a_shell_and_others_have_none(service: ServiceChild) -> None:
    service.configure(PEOPLE)
    service.hang_up()
    reloaded = "0666"
    socket = service.folder / "run/reconciler.sock"
    eventually(lambda: f"{socket.stat().st_mode & 0o777:04o}" == reloaded, "people may connect")
    eventually(lambda: service.standing()["ml/train"].owner == "group/ml", "it is the group's")
    words = ["dev", "--config", str(service.file), "ml/train"]
    try:
        done = subprocess.run(argv_as(ANNA, words), input="echo hers; exit 5\n", capture_output=True, text=True,
                              timeout=2 * PATIENCE, cwd=ROOT)  # fmt: skip
        assert (done.returncode, done.stdout.splitlines()[1:]) == (5, ["hers"]), done
        (tom,) = run_as(TOM, words)
        assert tom.code and tom.err.splitlines()[0].endswith("[not-allowed]") and "anna" in tom.err, tom
    finally:
        service.configure()
        service.hang_up()
    assert_nothing_left(service)
    with service.ledger() as history:
        assert {event.fields["actor"] for event in history.events() if event.name == "dev.opened"} >= {"anna"}


def test_an_engine_without_terminals_says_so() -> None:
    with reachable_folder() as folder:
        repo = GitRepo(Path(folder) / "jobs")
        repo.commit({"jobs.d/hello.yaml": "schedule: manual\nimage: none\nscript: echo hi\n"}, "one job")
        with service_child(folder, repo.path, "process", instance="devs") as made:
            made.start().reachable()
            eventually(lambda: made.standing(), "the job stands")
            done = piped(made, "echo x\n", job="hello")
            assert done.returncode == 1 and done.stderr.splitlines()[0].endswith("[dev-unsupported]"), done
            assert made.runs("Dev/hello") == []
