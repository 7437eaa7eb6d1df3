"""Promise: lint speaks of what moves or has too much power, at its line, and a file can accept each rule."""

import json
import re
from pathlib import Path

import pytest

from reconciler.cli.main import main
from reconciler.model.service import Policy, ServiceConfig
from reconciler.spec.lint import PLAINTEXT, RULES, lint
from reconciler.spec.schemas import schema
from tests.unit.spec.kit import Repo

ROOT = Path(__file__).resolve().parents[3]
CODE = "{{url: 'https://e.org/a.git', target: /a, ref: {}}}"
GOOD = 'schedule: manual\nimage: busybox:1.36\nuser: "1000:1000"\ncommand: x\n'


def codes(text: str) -> list[tuple[int, str]]:
    (job,) = Repo({"a.yaml": text}, config=ServiceConfig(policy=Policy(exec_in=("*",)))).desire().jobs.values()
    return [(problem.line, problem.code) for problem in lint(job)]


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("", "", []),
        ("busybox:1.36", "busybox", [(2, "moving-tag")]),
        ("busybox:1.36", "registry.example.org/ml/x:Latest", [(2, "moving-tag")]),
        ("busybox:1.36", "busybox:stable", [(2, "moving-tag")]),
        ("busybox:1.36", f"busybox:latest@sha256:{'a' * 64}", []),
        ("busybox:1.36", "busybox:stable-20260101", []),
        ('"1000:1000"', "root", [(3, "root-user")]),
        ('image: busybox:1.36\nuser: "1000:1000"', "exec_in: shop-db-1", []),
        ('image: busybox:1.36\nuser: "1000:1000"', "exec_in: shop-db-1\nuser: root", [(3, "root-user")]),
        ('"1000:1000"', '"0:1000"', [(3, "root-user")]),
        ('user: "1000:1000"\n', "", [(1, "root-user")]),
        ("command: x\n", "command: x\npackages: {pip: [a==1, 'c @ https://e.org/c', d]}\n", [(5, "unpinned-package")]),
        ("command: x\n", "command: x\nrepositories: [" + CODE.format("main") + "]\n", [(5, "branch-ref")]),
        ("command: x\n", "command: x\nrepositories: [" + CODE.format("v1.2.3") + "]\n", []),
        ("command: x\n", "command: x\npackages: {pip: ['a==1.*']}\n", [(5, "unpinned-package")]),
        ("command: x\n", "command: x\npackages: {pip: ['a>=1,<2']}\n", [(5, "unpinned-package")]),
        ("command: x\n", "command: x\npackages: {apt: [jq=1.6-2], conda: [numpy=2.1], cran: [zoo]}\n", []),
        ("command: x\n", "command: x\npackages: {apt: [jq], conda: [numpy]}\n", [(5, "unpinned-package")] * 2),
    ],
)  # fmt: skip
def test_a_rule_speaks_at_the_line_of_its_field(old: str, new: str, found: list[tuple[int, str]]) -> None:
    assert codes(GOOD.replace(old, new) if old else GOOD) == found


def test_a_file_or_its_defaults_accept_a_rule_and_it_changes_nothing_of_the_job() -> None:
    loose = GOOD.replace(":1.36", "").replace('"1000:1000"', "root")
    assert codes(loose + "accept: [moving-tag]\n") == [(3, "root-user")]
    below = Repo({"_defaults.yaml": "accept: [moving-tag, root-user]\n", "a.yaml": loose}).desire().jobs["a"]
    assert list(lint(below)) == []
    assert below.digest == Repo({"a.yaml": loose}).desire().jobs["a"].digest


def test_plain_text_that_looks_like_a_secret_is_accepted_in_the_same_way() -> None:
    text = GOOD + "environment: {API_TOKEN: 0123456789abcdef0123}\n"
    assert [p.code for p in Repo({"a.yaml": text}).desire().problems] == [PLAINTEXT]
    assert Repo({"a.yaml": text + f"accept: [{PLAINTEXT}]\n"}).desire().problems == ()


def test_every_rule_can_be_accepted_and_has_its_row_on_the_page() -> None:
    known = {*RULES, PLAINTEXT}
    assert set(schema("job")["properties"]["accept"]["items"]["enum"]) == known
    page = (ROOT / "docs/lint.md").read_text()
    assert set(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)) == known


def test_the_command_says_it_with_path_and_line_and_exits_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "jobs.d").mkdir()
    (tmp_path / "jobs.d/a.yaml").write_text(GOOD)
    assert main(["lint", str(tmp_path)]) == 0
    assert capsys.readouterr().err == "1 valid job: 0 findings\n"
    (tmp_path / "jobs.d/a.yaml").write_text(GOOD.replace(":1.36", ""))
    assert main(["lint", str(tmp_path), "-o", "json"]) == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["path"].endswith("jobs.d/a.yaml"), row["line"], row["code"]) == (True, 2, "moving-tag")
