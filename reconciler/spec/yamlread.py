"""In: the bytes of one YAML file. Out: a tree of nodes with places, and what is wrong (rule S4).

Reads libyaml's event stream, which is iterative, and builds the tree itself: PyYAML's own loaders die by a signal on
deep nesting, take the last of two equal keys, and turn `NO` into False. Here every scalar stays text until the
schema says what it is.
"""

import re
from typing import Any

import yaml
from yaml.cyaml import CParser  # type: ignore[attr-defined]
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from ..model.problem import SpecProblem
from .nodes import Mapping, Node, Scalar, Sequence

MAX_BYTES = 256 << 10
MAX_DEPTH = 32
MAX_NODES = 20_000
MAX_SCALAR = 64 << 10  # characters
MAX_KEY = 1024  # characters; libyaml's own bound for keys on one line
MAX_PROBLEMS = 50  # of structure, per file

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
PLAIN_ASCII = bytes([9, 10, *range(0x20, 0x7F)])
# C0 and C1 controls, lone CR, the line breaks that only YAML sees, bidi marks and overrides, BOM, non-characters.
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]"
    "|\r(?!\n)"
)
_SHARE = "Put what jobs share into a _defaults.yaml."

_HINTS = {
    "found character that cannot start any token": "Indent with spaces, not tabs; quote text that begins with @ or `.",
    "mapping values are not allowed in this context": "Quote text that holds a colon and a space; check the indent.",
    "did not find expected key": "Check the indent of this line and of the one before, and that quotes are closed.",
    "could not find expected ':'": "A key needs a colon and a space; check the indent of the lines before.",
    "did not find expected '-' indicator": "Check the indent: the entries of a list stand in one column.",
    "did not find expected ',' or ']'": "A list in brackets is not closed, or a comma is missing.",
    "did not find expected ',' or '}'": "A map in braces is not closed, or a comma is missing.",
    "found unexpected end of stream": "A quote, bracket or brace is not closed.",
    "found unknown escape character": "In double quotes a backslash begins an escape; use single quotes.",
}


def forbidden(data: bytes | str) -> str | None:
    """The first character that may not be in a file or value, or "not UTF-8"; None if there is none."""
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
    except UnicodeDecodeError:
        return "not UTF-8"
    found = _FORBIDDEN.search(text)
    return None if found is None else found[0]


class Stop(Exception):
    """What was read so far is not worth going on from; the problem is recorded."""


