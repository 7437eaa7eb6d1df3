"""One file in, its jobs as the product's own reader reads them, and its notes."""

from dataclasses import replace
from textwrap import dedent
from typing import Any

from reconciler.importers.formats import convert
from reconciler.importers.model import Imported, Kind, Note, Options
from reconciler.model.secret import StoreConfig
from reconciler.model.service import ServiceConfig
from reconciler.spec.document import Document, read_document
from tests.unit.spec.kit import Repo


def run(format: str, text: str | bytes, path: str = "in.txt", **options: Any) -> Imported:
    """What an import makes; each of its files is valid, whatever it read."""
    data = text if isinstance(text, bytes) else dedent(text).encode()
    found = convert(format, data, path, Options(**options))
    check(found, options.get("config"), options.get("defaults"))
    return found


def check(found: Imported, config: ServiceConfig | None = None, defaults: dict[str, bytes] | None = None) -> None:
    """The files together are a jobs directory without an error, and every note has a place and words."""
    files: dict[str, str | bytes] = {f"{file.name}.yaml": file.text for file in found.files}
    assert len(files) == len(found.files), "two files of one name"
    anywhere = replace(config or ServiceConfig(), secret_stores=(StoreConfig("directory"),))  # values are yet to come
    state = Repo({**files, **(defaults or {})}, config=anywhere).desire()
    errors = [problem for problem in state.errors if problem.path not in (defaults or {})]
    assert not errors, "\n".join(map(str, errors))
    assert set(state.jobs) == {file.name for file in found.files}
    for note in found.notes:
        assert note.line >= 1 and note.column >= 1 and note.message and "\n" not in note.message, note
        assert note.code.docs.endswith("."), note.code
    for file in found.files:
        assert file.suspended == state.jobs[file.name].spec.suspend
        needed = [note for note in found.notes if note.job == file.name and note.kind is Kind.NEEDED]
        assert not needed or file.suspended or fields(file.text)["schedule"] == "manual", (file.name, needed)


def fields(text: str) -> dict[str, Any]:
    """The fields of a job file, typed."""
    found = read_document(text.encode(), "x.yaml", "job")
    assert isinstance(found, Document), found
    return found.data


def only(found: Imported) -> dict[str, Any]:
    """The fields of the one job."""
    (file,) = found.files
    return fields(file.text)


def by_name(found: Imported) -> dict[str, dict[str, Any]]:
    return {file.name: fields(file.text) for file in found.files}


def codes(found: Imported) -> set[str]:
    return {note.code.value for note in found.notes}


def note(found: Imported, code: str) -> Note:
    """The first note of a code; fails with those that there are."""
    return next((n for n in found.notes if n.code == code), None) or _missing(found, code)


def _missing(found: Imported, code: str) -> Note:
    raise AssertionError(f"no note {code} among\n" + "\n".join(map(str, found.notes)))
