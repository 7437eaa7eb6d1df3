"""In: what a job declares as parameters, and texts that somebody gives. Out: the values of a run, or what is wrong.

A value stays the text as typed: `3e-3` is delivered as `3e-3`. Only booleans have one spelling, true and false.
"""

import re
from collections.abc import Mapping

from ..model.errors import Permanent
from ..model.job import JobSpec, Parameter, ParameterType
from ..model.run import RunRecord

Values = tuple[tuple[str, str], ...]  # (name, text), by name

MAX_LENGTH = 4096  # characters of one value
_SHOWN = 60
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}\Z", re.ASCII)
_NUMBER = re.compile(r"[-+]?[0-9]{1,18}(?:\.[0-9]{1,18})?(?:[eE][-+]?[0-9]{1,2})?\Z", re.ASCII)
_BOOLEANS = {"true": "true", "false": "false"}
_WANTED = {ParameterType.INTEGER: "a whole number", ParameterType.NUMBER: "a number",
           ParameterType.BOOLEAN: "true or false"}  # fmt: skip


def variable(name: str) -> str:
    """The environment variable of a parameter: `learning-rate` -> `LEARNING_RATE`."""
    return name.upper().replace("-", "_")


def canonical(parameter: Parameter, text: str) -> str:
    """The text as it is delivered. It should have no `fault`."""
    return _BOOLEANS[text.lower()] if parameter.type is ParameterType.BOOLEAN else text


def fault(parameter: Parameter, text: str) -> str:
    """What is wrong with a value, as the end of a sentence about the parameter; "" = nothing."""
    if len(text) > MAX_LENGTH:
        return f"is longer than {MAX_LENGTH} characters"
    if not all(char.isprintable() or char in "\n\t" for char in text):
        return "holds a character that cannot be printed"
    if not _of_type(parameter.type, text):
        return f"must be {_WANTED[parameter.type]}, not {shown(text)}"
    if parameter.enum and _sense(parameter, text) not in {_sense(parameter, value) for value in parameter.enum}:
        return f"must be {_either(parameter.enum)}, not {shown(text)}"
    return ""


def shown(text: str) -> str:
    """In quotes, shortened, one line."""
    text = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
    return f'"{text}"' if text.isprintable() else ascii(text)


def resolve(spec: JobSpec, given: Mapping[str, str], axes: frozenset[str] = frozenset()) -> Values:
    """The values of a run: what is given, else the defaults. Raises Permanent for the first thing wrong.

    `axes` are left out: each cell gets those from its place in the matrix.
    """
    job, declared = spec.name, {p.name for p in spec.parameters}
    plain = tuple(Parameter(name) for name in sorted(spec.strategy.axes - declared))
    parameters = tuple(p for p in (*spec.parameters, *plain) if p.name not in axes)
    known = {parameter.name: parameter for parameter in parameters}
    for name, text in given.items():
        if name in axes:
            raise Permanent(f"cannot run {job}: {name} is an axis of its matrix", code="parameter-axis",
                            hint="cells of your own: reconciler run JOB --from runs.csv")  # fmt: skip
        if name not in known:
            raise Permanent(f"cannot run {job}: it has no parameter {shown(name)}", code="parameter-unknown",
                            hint=_nearest(name, known))  # fmt: skip
        if said := fault(known[name], text):
            about = known[name].description
            raise Permanent(f"cannot run {job}: parameter {name} {said}", code="parameter-invalid", hint=about)
    missing = [p.name for p in parameters if p.default is None and p.name not in given]
    if missing:
        raise Permanent(
            f"cannot run {job}: parameter {missing[0]} has no default, so it must be given", code="parameter-missing",
            hint=f"say: --param {missing[0]}=VALUE",
        )  # fmt: skip
    return tuple((p.name, canonical(p, given.get(p.name, p.default or ""))) for p in parameters)


def defaults(spec: JobSpec) -> Values:
    """The values of a run that nobody gives any. A scheduled job has a default for each, or it is not valid."""
    axes = spec.strategy.axes
    return tuple(
        (p.name, canonical(p, p.default)) for p in spec.parameters if p.default is not None and p.name not in axes
    )


def said(run: RunRecord, spec: JobSpec | None) -> Values:
    """Of a run's values those that are no defaults: what tells it from the other runs of its job."""
    usual = set(defaults(spec)) if spec is not None else set()
    return tuple(pair for pair in run.parameters if pair not in usual)


def carried(run: RunRecord, old: JobSpec, new: JobSpec) -> Values | None:
    """The run's values under a newer definition (rule T4): what was given stays, defaults are the newer ones.

    None: the newer one does not take them, so the run keeps the definition that it was claimed with.
    """
    if run.cell is not None:
        return run.parameters if (old.strategy, old.parameters) == (new.strategy, new.parameters) else None
    if new.strategy.cells:
        return None
    try:
        return resolve(new, dict(said(run, old)))
    except Permanent:
        return None


def _of_type(kind: ParameterType, text: str) -> bool:
    if kind is ParameterType.STRING:
        return True
    if kind is ParameterType.BOOLEAN:
        return text.lower() in _BOOLEANS
    return (_INTEGER if kind is ParameterType.INTEGER else _NUMBER).match(text) is not None


def _sense(parameter: Parameter, text: str) -> object:
    """What two texts share that mean the same value: 1e3 and 1000 of a number."""
    if parameter.type is ParameterType.BOOLEAN:
        return text.lower()
    if parameter.type is ParameterType.STRING or not _of_type(parameter.type, text):
        return text
    return int(text) if parameter.type is ParameterType.INTEGER else float(text)


def _either(values: tuple[str, ...]) -> str:
    words = [shown(value) for value in values[:10]] + (["another of its list"] if len(values) > 10 else [])
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _nearest(name: str, known: Mapping[str, Parameter]) -> str:
    from difflib import get_close_matches  # slow to import, and only for what is wrong

    near = get_close_matches(name.lower().replace("_", "-"), known, 1) or get_close_matches(name.lower(), known, 1)
    if near:
        return f'did you mean "{near[0]}"?'
    return f"it has: {', '.join(known)}" if known else "its file declares no `parameters`"
