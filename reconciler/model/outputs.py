"""What a run leaves in its outputs directory, on its way from the engine and as it is kept."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class PartKind(StrEnum):
    FILE = "file"
    DIRECTORY = "directory"
    COPY = "copy"  # a second name of a file that came before: `source`
    OTHER = "other"  # links, devices, sockets: never kept


@dataclass(frozen=True, slots=True)
class OutputPart:
    """One entry as the engine shows it. `path` is relative to the outputs directory, and as the job wrote it: not to be
    trusted. `data` of a file gives `size` bytes and must be read before the next part is asked for, or not at all."""

    path: str
    kind: PartKind
    size: int = 0
    executable: bool = False
    data: Iterable[bytes] = ()
    source: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """What was kept of a run's outputs. `left_out` names the first entry that went beyond a bound: it and all after it
    are not kept; "" = all is here. `skipped` are the first names of what is never kept, `skipped_in_all` how many."""

    files: tuple[tuple[str, int], ...] = ()  # (path, bytes), in order
    entries: int = 0  # directories included
    left_out: str = ""
    why: str = ""
    skipped: tuple[str, ...] = ()
    skipped_in_all: int = 0

    @property
    def size(self) -> int:
        return sum(size for _, size in self.files)
