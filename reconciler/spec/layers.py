"""In: documents from the root's `_defaults.yaml` down to the job file. Out: one map of fields, each with its place.

Scalars and lists replace, maps merge by key. `schedule` and a `resources` that names a `size` replace as a whole, and
a `script` drops an inherited command, as a command drops an inherited script.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..model.job import Location
from ..model.problem import SpecProblem
from . import code, fields, secrets
from .document import Document
from .places import Places, part_names

MERGED = frozenset({"labels", "environment", "resources", "retries", "history", "dst", "files", "queue", "parameters",
                    "packages"})  # fmt: skip
_OWN = ("name", "moved_from")  # say something of one job, so a `_defaults.yaml` cannot say them
_ARGV = ("command", "entrypoint")

_FORMS: dict[str, Callable[[Any, fields.Report], Any]] = {
    "labels": fields.labels,
    "environment": fields.environment,
    "command": fields.argv,
    "entrypoint": fields.argv,
    "resources": fields.resources,
    "volumes": fields.volumes,
    "networks": fields.networks,
    "timeout": fields.positive_duration,
    "stop_grace_period": fields.duration,
    "start_deadline": fields.positive_duration,
    "hold_on_failure": fields.hold,
    "outputs": fields.outputs,
    "repositories": code.repositories,
    "concurrency_policy": fields.concurrency,
    "retries": fields.retries,
    "history": fields.history,
    "queue": fields.queue,
    "after": fields.after,
    "wait_for": fields.wait_for,
    "cap_add": fields.capabilities,
    "files": fields.files,
    "secrets": secrets.references,
}


class Layer(NamedTuple):
    """One document, its values in one form each; `folder` is its full path. `problems` may be warnings alone."""

    document: Document
    folder: str
    values: dict[str, Any]
    problems: tuple[SpecProblem, ...]
    inherited: bool

    @property
    def usable(self) -> bool:
        return not any(problem.is_error for problem in self.problems)


@dataclass(frozen=True, slots=True)
class Base:
    """What the `_defaults.yaml` files above a folder say together. `origin` tells which one decided a field, `parts`
    which one a key of a map; `places` has all of both."""

    values: dict[str, Any]
    origin: dict[str, Layer]
    parts: dict[tuple[str, str], Layer]
    places: dict[str, Location]


class Merged(NamedTuple):
    """The fields of one job: its own file's, on top of what it inherits."""

    own: Layer
    base: Base
    values: dict[str, Any]

    def layer_of(self, tokens: tuple[str, ...]) -> Layer:
        """Which file said what the path names."""
        if not tokens:
            return self.own
        if tokens[0] not in self.own.values:
            return self.base.origin.get(tokens[0], self.own)
        if len(tokens) == 1 or tokens[0] not in MERGED or tokens[1] in self.own.values[tokens[0]]:
            return self.own
        return self.base.parts.get((tokens[0], tokens[1]), self.own)

    def problem(
        self, tokens: tuple[str, ...], code: str, message: str, hint: str = "", *, warning: bool = False
    ) -> SpecProblem:
        """A problem at the place where the value was written, in whichever file."""
        return self.layer_of(tokens).document.problem(tokens, code, message, hint, warning=warning)

    def lines(self) -> Places:
        """By field, and by `field.key` for keys of a map that stand on a line of their own or come from elsewhere."""
        document, inherited = self.own.document, self.base.places
        names, lines = list(document.lines), list(document.lines.values())
        for name, below in document.below.items():
            if name not in MERGED:
                continue
            line, parts = document.lines[name], part_names(name, tuple(below))
            if not inherited and line not in below.values():
                names += parts
                lines += below.values()
                continue
            for part, at in zip(parts, below.values(), strict=True):
                if at != line or part in inherited:
                    names.append(part)
                    lines.append(at)
        if inherited:
            inherited = {name: at for name, at in inherited.items() if name.partition(".")[0] in self.values}
        return Places(document.path, tuple(names), tuple(lines), inherited)


class _Reporter:
    """Collects problems of one document; `field` is the one being read."""

    __slots__ = ("document", "field", "problems")

    def __init__(self, document: Document) -> None:
        self.document = document
        self.field = ""
        self.problems: list[SpecProblem] = []

    def __call__(
        self, tokens: tuple[str, ...], code: str, message: str, hint: str = "", *, warning: bool = False
    ) -> None:
        place = (self.field, *tokens)
        named = f"{self.field}: {message}" if code != "not-a-shell" else message
        self.problems.append(self.document.problem(place, code, named, hint, warning=warning))


def make_layer(document: Document, folder: str, *, inherited: bool) -> Layer:
    """Bring every field into its one form."""
    report = _Reporter(document)
    values = dict(document.data)
    for name, value in document.data.items():
        form = _FORMS.get(name)
        if form is not None:
            report.field = name
            values[name] = form(value, report)
    if inherited:
        _refuse_own(document, report)
    if "script" in values and (values.keys() & set(_ARGV)):
        report.field = "script"
        report(
            (), "script-and-command", "stands beside `command` or `entrypoint`, which it replaces", "Keep one of them."
        )
    return Layer(document, folder, values, tuple(report.problems), inherited)


def _refuse_own(document: Document, report: _Reporter) -> None:
    for name in _OWN:
        if name in document.data:
            report.field = name
            report((), "not-a-default", "says something of one job, so it cannot be a default")


def merge_defaults(layers: Sequence[Layer]) -> Base:
    """Outermost first."""
    values: dict[str, Any] = {}
    origin: dict[str, Layer] = {}
    parts: dict[tuple[str, str], Layer] = {}
    for layer in layers:
        values = _on_top(values, layer)
        for name, value in layer.values.items():
            origin[name] = layer
            if name in MERGED:
                parts.update({(name, key): layer for key in value})
    places = {name: _location(origin[name], origin[name].document.lines[name]) for name in values}
    for (name, key), layer in parts.items():
        if name in values and key in values[name] and name in layer.document.below:
            places[f"{name}.{key}"] = _location(layer, layer.document.below[name][key])
    return Base(values, origin, parts, places)


NO_DEFAULTS = Base({}, {}, {}, {})


def merge(base: Base, own: Layer) -> Merged:
    return Merged(own, base, _on_top(base.values, own) if base.values else own.values)


def _on_top(values: dict[str, Any], layer: Layer) -> dict[str, Any]:
    """`values`, where the layer does not speak; the layer's, where it does."""
    dropped = _ARGV if "script" in layer.values else ("script",) if layer.values.keys() & set(_ARGV) else ()
    merged = {name: value for name, value in values.items() if name not in dropped}
    for name, value in layer.values.items():
        if name in MERGED and name in merged and not (name == "resources" and "size" in value):
            merged[name] = {**merged[name], **value}
        else:
            merged[name] = value
    return merged


def _location(layer: Layer, line: int) -> Location:
    return Location(layer.document.path, line, inherited=True)
