"""An ini file with the line of each value, which the standard library's reader does not keep."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..spec.nodes import Mapping, Scalar, Sequence
from ..spec.yamlread import forbidden
from .draft import Batch, Place
from .model import NoteCode

_KIND = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_ENTRY = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)\s*(?:[=:]\s*(.*))?\Z")


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
        head, entry = _head(line), _ENTRY.match(line)
        if head is not None:
            yield section
            section = Section(*head, place, Mapping(place))
        elif entry is not None:
            _add(section.values, entry[1], _value(entry[2]), place)
        else:
            batch.note(place, NoteCode.UNREADABLE, "this is neither a section nor a value")
    yield section


def _head(line: str) -> tuple[str, str] | None:
    """Kind and name of `[kind "name"]`; what follows the bracket is a comment."""
    inner = line[1 : line.rfind("]")].strip() if line[0] == "[" and "]" in line else ""
    kind = _KIND.match(inner)
    if kind is None:
        return None
    name = inner[kind.end() :].strip()
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = name[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return kind[0].lower(), name


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
    quote = ""
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in ";#" and text[at - 1 : at].isspace():
            text = text[:at]
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
