"""Promise: a value given to a run is checked by its type, stays the text as typed, and a default fills what is left."""

from dataclasses import replace

import pytest

from reconciler.model.errors import Permanent
from reconciler.model.job import Parameter, ParameterType
from reconciler.runs.environment import parameter_environment
from reconciler.runs.parameters import carried, defaults, fault, resolve, said

from .kit import run, spec

STRING, INTEGER, NUMBER, BOOLEAN = ParameterType
EPOCHS = Parameter("epochs", INTEGER, "10")
RATE = Parameter("learning-rate", NUMBER, "3e-3")
SINCE = Parameter("since", description="the first day, such as 2026-11-20")


def refused(*parameters: Parameter, **given: str) -> tuple[str, str, str]:
    with pytest.raises(Permanent) as caught:
        resolve(spec(name="ml/scan", parameters=parameters), given)
    return caught.value.code, str(caught.value), caught.value.hint


@pytest.mark.parametrize(
    ("kind", "text", "good"),
    [
        (STRING, "", True), (STRING, "NO", True), (STRING, "two\nlines\tand a tab", True), (STRING, "x" * 4096, True),
        (STRING, "x" * 4097, False), (STRING, "a\0b", False), (STRING, "a\x1b[2J", False), (STRING, "\udcff", False),
        (STRING, "\u202egnp", False),
        (INTEGER, "10", True), (INTEGER, "-3", True), (INTEGER, "007", True), (INTEGER, "", False),
        (INTEGER, "1.0", False), (INTEGER, "1e3", False), (INTEGER, "\u0663", False), (INTEGER, "1\n", False),
        (INTEGER, "9" * 19, False),
        (NUMBER, "3e-3", True), (NUMBER, "0.10", True), (NUMBER, "-1", True), (NUMBER, ".5", False),
        (NUMBER, "nan", False), (NUMBER, "inf", False), (NUMBER, "1e999", False), (NUMBER, "1_000", False),
        (BOOLEAN, "true", True), (BOOLEAN, "False", True), (BOOLEAN, "yes", False), (BOOLEAN, "1", False),
    ],
)  # fmt: skip
def test_a_text_fits_its_type(kind: ParameterType, text: str, good: bool) -> None:
    assert (fault(Parameter("p", kind), text) == "") is good


@pytest.mark.parametrize(
    ("kind", "choices", "text", "good"),
    [
        (STRING, ("small", "large"), "small", True), (STRING, ("small", "large"), "Small", False),
        (NUMBER, ("1000", "0.1"), "1e3", True), (NUMBER, ("1000",), "1001", False), (INTEGER, ("7",), "07", True),
        (BOOLEAN, ("true",), "TRUE", True), (BOOLEAN, ("true",), "false", False),
    ],
)  # fmt: skip
def test_a_choice_is_known_by_its_value(kind: ParameterType, choices: tuple[str, ...], text: str, good: bool) -> None:
    assert (fault(Parameter("p", kind, enum=choices), text) == "") is good


def test_what_is_given_replaces_defaults_and_is_delivered_as_typed() -> None:
    dry = Parameter("dry-run", BOOLEAN, "false")
    values = resolve(
        spec(parameters=(dry, EPOCHS, RATE, SINCE)), {"since": "NO", "learning-rate": "1.0E-2", "dry-run": "True"}
    )
    assert values == (("dry-run", "true"), ("epochs", "10"), ("learning-rate", "1.0E-2"), ("since", "NO"))
    assert parameter_environment(run(parameters=values)) == (
        ("DRY_RUN", "true"), ("EPOCHS", "10"), ("LEARNING_RATE", "1.0E-2"), ("SINCE", "NO"),
    )  # fmt: skip


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    assert refused(EPOCHS, RATE, epoch="1")[0::2] == ("parameter-unknown", 'did you mean "epochs"?')
    assert refused(EPOCHS, RATE, learning_rate="1")[2] == 'did you mean "learning-rate"?'
    assert refused(EPOCHS, RATE, zzz="1")[2] == "it has: epochs, learning-rate"
    assert refused(zzz="1")[2] == "its file declares no `parameters`"


def test_a_wrong_value_and_a_missing_one_are_refused() -> None:
    code, message, _ = refused(EPOCHS, epochs="ten")
    assert (code, message) == (
        "parameter-invalid",
        'cannot run ml/scan: parameter epochs must be a whole number, not "ten"',
    )
    assert refused(SINCE)[0] == "parameter-missing"
    assert refused(replace(SINCE, enum=("a",)), since="x" * 200)[2] == SINCE.description
    assert len(refused(replace(SINCE, enum=("a",)), since="x" * 200)[1]) < 160


def test_only_what_is_no_default_tells_runs_apart() -> None:
    job = spec(parameters=(EPOCHS, SINCE))
    assert defaults(job) == (("epochs", "10"),)
    assert said(run(parameters=(("epochs", "10"), ("since", "x"))), job) == (("since", "x"),)
    assert said(run(parameters=(("epochs", "20"),)), None) == (("epochs", "20"),)


@pytest.mark.parametrize(
    ("newer", "values"),
    [
        ((replace(EPOCHS, default="30"), SINCE), (("epochs", "30"), ("since", "x"))),
        ((RATE, SINCE), (("learning-rate", "3e-3"), ("since", "x"))),
        ((EPOCHS,), None),
        ((EPOCHS, replace(SINCE, enum=("y",))), None),
        ((EPOCHS, SINCE, Parameter("new")), None),
    ],
    ids=["a newer default", "one came, one went", "what was given is gone", "it no longer fits", "one more is needed"],
)
def test_T4_under_a_newer_definition_what_was_given_stays(
    newer: tuple[Parameter, ...], values: tuple[tuple[str, str], ...] | None
) -> None:
    old = spec(parameters=(EPOCHS, SINCE))
    given = run(parameters=(("epochs", "10"), ("since", "x")))
    assert carried(given, old, spec(parameters=newer)) == values
