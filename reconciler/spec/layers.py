"""In: documents from the root's `_defaults.yaml` down to the job file. Out: one map of fields, each with its place.

Scalars and lists replace, maps merge by key. `schedule` and a `resources` that names a `size` replace as a whole, and
a `script` drops an inherited command, as a command drops an inherited script.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..model.job import Location
from ..model.problem import SpecProblem
from . import fields
from .document import Document
from .nodes import Mapping

MERGED = frozenset({"labels", "environment", "resources", "retries", "history", "dst", "files"})
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
    "concurrency_policy": fields.concurrency,
    "retries": fields.retries,
    "history": fields.history,
    "cap_add": fields.capabilities,
    "files": fields.files,
}


@dataclass(frozen=True, slots=True)
class Layer:
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
class Merged:
    """The fields of one job. `layers` are those that say something, the job file last; `origin` tells which one
    decided a field, `parts` which one decided a key of a map that several of them filled."""

    layers: tuple[Layer, ...]
    values: dict[str, Any]
    origin: dict[str, Layer] = field(default_factory=dict)
    parts: dict[tuple[str, str], Layer] = field(default_factory=dict)

    def layer_of(self, tokens: tuple[str, ...]) -> Layer:
        own = self.layers[-1]
        if len(tokens) > 1 and (tokens[0], tokens[1]) in self.parts:
            return self.parts[tokens[0], tokens[1]]
        return self.origin.get(tokens[0], own) if tokens else own

    def problem(
        self, tokens: tuple[str, ...], code: str, message: str, hint: str = "", *, warning: bool = False
    ) -> SpecProblem:
        """A problem at the place where the value was written, in whichever file."""
        return self.layer_of(tokens).document.problem(tokens, code, message, hint, warning=warning)

    def lines(self) -> dict[str, Location]:
        """By field, and by `field.key` for keys of a map that stand on a line of their own or come from elsewhere."""
        found: dict[str, Location] = {}
        own = self.layers[-1]
        for name, value in self.values.items():
            layer = self.origin.get(name, own)
            keys = layer.document.root.keys
            found[name] = here = Location(layer.document.path, keys[name].line + 1, layer.inherited)
            if name in MERGED:
                for key in value:
                    of = self.parts.get((name, key), layer)
                    node = of.document.root.items.get(name)
                    if type(node) is Mapping and key in node.keys:
                        line = node.keys[key].line + 1
                        if line != here.line or of is not layer:
                            found[f"{name}.{key}"] = Location(of.document.path, line, of.inherited)
        return found


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
        report((), "script-and-command", "stands beside `command` or `entrypoint`, which it replaces", "Keep one of them.")
    return Layer(document, folder, values, tuple(report.problems), inherited)


def _refuse_own(document: Document, report: _Reporter) -> None:
    for name in _OWN:
        if name in document.data:
            report.field = name
            report((), "not-a-default", "says something of one job, so it cannot be a default")


def merge(layers: Sequence[Layer]) -> Merged:
    """The last layer is the job file; an earlier one counts where no later one speaks."""
    if len(layers) == 1:
        return Merged((layers[0],), layers[0].values)
    values: dict[str, Any] = {}
    origin: dict[str, Layer] = {}
    parts: dict[tuple[str, str], Layer] = {}
    for layer in layers:
        _drop_replaced(values, layer)
        for name, value in layer.values.items():
            if name in MERGED and name in values and not (name == "resources" and "size" in value):
                before = origin[name]
                for key in values[name]:
                    parts.setdefault((name, key), before)
                value = {**values[name], **value}  # noqa: PLW2901
            if name in MERGED:
                parts.update({(name, key): layer for key in layer.values[name]})
            values[name] = value
            origin[name] = layer
    return Merged(tuple(layers), values, origin, parts)


def _drop_replaced(values: dict[str, Any], layer: Layer) -> None:
    if "script" in layer.values:
        for name in _ARGV:
            values.pop(name, None)
    elif layer.values.keys() & set(_ARGV):
        values.pop("script", None)
