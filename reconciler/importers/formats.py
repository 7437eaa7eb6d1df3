"""The formats that can be read, by the name that the command line has for them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..spec.foreign import read_documents
from . import compose, crontab, kubernetes, ofelia, saturn
from .about import COMPOSE, CRONTAB, KUBERNETES, OFELIA, SATURN
from .draft import START, Batch, Node
from .fields import Table
from .model import MAX_BYTES, Imported, NoteCode, Options
from .settle import settle


@dataclass(frozen=True, slots=True)
class Format:
    """`read` fills a batch from the bytes of a file; `tables` say what becomes of each field, for the page."""

    title: str
    about: str
    read: Callable[[Batch, bytes], None]
    tables: Sequence[Table[Any]]


def of_yaml(read: Callable[[Batch, list[Node]], None]) -> Callable[[Batch, bytes], None]:
    """A reader of YAML documents; what is wrong with the YAML is noted, what can be read is."""

    def run(batch: Batch, data: bytes) -> None:
        documents, problems = read_documents(data, batch.path)
        for problem in problems:
            code = NoteCode.STRUCTURE if problem.code == "duplicate-key" else NoteCode.UNREADABLE
            batch.problem(problem, code)
        read(batch, documents)

    return run


_COMPOSE = of_yaml(compose.read)

FORMATS: dict[str, Format] = {
    "saturn": Format("Saturn Cloud recipes", SATURN, of_yaml(saturn.read), saturn.TABLES),
    "kubernetes": Format("Kubernetes CronJobs", KUBERNETES, of_yaml(kubernetes.read), kubernetes.TABLES),
    "crontab": Format("Crontabs", CRONTAB, crontab.read, crontab.TABLES),
    "ofelia": Format("Ofelia", OFELIA, lambda batch, data: ofelia.read(batch, data, _COMPOSE), ofelia.TABLES),
    "compose": Format("Compose services", COMPOSE, _COMPOSE, compose.TABLES),
}


def convert(format: str, data: bytes, path: str, options: Options) -> Imported:
    """Read a file of one of FORMATS. Never raises on what it holds: with nothing usable there are notes alone."""
    batch = Batch(path, options)
    if len(data) > MAX_BYTES:
        batch.note(START, NoteCode.UNREADABLE, f"the file has more than {MAX_BYTES >> 10} KiB", "Divide it.")
        return Imported((), batch.notes)
    FORMATS[format].read(batch, data)
    files = settle(batch)
    if not batch.notes and not files:
        batch.note(START, NoteCode.NOT_A_JOB, "there is no job in this file")
    return Imported(files, tuple(sorted(batch.notes)))
