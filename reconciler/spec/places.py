"""Where each field of a job was written: a mapping that costs one object per job, and makes a Location when asked."""

from collections.abc import ItemsView, Iterator, Mapping
from functools import lru_cache

from ..model.job import Location


@lru_cache(maxsize=4096)
def _shared(names: tuple[str, ...]) -> tuple[str, ...]:
    """One tuple for all files that say the same fields."""
    return names


@lru_cache(maxsize=4096)
def part_names(field: str, keys: tuple[str, ...]) -> tuple[str, ...]:
    """`field.key` of each key; made once for all files that have the same keys there."""
    return tuple(f"{field}.{key}" for key in keys)


class Places(Mapping[str, Location]):
    """Field name, or `field.key`, to its place; `inherited` counts for names that the job's own file does not say."""

    __slots__ = ("_inherited", "_lines", "_names", "_path")

    def __init__(
        self, path: str, names: tuple[str, ...], lines: tuple[int, ...], inherited: Mapping[str, Location]
    ) -> None:
        self._path = path
        self._names = _shared(names)
        self._lines = lines
        self._inherited = inherited

    def __getitem__(self, name: str) -> Location:
        if name in self._names:
            return Location(self._path, self._lines[self._names.index(name)])
        return self._inherited[name]

    def items(self) -> ItemsView[str, Location]:
        """All at once, which is quicker than one by one."""
        path = self._path
        own = {name: Location(path, line) for name, line in zip(self._names, self._lines, strict=True)}
        return (
            (own | {n: at for n, at in self._inherited.items() if n not in own}).items()
            if self._inherited
            else own.items()
        )

    def __iter__(self) -> Iterator[str]:
        yield from self._names
        yield from (name for name in self._inherited if name not in self._names)

    def __len__(self) -> int:
        return sum(1 for _ in self)
