"""In: the bytes of a file and its compiled schema. Out: typed data, or None at the first thing out of the ordinary.

The fast way for files that are right, which nearly all are: one pass over libyaml's events makes typed values and
keeps nothing else. Whatever it does not expect, a wrong type or an anchor or a key given twice, ends it with None;
then `yamlread` reads the file again and says what is wrong, and where. A property test keeps the two agreed.
Recursion is as deep as the schema, not as the file.
"""

from collections.abc import Callable
from typing import Any

import yaml
from yaml.cyaml import CParser  # type: ignore[attr-defined]
from yaml.events import (
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

from .rules import NULLS, ListRule, MapRule, Rule, any_text
from .yamlread import MAX_BYTES, MAX_KEY, MAX_SCALAR, PLAIN_ASCII, forbidden

Lines = dict[str, int]  # from 1


class _Unusual(Exception):
    """Left to the reader that explains."""


def read_valid(data: bytes, rule: Rule) -> tuple[dict[str, object], Lines, dict[str, Lines]] | None:
    """`(values, lines of the top-level keys, lines of the keys one level below)`; None if it is not plainly right."""
    if len(data) > MAX_BYTES or rule.map is None:
        return None
    if data.translate(None, PLAIN_ASCII) and forbidden(data) is not None:
        return None
    try:
        return _Gate(data).read(rule.map)
    except (_Unusual, yaml.YAMLError):
        return None


class _Gate:
    """One file on its way through. `careful`: it holds a character that begins an anchor, a tag or an escape, or is so
    long that a single value may be too long; only then is every value looked at."""

    __slots__ = ("careful", "next_event")

    def __init__(self, data: bytes) -> None:
        self.next_event: Callable[[], Any] = CParser(data).get_event
        self.careful = b"&" in data or b"!" in data or b"\\" in data or len(data) > MAX_SCALAR

    def read(self, rule: MapRule) -> tuple[dict[str, object], Lines, dict[str, Lines]]:
        self._expect(StreamStartEvent)
        start = self._expect(DocumentStartEvent)
        if start.version is not None or start.tags:
            raise _Unusual
        self._check(self._expect(MappingStartEvent))
        lines: Lines = {}
        below: dict[str, Lines] = {}
        values = self._map(rule, lines, below)
        self._expect(DocumentEndEvent)
        self._expect(StreamEndEvent)
        return values, lines, below

    def _expect(self, kind: type) -> Any:
        event = self.next_event()
        if type(event) is not kind:
            raise _Unusual
        return event

    def _check(self, event: Any) -> None:
        if event.anchor is not None or event.tag is not None:
            raise _Unusual
        if type(event) is ScalarEvent and (len(event.value) > MAX_SCALAR or forbidden(event.value) is not None):
            raise _Unusual

    def _map(self, rule: MapRule, lines: Lines | None, below: dict[str, Lines] | None) -> dict[str, object]:
        """Up to the end of the mapping. `lines` and `below` are filled where they are given."""
        values: dict[str, object] = {}
        faults: list[Any] = []
        field, rest, is_key = rule.fields.get, rule.rest, rule.is_key
        next_event, careful = self.next_event, self.careful
        while type(event := next_event()) is ScalarEvent:
            key = event.value
            known = field(key)
            if known is not None:
                key, of = known
            elif rest is not None and len(key) <= MAX_KEY and is_key(key):
                of = rest
            else:
                raise _Unusual
            if key in values:
                raise _Unusual
            if careful:
                self._check(event)
            if lines is not None:
                lines[key] = event.start_mark.line + 1  # type: ignore[union-attr]
            event = next_event()
            if type(event) is not ScalarEvent:
                inner: Lines | None = None
                if below is not None and type(event) is MappingStartEvent:
                    inner = below[key] = {}
                values[key] = self._nested(event, of, inner)
                continue
            if careful:
                self._check(event)
            fits = of.fits
            if fits is not None:
                value = values[key] = event.value
                if fits is not any_text and not fits(value):
                    raise _Unusual
                if value in NULLS and not event.style:
                    raise _Unusual
            elif of.text is not None:
                values[key] = of.text(event, faults)
            else:
                raise _Unusual
        if faults or type(event) is not MappingEndEvent or (rule.bounded and not rule.complete(values)):
            raise _Unusual
        return values

    def _nested(self, event: Any, rule: Rule, lines: Lines | None) -> object:
        kind = type(event)
        if event.anchor is not None or event.tag is not None:
            raise _Unusual
        if kind is MappingStartEvent and rule.map is not None:
            return self._map(rule.map, lines, None)
        if kind is SequenceStartEvent and rule.list is not None:
            return self._list(rule.list)
        raise _Unusual

    def _list(self, rule: ListRule) -> list[object]:
        values: list[object] = []
        faults: list[Any] = []
        item, text = rule.item, rule.item.text
        next_event, careful = self.next_event, self.careful
        while type(event := next_event()) is not SequenceEndEvent:
            if text is not None and type(event) is ScalarEvent:
                if careful:
                    self._check(event)
                values.append(text(event, faults))
            else:
                values.append(self._nested(event, item, None))
        if faults or not rule.min_size <= len(values) <= rule.max_size:
            raise _Unusual
        return values
