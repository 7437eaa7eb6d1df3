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

from .rules import ListRule, MapRule, Rule
from .yamlread import MAX_BYTES, MAX_KEY, MAX_SCALAR, PLAIN_ASCII, forbidden

Lines = dict[str, int]  # from 1
NextEvent = Callable[[], Any]


class _Unusual(Exception):
    """Left to the reader that explains."""


def read_valid(data: bytes, rule: Rule) -> tuple[dict[str, object], Lines, dict[str, Lines]] | None:
    """`(values, line of each top-level key, lines of the keys one level below)`; None if the file is not plainly right."""
    try:
        return _read(data, rule)
    except (_Unusual, yaml.YAMLError):
        return None


def _read(data: bytes, rule: Rule) -> tuple[dict[str, object], Lines, dict[str, Lines]]:
    if len(data) > MAX_BYTES or rule.map is None:
        raise _Unusual
    if data.translate(None, PLAIN_ASCII):
        if forbidden(data) is not None:
            raise _Unusual
    next_event: NextEvent = CParser(data).get_event
    _expect(next_event(), StreamStartEvent)
    start = next_event()
    if type(start) is not DocumentStartEvent or start.version is not None or start.tags:
        raise _Unusual
    first = next_event()
    if type(first) is not MappingStartEvent or first.anchor is not None or first.tag is not None:
        raise _Unusual
    lines: Lines = {}
    below: dict[str, Lines] = {}
    values = _map(next_event, rule.map, lines, below, b"\\" in data)
    _expect(next_event(), DocumentEndEvent)
    _expect(next_event(), StreamEndEvent)
    return values, lines, below


def _expect(event: Any, kind: type) -> None:
    if type(event) is not kind:
        raise _Unusual


def _map(
    next_event: NextEvent, rule: MapRule, lines: Lines | None, below: dict[str, Lines] | None, escapes: bool
) -> dict[str, object]:
    """Up to the end of the mapping. `lines` and `below` are filled where they are given."""
    values: dict[str, object] = {}
    fields, rest = rule.fields, rule.rest
    faults: list[Any] = []
    while type(event := next_event()) is ScalarEvent:
        key = event.value
        known = fields.get(key)
        if known is not None:
            key, of = known
        elif rest is not None and rule.key_fits(key) and len(key) <= MAX_KEY and key.isprintable():
            of = rest
        else:
            raise _Unusual
        if key in values or event.anchor is not None or event.tag is not None or (key == "<<" and not event.style):
            raise _Unusual
        if lines is not None:
            lines[key] = event.start_mark.line + 1
        event = next_event()
        text = of.text
        if text is not None and type(event) is ScalarEvent:
            if event.anchor is not None or event.tag is not None or len(event.value) > MAX_SCALAR:
                raise _Unusual
            if escapes and event.style == '"' and forbidden(event.value):
                raise _Unusual
            values[key] = text(event, faults)
        elif below is not None and of.map is not None and type(event) is MappingStartEvent:
            below[key] = inner = {}
            values[key] = _nested(next_event, event, of, inner, escapes)
        else:
            values[key] = _nested(next_event, event, of, None, escapes)
    if faults or type(event) is not MappingEndEvent or not rule.complete(values):
        raise _Unusual
    return values


def _nested(next_event: NextEvent, event: Any, rule: Rule, lines: Lines | None, escapes: bool) -> object:
    if event.anchor is not None or type(event) not in (MappingStartEvent, SequenceStartEvent) or event.tag is not None:
        raise _Unusual
    if type(event) is MappingStartEvent:
        if rule.map is None:
            raise _Unusual
        return _map(next_event, rule.map, lines, None, escapes)
    if rule.list is None:
        raise _Unusual
    return _list(next_event, rule.list, escapes)


def _list(next_event: NextEvent, rule: ListRule, escapes: bool) -> list[object]:
    values: list[object] = []
    faults: list[Any] = []
    item, text = rule.item, rule.item.text
    while type(event := next_event()) is not SequenceEndEvent:
        if text is not None and type(event) is ScalarEvent:
            if event.anchor is not None or event.tag is not None or len(event.value) > MAX_SCALAR:
                raise _Unusual
            if escapes and event.style == '"' and forbidden(event.value):
                raise _Unusual
            values.append(text(event, faults))
        else:
            values.append(_nested(next_event, event, item, None, escapes))
    if faults or not rule.min_size <= len(values) <= rule.max_size:
        raise _Unusual
    return values
