"""What an import collects: the jobs of one file as they are put together, and the notes on them."""

from collections.abc import Iterator
from typing import Any

from ..model.problem import SpecProblem
from ..spec.nodes import Mapping, Mark, Node, Scalar, Sequence, mark_of
from ..spec.schemas import schema
from ..spec.secretlike import looks_secret
from ..spec.yamlread import forbidden
from .model import MAX_JOBS, MAX_NOTES, Kind, Note, NoteCode, Options
from .names import Names, job_name

ASSUMED_IMAGE = "debian:stable-slim"
LONGEST = 600  # characters of a message


class Place:
    """A place that counts from 0, as those of nodes do."""

    __slots__ = ("column", "line")

    def __init__(self, line: int, column: int = 0) -> None:
        self.line, self.column = line, column


START = Place(0)


def known(field: str) -> bool:
    """Does this version's schema have the field?"""
    return field in schema("job")["properties"]


class Batch:
    """One file on its way in."""

    def __init__(self, path: str, options: Options) -> None:
        self.path, self.options = path, options
        self.drafts: list[Draft] = []
        self._notes: dict[Note, None] = {}
        self._names = Names(options.taken)
        self._said: set[tuple[NoteCode, str]] = set()

    @property
    def notes(self) -> tuple[Note, ...]:
        return tuple(self._notes)

    def begin(self, name: str, at: Mark, what: str) -> "Draft | None":
        """A new job; `what` says in words what it was. None: there are too many."""
        if len(self.drafts) >= MAX_JOBS:
            self.once(at, NoteCode.TOO_MANY, f"only the first {MAX_JOBS:,} jobs of this file are read")
            return None
        draft = Draft(self, self._names.take(name), at, what)
        self.drafts.append(draft)
        if draft.name != name:
            why = "another job has the name" if job_name(name) != draft.name else "a job name has lower-case letters"
            draft.note(at, NoteCode.NAME, f'"{name[:80]}" is named {draft.name} here: {why}')
        return draft

    def note(self, at: Mark, code: NoteCode, message: str, hint: str = "", job: str = "") -> Note:
        found = Note(self.path, at.line + 1, at.column + 1, code, _cut(message), hint, job)
        if len(self._notes) < MAX_NOTES:
            self._notes[found] = None
        else:
            self._notes[Note(self.path, 1, 1, NoteCode.TOO_MANY, f"only {MAX_NOTES:,} notes are shown")] = None
        return found

    def problem(self, problem: SpecProblem, code: NoteCode) -> None:
        """What the reader of YAML says."""
        self.note(Place(problem.line - 1, problem.column - 1), code, problem.message, problem.hint)

    def once(self, at: Mark, code: NoteCode, message: str, hint: str = "") -> None:
        """A note about the file as a whole, however many of its jobs give rise to it."""
        if (code, message) not in self._said:
            self._said.add((code, message))
            self.note(at, code, message, hint)


class Draft:
    """One job. `values` are the fields of its file; `places` where each came from."""

    def __init__(self, batch: Batch, name: str, at: Mark, what: str) -> None:
        self.batch, self.name, self.at, self.what = batch, name, at, _cut(what)
        self.values: dict[str, Any] = {}
        self.places: dict[str, Mark] = {}
        self._notes: dict[Note, None] = {}

    @property
    def notes(self) -> tuple[Note, ...]:
        return tuple(self._notes)

    @property
    def full_name(self) -> str:
        folder = self.batch.options.folder
        return f"{folder}/{self.name}" if folder else self.name

    @property
    def needs(self) -> bool:
        """Does something have to be done before the job may fire?"""
        return any(note.kind is Kind.NEEDED for note in self._notes)

    def note(self, at: Mark, code: NoteCode, message: str, hint: str = "") -> None:
        found = self.batch.note(at, code, message, hint, self.full_name)
        self._notes[found] = None

    def keep(self, field: str, value: Any, at: Mark) -> None:
        """Set a field; nothing at all is not kept, and what no job file can hold is noted."""
        if value is None or (value in ("", [], {}) and field not in ("entrypoint", "command")):
            return
        if any(forbidden(text) is not None for text in _texts(value)):
            message = f"{field} holds an invisible or control character, which no job file may"
            self.note(at, NoteCode.REFUSED_PART, message, "Write it in another way.")
            return
        self.values[field] = value
        self.places[field] = at

    def put(self, field: str, key: str, value: Any, at: Mark) -> None:
        """Set one key of a field that is a map."""
        if forbidden(key + (value if isinstance(value, str) else "")) is not None:
            message = f"{field}.{key[:80]} holds an invisible or control character, which no job file may"
            self.note(at, NoteCode.REFUSED_PART, message, "Write it in another way.")
            return
        self.values.setdefault(field, {})[key] = value
        self.places[f"{field}.{key}"] = at
        self.places.setdefault(field, at)

    def add(self, field: str, value: Any, at: Mark) -> None:
        """Append to a field that is a list."""
        if any(forbidden(text) is not None for text in _texts(value)):
            self.note(at, NoteCode.REFUSED_PART, f"an item of {field} holds an invisible or control character")
            return
        items = self.values.setdefault(field, [])
        self.places[f"{field}.{len(items)}"] = at
        self.places.setdefault(field, at)
        items.append(value)

    def variable(self, name: str, value: str, at: Mark) -> None:
        """One environment variable, as plain text; what looks like a secret is named and not written (rule S3)."""
        if why := looks_secret(name, value):
            message = f"the value of {name[:80]} is not written: {why}"
            hint = f'Change it, and provide the new one as the secret "{job_name(name)}" on the host.'
            self.note(at, NoteCode.PLAIN_SECRET, message, hint)
            self.add("secrets", {"name": job_name(name), "env": name}, at)
            return
        self.put("environment", name, value, at)

    def assume_image(self, why: str, at: Mark) -> None:
        """An image for what has none: the caller's, else one that lets the job be looked at but not fire."""
        given = self.batch.options.image
        self.keep("image", given or ASSUMED_IMAGE, at)
        if not given:
            hint = "Write the image that holds its programs, or import again with `--image IMAGE`."
            self.note(at, NoteCode.IMAGE_ASSUMED, f"{why}; {ASSUMED_IMAGE} is assumed", hint)


def _cut(message: str) -> str:
    return message if len(message) <= LONGEST else message[: LONGEST - 3] + "..."


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value, keys included. Values are as deep as the fields of a job file."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


__all__ = [
    "ASSUMED_IMAGE", "START", "Batch", "Draft", "Mapping", "Mark", "Node", "Place", "Scalar", "Sequence", "known",
    "mark_of",
]  # fmt: skip
