"""In: the text of a job file and packages to add. Out: the text with them in its `packages`, everything else and all
comments as they were; or nothing, where the list is written in a way that lines cannot be added to.

Whoever writes the text reads it again first, and compares: this knows how people write lists, not all of YAML.
"""

import re
from collections.abc import Mapping, Sequence

from .render import flow, scalar

_TOP = re.compile(r"packages:[ \t]*(?:#.*)?\Z")
_ITEM = re.compile(r"([ ]*-[ ]+)(\S.*?)([ ]+#.*)?\Z")
_FLOW = re.compile(r"(\[)(.*)(\][ \t]*(?:#.*)?)\Z")
_ENTRY = re.compile(r"""[ \t]*("[^"\\]*"|'[^']*'|[^,\[\]{}"'#\s][^,\[\]{}"'#]*?)[ \t]*(?:,|\Z)""")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+:-]*")

Lists = Mapping[str, Sequence[str]]  # packages by manager


def fragment(added: Lists) -> list[str]:
    """The lines that a file without `packages` would get."""
    return ["packages:", *(f"  {manager}: {flow(list(names))}" for manager, names in added.items() if names)]


def with_packages(text: str, added: Lists) -> str | None:
    """Of a package that is listed the entry is replaced; others are added at the end of their list."""
    lines = text.split("\n")
    tops = [number for number, line in enumerate(lines) if re.match(r"[\"']?packages[\"']?[ \t]*:", line)]
    if not tops:
        body = text if text.endswith("\n") or not text else f"{text}\n"
        return body + "\n".join(fragment(added)) + "\n"
    start = tops[0]
    if len(tops) > 1 or _TOP.match(lines[start].rstrip("\r")) is None:
        return None
    for manager, names in added.items():
        if names and not _add(lines, start, manager, names):
            return None
    return "\n".join(lines)


def _add(lines: list[str], start: int, manager: str, names: Sequence[str]) -> bool:
    """In place; False = its list is not one of lines."""
    end = _end(lines, start, 0)
    children = [number for number in range(start + 1, end) if _says(lines[number])]
    if not children:
        return False
    indent = _indent(lines[children[0]])
    head = f"{indent}{manager}:"
    at = next((number for number in children if lines[number].startswith(head)), None)
    if at is None:
        lines.insert(start + 1, f"{head} {flow(list(names))}")
        return True
    rest = lines[at][len(head) :].strip()
    if rest.startswith("["):
        return _add_in_line(lines, at, head, names)
    if rest and not rest.startswith("#"):
        return False  # {file: ...}, or nothing that we know
    return _add_items(lines, at, len(indent), names)


def _add_in_line(lines: list[str], at: int, head: str, names: Sequence[str]) -> bool:
    found = _FLOW.match(lines[at][len(head) :].lstrip())
    entries = None if found is None else _entries(found[2])
    if found is None or entries is None:
        return False
    for name in names:
        places = [number for number, entry in enumerate(entries) if _same(entry, name)]
        if places:
            entries[places[0]] = scalar(name)
        else:
            entries.append(scalar(name))
    lines[at] = f"{head} [{', '.join(entries)}{found[3]}"
    return True


def _entries(text: str) -> list[str] | None:
    """What stands between the brackets, as it is written; None = not plain entries alone."""
    found, at = [], 0
    while text[at:].strip():
        match = _ENTRY.match(text, at)
        if match is None:
            return None
        found.append(match[1])
        at = match.end()
    return found


def _add_items(lines: list[str], at: int, indent: int, names: Sequence[str]) -> bool:
    """A list of one item a line, at the indent of its key or deeper."""
    items = []
    for number in range(at + 1, len(lines)):
        line = lines[number]
        if not _says(line):
            continue
        match = _ITEM.match(line)
        if match is None or len(_indent(line)) < indent:
            break
        items.append(number)
    if not items:
        return False
    last = items[-1]
    for name in names:
        for number in items:
            match = _ITEM.match(lines[number])
            if match is not None and _same(match[2], name):
                lines[number] = f"{match[1]}{scalar(name)}{match[3] or ''}"
                break
        else:
            prefix = lines[items[0]][: len(_indent(lines[items[0]]))]
            last += 1
            lines.insert(last, f"{prefix}- {scalar(name)}")
    return True


def _same(entry: str, name: str) -> bool:
    """Do the two name one package?"""
    one, other = (_NAME.match(text.strip("\"' ")) for text in (entry, name))
    return one is not None and other is not None and _plain(one[0]) == _plain(other[0])


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _end(lines: Sequence[str], start: int, indent: int) -> int:
    """The first line behind a block."""
    inside = range(start + 1, len(lines))
    return next((n for n in inside if _says(lines[n]) and len(_indent(lines[n])) <= indent), len(lines))


def _says(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" "))]
