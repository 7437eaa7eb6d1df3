"""Promise: problems read `path:line:column: message`, and no file can forge a line, an escape or a command."""

import json

import pytest

from reconciler.model.problem import SpecProblem
from reconciler.spec.render import render_problems

ONE = SpecProblem(
    "web/a.yaml", 2, 1, "unknown-key", 'unknown key "parameter"', 'did you mean "parameters"?', "/parameter"
)
TWO = SpecProblem("b.yaml", 1, 1, "not-a-shell", "no shell sees this", severity="warning")
SOURCES = {"web/a.yaml": b"image: x\nparameter: 5   \n"}


def test_text_with_the_line_and_a_hint() -> None:
    assert render_problems([ONE, TWO], "text", SOURCES) == (
        'web/a.yaml:2:1: unknown key "parameter"\n'
        "    2 | parameter: 5\n"
        '    hint: did you mean "parameters"?\n'
        "b.yaml:1:1: warning: no shell sees this"
    )


def test_nothing_to_say() -> None:
    assert render_problems([], "text") == ""
    assert render_problems([], "github") == ""
    assert json.loads(render_problems([], "json")) == []


def test_json() -> None:
    assert json.loads(render_problems([ONE], "json", prefix="jobs.d/")) == [{
        "path": "jobs.d/web/a.yaml", "line": 2, "column": 1, "severity": "error", "code": "unknown-key",
        "message": 'unknown key "parameter"', "hint": 'did you mean "parameters"?', "pointer": "/parameter",
    }]  # fmt: skip


def test_github_annotations() -> None:
    assert render_problems([ONE, TWO], "github", prefix="jobs.d/") == (
        '::error file=jobs.d/web/a.yaml,line=2,col=1,title=unknown-key::unknown key "parameter"'
        '%0Adid you mean "parameters"?\n'
        "::warning file=jobs.d/b.yaml,line=1,col=1,title=not-a-shell::no shell sees this"
    )


HOSTILE = SpecProblem("a,b:c\n::error ::x.yaml", 1, 1, "c", "m\n::add-mask::x\r\x1b[31m\u202e%0A", "h\n::x")


def test_S6_an_annotation_cannot_be_ended_by_what_a_file_says() -> None:
    text = render_problems([HOSTILE], "github")
    assert text.count("\n") == 0
    assert text.startswith("::error file=a%2Cb%3Ac%0A%3A%3Aerror %3A%3Ax.yaml,line=1")
    assert "%250A" in text
    assert text.isprintable()


def test_S6_text_is_one_line_each_and_printable() -> None:
    lines = render_problems([HOSTILE], "text").split("\n")
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


def test_S4_lines_that_may_hold_a_secret_are_not_quoted() -> None:
    problem = SpecProblem("a.yaml", 1, 1, "c", "m", pointer="/environment/A")
    assert "s3cret" not in render_problems([problem], "text", {"a.yaml": b"environment: {A: [s3cret]}\n"})


@pytest.mark.parametrize("line", [1, 2, 99])
def test_a_source_that_has_changed_since_is_no_error(line: int) -> None:
    assert render_problems([SpecProblem("a.yaml", line, 1, "c", "m", pointer="/x")], "text", {"a.yaml": b"\xff\n"})


def test_an_unknown_format_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="xml"):
        render_problems([ONE], "xml")
