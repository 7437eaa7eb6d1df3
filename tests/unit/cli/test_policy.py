"""Promise (S1): `policy test` says of a job file what the plan would say, for any owner, line by line."""

import json
from pathlib import Path

import pytest

from reconciler.cli.main import main

SERVICE = """
policy: {images: ["busybox:*", "postgres:*"], networks: [shop]}
owners:
  ml: {paths: [ml/**], policy: {images: ["busybox:*"]}}
  web: {paths: [web/**], policy: {networks: [shop]}}
"""
JOB = """schedule: manual
image: postgres:17
networks: [shop]
after: [{job: web/other}]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "service.yaml").write_text(SERVICE)
    (tmp_path / "jobs.d/ml").mkdir(parents=True)
    (tmp_path / "jobs.d/ml/a.yaml").write_text(JOB)
    monkeypatch.chdir(tmp_path)
    return "jobs.d/ml/a.yaml"


def outcome(capsys: pytest.CaptureFixture[str], file: str, *words: str) -> tuple[int, str]:
    code = main(["policy", "test", file, "--config", "service.yaml", *words])
    return code, capsys.readouterr().out


def test_S1_every_violation_has_its_line_and_the_grant_is_said(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = outcome(capsys, file)
    assert code == 1
    assert "jobs.d/ml/a.yaml:2:" in said and "the image postgres:17 is not allowed for ml" in said
    assert "jobs.d/ml/a.yaml:3:" in said and "the network shop is not allowed for ml" in said
    assert "ml is granted: images busybox:*" in said
    assert said.endswith("would not be admitted\n")


@pytest.mark.parametrize("words", [("--owner", "web"), ("--as", "web/a")])
def test_S1_as_another_owners_it_may_be_admitted(
    file: str, capsys: pytest.CaptureFixture[str], words: tuple[str, str]
) -> None:
    code, said = outcome(capsys, file, *words, "-o", "json")
    found = json.loads(said)
    assert (code, found["owner"], found["allowed"], found["problems"]) == (0, "web", True, [])
    assert found["grants"]["networks"] == ["shop"]


@pytest.mark.parametrize("words", [("--owner", "nobody"), ("--as", "elsewhere/a")])
def test_an_owner_that_is_none_is_told(file: str, capsys: pytest.CaptureFixture[str], words: tuple[str, str]) -> None:
    assert main(["policy", "test", file, "--config", "service.yaml", *words]) == 2
    assert "[owner-unknown]" in capsys.readouterr().err
