"""What is made for one run before it starts, and goes when it has ended: its secrets, its checkouts."""

from dataclasses import dataclass

from .run import CodeAt


@dataclass(frozen=True, slots=True)
class Bind:
    """A file or directory of the host (`source`, made by us for this run alone) at `target` in the container."""

    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent to an engine of another host for one run: the volume `source` (a name), or a file in one (its path
    over there), at `target` in the container."""

    source: str
    target: str
    read_only: bool = True

    @property
    def is_volume(self) -> bool:
        return "/" not in self.source


@dataclass(frozen=True, slots=True)
class Workspace:
    """What a run finds when it starts, beside what its definition says."""

    binds: tuple[Bind, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    code: tuple[CodeAt, ...] = ()  # the commits of its checkouts
    dropped: tuple[str, ...] = ()  # links of its checkouts that led out of them, as paths in the container

    def __add__(self, other: "Workspace") -> "Workspace":
        return Workspace(self.binds + other.binds, self.environment + other.environment, self.code + other.code,
                         self.dropped + other.dropped)  # fmt: skip


NOTHING = Workspace()