class Reading:
    """The problems of one file, as they are met."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.problems: list[SpecProblem] = []

    def add(self, event: Any, code: str, message: str, hint: str = "") -> None:
        """Record a problem where an event or node begins."""
        self.put(event.start_mark.line, event.start_mark.column, code, message, hint)

    def put(self, line: int, column: int, code: str, message: str, hint: str = "") -> None:
        """Record a problem at a place that counts from 0."""
        self.problems.append(SpecProblem(self.path, line + 1, column + 1, code, message, hint))
        if len(self.problems) >= MAX_PROBLEMS:
            raise Stop

    def stop(self, event: Any, code: str, message: str, hint: str = "") -> Stop:
        """Record a problem after which nothing can be read; None = the file as a whole."""
        if event is None:
            self.put(0, 0, code, message, hint)
        else:
            self.add(event, code, message, hint)
        return Stop()


def read_yaml(data: bytes, path: str) -> tuple[Mapping | None, list[SpecProblem]]:
    """The top-level mapping, or None if reading had to stop; and the problems of structure that were met: with any of
    them the file is not to be used, but the tree may show further problems. Of equal keys it holds the first.

    Never raises on hostile bytes: what libyaml reports becomes a problem. Time and depth are bounded.
    """
    reading = Reading(path)
    try:
        text = checked(data, reading)
        return _build(CParser(text), reading, escapes=b"\\" in text), reading.problems
    except Stop:
        return None, reading.problems
    except yaml.YAMLError as error:
        reading.problems.append(syntax_problem(error, path))
        return None, reading.problems


def checked(data: bytes, reading: Reading) -> bytes:
    """`data` without a byte order mark, if it is text that shows what it says."""
    if len(data) > MAX_BYTES:
        raise reading.stop(None, "file-too-large", f"the file has more than {MAX_BYTES >> 10} KiB")
    if not data.translate(None, PLAIN_ASCII):
        return data
    data = data.removeprefix(BYTE_ORDER_MARK)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1)
        reading.put(data.count(b"\n", 0, error.start), column, "not-utf8", "the file is not UTF-8", "Save it as UTF-8.")
        raise Stop from error
    found = _FORBIDDEN.search(text)
    if found is not None:
        at = found.start()
        message = f"the character U+{ord(found[0]):04X} is not allowed: it is invisible or changes how the line reads"
        line, column = text.count("\n", 0, at), at - (text.rfind("\n", 0, at) + 1)
        reading.put(line, column, "control-character", message, "Remove it.")
        raise Stop
    return data


def _build(parser: Any, reading: Reading, *, escapes: bool) -> Mapping:
    """Drive the event stream: one loop, one stack, no recursion."""
    next_event = parser.get_event
    stack: list[Any] = []  # what is open: Mapping or Sequence
    root: Node | None = None
    key: str | None = None
    here: Any = None
    in_mapping = False
    documents = nodes = 0
    while (event := next_event()) is not None:
        kind = type(event)
        if kind is ScalarEvent:
            if event.anchor is not None or event.tag is not None:
                _refuse_properties(event, reading)
            if in_mapping and key is None:
                key = event.value
                if key in here.keys or len(key) > MAX_KEY or key == "<<" or not key.isprintable():
                    _refuse_key(event, here, reading)
                else:
                    here.keys[key] = event.start_mark
                continue
            if len(event.value) > MAX_SCALAR or (escapes and event.style == '"'):
                _check_text(event, reading)
            node: Node = event
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            _check_start(event, reading, as_key=in_mapping and key is None, depth=len(stack))
            node = Mapping(event.start_mark) if kind is MappingStartEvent else Sequence(event.start_mark)
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            stack.pop()
            here = stack[-1] if stack else None
            in_mapping, key = type(here) is Mapping, None
            continue
        else:
            documents += _other(event, kind, documents, reading)
            continue
        nodes += 1
        if nodes > MAX_NODES:
            raise reading.stop(event, "too-many-nodes", f"more than {MAX_NODES:,} values in one file")
        if in_mapping:
            here.items.setdefault(key, node)
            key = None
        elif here is not None:
            here.items.append(node)
        else:
            root = node
        if kind is not ScalarEvent:
            here = node
            stack.append(node)
            in_mapping = kind is MappingStartEvent
    return _top(root, reading)


def _top(root: Node | None, reading: Reading) -> Mapping:
    if isinstance(root, Mapping):
        return root
    if root is None or (isinstance(root, Scalar) and not root.style and not root.value):
        hint = "An empty file never deletes a job: delete the file."
        raise reading.stop(None, "empty-file", "the file is empty", hint)
    raise reading.stop(root, "not-a-map", "the file must be a map of fields, such as `image: busybox`")


def _refuse_key(event: Any, here: Any, reading: Reading) -> None:
    """Of two equal keys the second is reported, and its value passed over; a merge key in quotes is a key."""
    text: str = event.value
    if text in here.keys:
        first = here.keys[text].line + 1
        message = f'the key "{text[:80]}" is on line {first} and again on line {event.start_mark.line + 1}'
        reading.add(event, "duplicate-key", message, "Keep one of the two.")
    elif text != "<<":
        raise reading.stop(event, "key-invalid", "a key holds invisible characters, or is far too long")
    elif not event.style:
        raise reading.stop(event, "merge-key", "merge keys (`<<`) are not allowed in these files", _SHARE)
    else:
        here.keys[text] = event.start_mark


def _check_text(event: Any, reading: Reading) -> None:
    if len(event.value) > MAX_SCALAR:
        raise reading.stop(event, "value-too-long", f"a value has more than {MAX_SCALAR >> 10} KiB")
    found = forbidden(event.value)
    if found is not None:
        message = f"the value holds the character U+{ord(found):04X}, written as an escape"
        reading.add(event, "control-character", message, "Remove it.")


def _check_start(event: Any, reading: Reading, *, as_key: bool, depth: int) -> None:
    """Of a list or map that begins."""
    if event.anchor is not None or event.tag is not None:
        _refuse_properties(event, reading)
    if as_key:
        hint = "Quote text that holds braces or brackets."
        raise reading.stop(event, "key-not-text", "a key must be text, not a list or a map", hint)
    if depth >= MAX_DEPTH:
        raise reading.stop(event, "too-deep", f"nested deeper than {MAX_DEPTH} levels")


def _refuse_properties(event: Any, reading: Reading) -> None:
    if event.anchor is not None:
        reading.add(event, "anchor", "anchors (`&name`) are not allowed in these files", _SHARE)
    if event.tag is not None:
        reading.add(event, "tag", "tags (`!name`) are not allowed in these files", "Remove it, or quote the text.")


def _other(event: Any, kind: type, documents: int, reading: Reading) -> int:
    """1 for the start of a document. An alias, a second document or a directive stops the reading."""
    if kind is AliasEvent:
        raise reading.stop(event, "alias", "aliases (`*name`) are not allowed in these files", f"{_SHARE} Or quote it.")
    if kind is not DocumentStartEvent:
        return 0
    if documents:
        hint = "One file is one job: put the second into a file of its own."
        raise reading.stop(event, "several-documents", "a second document begins here", hint)
    if event.version is not None or event.tags:
        hint = "Remove the lines that begin with %."
        raise reading.stop(event, "directive", "directives (`%YAML`, `%TAG`) are not allowed", hint)
    return 1


def syntax_problem(error: yaml.YAMLError, path: str) -> SpecProblem:
    """libyaml's messages are fixed texts, never parts of the file."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    text = getattr(error, "problem", None) or "this is not YAML"
    context = getattr(error, "context", None)
    message = f"not valid YAML: {text}" + (f" {context}" if context else "")
    return SpecProblem(path, line, column, "yaml-syntax", message, _HINTS.get(text, ""))
