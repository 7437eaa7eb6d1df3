"""Promise: `parameters` of a job file are read as typed, and what cannot be delivered is an error with its line."""

import pytest

from reconciler.model.job import Parameter, ParameterType
from reconciler.spec.canonical import digest_of, from_data, to_data

from .kit import job, problems

DECLARED = """\
parameters:
  lr: {type: number, default: 3e-3, enum: [0.10, 3e-3]}
  epochs: {type: integer, default: 10, description: Passes over the data}
  dry-run: {type: boolean, default: True}
  country: {default: NO}
  since: {}
"""
READ = (
    Parameter("country", ParameterType.STRING, "NO"),
    Parameter("dry-run", ParameterType.BOOLEAN, "true"),
    Parameter("epochs", ParameterType.INTEGER, "10", description="Passes over the data"),
    Parameter("lr", ParameterType.NUMBER, "3e-3", ("0.10", "3e-3")),
    Parameter("since"),
)


def test_S4_texts_count_as_typed() -> None:
    assert job(DECLARED).parameters == READ


def test_they_survive_the_ledger_and_count_in_the_digest() -> None:
    spec, other = job(DECLARED), job(DECLARED.replace("default: 10", "default: 11"))
    assert from_data(to_data(spec)) == spec
    assert digest_of(spec) not in (digest_of(other), digest_of(job("")))
    backwards = "parameters:\n" + "\n".join(reversed(DECLARED.splitlines()[1:])) + "\n"
    assert digest_of(spec) == digest_of(job(backwards))


def test_D1_those_of_a_folder_are_merged_by_name() -> None:
    defaults = {"_defaults.yaml": "parameters: {epochs: {type: integer, default: 5}, host: {default: a}}\n"}
    spec = job("parameters: {epochs: {default: many}}\n", **defaults)
    assert spec.parameters == (Parameter("epochs", default="many"), Parameter("host", default="a"))


@pytest.mark.parametrize(
    ("text", "line", "code", "said"),
    [
        ("parameters:\n  n:\n    type: integer\n    default: x\n", 4, "parameter-invalid", "must be a whole number"),
        ("parameters:\n  n:\n    enum: [a]\n    default: x\n", 4, "parameter-invalid", 'must be "a"'),
        ("parameters:\n  n:\n    type: number\n    enum: [1, two]\n", 4, "parameter-invalid", "must be a number"),
        ("parameters:\n  n:\n    type: int\n", 3, "value-unknown", "must be string, integer"),
        ("parameters:\n  N: {}\n", 2, "value-invalid", "lower-case letters"),
        ("parameters:\n  n: {kind: integer}\n", 2, "unknown-key", 'unknown key "kind"'),
        ("environment: {L_R: 1}\nparameters:\n  l-r: {}\n", 3, "parameter-clash", "as L_R, and `environment`"),
        ("parameters:\n  a-b: {}\n  a_b: {}\n", 3, "parameter-clash", "both delivered as A_B"),
        ("parameters:\n  reconciler-job: {}\n", 2, "variable-reserved", "RECONCILER_JOB"),
        ("parameters:\n  path: {}\n", 2, "variable-reserved", "PATH"),
        ("parameters:\n  ld-preload: {}\n", 2, "variable-reserved", "LD_PRELOAD"),
        ("after: [{job: a}]\nparameters:\n  n: {}\n", 3, "parameter-default", "has no default"),
        ("schedule: '@daily'\nparameters:\n  n: {type: integer}\n", 3, "parameter-default", "has no default"),
    ],
)  # fmt: skip
def test_what_cannot_be_delivered_is_an_error_with_its_line(text: str, line: int, code: str, said: str) -> None:
    (problem,) = problems(text)
    assert (problem.line, problem.code) == (line, code)
    assert said in problem.message


def test_a_clash_with_an_inherited_variable_is_found() -> None:
    (problem,) = problems("parameters:\n  lr: {}\n", **{"_defaults.yaml": "environment: {LR: 1}\n"})
    assert (problem.path, problem.line, problem.code) == ("a.yaml", 2, "parameter-clash")
