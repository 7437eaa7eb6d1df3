"""An ini file with the line of each value, which the standard library's reader does not keep."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..spec.nodes import Mapping, Scalar, Sequence
from ..spec.yamlread import forbidden
from .draft import Batch, Place
from .model import NoteCode

_SECTION = re.compile(r"\[\s*([A-Za-z][A-Za-z0-9_.-]*)\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\]\"]*?))\s*\]\s*(?:[;#].*)?\Z")
_ENTRY = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)\s*(?:[=:]\s*(.*))?\Z")
_COMMENT = re.compile(r"(?<=\s)[;#]")


@dataclass(frozen=True, slots=True)
class Section:
    """`[kind "name"]` and its values: a text, or a list of texts for a key that is given several times."""

    kind: str
    name: str
    place: Place
    values: Mapping


def text_node(text: str, place: Place) -> Scalar:
    """A text of a file that is not YAML, as the readers of fields take it: never null, never a number."""
    return Scalar(None, None, (False, True), text, place, place, '"')  # type: ignore[arg-type]  # a Mark by shape


def read_ini(batch: Batch, data: bytes) -> Iterator[Section]:
    """The sections; the first, without kind and name, holds what stands before any. Odd lines are noted."""
    section = Section("", "", Place(0), Mapping(Place(0)))
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n")):
        place = Place(number)
        line = _decoded(batch, raw, place)
        if not line or line[0] in ";#":
            continue
        head = _SECTION.match(line)
        entry = _ENTRY.match(line)
        if head is not None:
            yield section
            name = (head[2] or "").replace('\\"', '"').replace("\\\\", "\\") or (head[3] or "").strip()
            section = Section(head[1].lower(), name, place, Mapping(place))
        elif entry is not None:
            _add(section.values, entry[1], _value(entry[2]), place)
        else:
            batch.note(place, NoteCode.UNREADABLE, "this is neither a section nor a value")
    yield section


def _decoded(batch: Batch, raw: bytes, place: Place) -> str:
    try:
        line = raw.removesuffix(b"\r").decode("utf-8").strip()
    except UnicodeDecodeError:
        batch.note(place, NoteCode.UNREADABLE, "the line is not UTF-8", "Save the file as UTF-8.")
        return ""
    if forbidden(line) is not None:
        batch.note(place, NoteCode.UNREADABLE, "the line holds an invisible or control character")
        return ""
    return line


def _value(text: str | None) -> str:
    """A key alone is true. A `;` or `#` after a blank begins a comment, unless within quotes."""
    if text is None:
        return "true"
    for match in _COMMENT.finditer(text):
        before = text[: match.start()]
        if before.count('"') % 2 == 0 and before.count("'") % 2 == 0:
            text = before
            break
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'`" else text


def _add(values: Mapping, key: str, text: str, place: Place) -> None:
    node, known = text_node(text, place), values.items.get(key)
    if known is None:
        values.items[key], values.keys[key] = node, place
    elif isinstance(known, Sequence):
        known.items.append(node)
    else:
        both = values.items[key] = Sequence(place)
        both.items += [known, node]
