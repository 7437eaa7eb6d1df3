"""Promise: the job's file in a work tree is either as it was or has the packages, whatever happens while it is
written."""

import os
import resource
from pathlib import Path

import pytest

from reconciler.cli.dev_packages import write_into
from reconciler.model.service import ServiceConfig

JOB = "# trains\nschedule: manual  # by hand\nimage: python\nscript: |\n  true\n"
ADDED = {"pip": ["rich==13.9.4"]}
CONFIG = ServiceConfig(state_dir="/nowhere")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    file = tmp_path / "jobs.d/ml/train.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(JOB)
    return file


def test_it_takes_the_place_of_the_file_in_one_step_with_its_mode(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = work.read_bytes()
    work.chmod(0o640)
    with work.open("rb") as reader:
        write_into(CONFIG, work, ADDED)
        assert reader.read() == before, "who reads it meanwhile reads all of what it was"
    assert "nothing is committed" in capsys.readouterr().err
    assert work.read_bytes() == before + b"packages:\n  pip: [rich==13.9.4]\n"
    assert work.stat().st_mode & 0o777 == 0o640
    assert os.listdir(work.parent) == [work.name]


def test_defaults_above_it_and_what_it_takes_in_are_judged_with_it(work: Path, tmp_path: Path) -> None:
    (tmp_path / "jobs.d/_defaults.yaml").write_text("image: python\n")
    (work.parent / "run.sh").write_text("echo hi\n")
    text = "schedule: manual\nfiles: {/app/run.sh: {from: run.sh}}\nscript: sh /app/run.sh\n"
    work.write_text(text)
    write_into(CONFIG, work, ADDED)
    assert work.read_text() == text + "packages:\n  pip: [rich==13.9.4]\n"


def test_a_disk_that_is_full_costs_nothing_of_the_file(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = work.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5, limits[1]))
    try:
        write_into(CONFIG, work, ADDED)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "It was not written: " in capsys.readouterr().err
    assert (work.read_bytes(), os.listdir(work.parent)) == (before, [work.name])


def test_a_file_that_says_something_else_with_them_is_not_touched(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work.write_text("schedule: manual\n")  # no job: it has no image
    before = work.stat()
    write_into(CONFIG, work, ADDED)
    assert "It was not written: " in capsys.readouterr().err
    assert (work.stat().st_mtime_ns, work.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
