"""Promise: what was installed by hand in a shell is told when it is left, and comes into the job's file if a person
says so, with all else in it as it was."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.dev import assert_nothing_left, dev_service, piped
from tests.kit.people import ANNA, argv_as, needs_root
from tests.kit.pty_session import pty_session
from tests.kit.service import PATIENCE, ROOT, ServiceChild
from tests.lab.python_image import PYTHON

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

# A wheel is a zip file with these three: made where it is needed, since there is no index.
WHEEL = """
import sys, zipfile
name, version = sys.argv[1:]
info = f"{name}-{version}.dist-info/"
with zipfile.ZipFile(f"/tmp/{name}-{version}-py3-none-any.whl", "w") as made:
    made.writestr(f"{name}.py", "")
    made.writestr(info + "METADATA", f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
    made.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    made.writestr(info + "RECORD", "")
"""
JOB = f"""# trains
schedule: manual   # by hand
image: {PYTHON}
user: "0:0"
networks: [none]
script: python3 -c 'import handmade'
files:
  /app/wheel.py:
    content: |
{"".join(f"      {line}" + chr(10) for line in WHEEL.strip().splitlines())}"""
INSTALL = ("python3 /app/wheel.py {0} {1} && python3 -m pip install -q --no-index --no-deps --root-user-action=ignore "
           "/tmp/{0}-{1}-py3-none-any.whl")  # fmt: skip
PEOPLE = f"people: {{anna: {{unix: {ANNA}}}}}\nowners: {{group/ml: {{paths: ['**'], members: [anna]}}}}\n"


@pytest.fixture(scope="module")
def service(docker_host: str) -> Iterator[ServiceChild]:
    with dev_service(docker_host, {"ml/train": JOB}, PEOPLE) as made:
        yield made


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The job's file in a work tree."""
    file = tmp_path / "jobs.d/ml/train.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(JOB)
    return file


def test_a_package_that_was_installed_by_hand_is_told_as_a_line_of_the_file(service: ServiceChild) -> None:
    done = piped(service, f"{INSTALL.format('handmade', '1.2')}\npython3 -c 'import handmade' && exit 3\n")
    assert (done.returncode, done.stdout) == (3, ""), done
    assert done.stderr.splitlines() == [
        "Installed by hand:", "  pip: + handmade==1.2", "In the job file:", "  packages:", "    pip: [handmade==1.2]",
    ]  # fmt: skip
    assert_nothing_left(service)
    again = piped(service, "python3 -c 'import handmade' || exit 4\n")
    assert again.returncode == 4, "the next one begins without it"
    assert "Installed" not in again.stderr


def test_a_shell_that_is_killed_is_told_of_all_the_same(service: ServiceChild) -> None:
    done = piped(service, f"{INSTALL.format('handmade', '1.2')}\nkill -9 $$\n")
    assert done.returncode == 137 and "pip: + handmade==1.2" in done.stderr, done


@needs_root
def test_S1_a_member_is_told_by_way_of_the_service(service: ServiceChild) -> None:
    words = ["dev", "--config", str(service.file), "ml/train"]
    done = subprocess.run(argv_as(ANNA, words), input=f"{INSTALL.format('handmade', '1.2')}\n", capture_output=True,
                          text=True, timeout=2 * PATIENCE, cwd=ROOT)  # fmt: skip
    assert done.returncode == 0 and "pip: + handmade==1.2" in done.stderr, done


@pytest.mark.parametrize(("answer", "written"), [("y", True), ("", False)])
def test_on_a_terminal_it_is_written_if_the_person_says_so(
    service: ServiceChild, work: Path, answer: str, written: bool
) -> None:
    words = ("dev", "ml/train", *(("--file", str(work)) if written else ()))
    here = ROOT if written else work.parents[2]
    with pty_session(service.argv(*words), here) as session:
        session.wait_for("# ")
        session.type(f"{INSTALL.format('handmade', '1.2')}\rexit\r")
        session.wait_for("train.yaml? [y/N]")
        session.type(f"{answer}\r")
        assert session.wait() == 0, session.shown
    assert work.read_text() == (JOB + "packages:\n  pip: [handmade==1.2]\n" if written else JOB)


def test_a_list_that_cannot_be_added_to_stays_as_it_is(service: ServiceChild, work: Path) -> None:
    text = JOB + "packages: {pip: [six]}\n"
    work.write_text(text)
    with pty_session(service.argv("dev", "ml/train", "--file", str(work)), ROOT) as session:
        session.wait_for("# ")
        session.type(f"{INSTALL.format('handmade', '1.2')}\rexit\r")
        session.wait_for("[y/N]")
        session.type("y\r")
        session.wait_for("cannot be added there by itself")
        assert session.wait() == 0
    assert work.read_text() == text
    done = piped(service, "", "--file", str(work.with_name("none.yaml")))
    assert done.returncode == 2 and done.stderr.splitlines()[0].endswith("[source-not-found]"), done
