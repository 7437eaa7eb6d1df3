"""In: the bytes of a file and a schema. Out: typed data with places, or every problem: the boundary of bad input."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, TypeVar

from ..model.problem import SpecProblem
from .gate import Lines, read_valid
from .nodes import Mapping, locate, pointer
from .rules import Faults, Rule, compile_rule
from .schemas import SchemaName, schema
from .yamlread import BYTE_ORDER_MARK, read_yaml

T = TypeVar("T")


class Document(NamedTuple):
    """A file that fits its schema. `data` is typed by the schema; `lines` has the line of each top-level key, `below`
    those of the keys of a map under one. For more places the file is read again: only problems need them."""

    path: str
    data: dict[str, object]
    lines: Lines
    below: dict[str, Lines]
    raw: bytes

    def problem(
        self, tokens: tuple[str, ...], code: str, message: str, hint: str = "", *, warning: bool = False
    ) -> SpecProblem:
        """A problem of the value that `tokens` names."""
        root, _ = read_yaml(self.raw, self.path)
        line, column = locate(root, tokens) if root is not None else (1, 1)
        severity = "warning" if warning else "error"
        return SpecProblem(self.path, line, column, code, message, hint, pointer(tokens), severity)


@lru_cache(maxsize=4)
def rule_of(name: SchemaName) -> Rule:
    return compile_rule(schema(name), schema(name))


def guarded(path: str, work: Callable[[], T]) -> T | tuple[SpecProblem, ...]:
    """What `work` returns; or, if it fails on this file in a way nobody thought of, one problem that says so.

    The one boundary of rule S4: no file, whatever it holds, keeps the others from being read.
    """
    try:
        return work()
    except Exception as error:  # noqa: BLE001
        message = f"cannot read this file ({type(error).__name__})"
        return (SpecProblem(path, 1, 1, "unreadable-file", message, "Please report it, with the file, as a bug."),)


def read_document(data: bytes, path: str, name: SchemaName) -> Document | tuple[SpecProblem, ...]:
    """Read and check one file. Whatever the bytes are: a Document, or at least one problem; never an exception."""
    return guarded(path, lambda: _read(data, path, name))


def read_sound_part(data: bytes, path: str, name: SchemaName, broken: frozenset[str]) -> Document | None:
    """The fields of a file that has problems, without the top-level `broken` ones: for what else is wrong with it.

    None if the file is no map of fields at all.
    """
    data = data.removeprefix(BYTE_ORDER_MARK)
    root, _ = read_yaml(data, path)
    if not isinstance(root, Mapping):
        return None
    values = rule_of(name).read(root, [])
    known = schema(name)["properties"]
    sound = {key: value for key, value in values.items() if key in known and key not in broken}  # type: ignore[attr-defined]
    return Document(path, sound, {key: root.keys[key].line + 1 for key in sound}, {}, data)


def _read(data: bytes, path: str, name: SchemaName) -> Document | tuple[SpecProblem, ...]:
    rule = rule_of(name)
    data = data.removeprefix(BYTE_ORDER_MARK)
    valid = read_valid(data, rule)
    if valid is not None:
        return Document(path, *valid, data)
    root, problems = read_yaml(data, path)
    if root is None:
        return tuple(problems)
    faults: Faults = []
    values = rule.read(root, faults)
    if faults:
        from .messages import explain  # jsonschema is heavy, and only needed for files that are wrong

        problems += explain(values, root, path, name, faults)
    return tuple(problems) or (SpecProblem(path, 1, 1, "unreadable-file", "cannot read this file"),)
