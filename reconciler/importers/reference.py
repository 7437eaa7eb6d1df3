"""In: the tables of the formats and the codes of notes. Out: docs/import.md; a test keeps the page equal to it."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ..spec.schemas import schema
from .fields import Field, Table
from .formats import FORMATS
from .model import KINDS, MAX_BYTES, MAX_JOBS, Kind, NoteCode

_ONE_FIELD = re.compile(r"`([a-z_]+)`\Z")
HEAD = f"""\
# Bringing jobs along

`reconciler import FORMAT FILE... --into DIR` writes a job file for each job that it finds, and says line by line what
had no counterpart. It reads files alone: nothing is asked of a cluster, a platform or an engine.

    reconciler import kubernetes cronjobs.yaml --into jobs.d/web --dry-run     what would be written
    reconciler import kubernetes cronjobs.yaml --into jobs.d/web
    reconciler validate

* **It never fails on a field.** What cannot be kept is noted, with its place, a code and what to do. The notes are
  printed (`-o json` for programs) and stand as comments at the head of each job's file.
* **What is written is valid.** Each file is read as the service would read it, with the `_defaults.yaml` above it and
  the policy of the service file (`--config`). What is refused there, such as a bind that policy does not allow or a
  size that the service file does not have, is left out and told; import again with the right service file to keep it.
* **What is not whole does not fire.** If a job leaned on something that is not there (a note of the kind *needed*),
  its file says `suspend: true`. Deal with what is needed, then remove that line.
* A default there that differs from ours is written into the file: `concurrency_policy: Allow`, `retries`, `timezone`.
* Nothing is overwritten without `--force`. A second import of the same file changes nothing.
* At most {MAX_BYTES >> 10} KiB and {MAX_JOBS:,} jobs a file.

## Kinds of notes

| kind | |
|---|---|
"""


def import_page() -> str:
    """The whole page, with a newline at its end."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "<!-- Made by `python -m reconciler.cli.reference`; do not edit. -->\n"
    yield HEAD + "\n".join(f"| {kind.value} | {KINDS[kind]} |" for kind in Kind)
    for name, format_ in FORMATS.items():
        yield f"\n## {format_.title}\n\n`reconciler import {name}`. {format_.about}"
        yield "| there | here | |\n|---|---|---|"
        for fields, becomes, remark in _grouped(format_.tables):
            yield f"| {' '.join(map(_code, fields))} | {_cell(becomes)} | {_cell(remark)} |"
    yield "\n## Codes\n\n| code | kind | it means |\n|---|---|---|"
    for code in sorted(NoteCode, key=lambda code: (list(Kind).index(code.kind), code.value)):
        yield f"| `{code.value}` | {code.kind.value} | {code.docs} |"


def _grouped(tables: Sequence[Table[Any]]) -> list[tuple[list[str], str, str]]:
    """Fields of which the same is to be said share a row; each is named once."""
    found: dict[tuple[str, str], list[str]] = {}
    for table in tables:
        for field in table.fields:
            if field.becomes or field.remark or not field.silent:
                names = found.setdefault((_becomes(field), field.remark), [])
                names += [table.prefix + field.key] if table.prefix + field.key not in names else []
    return [(names, *said) for said, names in found.items()]


def _becomes(field: Field[Any]) -> str:
    if not field.becomes:
        return "nothing" if field.silent else "**needed**" if field.need or field.read is not None else "not kept"
    name = _ONE_FIELD.match(field.becomes)
    missing = name is not None and name[1] not in schema("job")["properties"]
    return f"{field.becomes}, **needed** as long as there is no such field" if missing else field.becomes


def _code(text: str) -> str:
    """A field's name as code; what is in words stays so."""
    plain = text.strip("`")
    return f"`{_cell(plain)}`" if " " not in plain else _cell(text)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
