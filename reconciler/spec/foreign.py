"""In: the bytes of a YAML or JSON file that another program reads. Out: its documents as nodes with places.

Job files may hold no anchors, aliases, merge keys, tags or second documents; the files that people bring from elsewhere
do. Here they are resolved, as libyaml's other users do, within the same bounds: an alias counts as much as what it
stands for, so that a few lines cannot mean millions of values.
"""

import re
from typing import Any

import yaml
from yaml.cyaml import CParser  # type: ignore[attr-defined]
from yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from ..model.problem import SpecProblem
from .nodes import Mapping, Node, Scalar, Sequence, mark_of
from .yamlread import MAX_DEPTH, MAX_NODES, Reading, Stop, checked, syntax_problem

_PAIR = re.compile(rb"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_MERGE = "<<"


def read_documents(data: bytes, path: str) -> tuple[list[Node], list[SpecProblem]]:
    """The documents that could be read, each a tree in which an alias is the very node it names; and what is wrong.

    Of equal keys the last counts, as with most readers, and the problem says so. Never raises on hostile bytes.
    """
    reading = Reading(path)
    documents: list[Node] = []
    try:
        _Builder(CParser(_PAIR.sub(_joined, checked(data, reading))), reading, documents).build()
    except Stop:
        pass
    except yaml.YAMLError as error:
        reading.problems.append(syntax_problem(error, path))
    return documents, reading.problems


def _joined(match: re.Match[bytes]) -> bytes:
    r"""JSON writes `\ud83d\ude00` for one character beyond the first plane, which YAML does not know."""
    high, low = int(match[2], 16), int(match[3], 16)
    return match[1] + b"\\U%08x" % (0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))


class _Open:
    """A map or list that has begun. `before`: how many values there were then; `key`: one that waits for its value;
    `height`: of the deepest thing in it, aliases followed."""

    __slots__ = ("anchor", "before", "height", "key", "merged", "node")

    def __init__(self, node: Mapping | Sequence, anchor: str | None, before: int) -> None:
        self.node, self.anchor, self.before = node, anchor, before
        self.height = 1
        self.key: Scalar | None = None
        self.merged: list[Node] = []


class _Builder:
    """One loop over the events, one stack, no recursion."""

    def __init__(self, parser: Any, reading: Reading, documents: list[Node]) -> None:
        self._parser, self._reading, self._documents = parser, reading, documents
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int, int]] = {}  # the node, its values, its height
        self._nodes = 0

    def build(self) -> None:
        while (event := self._parser.get_event()) is not None:
            kind = type(event)
            if kind is ScalarEvent:
                self._count(event, 0 if self._at_key() else 1)
                self._anchor(event.anchor, event, 1, 0)
                self._place(event, event)
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                self._begin(event, kind is MappingStartEvent)
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                self._end()
            elif kind is AliasEvent:
                self._alias(event)
            elif not self._stack:
                self._anchors.clear()  # a document begins or ends, and names hold in one alone

    def _at_key(self) -> bool:
        return bool(self._stack) and self._stack[-1].key is None and isinstance(self._stack[-1].node, Mapping)

    def _count(self, event: Any, more: int) -> None:
        self._nodes += more
        if self._nodes > MAX_NODES:
            raise self._reading.stop(event, "too-many-nodes", f"more than {MAX_NODES:,} values in one file")

    def _anchor(self, name: str | None, node: Node, weight: int, height: int) -> None:
        if name is not None:
            self._anchors[name] = (node, weight, height)

    def _deep(self, event: Any, height: int) -> None:
        """Something of this height comes into what is open."""
        if len(self._stack) + height > MAX_DEPTH:
            raise self._reading.stop(event, "too-deep", f"nested deeper than {MAX_DEPTH} levels")
        if self._stack:
            self._stack[-1].height = max(self._stack[-1].height, height + 1)

    def _begin(self, event: Any, mapping: bool) -> None:
        self._count(event, 1)
        self._deep(event, 1)
        node = Mapping(event.start_mark) if mapping else Sequence(event.start_mark)
        self._place(node, event)
        self._stack.append(_Open(node, event.anchor, self._nodes - 1))

    def _end(self) -> None:
        done = self._stack.pop()
        if isinstance(done.node, Mapping):
            for other in done.merged:
                self._merge(done.node, other)
        self._anchor(done.anchor, done.node, self._nodes - done.before, done.height)
        if self._stack:
            self._stack[-1].height = max(self._stack[-1].height, done.height + 1)
        else:
            self._documents.append(done.node)

    def _merge(self, node: Mapping, other: Node) -> None:
        """Keys of its own count more than those merged, the first merged more than the next."""
        for source in other.items if isinstance(other, Sequence) else [other]:
            if isinstance(source, Mapping):
                for key, value in source.items.items():
                    if key not in node.items:
                        node.items[key], node.keys[key] = value, source.keys[key]

    def _alias(self, event: Any) -> None:
        known = self._anchors.get(event.anchor)
        if known is None:
            raise self._reading.stop(event, "alias", "an alias names nothing before it, or what it is part of itself")
        self._count(event, known[1])
        self._deep(event, known[2])
        self._place(known[0], event)

    def _place(self, node: Node, event: Any) -> None:
        if not self._stack:
            if isinstance(node, Scalar):
                self._documents.append(node)
            return  # a map or list is a document when it is whole
        top = self._stack[-1]
        if isinstance(top.node, Sequence):
            top.node.items.append(node)
        elif top.key is None:
            if not isinstance(node, Scalar):
                raise self._reading.stop(event, "key-not-text", "a key must be text, not a list or a map")
            top.key = node
        else:
            key, top.key = top.key, None
            if key.value == _MERGE and not key.style:
                top.merged.append(node)
                return
            if key.value in top.node.items:
                message = f'the key "{key.value[:80]}" is given twice; the last one counts'
                self._reading.add(key, "duplicate-key", message, "Keep one of the two.")
            top.node.items[key.value], top.node.keys[key.value] = node, mark_of(key)
