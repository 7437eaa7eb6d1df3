"""In: `strategy` of a job file, its parameters. Out: the Strategy, each value of an axis checked by its parameter."""

from collections.abc import Callable, Mapping
from typing import Any

from ..model.job import Parameter, Strategy
from ..runs.cells import MOST_CELLS
from ..runs.parameters import canonical, fault

Report = Callable[..., None]  # (tokens, code, message, hint)


def read_strategy(said: Mapping[str, Any], parameters: tuple[Parameter, ...], report: Report) -> Strategy:
    """What is wrong is reported at its line. The cells are counted, never made."""
    if not said:
        return Strategy()
    if ("matrix" in said) == ("parallelism" in said):
        report(("strategy",), "strategy-kind", "strategy needs either `matrix` or `parallelism`")
        return Strategy()
    known = {parameter.name: parameter for parameter in parameters}
    axes = tuple(
        (name, _axis(known.get(name, Parameter(name)), values, report))
        for name, values in said.get("matrix", {}).items()
    )
    strategy = Strategy(axes, said.get("parallelism", 0), said.get("max_parallel", 0), said.get("fail_fast", False))
    if strategy.cells > MOST_CELLS:
        sizes = " x ".join(str(len(values)) for _, values in axes)
        report(("strategy", "matrix"), "strategy-cells", f"a slot would have {strategy.cells} cells ({sizes})",
               f"At most {MOST_CELLS}.")  # fmt: skip
    return strategy


def _axis(parameter: Parameter, values: list[str], report: Report) -> tuple[str, ...]:
    place = ("strategy", "matrix", parameter.name)
    found: dict[str, None] = {}
    for index, text in enumerate(values):
        if wrong := fault(parameter, text):
            report((*place, str(index)), "parameter-invalid", f"a value of {parameter.name} {wrong}")
            continue
        word = canonical(parameter, text)
        if word in found:
            report((*place, str(index)), "strategy-twice", f"{parameter.name} has this value twice", "Keep one.")
        found[word] = None
    return tuple(found)
