"""`simulate` reads a repository, says what is assumed, and refuses spans that make no sense."""

import json
from pathlib import Path

import pytest

from reconciler.cli.main import main
from tests.lab.gitrepo import GitRepo


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    repo = GitRepo(tmp_path / "repo")
    repo.commit({
        "jobs.d/etl.yaml": "schedule: '*/15 * * * *'\nimage: busybox\nscript: 'true'\n",
        "jobs.d/beat.yaml": "schedule: '@every 10s'\nimage: busybox\nscript: 'true'\n",
    })  # fmt: skip
    return tmp_path / "repo"


def simulate(repository: Path, *words: str) -> int:
    where = ["--source", str(repository), "--state-dir", str(repository.parent / "none")]
    return main(["simulate", *where, "--from", "2026-11-24T00:00Z", *words])


def test_the_table_and_the_picture(repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "week.svg"
    assert simulate(repository, "--to", "1d", "--heat-map", str(picture)) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1].startswith("8,736 slots = 8,736 ran")
    assert any(line.startswith("etl ") and "96" in line for line in said)
    assert "2 jobs taken to run 1m each, at most half of its interval: beat, etl" in said
    assert picture.read_text(encoding="utf-8").startswith("<svg")


def test_durations_downtimes_and_json(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--job", "etl", "--to", "2h", "--duration", "etl=20m", "--downtime",
             "2026-11-24T01:00Z..2026-11-24T01:40Z", "-o", "json"]  # fmt: skip
    assert simulate(repository, *words) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["guessed"] == []
    assert data["jobs"]["etl"]["slots"] == 8
    assert set(data["jobs"]["etl"]["left_out"]) == {"skipped", "missed"}
    assert data["downtime"] == [["2026-11-24T01:00:00Z", "2026-11-24T01:40:00Z"]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "2026-11-23T00:00Z"], "--to is not after --from"),
        (["--to", "40000d"], "cannot"),
        (["--downtime", "now"], "cannot read --downtime"),
        (["--downtime", "2026-11-25T00:00Z..2026-11-24T00:00Z"], "it ends before it begins"),
        (["--duration", "nothing=5m"], "not JOB=DURATION"),
        (["--default-duration", "long"], "the duration is"),
        (["--job", "x*"], "there is no such job"),
    ],
    ids=["backwards", "beyond ten years", "no span", "a span backwards", "another job", "no duration", "no job"],
)  # fmt: skip
def test_what_makes_no_sense_is_said(
    repository: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(repository, *words) in (1, 2)
    assert said in capsys.readouterr().err
