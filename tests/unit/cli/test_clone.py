"""Promise: a clone is the file as it was written, under a new name, and what it means otherwise there is said."""

from pathlib import Path

import pytest

from reconciler.cli.clone import copied
from reconciler.cli.main import main

JOB = """\
# Load the orders.
name: load   # as the file says
schedule: "*/15 * * * *"  # every quarter
image: busybox:1.36
moved_from: old/load

script: |
  echo "name: not a field"
  moved_from: nor this
files: {/q.sql: {from: /jobs.d/q.sql}}
"""


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "jobs.d"
    (folder / "data").mkdir(parents=True)
    (folder / "ml").mkdir()
    (folder / "data/load.yaml").write_text(JOB.replace("/jobs.d/q.sql", "q.sql"))
    (folder / "data/q.sql").write_text("select 1")
    (folder / "ml/_defaults.yaml").write_text("timezone: Europe/Berlin\n")
    monkeypatch.chdir(tmp_path)
    return folder


def test_the_copy_is_the_text_without_what_names_the_job(jobs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clone", "data/load", "data/load-eu"]) == 0
    text = (jobs / "data/load-eu.yaml").read_text()
    assert "# Load the orders.\nschedule:" in text and "  # every quarter\n" in text
    assert '  echo "name: not a field"\n  moved_from: nor this\n' in text and "old/load" not in text
    said = capsys.readouterr().out
    assert said.startswith("created  jobs.d/data/load-eu.yaml\n") and "both fire" in said
    assert main(["validate", str(jobs)]) == 0


def test_what_means_another_thing_there_is_said(jobs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (jobs / "ml/q.sql").write_text("select 1")
    assert main(["clone", "data/load", "ml/load", "--suspend"]) == 0
    said = capsys.readouterr().out
    assert "timezone: UTC -> Europe/Berlin" in said and "both fire" not in said
    assert (jobs / "ml/load.yaml").read_text().endswith("suspend: true  # a copy: remove this line to let it fire\n")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("data/none", "data/x"), "job-unknown"),
        (("data/load", "data/load"), "file-exists"),
        (("data/load", "Data/X"), "usage"),
        (("data/load", "../x"), "usage"),
        (("data/load", "web/deep/load"), "clone-invalid"),
    ],
)
def test_what_cannot_be_cloned_leaves_nothing(
    jobs: Path, words: tuple[str, str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(jobs.rglob("*"))
    assert main(["clone", *words]) != 0
    assert f"[{code}]" in capsys.readouterr().err
    assert sorted(jobs.rglob("*")) == before


def test_suspend_takes_the_place_of_the_files_own() -> None:
    assert copied(b"suspend: false\nimage: a", suspend=True) == (
        b"image: a\nsuspend: true  # a copy: remove this line to let it fire\n"
    )
