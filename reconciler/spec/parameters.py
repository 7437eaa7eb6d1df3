"""In: `parameters` of a job file. Out: the parameters, each value checked by its type; clashes of their variables."""

from collections.abc import Callable, Mapping
from typing import Any

from ..model.job import Parameter, ParameterType
from ..runs.parameters import canonical, fault, variable
from .fields import RESERVED_VARIABLES

Report = Callable[..., None]  # (tokens, code, message, hint)
Tokens = tuple[str, ...]

# Set by a value of somebody else, these would change which program is run.
_CLOSED = ("PATH", "IFS")
_CLOSED_PREFIX = "LD_"


def read_parameters(said: Mapping[str, dict[str, Any]], report: Report) -> tuple[Parameter, ...]:
    """By name. A default or a choice of the wrong type is reported at its own line."""
    found = []
    for name in sorted(said):
        values = said[name]
        kind = ParameterType(values.get("type", "string"))
        plain = Parameter(name, kind)
        place = ("parameters", name)
        choices = values.get("enum", ())
        for index, text in enumerate(choices):
            if wrong := fault(plain, text):
                report((*place, "enum", str(index)), "parameter-invalid", f"a choice of parameter {name} {wrong}")
        parameter = Parameter(name, kind, values.get("default"), tuple(choices), values.get("description", ""))
        if parameter.default is not None and not any(fault(plain, text) for text in choices):
            if wrong := fault(parameter, parameter.default):
                report((*place, "default"), "parameter-invalid", f"the default of parameter {name} {wrong}")
                continue
            parameter = Parameter(name, kind, canonical(plain, parameter.default), parameter.enum,
                                  parameter.description)  # fmt: skip
        found.append(parameter)
    return tuple(found)


def check_variables(places: Mapping[str, Tokens], environment: Mapping[str, str], report: Report) -> None:
    """Every parameter and axis (`places`: where each was written) has a variable of its own."""
    taken: dict[str, str] = {}
    for name, place in places.items():
        word = variable(name)
        if word.startswith(RESERVED_VARIABLES):
            message = f"its variable would be {word}: the reconciler sets those that begin with {RESERVED_VARIABLES}"
            report(place, "variable-reserved", message, "Choose another name.")
        elif word in _CLOSED or word.startswith(_CLOSED_PREFIX):
            message = f"its variable would be {word}, which decides what the command itself is"
            report(place, "variable-reserved", message, "Choose another name.")
        elif word in environment:
            message = f"parameter {name} is delivered as {word}, and `environment` sets that too"
            report(place, "parameter-clash", message, "Keep one of the two.")
        elif word in taken:
            message = f"parameters {taken[word]} and {name} are both delivered as {word}"
            report(place, "parameter-clash", message, "Rename one of them.")
        taken.setdefault(word, name)


def check_defaults(parameters: tuple[Parameter, ...], report: Report) -> None:
    """Nobody gives a run its values that a schedule or another job starts."""
    for parameter in parameters:
        if parameter.default is None:
            message = f"parameter {parameter.name} has no default, and this job starts by itself"
            hint = "Write a default; or start it by hand alone."
            report(("parameters", parameter.name), "parameter-default", message, hint)
