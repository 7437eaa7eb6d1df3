"""In: the fields of a job. Out: the text of its file, in the order of the reference and as people write them."""

import json
import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from ..spec.schemas import schema
from .model import Kind, Note

WIDTH = 110
MOST_NOTES = 200  # in the comment of one file, the gravest first
_PLAIN = re.compile(
    r"(?:[A-Za-z0-9_/.]|--?[A-Za-z0-9])[A-Za-z0-9_/.@%+=~$^:-]*(?: [A-Za-z0-9_/.(+=$-][A-Za-z0-9_/.@%+=~$^()-]*)*\Z"
)
_ODD = re.compile(r"(?:true|false|yes|no|on|off|y|n|null|~|[-+.0-9_:]+|[0-9.]+e[-+0-9]+|0[xo].*)\Z", re.IGNORECASE)
_COLON = re.compile(r":(?: |\Z)")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})\Z")
_ALWAYS_BLOCK = frozenset({"environment", "files", "volumes", "secrets", "repositories"})


def render(values: dict[str, Any], head: Iterable[str], notes: Iterable[Note]) -> str:
    """The file; its comments tell where the job came from, and what of it is not there."""
    lines = [f"# {line}" for text in head for line in _wrapped(text)]
    found = sorted(notes, key=lambda note: (list(Kind).index(note.kind), note))
    if values.get("suspend") is True and any(note.kind is Kind.NEEDED for note in found):
        lines.append("# Suspended: deal with what is needed, then remove the line `suspend: true`.")
    for note in found[:MOST_NOTES]:
        hint = f" ({note.hint})" if note.hint and note.kind is Kind.NEEDED else ""
        first, *more = _wrapped(f"{note.kind.value}: line {note.line}: {note.message}{hint}")
        lines += [f"# {first}", *(f"#   {line}" for line in more)]
    if len(found) > MOST_NOTES:
        lines.append(f"# and {len(found) - MOST_NOTES:,} more notes of this kind and those below it")
    for field in sorted(values, key=_place):
        lines += _entry(field, values[field])
    return "\n".join(lines) + "\n"


def _place(field: str) -> int:
    order = list(schema("job")["properties"])
    return order.index(field) if field in order else len(order)


def _wrapped(text: str) -> list[str]:
    """Printable lines that a comment can hold."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    return textwrap.wrap(plain, WIDTH, break_long_words=False, break_on_hyphens=False) or [""]


def _entry(key: str, value: Any) -> Iterator[str]:
    """A top-level field: on one line where it fits, else one item a line."""
    if isinstance(value, str) and _is_block(value):
        yield from _block(f"{scalar(key)}: ", value, "  ")
        return
    line = f"{scalar(key)}: {flow(value)}"
    short = len(line) <= WIDTH and not (key in _ALWAYS_BLOCK and len(value) > 1) and not _has_block(value)
    if not isinstance(value, dict | list) or short or not value:
        yield line
        return
    yield f"{scalar(key)}:"
    for item, of in value.items() if isinstance(value, dict) else ((None, one) for one in value):
        head = "  - " if item is None else f"  {scalar(item)}: "
        if isinstance(of, str) and _is_block(of):
            yield from _block(head, of, "    ")
        elif isinstance(of, dict) and _has_block(of):
            yield head.rstrip()
            for inner, text in of.items():
                if isinstance(text, str) and _is_block(text):
                    yield from _block(f"    {scalar(inner)}: ", text, "      ")
                else:
                    yield f"    {scalar(inner)}: {flow(text)}"
        else:
            yield head + flow(of)


def _has_block(value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_is_block(item) if isinstance(item, str) else _has_block(item) for item in inner)


def _is_block(text: str) -> bool:
    """Text of several lines that a literal block keeps to the last character."""
    body = text.rstrip("\n")
    return (
        "\n" in body and not body.startswith((" ", "\n", "\t")) and len(text) - len(body) <= 1
        and all(char.isprintable() or char in "\n\t" for char in text)
        and not any(line != line.rstrip() for line in body.split("\n"))
    )  # fmt: skip


def _block(head: str, text: str, indent: str) -> Iterator[str]:
    yield head + ("|" if text.endswith("\n") else "|-")
    yield from (indent + line if line else "" for line in text.rstrip("\n").split("\n"))


def flow(value: Any) -> str:
    """Flow style on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, str):
        return scalar(value)
    return json.dumps(value)


def scalar(text: str) -> str:
    """Text as YAML: plain where every reader takes it for this very text or number, else in quotes."""
    if _INTEGER.match(text) or (_PLAIN.match(text) and not _COLON.search(text) and not _ODD.match(text)):
        return text
    if ('"' in text or "\\" in text) and text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return json.dumps(text, ensure_ascii=False)
