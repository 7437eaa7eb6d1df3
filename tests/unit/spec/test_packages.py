"""Promise: one shell script installs a list of packages, and no name of a package is ever a word of the shell."""

import shutil
import subprocess
from pathlib import Path

import pytest

from reconciler.model.job import Install, Packages
from reconciler.spec.argv import phases
from reconciler.spec.packages import content_key, install_script, packages_key, report_script
from tests.unit.spec.kit import Repo

STUBS = {
    "apt-get": 'echo "apt-get $*"\n',
    "dpkg-query": "echo libgomp1=12\n",
    "micromamba": 'echo "micromamba $*"\n',
    "python3": 'if [ "$3" = install ]; then for last; do :; done; echo "pip $*" | sed "s#/[^ ]*#LIST#"; cat "$last"; '
               'else echo pandas==2; fi\n',
    "Rscript": 'echo "R $2"; echo "from $local_repository"\n',
}  # fmt: skip
HOSTILE = "x; touch /tmp/owned $(id) `id` 'q' \"d\" *"


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """Managers that print what they were told."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in STUBS.items():
        (folder / name).write_text("#!/bin/sh\n" + text)
        (folder / name).chmod(0o755)
    for tool in ("sh", "mktemp", "cat", "rm", "sed", "printf"):
        (folder / tool).symlink_to(str(shutil.which(tool)))
    return folder


def run(script: str, folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["sh", "-eu", "-c", script], env={"PATH": str(folder), **variables}, capture_output=True,
                          text=True, timeout=20, check=False)  # fmt: skip


def test_each_manager_gets_its_list_system_packages_first(bin_folder: Path) -> None:
    wanted = Packages(
        pip=("pandas==2.2.3", HOSTILE), conda=("numpy=2", "c::lib"), apt=("libgomp1", "jq=1.6"), cran=("zoo",)
    )
    done = run(install_script(wanted), bin_folder, CRAN_MIRROR="https://cran.example.org")
    assert done.returncode == 0, done
    lines = done.stdout.splitlines()
    assert lines[0].endswith("update")
    assert lines[1].endswith("install --no-install-recommends -- libgomp1 jq=1.6")
    assert lines[2] == "micromamba install --yes --quiet numpy=2 c::lib"
    assert lines[3].startswith("pip -m pip install --no-input") and lines[3].endswith("-r LIST")
    assert lines[4:6] == ["pandas==2.2.3", HOSTILE]
    assert 'install.packages(c("zoo")' in lines[6] and lines[7] == "from https://cran.example.org"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Packages(pip=("a",)), "the image has no python"),
        (Packages(conda=("a",)), "the image has no conda"),
        (Packages(cran=("a",)), "CRAN_MIRROR"),
        (Packages(apt=("a",)), "apt-get"),
    ],
    ids=["pip", "conda", "cran", "apt"],
)
def test_a_manager_that_is_not_there_is_said(wanted: Packages, said: str, bin_folder: Path) -> None:
    for name in STUBS:
        (bin_folder / name).unlink()
    done = run(install_script(wanted), bin_folder)
    assert done.returncode not in (0, None) and said in done.stderr, done


def test_what_is_there_is_told_by_manager(bin_folder: Path) -> None:
    done = run(report_script(Packages(pip=("pandas",), apt=("libgomp1",))), bin_folder)
    assert done.stdout.splitlines() == [
        "[reconciler] installed pip", "pandas==2", "[reconciler] installed apt", "libgomp1=12",
    ]  # fmt: skip


def test_the_same_content_is_the_same_name_and_any_other_is_another() -> None:
    one = Packages(pip=("a", "b"))
    assert content_key("sha256:1", "ml", one) == content_key("sha256:1", "ml", Packages(pip=("a", "b")))
    made = [("sha256:1", "ml", one), ("sha256:2", "ml", one), ("sha256:1", "web", one),
            ("sha256:1", "ml", Packages(pip=("a",))), ("sha256:1", "ml", Packages(apt=("a", "b")))]  # fmt: skip
    assert len({content_key(*each) for each in made}) == len(made)
    assert packages_key(one) != packages_key(Packages(pip=("b", "a")))


def problems(text: str) -> list[tuple[int, str]]:
    state = Repo({"a.yaml": "schedule: manual\nimage: a\ncommand: x\n" + text}).desire()
    return [(problem.line, problem.code) for problem in state.problems]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("packages: {pip: [--pre=http://evil]}\n", "value-invalid"),
        ('packages: {pip: ["a\\nb"]}\n', "value-invalid"),
        ("packages: {apt: ['jq; id']}\n", "value-invalid"),
        ("packages: {apt: [-o=x]}\n", "value-invalid"),
        ("packages: {conda: ['-c evil']}\n", "value-invalid"),
        ("packages: {cran: ['x\")']}\n", "value-invalid"),
        ("packages: {install: image}\n", "packages-none"),
        ("packages: {}\n", ""),
        ("packages: {pip: {file: requirements.txt}}\n", "packages-no-code"),
        ("packages: {npm: [a]}\n", "unknown-key"),
        ("packages: {pip: a}\n", "wrong-type"),
        ("packages: {pip: [a], install: never}\n", "value-unknown"),
    ],
)
def test_what_is_no_package_is_an_error_at_its_line(text: str, code: str) -> None:
    found = problems(text)
    assert len(found) == 1 and found[0][0] == 4, found
    assert not code or found[0][1] == code, found


def test_at_start_it_comes_before_the_start_script_and_needs_a_command() -> None:
    text = "schedule: manual\nimage: a\n{}packages: {{pip: [a], install: at_start}}\nstart_script: x\n"
    made = Repo({"a.yaml": text.format("command: x\n")}).desire().jobs["a"].spec
    assert made.packages.install is Install.AT_START and not made.packages.in_image
    assert [name for name, _ in phases(made)] == ["packages", "start_script"]
    refused = Repo({"a.yaml": text.format("")}).desire()
    assert [problem.code for problem in refused.problems] == ["command-missing"]
